"""How much memory each device needs to train a model: what is kept of its parameters, of its micro-batches, and for a moment.

A pipeline's stage keeps the activations of every micro-batch that has gone forward and not yet backward: of p stages the i-th
(from 0) has p - i of them in flight under 1F1B, and of an interleaved schedule 2·(p - i - 1) + (v - 1)·p + 1 pieces, each of
1/v of its layers (Narayanan 2021, section 2.2; for the first stage L·(1 + (p - 1)/(p·v)) layers, Korthikanti 2022, section 4.2.3).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.core.formats import FORMATS, Format, bytes_of
from tscale.core.ledger import Ledger, Lookup, Matmul, Saved
from tscale.core.numbers import ceil_div
from tscale.core.plan import Plan
from tscale.core.quantity import Line, Quantity
from tscale.core.questions.activations import Attention, Passes, Recompute, activation_bytes, keeping
from tscale.core.questions.params import size
from tscale.core.questions.states import (
    States,
    adapter_saves,
    adapters,
    frozen_states,
    shards,
    training_states,
)
from tscale.core.questions.weights import is_linear
from tscale.core.recipes import Optimizer, Recipe
from tscale.core.run import Run
from tscale.core.units import BYTES

SOURCE: Final = "korthikanti2022 section 4"

LEAVES_OUT: Final = (
    "Not counted: what the device's own software takes, buffers for sending, fragments that no tensor fits in, and what an "
    "optimizer that is not fused needs for its step."
)


class Training(NamedTuple):
    """How a model is trained: formats, optimizer, plan, sequences at a time and what of them is kept.

    `rank`: of low-rank adapters, where the model itself is frozen and kept in `base`.
    """

    recipe: Recipe
    optimizer: Optimizer
    plan: Plan
    run: Run
    micro_batch: int = 1
    attention: Attention = "flash"
    recompute: Recompute = "none"
    dropout: bool = False
    rank: int | None = None
    base: Format | None = None

    @property
    def passes(self) -> Passes:
        """How its forward passes are run."""
        return Passes(self.micro_batch, keeping(self.attention, self.recompute), self.recipe.activations, self.dropout)

    @property
    def weights_format(self) -> Format:
        """What the model's weights are kept in."""
        return FORMATS[self.recipe.weights] if self.base is None else self.base


class Needs(NamedTuple):
    """Bytes that one device needs, by what they are for; `temporary`: the largest of what is needed for a moment."""

    weights: Quantity
    gradients: Quantity
    master: Quantity
    optimizer: Quantity
    activations: Quantity
    logits: Quantity
    temporary: Quantity

    @property
    def total(self) -> int:
        return sum(quantity.total for quantity in self)


def needs(share: Ledger, kept: tuple[Saved, ...], states: States, stage: int, training: Training) -> Needs:
    """What a device of one pipeline stage needs.

    `share`: its ledger (`tscale.core.shard`), `kept`: what the stage saves, `states`: what is kept of its parameters.
    """
    plan = training.plan
    if training.rank is not None:
        kept += adapter_saves(share, training.rank)
    pass_lines = activation_bytes(kept, training.run, training.passes, plan)
    parts = {saved.name: saved.part for saved in kept}
    flying, pieces = in_flight(stage, plan)
    activations: list[Line] = []
    logits: list[Line] = []
    for line in pass_lines.lines:
        match parts[line.name]:
            case "head":  # the last stage's backward pass follows at once
                (logits if line.name == "head.logits" else activations).append(line)
            case "embedding":
                activations.append(Line(line.name, line.value * (plan.pipeline - stage)))
            case _:
                amount = line.value * flying
                activations.append(Line(line.name, amount if pieces == 1 else ceil_div(amount, pieces)))
    return Needs(
        states.weights,
        states.gradients,
        states.master,
        states.optimizer,
        pass_lines._replace(lines=tuple(activations)),
        Quantity("logits", tuple(logits), BYTES, source=SOURCE),
        _temporary(share, kept, logits, training),
    )


def in_flight(stage: int, plan: Plan) -> tuple[int, int]:
    """Pieces of micro-batches whose activations a stage keeps at once, and the pieces that its layers are in."""
    behind = plan.pipeline - stage - 1
    if plan.interleave == 1:
        return behind + 1, 1
    return 2 * behind + (plan.interleave - 1) * plan.pipeline + 1, plan.interleave


def states_of(share: Ledger, training: Training) -> States:
    """What is kept of the parameters: of all of them, or of adapters beside a frozen model."""
    if training.rank is None:
        return training_states(share, training.recipe, training.optimizer, training.plan)
    own = training_states(adapters(share, training.rank), training.recipe, training.optimizer, training.plan)
    return frozen_states(share, training.weights_format, training.plan) + own


def _temporary(share: Ledger, kept: tuple[Saved, ...], logits: list[Line], training: Training) -> Quantity:
    """The larger of two moments: the gradient of the logits, in fp32 as they are; or one layer's backward pass.

    That needs what is computed again, its widest gradient and the one made of it, what ZeRO gathers for a layer, and of a
    frozen model that is kept in few bits its largest matrix in 16.
    """
    backward = [
        *_again(kept, training),
        Line("widest_gradient_twice", 2 * _widest(kept, training)),
        *_gathered(share, training),
    ]
    if training.base is not None:
        largest = max(
            (size(entry) for entry in share.entries if isinstance(entry, Matmul) and is_linear(entry)), default=0
        )
        backward.append(Line("unpacked_matrix", 2 * largest))
    loss = [Line("gradient_of_logits", sum(line.value for line in logits))]
    larger = max((loss, backward), key=lambda lines: sum(line.value for line in lines))
    return Quantity("temporary", tuple(line for line in larger if line.value), BYTES, source=SOURCE)


def _again(kept: tuple[Saved, ...], training: Training) -> list[Line]:
    """The activations of one layer that are computed again just before its backward pass."""
    passes = training.passes
    anew = passes._replace(keeping=keeping(training.attention, "none"))
    if passes.keeping == "full":
        return [Line("layer_again", _one_layer(kept, training, anew))]
    if passes.keeping == "selective":
        more = _one_layer(kept, training, anew) - _one_layer(kept, training, passes)
        return [Line("scores_again", more)]
    return []


def layer_bytes(kept: tuple[Saved, ...], training: Training) -> int:
    """Bytes that one layer of a stage keeps of one micro-batch; of several kinds of layer, one that keeps the most."""
    return _one_layer(kept, training, training.passes)


def _one_layer(kept: tuple[Saved, ...], training: Training, passes: Passes) -> int:
    """Bytes that one layer keeps: of several kinds of mixers, or of feed-forwards, those of the kind that keeps most."""
    roles: dict[str, str] = {}
    sums: dict[str, dict[str, int]] = {}
    for saved in kept:
        if saved.part not in ("embedding", "head") and passes.keeping in saved.keeping:
            block = _block(saved.name)
            role = roles.setdefault(block, _role(block, saved))
            blocks = sums.setdefault(role, {})
            blocks[block] = blocks.get(block, 0) + _once(saved, training, passes)
    return sum(max(blocks.values()) for blocks in sums.values())


def _role(block: str, saved: Saved) -> str:
    """What one block of a layer does; scores of distances stand beside a mixer, not in place of it."""
    if block in ("relative", "distances"):
        return block
    return "attention" if saved.part == "mixer" else saved.part


def _block(name: str) -> str:
    """The block that a line belongs to: its first word, or of a sub-layer's norm the second."""
    first, second, *_ = name.split(".")
    return second.removeprefix("before_").removeprefix("after_") if first == "norm" else first


def _once(saved: Saved, training: Training, passes: Passes) -> int:
    """Bytes of one layer's copy of what is kept; none where no layer of the stage keeps it."""
    one = saved._replace(used=1) if saved.used else saved
    return activation_bytes((one,), training.run, passes, training.plan).total


def _widest(kept: tuple[Saved, ...], training: Training) -> int:
    """Bytes of the largest single array of activations in a layer, scores of attention in steps included."""
    passes = training.passes._replace(keeping=keeping(training.attention, "none"))
    inside = (saved for saved in kept if saved.part not in ("embedding", "head") and saved.number == "activation")
    return max((_once(saved, training, passes) for saved in inside if passes.keeping in saved.keeping), default=0)


def _gathered(share: Ledger, training: Training) -> list[Line]:
    """What ZeRO makes whole for a layer, or for a table: in stage 3 its weights, from stage 2 on its gradients."""
    plan = training.plan
    if plan.zero < 2 or plan.sharing == 1:
        return []
    one: dict[str, dict[str, int]] = {}
    alone = 0
    for entry in share.entries:
        if isinstance(entry, Matmul) and is_linear(entry):
            blocks = one.setdefault(entry.part, {})
            block = entry.name.split(".")[0]
            held = 0 if shards(entry, plan) == 1 or not entry.stored else entry.experts * size(entry)
            blocks[block] = blocks.get(block, 0) + held
        elif isinstance(entry, (Lookup, Matmul)) and entry.stored:
            alone = max(alone, size(entry))
    layer = sum(max(blocks.values()) for blocks in one.values())
    lines = []
    if plan.zero == 3:
        format = training.weights_format
        whole = max(bytes_of(layer, format.bits), bytes_of(alone, FORMATS[format.rest].bits))
        lines.append(Line("gathered_weights", whole))
    if training.rank is None:
        lines.append(Line("unscattered_gradients", max(layer, alone) * training.recipe.gradients))
    return lines
