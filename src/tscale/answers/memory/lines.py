"""The table line by line of `tscale memory`."""

from __future__ import annotations

from tscale.core.metric import Column, Figure, Table
from tscale.core.units import BYTES
from tscale.core.view import Record, view
from tscale.estimates.memory.lines import HeldLine


def lines_table(lines: list[HeldLine], *, cut: bool) -> Table:
    """The lines as people read them; `cut`: whether several devices share the model."""
    columns = (
        Column("line by line", "name", numeric=False),
        Column("kept in", "format", numeric=False),
        Column("on a device", "division", numeric=False) if cut else None,
        Column("bytes", "bytes"),
    )
    return view("", columns, lines_data(lines), aside=True, detail=True)


def lines_data(lines: list[HeldLine]) -> list[Record]:
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
