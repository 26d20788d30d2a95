"""Derivations of drawn formulas: what they say, read with the rules of arithmetic, comes to the number that they are of."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest

from tscale.core.derivation import text_of
from tscale.core.tracing import TracedInt, ceil_div, maximum, minimum, power_of_two


def _least_power(number: Fraction) -> Fraction:
    """The least power of two that is not below a number."""
    return Fraction(next(2**n for n in range(200) if 2**n >= number))


def _read(text: str, sizes: dict[str, int]) -> Fraction:
    """What a text comes to in exact fractions: a line through a number is a division, and brackets round it."""
    for sign, python in (("·", "*"), ("²", "**2"), ("⌊", "floor("), ("⌋", ")"), ("⌈", "ceil("), ("⌉", ")")):
        text = text.replace(sign, python)
    words = re.sub(r"(?<![a-z_])[a-e](?![a-z_(])|\d+", lambda word: f"Fraction(of({word[0]!r}))", text)
    of: Callable[[str], int] = lambda word: sizes[word] if word in sizes else int(word)  # noqa: E731
    known = {"Fraction": Fraction, "of": of, "floor": floor, "ceil": ceil, "min": min, "max": max, "power_of_two": _least_power}  # fmt: skip
    return Fraction(eval(words, known))  # noqa: S307 (our own text)


SIZES = {"a": 7, "b": 12, "c": 5, "d": 64, "e": 1}


def _drawn(dice: random.Random, depth: int) -> Any:
    """A formula of sizes that have names and of numbers that have none."""
    if depth == 0 or dice.random() < 0.15:
        name = dice.choice([*SIZES, ""])
        return TracedInt(SIZES[name], label=name) if name else dice.randrange(1, 9)
    left, right = (_drawn(dice, depth - 1) for _ in range(2))
    operation = dice.choice("+-**//cmMsp")
    if operation in "/c" and int(right) <= 0:
        operation = "*"
    if operation == "p" and int(left) <= 0:
        operation = "s"
    made: dict[str, Callable[[], Any]] = {
        "+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right, "/": lambda: left // right,
        "c": lambda: ceil_div(left, right), "m": lambda: minimum(left, right), "M": lambda: maximum(left, right),
        "s": lambda: left**2, "p": lambda: power_of_two(left),
    }  # fmt: skip
    return made[operation]()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_derivation_comes_to_its_number(depth: int) -> None:
    dice = random.Random(depth)  # noqa: S311 (no secret)
    for _ in range(60):
        number = _drawn(dice, depth)
        names, numbers, _ = text_of(number)
        assert _read(numbers, {}) == int(number), numbers
        assert _read(names, SIZES) == int(number), names


def test_brackets_stand_where_they_say_something() -> None:
    """Around a sum in a product, on the right of a difference, and around a quotient that is not the first to be computed."""
    a, b, c = (TracedInt(SIZES[name], label=name) for name in "abc")
    said = {
        "a + b + c": a + (b + c), "a - (b + c)": a - (b + c), "a - b + c": a - b + c, "a - (b - c)": a - (b - c), "a·b·c": a * (b * c),
        "a·(b + c)": a * (b + c), "(a - b)·c": (a - b) * c, "a + b·c": a + b * c, "⌊a·b/c⌋": a * b // c, "a·⌊b/c⌋": a * (b // c),
        "⌊a/(b·c)⌋": a // (b * c), "⌊(a + b)/c⌋": (a + b) // c, "⌈a/b⌉": ceil_div(a, b), "(a + b)²": (a + b) ** 2, "(a·b)²": (a * b) ** 2,
        "a²·b": a**2 * b, "min(a + b, c)": minimum(a + b, c), "max(a, b)·c": maximum(a, b) * c, "power_of_two(a + b)": power_of_two(a + b),
    }  # fmt: skip
    assert [text_of(number).names for number in said.values()] == list(said)
    d = TracedInt(64, label="d")
    assert [text_of(one).names for one in (d // 8, b * (d // 8), (d // 8) * b, (d // 8) // 4, d // (b // 3))] == [
        "d/8", "b·(d/8)", "d/8·b", "d/8/4", "d/(b/3)",
    ]  # fmt: skip
