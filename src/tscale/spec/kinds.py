"""The kinds of layer that a stage holds: which mixer and which feed-forward stand together in one layer.

A kind is the model itself, of one layer that has that mixer and that feed-forward, so that whatever is asked of a layer
is asked of a model. Layers are told apart at the places where a pattern begins or ends, and over one period of what
repeats, so that the work does not grow with depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from tscale.blocks import Mixer, Mlp
from tscale.blocks.fields import On, telling_layers
from tscale.core.plan import Plan
from tscale.spec.model import ModelSpec

_Block = TypeVar("_Block", Mixer, Mlp)


Standing = tuple[tuple[bool, ...], tuple[bool, ...]]
"""Which of a model's mixers stand in a layer, and which of its feed-forwards."""


def kinds_of_stages(spec: ModelSpec, plan: Plan) -> tuple[tuple[Standing, ...], ...]:
    """For each pipeline stage the kinds of layer that it holds, each once."""
    pieces = plan.pipeline * plan.interleave
    each = spec.layers // pieces
    depths = [(each * piece, each * (piece + 1)) for piece in range(pieces)]
    if spec.kind == "encoder-decoder":  # both stacks are in one stage
        depths = [(0, max(spec.layers, spec.encoder_layers()))]
    return tuple(tuple(dict.fromkeys(_kinds(spec, depths[stage :: plan.pipeline]))) for stage in range(plan.pipeline))


def _kinds(spec: ModelSpec, ranges: list[tuple[int, int]]) -> Iterator[Standing]:
    ons = [block.on for block in (*spec.mixers, *spec.feed_forwards) if block.on is not None]
    for start, end in ranges:
        for layer in telling_layers(ons, int(start), int(end)):
            yield stands_in(spec.mixers, layer), stands_in(spec.feed_forwards, layer)


def stands_in(blocks: tuple[_Block, ...], layer: int) -> tuple[bool, ...]:
    """Which of the blocks stand in a layer: those that claim it, or those that claim none where nobody does."""
    claimed = [block.on is not None and block.on.holds(layer) for block in blocks]
    return tuple(mine or (block.on is None and not any(claimed)) for block, mine in zip(blocks, claimed, strict=True))


def of_one_layer(spec: ModelSpec, kind: Standing) -> ModelSpec:
    """The model of one layer, in which the blocks stand that are said to; the others keep their names, and no layer."""

    def placed(blocks: tuple[_Block, ...], stands: tuple[bool, ...]) -> tuple[_Block, ...]:
        if len(blocks) == 1 and blocks[0].on is None:
            return blocks
        return tuple(
            replace(block, on=On(layers=(0,) if here else ())) for block, here in zip(blocks, stands, strict=True)
        )

    return replace(
        spec,
        layers=1,
        unique_layers=None,
        attention=placed(spec.mixers, kind[0]),
        feed_forward=placed(spec.feed_forwards, kind[1]),
        norm=replace(spec.norm, skips_first=False),
        encoder=None if spec.encoder is None else replace(spec.encoder, layers=1),
    )
