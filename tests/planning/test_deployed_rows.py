"""Deployments under a load, of units whose times are a rule of thumb; and units of a real model, counted rank by rank."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.analysis.questions import question
from tscale.calibration.interval import Interval
from tscale.calibration.serving_calibration import Prediction, predict_held, shipped
from tscale.calibration.serving_case import Pool, ServingCase
from tscale.calibration.serving_deployed import cache_room
from tscale.core.serving_layout import ServingLayout
from tscale.estimates.plan_serve.search import _bases, room_of
from tscale.planning import deployment_rows
from tscale.planning.deployment_curves import MOST_ON_A_RANK, Rejected, Unit, copied, unit_of, with_pools
from tscale.planning.deployment_layouts import layouts
from tscale.planning.deployment_loads import Carried, Targets, largest_rate
from tscale.planning.deployment_pools import _prefilling, pooled_cases
from tscale.planning.deployment_rows import Deployed, _is_idle, deployed_row, ranking
from tscale.planning.deployment_search import Choice, Wanted
from tscale.planning.queueing import Curve, mean_ttft

# ---------------------------------------------------------------------------------------------------------------------
# Rows, of units that answer n requests at once in 1 + n/10 seconds, 0.1·n of them to the first token
# ---------------------------------------------------------------------------------------------------------------------

AT_ONCE = np.arange(1.0, 9.0)
CURVE = Curve(AT_ONCE, AT_ONCE / (1 + AT_ONCE / 10), 0.1 * AT_ONCE, 0.01 * AT_ONCE)


class _Case(SimpleNamespace):
    hardware, disaggregated = SimpleNamespace(name="chip"), False

    @property
    def devices(self) -> int:
        return int(2 * self.copies)

    def _replace(self, **changes: Any) -> _Case:
        return _Case(**{**vars(self), **changes})


def _predicted(case: Any, _: object) -> Prediction:
    each = case.concurrency / case.copies
    tpot, ttft, latency = (Interval(t / 2, 0.8 * t, t) for t in (0.01 * each, 0.1 * each, 1 + each / 10))
    return Prediction(tpot, ttft, latency, 0.0, 0.0, 0.0, "", "", None, 0.0, ttft, 0.0, 1.0)


@pytest.fixture
def rule_of_thumb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment_rows, "copied", lambda _, copies, at_once: _Case(copies=copies, concurrency=at_once))
    monkeypatch.setattr(deployment_rows, "predict_held", _predicted)


def _row(wanted: Wanted, copies: int, carried: Carried) -> Deployed | None:
    unit: Any = SimpleNamespace(devices=2, curve=CURVE, case=_Case(copies=1))
    return deployed_row(Choice(unit, copies, carried), wanted, None)  # type: ignore[arg-type]


def _users(users: float | None, copies: int, places: float, targets: Targets = Targets(), **how: Any) -> Deployed:
    found = _row(Wanted("users", users, None, targets, **how), copies, Carried(10.0, places))
    assert found is not None
    return found


@pytest.mark.usefixtures("rule_of_thumb")
def test_users_are_in_the_places_that_there_are_or_wait_their_turn() -> None:
    """Of 5 users 2 copies have 3 each at the most; of 20, with 8 places each, 4 wait for a quarter of what a request takes."""
    few = _users(5, 2, 2.0)
    assert (few.case.concurrency, few.places, few.waiting, few.load) == (5, 3, 0.0, 5)
    assert few.most == 20.0  # twice what one carries
    many = _users(20, 2, 4.0)
    assert (many.case.concurrency, many.places) == (16, 8)
    assert many.waiting == pytest.approx((20 / 16 - 1) * 1.8)
    assert _users(12, 2, 7.0).places == 7  # as many as carry the most
    assert _users(25, 2, 7.0).most == 25
    ends = _users(20, 2, 4.0, Targets(tpot=0.05))  # where 5 on a copy take 0.05 s for a token
    assert (ends.case.concurrency, ends.places) == (10, 5)
    assert ends.waiting == pytest.approx((20 / 10 - 1) * 1.5)


@pytest.mark.usefixtures("rule_of_thumb")
def test_a_row_meets_its_targets_at_the_slow_side_of_both_times() -> None:
    """8 users on 2 copies: 0.4 s to the first token and 0.04 s for each other, at the slow side."""
    row = _users(8, 2, 2.0)
    assert row.ttft_at_most == pytest.approx(0.4)
    assert row.requests_per_second == pytest.approx(8 / (0.8 * 1.4))
    for ttft, tpot, met in ((0.41, 0.041, True), (0.39, 0.041, False), (0.41, 0.039, False)):
        assert row.meets(Targets(ttft, tpot)) == met
    waiting = row._replace(waiting=0.3)
    assert waiting.ttft_at_most == pytest.approx(0.7)
    assert not waiting.meets(Targets(0.6, 1.0))
    assert row.meets(Targets(row.ttft_at_most, row.times.tpot.high))


@pytest.mark.usefixtures("rule_of_thumb")
def test_where_a_load_just_misses_the_next_number_of_copies_is_tried_that_may_be() -> None:
    """9 users on 2 copies are 4.5 on each, 0.45 s to the first token; on 3 they are 3 on each."""
    targets = Targets(ttft=0.4)

    def copies(devices: int | None, may: tuple[int, ...] | None = None) -> int | None:
        row = _row(Wanted("users", 9, devices, targets, copies=may), 2, Carried(10.0, 8.0))
        return None if row is None else row.choice.copies

    assert [copies(devices) for devices in (None, 5, 6, 7)] == [3, None, 3, 3]
    assert [copies(None, may) for may in ((2, 3), (3,), (2, 8), (2,))] == [3, 3, 8, None]


@pytest.mark.usefixtures("rule_of_thumb")
def test_the_most_is_a_little_less_where_it_misses() -> None:
    """20 users on 2 copies with 8 places would wait; of shares of them the first that meets 0.8 s is 80%, 8 on each."""
    row = _row(Wanted("users", None, 4, Targets(ttft=0.8)), 2, Carried(10.0, 8.0))
    assert row is not None
    assert (row.load, row.case.concurrency, row.most) == (16, 16, 20.0)
    whole = _row(Wanted("users", None, 4, Targets(ttft=2.0)), 2, Carried(10.0, 8.0))
    assert whole is not None
    assert whole.load == 20


@pytest.mark.usefixtures("rule_of_thumb")
def test_requests_that_come_at_random_are_as_many_in_progress_as_are_answered_and_wait() -> None:
    """At a rate of 4 on 2 copies, the fewest in progress that are answered as fast: n/(1 + n/20) is 4 at 5."""
    targets = Targets(ttft=3.0)
    row = _row(Wanted("rate", 4.0, None, targets), 2, Carried(3.0, 8.0))
    assert row is not None
    assert (row.case.concurrency, row.load, row.most) == (5, 4.0, 6.0)
    waits = mean_ttft(CURVE, 2.0)
    assert row.places == AT_ONCE[waits.argmin()]
    assert row.waiting == pytest.approx(max(0.0, waits.min() - 0.25))  # 2.5 of a copy take 0.25 s
    carried = largest_rate(CURVE, targets)
    assert carried is not None
    most = _row(Wanted("rate", None, 4, targets), 2, carried)
    assert most is not None
    assert most.load == most.most or most.load < 2 * carried.load == most.most
    assert _row(Wanted("rate", 1000.0, None, targets), 2, Carried(3.0, 8.0)) is None


@pytest.mark.usefixtures("rule_of_thumb")
def test_deployments_are_ranked_by_devices_or_dollars_or_by_their_load() -> None:
    row = _users(5, 2, 2.0)
    wanted = Wanted("users", 5, None, Targets())
    assert ranking(row, wanted) == (4.0, -20.0)
    assert ranking(row, wanted._replace(price={"chip": 2.5})) == (10.0, -20.0)
    assert ranking(row, wanted._replace(load=None)) == (-5, 4.0)


@pytest.mark.parametrize(
    ("workers", "copies", "at_once", "idle"),
    [(1, 64, 1, False), (4, 1, 1, True), (3, 1, 1, False), (26, 4, 80, True), (25, 4, 80, False), (122, 1, 100, True), (120, 1, 100, False)],
)  # fmt: skip
def test_a_worker_is_idle_where_others_have_a_rank_for_each_request_and_for_twice_the_root_more(
    workers: int, copies: int, at_once: int, idle: bool
) -> None:
    """Of 1, 80 and 100 requests in progress 3, 97.9 and 120 ranks are enough, without the last worker's."""
    case = _on(ServingLayout(1, 1, 1, copies, copies))._replace(concurrency=at_once)
    prefill = case.prefill._replace(workers=workers)
    assert _is_idle(with_pools(case, prefill, case.decode)) == idle
    assert not _is_idle(with_pools(case, prefill, prefill))


# ---------------------------------------------------------------------------------------------------------------------
# Units of a real model
# ---------------------------------------------------------------------------------------------------------------------


@cache
def _case() -> tuple[Any, ServingCase]:
    request = question("plan").made(
        {"model": "gpt-oss-20b", "gpu": "h100", "serve": True, "users": 10, "ttft": "10s", "input": "4k", "output": 64}
    )
    (_, case), *_ = _bases(request.deployments)
    return request.deployments, case


def _on(layout: ServingLayout, workers: int = 1) -> ServingCase:
    pool = Pool(layout, workers)
    return with_pools(_case()[1], pool, pool)


@pytest.mark.parametrize(("copies", "workers"), [(1, 1), (2, 1), (2, 3)])
def test_units_hold_as_many_requests_as_each_of_their_ranks_does(copies: int, workers: int) -> None:
    case = _on(ServingLayout(1, 1, 1, copies, copies), workers)
    room, each = cache_room(case)
    ranks = copies * workers
    for memory in (1.0, 0.5):
        unit = unit_of(case, shipped(), memory=memory)
        assert isinstance(unit, Unit)
        on_a_rank = next(n for n in range(10**6) if (n + 1) * each > memory * room)
        assert unit.memory == (on_a_rank <= MOST_ON_A_RANK)
        assert unit.curve.at_once[-1] == ranks * min(on_a_rank, MOST_ON_A_RANK)
    few = unit_of(case, shipped(), most=7)
    assert isinstance(few, Unit)
    assert (few.curve.at_once[-1], few.memory) == (7, False)
    full = unit_of(case, shipped(), most=ranks * int(room / each))
    assert isinstance(full, Unit)
    assert full.memory
    none = unit_of(case, shipped(), memory=0.0)
    assert isinstance(none, Rejected)
    assert none.reason == "memory"


def test_copies_have_as_many_workers_each() -> None:
    case = _on(ServingLayout(1, 1, 1, 1, 1), 2)
    several = copied(case, 3, 12)
    assert (several.decode.workers, several.prefill.workers, several.concurrency, several.devices) == (6, 6, 12, 6)
    apart = with_pools(case, case.prefill._replace(workers=1), case.decode._replace(workers=2))
    assert apart.disaggregated
    several = copied(apart, 3, 12)
    assert (several.prefill.workers, several.decode.workers, several.devices) == (3, 6, 9)


def test_pools_are_of_layouts_without_stages_on_the_devices_that_there_are() -> None:
    plan, case = _case()
    every = list(layouts(plan.axes, room_of(plan, case)._replace(devices=2), "vllm"))
    units = [unit for one in every if isinstance(unit := unit_of(_on(one), shipped(), most=16), Unit)]
    assert any(unit.case.decode.layout.pipeline > 1 for unit in units)
    targets = Targets(ttft=10.0)
    for devices in (2, 3):
        found = list(pooled_cases(units, targets, shipped(), devices))
        assert found
        assert all(one.disaggregated and one.devices <= devices for one in found)
        assert {one.decode.layout.pipeline for one in found} | {one.prefill.layout.pipeline for one in found} == {1}
        assert max(one.devices for one in found) == devices
    assert len(list(pooled_cases(units, targets, shipped()))) > len(found)
    assert not list(pooled_cases(units, targets, shipped(), 1))


def test_a_worker_of_a_pool_takes_prompts_where_one_that_is_alone_meets_the_target() -> None:
    """However many requests its deployment answers at once."""
    case = _on(ServingLayout(1, 1, 1, 1, 1))._replace(concurrency=64)
    alone = predict_held(case._replace(concurrency=1), shipped())
    assert alone.ttft.high < predict_held(case._replace(concurrency=2), shipped()).ttft.high
    (worker,) = _prefilling([case], Targets(ttft=alone.ttft.high), shipped())
    assert (worker.pool, worker.rate, worker.left) == (case.prefill, alone.prompts_per_second, 0.0)
    (roomy,) = _prefilling([case], Targets(ttft=4 * alone.ttft.high), shipped())
    assert (roomy.alone, roomy.left) == pytest.approx((alone.ttft.high, 0.75))
    assert roomy.limited == roomy.left * roomy.rate
    (endless,) = _prefilling([case], Targets(), shipped())
    assert endless.left == 1
    (late,) = _prefilling(
        [case], Targets(ttft=0.999 * alone.ttft.high), shipped()
    )  # the quickest, where none is quick enough
    assert (late.pool, late.left) == (case.prefill, 0.0)
