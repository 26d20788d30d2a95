"""The table of a step of a plan: the least time of each part, and below them what is predicted."""

from __future__ import annotations

from fractions import Fraction

from tscale.core.costs.step_time import Part
from tscale.core.metric import Cell, Column, Figure, Label, Table, at_best, each_cell
from tscale.core.units import SECONDS, SHARE
from tscale.core.view import Record, view
from tscale.estimates.train.plan import OF_BOUNDS, PlannedStep, part_data
from tscale.estimates.train.prediction import PredictedStep


def step_table(planned: PlannedStep, predicted: PredictedStep | None) -> Table:
    """The parts of a step with their least times, the whole with full overlap and without any, and below what is predicted of it."""
    plan, step = planned.plan, planned.step
    ways = {"tensor": plan.tensor, "pipeline": plan.pipeline, "data": plan.data}
    ways |= {"context": plan.context} if plan.context > 1 else {}
    spread = " × ".join(f"{degree} {way}" for way, degree in ways.items())
    columns = (
        Column("part of a step", "part", numeric=False),
        Column("time, s", "seconds"),
        Column("MFU", "mfu"),
        Column("time/compute", "share", drop=4),
        Column("sent", "sent", drop=1, of="bytes"),
        Column("link, s", "link", drop=2, of="link_seconds"),
        Column("network, s", "network", drop=3, of="network_seconds"),
    )
    computing = step.parts[0].seconds
    rows = [_part_row(part, computing) for part in step.parts]
    whole = (
        (step.seconds, planned.mfu_hidden, "full overlap (bound)"),
        (step.seconds_in_turn, planned.mfu_serial, "no overlap"),
    )
    for seconds, mfu, name in whole:
        share = Figure(seconds / computing, SHARE)
        rows.append({"part": name, "seconds": Figure(seconds, SECONDS), "mfu": Figure(mfu, SHARE), "share": share})
    devices = f"{plan.devices:,} device{'s' * (plan.devices > 1)}"
    title = f"lower bound on a step of {planned.batch.sequences:,} sequences on {devices} ({spread})"
    totals = frozenset({len(rows) - 2, len(rows) - 1})
    table = view(title, columns, rows, subject=planned.subject, totals=totals)
    return _with_prediction(predicted, each_cell(table, at_best(planned.known, OF_BOUNDS)))


def _part_row(part: Part, computing: Fraction) -> Record:
    """A part with its time over that of the computing; of a level over which it sends nothing, no time."""
    idle = {f"{name}_seconds": None for name, level in part.least._asdict().items() if not level.sent}
    return {**part_data(part), "share": Figure(part.seconds / computing, SHARE), **idle}


def _with_prediction(predicted: PredictedStep | None, table: Table) -> Table:
    """A plan's table with the prediction's rows below those of the bound."""
    if predicted is None or predicted.found is None:
        return table
    low, middle, high = predicted.found.seconds
    rows = [
        _row(predicted, Label("predicted", "predicted"), middle),
        _row(predicted, Label("  low end of 80%", "predicted_low"), low),
        _row(predicted, Label("  high end of 80%", "predicted_high"), high),
    ]
    first = len(table.rows)
    totals = frozenset((*table.totals, first))
    title = table.title.replace("lower bound on", "lower bound and prediction of", 1)
    return table._replace(title=title, rows=(*table.rows, *rows), totals=totals)


def _row(predicted: PredictedStep, name: Label, seconds: float) -> tuple[Cell, ...]:
    """A row of the plan's table: part, time, MFU, time/compute, sent, link, network."""
    return (name, predicted.figure(seconds), predicted.utilisation(seconds), "", "", "", "")
