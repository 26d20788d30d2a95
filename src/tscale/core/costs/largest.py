"""The largest number that still fits, where more always needs at least as much."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tscale.core.tracing import Recordable


def largest(fits: Callable[[int], bool], most: int) -> int | None:
    """The largest whole number from 1 to `most` that fits; 0 where not even 1 does, None where `most` does too.

    `fits` must stay false once it is: memory grows with batch and with context. Takes twice log2 of the answer in calls.
    """
    one = fits(1)
    if isinstance(one, Recordable):
        return cast("int | None", one.searched("largest", fits, most))
    if not one:
        return 0
    low, high = 1, 2
    while high < most and fits(high):
        low, high = high, 2 * high
    if high >= most:
        if fits(most):
            return None
        high = most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
