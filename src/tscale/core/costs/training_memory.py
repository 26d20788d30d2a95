"""How much memory each device needs to train a model: what is kept of its parameters, of its micro-batches, and for a moment.

A pipeline's stage keeps the activations of every micro-batch that has gone forward and not yet backward: of p stages the i-th
(from 0) has p - i of them in flight under 1F1B, and of an interleaved schedule 2·(p - i - 1) + (v - 1)·p + 1 pieces, each of
1/v of its layers (Narayanan 2021, section 2.2; for the first stage L·(1 + (p - 1)/(p·v)) layers, Korthikanti 2022, section 4.2.3);
other schedules have their own (`tscale.core.costs.schedules`).

What is needed for a moment is the largest of moments that follow one another, not their sum: the loss, with all activations
kept; and the backward pass of a layer, when the logits are gone. Gradients stand by the loss of every micro-batch but the first. The
optimizer's step comes when nothing of a pass is left, and a fused one takes nothing more.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from tscale.core.costs.activations import Attention, Passes, Recompute, activation_bytes, keeping, saved_by
from tscale.core.costs.params import size
from tscale.core.costs.schedules import embeddings_in_flight, in_flight
from tscale.core.costs.states import (
    States,
    adapter_saves,
    adapters,
    frozen_states,
    shards,
    training_states,
)
from tscale.core.costs.weights import is_linear
from tscale.core.dtypes import FORMATS, Format, bytes_of
from tscale.core.ledger import Ledger, Lookup, Matmul, Part, Saved
from tscale.core.loss_kernels import (
    KERNELS,
    OF_TRANSFORMERS,
    Logits,
    LossBytes,
    default_kernel,
    least_live_bytes,
    loss_bytes,
)
from tscale.core.metric import Line, Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.precision import Optimizer, Precision
from tscale.core.tracing import ceil_div
from tscale.core.units import BYTES
from tscale.core.workload import Run

SOURCE: Final = "korthikanti2022 section 4"

LEAVES_OUT: Final = "what an optimizer that is not fused needs for its step"
"""What is no part of the needs, nor of any reserve."""


Peak = Literal["reserved", "live"]
"""How the peak of a loss is counted: as an allocator reserves it, or what is live then at the least."""


class Training(NamedTuple):
    """How a model is trained: formats, optimizer, plan, sequences at a time and what of them is kept.

    `rank`: of low-rank adapters, where the model itself is frozen and kept in `base`. `loss`: the kernel that computes it, None
    for that of the common trainer.
    """

    recipe: Precision
    optimizer: Optimizer
    plan: Parallelism
    run: Run
    micro_batch: int = 1
    attention: Attention = "flash"
    recompute: Recompute = "none"
    dropout: bool = False
    rank: int | None = None
    base: Format | None = None
    loss: str | None = None

    @property
    def passes(self) -> Passes:
        """How its forward passes are run."""
        how = keeping(self.attention, self.recompute)
        residual = 4 if self.prepared else None
        return Passes(self.micro_batch, how, self.recipe.activations, self.dropout, "fused", residual)

    @property
    def loss_kernel(self) -> str:
        """The kernel that computes the loss."""
        return self.loss or default_kernel(self.plan, adapters=self.rank is not None).name

    @property
    def prepared(self) -> bool:
        """Whether peft has prepared a model of few bits for transformers' trainer (`prepare_model_for_kbit_training`).

        It keeps in fp32 what is not in few bits: tables, head and norms, and so the residual stream and the logits in the output.
        """
        return self.base is not None and self.loss_kernel in OF_TRANSFORMERS

    @property
    def weights_format(self) -> Format:
        """What the model's weights are kept in."""
        if self.base is None:
            return FORMATS[self.recipe.weights]
        return self.base._replace(rest="fp32") if self.prepared else self.base


class Needs(NamedTuple):
    """Bytes that one device needs, by what they are for.

    `logits`: what the loss keeps for its backward pass, where its moment is the largest; nothing where that of a layer is, when
    they are gone. `temporary`: what that moment needs besides.
    """

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
    share: Ledger,
    kept: tuple[Saved, ...],
    states: States,
    layers: tuple[Layer, ...],
    stage: int,
    training: Training,
    peak: Peak = "reserved",
) -> Needs:
    """What a device of one pipeline stage needs.

    `share`: its ledger (`tscale.core.sharding`), `kept`: what the stage saves, `states`: what is kept of its parameters,
    `layers`: one of each kind that it holds. `peak`: how the loss is counted.
    """
    plan, rank = training.plan, training.rank
    if rank is not None:
        kept = _without_frozen_head(kept) + adapter_saves(share, rank)
        layers = tuple(layer._replace(kept=layer.kept + adapter_saves(layer.share, rank)) for layer in layers)
    pass_lines = activation_bytes(kept, training.run, training.passes, plan)
    saved = tuple(saved_by(kept, training.passes))
    every = [_of_all_passes(line, of.part, stage, plan) for line, of in zip(pass_lines.lines, saved, strict=True)]
    ends = [of.role == "logits" for of in saved]
    activations = tuple(line for line, end in zip(every, ends, strict=True) if not end)
    loss = loss_of(share, kept, training)
    logits = [line for line, end in zip(every, ends, strict=True) if end]
    if loss is not None:
        logits = [Line("head.logits", loss.kept)]
    reserved = None if loss is None else loss.reserved if peak == "reserved" else _least_live(share, kept, training)
    held, temporary = _largest_moment(share, layers, logits, reserved, training)
    source = KERNELS[training.loss_kernel].source if held and loss is not None else SOURCE
    return Needs(
        states.weights,
        states.gradients,
        states.master,
        states.optimizer,
        pass_lines._replace(lines=activations),
        Quantity("logits", tuple(held), BYTES, source=source),
        Quantity("temporary", tuple(line for line in temporary if line.value), BYTES, source=source),
    )


def _of_all_passes(line: Line, part: Part, stage: int, plan: Parallelism) -> Line:
    """What a stage keeps of all micro-batches that it has in flight, by what it keeps of one."""
    flying, pieces = in_flight(stage, plan)
    if part == "head":  # the last stage's backward pass follows at once
        return line
    if part == "embedding":
        return Line(line.name, line.value * embeddings_in_flight(stage, plan))
    amount = line.value * flying
    return Line(line.name, amount if pieces == 1 else ceil_div(amount, pieces))


def _without_frozen_head(kept: tuple[Saved, ...]) -> tuple[Saved, ...]:
    """What is saved where the head has neither a gradient nor an adapter: nothing reads its input again."""
    return tuple(saved for saved in kept if saved.role != "head")


def loss_of(share: Ledger, kept: tuple[Saved, ...], training: Training) -> LossBytes | None:
    """What a stage's loss over a vocabulary takes; None for a stage, or a model, that has none."""
    logits = _logits(share, kept, training)
    return None if logits is None else loss_bytes(training.loss_kernel, logits)


def _least_live(share: Ledger, kept: tuple[Saved, ...], training: Training) -> int | None:
    logits = _logits(share, kept, training)
    return None if logits is None else least_live_bytes(training.loss_kernel, logits)


def _logits(share: Ledger, kept: tuple[Saved, ...], training: Training) -> Logits | None:
    """The logits that a device of a stage makes of one micro-batch; None for a stage, or a model, that has none."""
    saved = next((saved for saved in kept if saved.role == "logits" and saved.cut is not None), None)
    head = next((entry for entry in share.entries if isinstance(entry, Matmul) and entry.role == "head"), None)
    if saved is None or head is None:
        return None
    one_byte_each = saved._replace(number="mask")
    numbers = activation_bytes((one_byte_each,), training.run, training.passes, training.plan).total
    tokens = activation_bytes(
        (one_byte_each._replace(width=1, cut=None, gathered=True),), training.run, training.passes, training.plan
    ).total
    number, trained = training.recipe.activations, training.rank is None
    return Logits(numbers, tokens, head.d_out, head.d_in, number, trained, training.prepared)


def states_of(share: Ledger, training: Training) -> States:
    """What is kept of the parameters: of all of them, or of adapters beside a frozen model."""
    if training.rank is None:
        return training_states(share, training.recipe, training.optimizer, training.plan)
    own = training_states(adapters(share, training.rank), training.recipe, training.optimizer, training.plan)
    return frozen_states(share, training.weights_format, training.plan) + own


def _largest_moment(
    share: Ledger, layers: tuple[Layer, ...], logits: list[Line], at_peak: int | None, training: Training
) -> tuple[list[Line], list[Line]]:
    """The logits that are kept, and what else is needed, at the larger of two moments: the loss, and one layer's backward pass.

    `at_peak`: bytes of a loss over a vocabulary, those in `logits` among them. A layer needs what is computed again, its widest gradient and the one made
    of it, what ZeRO gathers for it, and of a frozen model that is kept in few bits its largest matrix in 16.
    """
    gathered = _gathered_weights(share, layers, training)
    held = sum(line.value for line in logits)
    more = held if at_peak is None else at_peak - held
    at_loss = [Line("loss_at_its_peak", more), *gathered, *_narrow_head(share, training)]
    backward = [
        *_again(layers, training),
        Line("widest_gradient_twice", 2 * _widest(layers, training)),
        *gathered,
        *_unscattered_gradients(share, layers, training),
    ]
    if training.base is not None:
        largest = max(
            (size(entry) for entry in share.entries if isinstance(entry, Matmul) and is_linear(entry)), default=0
        )
        backward.append(Line("unpacked_matrix", 2 * largest))
    if sum(line.value for line in [*logits, *at_loss]) >= sum(line.value for line in backward):
        return logits, at_loss
    return [], backward


def _narrow_head(share: Ledger, training: Training) -> list[Line]:
    """A head in fp32, once more in the format that autocast multiplies it in, until its backward pass."""
    heads = [size(entry) for entry in share.entries if isinstance(entry, Matmul) and entry.role == "head"]
    return [Line("head_in_16_bits", 2 * number) for number in heads if training.prepared]


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
    arrays = [saved for layer in layers for saved in layer.kept if saved.number in ("activation", "residual")]
    return max((_one_array(saved, training, passes) for saved in arrays), default=0)


def _one_array(saved: Saved, training: Training, passes: Passes) -> int:
    one = saved._replace(used=1) if saved.used else saved
    return activation_bytes((one,), training.run, passes, training.plan).total


def _gathered_weights(share: Ledger, layers: tuple[Layer, ...], training: Training) -> list[Line]:
    """What ZeRO's third stage has whole at any moment.

    Tables and head stay whole from the forward pass to the backward pass, as FSDP2's root group does, and two layers are: one is
    gathered while the other is computed.
    """
    plan, format = training.plan, training.weights_format
    if plan.zero < 3:
        return []
    layer = max((_held(layer.share, plan) for layer in layers), default=0)
    whole = bytes_of(2 * layer, format.bits) + bytes_of(sum(_divided_tables(share, plan)), FORMATS[format.rest].bits)
    return [Line("gathered_weights", whole)]


def _unscattered_gradients(share: Ledger, layers: tuple[Layer, ...], training: Training) -> list[Line]:
    """The gradients of a layer, or of a table, before ZeRO divides them, from its second stage on."""
    plan = training.plan
    kept_whole = plan.zero < 2 or (plan.zero == 2 and plan.pipeline > 1)
    if kept_whole or training.rank is not None:
        return []
    layer = max((_held(layer.share, plan) for layer in layers), default=0)
    return [Line("unscattered_gradients", max(layer, *_divided_tables(share, plan), 0) * training.recipe.gradients)]


def _divided_tables(share: Ledger, plan: Parallelism) -> list[int]:
    """Numbers in each table and head that ZeRO divides: none where no other device has it, as it may be of experts alone."""
    return [] if plan.sharing == 1 else _tables(share)


def _tables(share: Ledger) -> list[int]:
    """Numbers in each table and head of a stage that is stored there."""
    tables = (entry for entry in share.entries if isinstance(entry, (Lookup, Matmul)))
    return [size(entry) for entry in tables if entry.part in ("embedding", "head") and entry.stored]


def _held(layer: Ledger, plan: Parallelism) -> int:
    """Numbers in the matrices of one layer that ZeRO divides."""
    matrices = (entry for entry in layer.entries if isinstance(entry, Matmul) and is_linear(entry))
    return sum(entry.stored * size(entry) for entry in matrices if shards(entry, plan) != 1)
