"""The picture of `tscale plan --serve`: tokens/s of a device against tokens/s of a user, and what is best of both."""

from __future__ import annotations

from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import TOKENS_PER_SECOND
from tscale.estimates.plan_serve.data import Point as FrontPoint
from tscale.estimates.plan_serve.data import pareto
from tscale.estimates.plan_serve.search import Found, ServingPlan, searched
from tscale.estimates.plan_serve.text import full_words

_NAMED = 4
"""Points of the front that are named."""


def plan_serve_plot(plan: ServingPlan) -> Plot:
    """The Pareto front over all deployments and loads, at the slow side of the intervals, and the best that meets the targets."""
    found = searched(plan)
    points = pareto(found)
    step = max(len(points) // _NAMED, 1)
    line = tuple(_point(plan, found, point, named=place % step == 0) for place, point in enumerate(points))
    series = [Series("Pareto front", line), *_best(plan, found)]
    rules = () if plan.targets.tpot == float("inf") else (Rule("x", 1 / plan.targets.tpot, "target"),)
    return Plot(
        f"{plan.spec.label}: tokens/s/GPU against tokens/s per user",
        Axis("tokens/s per user", TOKENS_PER_SECOND),
        Axis("tokens/s/GPU", TOKENS_PER_SECOND),
        tuple(series),
        rules,
        notes=("Of one copy of each deployment at each load, at the slow end of the 80% intervals.",),
    )


def _point(plan: ServingPlan, found: Found, point: FrontPoint, *, named: bool) -> Point:
    return Point(point.per_user, point.per_device, full_words(point.unit.case, plan, found) if named else "")


def _best(plan: ServingPlan, found: Found) -> list[Series]:
    """The best deployment under the load."""
    if not found.rows:
        return []
    row = found.rows[0]
    per_device = row.case.concurrency * row.case.output / row.times.latency.high / row.case.devices
    here = Point(1 / row.times.tpot.high, per_device, full_words(row.case, plan, found))
    return [Series("best that meets the targets", (here,), "points")]
