"""Pareto fronts: points that no other one beats in both of two figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tscale.planning.queueing import Floats


def front(first: Floats, second: Floats) -> NDArray[np.intp]:
    """The places of the points that have more of one figure than any that has as much of the other, by the first from high to low.

    >>> front(np.array([1.0, 2.0, 3.0, 2.0]), np.array([9.0, 5.0, 1.0, 4.0])).tolist()
    [2, 1, 0]
    """
    order = np.lexsort((-second, -first))
    best = np.maximum.accumulate(second[order])
    better = np.concatenate(([True], best[1:] > best[:-1]))
    return order[better]
