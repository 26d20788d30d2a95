"""The tables of `tscale plan --serve`: deployments, dollars, what would change them, and the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.plan_serve.data import Cost, cost_of, load_figure, pareto, tokens_per_device
from tscale.answers.plan_serve.relax import Change
from tscale.answers.plan_serve.search import Found, ServingPlan
from tscale.answers.plan_serve.text import asked_words, deployment_words
from tscale.core.metric import Cell, Column, Figure, Label, Missing, Table
from tscale.core.units import COUNT, MILLISECONDS, TOKENS_PER_SECOND
from tscale.planning.deployment_rows import Deployed

_MOST_SHOWN: Final = 16
"""Points of the Pareto front that a table shows."""


def rows_table(title: str, plan: ServingPlan, found: Found) -> Table:
    """Deployments that meet the targets, the best first; times are the slow end of their intervals."""
    columns = (
        Column("deployment", "deployment", numeric=False, wraps=20),
        Column("GPUs", "gpus"),
        Column("batch", "batch", drop=1),
        Column("TTFT, ms", "ttft_ms"),
        Column("TPOT, ms", "tpot_ms"),
        Column("tokens/s/GPU", "tokens_per_second_per_gpu", drop=2),
        Column(load_title(plan), "largest_load"),
        Column("$/hour", "usd_per_hour"),
    )
    rows = tuple(_row_cells(plan, found, row) for row in found.rows)
    return Table(title, columns, rows, subject=plan.spec.name)


def load_title(plan: ServingPlan) -> str:
    """The heading of the largest load within the targets."""
    return "max req/s" if plan.arrivals == "rate" else "max users"


def _row_cells(plan: ServingPlan, found: Found, row: Deployed) -> tuple[Cell, ...]:
    words = deployment_words(row.case)
    extra = asked_words(found.base_of(row.case), plan)
    cost = cost_of(plan, found, row)
    return (
        f"{words} ({extra})" if extra else words,
        Figure(row.case.devices, COUNT),
        Figure(row.case.concurrency, COUNT, "predicted"),
        Figure(1000 * row.ttft_at_most, MILLISECONDS, "predicted"),
        Figure(1000 * row.times.tpot.high, MILLISECONDS, "predicted"),
        Figure(tokens_per_device(plan, row), TOKENS_PER_SECOND, "predicted"),
        load_figure(plan, row.most),
        Missing("needs --price") if cost is None else cost.figure("hour"),
    )


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
        Column(load_title(plan) if of_load else "GPUs", "largest_load" if of_load else "gpus"),
        Column("deployment", "deployment", numeric=False, wraps=20),
    )
    rows: list[tuple[Cell, ...]] = []
    for change in relaxed:
        row = change.best
        if row is None or (not of_load and _devices(row) == _devices(best)):
            continue
        found = load_figure(plan, row.load) if of_load else Figure(row.case.devices, COUNT)
        rows.append((Label(change.option, change.option), found, deployment_words(row.case)))
    if rows:
        yield Table("", columns, tuple(rows), subject=plan.spec.name, aside=True)


def front_table(plan: ServingPlan, found: Found) -> Table:
    """The Pareto front, thinned."""
    columns = (
        Column("Pareto front: one copy", "deployment", numeric=False, wraps=20),
        Column("GPUs", "gpus"),
        Column("batch", "batch"),
        Column("tokens/s per user", "tokens_per_second_per_user"),
        Column("tokens/s/GPU", "tokens_per_second_per_gpu"),
    )
    rows = tuple(
        (
            deployment_words(point.unit.case),
            Figure(point.unit.devices, COUNT),
            Figure(point.at_once, COUNT),
            Figure(point.per_user, TOKENS_PER_SECOND, "predicted"),
            Figure(point.per_device, TOKENS_PER_SECOND, "predicted"),
        )
        for point in pareto(found, _MOST_SHOWN)
    )
    return Table("", columns, rows, subject=plan.spec.name, aside=True, detail=True)
