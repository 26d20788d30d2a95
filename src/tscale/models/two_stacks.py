"""The stages of an encoder-decoder: those of its encoder first, then those of its decoder, as Megatron-LM splits its T5.

No stage has layers of both. Each stack's first stage has its embedding, a copy where both read one table; all stages of the
decoder get what the encoder gave, pass it on, and keep it for the cross-attention of their layers (`get_tensor_shapes`
of its schedules, as long as it split a pipeline at a rank).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    if plan.schedule not in (None, "1f1b"):
        raise RequestError(
            f"the stages of {spec.name}'s two stacks are known in the order of 1F1B: drop {field('schedule')}"
        )
    if plan.interleave > 1:
        raise RequestError(
            f"the stages of {spec.name}'s two stacks are known in one piece each: drop {field('interleave')}"
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
    for place, part in enumerate(parts_of(spec, plan)):
        ends = place == plan.pipeline - 1
        one = stage_of_part(
            spec, whole, part.stack, counts_of(whole, part), first=part.first, last=part.last, ends=ends
        )
        yield Ledger(f"{spec.name}, stage {place + 1} of {plan.pipeline}", one.groups, whole.audio_frames)


def counts_of(whole: Ledger, part: Part) -> tuple[int | None, ...]:
    """How many layers a part has of each group of a model; None where it has none, and of what is in no layer."""
    return tuple(
        None if isinstance(group.where, str) or group.stack != part.stack else part.own.count(group) or None
        for group in whole.groups
    )


def stage_of_part(
    spec: ModelSpec,
    whole: Ledger,
    stack: Stack,
    counts: Sequence[int | None],
    *,
    first: bool,
    last: bool,
    ends: bool,
) -> Ledger:
    """What a stage has that has so many layers of each group of one stack, which may be arrays.

    `first`, `last`: whether it has the first or the last layer of the stack; `ends`: whether the head is there.
    """
    groups: list[Group] = []
    for group, count in zip(whole.groups, counts, strict=True):
        alone = Ledger(whole.model, (group,))
        if group.stack == "none" and group.where == "start":
            groups += _before(spec, group, stack, first=first)
        elif group.stack == "none" and ends:
            groups += stage_of_counts(alone, (None,), first=first, last=True).groups
        elif group.stack == stack:
            groups += stage_of_counts(alone, (count,), first=first, last=last).groups
    return Ledger(whole.model, tuple(groups), whole.audio_frames)


def _before(spec: ModelSpec, group: Group, stack: Stack, *, first: bool) -> Iterator[Group]:
    """What stands before the stacks: tables, and what is saved there."""
    if not group.entries:
        if _is_kept(group, stack, first=first):
            yield group
        return
    reads_sounds = stack == "encoder" and spec.encoder is not None and spec.encoder.mel_bins is not None
    if first and not reads_sounds:  # of two tables that were counted together, one
        yield group._replace(entries=tuple(map(_alone, group.entries)))


def _alone(entry: Entry) -> Entry:
    return entry._replace(stored=1) if isinstance(entry, (Lookup, Vector, Matmul)) and entry.stored else entry


def _is_kept(group: Group, stack: Stack, *, first: bool) -> bool:
    """Whether a stage keeps what is saved before the stacks: of its embedding, or what the encoder gave, on each of the decoder's."""
    stream = "source" if stack == "encoder" else "target"
    if all(saved.part == "embedding" for saved in group.saved):
        return first and all(saved.stream == stream for saved in group.saved)
    return stack == "decoder"
