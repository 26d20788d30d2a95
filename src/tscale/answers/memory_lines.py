"""What a serving device holds, line by line: each thing's format, how it is shared, and its bytes."""

from __future__ import annotations

from typing import NamedTuple

from tscale.answers.memory_held import Server
from tscale.core.costs.weights import kept_in
from tscale.core.metric import Cell, Column, Data, Figure, Table
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import division
from tscale.core.units import BYTES


class HeldLine(NamedTuple):
    """One thing that a device holds; the workspace is in no format of its own, and is not cut."""

    name: str
    format: str
    division: str
    size: int


def held_lines(server: Server) -> list[HeldLine]:
    """Weights, the caches of all sequences, and the workspace, which add up to what the device holds."""
    plan = Parallelism(tensor=server.gpus)
    divided = {entry.name: division(entry, plan) for entry in server.whole.entries}
    lines = [
        HeldLine(kept.name, kept.format.name, divided[kept.entry.name], kept.bytes)
        for kept in kept_in(server.share, server.format, server.whole)
        if kept.entry.stored
    ]
    for name, size in server.cache().lines:
        lines.append(HeldLine(name, server.cache_format.name, divided[name], server.batch * size))
    return lines + [HeldLine(name, "", "", size) for name, size in server.workspace().lines if size]


def lines_table(lines: list[HeldLine], *, cut: bool) -> Table:
    """The lines as people read them; `cut`: whether several devices share the model."""
    columns = (
        Column("line by line", "name", numeric=False),
        Column("kept in", "format", numeric=False),
        Column("on a device", "division", numeric=False),
        Column("bytes", "bytes"),
    )
    rows: list[tuple[Cell, ...]] = []
    for line in lines:
        figure = Figure(line.size, BYTES)
        rows.append((line.name, line.format, line.division, figure) if cut else (line.name, line.format, figure))
    return Table("", columns if cut else (*columns[:2], columns[3]), tuple(rows), aside=True)


def lines_data(lines: list[HeldLine]) -> Data:
    """The lines for JSON."""
    return [
        {
            "name": line.name,
            "format": line.format or None,
            "division": line.division or None,
            "bytes": Figure(line.size, BYTES),
        }
        for line in lines
    ]
