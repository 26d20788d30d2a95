"""Sizes of what a block lowers to or keeps, by the ends of its names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tscale.blocks.fields import LayerContext
from tscale.core.ledger import Conv, Lookup, Matmul, Scan, Scores, Subset

SITE = LayerContext("m", 32, 5, "target", "target", True)


def flat(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        yield from flat(item.items) if isinstance(item, Subset) else (item,)


def shape(one: Any) -> tuple[int, ...]:
    """Rows and columns; channels and kernel; heads and their widths; the width of anything else."""
    match one:
        case Matmul():
            return one.d_in, one.d_out
        case Conv():
            return one.channels, one.kernel
        case Scores():
            return one.heads, one.d_qk, one.d_v
        case Lookup():
            return one.rows, one.width
        case Scan():
            return one.chunk, one.per_position, one.per_chunk, one.per_pair or 0
        case _:
            return (one.width,)


def shapes(items: Iterable[Any]) -> dict[str, tuple[int, ...]]:
    return {one.name.removeprefix("m").lstrip("."): shape(one) for one in flat(items)}


def by_name(items: Iterable[Any]) -> dict[str, Any]:
    return {one.name.removeprefix("m").lstrip("."): one for one in flat(items)}
