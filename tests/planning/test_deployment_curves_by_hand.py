"""Points of a unit's curve, and its slow side, one number of requests at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.planning import deployment_curves
from tscale.planning.deployment_arrays import Slow
from tscale.planning.deployment_curves import Rejected, Unit, _curve, _grid, copied, unit_of, with_pools


@pytest.mark.parametrize("most", [1, 2, 63, 64, 65, 66, 67, 100, 1000, 1024, 50_000])
def test_a_curve_has_every_number_up_to_64_and_then_each_that_is_a_thirtieth_more(most: int) -> None:
    points = set(range(1, min(most, 64) + 1)) | {most}
    step = 1
    while round(64 * 1.03**step) < most:
        points.add(round(64 * 1.03**step))
        step += 1
    assert _grid(most).tolist() == sorted(points)


def _case(**changes: Any) -> Any:
    return SimpleNamespace(**{"disaggregated": False, "output": 10, **changes})


def _slow(n: Any, prompts: float) -> Slow:
    """Of n requests at once 0.01·n seconds of a token, 0.1·n to the first, and 1 + n of all."""
    return Slow(0.01 * n, 0.1 * n, 1.0 + n, prompts)


def test_a_curve_has_the_requests_that_are_answered_of_those_in_progress() -> None:
    n = np.arange(1, 6)
    curve = _curve(_case(), n, _slow(n.astype(float), 0.1))  # one pool: nobody waits for the other
    assert curve.at_once.tolist() == [1, 2, 3, 4, 5]
    assert curve.tpot.tolist() == pytest.approx([0.01 * m for m in n])
    assert curve.ttft.tolist() == pytest.approx([0.1 * m for m in n])
    assert curve.throughput.tolist() == pytest.approx([m / (1 + m) for m in n])


def test_requests_wait_for_a_pool_that_takes_prompts_in_more_slowly_than_they_come() -> None:
    """0.7 prompts a second: of 1 and 2 requests 1/2 and 2/3 a second are answered; of 3 to 5 only 0.7 of 3/4, 4/5 and 5/6.

    These are n/0.7 seconds in progress (Little's law), and 10 tokens of 0.01·n seconds take 0.1·n of that.
    """
    n = np.arange(1, 6)
    curve = _curve(_case(disaggregated=True), n, _slow(n.astype(float), 0.7))
    assert curve.throughput.tolist() == pytest.approx([1 / 2, 2 / 3, 0.7, 0.7, 0.7])
    waits = [1 / (1 / 2) - 0.1, 2 / (2 / 3) - 0.2, *(m / 0.7 - 0.1 * m for m in (3, 4, 5))]
    assert curve.ttft.tolist() == pytest.approx([max(0.1 * m, wait) for m, wait in zip(n, waits, strict=True)])


@pytest.mark.parametrize(("room", "held"), [(30.0, 3), (29.0, 2), (10.0, 1), (9.0, 0)])
@pytest.mark.parametrize(("copies", "workers"), [(1, 1), (2, 1), (2, 3)])
def test_a_unit_ends_where_its_memory_does_or_where_it_is_asked_to(
    room: float, held: int, copies: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request takes 10 bytes of the room that each rank has; an engine decodes 2 on a rank at the most."""
    monkeypatch.setattr(deployment_curves, "cache_room", lambda _: (room, 10.0))
    monkeypatch.setattr(
        deployment_curves, "slow_ends", lambda _, loads, __: [_slow(at_once.astype(float), 1.0) for at_once in loads]
    )
    monkeypatch.setattr(deployment_curves, "MOST_ON_A_RANK", 2)

    class _Unit(SimpleNamespace):
        def _replace(self, **changes: Any) -> _Unit:
            return _Unit(**{**vars(self), **changes})

    ranks, nobody = copies * workers, SimpleNamespace()
    case: Any = _Unit(**vars(_case()), decode=SimpleNamespace(layout=SimpleNamespace(attention_data=copies), workers=workers))  # fmt: skip
    for most, end in ((None, 2 * ranks), (1, 1), (held * ranks, held * ranks), (100, 100)):
        for memory in (1.0, 2.0):
            unit = unit_of(case, nobody, most, memory)  # type: ignore[arg-type]
            fits = int(memory * room / 10) * ranks
            if not fits:
                assert isinstance(unit, Rejected)
                assert unit.reason == "memory"
            elif end:
                assert isinstance(unit, Unit)
                assert (unit.curve.at_once[-1], unit.memory) == (min(fits, end), fits <= end)


def test_copies_have_workers_of_either_pool_or_of_one() -> None:
    class _Pool(SimpleNamespace):
        def _replace(self, **changes: Any) -> _Pool:
            return _Pool(**{**vars(self), **changes})

    prefill, decode = _Pool(workers=2, name="prefill"), _Pool(workers=3, name="decode")
    plain: Any = _Pool(prefill=decode, decode=decode, disaggregated=False, concurrency=1)
    one = copied(plain, 4, 9)
    assert (one.prefill, one.decode.workers, one.concurrency) == (one.decode, 12, 9)
    apart = with_pools(plain, prefill, decode)  # type: ignore[arg-type]
    assert apart.disaggregated
    several = copied(apart, 4, 9)
    assert (several.prefill.workers, several.decode.workers, several.concurrency) == (8, 12, 9)
    assert not with_pools(apart, decode, decode).disaggregated  # type: ignore[arg-type]
