"""A deployment that `tscale plan --serve` found, as data: degrees, times, speeds, dollars and command lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from tscale.calibration.serving_calibration import Prediction, prompt_share
from tscale.calibration.serving_case import ServingCase
from tscale.core.costs.weights import Mixture
from tscale.core.metric import Data, Figure, Known, weakest
from tscale.core.units import BYTES_PER_SECOND, COUNT, REQUESTS_PER_SECOND, SECONDS, SHARE, TOKENS_PER_SECOND, USD
from tscale.core.view import Record, interval
from tscale.estimates.media import media_data
from tscale.estimates.plan_serve.search import Found, ServingPlan
from tscale.estimates.plan_serve.text import launches, serve_command
from tscale.estimates.serve.prediction import pool_data
from tscale.planning.deployment_curves import Unit
from tscale.planning.deployment_rows import Deployed
from tscale.planning.pareto import front

MOST_POINTS: Final = 40
"""Points of the Pareto front that are listed; a picture has all."""


class Cost(NamedTuple):
    """US dollars of an hour, of a request, of a million tokens of prompts and of answers; how they are known."""

    hour: float
    request: float
    input: float
    output: float
    known: Known
    hour_known: Known
    prompts: float
    """The share of it that prompts take."""

    def figure(self, name: str) -> Figure:
        """One of them as a figure; an hour's are those of the devices alone."""
        known: Known = self.hour_known if name == "hour" else self.known
        return Figure(getattr(self, name), USD, known)


def cost_of(plan: ServingPlan, found: Found, row: Deployed) -> Cost | None:
    """What requests cost under the load: all devices by the hour, divided by what they do for prompts and for answers."""
    rent = found.base_of(row.case).chip.rent
    if rent is None:
        return None
    hour = row.case.devices * float(rent.middle)
    request = hour / 3600 / answered_per_second(plan, row)
    share = prompt_share(row.case, found.calibration)
    million = 10**6 * request
    return Cost(
        hour,
        request,
        million * share / plan.context,
        million * (1 - share) / plan.output,
        weakest("predicted", rent.known),
        rent.known,
        share,
    )


def row_data(plan: ServingPlan, found: Found, row: Deployed) -> dict[str, Data]:
    """A row of the JSON."""
    base, case, times = found.base_of(row.case), row.case, row.times
    cost = cost_of(plan, found, row)
    return {
        **at_load_data(case),
        "max_batch_per_replica": row.places,
        "load": load_figure(plan, row.load),
        "largest_load": load_figure(plan, row.most),
        "waiting_seconds": Figure(row.waiting, SECONDS, "predicted", "chandy1975"),
        **times_data(times),
        "requests_per_second": Figure(answered_per_second(plan, row), REQUESTS_PER_SECOND, "predicted"),
        "tokens_per_second_per_gpu": Figure(tokens_per_device(plan, row), TOKENS_PER_SECOND, "predicted"),
        "tokens_per_second_per_user": Figure(1 / times.tpot.middle, TOKENS_PER_SECOND, "predicted"),
        "usd_per_hour": None if cost is None else cost.figure("hour"),
        "usd_per_request": None if cost is None else cost.figure("request"),
        "prompt_share": None if cost is None else Figure(cost.prompts, SHARE, "predicted"),
        "usd_per_million_input": None if cost is None else cost.figure("input"),
        "usd_per_million_output": None if cost is None else cost.figure("output"),
        "verdict": verdict_of(plan, row),
        "command": serve_command(plan, base, case),
        "flags": dict(launches(plan, base, row)),
    }


def load_figure(plan: ServingPlan, load: float) -> Figure:
    """Requests a second, or users."""
    known: Known = "exact" if load == plan.load else "predicted"
    return Figure(load, REQUESTS_PER_SECOND, known) if plan.arrivals == "rate" else Figure(round(load), COUNT, known)


def verdict_of(plan: ServingPlan, row: Deployed) -> str:
    """Whether a deployment meets the targets, or which one it misses."""
    if row.meets(plan.targets):
        return "meets"
    return "misses_ttft" if row.ttft_at_most > plan.targets.ttft else "misses_tpot"


def answered_per_second(plan: ServingPlan, row: Deployed) -> float:
    """Requests that are answered a second: as many as come; or of users, as many as those in progress come to."""
    return row.load if plan.arrivals == "rate" else row.requests_per_second


def tokens_per_device(plan: ServingPlan, row: Deployed) -> float:
    """Tokens of answers a second of a device under the load."""
    return answered_per_second(plan, row) * row.case.output / row.case.devices


def times_data(times: Prediction) -> dict[str, Data]:
    """The times of a request, as intervals."""
    return {
        "ttft_seconds": interval(times.ttft, SECONDS, "predicted"),
        "tpot_seconds": interval(times.tpot, SECONDS, "predicted"),
    }


def degrees_data(case: ServingCase) -> dict[str, Data]:
    """The degrees of the pool that decodes, and of both where they are apart."""
    pools = {"prefill": pool_data(case.prefill), "decode": pool_data(case.decode)} if case.disaggregated else None
    return {**pool_data(case.decode), "pools": pools}


def formats_data(case: ServingCase) -> dict[str, Data]:
    """What weights and cache are kept in."""
    kept = case.kept
    dtype = None if kept is None else kept.name
    assert kept is None or isinstance(kept, Mixture) or dtype
    return {"dtype": dtype, "cache_dtype": None if case.cache is None else case.cache.name}


class Point(NamedTuple):
    """A deployment at a load on the Pareto front: at the slow side of its intervals."""

    unit: Unit
    at_once: int
    per_user: float
    per_device: float


def pareto(found: Found) -> list[Point]:
    """Deployments that none beats in both tokens/s of a user and of a device, the quickest first."""
    units = found.units
    if not units:
        return []
    curves = [unit.curve for unit in units]
    user = np.concatenate([1 / curve.tpot for curve in curves])
    device = np.concatenate(
        [curve.throughput * unit.case.output / unit.devices for unit, curve in zip(units, curves, strict=True)]
    )
    owner = np.repeat(np.arange(len(units)), [len(curve.tpot) for curve in curves])
    at_once = np.concatenate([curve.at_once for curve in curves])
    places = front(user, device)
    return [Point(units[owner[n]], int(at_once[n]), float(user[n]), float(device[n])) for n in places]


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """No more than so many of the points, at about the same distance."""
    if len(points) <= most:
        return points
    return [points[place] for place in np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))]


def at_load_data(case: ServingCase) -> dict[str, Data]:
    """A deployment and its load, for JSON."""
    return {
        "gpu": case.hardware.name,
        "engine": case.engine,
        **degrees_data(case),
        **formats_data(case),
        "draft_tokens": case.guesses,
        "chunk": case.chunk_tokens,
        "batch": case.concurrency,
        "gpus": case.devices,
    }


def point_data(point: Point) -> dict[str, Data]:
    """A point of the front, for JSON."""
    return {
        **at_load_data(point.unit.case._replace(concurrency=point.at_once)),
        "tokens_per_second_per_gpu": Figure(point.per_device, TOKENS_PER_SECOND, "predicted"),
        "tokens_per_second_per_user": Figure(point.per_user, TOKENS_PER_SECOND, "predicted"),
    }


def asked_data(plan: ServingPlan) -> dict[str, Data]:
    """What was asked."""
    ttft, tpot = (None if value == float("inf") else Figure(value, SECONDS, "exact") for value in plan.targets[:2])
    return {
        "model": plan.spec.name,
        "gpu": [chip.hardware.name for chip in plan.chips],
        "gpus": plan.devices,
        "input": plan.context,
        "output": plan.output,
        "prefix": plan.prefix,
        "host_bytes_per_second": None
        if plan.host is None
        else Figure(round(10**9 * plan.host), BYTES_PER_SECOND, "exact"),
        "arrivals": plan.arrivals,
        "load": None if plan.load is None else load_figure(plan, plan.load),
        "target_ttft_seconds": ttft,
        "target_tpot_seconds": tpot,
        "ttft_percentile": None if plan.targets.share is None else round(100 * plan.targets.share),
        **_media_data(plan),
    }


def _media_data(plan: ServingPlan) -> dict[str, Data]:
    """Images and sounds of each prompt, where there are some."""
    costs = plan.media_costs
    return {"media": media_data(plan.spec, costs, plan.context)} if costs else {}


def answer_data(
    plan: ServingPlan,
    found: Found,
    rows: Sequence[Record] = (),
    *,
    front: Sequence[Point] | None = None,
    binds: str | None = None,
    without: Deployed | None = None,
    relaxed: Sequence[Record] = (),
    nearest: Record | None = None,
    command: str | None = None,
) -> dict[str, Data]:
    """What was asked and found, how much was tried for it, and what would change it.

    `front`: the Pareto front, where it is known. `nearest`: where nothing meets the targets.
    """
    return {
        **asked_data(plan),
        "meets": bool(rows),
        "binds": binds,
        "evaluated": found.evaluated,
        "search_seconds": Figure(found.seconds, SECONDS, "measured"),
        "rejected": dict(found.reasons),
        "rows": rows,
        "pareto": [point_data(point) for point in thinned(pareto(found) if front is None else front, MOST_POINTS)],
        "without_prefix": None if without is None else row_data(plan._replace(prefix=0, host=None), found, without),
        "relaxed": relaxed,
        "nearest": nearest,
        "command": command,
    }
