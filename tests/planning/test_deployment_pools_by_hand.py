"""Pools that are paired: the best workers of each number of devices, and so many of each as go together."""

from __future__ import annotations

from collections import Counter
from math import gcd
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.planning import deployment_pools
from tscale.planning.deployment_curves import Rejected, Unit
from tscale.planning.deployment_loads import Targets
from tscale.planning.deployment_pools import _best, _decoding, _Worker, _workers, pooled_cases
from tscale.planning.queueing import Curve


class _Thing(SimpleNamespace):
    """What has fields that may be replaced."""

    def _replace(self, **changes: Any) -> _Thing:
        return _Thing(**{**vars(self), **changes})

    @property
    def devices(self) -> int:
        """Of a case: those of the workers of both pools, or of one."""
        pools = [self.decode, *([self.prefill] if self.disaggregated else [])]
        return sum(int(pool.workers * pool.layout.devices) for pool in pools)


def _pool(devices: int, workers: int = 1, pipeline: int = 1) -> Any:
    return _Thing(layout=SimpleNamespace(devices=devices, pipeline=pipeline), workers=workers)


def _unit(devices: int, pipeline: int = 1) -> Any:
    pool = _pool(devices, pipeline=pipeline)
    case = _Thing(decode=pool, prefill=pool, disaggregated=False, output=10)
    return SimpleNamespace(case=case, devices=devices)


def test_the_best_workers_are_those_of_each_number_of_devices_and_of_equals_the_first() -> None:
    """So that none takes the place of another whose size suits a load: of 2 devices one does less, and one has an equal."""
    rates = [(1, 1.0), (2, 6.0), (4, 10.0), (1, 2.0), (2, 6.0), (8, 12.0), (2, 5.0)]
    workers = [_Worker(_pool(devices), rate, 0.1) for devices, rate in rates]
    assert _best(workers) == [workers[place] for place in (3, 1, 2, 5)]
    assert _best([]) == []


def test_of_a_number_of_devices_those_that_do_most_in_the_time_that_is_left_or_in_all_of_it_and_the_quickest_are_best() -> (
    None
):
    """Of 10, 8, 6, 5, 4 and 3 prompts a second with 0, 10, 50, 50, 60 and 90% left: 3 is most, 10 the most of all, 3 at 90% the soonest."""
    left = [(10.0, 0.0), (8.0, 0.1), (6.0, 0.5), (5.0, 0.5), (4.0, 0.6), (3.0, 0.9)]
    found = _best(_Worker(_pool(1), rate, 1 - share, share) for rate, share in left)
    assert {worker.rate for worker in found} == {6.0, 10.0, 3.0}


def test_a_worker_decodes_as_many_as_it_does_within_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """1, 2 and 4 requests of 10 tokens at once in 0.01, 0.04 and 0.05 s a token: 10, 5 and 8 answers a second.

    Where none decodes within the target the quickest is taken, for an answer that says how near it comes.
    """
    at_once, tpot = np.array([1.0, 2.0, 4.0]), np.array([0.01, 0.04, 0.05])
    asked: list[float] = []

    def units_of(cases: Any, _: Any) -> Any:
        asked.extend(case.decoding for case in cases)
        curve = Curve(at_once, at_once, at_once, tpot)
        return [Unit(case, curve, True) if case.fits else Rejected(case, "memory", "") for case in cases]

    monkeypatch.setattr(deployment_pools, "units_of", units_of)
    case: Any = _Thing(fits=True, decoding=None, decode=_pool(2), output=10)
    nobody: Any = None
    for target, rate in ((0.05, 10.0), (0.01, 10.0), (0.009, 10.0)):
        workers = list(_decoding([case], Targets(tpot=target), nobody))
        assert [worker.rate for worker in workers] == [rate]
        assert all(worker.pool is case.decode for worker in workers)
    slower: Any = case._replace(decode=_pool(4))
    assert len(list(_decoding([case, slower], Targets(tpot=0.009), nobody))) == 2  # they are as quick as each other
    tpot[0] = 0.02  # 5, 5 and 8
    for target, rate in ((0.04, 5.0), (0.05, 8.0)):
        (worker,) = _decoding([case._replace(fits=False), case], Targets(tpot=target), nobody)
        assert worker.rate == pytest.approx(rate)
    assert set(asked) == {1.0}  # all of a pool's requests decode


@pytest.mark.parametrize("devices", [None, 1, 2, 3, 5, 8, 100])
def test_pools_are_pairs_of_the_best_on_no_more_than_the_devices_that_there_are(
    devices: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units of 1, 2 and 4 devices without stages, one with some, and five of 8, the last of which does most.

    One that has stages, or as many devices as there are, is no part of a pair, and takes no better one's place among the best.
    """
    units = [*map(_unit, (1, 2, 4)), _unit(2, pipeline=2), *[_unit(8) for _ in range(5)]]
    rates = {id(unit.case.decode): unit.devices * (1.0 + place) for place, unit in enumerate(units)}

    def worker(share: float) -> Any:
        def made(cases: Any, *_: Any) -> Any:
            assert all(case.disaggregated for case in cases)
            return [_Worker(case.decode, share * rates[id(case.decode)], 0.1) for case in cases]

        return made

    def paired(case: Any, prefill: Any, decode: Any) -> Any:
        assert case is units[0].case
        return case._replace(prefill=prefill, decode=decode, disaggregated=True)

    monkeypatch.setattr(deployment_pools, "_prefilling", worker(3.0))
    monkeypatch.setattr(deployment_pools, "_decoding", worker(1.0))
    monkeypatch.setattr(deployment_pools, "with_pools", paired)
    nobody: Any = None
    found = Counter(
        (one.prefill.layout.devices, one.prefill.workers, one.decode.layout.devices, one.decode.workers)
        for one in pooled_cases(units, Targets(), nobody, devices)
    )
    room = 10**6 if devices is None else devices
    best = [
        (size, rate) for size, rate in ((1, 1.0), (2, 4.0), (4, 12.0), (8, 72.0)) if size < room
    ]  # 72: the best of five
    expected = Counter(
        (one, some, other, others)
        for one, takes in best
        for other, answers in best
        for some, others in _workers(3 * takes, answers)
        if some * one + others * other <= room
    )
    assert found == expected
    assert bool(found) == (room > 1)


@pytest.mark.parametrize(
    ("takes", "answers"), [(1.0, 1.0), (3.0, 2.0), (0.5, 20.0), (20.0, 0.5), (7.0, 3.0), (32.0, 1.0), (1.0, 32.0)]
)
def test_workers_that_go_together_have_nothing_in_common_and_are_no_more_than_32(takes: float, answers: float) -> None:
    """Up to four that prefill for one; for each of 1 to 3 that decode, 0.6 to 1.8 times those that just do; and the other way round."""
    just = answers / takes
    pairs = {(some, 1) for some in (1, 2, 3, 4)}
    for share in (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.45, 1.6, 1.8):
        pairs |= {(max(round(decode * just * share), 1), decode) for decode in (1, 2, 3)}
        pairs |= {(1, max(round(share / just), 1))}
    lowest = {(one // gcd(one, other), other // gcd(one, other)) for one, other in pairs}
    found = list(_workers(takes, answers))
    assert set(found) == {pair for pair in lowest if max(pair) <= 32}
    assert len(found) == len(set(found))
