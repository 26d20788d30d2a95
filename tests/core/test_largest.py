"""The largest number that fits, against trying each."""

from __future__ import annotations

from math import log2

import pytest

from tscale.core.costs.largest import largest


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 7, 8, 9, 16, 20, 33])
def test_it_is_the_last_that_fits(most: int) -> None:
    """0 where none does, and nothing where all do: there may be more that fit than were asked about."""
    for last in range(most + 4):
        found = largest(lambda number: number <= last, most)  # noqa: B023 (called before the loop goes on)
        assert found == (None if last >= most else last), (last, most)


@pytest.mark.parametrize("last", [1, 2, 1000, 1023, 1024, 1025, 10**6, 10**12 - 1])
def test_it_is_found_in_twice_its_logarithm_of_tries(last: int) -> None:
    """And two more: whether 1 fits, and whether the first power of two that does not is past the most."""
    tried: list[int] = []

    def fits(number: int) -> bool:
        tried.append(number)
        return number <= last

    assert largest(fits, 10**15) == last
    assert len(tried) <= 2 * log2(last) + 3
    assert max(tried) <= max(2 * last, 2)
