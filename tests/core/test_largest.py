"""The largest number that fits, against trying each."""

from __future__ import annotations

from collections.abc import Callable
from math import log2

import pytest

from tscale.core.costs.largest import largest


def _fits_up_to(last: int) -> Callable[[int], bool]:
    left = iter(range(100))

    def fits(number: int) -> bool:
        assert next(left, None) is not None, "a search that does not end"
        return number <= last

    return fits


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 7, 8, 9, 16, 20, 33])
def test_it_is_the_last_that_fits(most: int) -> None:
    """0 where none does, and nothing where all do: there may be more that fit than were asked about."""
    for last in range(most + 4):
        found = largest(_fits_up_to(last), most)
        assert found == (None if last >= most else last), (last, most)


@pytest.mark.parametrize("last", [1, 2, 1000, 1023, 1024, 1025, 10**6, 10**12 - 1])
def test_it_is_found_in_twice_its_logarithm_of_tries(last: int) -> None:
    """And two more: whether 1 fits, and whether the first power of two that does not is past the most."""
    tried: list[int] = []

    def fits(number: int) -> bool:
        tried.append(number)
        assert len(tried) < 200, "a search that does not end"
        return number <= last

    assert largest(fits, 10**15) == last
    assert len(tried) <= 2 * log2(last) + 3
    assert max(tried) <= max(2 * last, 2)
