"""The interval of a prediction: from what was measured of other runs of its kind, over what was predicted of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Final, NamedTuple

from tscale.core.elementwise import larger, smaller

SHARE: Final = 0.8
"""How much of what is measured an interval is to hold."""
FEW: Final = 20
"""Runs below which an interval is as long on either side, for a tenth of them at either end is hardly one."""


class Interval(NamedTuple):
    """An 80% interval and its middle; never less than a bound. All may be arrays."""

    low: float
    middle: float
    high: float


def interval(predicted: float, low: float, high: float, bound: float | None = None) -> Interval:
    """The interval of a prediction, `low` and `high` times of it, none of which is below what is possible.

    >>> interval(2.0, 0.9, 1.25, bound=1.9)
    Interval(low=1.9, middle=2.0, high=2.5)
    """
    least = 0.0 if bound is None else bound
    middle = larger(predicted, least)
    return Interval(smaller(larger(predicted * low, least), middle), middle, larger(predicted * high, middle))


def factors(ratios: Sequence[float]) -> tuple[float, float]:
    """What to multiply a prediction by for the ends of an interval that holds 80% of such `ratios` of measured to predicted.

    Of n ratios, the (n+1)·10% from either end, between two of them in proportion, so that another one lies within with a
    probability of 80% (the order statistics of a sample split its distribution evenly). Of few, as far on either side.
    Never empty: `low` is at the most 1 and `high` at the least.

    >>> factors([1.0] * 30)
    (1.0, 1.0)
    """
    logs = sorted(map(log, ratios))
    if len(logs) < FEW:
        most = _at(sorted(map(abs, logs)), (len(logs) + 1) * SHARE)
        return exp(-most), exp(most)
    rank = (len(logs) + 1) * (1 - SHARE) / 2
    return min(exp(_at(logs, rank)), 1.0), max(exp(_at(logs, len(logs) + 1 - rank)), 1.0)


def _at(ordered: Sequence[float], rank: float) -> float:
    """The value at a rank, counted from 1."""
    place = min(max(rank - 1, 0.0), len(ordered) - 1.0)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
