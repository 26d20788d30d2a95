"""The interval of a prediction: from what was measured of other runs of its kind, over what was predicted of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, log, sqrt
from typing import Final, NamedTuple

from tscale.core.elementwise import larger, smaller

SHARE: Final = 0.8
"""How much of what is measured an interval is to hold."""
FEW: Final = 20
"""Runs, or groups of runs that are wrong alike, below which an interval is as long on either side: a tenth of them at either end is hardly one."""


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


def factors(
    ratios: Sequence[float], share: float = SHARE, groups: Sequence[object] | None = None
) -> tuple[float, float]:
    """What to multiply a prediction by for the ends of an interval that holds a share of such `ratios` of measured to predicted.

    Of n ratios and 80%, the (n+1)·10% from either end, between two of them in proportion, so that another one lies within with a
    probability of 80% (the order statistics of a sample split its distribution evenly). Of few, as far on either side; runs of one of
    `groups` are wrong alike, so that which side most are off says no more of the next group than as many groups do.
    Never empty: `low` is at the most 1 and `high` at the least. Where fewer than 10% are beyond 1, that end is 1, and the other leaves out more.

    >>> factors([1.0] * 30)
    (1.0, 1.0)
    >>> low, high = factors([1.25] * 40, groups=["a", "b"] * 20)
    >>> round(low, 2), round(high, 2)
    (0.8, 1.25)
    """
    logs = sorted(map(log, ratios))
    if len(logs if groups is None else set(groups)) < FEW:
        most = _at(sorted(map(abs, logs)), (len(logs) + 1) * share)
        return exp(-most), exp(most)
    outside = (len(logs) + 1) * (1 - share)
    below, above = sum(one < 0 for one in logs), sum(one > 0 for one in logs)
    low = outside - min(above, outside / 2)
    high = outside - min(below, outside / 2)
    return min(exp(_at(logs, low)), 1.0), max(exp(_at(logs, len(logs) + 1 - high)), 1.0)


def _at(ordered: Sequence[float], rank: float) -> float:
    """The value at a rank, counted from 1."""
    place = min(max(rank - 1, 0.0), len(ordered) - 1.0)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


SHARES: Final = (SHARE, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)
"""Shares of all ratios that ends may hold, so that 80% of those of another group lie within."""


Ends = Callable[[Sequence[float], Sequence[object]], tuple[float, float]]
"""How ends are made of ratios and the group of each."""


def share_of_others(ratios: Sequence[float], groups: Sequence[object]) -> float:
    """The least of `SHARES` whose ends, of all groups but one, hold 80% of the ratios of that one, over all groups.

    Runs that have much in common are wrong alike, so that the ends of some groups hold less of the next group than of their own.
    """
    if len(set(groups)) == 1:
        return SHARE

    def ends_of(share: float) -> Ends:
        return lambda others, _: factors(others, share)

    return next((share for share in SHARES if _held(ends_of(share), ratios, groups) >= SHARE * len(ratios)), SHARES[-1])


def _held(ends: Ends, ratios: Sequence[float], groups: Sequence[object]) -> int:
    """How many ratios lie between ends that are made of the other groups'."""
    held = 0
    by_group = _by_group(ratios, groups)
    for own, judged in by_group.items():
        others = [(ratio, group) for group, theirs in by_group.items() if group != own for ratio in theirs]
        low, high = ends([ratio for ratio, _ in others], [group for _, group in others])
        held += sum(low <= ratio <= high for ratio in judged)
    return held


def _by_group(ratios: Sequence[float], groups: Sequence[object]) -> Mapping[object, list[float]]:
    found: dict[object, list[float]] = {}
    for ratio, group in zip(ratios, groups, strict=True):
        found.setdefault(group, []).append(ratio)
    return found


def ends_of_all(ratios: Sequence[float], groups: Sequence[object]) -> tuple[float, float]:
    """The ends of as large a share of all ratios as `share_of_others` says."""
    return factors(ratios, share_of_others(ratios, groups))


def ends_of_groups(ratios: Sequence[float], groups: Sequence[object]) -> tuple[float, float]:
    """Ends as far on either side as hold 80% of each group's own ratios in 80% of the groups, however many each has.

    Of few groups, runs of the others say little of how far the next one is off: each group is one draw, as runs are in `factors`.
    """
    reached = []
    for own in _by_group(ratios, groups).values():
        logs = sorted(abs(log(ratio)) for ratio in own)
        reached.append(_at(logs, (len(logs) + 1) * SHARE))
    most = _at(sorted(reached), (len(reached) + 1) * SHARE)
    return exp(-most), exp(most)


def ends_for_next(ratios: Sequence[float], groups: Sequence[object]) -> Ends:
    """Which of the two hold closest to 80% of the ratios of a group that they are not made of."""
    if len(set(groups)) == 1:
        return ends_of_all
    return min((ends_of_all, ends_of_groups), key=lambda ends: abs(_held(ends, ratios, groups) / len(ratios) - SHARE))


def ends_of_least_score(ratios: Sequence[float], groups: Sequence[object]) -> tuple[float, float]:
    """Of `ends_of_all` and `ends_of_another` those whose interval score is least over groups that they are not made of.

    Of fewer than four groups, whose spread three do not tell, the former.
    """
    if len(set(groups)) < _FEW_GROUPS:
        return ends_of_all(ratios, groups)
    best = min((ends_of_all, ends_of_another), key=lambda ends: interval_score(ends, ratios, groups))
    return best(ratios, groups)


_FEW_GROUPS: Final = 4


def interval_score(ends: Ends, ratios: Sequence[float], groups: Sequence[object]) -> float:
    """The mean score of each group's ratios by ends of the others', in logarithms: the length, and ten times what is missed on either side.

    Source: Gneiting and Raftery 2007, equation 43, of 80%.

    >>> round(interval_score(lambda *_: (1.0, 2.0), [1.5, 4.0], ["a", "b"]), 3)  # ln 2, and in one of two runs 10 ln 2 besides
    4.159
    """
    by_group = _by_group(ratios, groups)
    found = 0.0
    for own, judged in by_group.items():
        others = [(ratio, group) for group, theirs in by_group.items() if group != own for ratio in theirs]
        low, high = map(log, ends([ratio for ratio, _ in others], [group for _, group in others]))
        missed = sum(max(low - log(ratio), log(ratio) - high, 0.0) for ratio in judged)
        found += (high - low) * len(judged) + 2 / (1 - SHARE) * missed
    return found / len(ratios)


def ends_of_another(ratios: Sequence[float], groups: Sequence[object]) -> tuple[float, float]:
    """Ends as far on either side as hold 80% of the ratios of one more group, of which these are a few draws.

    Logarithms vary between groups and within them (random effects, one way). Of k groups, with mean squares M between and W within them,
    and n0 ratios in each on average, one more ratio of one more group lies about their mean with a variance of (1 + 1/k)·M/n0 + (1 - 1/n0)·W.
    Few groups say little of it: the quantile is Student's, of as many degrees of freedom as the two have together (Satterthwaite 1946).
    Of two groups at least, one of which has more than one ratio. They stand about 1, where predictions are, not about that mean.

    Source: Searle, Casella and McCulloch, "Variance Components" (1992), section 3.6.

    >>> low, high = ends_of_another([0.8, 0.9, 1.1, 1.2], ["a", "a", "b", "b"])
    >>> round(low, 2), round(high, 2)
    (0.47, 2.14)
    """
    from scipy.stats import t  # slow to import, and only a fit needs it

    found = [[log(ratio) for ratio in own] for own in _by_group(ratios, groups).values()]
    many, kinds = len(ratios), len(found)
    whole = sum(map(sum, found)) / many
    means = [sum(own) / len(own) for own in found]
    between = sum(len(own) * (mean - whole) ** 2 for own, mean in zip(found, means, strict=True)) / (kinds - 1)
    within = sum((one - mean) ** 2 for own, mean in zip(found, means, strict=True) for one in own) / (many - kinds)
    each = (many - sum(len(own) ** 2 for own in found) / many) / (kinds - 1)
    parts = (1 + 1 / kinds) * between / each, (1 - 1 / each) * within
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (kinds - 1) + parts[1] ** 2 / (many - kinds))
    most = float(t.ppf((1 + SHARE) / 2, freedom)) * sqrt(sum(parts))
    return exp(-most), exp(most)
