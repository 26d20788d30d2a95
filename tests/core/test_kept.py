"""What is kept with a ledger is what it would come to anew."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tscale.catalogue.hardware import find_hardware
from tscale.core.costs.schedules import pipelined
from tscale.core.costs.step_time import Batch, Workload, step_of
from tscale.core.costs.wall_time import Recompute
from tscale.core.kept import MOST_KEPT, is_plain, keep
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shares_of
from tscale.core.tracing import trace
from tscale.models.lower import lower, run_of
from tscale.models.resolve import disclosed, resolve
from tscale.models.stages import stages

BOTH: tuple[Recompute, ...] = ("none", "full")


def test_a_thing_is_made_once_and_no_more_are_kept_than_said() -> None:
    made: dict[int, int] = {}
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        return 7

    assert [keep(made, 0, make) for _ in range(3)] == [7, 7, 7]
    assert len(calls) == 1
    for key in range(1000):
        keep(made, key, make)
    assert len(made) <= MOST_KEPT


def test_nothing_is_kept_of_numbers_that_remember_or_of_arrays() -> None:
    assert is_plain((1, None, "a", True, (1, 2)))
    assert not is_plain((trace(1, "one"),))
    assert not is_plain((np.array([1]),))
    assert Parallelism(tensor=trace(8, "tensor")).cuts is None


@pytest.mark.parametrize("name", ["gpt3", "deepseek-v3"])
def test_a_step_asked_after_others_is_that_of_a_fresh_model(name: str) -> None:
    """Plans that differ in copies, ZeRO, experts and what is computed again, in turn on one model and each on its own."""
    cluster = find_hardware("h100").cluster()
    peak = cluster.device.flops_per_second["bf16"]
    plans = [
        Parallelism(tensor=8, sequence=True, pipeline=4, data=16, zero=1),
        Parallelism(tensor=8, pipeline=4, data=32, zero=3),
        Parallelism(tensor=4, pipeline=4, interleave=2, data=16, context=2),
        Parallelism(tensor=8, pipeline=4, data=16),
    ]

    def answer(plan: Parallelism, length: int, recompute: Recompute) -> object:
        work = Workload(
            run_of(spec, length), Batch(2048, 1), spec.d_model, recompute, parallel_block=spec.parallel_block
        )
        return step_of(stages(spec, plan), plan, work, cluster, peak)

    asked = [(plan, length, how) for plan in plans for length in (1024, 2048) for how in BOTH]
    spec = disclosed(resolve(name))
    together = [answer(*one) for one in asked]
    for one, found in zip(asked, together, strict=True):
        spec = disclosed(resolve(name))
        assert answer(*one) == found


def test_stages_of_one_ledger_are_not_those_of_another() -> None:
    spec, plan = disclosed(resolve("gpt3")), Parallelism(pipeline=4)
    plain, saving = lower(spec), lower(spec, saves=True)
    assert not stages(spec, plan, plain)[0].saved
    assert stages(spec, plan, saving)[0].saved
    assert stages(spec, plan, plain) is stages(spec, plan, plain)
    assert shares_of(stages(spec, plan, plain), plan)[1] is shares_of(stages(spec, plan, plain), plan)[2]


@pytest.mark.parametrize("seconds", [[3, 1, 1, 2], [2, 2, 2], [1], [1, 4, 4, 1, 1, 5]])
def test_a_pipeline_waits_as_stage_by_stage(seconds: list[int]) -> None:
    """Stage j takes t_j and waits for what went through those before it: the formula of the module, as a loop."""
    each = [Fraction(one, 7) for one in seconds]
    expected = max(each[j] + sum(each[:j], Fraction()) / 12 for j in range(len(each)))
    assert pipelined(each, 12) == expected
