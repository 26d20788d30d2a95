"""Tables of measured runs as files: rows by column, lines that begin with # apart."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Final

from tscale.errors import SpecError, shown

MOST_COLUMNS: Final = 1_000
MOST_CELLS: Final = 3_000_000
_OTHER_MARKS: Final = ((";", "semicolons"), ("\t", "tabs"))


def read_table(text: str, where: str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """The columns of a CSV and its rows. Raises `SpecError` with the line where it is no table."""
    lines = [
        (number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise SpecError("the file is empty: a first line names the columns", where=where)
    found = _cells(lines, where)
    _, heads = next(found)
    columns = tuple(name.strip() for name in heads)
    if len(columns) > MOST_COLUMNS:
        raise SpecError(f"{len(columns):,} columns: at most {MOST_COLUMNS:,} are read", where=f"{where}:{lines[0][0]}")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise SpecError(f"the column {shown(twice)} is there twice", where=f"{where}:{lines[0][0]}")
    _refuse_other_marks(heads, f"{where}:{lines[0][0]}")
    rows: list[dict[str, str]] = []
    for number, cells in found:
        if len(cells) != len(columns):
            raise SpecError(f"{len(cells)} cells in a row of {len(columns)} columns", where=f"{where}:{number}")
        if len(rows) * len(columns) > MOST_CELLS:
            raise SpecError(f"more than {MOST_CELLS:,} cells: divide the table", where=f"{where}:{number}")
        rows.append({name: cell.strip() for name, cell in zip(columns, cells, strict=True)})
    return columns, rows


def _refuse_other_marks(heads: Sequence[str], where: str) -> None:
    """Raises `SpecError` where what separates the columns is no comma."""
    for mark, name in _OTHER_MARKS:
        if len(heads) == 1 and mark in heads[0]:
            raise SpecError(f"{name} separate the columns: write commas", where=where)


def _cells(lines: Sequence[tuple[int, str]], where: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, with the number of its last line. Raises `SpecError` where a quote is not closed."""
    reader = csv.reader((line for _, line in lines), strict=True)
    try:
        for cells in reader:
            yield lines[reader.line_num - 1][0], cells
    except csv.Error as error:
        raise SpecError(f"this is no CSV: {error}", where=f"{where}:{lines[reader.line_num - 1][0]}") from None
