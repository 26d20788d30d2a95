"""How much memory each device needs to train a model: what is kept of its parameters, of its micro-batches, and for a moment.

A pipeline's stage keeps the activations of every micro-batch that has gone forward and not yet backward: of p stages the i-th
(from 0) has p - i of them in flight under 1F1B, and of an interleaved schedule 2·(p - i - 1) + (v - 1)·p + 1 pieces, each of
1/v of its layers (Narayanan 2021, section 2.2; for the first stage L·(1 + (p - 1)/(p·v)) layers, Korthikanti 2022, section 4.2.3);
other schedules have their own (`tscale.core.costs.schedules`).

What is needed for a moment is the largest of moments that follow one another, not their sum: the loss, with all activations
kept; and the backward pass of a layer, when the logits are gone. Gradients stand by the loss of every micro-batch but the first, so that
of a step of one micro-batch on one device they come as the activations go (`_not_yet`). The optimizer's step comes when nothing of a pass
is left, and a fused one takes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tscale.core.costs.activations import numbers_of, saved_by, saved_bytes
from tscale.core.costs.params import size
from tscale.core.costs.schedules import embeddings_in_flight, in_flight
from tscale.core.costs.states import (
    States,
    adapter_saves,
    adapters,
    dropped_inputs,
    frozen_states,
    in_backward,
    on_device,
    training_states,
)
from tscale.core.costs.training_moments import SOURCE, backward_lines, largest_moment, layer_bytes, least_moment
from tscale.core.costs.training_setup import BesideActivations, Layer, Needs, Peak, Training, counted_once
from tscale.core.ledger import Ledger, Matmul, Saved
from tscale.core.loss_kernels import KERNELS, Logits, LossBytes, least_live_bytes, loss_bytes
from tscale.core.metric import Line, Quantity
from tscale.core.roles import Role
from tscale.core.tracing import ceil_div, is_nothing, is_one, maximum, minimum, most_of, where
from tscale.core.units import BYTES

__all__ = [
    "LEAVES_OUT", "SOURCE", "Layer", "Needs", "Peak", "Training", "in_flight", "layer_bytes", "logits_of", "loss_of", "needs", "states_of",
]  # fmt: skip

LEAVES_OUT: Final = "what an optimizer that is not fused needs for its step"
"""What is no part of the needs, nor of any reserve."""


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
    one = _pass(share, kept, layers, stage, training)
    held, temporary = _moment(one, share, training, peak)
    gradients = states.gradients
    if _comes_later(training):
        beside = gradients.total - _not_yet(one, share, training, _sum(held) + _sum(temporary))
        gradients = gradients._replace(lines=(BesideActivations("gradients_beside_activations", beside),))
    source = KERNELS[training.loss_kernel].source if held and one.loss is not None else SOURCE
    return Needs(
        states.weights,
        gradients,
        states.master,
        states.optimizer,
        one.lines._replace(lines=one.activations),
        Quantity("logits", tuple(held), BYTES, source=source),
        Quantity("temporary", tuple(line for line in temporary if not is_nothing(line.value)), BYTES, source=source),
    )


def totals(
    share: Ledger,
    kept: tuple[Saved, ...],
    states: States,
    layers: tuple[Layer, ...],
    stage: int,
    training: Training,
) -> tuple[int, int]:
    """Bytes that a device of one stage needs, as an allocator reserves memory for the loss, and at the least, whatever a framework does besides."""
    one = _pass(share, kept, layers, stage, training)
    own = sum(quantity.total for quantity in states) + _sum(one.activations)
    moment = sum(map(_sum, _moment(one, share, training, "reserved")))
    return own + moment - _not_yet(one, share, training, moment), _least(
        one, share, kept, states, layers, stage, training
    )


def _least(
    one: _Pass,
    share: Ledger,
    kept: tuple[Saved, ...],
    states: States,
    layers: tuple[Layer, ...],
    stage: int,
    training: Training,
) -> int:
    """Bytes that a device of one stage needs at the least.

    Those of weights and states; and of two moments the larger: the loss or a layer's backward pass, with what fused kernels save and no
    copies, and the end, when all gradients are there. The two have them in common only where a step is several micro-batches.
    """
    if training.kernels != "fused" or training.repeats_keys or training.inputs_kept or training.adapter_dropout:
        training = training._replace(kernels="fused", repeats_keys=False, inputs_kept=False, adapter_dropout=False)
        one = _pass(share, kept, layers, stage, training)
    at_loss = 0 if one.made is None else least_live_bytes(training.loss_kernel, one.made)
    gradients, many = states_of(share, training).gradients.total, training.micro_batches
    kept_then = _sum(one.activations) + least_moment(share, one.layers, at_loss, training)
    beside = 0 if many is None else where(many == 1, 0, gradients)
    more: int = maximum(kept_then + beside - gradients, 0)
    return sum(quantity.total for quantity in states) + more


def _comes_later(training: Training) -> bool:
    """Whether a step may have no gradients before its backward pass: on one device, of a trainer that adds none up in buffers of its own.

    That is torch's, without a master copy: `zero_grad` has let those of the last step go (`set_to_none`, its default since 2.0). FSDP
    reserves them in a stream of its own, DDP and Megatron-LM keep them in buckets.
    """
    plan, precision = training.plan, training.precision
    alone = is_one(plan.devices) and not precision.master and training.micro_batches is not None
    return alone and not training.optimizer_in_backward


def _not_yet(one: _Pass, share: Ledger, training: Training, moment: int) -> int:
    """Bytes of gradients that do not stand beside the activations at their most, where a step is one micro-batch.

    Three moments follow one another: the largest of those before, without gradients; the backward pass of the last layer, with all
    activations and the gradient of the head; and that of the first, with all gradients and its own activations. `moment`: bytes that
    are needed beside the activations at the largest of those before.
    """
    if not _comes_later(training):
        return 0
    gradients = states_of(share, training).gradients.total
    kept, backward = _sum(one.activations), _sum(one.backward)
    heads = (size(entry) for entry in share.entries if isinstance(entry, Matmul) and entry.role == "head")
    head = most_of(heads) * training.precision.gradients if training.rank is None else 0  # frozen beside adapters
    first = gradients + layer_bytes(one.layers, training)
    most = most_of([kept + moment, kept + minimum(head, gradients) + backward, first + backward])
    later: int = where(training.micro_batches == 1, kept + moment + gradients - most, 0)
    return later


def _sum(lines: Iterable[Line]) -> int:
    return sum(line.value for line in lines)


class _Pass(NamedTuple):
    """What a stage keeps of its micro-batches, the loss that it computes, if it does, and the backward pass of one layer."""

    lines: Quantity
    activations: tuple[Line, ...]
    logits: list[Line]
    made: Logits | None
    loss: LossBytes | None
    layers: tuple[Layer, ...]
    backward: tuple[Line, ...]


def _pass(share: Ledger, kept: tuple[Saved, ...], layers: tuple[Layer, ...], stage: int, training: Training) -> _Pass:
    plan = training.plan
    kept = _with_adapters(_without_frozen_head(kept, training), share, training)
    if training.rank is not None:
        layers = tuple(layer._replace(kept=_with_adapters(layer.kept, layer.share, training)) for layer in layers)
    one = counted_once(_of_one, share, kept, training, training.passes, lambda: _of_one(share, kept, training))
    flying = in_flight(stage, plan, training.micro_batches)
    embeddings = embeddings_in_flight(stage, plan, training.micro_batches)
    logits, others = list[Line](), list[Line]()
    for line, saved in zip(one.lines.lines, one.saved, strict=True):
        (logits if saved.role == "logits" else others).append(_of_all_passes(line, saved, flying, embeddings))
    activations = tuple(others)
    if "activations" in training.offload:
        activations = tuple(_left_on_device(activations, one.saved, layers, training))
    loss = None if one.logits is None else loss_bytes(training.loss_kernel, one.logits)
    if loss is not None:
        logits = [Line("head.logits", loss.kept)]
    backward = tuple(backward_lines(share, layers, training))
    return _Pass(one.lines, activations, logits, one.logits, loss, layers, backward)


class _OfOne(NamedTuple):
    """What a device keeps of one micro-batch, in bytes, and the logits that it makes of it."""

    saved: tuple[Saved, ...]
    lines: Quantity
    logits: Logits | None


def _of_one(share: Ledger, kept: tuple[Saved, ...], training: Training) -> _OfOne:
    saved = tuple(saved_by(kept, training.passes))
    lines = saved_bytes(saved, training.run, training.passes, training.plan)
    return _OfOne(saved, lines, logits_of(share, kept, training))


def _moment(one: _Pass, share: Ledger, training: Training, peak: Peak) -> tuple[list[Line], list[Line]]:
    """The logits that are kept, and what else is needed for a moment, at a peak that is counted in one way."""
    at_peak = _at_peak(one.made, one.loss, peak)
    return largest_moment(share, one.layers, one.logits, at_peak, one.backward, training, peak)


def _left_on_device(
    lines: tuple[Line, ...], saved: tuple[Saved, ...], layers: tuple[Layer, ...], training: Training
) -> Iterator[Line]:
    """What is left of activations where layers' go to the host: those outside of layers, and one layer's on their way."""
    others = [one for one in saved if one.role != "logits"]
    for line, one in zip(lines, others, strict=True):
        yield line if one.part in ("embedding", "head") else Line(line.name, 0)
    yield Line("layer_on_its_way", layer_bytes(layers, training))


def _of_all_passes(line: Line, of: Saved, in_flight: tuple[int, int], embeddings: int) -> Line:
    """What a stage keeps of all micro-batches that it has in flight, by what it keeps of one."""
    if of.part == "head":  # the last stage's backward pass follows at once
        return line
    if of.part == "embedding" or of.block.stack == "tower":  # towers run where tokens become vectors
        return Line(line.name, line.value * embeddings)
    flying, pieces = in_flight
    return Line(line.name, ceil_div(line.value * flying, pieces))


def _without_frozen_head(kept: tuple[Saved, ...], training: Training) -> tuple[Saved, ...]:
    """What is saved where the head has neither a gradient nor an adapter: nothing reads its input again."""
    return kept if training.rank is None else tuple(saved for saved in kept if saved.role != "head")


def _with_adapters(kept: tuple[Saved, ...], share: Ledger, training: Training) -> tuple[Saved, ...]:
    """What is saved where a frozen model has adapters: the inputs that these ask for, and what lies between their two matrices.

    Gains are frozen, so that a norm in steps keeps its input in fp32 alone, and nothing that is normalised.
    """
    if training.rank is None:
        return kept
    if training.kernels != "fused":
        kept = tuple(saved for saved in kept if saved.read_by != ("norm",))
    targets = training.lora_targets
    own = adapter_saves(share, training.rank, targets)
    if training.adapter_dropout:  # adapters read what dropout left, which is kept in place of the inputs themselves
        own, targets = (*own, *dropped_inputs(share, targets)), frozenset()
    return (kept if training.inputs_kept else _asked_for(kept, targets)) + own


def _asked_for(kept: tuple[Saved, ...], targets: frozenset[Role] | None) -> tuple[Saved, ...]:
    """What is saved where only some matrices have adapters: no gradient asks for the inputs of the others."""
    if targets is None:
        return kept
    asking = targets | {"norm"}  # what norms in one kernel keep, their inputs' gradients ask for, too
    return tuple(saved for saved in kept if not saved.read_by or asking.intersection(saved.read_by))


def loss_of(share: Ledger, kept: tuple[Saved, ...], training: Training) -> LossBytes | None:
    """What a stage's loss over a vocabulary takes; None for a stage, or a model, that has none."""
    logits = logits_of(share, kept, training)
    return None if logits is None else loss_bytes(training.loss_kernel, logits)


def _at_peak(logits: Logits | None, taken: LossBytes | None, peak: Peak) -> int | None:
    """Bytes of a loss over a vocabulary at its peak; None where there is none."""
    if logits is None or taken is None:
        return None
    return taken.reserved if peak == "reserved" else taken.live


def logits_of(share: Ledger, kept: tuple[Saved, ...], training: Training) -> Logits | None:
    """The logits that a device of a stage makes of one micro-batch; None for a stage, or a model, that has none."""
    saved = next((saved for saved in kept if saved.role == "logits" and saved.cut is not None), None)
    head = next((entry for entry in share.entries if isinstance(entry, Matmul) and entry.role == "head"), None)
    if saved is None or head is None:
        return None
    passes, plan = training.passes, training.plan
    numbers = numbers_of(saved, training.run, passes, plan)
    tokens = numbers_of(saved._replace(width=1, cut=None, gathered=True), training.run, passes, plan)
    number, trained = training.precision.activations, training.rank is None
    return Logits(numbers, tokens, head.d_out, head.d_in, number, trained, training.prepared)


def states_of(share: Ledger, training: Training) -> States:
    """What a device keeps of the parameters: of all of them, or of adapters beside a frozen model."""
    trained = share if training.rank is None else adapters(share, training.rank, training.lora_targets)
    own = training_states(trained, training.precision, training.optimizer, training.plan, training.micro_batches)
    if training.optimizer_in_backward:
        own = in_backward(own, trained, training.precision, training.plan)
    if training.rank is not None:
        own = frozen_states(share, training.weights_format, training.plan) + own
    return on_device(own, training.offload)
