"""The share of requests that decode: the one number that fits, found by halving."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from tscale.core.costs.serving_loop import share_decoding

SLOPES = (1.0, 4.0, 15.0, 30.0, 49.0)
SECONDS = [10 ** (place / 3) for place in range(-9, 7)]
ANSWERS: dict[str, tuple[Callable[[float, float], float], float]] = {
    "the sum of both": (lambda fixed, growing: fixed + growing, 2e-4),
    "the longer of both": (max, 5e-3),
    "nearly the longer of both": (lambda fixed, growing: (fixed**4 + growing**4) ** 0.25, 1e-3),
}
"""Seconds of an answer, of some that are there whatever decodes and some that grow with it; and how close a share then is."""


def _halved(answer_seconds: Callable[[float], float], first: float, full: float) -> float:
    """Where n is what would decode by the times of n: n·max(first + answer, full) = answer."""
    low, high = 0.0, 1.0
    for _ in range(50):
        n = (low + high) / 2
        answer = answer_seconds(n)
        low, high = (low, n) if n * max(first + answer, full) > answer else (n, high)
    return high


@pytest.mark.parametrize("shape", ANSWERS)
def test_the_share_that_decodes_is_the_one_that_fits(shape: str) -> None:
    """Where a request comes back just as the full pool has taken in all others, to 0.02 alone."""
    of, close = ANSWERS[shape]
    for slope, first, full in product(SLOPES, SECONDS, (0.0, *SECONDS[4::2], 300.0)):
        fits = _halved(lambda share, slope=slope: of(1.0, slope * share), first, full)  # type: ignore[misc]
        comes_back = first + of(1.0, slope * fits)
        near = abs(full - comes_back) < 0.1 * comes_back
        found = share_decoding(lambda share, slope=slope: of(1.0, slope * share), first, full)  # type: ignore[misc]
        assert found == pytest.approx(fits, abs=max(0.02 * near, close)), (slope, first, full)
