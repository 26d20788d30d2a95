"""Pareto fronts: points that no other one beats in both of two figures."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tscale.planning.queueing import Floats


def front(first: Floats, second: Floats) -> NDArray[np.intp]:
    """The places of the points that have more of one figure than any that has as much of the other, by the first from high to low.

    >>> front(np.array([1.0, 2.0, 3.0, 2.0]), np.array([9.0, 5.0, 1.0, 4.0])).tolist()
    [2, 1, 0]
    """
    kept = _not_far_below(first, second)
    order = kept[np.lexsort((-second[kept], -first[kept]))]
    best = np.maximum.accumulate(second[order])
    return order[np.diff(best, prepend=-np.inf) > 0]


_BINS: Final = 256


def _not_far_below(first: Floats, second: Floats) -> NDArray[np.intp]:
    """The places of all points but those that have less of one figure than some whole bin of it, and no more of the other than one there.

    They are a few of many, so that few are put in order.
    """
    edges = np.sort(first[:: max(len(first) // _BINS, 1)])
    bins = np.searchsorted(edges, first, side="right")
    most = np.full(len(edges) + 2, -np.inf)
    np.maximum.at(most, bins, second)
    above = np.maximum.accumulate(most[::-1])[::-1][1:]
    return np.flatnonzero(second > above[bins])
