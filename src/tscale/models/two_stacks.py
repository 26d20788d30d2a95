"""The stages of an encoder-decoder: those of its encoder first, then those of its decoder, as Megatron-LM splits its T5.

No stage has layers of both. Each stack's first stage has its embedding, a copy where both read one table; all stages of the
decoder get what the encoder gave, pass it on, and keep it for the cross-attention of their layers (`get_tensor_shapes`,
`pipeline_model_parallel_split_rank` of Megatron-LM core 0.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tscale.core.ledger import Entry, Group, Ledger, Lookup, Matmul, Stack, Vector
from tscale.core.parallelism import Parallelism
from tscale.core.partition import Stretch, given_stretches, stage_of_counts, stretches
from tscale.errors import RequestError, field
from tscale.models.spec import ModelSpec


class Part(NamedTuple):
    """The layers of a stage, and of which stack; whether it has the first or the last of that stack."""

    stack: Stack
    own: Stretch
    first: bool
    last: bool


def parts_of(spec: ModelSpec, plan: Parallelism) -> tuple[Part, ...]:
    """The part of each stage. Raises `RequestError` where stages have no such parts."""
    check_two_stacks(spec, plan)
    encoder, decoder = int(spec.encoder_layers()), int(spec.layers)
    if plan.stages is None:
        first = min(max(round(plan.pipeline * encoder / (encoder + decoder)), 1), plan.pipeline - 1)
        sizes = (stretches(encoder, first), stretches(decoder, plan.pipeline - first))
    else:
        first = _split(spec, plan.stages)
        sizes = (given_stretches(plan.stages[:first]), given_stretches(plan.stages[first:]))
    names: tuple[Stack, Stack] = ("encoder", "decoder")
    return tuple(
        Part(name, own, place == 0, place == len(those) - 1)
        for name, those in zip(names, sizes, strict=True)
        for place, own in enumerate(those)
    )


def check_two_stacks(spec: ModelSpec, plan: Parallelism) -> None:
    """Raises `RequestError` for an order of micro-batches, or for more stages, than two stacks can have."""
    encoder, decoder = int(spec.encoder_layers()), int(spec.layers)
    if plan.interleave > 1 or plan.order != "1f1b":
        raise RequestError(
            f"the stages of {spec.name}'s two stacks are known in the order of 1F1B, one piece each: drop {field('interleave')} "
            f"and {field('schedule')}"
        )
    if plan.stages is None and plan.pipeline > min(encoder, decoder) * 2:
        raise RequestError(
            f"{spec.name}'s stacks of {encoder} and {decoder} layers have no {plan.pipeline} stages: use at most "
            f"{min(encoder, decoder) * 2}"
        )


def _split(spec: ModelSpec, sizes: tuple[int, ...]) -> int:
    """How many of the stages that are asked for have the encoder. Raises `RequestError` where one would have layers of both."""
    encoder, decoder = int(spec.encoder_layers()), int(spec.layers)
    found = next((count for count in range(len(sizes)) if sum(sizes[:count]) == encoder), None)
    if found is None or sum(sizes) != encoder + decoder or 0 in sizes:
        raise RequestError(
            f"{field('stages')} gives no stage layers of both stacks: let the first come to {encoder} layers of {spec.name}'s "
            f"encoder, the others to {decoder} of its decoder"
        )
    return found


def stages_of_two(spec: ModelSpec, plan: Parallelism, whole: Ledger) -> Iterator[Ledger]:
    """The ledger of each stage, the first one first."""
    parts = parts_of(spec, plan)
    for place, part in enumerate(parts):
        groups = tuple(_groups(spec, whole, part, ends=place == len(parts) - 1))
        yield Ledger(f"{spec.name}, stage {place + 1} of {plan.pipeline}", groups, whole.audio_frames)


def _groups(spec: ModelSpec, whole: Ledger, part: Part, *, ends: bool) -> Iterator[Group]:
    """What a stage has; `ends`: whether the head is there."""
    for group in whole.groups:
        if group.stack == "none" and group.where == "start":
            if group.entries:
                yield from _embedding(spec, group, part)
            elif _is_here(group, part):
                yield group
        elif group.stack == "none":
            # beside the first layers of its stack is the table that the head may be
            alone = Ledger(whole.model, (group,))
            yield from stage_of_counts(alone, (None,), first=part.first, last=True).groups if ends else ()
        elif group.stack == part.stack:
            counts = None if isinstance(group.where, str) else part.own.count(group) or None
            alone = Ledger(whole.model, (group,))
            yield from stage_of_counts(alone, (counts,), first=part.first, last=part.last).groups


def _embedding(spec: ModelSpec, group: Group, part: Part) -> Iterator[Group]:
    """The tables of a stack, on its first stage: of two that were counted together, one; a stack that reads sounds has none."""
    reads_sounds = part.stack == "encoder" and spec.encoder is not None and spec.encoder.mel_bins is not None
    if part.first and not reads_sounds:
        yield group._replace(entries=tuple(map(_alone, group.entries)))


def _alone(entry: Entry) -> Entry:
    return entry._replace(stored=1) if isinstance(entry, (Lookup, Vector, Matmul)) and entry.stored else entry


def _is_here(group: Group, part: Part) -> bool:
    """Whether a stage keeps what is saved before a stack: of its embedding, or what the encoder gave, on each of the decoder's."""
    stream = "source" if part.stack == "encoder" else "target"
    if all(saved.part == "embedding" for saved in group.saved):
        return part.first and all(saved.stream == stream for saved in group.saved)
    return part.stack == "decoder"
