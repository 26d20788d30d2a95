"""What an engine's settings keep requests waiting, against a simulation that goes through a closed loop step by step."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import pytest

from tscale.core.costs.serving_waits import Scheduling, steps_waited

STEPS = 60_000
Takes = Callable[[int, list[list[int]]], bool]
"""Whether prompts are taken in at a step, of what waits at each copy of attention: when each prompt came."""


def simulated(concurrency: int, output: int, takes: Takes, copies: int = 1) -> float:
    """Mean steps from a request's arrival to the step that takes it in: each user sends the next when the last is answered.

    Answers are of 80% to 100% of the longest, as benchmarks draw them; requests go to the copies in turn.
    """
    random = np.random.default_rng(5)
    waiting: list[list[int]] = [[] for _ in range(copies)]
    ends = sorted(random.integers(1, output, concurrency).tolist())
    waits: list[int] = []
    sent = 0
    for step in range(STEPS):
        while ends and ends[0] <= step:
            ends.pop(0)
            waiting[sent % copies].append(step)
            sent += 1
        if takes(step, waiting):
            came = [when for queue in waiting for when in queue]
            waits += [step - when for when in came]
            ends = sorted(ends + (step + random.integers(int(0.8 * output), output, len(came))).tolist())
            waiting = [[] for _ in range(copies)]
    return float(np.mean(waits[concurrency:]))


def arrivals(concurrency: int, output: int, waited: float) -> float:
    """Requests a step, of a loop in which each takes a mean answer and what it waits."""
    return concurrency / (0.9 * output + waited)


@pytest.mark.parametrize(("steps", "concurrency"), [(10, 8), (30, 64), (30, 256)])
def test_requests_that_are_looked_for_now_and_then_wait_half_as_long(steps: int, concurrency: int) -> None:
    measured = simulated(concurrency, 1024, lambda step, _: step % steps == 0)
    assert steps_waited(Scheduling(polled=steps), 0.1, concurrency, 1000, 1) == pytest.approx(measured, rel=0.08)


@pytest.mark.parametrize("concurrency", [4, 64, 256])
def test_prompts_wait_for_others_so_many_steps(concurrency: int) -> None:
    """`batch_wait_timeout_iters` of 20: counted from the first prompt that waits."""
    found = Scheduling(gathered=20, gathered_tokens=inf)
    measured = simulated(concurrency, 1024, lambda step, waiting: bool(waiting[0]) and step - min(waiting[0]) >= 20)
    said = steps_waited(found, arrivals(concurrency, 1024, measured), concurrency, 1000, 1)
    assert said == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("concurrency", [128, 512])
def test_prompts_wait_until_there_are_enough_tokens_of_them(concurrency: int) -> None:
    """Five prompts of 1,000 and a token of each answer fill `batch_wait_max_tokens_ratio` of the budget."""
    full = 5000 + concurrency

    def takes(step: int, waiting: list[list[int]]) -> bool:
        came = waiting[0]
        return bool(came) and (step - min(came) >= 400 or 1000 * len(came) + concurrency >= full)

    measured = simulated(concurrency, 1024, takes)
    found = Scheduling(gathered=400, gathered_tokens=full)
    said = steps_waited(found, arrivals(concurrency, 1024, measured), concurrency, 1000, 1)
    assert said == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(("concurrency", "copies"), [(16, 8), (64, 8), (512, 8), (64, 2)])
def test_prompts_wait_until_each_copy_of_attention_has_one(concurrency: int, copies: int) -> None:
    """`timeout_iters` of 60, counted since prompts were last taken in."""
    last = 0

    def takes(step: int, waiting: list[list[int]]) -> bool:
        nonlocal last
        if all(waiting) or step - last >= 60:
            last = step
            return True
        return False

    measured = simulated(concurrency, 1024, takes, copies)
    said = steps_waited(Scheduling(balanced=60), arrivals(concurrency, 1024, measured), concurrency, 1000, copies)
    assert said == pytest.approx(measured, rel=0.15)


def test_an_engine_that_is_not_told_to_wait_does_not() -> None:
    assert steps_waited(Scheduling(), 0.1, 64, 1000, 8) == 0


def test_arrays_of_loads_wait_as_each_of_them() -> None:
    found = Scheduling(polled=10, gathered=20, gathered_tokens=9000, balanced=60)
    loads = np.array([0.01, 0.1, 1.0])
    each = [steps_waited(found, load, 16, 1000, 8) for load in loads.tolist()]
    assert steps_waited(found, loads, 16, 1000, 8) == pytest.approx(each)  # type: ignore[arg-type]
