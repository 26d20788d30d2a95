"""CSV for a spreadsheet: one table, numbers in full and without separators, units in the headings."""

from __future__ import annotations

import csv
import io

from tscale.core.quantity import Cell, Compared, Figure, Missing, Report
from tscale.render.json import number


def to_csv(report: Report) -> str:
    """The tables of a report that share their columns as one table, after a column that says whose each row is."""
    tables = [table for table in report.tables if not table.aside]
    if not tables:
        return ""
    columns = tables[0].columns
    alike = [table for table in tables if table.columns == columns]
    several = len({table.subject for table in alike}) > 1
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*(["model"] if several else []), *(column.key for column in columns)])
    for table in alike:
        for row in table.rows:
            writer.writerow([*([table.subject] if several else []), *map(_value, row)])
    return out.getvalue()


def _value(cell: Cell) -> object:
    match cell:
        case Figure():
            return number(cell.value)
        case Compared(figure, _):
            return number(figure.value)
        case Missing(why=why):
            return why
        case _:
            # A cell that begins with = + - or @ would run as a formula in a spreadsheet.
            return f"'{cell}" if cell[:1] in tuple("=+-@") else cell
