"""Which of the marks on figures a report uses: a column whose figures share one has it in its heading."""

from __future__ import annotations

from collections.abc import Iterable

from tscale.core.metric import Cell, Compared, Figure, Known, Report
from tscale.render.format import LEGEND, MARKS


def known_of(cells: Iterable[Cell]) -> set[Known]:
    """The ways in which the figures among some cells are known."""
    figures = (cell.figure if isinstance(cell, Compared) else cell for cell in cells)
    return {figure.known for figure in figures if isinstance(figure, Figure)}


def shared_mark(cells: Iterable[Cell]) -> str:
    """The mark that all figures of a column share, for its heading; "" where they differ or need none."""
    known = known_of(cells)
    return MARKS[known.pop()] if len(known) == 1 else ""


def legend(report: Report) -> tuple[str, ...]:
    """One line that explains the marks in a report, and the figures without one; nothing where all are exact."""
    used = known_of(cell for table in report.tables for row in table.rows for cell in row)
    if used <= {"exact"}:
        return ()
    marks = [text for known, text in LEGEND.items() if known in used and known != "exact"]
    return ("; ".join([*marks, "unmarked: exact"] if "exact" in used else marks) + ".",)
