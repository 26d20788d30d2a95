"""CSV for a spreadsheet: one table under the keys of its columns, numbers in full and without separators.

A cell without a number is empty (JSON says why), rows are named by their keys, and truth values are true and false.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from tscale.core.metric import Cell, Compared, Figure, Label, Missing, Report, Table
from tscale.render.bars import without_bars
from tscale.render.json import number


def to_csv(report: Report) -> str:
    """The main table of a report, with those that share its columns below it.

    Where the answer has several subjects, a first column says whose each row is, and one without such a table has a row
    that says what it is instead. A compared figure has its ratio in a column of its own.
    """
    return _written(to_rows(report))


def to_rows(report: Report) -> list[list[object]]:
    """The same as rows of plain values, the headings first."""
    tables = [_named(without_bars(table)) for table in report.tables if not table.aside]
    if not tables:
        return [[report.title]]
    main = next((table for table in tables if any(column.numeric for column in table.columns)), tables[0])
    ratios = [any(isinstance(row[index], Compared) for row in main.rows) for index in range(len(main.columns))]
    headings = list(_headings(main, ratios))
    several = bool(report.parts)
    rows: list[list[object]] = [["model", *headings] if several else list(headings)]
    for table in tables:
        own = [table.subject] if several else []
        if _keys_of(table) == _keys_of(main):
            rows += [[*own, *_values(row, ratios)] for row in table.rows]
        else:
            rows.append([*own, table.title, *[""] * (len(headings) - 1)])
    return rows


def _keys_of(table: Table) -> list[str]:
    return [column.key for column in table.columns]


def _headings(table: Table, ratios: list[bool]) -> Iterator[str]:
    """The keys of a table's columns, each with one for the ratios where it has some."""
    for column, ratio in zip(table.columns, ratios, strict=True):
        yield column.key
        if ratio:
            yield f"{column.key}_ratio"


def _named(table: Table) -> Table:
    """The table, with a key for each row where some rows are parts of others, which a table for people indents."""
    names = [row[0] for row in table.rows]
    if not any(isinstance(name, str) and name.startswith(" ") for name in names):
        return table
    keyed = zip(_keys(names), table.rows, strict=True)
    return table._replace(rows=tuple((key, *row[1:]) for key, row in keyed))


def _keys(names: list[Cell]) -> Iterator[Cell]:
    """The names of rows in snake_case, each part behind the key of the row that it is a part of."""
    whole = ""
    for name in names:
        if not isinstance(name, str):
            yield name
            continue
        key = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")
        if name.startswith(" "):
            yield f"{whole}_{key}"
        else:
            whole = key
            yield key


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
        case Missing():
            return ""
        case Label(value=bool(value)):
            return str(value).lower()
        case Label(value=value):
            return value
        case _:
            # A cell that begins with = + - or @ would run as a formula in a spreadsheet.
            return f"'{cell}" if cell[:1] in tuple("=+-@") else cell
