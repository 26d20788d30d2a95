"""The load that a unit carries within its targets, and how many units a load takes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from typing import Final, NamedTuple

import numpy as np

from tscale.planning.queueing import Curve, Floats, mean_ttft, ttft_within


class Targets(NamedTuple):
    """Seconds to the first token, and of an output token; infinite where none is set.

    `share`: of the requests that stay within the first, where they arrive at random; None where it is a mean.
    """

    ttft: float = inf
    tpot: float = inf
    share: float | None = None


class Carried(NamedTuple):
    """The largest load of a unit within its targets: requests a second, or users in a closed loop; and the places it takes."""

    load: float
    places: float


_STEPS: Final = 24


def within(curve: Curve, targets: Targets) -> Curve:
    """The points of a curve up to the first at which an output token takes too long."""
    slow = np.flatnonzero(curve.tpot > targets.tpot)
    return curve.upto(int(slow[0]) if len(slow) else len(curve.tpot))


def ttft_at(curve: Curve, targets: Targets, rate: float) -> Floats:
    """Seconds to the first token of random arrivals by how many places there are, on average or of a share of them, as targets have it."""
    if targets.share is None:
        return mean_ttft(curve, rate)
    return ttft_within(curve, rate, targets.share)


def at_most(curves: Sequence[Curve], targets: Targets) -> list[float]:
    """More requests a second than each unit carries within its targets: those that it answers where none of them waits."""
    if not curves:
        return []
    _, *values = zip(*curves, strict=True)
    throughput, ttft, tpot = map(np.concatenate, values)
    sizes = [len(curve.tpot) for curve in curves]
    starts, places = np.cumsum([0, *sizes[:-1]]), np.arange(len(tpot))
    slow = np.minimum.reduceat(np.where(tpot > targets.tpot, places, len(tpot)), starts)
    quick = (places < np.repeat(slow, sizes)) & (ttft <= targets.ttft)
    found: list[float] = np.maximum.reduceat(np.where(quick, throughput, 0.0), starts).tolist()
    return found


def largest_rate(curve: Curve, targets: Targets) -> Carried | None:
    """The largest rate of random arrivals within the targets; None where not even one request alone is."""
    points, low, high = within(curve, targets), 0.0, at_most([curve], targets)[0]
    if not high:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if ttft_at(points, targets, middle).min() <= targets.ttft else (low, middle)
    return Carried(low, places(curve, targets, low)) if low > 0 else None


def places(curve: Curve, targets: Targets, rate: float) -> float:
    """The number of requests that a unit takes up at once with which those that arrive wait least for their first token."""
    points = within(curve, targets)
    return float(points.at_once[int(ttft_at(points, targets, rate).argmin())])


def largest_users(curve: Curve, targets: Targets) -> Carried | None:
    """The most users that each send a request when the last was answered, within the targets; None where not even one is.

    With B places, U of them wait U/X(B) less the time of a request, so that U = X(B)·(target + output·tpot(B)).
    """
    points = within(curve, targets)
    quick = points.ttft <= targets.ttft
    if not quick.any():
        return None
    answers = points.at_once / points.throughput - points.ttft
    users = np.where(quick, points.throughput * (targets.ttft + answers), 0.0)
    users = users if targets.ttft < inf else np.where(quick, points.at_once, 0.0)
    best = int(users.argmax())
    return Carried(float(np.floor(users[best] * (1 + 1e-9))), float(points.at_once[best]))


def units_for(load: float, carried: float) -> int:
    """How many units a load takes, each of which carries so much of it."""
    return max(1, ceil(load / carried * (1 - 1e-9)))
