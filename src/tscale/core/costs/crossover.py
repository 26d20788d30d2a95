"""At which context one cost of a model overtakes another, in closed form.

All three costs grow with context alone; each has a coefficient per position, so the crossing is a quotient. A window
changes the coefficient at its width: past every window (or before the first) the quotient holds again. The answer is
checked against the costs themselves, and where a window bends the curve in between, found by halving.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tscale.core.counts import MOST_CONTEXT

MOST: Final = MOST_CONTEXT


def first_context(
    cost: Callable[[int], int], other: Callable[[int], int], closed_form: int | None = None
) -> int | None:
    """The least context at which `cost` is at least `other`, None where it never is (up to 10^12 positions).

    `cost` must not fall, measured against `other`, as context grows. `closed_form` is believed if it is what it claims.
    """

    def reached(context: int) -> bool:
        return cost(context) >= other(context)

    if closed_form is not None and 1 <= closed_form <= MOST:
        before = closed_form > 1 and reached(closed_form - 1)
        if reached(closed_form) and not before:
            return closed_form
    if not reached(MOST):
        return None
    low, high = 0, MOST  # not reached at low (nothing is computed for no positions), reached at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
