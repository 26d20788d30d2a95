"""Where the time of a pass goes, by part of the model, as a table."""

from __future__ import annotations

from typing import Final

from tscale.core.adding import in_order
from tscale.core.costs.roofline import Work
from tscale.core.metric import Cell, Column, Figure, Table
from tscale.core.units import BYTES, FLOPS, INTENSITY, MILLISECONDS, SHARE
from tscale.estimates.serve.parts import bound, speed_known
from tscale.estimates.serve.times import Served

_GROUPS: Final = {
    "attention": "attention's matrices",
    "cache": "attention over KV cache",
    "mixer": "recurrences and convolutions",
    "state": "states",
    "feed_forward": "feed-forward",
    "head": "head",
    "embedding": "embedding",
    "norm": "norms",
    "communication": "communication",
}


def parts_table(one: Served, title: str, lines: list[Work], subject: str) -> Table:
    """FLOPs, bytes and time of a pass by part of the model."""
    columns = (
        Column(title, "part", numeric=False),
        Column("FLOPs", "flops"),
        Column("bytes", "bytes"),
        Column("FLOPs/byte", "intensity", drop=2),
        Column("ms", "ms"),
        Column("share", "share"),
        Column("bound by", "bound", drop=1, numeric=False),
    )
    total = one.seconds(*lines)
    rows: list[tuple[Cell, ...]] = []
    for group, name in _GROUPS.items():
        own = [line for line in lines if line.group == group]
        if any(line.weights or line.cache or line.sent or line.flops for line in own):
            rows.append(
                _row(one, name, own, total, moved=in_order(line.weights + line.cache + line.sent for line in own))
            )
    last = _row(one, "total", lines, total, moved=in_order(line.weights + line.cache for line in lines))
    return Table("", columns, (*rows, last), subject=subject, totals=frozenset({len(rows)}), aside=True)


def _row(one: Served, name: str, lines: list[Work], total: float, moved: float) -> tuple[Cell, ...]:
    computed, seconds = in_order(line.flops for line in lines), one.seconds(*lines)
    known = speed_known(one)
    return (
        name,
        Figure(computed, FLOPS),
        Figure(round(moved), BYTES),
        Figure(computed / moved, INTENSITY) if moved and computed else "",
        Figure(seconds * 1000, MILLISECONDS, known),
        Figure(seconds / total, SHARE, known),
        bound(one, lines),
    )
