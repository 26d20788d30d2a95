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


class Layer(NamedTuple):
    """One layer of a kind that a stage holds: a device's ledger of it, and what it saves."""

    share: Ledger
    kept: tuple[Saved, ...]


def needs(
    share: Ledger, kept: tuple[Saved, ...], states: States, layers: tuple[Layer, ...], stage: int, training: Training
) -> Needs:
    """What a device of one pipeline stage needs.

    `share`: its ledger (`tscale.core.shard`), `kept`: what the stage saves, `states`: what is kept of its parameters,
    `layers`: one of each kind that it holds.
    """
    plan, rank = training.plan, training.rank
    if rank is not None:
        kept += adapter_saves(share, rank)
        layers = tuple(layer._replace(kept=layer.kept + adapter_saves(layer.share, rank)) for layer in layers)
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
                # of an interleaved schedule's first pieces, two rounds can be in flight at once
                rounds = plan.pipeline - stage if pieces == 1 else 2 * plan.pipeline
                activations.append(Line(line.name, line.value * rounds))
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
        _temporary(share, layers, logits, training),
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


def _temporary(share: Ledger, layers: tuple[Layer, ...], logits: list[Line], training: Training) -> Quantity:
    """The larger of two moments: the gradient of the logits, in fp32 as they are; or one layer's backward pass.

    That needs what is computed again, its widest gradient and the one made of it, what ZeRO gathers for a layer, and of a
    frozen model that is kept in few bits its largest matrix in 16.
    """
    backward = [
        *_again(layers, training),
        Line("widest_gradient_twice", 2 * _widest(layers, training)),
        *_gathered(share, layers, training),
    ]
    if training.base is not None:
        largest = max(
            (size(entry) for entry in share.entries if isinstance(entry, Matmul) and is_linear(entry)), default=0
        )
        backward.append(Line("unpacked_matrix", 2 * largest))
    loss = [Line("gradient_of_logits", sum(line.value for line in logits))]
    larger = max((loss, backward), key=lambda lines: sum(line.value for line in lines))
    return Quantity("temporary", tuple(line for line in larger if line.value), BYTES, source=SOURCE)


def _again(layers: tuple[Layer, ...], training: Training) -> list[Line]:
    """The activations of one layer that are computed again just before its backward pass, of the kind with the most."""
    passes = training.passes
    anew = passes._replace(keeping=keeping(training.attention, "none"))
    if passes.keeping == "full":
        return [Line("layer_again", max((_of_layer(layer, training, anew) for layer in layers), default=0))]
    if passes.keeping == "selective":
        more = (_of_layer(layer, training, anew) - _of_layer(layer, training, passes) for layer in layers)
        return [Line("scores_again", max(more, default=0))]
    return []


def layer_bytes(layers: tuple[Layer, ...], training: Training) -> int:
    """Bytes that one layer of a stage keeps of one micro-batch; of several kinds of layer, one that keeps the most."""
    return max((_of_layer(layer, training, training.passes) for layer in layers), default=0)


def _of_layer(layer: Layer, training: Training, passes: Passes) -> int:
    """Bytes that a layer keeps of one micro-batch, by how it is kept."""
    return activation_bytes(layer.kept, training.run, passes, training.plan).total


def _widest(layers: tuple[Layer, ...], training: Training) -> int:
    """Bytes of the largest single array of activations in a layer, scores of attention in steps included."""
    passes = training.passes._replace(keeping=keeping(training.attention, "none"))
    arrays = [saved for layer in layers for saved in layer.kept if saved.number == "activation"]
    return max((_one_array(saved, training, passes) for saved in arrays), default=0)


def _one_array(saved: Saved, training: Training, passes: Passes) -> int:
    one = saved._replace(used=1) if saved.used else saved
    return activation_bytes((one,), training.run, passes, training.plan).total


def _gathered(share: Ledger, layers: tuple[Layer, ...], training: Training) -> list[Line]:
    """What ZeRO makes whole for a layer, or for a table: in stage 3 its weights, from stage 2 on its gradients."""
    plan = training.plan
    if plan.zero < 2 or plan.sharing == 1:
        return []
    layer = max((_held(layer.share, plan) for layer in layers), default=0)
    tables = (entry for entry in share.entries if isinstance(entry, (Lookup, Matmul)) and not is_linear(entry))
    alone = max((size(entry) for entry in tables if entry.stored), default=0)
    lines = []
    if plan.zero == 3:
        format = training.weights_format
        whole = max(bytes_of(layer, format.bits), bytes_of(alone, FORMATS[format.rest].bits))
        lines.append(Line("gathered_weights", whole))
    if training.rank is None:
        lines.append(Line("unscattered_gradients", max(layer, alone) * training.recipe.gradients))
    return lines


def _held(layer: Ledger, plan: Plan) -> int:
    """Numbers in the matrices of one layer that ZeRO divides."""
    matrices = (entry for entry in layer.entries if isinstance(entry, Matmul) and is_linear(entry))
    return sum(entry.stored * size(entry) for entry in matrices if shards(entry, plan) != 1)
