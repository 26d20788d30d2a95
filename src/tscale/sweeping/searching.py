"""Searches for a number in all rows at once: each tries the numbers that it would try alone, so that it finds the same to the last digit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tscale.core.laws.halving import GOLDEN, HALVINGS
from tscale.sweeping.each import each
from tscale.sweeping.searches import NO_LIMIT

At = Callable[[Any], Any]
"""What is asked, of an array of what is tried in each row."""


def largest(fits: At, most: int, shape: tuple[int, ...]) -> Any:
    """What `tscale.core.costs.largest.largest` finds for each row."""
    every = np.ones(shape, dtype=np.int64)
    some = fits(every)
    low, high = every.copy(), 2 * every
    growing = some & (high < most)
    while growing.any():
        growing = growing & fits(high)
        low, high = np.where(growing, high, low), np.where(growing, 2 * high, high)
        growing = growing & (high < most)
    past = some & (high >= most)
    endless = past & fits(most * every) if past.any() else past
    high = np.where(past, most, high)
    while (narrow := some & ~endless & (high - low > 1)).any():
        middle = (low + high) // 2
        fitting = fits(middle)
        low, high = np.where(narrow & fitting, middle, low), np.where(narrow & ~fitting, middle, high)
    return np.where(some, np.where(endless, NO_LIMIT, low), 0)


def halved(above: At, low: Any, high: Any | None) -> Any:
    """What `tscale.core.laws.halving.where` finds for each row."""
    if high is None:
        high = 2 * low
        growing = np.isfinite(high)
        while growing.any():
            growing = growing & ~above(high)
            high = np.where(growing, 2 * high, high)
            growing = growing & np.isfinite(high)
    low, high = _log(low), _log(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        here = above(_exp(middle))
        before = low, high
        low, high = np.where(here, low, middle), np.where(here, middle, high)
        if _are_same((low, high), before):
            break
    return _exp(high)


def lowest(function: At, low: Any, high: Any) -> Any:
    """What `tscale.core.laws.halving.least` finds for each row."""
    a, b = _log(low), _log(high)
    c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    at_c, at_d = function(_exp(c)), function(_exp(d))
    for _ in range(HALVINGS):
        left, before = at_c < at_d, (a, b, c, d)
        a, b = np.where(left, a, c), np.where(left, d, b)
        tried = np.where(left, b - GOLDEN * (b - a), a + GOLDEN * (b - a))
        found = function(_exp(tried))
        c, d, at_c, at_d = (
            np.where(left, tried, d),
            np.where(left, c, tried),
            np.where(left, found, at_d),
            np.where(left, at_c, found),
        )
        if _are_same((a, b, c, d), before):
            break
    return _exp((a + b) / 2)


def _are_same(arrays: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Whether no row has changed."""
    return all(np.array_equal(*pair, equal_nan=True) for pair in zip(arrays, others, strict=True))


def _of_each(function: Callable[[float], float]) -> Callable[[Any], Any]:
    """A function of Python's floats of each number of an array; no number where it has no value, in a row of another way."""

    def found(array: Any) -> Any:
        return each(function, [np.asarray(array, dtype=np.float64)], np.float64)

    return found


_log: Final = _of_each(math.log)
_exp: Final = _of_each(math.exp)
