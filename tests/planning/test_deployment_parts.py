"""The parts of the search for deployments, each against what can be worked out by hand or tried one by one."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from math import inf
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.core.axis import Axis
from tscale.core.serving_layout import ServingLayout
from tscale.planning import deployment_search
from tscale.planning.deployment_layouts import LayoutAxes, Room, layouts
from tscale.planning.deployment_loads import (
    Carried,
    Targets,
    at_most,
    largest_rate,
    largest_users,
    places,
    units_for,
    within,
)
from tscale.planning.deployment_pools import _workers
from tscale.planning.deployment_search import Choice, Wanted, _bounds, _choice, _copies, _key, least_at_once
from tscale.planning.queueing import Curve, mean_ttft

# ---------------------------------------------------------------------------------------------------------------------
# Layouts
# ---------------------------------------------------------------------------------------------------------------------


def _degrees(axes: LayoutAxes, room: Room, engine: str = "vllm") -> list[tuple[Any, ...]]:
    return [tuple(one)[:5] for one in layouts(axes, room, engine)]


def test_a_dense_model_is_cut_within_a_node_and_staged_by_as_many_as_it_has_layers() -> None:
    """On 8 devices in nodes of 4, of 3 layers: tensor by 1, 2 or 4, stages 1 or 2 (4 are more than layers), attention once."""
    expected = [(t, p, 1, t, 1) for t in (1, 2, 4) for p in (1, 2)]
    assert _degrees(LayoutAxes(), Room(4, 8, 3, 1)) == expected
    assert _degrees(LayoutAxes(), Room(4, 8, 2, 0)) == expected
    assert _degrees(LayoutAxes(), Room(4, 7, 3, 1)) == expected[:-1]  # 4 by 2 would take 8
    assert _degrees(LayoutAxes(), Room(4, 2, 3, 1)) == [(1, 1, 1, 1, 1), (1, 2, 1, 1, 1), (2, 1, 1, 2, 1)]
    assert _degrees(LayoutAxes(), Room(1, 8, 4, 1)) == [(1, p, 1, 1, 1) for p in (1, 2, 4)]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_experts_are_whole_or_cut_on_all_ranks_and_attention_is_copied(engine: str) -> None:
    """4 devices, 2 experts: no more ranks hold whole ones. SGLang and TensorRT-LLM spread them over copies of attention too."""
    expected = set()
    for t in (1, 2, 4):
        for copies in (1, 2, 4):
            ranks = t * copies
            if ranks <= 4 and not (engine == "trtllm" and t > 1 and copies > 1):
                spread = {1, ranks, copies} if engine != "vllm" else {1, ranks}
                expected |= {(t, 1, e, ranks // e, copies) for e in spread if e <= 2}
    found = _degrees(LayoutAxes(pipeline=Axis("1", (1,))), Room(4, 4, 1, 2), engine)
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_ranks_go_to_64_unless_more_are_asked_for() -> None:
    room, one = Room(8, 1024, 1, 256), Axis("1", (1,))
    found = _degrees(LayoutAxes(pipeline=one), room)
    assert max(t * copies for t, _, _, _, copies in found) == 64
    asked = _degrees(LayoutAxes(pipeline=one, tensor=Axis("2", (2,)), attention_data=Axis("64", (64,))), room)
    assert asked == [(2, 1, 1, 128, 64), (2, 1, 128, 1, 64)]
    wide = _degrees(LayoutAxes(pipeline=one, tensor=Axis("128", (128,))), room)
    assert {t * copies for t, _, _, _, copies in wide} == {128}  # what was asked of one degree, copied no further


def test_degrees_of_experts_that_are_asked_for_are_divisors_of_the_ranks() -> None:
    axes = LayoutAxes(Axis("4", (4,)), Axis("1", (1,)), attention_data=Axis("1", (1,)))
    room = Room(8, 8, 1, 8)
    assert _degrees(axes._replace(expert=Axis("2", (2,))), room) == [(4, 1, 2, 2, 1)]
    assert _degrees(axes._replace(expert_tensor=Axis("1,4", (1, 4))), room) == [(4, 1, 1, 4, 1), (4, 1, 4, 1, 1)]
    assert _degrees(axes._replace(expert=Axis("3", (3,))), room) == []


# ---------------------------------------------------------------------------------------------------------------------
# Loads
# ---------------------------------------------------------------------------------------------------------------------

CURVE = Curve(
    np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.8, 1.0]), np.array([0.25, 0.5, 1.0]), np.array([0.01, 0.02, 0.03])
)


def test_a_curve_ends_where_an_output_token_takes_longer_than_it_may() -> None:
    assert [len(within(CURVE, Targets(tpot=tpot)).tpot) for tpot in (0.005, 0.01, 0.02, 0.029, 0.03, inf)] == [
        0, 1, 2, 2, 3, 3,
    ]  # fmt: skip
    bumpy = CURVE._replace(tpot=np.array([0.01, 0.03, 0.02]))
    assert len(within(bumpy, Targets(tpot=0.02)).tpot) == 1  # what comes behind the first is not looked at


def test_a_rate_is_at_most_what_is_answered_in_time() -> None:
    assert [at_most([CURVE], Targets(ttft)) for ttft in (0.2, 0.25, 0.5, 1.0)] == [[0], [0.5], [0.8], [1.0]]
    assert at_most([CURVE.upto(1), CURVE, CURVE._replace(tpot=CURVE.tpot[::-1])], Targets(tpot=0.02)) == [0.5, 0.8, 0]
    assert at_most([], Targets()) == []


def test_the_largest_rate_is_where_the_mean_wait_reaches_its_target() -> None:
    targets = Targets(ttft=0.8)
    found = largest_rate(CURVE, targets)
    assert found is not None
    assert 0 < found.load < 0.8
    assert mean_ttft(CURVE, found.load).min() <= 0.8 < mean_ttft(CURVE, found.load * 1.0001).min()
    assert found.places == places(CURVE, targets, found.load)
    assert found.places == CURVE.at_once[mean_ttft(CURVE, found.load).argmin()]
    assert largest_rate(CURVE, Targets(ttft=0.2)) is None


def test_users_are_those_whose_turn_comes_within_the_target() -> None:
    """Of 4 places a request takes 4/1 s, 1 of it to the first token: within 1 s 1·(1 + 3) users are served.

    Of 2 places, a request takes 2/0.8 = 2.5 s, and 0.5 of it is waited for the first token: 0.8·(0.6 + 2) = 2.08 users within 0.6 s.
    """
    assert largest_users(CURVE, Targets(ttft=1.0)) == Carried(4.0, 4.0)
    assert largest_users(CURVE, Targets(ttft=0.6)) == Carried(2.0, 2.0)
    assert largest_users(CURVE, Targets(ttft=3.0)) == Carried(6.0, 4.0)  # 1·(3 + 3)
    assert largest_users(CURVE, Targets()) == Carried(4.0, 4.0)  # where none waits: all places
    assert largest_users(CURVE, Targets(tpot=0.02)) == Carried(2.0, 2.0)
    assert largest_users(CURVE, Targets(ttft=0.2)) is None


def test_a_load_takes_as_many_units_as_carry_it() -> None:
    assert [units_for(load, 5.0) for load in (0.1, 5.0, 5.000000001, 5.1, 10.0, 11.0)] == [1, 1, 1, 2, 2, 3]


# ---------------------------------------------------------------------------------------------------------------------
# Choices
# ---------------------------------------------------------------------------------------------------------------------


def _unit(devices: int, curve: Curve = CURVE) -> Any:
    return SimpleNamespace(devices=devices, curve=curve, case=SimpleNamespace(hardware=SimpleNamespace(name="chip")))


def test_copies_carry_the_load_on_the_devices_that_there_are() -> None:
    """Units of 2 devices that carry 4."""

    def copies(load: float | None, devices: int | None, may: tuple[int, ...] | None = None) -> int:
        return _copies(_unit(2), Wanted("users", load, devices, Targets(), copies=may), 4.0)

    assert [copies(load, None) for load in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]
    assert [copies(9, devices) for devices in (5, 6, 7)] == [0, 3, 3]
    assert [copies(9, None, may) for may in ((1, 2), (2, 3), (4, 8))] == [0, 3, 4]
    assert copies(9, 6, (4, 8)) == 0
    assert [copies(None, devices) for devices in (1, 2, 3, 8)] == [0, 1, 1, 4]
    assert [copies(None, 8, may) for may in ((1, 3, 5), (4,), (5,))] == [3, 4, 0]


def test_choices_are_ordered_by_what_they_cost_or_what_they_carry() -> None:
    unit, carried = _unit(2), Carried(4.0, 4.0)
    choice = Choice(unit, 3, carried)
    assert (choice.devices, choice.load) == (6, 12.0)
    few = Wanted("users", 9, None, Targets())
    assert _key(choice, few) == (6.0, -12.0)
    assert _key(choice, few._replace(price={"chip": 2.5})) == (15.0, -12.0)
    assert _key(choice, few._replace(load=None)) == (-12.0, 6.0)


@pytest.mark.parametrize("arrivals", ["rate", "users"])
@pytest.mark.parametrize("load", [None, 0.3, 0.7, 1.9])
@pytest.mark.parametrize("devices", [1, 8])
def test_a_bound_is_not_above_the_key_of_the_choice(arrivals: Any, load: float | None, devices: int) -> None:
    wanted = Wanted(arrivals, load, devices, Targets(ttft=0.8))
    choice = _choice(_unit(2), wanted)
    assert (choice is None) == (devices == 1)
    (bound,) = _bounds([_unit(2)], wanted)
    assert bound == inf if choice is None else bound <= _key(choice, wanted)[0] < inf


def test_a_unit_that_carries_nothing_is_no_choice() -> None:
    wanted = Wanted("rate", 1.0, None, Targets(ttft=0.2))
    assert _choice(_unit(1), wanted) is None
    assert _bounds([_unit(1)], wanted) == [inf]
    assert _bounds([_unit(1)], wanted._replace(arrivals="users")) == [inf]


@pytest.mark.parametrize("load", [9.0, None])
def test_units_that_cannot_be_among_the_best_are_not_measured(
    load: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units of 1 to 32 devices that carry 4 each: those of 1 and 2 take fewest for 9, and carry the most on 16; one has no room."""
    seen: list[int] = []

    def watched(unit: Any, wanted: Wanted) -> Choice | None:
        seen.append(unit.devices)
        return _choice(unit, wanted)

    monkeypatch.setattr(deployment_search, "_choice", watched)
    units = [_unit(devices) for devices in (8, 1, 16, 4, 2, 32)]
    found = islice(deployment_search.chosen(units, Wanted("users", load, 16, Targets(ttft=1.0))), 2)
    assert [choice.unit.devices for _, choice in found] == [1, 2]
    assert seen == [1, 2]


def test_a_unit_is_measured_as_long_as_its_bound_is_below_the_last_of_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of 1, 2, 3 and 6 whose units come to 1, 5, 3 and 6: the best two are the first and the third."""
    keys = {1: (1.0, 1.0), 2: (2.0, 5.0), 3: (3.0, 3.0), 6: (6.0, 6.0)}
    monkeypatch.setattr(deployment_search, "_bounds", lambda units, _: [keys[unit.devices][0] for unit in units])
    monkeypatch.setattr(deployment_search, "_choice", lambda unit, _: Choice(unit, 1, Carried(1.0, 1.0)))
    monkeypatch.setattr(deployment_search, "_key", lambda choice, _: (keys[choice.unit.devices][1], 0.0))
    found = deployment_search.chosen(list(map(_unit, keys)), Wanted("rate", 1.0, None, Targets()))
    assert [choice.unit.devices for _, choice in islice(found, 2)] == [1, 3]


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.31, 0.99, 1.0])
def test_the_least_number_in_progress_is_that_of_trying_each(rate: float) -> None:
    """n requests are answered at a rate of n/(n + 9) of what 90 are at the most."""

    def answered(n: Any) -> Any:
        return n / (n + 9) * 99 / 90

    assert least_at_once(answered, rate, 90) == next(n for n in range(1, 91) if answered(n) >= rate)
    assert least_at_once(answered, 1.01, 90) is None
    assert [least_at_once(np.array, n, 90) for n in (1, 33, 45, 90)] == [
        1,
        33,
        45,
        90,
    ]  # exactly as many as are asked for
    assert least_at_once(lambda n: n / 10, 54_321.05, 10**6) == 543_211  # of more than are tried at once


def test_workers_of_either_pool_are_about_as_many_as_the_other_can_use() -> None:
    """A worker takes in 2 requests a second where one answers 10: 5 for one, 10 for two, 15 for three; or 0.6 to 1.8 times as many.

    One that takes in, for 0.2 of one that answers: for one at the least. And up to four for one, whatever they have to do.
    """
    expected = {(1, 1), (2, 1), (3, 1), (4, 1)}
    for share in (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.45, 1.6, 1.8):
        for answers in (1, 2, 3):
            expected.add(Fraction(round(5 * answers * share), answers).as_integer_ratio())
    assert set(_workers(2.0, 10.0)) == expected
    assert (1, 32) in set(_workers(32.0, 1.0))
    assert max(max(pair) for pair in _workers(1.0, 40.0)) <= 32
    assert len(list(_workers(2.0, 10.0))) == len(expected)


def test_a_layout_is_of_all_its_degrees() -> None:
    assert next(iter(layouts(LayoutAxes(), Room(1, 1, 1, 1), "vllm"))) == ServingLayout(1, 1, 1, 1, 1)
