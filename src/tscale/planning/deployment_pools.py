"""Pools of their own for prefill and for decoding: which layouts are paired, and how many workers of each make a unit.

All pairs are thousands; those are tried that are best of their kind alone among the layouts of as many devices: by prompts or answers a
second within the target, and by the time of one that is alone. A worker that takes nearly all of the time to first token for a prompt that
is alone has none left for others to wait in: it counts for what it does in what is left, as a server of random arrivals answers within T
on average up to a share 1 - s/T of what it can, where it takes s alone (M/M/1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import gcd, inf
from typing import Final, NamedTuple

import numpy as np

from tscale.calibration.serving_calibration import Calibration
from tscale.calibration.serving_case import Pool, ServingCase
from tscale.planning.deployment_arrays import slow_ends
from tscale.planning.deployment_curves import Unit, units_of, with_pools
from tscale.planning.deployment_loads import Targets, within

_MOST_WORKERS: Final = 32
_MORE: Final = 4
"""Workers that prefill for one that decodes, which are tried however little they have to do: the wait for a prefill is shorter."""
_SHARES: Final = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.45, 1.6, 1.8)
"""Workers of one pool that are tried, over those that just do for the other."""


class _Worker(NamedTuple):
    """A layout of a pool, and the requests a second that one worker of it takes in or answers."""

    pool: Pool
    rate: float
    alone: float
    """Seconds to the first token, or of an output token, of a request that is alone."""
    left: float = 1.0
    """The share of the target that is left where nobody waits."""

    @property
    def limited(self) -> float:
        """Requests a second in the time that is left."""
        return self.rate * self.left

    @property
    def merits(self) -> tuple[tuple[float, float], ...]:
        """What may make it the best: what it does in the time that is left, or in all of it, and how soon; then another of them."""
        return (self.limited, self.rate), (self.rate, self.limited), (-self.alone, self.rate)


def pooled_cases(
    singles: Sequence[Unit], targets: Targets, calibration: Calibration, devices: int | None = None
) -> Iterator[ServingCase]:
    """Units of both pools on no more than `devices`, made of the best layouts of units that have one pool."""
    room = inf if devices is None else devices
    small = [unit.case for unit in singles if unit.devices < room and unit.case.decode.layout.pipeline == 1]
    apart = [case._replace(disaggregated=True) for case in small]
    prefills = _best(_prefilling(apart, targets, calibration))
    decodes = _best(_decoding(apart, targets, calibration))
    for prefill in prefills:
        for decode in decodes:
            rates = dict.fromkeys((prefill.rate, prefill.limited))
            pairs = dict.fromkeys(pair for rate in rates if rate for pair in _workers(rate, decode.rate))
            for takes, answers in pairs:
                pools = prefill.pool._replace(workers=takes), decode.pool._replace(workers=answers)
                case = with_pools(singles[0].case, *pools)
                if case.devices <= room:
                    yield case


def _best(workers: Iterable[_Worker]) -> list[_Worker]:
    """Of each number of devices the one that does most in the time that is left, that which does most in all of it, and the quickest.

    So that what is tried beside them changes nothing but for the better, whatever the load. Of those that are predicted alike, as
    experts that are spread or cut often are, the first.
    """
    found: dict[tuple[int, int], _Worker] = {}
    for worker in workers:
        for which, merit in enumerate(worker.merits):
            best = found.setdefault((worker.pool.layout.devices, which), worker)
            if merit > best.merits[which]:
                found[worker.pool.layout.devices, which] = worker
    return list({id(worker): worker for worker in found.values()}.values())


def _prefilling(cases: Sequence[ServingCase], targets: Targets, calibration: Calibration) -> list[_Worker]:
    """Workers that take prompts in, of those where a prompt that is alone meets the target; where none does, the quickest."""
    slow = slow_ends(cases, [np.ones(1)] * len(cases), calibration)
    alone = [float(one.ttft[0]) for one in slow]
    most = max(targets.ttft, min(alone, default=inf))
    return [
        _Worker(case.prefill, one.prompts_per_second, ttft, max(1 - ttft / targets.ttft, 0.0))
        for case, one, ttft in zip(cases, slow, alone, strict=True)
        if ttft <= most
    ]


def _decoding(cases: Sequence[ServingCase], targets: Targets, calibration: Calibration) -> Iterator[_Worker]:
    """Workers that decode, with the requests that each answers within the target; where none does, the quickest with one request."""
    found = units_of([case._replace(decoding=1.0) for case in cases], calibration)
    units = [one for one in found if isinstance(one, Unit)]
    quickest = min((float(unit.curve.tpot[0]) for unit in units), default=inf)
    targets = targets._replace(tpot=max(targets.tpot, quickest))
    for unit in units:
        points = within(unit.curve, targets)
        if len(points.tpot):
            rate = float(np.max(points.at_once / points.tpot)) / unit.case.output
            yield _Worker(unit.case.decode, rate, float(points.tpot[0]))


def _workers(takes: float, answers: float) -> Iterator[tuple[int, int]]:
    """Workers of either pool that go together: about as many that prefill as those that decode can use; and one of each.

    More of them take prompts in sooner, fewer leave those that decode idle.
    """
    pairs = [(more, 1) for more in range(1, _MORE + 1)]
    for decode in (1, 2, 3):
        needed = decode * answers / takes
        pairs += [(max(round(needed * times), 1), decode) for times in _SHARES]
    share = takes / answers
    pairs += [(1, max(round(share * times), 1)) for times in _SHARES]
    reduced = [(one // gcd(one, other), other // gcd(one, other)) for one, other in pairs if one and other]
    yield from (pair for pair in dict.fromkeys(reduced) if max(pair) <= _MOST_WORKERS)
