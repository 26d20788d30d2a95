"""`tscale plan --serve` where no deployment meets the targets: how near the nearest comes. Exit code 3."""

from __future__ import annotations

from typing import NamedTuple

from tscale.answers.plan_serve.tables import TIMES, slowest
from tscale.calibration.serving_calibration import Prediction, predict_held
from tscale.calibration.serving_case import ServingCase
from tscale.core.metric import Column, Report, Table
from tscale.core.number_text import duration, estimate
from tscale.core.view import Record, view
from tscale.errors import RequestError, field
from tscale.estimates.explaining import OF_SERVING, notes_of
from tscale.estimates.plan_serve.data import answer_data, at_load_data, times_data
from tscale.estimates.plan_serve.search import Found, ServingPlan, rows_of
from tscale.estimates.plan_serve.text import full_words, load_words, serve_command, target_words
from tscale.planning.deployment_curves import Rejected
from tscale.planning.deployment_search import nearest_miss


class Nearest(NamedTuple):
    """The deployment that comes closest, its times, and what it says of the targets in a sentence."""

    case: ServingCase
    times: Prediction
    sentence: str


def miss_report(plan: ServingPlan, found: Found) -> Report:
    """Why nothing meets the targets, and what comes closest. Raises `RequestError` where no layout could be tried at all."""
    if not found.units:
        return _nothing_fits(plan, found)
    near = _carries_less(plan, found) or _too_slow(plan, found)
    title = f"{plan.spec.label}: no deployment{_of(plan)} meets {target_words(plan)}{_at(plan)}: {near.sentence}"
    command = serve_command(plan, found.base_of(near.case), near.case)
    record = {**at_load_data(near.case), **times_data(near.times)}
    data = answer_data(plan, found, nearest=record, command=command)
    tried = f"Tried: {found.evaluated:,} deployments in {estimate(found.seconds)} s."
    notes = notes_of(plan.spec, f"To reproduce its times: {command}", tried, about=OF_SERVING)
    lead = ("Times are the slow end of their 80% intervals.",)
    return Report(title, (_table(title, plan, found, near, record),), data, notes, (), 3, lead=lead)


def _of(plan: ServingPlan) -> str:
    many = "" if plan.devices is None else f" of {'1' if plan.devices == 1 else f'up to {plan.devices:,}'}"
    if len(plan.chips) > 1:
        return f"{many} devices" if many else ""
    return f"{many} × {plan.chips[0].hardware.label}" if many else f" on {plan.chips[0].hardware.label}"


def _at(plan: ServingPlan) -> str:
    return "" if plan.load is None else f" at {load_words(plan, plan.load)}"


def _carries_less(plan: ServingPlan, found: Found) -> Nearest | None:
    """The largest load that the devices carry within the targets, where that is what is missed."""
    if plan.load is None or (plan.devices is None and plan.copies is None):
        return None
    limited = plan.wanted._replace(load=None)
    if plan.devices is None:
        limited = limited._replace(devices=max(plan.copies or (1,)) * max(unit.devices for unit in found.units))
    rows = rows_of(list(found.units), limited, found.calibration, 1)
    if not rows:
        return None
    best = rows[0]
    sentence = f"{full_words(best.case, plan, found)} carries the most, {load_words(plan, best.load)}"
    return Nearest(best.case, best.times, sentence)


def _too_slow(plan: ServingPlan, found: Found) -> Nearest:
    """The deployment that comes closest to the targets with one request alone."""
    miss = nearest_miss(found.units, plan.targets)
    assert miss is not None, "there are units"
    case = miss.unit.case._replace(concurrency=1)
    times = predict_held(case, found.calibration)
    slow = f"TTFT {duration(times.ttft.high)} and TPOT {duration(times.tpot.high)} with one request alone"
    waits = miss.times <= 1 and plan.devices is None
    more = ", and longer where requests wait for each other, on any number of devices" if waits else ""
    return Nearest(case, times, f"the nearest, {full_words(case, plan, found)}, comes to {slow}{more}")


def _table(title: str, plan: ServingPlan, found: Found, near: Nearest, record: Record) -> Table:
    columns = (
        Column("nearest deployment", "deployment", numeric=False, wraps=20),
        Column("GPUs", "gpus"),
        Column("batch", "batch"),
        *TIMES,
    )
    shown = {"deployment": full_words(near.case, plan, found), **slowest(near.times.ttft.high, near.times.tpot.high)}
    return view(title, columns, [{**record, **shown}], subject=plan.spec.name)


def _nothing_fits(plan: ServingPlan, found: Found) -> Report:
    """That weights or one request fit no layout that was tried."""
    fallen = [one for one in found.rejected if one.reason == "memory"]
    if not fallen:
        raise RequestError(found.rejected[0].detail if found.rejected else _no_layout(plan))
    largest: Rejected = max(fallen, key=lambda one: one.case.devices)
    title = f"{plan.spec.label}: no deployment{_of(plan)} holds it: {largest.detail.partition(': ')[2]}"
    note = "More devices (--gpus), or a smaller format (--dtype), would hold it."
    return Report(
        title, (), answer_data(plan, found, binds="memory"), notes_of(plan.spec, note, about=OF_SERVING), (), 3
    )


def _no_layout(plan: ServingPlan) -> str:
    if plan.devices is not None:
        return f"no layout of the degrees that are given takes {plan.devices:,} devices or fewer: give {field('gpus')} more, or fewer degrees"
    return f"no layout has the degrees that are given: give {field('tensor')}, {field('expert')} and the others more values"
