"""Where the numbers of an axis and the words of a picture stand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import BYTES, FLOPS, PARAMETERS, SHARE, TOKENS, YEAR, Unit
from tscale.render.axes import Reach, label_text, reach_x, reach_y, tick_text, ticks
from tscale.render.label_layout import Box, Word, placed

ROOM = Box(0, 0, 100, 60)
WORDS = st.lists(
    st.builds(
        Word,
        st.floats(0, 100),
        st.floats(0, 60),
        st.floats(1, 30),
        st.floats(1, 5),
        st.integers(1, 5),
        st.sampled_from([None, 0.0, 0.5]),
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(deadline=None)
@given(WORDS)
def test_a_word_that_may_be_left_out_hides_nothing(words: list[Word]) -> None:
    points = [Box(word.x - 0.5, word.y - 0.5, word.x + 0.5, word.y + 0.5) for word in words]
    found = placed(words, points, [], ROOM, (1, 1))
    for place, (word, box) in enumerate(zip(words, found, strict=True)):
        if box is None:
            continue
        assert ROOM.holds(box)
        if word.lines is not None:
            others = [other for one, other in enumerate(found) if one != place and other is not None]
            softer = [other for other in others if words[found.index(other)].lines is not None]
            assert not any(box.overlap(other) for other in softer + points)


def test_words_of_crowded_points_do_not_overlap() -> None:
    """Eight names in a column of points, closer than the names are high."""
    words = [Word(50, 30 + place / 2, 20, 3) for place in range(8)]
    found = placed(words, [], [], ROOM, (1, 1))
    boxes = [box for box in found if box is not None]
    assert len(boxes) == 8
    assert not any(one.overlap(other) for place, one in enumerate(boxes) for other in boxes[:place])


def test_in_cells_words_begin_at_whole_numbers() -> None:
    (box,) = placed([Word(10.5, 10.5, 7, 1)], [], [], ROOM, (1.5, 0.5), cells=True)
    assert box == (12, 10, 19, 11)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 19), st.integers(1, 20)), max_size=12))
def test_in_cells_words_do_not_touch(points: list[tuple[int, int, int]]) -> None:
    """A free cell is between two words of a row, and between a word and a point: what touches reads as one word."""
    words = [Word(x + 0.5, y + 0.5, width, 1, 1, 0.6) for x, y, width in points]
    marks = [Box(x, y, x + 1, y + 1) for x, y, _ in points]
    found = [box for box in placed(words, marks, [], Box(0, 0, 100, 20), (1.5, 0.5), cells=True) if box is not None]
    for place, box in enumerate(found):
        wider = Box(box.left - 1, box.low, box.right + 1, box.high)
        assert not any(wider.overlap(other) for other in [*found[:place], *marks])


@settings(deadline=None)
@given(st.floats(-3, 30), st.floats(0.001, 25), st.integers(4, 12), st.sampled_from([FLOPS, BYTES, TOKENS]))
def test_a_logarithmic_axis_has_some_numbers_inside_it(low: float, decades: float, most: int, unit: Unit) -> None:
    reach = Reach(10**low, 10 ** (low + decades))
    places = [tick.at for tick in ticks(Axis("x", unit), reach, most)]
    assert 2 <= len(places) <= most + 1
    assert all(one < other for one, other in pairwise(places))
    assert all(reach.low * (1 - 1e-8) <= place <= reach.high * (1 + 1e-8) for place in places)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(0.01, 1e9), st.integers(4, 12))
def test_a_straight_axis_has_equal_steps(low: float, width: float, most: int) -> None:
    places = [tick.at for tick in ticks(Axis("x", TOKENS, log=False), Reach(low, low + width), most)]
    assert 2 <= len(places) <= most + 1
    steps = [other - one for one, other in pairwise(places)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


@pytest.mark.parametrize(
    "value, unit, text",
    [
        (1e12, FLOPS, "10¹²"),
        (2e9, FLOPS, "2·10⁹"),
        (1000, TOKENS, "1,000"),
        (100_000, TOKENS, "100,000"),
        (7e10, PARAMETERS, "70B"),
        (1e15, PARAMETERS, "1,000T"),
        (1e18, PARAMETERS, "10¹⁸"),
        (8e10, BYTES, "80 GB"),
        (1.5e12, BYTES, "1.5 TB"),
        (0, BYTES, "0 B"),
        (2020, YEAR, "2020"),
        (0.25, SHARE, "25%"),
    ],
)
def test_numbers_at_an_axis_are_short(value: float, unit: Unit, text: str) -> None:
    assert tick_text(Axis("x", unit), value) == text


@pytest.mark.parametrize("log", [True, False])
def test_a_single_point_has_an_axis_around_it(log: bool) -> None:
    axis = Axis("x", TOKENS, log=log)
    plot = Plot("one", axis, axis, (Series("", (Point(7, 7),), "points"),))
    for reach in (reach_x(plot), reach_y(plot)):
        assert reach.low < 7 < reach.high


def test_an_axis_says_its_unit_once() -> None:
    assert Axis("context", TOKENS).label == "context (tokens)"
    assert Axis("training tokens", TOKENS).label == "training tokens"
    assert Axis("parameters", PARAMETERS).label == "parameters"
    assert label_text("x" * 50) == "x" * 39 + "…"
