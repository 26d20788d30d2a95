"""The stages of a pipeline, and the kinds of layer that each of them holds.

Layers are told apart at the places where a block begins or ends, and over one period of what repeats, so that the work does
not grow with depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tscale.blocks.fields import telling_layers
from tscale.core.kept import check_once, keep
from tscale.core.ledger import Ledger, Stack
from tscale.core.parallelism import MOST_PIECES, MOST_STAGES, Parallelism
from tscale.core.partition import Stretch, given_stretches, interleaved_sizes, one_layer, stage, stretches
from tscale.core.recompute import Again
from tscale.core.sharding import check_expert, check_experts, check_tensor, is_mixture
from tscale.errors import RequestError, field
from tscale.models.lenders import has_borrowers, kept_together
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

if TYPE_CHECKING:
    from tscale.blocks import Mixer


def stages(spec: ModelSpec, plan: Parallelism, whole: Ledger | None = None) -> tuple[Ledger, ...]:
    """The ledger of each pipeline stage, the first one first; the model's own where there is one stage.

    A stage has `plan.interleave` pieces of the stack: of p stages, the i-th, the (i+p)-th, and so on (Narayanan 2021,
    section 2.2). Under DualPipe, where micro-batches come in from both ends, a device has the i-th stage and the i-th from the
    end. What several layers share, a block or a table that is the head too, each stage that needs it has a copy of, as Megatron-LM has
    it of tied embeddings. `whole`: the model's ledger, where it is at hand. Raises `RequestError` where there are fewer layers than
    pieces, or layers read what another stage has and does not send.
    """
    whole = lower(spec) if whole is None else whole
    cuts = plan.cuts
    if cuts is None:
        _check(spec, plan, whole)
        return _made_stages(spec, plan, whole)
    check_once(whole.made, (_check, cuts), lambda: _check(spec, plan, whole))
    pieces = cuts.pipeline, cuts.interleave, cuts.stages, cuts.order  # other degrees change no stage
    return keep(whole.made, (stages, pieces), lambda: _made_stages(spec, plan, whole))


def _check(spec: ModelSpec, plan: Parallelism, whole: Ledger) -> None:
    """Raises `RequestError` where a model has no such stages."""
    check_expert(whole, plan)
    check_tensor(whole, plan)
    if is_mixture(whole):
        check_experts(whole, plan)
    check_sizes(spec, plan)
    if plan.pipeline > 1:
        check_stages(spec, plan)


def _made_stages(spec: ModelSpec, plan: Parallelism, whole: Ledger) -> tuple[Ledger, ...]:
    if plan.pipeline == 1:
        return (whole,)
    if spec.kind == "encoder-decoder":
        from tscale.models.two_stacks import stages_of_two

        return tuple(stages_of_two(spec, plan, whole))
    return tuple(
        stage(whole, pieces, f"{spec.name}, stage {place} of {plan.pipeline}", first=first, last=last)
        for place, (pieces, first, last) in enumerate(with_ends(spec, plan), start=1)
    )


def with_ends(spec: ModelSpec, plan: Parallelism) -> Iterator[tuple[tuple[Stretch, ...], bool, bool]]:
    """The layers of each stage, and whether it is at the first end and at the last: of DualPipe's two directions, both ends are both."""
    last, both = plan.pipeline - 1, plan.order == "dualpipe"
    for place, pieces in enumerate(pieces_of(spec, plan)):
        yield pieces, place == 0 or (both and place == last), place == last or (both and place == 0)


def recomputed_stages(
    spec: ModelSpec, plan: Parallelism, again: Again, whole: Ledger
) -> tuple[tuple[Ledger, Ledger], ...]:
    """Of each stage its layers that a policy is about, and all the rest of it.

    Raises `RequestError` for a model of two stacks, and for layers that there are none of.
    """
    if spec.kind == "encoder-decoder":
        raise RequestError(
            f"{spec.name} has two stacks, of which {field('recompute')} can name no layers: give the policy alone"
        )
    depth = int(spec.layers)
    if again.layers is not None and again.layers and max(again.layers) >= depth:
        raise RequestError(f"{spec.name} has layers 0 to {depth - 1}: {field('recompute')} names {max(again.layers)}")
    return tuple(_split(whole, pieces, again, first=first, last=last) for pieces, first, last in with_ends(spec, plan))


def _split(
    whole: Ledger, pieces: tuple[Stretch, ...], again: Again, *, first: bool, last: bool
) -> tuple[Ledger, Ledger]:
    """A stage in two: the layers that are computed again, and the others with what stands outside of layers."""
    chosen, others = _chosen(pieces, again)
    return (
        stage(whole, chosen, whole.model, first=False, last=False),
        stage(whole, others, whole.model, first=first, last=last),
    )


def _chosen(pieces: tuple[Stretch, ...], again: Again) -> tuple[list[Stretch], list[Stretch]]:
    """The layers of pieces that a policy is about, and the others; layers are never listed, for there may be 10^12."""
    chosen: list[Stretch] = []
    others: list[Stretch] = []
    left = again.first or 0
    for piece in pieces:
        start, end = int(piece.start), int(piece.start) + int(piece.size)
        if again.layers is None:
            taken = min(left, end - start)
            left -= taken
            named = [Stretch(start, taken)] if taken else []
        else:
            named = [Stretch(layer, 1) for layer in again.layers if start <= layer < end]
        chosen += named
        for one in (*named, Stretch(end, 0)):
            if one.start > start:
                others.append(Stretch(start, one.start - start))
            start = one.start + one.size
    return chosen, others


def kinds_of_layers(spec: ModelSpec, whole: Ledger, plan: Parallelism) -> tuple[tuple[Ledger, ...], ...]:
    """For each pipeline stage one layer of each kind that it holds; of two stacks, of both."""
    if spec.kind == "encoder-decoder" and plan.pipeline > 1:
        from tscale.models.two_stacks import parts_of

        return tuple(tuple(_kinds(spec, whole, part.stack, (part.own,))) for part in parts_of(spec, plan))
    if spec.kind == "encoder-decoder":
        encoder = _kinds(spec, whole, "encoder", (Stretch(0, spec.encoder_layers()),))
        return ((*encoder, *_kinds(spec, whole, "decoder", (Stretch(0, spec.layers),))),)
    stack: Stack = "decoder" if spec.kind == "decoder" else "encoder"
    return tuple(tuple(_kinds(spec, whole, stack, pieces)) for pieces in pieces_of(spec, plan))


def pieces_of(spec: ModelSpec, plan: Parallelism) -> Iterator[tuple[Stretch, ...]]:
    """The pieces of the stack that each stage has."""
    every = _stretches(spec, plan)
    for place in range(plan.pipeline):
        own = every[place :: plan.pipeline]
        yield (*own, every[plan.pipeline - 1 - place]) if plan.order == "dualpipe" else own


def even_rounds(spec: ModelSpec, plan: Parallelism) -> bool:
    """Whether each round of pieces is as deep on its deepest stage as every other.

    Megatron-LM runs any pieces (its pipeline_model_parallel_layout). Where rounds differ, stages that are already at shallow pieces wait for
    those still at deep ones, which no prediction counts: 4 to 8% of a step, of eight and sixteen stages.
    """
    if plan.pipeline == 1 or plan.interleave == 1:
        return True
    rounds = zip(*pieces_of(spec, plan), strict=True)
    return len({max(int(piece.size) for piece in pieces) for pieces in rounds}) == 1


def _stretches(spec: ModelSpec, plan: Parallelism) -> tuple[Stretch, ...]:
    """The pieces of the stack, in its order: of the sizes that the plan says, or as even as can be."""
    pieces = plan.pipeline * plan.interleave
    if plan.stages is None:
        found = stretches(spec.layers, pieces, ends=plan.interleave > 1, modules=spec.mtp or 0)
    else:
        sizes = plan.stages if len(plan.stages) == pieces else interleaved_sizes(plan.stages, plan.interleave)
        found = given_stretches(sizes)
    return (
        found if pieces == 1 or not has_borrowers(spec) else kept_together(spec, found, asked=plan.stages is not None)
    )


def _kinds(spec: ModelSpec, whole: Ledger, stack: Stack, pieces: tuple[Stretch, ...]) -> Iterator[Ledger]:
    ons = [block.on for block in (*spec.mixers, *spec.feed_forwards) if block.on is not None]
    seen = set()
    for piece in pieces:
        start, end = int(piece.start), int(piece.start) + int(piece.size)
        for layer in (*telling_layers(ons, start, end), *_behind_first(spec, start, end)):
            alone = one_layer(whole, stack, layer)
            kind = tuple(id(group.entries) for group in alone.groups)
            if kind not in seen:
                seen.add(kind)
                yield alone


def _behind_first(spec: ModelSpec, start: int, end: int) -> Iterator[int]:
    """The layer behind the first, where that has no norm before its attention."""
    if spec.norm.skips_first and start <= 1 < end:
        yield 1


def check_sizes(spec: ModelSpec, plan: Parallelism) -> None:
    """Raises `RequestError` where the layers that a plan gives its stages are not those of the model."""
    if plan.stages is None or sum(plan.stages) == spec.layers or spec.kind == "encoder-decoder":
        return
    pieces = plan.pipeline * plan.interleave
    advice = f"or leave {field('stages')} out"
    if pieces <= min(spec.layers, _MOST_SHOWN):
        advice = f"such as {','.join(str(one.size) for one in stretches(spec.layers, pieces, modules=spec.mtp or 0))}"
    raise RequestError(
        f"{field('stages')} has {sum(plan.stages)} layers, and {spec.name} has {spec.layers}: let them add up to that, {advice}"
    )


_MOST_SHOWN: Final = 64
"""Sizes of stages that a message lists."""


def _has_bare_ends(spec: ModelSpec, plan: Parallelism) -> bool:
    """Whether the embedding and the head can be pieces of their own, among pieces of one layer each."""
    return plan.interleave > 1 and spec.layers + 2 == plan.pipeline * plan.interleave


def _borrows_latents(mixer: Mixer) -> bool:
    """Whether a block reads a latent of keys that an earlier layer has."""
    return mixer.kind == "latent" and mixer.borrows_latent


def _check_apart(spec: ModelSpec) -> None:
    """Raises `RequestError` where a layer reads what another stage may have."""
    if spec.unique_layers is not None and spec.unique_layers > 1:
        raise RequestError(
            f"{spec.name} has {spec.unique_layers} layers that stand in several places, and tscale does not know which of them a "
            f"stage has: use {field('pipeline', 1)}"
        )
    if spec.layer_input is not None:
        raise RequestError(
            f"{spec.name}'s layers look up an input of their own in one table: use {field('pipeline', 1)}"
        )
    if spec.streams is not None:
        raise RequestError(
            f"{spec.name} has {spec.streams.count} residual streams, and how stages send these is not known: use {field('pipeline', 1)}"
        )
    if any(_borrows_latents(mixer) for mixer in spec.mixers):
        raise RequestError(
            f"{spec.name}'s last layers borrow latents, which another stage may have: use {field('pipeline', 1)}"
        )


def check_stages(spec: ModelSpec, plan: Parallelism) -> None:
    """Raises `RequestError` for a model that has no such stages: fewer layers than pieces, or layers that read what others have."""
    if spec.kind == "encoder-decoder" and spec.streams is None:
        from tscale.models.two_stacks import parts_of

        parts_of(spec, plan)
        return
    _check_apart(spec)
    if plan.pipeline > MOST_STAGES:
        raise RequestError(f"{plan.pipeline:,} pipeline stages are more than are counted: use at most {MOST_STAGES}")
    if plan.pipeline * plan.interleave > MOST_PIECES:
        raise RequestError(
            f"{plan.interleave:,} pieces for each of {plan.pipeline:,} stages are more than are counted: use at most "
            f"{MOST_PIECES // plan.pipeline:,}"
        )
    if plan.stages is None and plan.pipeline * plan.interleave > spec.layers + 2 * _has_bare_ends(spec, plan):
        pieces = f" of {plan.interleave} pieces each" if plan.interleave > 1 else ""
        raise RequestError(
            f"{spec.layers} layers are fewer than {plan.pipeline} stages{pieces}: use at most "
            f"{spec.layers // plan.interleave or 1} stages"
        )
    if has_borrowers(spec):
        _stretches(spec, plan)
