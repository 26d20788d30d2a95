"""Bars of shares: drawn in a terminal, left out where there is nothing to draw with."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from tscale.core.metric import Cell, Figure, Table

WIDTH: Final = 30
_EIGHTHS: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def bar_texts(cells: list[Cell], *, unicode: bool) -> list[str]:
    """Shares as bars, to an eighth of a character, or of `#`. The whole width is 1, or the largest where that is more."""
    parts = [Fraction(cell.value) if isinstance(cell, Figure) else Fraction(0) for cell in cells]
    whole = max([Fraction(1), *parts])
    return [_bar(part / whole, unicode=unicode) for part in parts]


def _bar(part: Fraction, *, unicode: bool) -> str:
    if not unicode:
        return "#" * round(part * WIDTH)
    eighths = round(part * WIDTH * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


def without_bars(table: Table) -> Table:
    """The table as text that is not read in a terminal has it: each bar's share stands in a column of its own anyway."""
    return with_columns(table, [index for index, column in enumerate(table.columns) if not column.bar])


def with_columns(table: Table, keep: Sequence[int]) -> Table:
    """The table with these of its columns."""
    return table._replace(
        columns=tuple(table.columns[index] for index in keep),
        rows=tuple(tuple(row[index] for index in keep) for row in table.rows),
    )
