"""The three kinds of number, and the reading of counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import function_of
from tscale.core.counts import parse_count
from tscale.core.number_text import estimate, scaled_estimate
from tscale.core.tracing import TracedInt, ceil_div, label, maximum, minimum, power_of_two
from tscale.errors import RequestError

Formula = Callable[[Any, Any, Any], Any]

FORMULAS: dict[str, Formula] = {
    "sum of products": lambda a, b, c: a * b + b * c + 7,
    "product of a sum": lambda a, b, c: a * (b + c) * 2,
    "difference": lambda a, b, c: a - (b - c) - 1,
    "halves": lambda a, b, c: a * (a + 1) // 2 + b * c,
    "quotient on the right": lambda a, b, c: a * (b // c),
    "quotient of a quotient": lambda a, b, c: a * b // c // 2,
    "quotient of a product": lambda a, b, c: a // (b * c),
    "square": lambda a, b, c: (a + b) ** 2 * c**2,
    "rounded up": lambda a, b, c: ceil_div(a * b, c) + a * ceil_div(b, c),
    "window": lambda a, b, c: minimum(a, b) * c + (a - minimum(a, b)),
    "widest": lambda a, b, c: maximum(a * c, b) * c + maximum(b, 7),
    "named": lambda a, b, c: label("head_dim", a // b) * c,
    "a power of two": lambda a, b, c: power_of_two(a) * b + minimum(power_of_two(ceil_div(a, c)), a),
    "from the left": lambda a, b, c: 3 * a - (2 - b) * c,
}


def next_power(number: Fraction) -> Fraction:
    """The smallest power of two that is not below a number, by doubling."""
    power = Fraction(1)
    while power < number:
        power *= 2
    return power


def evaluated(text: str, **names: int) -> Fraction:
    """The value of a derivation's text, worked out by Python's own parser: with fractions where it divides."""
    text = text.replace("·", "*").replace("²", "**2")
    text = text.replace("⌈", "ceil(").replace("⌉", ")").replace("⌊", "floor(").replace("⌋", ")")
    if "/" in text:
        text = re.sub(r"(?<![\w.])(\d+)(?![\w.])", r"Fraction(\1)", text).replace("**Fraction(2)", "**2")
    scope = {"Fraction": Fraction, "ceil": ceil, "floor": floor, "min": min, "max": max, "power_of_two": next_power}
    kind = Fraction if "/" in text else int
    return Fraction(eval(text, scope, {name: kind(value) for name, value in names.items()}))  # noqa: S307


@pytest.mark.parametrize("name", FORMULAS)
@given(a=st.integers(1, 10**6), b=st.integers(1, 10**6), c=st.integers(1, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_formula_gives_the_same_on_ints_and_on_ints_that_remember(name: str, a: int, b: int, c: int) -> None:
    formula = FORMULAS[name]
    traced = formula(TracedInt(a, label="a"), TracedInt(b, label="b"), TracedInt(c, label="c"))
    assert traced == formula(a, b, c)
    assert evaluated(traced.numbers) == traced
    head_dim = a // b
    assert evaluated(traced.names, a=a, b=b, c=c, head_dim=head_dim) == traced
    assert function_of(traced)(**dict(zip("abc", (a, b, c), strict=True))) == traced


@pytest.mark.parametrize("name", FORMULAS)
def test_what_is_remembered_holds_for_other_numbers(name: str) -> None:
    """Also where another one of two is the smaller then: no choice is frozen."""
    made = FORMULAS[name](TracedInt(7, label="a"), TracedInt(3, label="b"), TracedInt(2, label="c"))
    for a, b, c in ((1000, 64, 128), (3, 999, 5), (64, 64, 1)):
        assert function_of(made)(a=a, b=b, c=c) == FORMULAS[name](a, b, c)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_gives_the_same_on_arrays(name: str) -> None:
    triples = [(a, b, c) for a in (1, 7, 64, 1000) for b in (1, 3, 64, 999) for c in (1, 2, 128)]
    arrays = [np.array(column, dtype=np.float64) for column in zip(*triples, strict=True)]
    result = FORMULAS[name](*arrays)
    assert result.tolist() == [FORMULAS[name](*triple) for triple in triples]


def test_a_derivation_reads_like_the_formula() -> None:
    layers, d_model, d_ff = (
        TracedInt(n, label=name) for name, n in (("layers", 96), ("d_model", 12288), ("d_ff", 49152))
    )
    value = layers * (d_model * d_ff + d_ff)
    assert isinstance(value, TracedInt)
    assert value.names == "layers·(d_model·d_ff + d_ff)"
    assert value.numbers == "96·(12288·49152 + 49152)"


def test_neutral_literals_leave_no_trace() -> None:
    n = TracedInt(5, label="n")
    assert sum([n, n]) == 10
    assert isinstance(1 * n, TracedInt)
    assert (1 * n + 0).names == "n"  # type: ignore[attr-defined]
    assert not isinstance(0 * n, TracedInt)


@pytest.mark.parametrize(
    "text, value",
    [
        ("2048", 2048),
        ("4_096", 4096),
        ("300e9", 300 * 10**9),
        ("1.5T", 15 * 10**11),
        ("2.5e3", 2500),
        ("128k", 128_000),
        ("128K", 128_000),
        ("7B", 7 * 10**9),
        ("1e+3", 1000),
        (" 12 ", 12),
        ("0.5M", 500_000),
    ],
)
def test_counts_are_read_as_people_write_them(text: str, value: int) -> None:
    assert parse_count(text, what="--tokens", most=10**24) == value


def test_a_context_of_128k_is_what_model_cards_mean() -> None:
    assert parse_count("128k", what="--context", most=10**12, kilo=1024) == 131_072


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "nan",
        "inf",
        "many",
        "1.5",
        "2.0001k",
        "1e-3",
        "1e400",
        "٣",
        "1__0",
        "0x10",
        "1 2",
        "1kk",
        "1" * 50,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--tokens"):
        parse_count(text, what="--tokens", most=10**24)


@pytest.mark.slow
def test_a_sum_of_thousands_of_terms_is_written_out_and_made_again() -> None:
    """A sum is as deep as it has terms, deeper than Python calls functions within functions."""
    total: int = 0
    for number in range(3_000):
        total = maximum(total + TracedInt(number, label=f"n_{number}"), 1)
    assert isinstance(total, TracedInt)
    assert total.numbers.endswith("+ 2999, 1)")
    assert total.names.count("max(") == 3_000


def test_each_definition_is_told_once_and_behind_what_it_uses() -> None:
    width = label("head_dim", TracedInt(64, label="d") // TracedInt(4, label="h"))
    twice = label("both", width + width) * width
    assert isinstance(twice, TracedInt)
    assert [label for label, *_ in twice.definitions()] == ["head_dim", "both"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(1, 2), "0.500 FLOP/s"), (999, "999 FLOP/s"), (1234, "1.23 kFLOP/s"), (45_678, "45.7 kFLOP/s"),
        (403_499, "403 kFLOP/s"), (403 * 10**12, "403 TFLOP/s"), (1_234_567, "1.23 MFLOP/s"), (56_789 * 10**12, "56.8 PFLOP/s"),
    ],
)  # fmt: skip
def test_an_estimate_has_three_digits_and_a_power_of_a_thousand(value: Fraction, text: str) -> None:
    assert scaled_estimate(value, "FLOP/s") == text


def test_an_estimate_of_a_thousand_is_separated() -> None:
    assert [estimate(999), estimate(1000), estimate(-1000), estimate(1001)] == ["999", "1,000", "-1,000", "1,000"]
