"""Axes: values, lists and ranges as people write them, counted before any is listed."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import pytest

from tscale.analysis.readers import context, degree, number, tokens
from tscale.core.axis import Span, read_axis
from tscale.errors import RequestError


@pytest.mark.parametrize(
    ("span", "values"),
    [
        (Span(1, 4, 1), [1, 2, 3, 4]), (Span(1, 7, 3), [1, 4, 7]), (Span(8, 40, 0, 2), [8, 16, 32]), (Span(5, 5, 1), [5]), (Span(5, 4, 1), []),
    ],
)  # fmt: skip
def test_a_range_goes_up_to_its_end(span: Span, values: list[int]) -> None:
    assert list(islice(span, 10)) == values
    low, high = int(span.low), int(span.high)
    assert [span.holds(value) for value in (low - 1, low, high, high + 1)] == [
        False, low <= high, low <= high, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("8", (8,)),
        ("1,2,4", (1, 2, 4)),
        ("1..4", (1, 2, 3, 4)),
        ("16..96+8", tuple(range(16, 97, 8))),
        ("8..1024*2", (8, 16, 32, 64, 128, 256, 512, 1024)),
        ("1, 4..8+2 ,1", (1, 4, 6, 8)),
    ],
)
def test_a_range_has_both_ends(text: str, values: tuple[int, ...]) -> None:
    axis = read_axis(text, "--x", degree)
    assert axis.values == values


def test_sizes_are_read_as_their_option_reads_them() -> None:
    assert read_axis("2k,8k..32k*2", "--context", context).values == (2048, 8192, 16384, 32768)
    assert read_axis("0.3..0.5+0.1", "--x", number(1)).values == (Fraction(3, 10), Fraction(2, 5), Fraction(1, 2))


def test_of_degrees_a_range_without_a_step_means_those_that_are_legal() -> None:
    legal = (1, 2, 4, 8, 16)
    assert read_axis("2..8", "--tensor", degree).among(legal) == (2, 4, 8)
    assert read_axis("2..8+1", "--tensor", degree).among(legal) == (2, 3, 4, 5, 6, 7, 8)
    assert read_axis("3,2..8", "--tensor", degree).among(legal) == (3, 2, 4, 8)


def test_a_long_range_is_counted_and_not_listed() -> None:
    assert read_axis("1..1000000+1", "--x", degree).size == 10**6
    assert read_axis("1..1000000", "--x", degree).stepped_size == 0


def test_a_step_is_written_as_the_ends_are() -> None:
    assert list(read_axis("1e9..3e9+1e9", "--x", tokens).among(range(10**9, 4 * 10**9, 10**9))) == [
        10**9,
        2 * 10**9,
        3 * 10**9,
    ]
    assert read_axis("1k..8k+1k", "--x", context).size == 8
    assert read_axis("1e9..100e9+1e6", "--x", tokens).size == 99_001


def test_only_a_fixed_axis_has_one_value() -> None:
    assert read_axis("8", "--x", degree).only == 8
    assert read_axis("8,16", "--x", degree).only is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--x has a value that is empty"),
        ("1,,2", "--x has a value that is empty"),
        ("8..1", "--x 8..1 is empty: 8 is more than 1"),
        ("1..9*2", "--x 1..9*2 passes over its end: it comes to 8, then 16"),
        ("1..10+2", "--x 1..10+2 passes over its end: it comes to 9, then 11"),
        ("1..8*1", "--x 1..8*1: the factor behind * is 1.01 or more"),
        ("1-8", "--x 1-8: a range is 1..8"),
        ("1..9+0", "--x 1..9+0: behind + or * stands a number above 0"),
        ("1..9+1e-1", "--x 1..9+1e-1: behind + or * stands a number above 0"),
        ("1..9*2e0", "--x 1..9*2e0: behind + or * stands a number above 0"),
        ("1..9+x", "--x 1..9+x: behind + or * stands a number above 0"),
        ("1..", "--x 1.. is no range: both ends are numbers"),
        (",".join(map(str, range(1, 2000))), "--x lists 1,999 values: at most 1,000"),
    ],
)
def test_what_is_no_axis_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_axis(text, "--x", degree)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "size", "stepped", "only"),
    [
        ("8", 1, 1, 8), ("8..8", 1, 0, 8), ("8,8", 2, 2, None), ("1..8*2", 4, 4, None), ("1..8,3", 9, 1, None), ("1..9+2", 5, 5, None), ("4,1..1000000+1", 10**6 + 1, 10**6 + 1, None),
        (",".join(map(str, range(1, 1001))), 1000, 1000, None),
    ],
)  # fmt: skip
def test_values_are_counted_as_they_are_written(text: str, size: int, stepped: int, only: int | None) -> None:
    axis = read_axis(text, "--x", degree)
    assert (axis.size, axis.stepped_size, axis.only) == (size, stepped, only)


def test_ranges_of_parts_and_of_small_factors() -> None:
    """A hundredth more each time is the least factor; a range from 0 is added to and not multiplied; a step has 40 digits at the most."""
    assert read_axis("1..1.0201*1.01", "--x", number(10)).values == (1, Fraction(101, 100), Fraction(10201, 10000))
    with pytest.raises(RequestError, match="begins above 0"):
        read_axis("0..8*2", "--x", lambda text, _: int(text))
    assert read_axis("0..8+2", "--x", lambda text, _: int(text)).values == (0, 2, 4, 6, 8)
    with pytest.raises(RequestError, match="no range"):
        read_axis("true..8", "--x", lambda text, _: True if text == "true" else int(text))
