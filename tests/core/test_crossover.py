"""The first context at which one cost is at least another, against trying each."""

from __future__ import annotations

from itertools import product

import pytest

from tests.helpers import of_each
from tscale.core.costs.crossover import MOST, first_context


@of_each(product([1, 2, 3, 7, 8, 41], [None, 0, 1, 2, 3, 6, 7, 8, 40, 41, MOST, MOST + 1]), quick=True)
def test_a_closed_form_is_believed_only_where_it_is_the_first(case: tuple[int, int | None]) -> None:
    """A cost of n each against as much as `first` of them; 40 halvings of 10^12 are enough."""
    first, closed_form = case
    left = iter(range(50))

    def cost(context: int) -> int:
        assert next(left, None) is not None, "a search that does not end"
        return context

    assert first_context(cost, lambda _: first, closed_form) == first


def test_a_cost_that_never_gets_there() -> None:
    assert first_context(lambda n: n, lambda n: n + 1, 5) is None
    assert first_context(lambda n: n, lambda _: MOST) == MOST
    assert first_context(lambda n: n, lambda _: MOST + 1) is None
    assert first_context(lambda n: n, lambda _: MOST, MOST) == MOST


def test_a_window_bends_the_curve() -> None:
    """Pairs under a window of 10 against 8 for each position: seen keys are 10 from the tenth on, so that 55 + 10·(n - 10) is 8·n."""
    n = first_context(lambda n: min(n, 10) * (min(n, 10) + 1) // 2 + max(n - 10, 0) * 10, lambda n: 8 * n, 4)
    assert n == 23
    assert 55 + 10 * 12 < 8 * 22 and 55 + 10 * 13 >= 8 * 23


@pytest.mark.parametrize("first", [1, 2, 8])
def test_a_closed_form_that_is_right_is_asked_about_and_nothing_else(first: int) -> None:
    asked: list[int] = []

    def cost(context: int) -> int:
        asked.append(context)
        return context

    assert first_context(cost, lambda _: first, first) == first
    assert set(asked) == {max(first - 1, 1), first}
