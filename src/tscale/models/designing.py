"""Specs made to measure: the proportions of a model taken as a pattern, and the spec of a shape that was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import lcm
from typing import Final

from tscale.blocks.attention import Attention
from tscale.blocks.experts import Experts
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.latent import LatentAttention
from tscale.catalogue.models import built_in, known_name, listed, normalised
from tscale.core.costs.params import active_params, embedding_params, non_embedding_params, params
from tscale.core.costs.shapes import Grid, Proportions, Shape
from tscale.core.elementwise import larger
from tscale.errors import RequestError, UnknownNameError, nearest, shown
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.models.spec import ModelSpec


@cache
def counting(counts: str) -> Callable[[ModelSpec], int]:
    """The count that a budget is of: `all` parameters, the `non_embedding` ones, or of either those that a token meets."""
    match counts:
        case "all":
            return lambda spec: int(params(lower(spec)).total)
        case "active":
            return lambda spec: int(active_params(lower(spec)).total)
        case "active_non_embedding":
            return _active_bare
        case _:
            return lambda spec: int(non_embedding_params(lower(spec)))


def _active_bare(spec: ModelSpec) -> int:
    ledger = lower(spec)
    return int(active_params(ledger).total) - int(embedding_params(ledger).total)


def blocks_of(spec: ModelSpec) -> tuple[Attention | LatentAttention, FeedForward | Experts] | None:
    """The attention and the feed-forward of a stack of equal layers, those of dense ones that lead aside; None of other stacks."""
    attention, feed_forward = spec.attention, spec.feed_forward
    if _leading_dense(spec) is not None:
        feed_forward = spec.feed_forwards[1]
    if isinstance(attention, (Attention, LatentAttention)) and isinstance(feed_forward, (FeedForward, Experts)):
        return attention, feed_forward
    return None


def _leading_dense(spec: ModelSpec) -> FeedForward | None:
    """The dense feed-forward of the first layers, before those of experts; None where none leads."""
    blocks = spec.feed_forwards
    if len(blocks) == 2 and isinstance(blocks[0], FeedForward) and isinstance(blocks[1], Experts):
        first, others = blocks[0].on, blocks[1].on
        return blocks[0] if first is not None and first.first is not None and others is None else None
    return None


def _leading(spec: ModelSpec) -> int:
    """How many layers lead."""
    block = _leading_dense(spec)
    return 0 if block is None or block.on is None else int(block.on.first or 0)


def _blocks(spec: ModelSpec) -> tuple[Attention | LatentAttention, FeedForward | Experts]:
    blocks = blocks_of(spec)
    assert blocks is not None, "a pattern has equal layers"
    return blocks


def pattern(like: str, budget: int, count: Callable[[ModelSpec], int], changes: Iterable[str] = ()) -> ModelSpec:
    """The model to take the proportions from: the one that is named, or of a family the nearest in size, newer before older.

    Raises `TscaleError` where there is none, or where it has no plain stack to take them from.
    """
    if known_name(like) is not None or "/" in like or ("." in like and not _family(like)):
        spec = resolve(like, changes)
    else:
        family = _family(like)
        decoders = [one for one in family if blocks_of(one) is not None and one.kind == "decoder"]
        dense = [one for one in decoders if one.plain_blocks() is not None]
        members = dense or decoders or family  # of which one is refused by name
        if not members:
            families = sorted({listed_one.name.partition("-")[0] for listed_one in listed()})
            raise UnknownNameError(
                f"no model or family {shown(like)} to take as a pattern: {nearest(normalised(like), families)}"
            )

        def far(one: ModelSpec) -> float:
            size = _size(one.name, count)
            return larger(size / budget, budget / size)

        spec = min(members, key=lambda one: (far(one), -(one.year or 0), one.name))
        spec = resolve(spec.name, changes)
    _refuse_others(spec)
    return spec


@cache
def _size(name: str, count: Callable[[ModelSpec], int]) -> int:
    """What a built-in model counts."""
    spec = built_in(name)
    assert isinstance(spec, ModelSpec), "a pattern is of language"
    return count(spec)


@cache
def _family(like: str) -> list[ModelSpec]:
    """The built-in models whose name, or an alias, begins with it as a whole word: `gpt` with `gpt3`, and `g` with none."""
    start = normalised(like)

    def begins(name: str) -> bool:
        return name.startswith(start) and not name[len(start) : len(start) + 1].isalpha()

    names = [one.name for one in listed() if any(map(begins, (one.name, *one.aliases)))]
    return [spec for spec in map(built_in, names) if isinstance(spec, ModelSpec)] if start else []


def _refuse_others(spec: ModelSpec) -> None:
    blocks = blocks_of(spec)
    if spec.kind != "decoder" or blocks is None or blocks[0].on is not None or blocks[1].on is not None:
        raise RequestError(
            f"{spec.label} cannot be the pattern of a design: use a decoder with identical layers of attention and a "
            "feed-forward, dense such as llama, qwen3, gemma-2 or gpt3, or of experts, such as mixtral, qwen3-30b-a3b or deepseek-v3"
        )
    if spec.unique_layers is not None or spec.embedding.width is not None:
        raise RequestError(
            f"{spec.label} cannot be the pattern of a design: its layers share weights, or its embedding has a width of its own"
        )


def proportions(spec: ModelSpec) -> Proportions:
    """What a pattern keeps as it grows: width to depth, inner width to width, and how it divides into heads."""
    attention, feed_forward = _blocks(spec)
    heads, kv_heads, head_dim = attention.widths(spec.d_model)
    if isinstance(attention, LatentAttention):
        head_dim = attention.v_dim
    return Proportions(
        Fraction(spec.d_model, spec.layers),
        Fraction(feed_forward.d_ff, spec.d_model),
        Fraction(heads * head_dim, spec.d_model),
        None if kv_heads == 1 < heads else Fraction(heads, kv_heads),
        head_dim,
        _leading(spec),
    )


def shape_of(spec: ModelSpec) -> Shape:
    """The shape of a pattern itself."""
    attention, feed_forward = _blocks(spec)
    heads, kv_heads, _ = attention.widths(spec.d_model)
    return Shape(spec.layers, spec.d_model, heads, kv_heads, feed_forward.d_ff)


def shaped(spec: ModelSpec, shape: Shape, step: int = 1) -> ModelSpec:
    """The pattern in another shape, with all else that it is: nothing is published of it, and it was not trained.

    `step`: what the width of dense layers that lead, which follows d_model, is a multiple of.
    """
    _, feed_forward = _blocks(spec)
    widened = _widened(feed_forward, shape.d_ff)
    dense = _leading_dense(spec)
    led = None if dense is None else replace(dense, d_ff=_followed(dense.d_ff, spec.d_model, shape.d_model, step))
    return replace(
        spec,
        aliases=(),
        year=None,
        layers=shape.layers,
        d_model=shape.d_model,
        attention=_attention(spec, shape),
        feed_forward=widened if led is None else (led, widened),
        training=None,
        published=None,
        sources=(),
        evidence=None,
        notes=(),
        notes_on=None,
    )


def _attention(spec: ModelSpec, shape: Shape) -> Attention | LatentAttention:
    """The attention of another shape: its heads keep their width, and the latent of queries follows d_model."""
    attention, _ = _blocks(spec)
    if isinstance(attention, LatentAttention):
        rank = (
            None if attention.q_rank is None else _followed(attention.q_rank, spec.d_model, shape.d_model, _RANK_STEP)
        )
        return replace(attention, heads=shape.heads, q_rank=rank)
    filling = shape.heads * attention.widths(spec.d_model).head_dim == shape.d_model
    return replace(
        attention,
        heads=shape.heads,
        kv_heads=None if shape.kv_heads == shape.heads else shape.kv_heads,
        head_dim=None if filling and attention.head_dim is None else attention.widths(spec.d_model).head_dim,
    )


def _followed(width: int, d_model: int, wanted: int, step: int) -> int:
    """A width in proportion to d_model, on its own grid."""
    return max(round(Fraction(width * wanted, d_model * step)), 1) * step


_RANK_STEP: Final = 64


def _widened(feed_forward: FeedForward | Experts, d_ff: int) -> FeedForward | Experts:
    """A feed-forward of another width; shared experts keep theirs in proportion."""
    if isinstance(feed_forward, Experts) and feed_forward.shared_d_ff is not None:
        shared = Fraction(feed_forward.shared_d_ff, feed_forward.d_ff) * d_ff
        return replace(feed_forward, d_ff=d_ff, shared_d_ff=max(round(shared), 1))
    return replace(feed_forward, d_ff=d_ff)


def padded(spec: ModelSpec, grid: Grid) -> ModelSpec:
    """The pattern with its vocabulary filled up to rows that divide as its widths do."""
    step = lcm(grid.multiple, grid.tensor)
    return replace(spec, vocabulary=-(-spec.vocabulary // step) * step)
