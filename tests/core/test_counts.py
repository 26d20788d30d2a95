"""Counts and fractions at the edges of what is read: the last that is taken and the first that is not."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from tscale.core.counts import parse_count, parse_fraction
from tscale.errors import RequestError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5k", 1500), ("2K", 2000), ("3M", 3 * 10**6), ("4G", 4 * 10**9), ("4B", 4 * 10**9), ("5T", 5 * 10**12), ("1.25e2", 125), ("1E2k", 10**5), ("7 k", 7000),
        ("0." + "0" * 38 + "1e39", 1), ("1e40", 10**40), ("9" * 40, int("9" * 40)), ("1_000.5e1", 10_005),
    ],
)  # fmt: skip
def test_a_count_is_exact(text: str, value: int) -> None:
    assert parse_count(text, what="--it", most=10**45) == value
    assert parse_count(text, what="--it", most=value) == value


@pytest.mark.parametrize(
    ("text", "most", "said"),
    [
        ("1e41", 10**45, "--it of 1e41 is too large (at most 1e45)"), ("1" * 41, 10**50, f"--it of {'1' * 40} is too large (at most 1e50)"),
        ("101", 100, "--it of 101 is too large (at most 100)"), ("1M", 999_999, "--it of 1M is too large (at most 999,999)"), ("2M", 10**6, "--it of 2M is too large (at most 1e6)"),
        ("1k", 1023, None), ("0.25", 100, 'not "0.25"'), ("0", 100, 'not "0"'), ("0.0k", 100, 'not "0.0k"'), ("1e0.5", 100, 'not "1e0.5"'), ("k", 100, 'not "k"'),
        ("048", 100, 'not "048"'), ("00", 100, 'not "00"'), ("0_1", 100, 'not "0_1"'),  # 2,048 in a list of contexts is no 2 and 48
    ],
)  # fmt: skip
def test_what_is_no_count_or_too_large_is_refused(text: str, most: int, said: str | None) -> None:
    if said is None:
        assert parse_count(text, what="--it", most=most) == 1000
        return
    with pytest.raises(RequestError) as refused:
        parse_count(text, what="--it", most=most)
    assert said in str(refused.value)


@pytest.mark.parametrize("most", [1024, 10**6, 10**9, 10**12, 10**36])
def test_an_example_of_a_count_is_none_that_is_refused(most: int) -> None:
    with pytest.raises(RequestError) as refused:
        parse_count("0", what="--it", most=most)
    examples = re.findall(r"[\d_.]+[\dekT]*", str(refused.value).partition("such as ")[2].partition(", not")[0])
    assert len(examples) > 2
    assert all(0 < parse_count(example, what="--it", most=most) <= most for example in examples)


@pytest.mark.parametrize(
    ("text", "value"), [("2.5", Fraction(5, 2)), (".40", Fraction(2, 5)), ("1e3", Fraction(1000)), (" 5e-2 ", Fraction(1, 20)), ("1000", Fraction(1000))]
)  # fmt: skip
def test_a_fraction_is_exact(text: str, value: Fraction) -> None:
    assert parse_fraction(text, what="--it", most=1000) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [("0", "above 0, such as 2.5"), ("0.0", "above 0"), ("-1", "above 0"), ("1000.5", "--it of 1000.5 is too large (at most 1,000)"), ("1.", "above 0"), ("x", 'not "x"'), ("1e100", "above 0"),
     ("x" * 41, 'not "' + "x" * 40 + '"'), (" " * 30 + "0" * 11, 'not "' + " " * 30 + "0" * 10 + '"'), (" " * 30 + "9" * 11, "of " + " " * 30 + "9" * 10 + " is")],
)  # fmt: skip
def test_what_is_no_fraction_or_too_large_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_fraction(text, what="--it", most=1000)
    assert said in str(refused.value)
