"""What training needs for a moment: at the loss, and in the backward pass of a layer, whichever is more.

Where FSDP2 spreads a model, an allocator shows more than is live: gathers are made in a stream of their own, whose memory serves no
other, and so are the shards of gradients. Where tensors are cut and what lies between them is cut along the sequence, a product still
reads all of its input: DTensor keeps it whole until the layer's backward pass, with the gradient of its output (recorded in
tests/oracle/policies.jsonl); Megatron-LM gathers it again, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.core.costs.activations import Passes, activation_bytes, keeping, widest_bytes
from tscale.core.costs.params import size
from tscale.core.costs.states import shards
from tscale.core.costs.training_setup import Layer, Peak, Training, counted_once
from tscale.core.costs.weights import is_linear
from tscale.core.dtypes import DTYPES, bytes_of
from tscale.core.ledger import ALWAYS, Ledger, Lookup, Matmul, Number
from tscale.core.metric import Line
from tscale.core.parallelism import Parallelism
from tscale.core.tracing import is_never, is_one, maximum, most_of, where

SOURCE: Final = "korthikanti2022 section 4"

WHOLE_BY_DTENSOR: Final = 3
"""Arrays of the whole width that DTensor has at once in a layer's backward pass: the inputs of both sub-layers, and a gradient."""
WHOLE_BY_MEGATRON: Final = 2
"""An input that is gathered again, and its gradient before it is scattered (Korthikanti 2022, section 4.2.2)."""


def largest_moment(
    share: Ledger,
    layers: tuple[Layer, ...],
    logits: list[Line],
    at_peak: int | None,
    of_layer: tuple[Line, ...],
    training: Training,
    peak: Peak,
) -> tuple[list[Line], list[Line]]:
    """The logits that are kept, and what else is needed, at the larger of two moments: the loss, and one layer's backward pass.

    `at_peak`: bytes of a loss over a vocabulary, those in `logits` among them. `of_layer`: `backward_lines`.
    """
    held = sum(line.value for line in logits)
    more = held if at_peak is None else at_peak - held
    both = [*_pipeline_buffers(layers, training)]
    if peak == "reserved":
        both += _other_streams(share, layers, training)
    at_loss = [
        Line("loss_at_its_peak", more),
        *_gathered_weights(share, layers, training),
        *_narrow_head(share, training),
        *(_whole_head_input(layers, training, peak) if logits else ()),
        *both,
    ]
    backward = [*of_layer, *both]
    loss_is_more = sum(line.value for line in [*logits, *at_loss]) >= sum(line.value for line in backward)
    if isinstance(loss_is_more, bool):
        return (logits, at_loss) if loss_is_more else ([], backward)
    held_then = [Line(line.name, where(loss_is_more, line.value, 0)) for line in logits]
    needed = [Line(line.name, where(loss_is_more, line.value, 0)) for line in at_loss]
    return held_then, needed + [Line(line.name, where(loss_is_more, 0, line.value)) for line in backward]


def least_moment(share: Ledger, layers: tuple[Layer, ...], at_loss: int, training: Training) -> int:
    """Bytes that are needed beside what is kept at the larger of two moments, whatever a framework does: the loss, and a layer's backward pass.

    Of what ZeRO divides one matrix is whole, and of gradients of activations the widest is there. `at_loss`: bytes of the loss at the least.
    """
    of_layer = sum(line.value for line in _again(layers, training)) + _widest(layers, training)
    return maximum(at_loss, of_layer) + _largest_divided(share, training)


def _largest_divided(share: Ledger, training: Training) -> int:
    """Bytes of the largest matrix that ZeRO's third stage divides, in the weights' format."""
    plan = training.plan
    if is_never(plan.zero == 3):
        return 0
    matrices = (entry for entry in share.entries if isinstance(entry, Matmul) and is_linear(entry))
    largest = most_of(where((shards(one, plan) == 1) | (one.stored == 0), 0, size(one)) for one in matrices)
    needed: int = where(plan.zero == 3, bytes_of(largest, training.weights_format.bits), 0)
    return needed


def backward_lines(share: Ledger, layers: tuple[Layer, ...], training: Training) -> Iterator[Line]:
    """What the backward pass of one layer needs.

    What is computed again, its widest gradient and the one made of it, what ZeRO gathers for it, and of a frozen model that is kept in
    few bits its largest matrix in 16.
    """
    yield from _again(layers, training)
    yield Line("widest_gradient_twice", 2 * _widest(layers, training))
    yield from _whole_inputs(layers, training)
    yield from _gathered_weights(share, layers, training)
    yield from _unscattered_gradients(share, layers, training)
    if training.base is not None:
        largest = most_of(size(entry) for entry in share.entries if isinstance(entry, Matmul) and is_linear(entry))
        yield Line("unpacked_matrix", 2 * largest)


def _stream(layers: tuple[Layer, ...], training: Training, *, whole: bool) -> int:
    """Bytes of the residual stream of one micro-batch, as a device has it or `whole` along the sequence."""
    passes = training.passes
    of_layers = (_stream_of(layer, training, passes, whole=whole) for layer in layers)
    return next((number for number in of_layers if number is not None), 0)


def _stream_of(layer: Layer, training: Training, passes: Passes, *, whole: bool) -> int | None:
    """The same of one layer; None where it has none."""

    def count() -> int | None:
        for saved in layer.kept:
            if saved.number == "residual" and saved.keeping == ("full",):
                one = saved._replace(keeping=ALWAYS, number="activation", gathered=whole, used=1)
                return activation_bytes((one,), training.run, passes, training.plan).total
        return None

    return counted_once((_stream, whole), layer.share, layer.kept, training, passes, count)


def _whole_inputs(layers: tuple[Layer, ...], training: Training) -> Iterator[Line]:
    """What products read whole where the rest is cut along the sequence."""
    if not is_never(training.plan.sequence) and not is_one(training.plan.tensor):
        arrays = WHOLE_BY_DTENSOR if training.fsdp else WHOLE_BY_MEGATRON
        size = arrays * _stream(layers, training, whole=True)
        yield Line("whole_inputs", where(training.plan.sequence, size, 0))


def _whole_head_input(layers: tuple[Layer, ...], training: Training, peak: Peak) -> Iterator[Line]:
    """The head's input as DTensor keeps it; an allocator has room of the same size that what it was joined from left."""
    if training.fsdp and not is_never(training.plan.sequence) and not is_one(training.plan.tensor):
        arrays = 2 if peak == "reserved" else 1
        size = arrays * _stream(layers, training, whole=True)
        yield Line("whole_head_input", where(training.plan.sequence, size, 0))


def _pipeline_buffers(layers: tuple[Layer, ...], training: Training) -> Iterator[Line]:
    """What torch's pipelines hold of every micro-batch of a step until its end: the output of each piece, and room for its gradient.

    Where the step's sequences are not said, there are taken to be as many micro-batches as pieces of the model, the fewest that keep
    every stage busy.
    """
    plan, many = training.plan, training.micro_batches
    if not is_one(plan.pipeline) and training.fsdp:
        arrays = 2 * plan.interleave * (plan.pipeline * plan.interleave if many is None else many)
        yield Line("pipeline_buffers", arrays * _stream(layers, training, whole=False))


def _other_streams(share: Ledger, layers: tuple[Layer, ...], training: Training) -> Iterator[Line]:
    """What FSDP2's streams have reserved: the largest group's gather; and shards of gradients, where others are kept whole."""
    plan = training.plan
    if not training.fsdp:
        return
    largest = maximum(sum(_tables(share)), _largest_layer(layers, plan))
    yield Line("gather_buffer", bytes_of(largest, training.weights_format.bits))
    if not is_one(plan.pipeline) and training.rank is None:
        own = sum(size(entry) * entry.stored for entry in share.entries if isinstance(entry, (Matmul, Lookup)))
        yield Line("scattered_gradients", own * training.precision.gradients // plan.sharing)


def _narrow_head(share: Ledger, training: Training) -> list[Line]:
    """A head in fp32, once more in the format that autocast multiplies it in, until its backward pass."""
    heads = [size(entry) for entry in share.entries if isinstance(entry, Matmul) and entry.role == "head"]
    return [Line("head_in_16_bits", 2 * number) for number in heads if training.prepared]


def _again(layers: tuple[Layer, ...], training: Training) -> list[Line]:
    """The activations of one layer that are computed again just before its backward pass, of the kind with the most."""
    passes = training.passes
    if training.is_laid_out:
        return [
            Line("layer_again", most_of(of_layer(layer, training) - _under_policy(layer, training) for layer in layers))
        ]
    anew = passes._replace(keeping=keeping(training.attention, "none"))
    if passes.keeping == "full":
        return [Line("layer_again", most_of(of_layer(layer, training, anew) for layer in layers))]
    if passes.keeping == "selective":
        more = (of_layer(layer, training, anew) - of_layer(layer, training) for layer in layers)
        return [Line("scores_again", most_of(more))]
    return []


def _under_policy(layer: Layer, training: Training) -> int:
    """Bytes that a layer keeps of one micro-batch under a policy that is laid out."""
    return activation_bytes(layer.again, training.run, training.passes, training.plan).total


def layer_bytes(layers: tuple[Layer, ...], training: Training) -> int:
    """Bytes that one layer of a stage keeps of one micro-batch; of several kinds of layer, one that keeps the most."""
    if training.recompute == "op" and (training.again is None or not training.again.of_some):
        return most_of(_under_policy(layer, training) for layer in layers)
    return most_of(of_layer(layer, training) for layer in layers)


def of_layer(layer: Layer, training: Training, passes: Passes | None = None) -> int:
    """Bytes that a layer keeps of one micro-batch, by how it is kept."""
    how = passes or training.passes

    def count() -> int:
        return activation_bytes(layer.kept, training.run, how, training.plan).total

    return counted_once(of_layer, layer.share, layer.kept, training, how, count)


_OF_ACTIVATIONS: Final = frozenset[Number]({"activation", "residual", "product"})


def _widest(layers: tuple[Layer, ...], training: Training) -> int:
    """Bytes of the largest single array of activations in a layer, scores of attention in steps included."""
    passes = training.passes._replace(keeping=keeping(training.attention, "none"))
    return most_of(_widest_of(layer, training, passes) for layer in layers)


def _widest_of(layer: Layer, training: Training, passes: Passes) -> int:
    def count() -> int:
        arrays = (saved for saved in layer.kept if saved.number in _OF_ACTIVATIONS)
        return widest_bytes(arrays, training.run, passes, training.plan)

    return counted_once(_widest_of, layer.share, layer.kept, training, passes, count)


def _gathered_weights(share: Ledger, layers: tuple[Layer, ...], training: Training) -> list[Line]:
    """What ZeRO's third stage has whole at any moment, or what is sent from the host.

    Tables and head stay whole from the forward pass to the backward pass, as FSDP2's root group does, and two layers are: one is
    gathered while the other is computed.
    """
    plan, format = training.plan, training.weights_format
    away = "weights" in training.offload
    if is_never(plan.shards_weights) and not away:
        return []
    layer = most_of(_matrices(layer.share) for layer in layers) if away else _largest_layer(layers, plan)
    tables = _tables(share) if away else _divided_tables(share, plan)
    whole = bytes_of(2 * layer, format.bits) + bytes_of(sum(tables), DTYPES[format.rest].bits)
    return [Line("gathered_weights", whole if away else where(plan.shards_weights, whole, 0))]


def _largest_layer(layers: tuple[Layer, ...], plan: Parallelism) -> int:
    """Numbers in the matrices of the largest layer that are gathered for it."""
    return most_of(_held(layer.share, plan) for layer in layers)


def _matrices(layer: Ledger) -> int:
    """Numbers in the matrices of one layer."""
    return sum(entry.stored * size(entry) for entry in layer.entries if isinstance(entry, Matmul) and is_linear(entry))


def _unscattered_gradients(share: Ledger, layers: tuple[Layer, ...], training: Training) -> list[Line]:
    """The gradients of a layer, or of a table, before ZeRO divides them, from its second stage on, or before the host has them.

    FSDP2 has them in 16 bits, and a layer's once more in the format that they are summed in; those of the tables and the head wait
    for one another. A pipeline's stage keeps its sums whole in any case, and a layer's in 16 bits before they are added. Where the host
    keeps weights and states of a model that nothing divides, a layer's gradient is on its way there, or a table's.
    """
    plan, tables = training.plan, _divided_tables(share, training.plan)
    if {"weights", "states"} <= training.offload and is_one(plan.sharing) and training.rank is None:
        layer = most_of([*(_matrices(layer.share) for layer in layers), *_tables(share)])
        return [Line("unscattered_gradients", layer * training.precision.gradients)]
    scattered = plan.zero >= (2 if is_one(plan.pipeline) or training.fsdp else 3)
    if is_never(scattered) or training.rank is not None:
        return []
    layer = _largest_layer(layers, plan)
    if not training.fsdp:
        return [
            Line("unscattered_gradients", where(scattered, most_of([layer, *tables]) * training.precision.gradients, 0))
        ]
    in_pipeline = plan.zero == 2 and not is_one(plan.pipeline)
    narrow = DTYPES[training.precision.weights].bits
    if in_pipeline:
        return [Line("unscattered_gradients", bytes_of(layer, narrow))]
    return [Line("unscattered_gradients", bytes_of(layer + sum(tables), narrow) + layer * training.precision.gradients)]


def _divided_tables(share: Ledger, plan: Parallelism) -> list[int]:
    """Numbers in each table and head that ZeRO divides: none where no other device has it, as it may be of experts alone."""
    return [] if is_one(plan.sharing) else _tables(share)


def _tables(share: Ledger) -> list[int]:
    """Numbers in each table and head of a stage that is stored there."""
    tables = (entry for entry in share.entries if isinstance(entry, (Lookup, Matmul)))
    return [size(entry) for entry in tables if entry.part in ("embedding", "head") and entry.stored]


def _held(layer: Ledger, plan: Parallelism) -> int:
    """Numbers in the matrices of one layer that ZeRO divides."""
    matrices = (entry for entry in layer.entries if isinstance(entry, Matmul) and is_linear(entry))
    return sum(where(shards(entry, plan) == 1, 0, entry.stored * size(entry)) for entry in matrices)
