"""Answers about a model that is counted like one of another family, at its user's request: nothing in them is exact."""

from __future__ import annotations

from collections.abc import Mapping

from tscale.core.metric import Cell, Compared, Data, Derivations, Figure, Label, Missing, Report
from tscale.estimates.assumed import assumed, lead_of
from tscale.models.spec import Spec


def as_assumed(report: Report, spec: Spec) -> Report:
    """A report whose figures are marked as assumed, and which says why first, where the model is counted like another."""
    lead = lead_of(spec)
    if not lead:
        return report
    return report._replace(
        tables=tuple(
            table._replace(rows=tuple(tuple(map(_cell, row)) for row in table.rows)) for table in report.tables
        ),
        data=_data(report.data),
        steps=Derivations(lambda: (step._replace(figure=assumed(step.figure)) for step in report.steps)),
        lead=(*lead, *report.lead),
    )


def _cell(cell: Cell) -> Cell:
    if isinstance(cell, Compared):
        return cell._replace(figure=assumed(cell.figure))
    return assumed(cell) if isinstance(cell, Figure) else cell


def _data(data: Data) -> Data:
    match data:
        case Figure():
            return assumed(data)
        case Missing() | Label() | str() | int() | None:
            return data
        case Mapping():
            return {key: _data(value) for key, value in data.items()}
        case _:
            return [_data(item) for item in data]
