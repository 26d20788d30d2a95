"""`tscale plan --serve`: the deployment that meets targets with the fewest devices or dollars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.explaining import notes_of
from tscale.answers.plan_serve_data import Cost, asked_data, cost_of, found_data, pareto, tokens_per_device
from tscale.answers.plan_serve_miss import miss_report
from tscale.answers.plan_serve_relax import Change, binding, changes
from tscale.answers.plan_serve_search import Found, ServingPlan, choice_again, searched
from tscale.answers.plan_serve_text import (
    asked_words,
    deployment_words,
    launches,
    layout_words,
    load_words,
    serve_command,
    target_words,
)
from tscale.answers.release import Asked
from tscale.answers.serve_prediction import Predicted, notes_of_prediction
from tscale.core.metric import Cell, Column, Data, Detail, Figure, Label, Missing, Report, Table
from tscale.core.number_text import estimate
from tscale.core.units import COUNT, MILLISECONDS, TOKENS_PER_SECOND
from tscale.planning.deployment_rows import Deployed


def plan_serve_report(plan: ServingPlan) -> Report:
    """The best deployments under a load, or on so many devices. Exit code 3: none meets the targets.

    Raises `RequestError` for a model that `serve` does not predict, and where too many layouts are asked for.
    """
    found = searched(plan)
    if not found.rows:
        return miss_report(plan, found)
    best = found.rows[0]
    cost = cost_of(plan, found, best)
    relaxed = tuple(changes(plan, found))
    binds = binding(found, plan.wanted)
    title = f"{plan.spec.label}: {_headline(plan, found, best, cost)}"
    tables = (
        _rows_table(title, plan, found),
        *_cost_tables(plan, found, best, cost),
        *_relax_tables(plan, relaxed, best),
        _front_table(plan, found),
    )
    data: dict[str, Data] = {
        **asked_data(plan),
        "meets": True,
        "binds": binds,
        **found_data(plan, found),
        "relaxed": [_change_data(change) for change in relaxed],
        "command": serve_command(plan, found.base_of(best.case), best.case),
    }
    notes = notes_of(plan.spec, *_notes(plan, found, best, binds))
    return Report(title, tables, data, notes, lead=_lead(plan, found))


def _headline(plan: ServingPlan, found: Found, best: Deployed, cost: Cost | None) -> str:
    """The answer in a sentence: how many devices, or how much load, and what tokens cost."""
    devices, words = f"{best.case.devices:,} × {best.case.hardware.label}", deployment_words(best.case)
    extra = asked_words(found.base_of(best.case), plan)
    words += f" ({extra})" if extra else ""
    dollars = "" if cost is None else f"; ${estimate(cost.output)} per 1M output tokens"
    meet = "meets" if best.case.devices == 1 else "meet"
    if plan.load is not None:
        return f"{devices} {meet} {target_words(plan)} at {load_words(plan, plan.load)}: {words}{dollars}"
    carry = "carries" if best.case.devices == 1 else "carry"
    return f"{devices} {carry} {load_words(plan, best.load)} within {target_words(plan)}: {words}{dollars}"


def _rows_table(title: str, plan: ServingPlan, found: Found) -> Table:
    columns = (
        Column("deployment", "deployment", numeric=False, wraps=20),
        Column("GPUs", "gpus"),
        Column("batch", "batch", drop=1),
        Column("TTFT, ms", "ttft_ms"),
        Column("TPOT, ms", "tpot_ms"),
        Column("tokens/s/GPU", "tokens_per_second_per_gpu", drop=2),
        Column("carries", "largest_load"),
        Column("$/1M out", "usd_per_million_output"),
    )
    rows = tuple(_row_cells(plan, found, row) for row in found.rows)
    return Table(title, columns, rows, subject=plan.spec.name)


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
        Figure(tokens_per_device(row), TOKENS_PER_SECOND, "predicted"),
        Figure(float(estimate(row.most).replace(",", "")), COUNT, "predicted"),
        Missing("needs --price") if cost is None else cost.figure("output"),
    )


def _cost_tables(plan: ServingPlan, found: Found, best: Deployed, cost: Cost | None) -> Iterator[Table]:
    """What tokens of prompts and of answers cost, with what is cached of prompts and without."""
    if cost is None:
        return
    columns = [Column("best deployment, $ per 1M tokens", "tokens", numeric=False), Column("cost", "usd")]
    cells: dict[str, list[Cell]] = {name: [cost.figure(name)] for name in ("input", "output")}
    gpus: list[Cell] = [Figure(best.case.devices, COUNT)]
    load: list[Cell] = [Figure(float(estimate(best.load).replace(",", "")), COUNT, "predicted")]
    if plan.prefix:
        columns.append(Column("without prefix hits", "usd_without_prefix"))
        without = choice_again(best.choice, plan, found.calibration, prefix=0)
        other = None if without is None else cost_of(plan, found, without)
        for name, own in cells.items():
            own.append(Missing("misses the targets", settled=True) if other is None else other.figure(name))
        gpus.append("" if without is None else Figure(without.case.devices, COUNT))
        load.append(
            "" if without is None else Figure(float(estimate(without.load).replace(",", "")), COUNT, "predicted")
        )
    rows: list[tuple[Cell, ...]] = [(f"{name} tokens", *own) for name, own in cells.items()]
    rows.append(
        ("GPUs", *gpus) if plan.load is not None else ("requests/s" if plan.arrivals == "rate" else "users", *load)
    )
    yield Table("", tuple(columns), tuple(rows), subject=plan.spec.name)


def _relax_tables(plan: ServingPlan, relaxed: tuple[Change, ...], best: Deployed) -> Iterator[Table]:
    """What would change with one target, or one format, changed."""
    of_load = plan.load is None
    columns = (
        Column("what would change it", "option", numeric=False),
        Column("carries" if of_load else "GPUs", "largest_load" if of_load else "gpus"),
        Column("deployment", "deployment", numeric=False, wraps=20),
    )
    rows: list[tuple[Cell, ...]] = []
    for change in relaxed:
        row = change.best
        if row is None:
            continue
        value = float(estimate(row.load).replace(",", "")) if of_load else row.case.devices
        known = "predicted" if of_load else "exact"
        rows.append((Label(change.option, change.option), Figure(value, COUNT, known), deployment_words(row.case)))
    if rows:
        yield Table("", columns, tuple(rows), subject=plan.spec.name, aside=True)


def _change_data(change: Change) -> Data:
    row = change.best
    return {
        "option": change.option,
        "gpus": None if row is None else row.case.devices,
        "load": None if row is None else Figure(row.load, COUNT, "predicted"),
    }


def _front_table(plan: ServingPlan, found: Found) -> Table:
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


_MOST_SHOWN: Final = 16


def _lead(plan: ServingPlan, found: Found) -> tuple[str, ...]:
    """What must be known before the figures are read."""
    base = found.base_of(found.rows[0].case)
    rent = base.chip.rent
    slow = "Times are the slow end of their 80% intervals, with the wait for a place."
    return tuple(
        filter(None, (slow, *Asked(plan.spec, base.weights, base.cache).lead(), "" if rent is None else rent.said()))
    )


def _notes(plan: ServingPlan, found: Found, best: Deployed, binds: str | None) -> Iterator[str]:
    base = found.base_of(best.case)
    if binds is not None:
        yield f"What binds the best is {binds}: with a quarter more of it, it carries the most more."
    yield f"To reproduce its times: {serve_command(plan, base, best.case)}"
    for engine, lines in launches(plan, base, best).items():
        said = lines or f"has no such layout as {layout_words(best.case.decode.layout)}"
        text = f"{_ENGINES[engine]}: {said}"
        yield text if engine == base.engine else Detail(text)
    tried = ", ".join(f"{count:,} fell to {reason}" for reason, count in found.reasons.items())
    yield f"Tried: {found.evaluated:,} deployments in {estimate(found.seconds)} s{f'; {tried}' if tried else ''}."
    yield Detail(_waits(plan))
    yield Detail("Costs are divided between prompts and answers as devices' time is; of pools apart, as devices are.")
    yield from notes_of_prediction(Predicted(best.case, found.calibration, best.times))


_ENGINES: Final = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}


def _waits(plan: ServingPlan) -> str:
    """By what waiting is reckoned."""
    if plan.arrivals == "users":
        return "Users send a request when the last was answered; those beyond the places wait by Little's law."
    return (
        "Requests arrive at random (Poisson). The wait is that of a flow-equivalent server (Chandy, Herzog and Woo 1975): exact where "
        "answers' lengths are exponentially distributed, and longer than that of answers that are all as long."
    )
