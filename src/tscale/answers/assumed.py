"""Answers about a model that is counted like one of another family, at its user's request: nothing in them is exact."""

from __future__ import annotations

from tscale.core.metric import Derivations, Report, each_cell, each_figure
from tscale.estimates.assumed import assumed, lead_of
from tscale.models.spec import Spec


def as_assumed(report: Report, spec: Spec) -> Report:
    """A report whose figures are marked as assumed, and which says why first, where the model is counted like another."""
    lead = lead_of(spec)
    if not lead:
        return report
    return report._replace(
        tables=tuple(each_cell(table, assumed) for table in report.tables),
        data=each_figure(report.data, assumed),
        steps=Derivations(lambda: (step._replace(figure=assumed(step.figure)) for step in report.steps)),
        lead=(*lead, *report.lead),
    )
