"""Arithmetic of sweeps against Python's own ints: nothing is rounded, at whatever size."""

from __future__ import annotations

import operator
import random
from typing import Any

import numpy as np
import pytest

from tscale.core.tracing import TracedInt, ceil_div, maximum, minimum
from tscale.sweeping.exact import Program, as_ints
from tscale.sweeping.wide import Wide, as_wide, wide_add, wide_ceil_div, wide_div, wide_mul, wide_sub

SIZES = [0, 1, 2, 3, 2**31 - 1, 2**32, 2**32 + 1, 2**53 + 1, 2**63 - 1]


def words(numbers: list[int]) -> Wide:
    return Wide(
        np.array([one >> 64 for one in numbers], dtype=np.uint64),
        np.array([one & (2**64 - 1) for one in numbers], dtype=np.uint64),
    )


def numbers(most: int, count: int = 300) -> list[int]:
    chance = random.Random(most)  # noqa: S311
    small = [one for one in SIZES if one < most]
    return small + [chance.randrange(1 << chance.randrange(1, most.bit_length())) % most for _ in range(count)]


@pytest.mark.parametrize("ours, theirs", [(wide_add, operator.add), (wide_sub, operator.sub)])
def test_sums_of_two_words_are_those_of_ints(ours: Any, theirs: Any) -> None:
    a = numbers(2**126)
    b = [one // 3 for one in a]
    assert list(ours(words(a), words(b)).ints()) == [theirs(x, y) for x, y in zip(a, b, strict=True)]


def test_products_of_two_words_are_those_of_ints() -> None:
    a, b = numbers(2**63), numbers(2**63)[::-1]
    found = wide_mul(np.array(a, dtype=np.int64), np.array(b, dtype=np.int64))
    assert list(found.ints()) == [x * y for x, y in zip(a, b, strict=True)]
    wide = [one * 2**40 for one in a]
    found = wide_mul(words(wide), np.array([2**22 - 1], dtype=np.int64))
    assert list(found.ints()) == [one * (2**22 - 1) for one in wide]


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 2048, 12_289, 2**31 - 1])
def test_quotients_of_two_words_are_those_of_ints(divisor: int) -> None:
    """Right below, at and above every multiple, where rounding would be off by one."""
    multiples = [one * divisor for one in numbers(2**120 // divisor)]
    a = [max(one + step, 0) for one in multiples for step in (-1, 0, 1)]
    by = np.full(len(a), divisor, dtype=np.int64)
    assert list(wide_div(words(a), by).ints()) == [one // divisor for one in a]
    assert list(wide_ceil_div(words(a), by).ints()) == [-(-one // divisor) for one in a]


@pytest.mark.parametrize("most", [2**10, 2**31, 2**62, 2**90])
def test_a_program_computes_what_ints_do(most: int) -> None:
    """Through 64 bits, two words and Python's ints, by the same derivation."""
    chance = random.Random(1)  # noqa: S311
    a, b = TracedInt(7, label="a"), TracedInt(5, label="b")
    formulas = [
        3 * a * b + 2,
        ceil_div(6 * a * a * b, b),
        (a**2 + b) // b,
        minimum(a * b, a + 10**6),
        maximum(a * b * 3, b**2) - minimum(a, b),
        a * b * a * b * a,
    ]
    program = Program(formulas, {"a": (1, most), "b": (1, 2**31 - 1)})
    first = [chance.randrange(1, min(most, 2**62)) for _ in range(50)]
    second = [chance.randrange(1, 2**31 - 1) for _ in range(50)]
    found = program.run({"a": np.array(first, dtype=np.int64), "b": np.array(second, dtype=np.int64)})
    for place, (x, y) in enumerate(zip(first, second, strict=True)):
        wanted = [
            3 * x * y + 2,
            -(-6 * x * x * y // y),
            (x**2 + y) // y,
            min(x * y, x + 10**6),
            max(x * y * 3, y**2) - min(x, y),
            x * y * x * y * x,
        ]
        assert [int(as_ints(value)[place]) for value in found] == wanted


def test_a_program_keeps_64_bits_where_a_bound_says_that_they_do() -> None:
    a = TracedInt(7, label="a")
    assert Program([a * a], {"a": (1, 3_037_000_499)}).kinds() == ["small"]
    assert Program([a * a], {"a": (1, 3_037_000_500)}).kinds() == ["wide"]
    assert Program([a * a * a * a * a], {"a": (1, 2**40)}).kinds() == ["object"]


def test_a_number_of_two_words_is_made_of_a_plain_one() -> None:
    assert as_wide(2**64 + 5).ints() == 2**64 + 5
