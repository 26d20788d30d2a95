"""The tables of `tscale plan --serve`: deployments, dollars, what would change them, and the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tscale.calibration.serving_case import ServingCase
from tscale.core.metric import Cell, Column, Figure, Missing, Table
from tscale.core.units import COUNT, MILLISECONDS
from tscale.core.view import Record, view
from tscale.estimates.plan_serve.data import Cost, Point, cost_of, load_figure, point_data, thinned
from tscale.estimates.plan_serve.relax import Change
from tscale.estimates.plan_serve.search import Found, ServingPlan
from tscale.estimates.plan_serve.text import deployment_words, full_words
from tscale.planning.deployment_rows import Deployed

_MOST_SHOWN: Final = 16
"""Points of the Pareto front that a table shows."""
TIMES: Final = (Column("TTFT, ms", "ttft_ms"), Column("TPOT, ms", "tpot_ms"))


def slowest(ttft: float, tpot: float) -> Record:
    """The slow ends of a request's times, of so many seconds, as tables have them."""
    times = {"ttft_ms": ttft, "tpot_ms": tpot}
    return {key: Figure(1000 * seconds, MILLISECONDS, "predicted") for key, seconds in times.items()}


def rows_table(title: str, plan: ServingPlan, found: Found, records: Sequence[Record]) -> Table:
    """Deployments that meet the targets, the best first; times are the slow end of their intervals."""
    columns = (
        Column("deployment", "deployment", numeric=False, wraps=20),
        Column("GPUs", "gpus"),
        Column("batch", "batch", drop=1),
        *TIMES,
        Column("tokens/s/GPU", "tokens_per_second_per_gpu", drop=2),
        Column(load_title(plan), "largest_load"),
        Column("$/hour", "usd_per_hour", absent=Missing("needs --price")),
    )
    rows = ({**record, **_shown(plan, found, row)} for record, row in zip(records, found.rows, strict=True))
    return view(title, columns, rows, subject=plan.spec.name)


def _shown(plan: ServingPlan, found: Found, row: Deployed) -> Record:
    """What people read of a deployment in the place of its degrees, its requests in progress and its intervals."""
    return {
        "deployment": full_words(row.case, plan, found),
        "batch": Figure(row.case.concurrency, COUNT, "predicted"),
        **slowest(row.ttft_at_most, row.times.tpot.high),
    }


def load_title(plan: ServingPlan) -> str:
    """The heading of the largest load within the targets."""
    return "max req/s" if plan.arrivals == "rate" else "max users"


def cost_tables(
    plan: ServingPlan, found: Found, best: Deployed, cost: Cost | None, without: Deployed | None
) -> Iterator[Table]:
    """What tokens of prompts and of answers cost, with what is cached of prompts and without."""
    if cost is None:
        return
    columns = [Column("best deployment, $ per 1M tokens", "tokens", numeric=False), Column("cost", "usd")]
    cells: dict[str, list[Cell]] = {name: [cost.figure(name)] for name in ("input", "output")}
    gpus: list[Cell] = [Figure(best.case.devices, COUNT)]
    load: list[Cell] = [load_figure(plan, best.load)]
    if plan.prefix:
        columns.append(Column("without prefix hits", "usd_without_prefix"))
        other = None if without is None else cost_of(plan, found, without)
        for name, own in cells.items():
            own.append(Missing("misses the targets", settled=True) if other is None else other.figure(name))
        gpus.append("" if without is None else Figure(without.case.devices, COUNT))
        load.append("" if without is None else load_figure(plan, without.load))
    rows: list[tuple[Cell, ...]] = [(f"{name} tokens", *own) for name, own in cells.items()]
    rows.append(("GPUs", *gpus) if plan.load is not None else (load_title(plan), *load))
    yield Table("", tuple(columns), tuple(rows), subject=plan.spec.name)


def _devices(row: Deployed) -> tuple[str, int]:
    return row.case.hardware.name, row.case.devices


def relax_tables(plan: ServingPlan, relaxed: tuple[Change, ...], best: Deployed) -> Iterator[Table]:
    """What would change with one target, or one format, changed; of a load, only what takes other devices than the best."""
    of_load = plan.load is None
    columns = (
        Column("what would change it", "option", numeric=False),
        Column(load_title(plan), "load") if of_load else Column("GPUs", "gpus"),
        Column("deployment", "deployment", numeric=False, wraps=20),
    )
    rows = [
        {**change.data(plan), "deployment": _changed(plan, change.best.case)}
        for change in relaxed
        if change.best is not None and (of_load or _devices(change.best) != _devices(best))
    ]
    if rows:
        yield view("", columns, rows, subject=plan.spec.name, aside=True)


def _changed(plan: ServingPlan, case: ServingCase) -> str:
    """A deployment that something was changed for, and on what where several are there to choose from."""
    extra = [name for name, all in ((case.hardware.name, plan.chips), (case.engine, plan.engines)) if len(all) > 1]
    return f"{deployment_words(case)} ({', '.join(extra)})" if extra else deployment_words(case)


def front_table(plan: ServingPlan, found: Found, front: Sequence[Point]) -> Table:
    """The Pareto front, thinned."""
    columns = (
        Column("Pareto front: one copy", "deployment", numeric=False, wraps=20),
        Column("GPUs", "gpus"),
        Column("batch", "batch"),
        Column("tokens/s per user", "tokens_per_second_per_user"),
        Column("tokens/s/GPU", "tokens_per_second_per_gpu"),
    )
    points = thinned(front, _MOST_SHOWN)
    rows = ({**point_data(point), "deployment": full_words(point.unit.case, plan, found)} for point in points)
    return view("", columns, rows, subject=plan.spec.name, aside=True, detail=True)
