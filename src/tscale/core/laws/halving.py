"""Where a condition that holds from some number on begins to hold, and where a function with one valley is least."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, sqrt
from typing import Any, Final, cast

from tscale.core.elementwise import exp_of, log_of
from tscale.core.tracing import Recordable


def where(above: Callable[[float], bool], low: float, high: float | None = None) -> float:
    """Where a condition that holds from some number on begins to hold, above `low`, by halving logarithms."""
    seen: Any = above(2 * low if high is None else exp_of((log_of(low) + log_of(high)) / 2))
    if isinstance(seen, Recordable):
        return cast("float", seen.searched("halved", above, low, *([] if high is None else [high])))
    if high is None:
        high = 2 * low
        while not above(high):
            high *= 2
    low, high = log(low), log(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        before = low, high
        low, high = (low, middle) if above(exp(middle)) else (middle, high)
        if (low, high) == before:  # and so it would stay
            break
    return exp(high)


def least(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls and then rises is least between two numbers, by golden sections of logarithms."""
    a, b = log_of(low), log_of(high)
    c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    at_c: Any = function(exp_of(c))
    if isinstance(at_c, Recordable):
        return cast("float", at_c.searched("lowest", function, low, high))
    at_d = function(exp(d))
    for _ in range(HALVINGS):
        before = a, b, c, d
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - GOLDEN * (b - a)
            at_c = function(exp(c))
        else:
            a, c, at_c = c, d, at_d
            d = a + GOLDEN * (b - a)
            at_d = function(exp(d))
        if (a, b, c, d) == before:  # and so it would stay
            break
    return exp((a + b) / 2)


HALVINGS: Final = 100  # more than a float has digits
GOLDEN: Final = (sqrt(5) - 1) / 2
