"""How many of the requests decode at once where prompts have a pool of their own: Little's law around a closed loop.

Of C requests, those that decode are throughput × the time of an answer, D(n), which itself depends on how many they are:

    n = C·D(n) / max(first + D(n), full)

A request comes back after its first token and its answer, `first + D(n)`; or, where the pool for prompts is full, after `full`, which
is how long that pool takes for the prompts of all C, one after the other. Decoding more at once never lowers the throughput n/D(n), so
that one n alone fits: with fewer, more requests would come than end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tscale.core.elementwise import larger, smaller
from tscale.core.tracing import where

_STEPS: Final = 5
"""Steps of the search: with a step of decoding of which a fiftieth is there whatever it decodes, shares are right to 2e-4; where the
longer of two times bounds the step to 0.004, and where, moreover, the pool for prompts is just full, to 0.1."""
_LEAST: Final = 1e-6


def share_decoding(answer_seconds: Callable[[float], float], first: float, full: float) -> float:
    """The share of the requests that decode at once, on average; may be an array.

    Found by the Illinois variant of false position (Dowell and Jarratt 1971): a fixed number of steps, so that it is one formula.

    Args:
        answer_seconds: seconds from the first token of a request to its last, by the share of the requests that decode.
        first: seconds to the first token where the pool for prompts is not full.
        full: seconds in which that pool takes in the prompts of all requests.

    Example:
        >>> round(share_decoding(lambda share: 2.0 + 6.0 * share, 1.0, 0.0), 3)
        0.877
        >>> round(share_decoding(lambda share: 2.0 + 6.0 * share, 1.0, 10.0), 3)
        0.5
    """

    def after(share: float) -> float:
        """The share that would decode by the times of another, between which the one that fits lies."""
        answer = answer_seconds(share)
        return answer / larger(first + answer, full)

    low, high = after(_LEAST), after(1.0)
    under, over = low - after(low), high - after(high)
    share, before = high, over < 0  # an end that stays twice counts half
    for _ in range(_STEPS):
        share = smaller(larger(low - under * (high - low) / larger(over - under, _LEAST**9), low), high)
        found = share - after(share)
        fits = found > 0
        under = where(fits, where(before, under / 2, under), found)
        over = where(fits, found, where(before, over, over / 2))
        low, high, before = where(fits, low, share), where(fits, share, high), fits
    return share
