"""Where a condition that holds from some number on begins to hold, and where a function with one valley is least."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, sqrt
from typing import Final


def where(above: Callable[[float], bool], low: float, high: float | None = None) -> float:
    """Where a condition that holds from some number on begins to hold, above `low`, by halving logarithms."""
    if high is None:
        high = 2 * low
        while not above(high):
            high *= 2
    low, high = log(low), log(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if above(exp(middle)) else (middle, high)
    return exp(high)


def least(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls and then rises is least between two numbers, by golden sections of logarithms."""
    a, b = log(low), log(high)
    c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_c, at_d = function(exp(c)), function(exp(d))
    for _ in range(_HALVINGS):
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - _GOLDEN * (b - a)
            at_c = function(exp(c))
        else:
            a, c, at_c = c, d, at_d
            d = a + _GOLDEN * (b - a)
            at_d = function(exp(d))
    return exp((a + b) / 2)


_HALVINGS: Final = 100  # more than a float has digits
_GOLDEN: Final = (sqrt(5) - 1) / 2
