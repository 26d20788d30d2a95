"""The search for a shape is exact: counting every shape of small grids finds none better."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import lcm, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tscale.catalogue.models import built_in
from tscale.core.costs.shapes import (
    REACH,
    WITHIN,
    Grid,
    Proportions,
    Shape,
    _depths_near,
    _Line,
    distance,
    search,
    steps,
)
from tscale.models.designing import counting, proportions, shaped
from tscale.models.spec import ModelSpec

WIDEST = 384


def reference(shape: Shape, head_dim: int, vocabulary: int) -> int:
    """A gated decoder with an untied head, counted by hand."""
    layers, d, heads, kv_heads, d_ff = shape
    attention = 2 * d * heads * head_dim + 2 * d * kv_heads * head_dim
    return 2 * vocabulary * d + layers * (attention + 3 * d * d_ff + 2 * d) + d


@pytest.mark.parametrize(
    ("span", "grid", "step", "step_ff"),
    [(Fraction(1), Grid(64, 5), 960, 320), (Fraction(3, 2), Grid(64, 5), 64, 320), (Fraction(3, 2), Grid(3), 3, 3), (Fraction(1), Grid(), 384, 128)],
)  # fmt: skip
def test_widths_are_multiples_of_the_grid_and_of_the_heads_of_each_device(
    span: Fraction, grid: Grid, step: int, step_ff: int
) -> None:
    """Heads of 96 that fill the width: of 5 devices, 5·96 and 64 both divide 960."""
    assert steps(Proportions(Fraction(64), Fraction(4), span, Fraction(1), head_dim=96), grid) == (step, step_ff)


@pytest.mark.parametrize("like", [(9, 192), (16, 384), (17, 192), (20, 704), (27, 704), (3, 192), (100, 704)])
def test_depths_that_come_near_a_budget_are_tried_from_the_wanted_one_on(like: tuple[int, int]) -> None:
    """Of width 128, 16 layers are wanted, 8 to 32 may be, with a d_ff of 192 to 768; one more on either side misses by the least."""
    wanted = Proportions(Fraction(8), Fraction(3), Fraction(1), Fraction(1), head_dim=32)

    def count(layers: int, d_ff: int) -> int:
        return reference(Shape(layers, 128, 4, 4, d_ff), 32, 200)

    budget = count(*like)
    line = _Line(lambda shape: count(shape.layers, shape.d_ff), Shape(1, 128, 4, 4, 192), wanted)
    fit = [n for n in range(1, 200) if count(n, 192) * 100 <= 101 * budget and 100 * count(n, 768) >= 99 * budget]
    near = {min(max(n, 8), 32) for n in range(fit[0] - 1, fit[-1] + 2)}
    expected = sorted(near, key=lambda n: (max(Fraction(n, 16), Fraction(16, n)), n))
    assert list(_depths_near(line, budget, wanted, (192, 768))) == expected


@pytest.mark.parametrize("times", [Fraction(2, 3), Fraction(3, 2), Fraction(1), Fraction(201, 200)])
def test_no_shape_of_a_line_is_nearer_than_its_bound(times: Fraction) -> None:
    """Of layers of d_ff parameters, 100 by 6,400 as wanted, and twice the sharing: the best on a grid of 1 is hardly further off."""
    wanted = Proportions(Fraction(64, 100), Fraction(100), Fraction(1), Fraction(1, 2), head_dim=64)
    budget = int(100 * 6400 * times)
    start = Shape(1, 64, 1, 1, 100)

    def line(wanted: Proportions) -> _Line:
        return _Line(lambda shape: shape.layers * shape.d_ff, start, wanted)

    shapes = [
        Shape(layers, 64, 1, 1, d_ff)
        for layers in range(70, 140)
        for d_ff in range(-(-99 * budget // (100 * layers)), 101 * budget // (100 * layers) + 1, 3)
    ]
    least = min(distance(one, wanted, one.layers * one.d_ff, budget) for one in shapes)
    bound = line(wanted).bound(budget)
    assert bound <= least < bound + 0.0005
    assert bound >= log(2) ** 2
    assert line(wanted._replace(leading=1)).bound(budget) == pytest.approx(log(2) ** 2)


def beside(ideal: Fraction, legal: list[int]) -> set[int]:
    """The legal number below a wanted one and the one above it."""
    below, above = [n for n in legal if n <= ideal], [n for n in legal if n >= ideal]
    return {*below[-1:], *above[:1]}


def every_shape(wanted: Proportions, grid: Grid, widest: int) -> list[Shape]:
    shapes = []
    for d in range(grid.multiple, widest + 1, grid.multiple):
        if wanted.span == 1 and d % (wanted.head_dim * grid.tensor):
            continue
        ideal = wanted.span * d / wanted.head_dim
        all_heads = beside(ideal, list(range(grid.tensor, 4 * d // wanted.head_dim + 2 * grid.tensor, grid.tensor)))
        deepest = max(int(REACH * d / wanted.aspect), 1)
        for heads in all_heads:
            assert wanted.sharing is not None
            fit = [n for n in range(1, heads + 1) if heads % n == 0 and (n % grid.tensor == 0 or grid.tensor % n == 0)]
            for kv_heads in beside(heads / wanted.sharing, fit):
                for layers in range(1, deepest + 1):
                    if layers * REACH * wanted.aspect < d:
                        continue
                    inner = range(lcm(grid.multiple, grid.tensor), int(REACH * d * wanted.widening) + 1, grid.multiple)
                    shapes += [
                        Shape(layers, d, heads, kv_heads, d_ff)
                        for d_ff in inner
                        if d_ff % grid.tensor == 0 and d_ff * REACH >= d * wanted.widening
                    ]
    return shapes


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    st.integers(400_000, 2_000_000),
    st.sampled_from([8, 16, 32]),
    st.sampled_from([Fraction(8, 3), Fraction(4), Fraction(7, 2)]),
    st.sampled_from([Fraction(1), Fraction(4)]),
    st.sampled_from([Fraction(1), Fraction(3, 2)]),
    st.sampled_from([Grid(64), Grid(64, 2), Grid(32, 4)]),
)
def test_no_shape_of_the_grid_is_better(
    budget: int, aspect: int, widening: Fraction, sharing: Fraction, span: Fraction, grid: Grid
) -> None:
    wanted = Proportions(Fraction(aspect), widening, span, sharing, head_dim=32)

    def count(shape: Shape) -> int:
        return reference(shape, 32, 200)

    (best, *others) = search(budget, wanted, grid, count)
    made = [(shape, count(shape)) for shape in every_shape(wanted, grid, WIDEST)]
    assert min(params for shape, params in made if shape.d_model == WIDEST) > 1.01 * budget, "the grid is wide enough"
    hits = [(s, n) for s, n in made if abs(Fraction(n - budget, budget)) <= WITHIN]
    if not hits:
        assert abs(best.deviation) == min(abs(Fraction(n - budget, budget)) for _, n in made) > WITHIN
        return
    assert best.distance == pytest.approx(min(distance(s, wanted, n, budget) for s, n in hits), abs=1e-12)
    assert best.params == count(best.shape)
    ranked = [best, *others]
    assert ranked == sorted(ranked, key=lambda found: found.distance)
    assert len({found.shape[:2] for found in ranked}) == len(ranked)


@pytest.mark.parametrize("name", ["llama-2-7b", "llama-3.1-8b", "gemma-2-9b", "qwen3-8b", "gpt3", "falcon-7b"])
def test_a_published_model_is_found_by_its_own_proportions(name: str) -> None:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    count = counting("all")
    best = search(count(spec), proportions(spec), Grid(64), lambda shape: count(shaped(spec, shape)))[0]
    assert best.deviation == best.distance == 0
    assert (best.shape.layers, best.shape.d_model) == (spec.layers, spec.d_model)


def missed(budget: int, wanted: Proportions, d: int) -> int:
    """The least that any shape of a width misses a budget by, on a grid of 64, counted as arrays: there are many thousands."""
    layers: Any = np.arange(1, max(int(REACH * d / wanted.aspect), 1) + 1, dtype=np.int64)
    layers = layers[layers * REACH * float(wanted.aspect) >= d * (1 - 1e-12)][:, None]
    inner: Any = np.arange(64, int(REACH * d * wanted.widening) + 1, 64, dtype=np.int64)
    inner = inner[inner * REACH >= d * int(wanted.widening)][None, :]
    counts: Any = reference(Shape(layers, d, d // 32, d // 32, inner), 32, 20)
    return int(np.abs(counts - budget).min()) if counts.size else budget * 10**6


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.integers(5_000, 400_000), st.fractions(Fraction(1, 20), Fraction(60), max_denominator=20))
def test_where_none_is_near_the_budget_the_one_that_misses_it_least_is_found(budget: int, aspect: Fraction) -> None:
    """Deep narrow patterns and shallow wide ones, of which a grid of 64 rarely has a shape within 1%."""
    wanted, grid = Proportions(aspect, Fraction(4), Fraction(1), Fraction(1), head_dim=32), Grid(64)

    def count(shape: Shape) -> int:
        return reference(shape, 32, 20)

    best = search(budget, wanted, grid, count)[0]
    off = Fraction(min(missed(budget, wanted, d) for d in range(64, WIDEST + 1, 64)), budget)
    assert abs(best.deviation) == off if off > WITHIN else abs(best.deviation) <= WITHIN


@pytest.mark.parametrize("changes", [{"layers": 10**12}, {"layers": 10**7}, {"d_model": 12 * 10**10}])
def test_a_pattern_past_all_proportions_is_answered_at_once(changes: dict[str, int]) -> None:
    """Of so deep a pattern, half to twice the proportions are billions of depths of one width."""
    spec = built_in("gpt2")
    assert isinstance(spec, ModelSpec)
    pattern = replace(spec, **changes)  # type: ignore[arg-type]
    count = counting("all")
    counted: list[Shape] = []

    def parameters(shape: Shape) -> int:
        counted.append(shape)
        return count(shaped(pattern, shape))

    assert search(10**9, proportions(pattern), Grid(), parameters)[0].deviation > WITHIN
    assert len(counted) < 10_000


def test_a_distance_counts_how_many_times_each_proportion_and_the_budget_are_missed() -> None:
    """Half as deep, twice as wide inside, three halves of the heads for d_model, twice the sharing, a tenth of the parameters."""
    wanted = Proportions(Fraction(128), Fraction(4), Fraction(1), Fraction(1), head_dim=64)
    shape = Shape(layers=1, d_model=256, heads=6, kv_heads=3, d_ff=256 * 8)
    assert distance(Shape(2, 256, 4, 4, 1024), wanted, 100, 100) == 0
    assert distance(shape, wanted, 10, 100) == pytest.approx(
        log(2) ** 2 + log(2) ** 2 + log(3 / 2) ** 2 + log(2) ** 2 + log(10) ** 2
    )


@pytest.mark.parametrize(
    "more", [Fraction(-3, 100), Fraction(-8, 1000), Fraction(5, 1000), Fraction(8, 1000), Fraction(3, 100)]
)
def test_no_inner_width_on_a_fine_grid_is_better(more: Fraction) -> None:
    """Where many widths are within 1% of the budget, the best stands between the pattern's own, 1,920, and the budget's."""
    wanted = Proportions(Fraction(64), Fraction(3), Fraction(1), Fraction(1), head_dim=64)

    def count(shape: Shape) -> int:
        return reference(shape, 64, 200)

    budget = int((1 + more) * count(Shape(10, 640, 10, 10, 1920)))
    best = search(budget, wanted, Grid(2), count)[0]
    assert best.shape[:2] == (10, 640)
    near = (best.shape._replace(d_ff=d_ff) for d_ff in range(1600, 2240, 2))
    within = [shape for shape in near if abs(count(shape) - budget) * 100 <= budget]
    least = min(within, key=lambda shape: distance(shape, wanted, count(shape), budget))
    assert best.shape == least
    assert best.shape.d_ff != 1920


def test_a_shape_exactly_1_percent_off_is_within_it() -> None:
    """Two shapes of 101 · 64 parameters for a budget of 100 · 64, and none that is nearer."""
    wanted = Proportions(Fraction(64), Fraction(1), Fraction(1), Fraction(1), head_dim=32)
    found = search(6400, wanted, Grid(64), lambda shape: 101 * shape.layers * shape.d_ff)
    assert [(one.shape.d_model, one.params) for one in found] == [(64, 6464), (128, 6464)]


def led(shape: Shape) -> int:
    """The same where the first two layers have a feed-forward of 512, whatever the others have: counted by hand."""
    layers, d, heads, kv_heads, d_ff = shape
    attention = 2 * d * heads * 32 + 2 * d * kv_heads * 32
    return 2 * 200 * d + 2 * (attention + 3 * d * 512 + 2 * d) + (layers - 2) * (attention + 3 * d * d_ff + 2 * d) + d


@pytest.mark.parametrize("budget", [1_500_000, 2_000_000, 3_100_000, 8_000_000])
@pytest.mark.parametrize("aspect", [8, 24])
def test_layers_that_lead_are_counted_for_themselves(budget: int, aspect: int) -> None:
    """They are at the bottom of every stack, which is deeper than they are, and no inner width changes them."""
    wanted = Proportions(Fraction(aspect), Fraction(3), Fraction(1), Fraction(2), head_dim=32, leading=2)
    best, *others = search(budget, wanted, Grid(64), led)
    assert all(one.params == led(one.shape) for one in (best, *others))
    made = []
    for d in range(64, 641, 64):
        depths = range(max(-(-d // (REACH * aspect)), 3), max(REACH * d // aspect, 3) + 1)
        inner = range(64, REACH * 3 * d + 1, 64)
        for kv_heads in beside(Fraction(d // 32, 2), [n for n in range(1, d // 32 + 1) if d // 32 % n == 0]):
            made += [Shape(n, d, d // 32, kv_heads, d_ff) for n in depths for d_ff in inner if d_ff * REACH >= 3 * d]
    hits = [shape for shape in made if abs(led(shape) - budget) * 100 <= budget]
    if not hits:
        assert abs(best.params - budget) == min(abs(led(shape) - budget) for shape in made)
        assert not others
        return
    assert best.distance == pytest.approx(min(distance(one, wanted, led(one), budget) for one in hits), abs=1e-12)
    assert len(others) == min(5, len({one[:2] for one in hits})) - 1


@pytest.mark.parametrize(
    ("widening", "budget", "found"), [(Fraction(103, 100), 2 * 192, 2 * 128), (Fraction(3), 64, 128), (Fraction(4), 2 * 512, 2 * 512)]
)  # fmt: skip
def test_no_inner_width_is_past_half_or_twice_the_proportions(widening: Fraction, budget: int, found: int) -> None:
    """Of width 64 with one or two layers: 192 is past twice 65.92 and 64 is below half of 192; 512 is twice 256."""
    wanted = Proportions(Fraction(64), widening, Fraction(1), Fraction(1), head_dim=32)
    best = search(budget * 64**3, wanted, Grid(64), lambda one: one.layers * one.d_ff * one.d_model**3)[0]
    assert (best.shape.d_model, best.params) == (64, found * 64**3)


@pytest.mark.parametrize(
    ("widening", "aspect", "budget", "width", "some"),
    [(1, 2, 100 * 512, 256, {99, 100, 101}), (Fraction(1, 4), 8, 100 * 64, 512, {33, 50, 100})],
)
def test_every_depth_and_width_that_comes_within_1_percent_is_found_where_all_are_asked_for(
    widening: Fraction, aspect: int, budget: int, width: int, some: set[int]
) -> None:
    """Of layers of d_ff parameters alone, on a grid of 64, for 100 of the widest at d_model 256, which may have 64 to 256.

    And for 100 of the narrowest where d_ff is a quarter of d_model: of width 512, 33 layers of 192 are 1% off.
    """
    wanted = Proportions(Fraction(aspect), Fraction(widening), Fraction(1), Fraction(1), head_dim=64)
    found = search(budget, wanted, Grid(64), lambda shape: shape.layers * shape.d_ff, many=10**6)
    hits = {
        (layers, d): [
            n
            for n in range(64, max(int(2 * d * widening), 64) + 1, 64)
            if 2 * n >= d * widening and abs(layers * n - budget) * 100 <= budget
        ]
        for d in range(64, 1025, 64)
        for layers in range(-(-d // (2 * aspect)), 2 * d // aspect + 1)
    }
    assert {(one.shape.layers, one.shape.d_model) for one in found} == {place for place, inner in hits.items() if inner}
    assert {layers for (layers, d), inner in hits.items() if inner and d == width} >= some
    for one in found:
        shapes = [one.shape._replace(d_ff=n) for n in hits[one.shape.layers, one.shape.d_model]]
        assert one.distance == pytest.approx(min(distance(s, wanted, s.layers * s.d_ff, budget) for s in shapes))
