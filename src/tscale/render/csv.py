"""CSV for a spreadsheet: one table, numbers in full and without separators, units in the headings."""

from __future__ import annotations

import csv
import io

from tscale.core.metric import Cell, Compared, Figure, Missing, Report
from tscale.render.bars import without_bars
from tscale.render.json import number


def to_csv(report: Report) -> str:
    """The main table of a report, with those that share its columns below it.

    Where the answer has several subjects, a first column says whose each row is, and one without such a table has a row
    that says what it is instead. A compared figure has its ratio in a column of its own.
    """
    tables = [without_bars(table) for table in report.tables if not table.aside]
    if not tables:
        return _written([[report.title]])
    main = next((table for table in tables if any(column.numeric for column in table.columns)), tables[0])
    ratios = [any(isinstance(row[index], Compared) for row in main.rows) for index in range(len(main.columns))]
    headings = [
        heading
        for column, ratio in zip(main.columns, ratios, strict=True)
        for heading in ([column.key, f"{column.key}_ratio"] if ratio else [column.key])
    ]
    several = bool(report.parts)
    rows: list[list[object]] = [["model", *headings] if several else list(headings)]
    for table in tables:
        own = [table.subject] if several else []
        if [column.key for column in table.columns] == [column.key for column in main.columns]:
            rows += [[*own, *_values(row, ratios)] for row in table.rows]
        else:
            rows.append([*own, table.title, *[""] * (len(headings) - 1)])
    return _written(rows)


def _written(rows: list[list[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _values(row: tuple[Cell, ...], ratios: list[bool]) -> list[object]:
    values: list[object] = []
    for cell, ratio in zip(row, ratios, strict=True):
        values.append(_value(cell))
        if ratio:
            beside = cell.ratio if isinstance(cell, Compared) else None
            values.append("" if beside is None else number(beside))
    return values


def _value(cell: Cell) -> object:
    match cell:
        case Figure():
            return number(cell.value)
        case Compared(figure=figure):
            return number(figure.value)
        case Missing(why=why):
            return why
        case _:
            # A cell that begins with = + - or @ would run as a formula in a spreadsheet.
            return f"'{cell}" if cell[:1] in tuple("=+-@") else cell
