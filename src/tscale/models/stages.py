"""The stages of a pipeline, and the kinds of layer that each of them holds.

Layers are told apart at the places where a block begins or ends, and over one period of what repeats, so that the work does
not grow with depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.blocks import Attention
from tscale.blocks.fields import telling_layers
from tscale.core.ledger import Ledger, Stack
from tscale.core.parallelism import Parallelism
from tscale.core.partition import Stretch, one_layer, stage, stretches
from tscale.core.sharding import check_expert
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec


def stages(spec: ModelSpec, plan: Parallelism, whole: Ledger | None = None) -> tuple[Ledger, ...]:
    """The ledger of each pipeline stage, the first one first; the model's own where there is one stage.

    A stage has `plan.interleave` pieces of the stack: of p stages, the i-th, the (i+p)-th, and so on (Narayanan 2021,
    section 2.2). `whole`: the model's ledger, where it is at hand. Raises `RequestError` where there are fewer layers than
    pieces, or layers share what no stage has alone.
    """
    whole = lower(spec) if whole is None else whole
    check_expert(whole, plan.expert)
    if plan.pipeline == 1:
        return (whole,)
    _check(spec, plan)
    last = plan.pipeline - 1
    return tuple(
        stage(whole, pieces, f"{spec.name}, stage {place + 1} of {plan.pipeline}", first=place == 0, last=place == last)
        for place, pieces in enumerate(_pieces(spec, plan))
    )


def kinds_of_layers(spec: ModelSpec, whole: Ledger, plan: Parallelism) -> tuple[tuple[Ledger, ...], ...]:
    """For each pipeline stage one layer of each kind that it holds; of two stacks, of both."""
    if spec.kind == "encoder-decoder":
        encoder = _kinds(spec, whole, "encoder", (Stretch(0, spec.encoder_layers()),))
        return ((*encoder, *_kinds(spec, whole, "decoder", (Stretch(0, spec.layers),))),)
    stack: Stack = "decoder" if spec.kind == "decoder" else "encoder"
    return tuple(tuple(_kinds(spec, whole, stack, pieces)) for pieces in _pieces(spec, plan))


def _pieces(spec: ModelSpec, plan: Parallelism) -> Iterator[tuple[Stretch, ...]]:
    """The pieces of the stack that each stage has."""
    every = stretches(spec.layers, plan.pipeline * plan.interleave)
    for place in range(plan.pipeline):
        yield every[place :: plan.pipeline]


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


MOST_STAGES: Final = 512
"""Stages of a pipeline, each of which is counted by itself; no training has come near."""
MOST_PIECES: Final = 8192
"""Pieces of a stack, over all stages."""


def _check(spec: ModelSpec, plan: Parallelism) -> None:
    if spec.kind == "encoder-decoder":
        raise RequestError(
            f"tscale does not know how {spec.name}'s two stacks are assigned to stages: use --pipeline 1"
        )
    if spec.unique_layers is not None or any(mixer.kind == "shared-block" for mixer in spec.mixers):
        raise RequestError(f"{spec.name}'s layers share weights, which no stage has alone: use --pipeline 1")
    if spec.positions.kind == "disentangled":
        raise RequestError(f"{spec.name}'s layers all read one table of distances: use --pipeline 1")
    if spec.layer_input is not None:
        raise RequestError(f"{spec.name}'s layers look up an input of their own in one table: use --pipeline 1")
    if any(isinstance(mixer, Attention) and mixer.borrows_keys for mixer in spec.mixers):
        raise RequestError(f"{spec.name}'s last layers borrow keys, which another stage may have: use --pipeline 1")
    if plan.pipeline > MOST_STAGES:
        raise RequestError(f"{plan.pipeline:,} pipeline stages are more than are counted: use at most {MOST_STAGES}")
    if plan.pipeline * plan.interleave > MOST_PIECES:
        raise RequestError(
            f"{plan.interleave:,} pieces for each of {plan.pipeline:,} stages are more than are counted: use at most "
            f"{MOST_PIECES // plan.pipeline:,}"
        )
    if plan.pipeline * plan.interleave > spec.layers:
        pieces = f" of {plan.interleave} pieces each" if plan.interleave > 1 else ""
        raise RequestError(
            f"{spec.layers} layers are fewer than {plan.pipeline} stages{pieces}: use at most "
            f"{spec.layers // plan.interleave or 1} stages"
        )
