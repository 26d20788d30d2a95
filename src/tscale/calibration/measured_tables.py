"""Tables of measured runs as files: rows by column, lines that begin with # apart."""

from __future__ import annotations

import csv
from typing import Final

from tscale.errors import SpecError, shown

MOST_COLUMNS: Final = 1_000


def read_table(text: str, where: str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """The columns of a CSV and its rows. Raises `SpecError` with the line where it is no table."""
    lines = [
        (number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise SpecError("the file is empty: a first line names the columns", where=where)
    try:
        found = list(csv.reader(line for _, line in lines))
    except csv.Error as error:
        raise SpecError(f"this is no CSV: {error}", where=where) from None
    columns = tuple(name.strip() for name in found[0])
    if len(columns) > MOST_COLUMNS:
        raise SpecError(f"{len(columns):,} columns: at most {MOST_COLUMNS:,} are read", where=f"{where}:{lines[0][0]}")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise SpecError(f"the column {shown(twice)} is there twice", where=f"{where}:{lines[0][0]}")
    rows = []
    for (number, _), cells in zip(lines[1:], found[1:], strict=False):
        if len(cells) != len(columns):
            raise SpecError(f"{len(cells)} cells in a row of {len(columns)} columns", where=f"{where}:{number}")
        rows.append({name: cell.strip() for name, cell in zip(columns, cells, strict=True)})
    return columns, rows
