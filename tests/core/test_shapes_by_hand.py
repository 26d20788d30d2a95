"""Where a search for a shape begins and ends, and which of several shapes it finds, on small grids."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import log
from typing import Any

import pytest

from tests.core.test_shapes import led, reference
from tscale.core.costs import shapes
from tscale.core.costs.shapes import Found, Grid, Proportions, Shape, distance, search


@pytest.mark.parametrize(("budget", "leading"), [(3_000_000, 0), (6_000_000, 0), (3_100_000, 2), (8_000_000, 2)])
def test_fewer_shapes_are_the_first_of_all(budget: int, leading: int) -> None:
    """What ends a search early leaves out none that is nearer."""
    wanted = Proportions(Fraction(16), Fraction(8, 3), Fraction(1), Fraction(2), head_dim=32, leading=leading)

    def found(many: int) -> list[Found]:
        count = led if leading else partial(reference, head_dim=32, vocabulary=200)
        return search(budget, wanted, Grid(64), count, many)

    every = found(10**6)
    assert len(every) > 3
    for many in range(1, 7):
        assert found(many) == every[:many]


def test_a_search_ends_where_no_depth_that_is_left_can_be_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of depths around 320, several hundred come within 1%, and the five nearest are next to one another."""
    wanted = Proportions(Fraction(1, 5), Fraction(4), Fraction(1), Fraction(1), head_dim=64)
    asked: list[Shape] = []

    def counted(shape: Shape, *others: Any) -> float:
        asked.append(shape)
        return distance(shape, *others)

    monkeypatch.setattr(shapes, "distance", counted)
    budget = 320 * (4 * 64 * 64 + 3 * 64 * 256)
    found = search(budget, wanted, Grid(2), lambda shape: reference(shape, 64, 20))
    assert max(one.shape.layers for one in found) - min(one.shape.layers for one in found) == 4
    assert len(asked) < 20


def test_of_shapes_that_miss_a_budget_alike_the_nearest_to_the_proportions_is_found() -> None:
    """One and a half times 64·64, of which a grid of 64 has one and two times: at the width of 64 and at that of 128."""
    wanted = Proportions(Fraction(64), Fraction(1), Fraction(1), Fraction(1), head_dim=32)
    (found,) = search(64 * 96, wanted, Grid(64), lambda shape: shape.layers * shape.d_ff * 64)
    assert found.shape == Shape(1, 64, 2, 2, 64)


def asked_for(wanted: Proportions, grid: Grid, widest: int) -> set[tuple[int, int, int]]:
    """Widths, heads and key-value heads that a search counts, of which the first that is too large is the widest."""
    asked: set[tuple[int, int, int]] = set()

    def count(shape: Shape) -> int:
        asked.add(shape[1:4])
        return shape.d_model if shape.d_model < widest else 10**9

    search(10**6, wanted, grid, lambda shape: count(shape) + shape.layers * (1 + shape.d_ff))
    return asked


@pytest.mark.parametrize(
    ("span", "sharing", "tensor", "expected"),
    [
        (Fraction(1), Fraction(1), 1, {(192, 6, 6), (384, 12, 12)}), (Fraction(1), Fraction(4), 1, {(192, 6, 1), (192, 6, 2), (384, 12, 3)}), (Fraction(1), None, 1, {(192, 6, 1), (384, 12, 1)}),
        (Fraction(3, 2), Fraction(1), 1, {(192, 9, 9), (384, 18, 18)}), (Fraction(3, 2), Fraction(9, 2), 4, {(192, 8, 1), (192, 8, 2), (192, 12, 2), (192, 12, 4), (384, 16, 2), (384, 16, 4), (384, 20, 4), (384, 20, 20)}),
        (Fraction(1, 10), Fraction(1), 1, {(192, 1, 1), (384, 1, 1), (384, 2, 2)}), (Fraction(1, 10), Fraction(1), 4, {(192, 4, 4), (384, 4, 4)}),
    ],
)  # fmt: skip
def test_heads_on_either_side_of_what_is_wanted_are_looked_at(
    span: Fraction, sharing: Fraction | None, tensor: int, expected: set[tuple[int, int, int]]
) -> None:
    """Of widths of 192 and 384 and heads of 32: key-value heads are divisors of theirs that 4 devices split or repeat evenly."""
    wanted = Proportions(Fraction(64), Fraction(1), span, sharing, head_dim=32)
    assert asked_for(wanted, Grid(192, tensor), 384) == expected


def test_a_stack_is_deeper_than_the_layers_that_lead_it() -> None:
    """Three of them, of 512 in all, where the proportions want one layer of width 64: four at the least, of which one is 128 wide.

    Of their widths 192 is nearest: 3/4 of the aspect and 2/3 of the widening, where 128 is half as deep and 256 half as wide inside.
    """
    wanted = Proportions(Fraction(64), Fraction(1), Fraction(1), Fraction(1), head_dim=32, leading=3)
    found = search(640, wanted, Grid(64), lambda shape: 512 + (shape.layers - 3) * shape.d_ff)
    assert found[0].shape == Shape(4, 192, 6, 6, 128)
    assert found[0].distance == pytest.approx(log(4 / 3) ** 2 + log(3 / 2) ** 2)
    assert all(one.shape.layers > 3 for one in found)


def test_a_width_is_wide_enough_only_where_all_of_its_heads_are_past_the_budget() -> None:
    """Sharing by 4/3 stands between two numbers of key-value heads, of which the larger is a million times as large."""
    wanted = Proportions(Fraction(64), Fraction(1), Fraction(1), Fraction(4, 3), head_dim=32)

    def count(shape: Shape) -> int:
        return shape.layers * shape.d_ff * (1 if 2 * shape.kv_heads <= shape.heads else 10**6)

    assert search(3 * 192, wanted, Grid(64), count)[0].shape == Shape(3, 192, 6, 3, 192)


def test_a_depth_and_width_is_found_once_with_the_nearest_of_its_heads() -> None:
    """Of six heads four times as many as key-value heads are one or two of these: the one with which the whole is nearest."""
    budget, wanted = 3_000_000, Proportions(Fraction(16), Fraction(8, 3), Fraction(1), Fraction(4), head_dim=32)
    found = search(budget, wanted, Grid(64), lambda shape: reference(shape, 32, 200), many=10**6)
    assert len({one.shape[:2] for one in found}) == len(found)
    of_width = [one for one in found if one.shape.d_model == 192]
    assert of_width
    for one in of_width:
        shapes = [one.shape._replace(kv_heads=n, d_ff=d_ff) for n in (1, 2) for d_ff in range(256, 1025, 64)]
        counted = [(shape, reference(shape, 32, 200)) for shape in shapes]
        near = [distance(shape, wanted, n, budget) for shape, n in counted if abs(n - budget) * 100 <= budget]
        assert one.distance == min(near)
