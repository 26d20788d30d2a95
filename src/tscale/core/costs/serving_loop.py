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
longer of two times bounds the step to 0.004, and where, moreover, the pool for prompts is just full, to 0.02."""
_LEAST: Final = 1e-6
_TINY: Final = _LEAST**9


def share_decoding(answer_seconds: Callable[[float], float], first: float, full: float) -> float:
    """The share of the requests that decode at once, on average; may be an array.

    Found by the Illinois variant of false position (Dowell and Jarratt 1971): a fixed number of steps, so that it is one formula. What
    comes back and what the pool takes in have a chord each, of which the one that crosses first is followed: where the pool is just
    full, the longer of both has a corner that one chord would cut.

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
    full = larger(full, _TINY)

    def over_each(share: float) -> tuple[float, float]:
        """How far a share is over what would decode by its own times, as requests come back, and as the pool takes them in."""
        answer = answer_seconds(share)
        return share - answer / (first + answer), share - answer / full

    low, high = (share - larger(*over_each(share)) for share in (_LEAST, 1.0))  # the one that fits lies between
    under, over = over_each(low), over_each(high)
    share, before = high, larger(*over) < 0  # an end that stays twice counts half
    for _ in range(_STEPS):
        share = smaller(*(_crossing(low, high, *ends) for ends in zip(under, over, strict=True)))
        found = over_each(share)
        fits = larger(*found) > 0
        under = tuple(where(fits, where(before, end / 2, end), new) for end, new in zip(under, found, strict=True))
        over = tuple(where(fits, new, where(before, end, end / 2)) for end, new in zip(over, found, strict=True))
        low, high, before = where(fits, low, share), where(fits, share, high), fits
    return share


def _crossing(low: float, high: float, under: float, over: float) -> float:
    """Where the chord from `under` at `low` to `over` at `high` is zero; `high` where it stays below."""
    at = low - under * (high - low) / larger(over - under, _TINY)
    crossing: float = where(over > 0, smaller(larger(at, low), high), high)
    return crossing
