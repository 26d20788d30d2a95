"""What formulas ask of a number, of each kind that they run on: plain, remembering, recorded, and arrays."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tscale.core.tracing import (
    Recordable,
    TracedInt,
    as_float,
    as_fraction,
    as_plain,
    ceil_div,
    is_array,
    is_never,
    is_nothing,
    is_one,
    label_beside,
    maximum,
    minimum,
    power_of_two,
    ratio,
    rounded_up,
    where,
    whole,
)


class Seven(Recordable):
    """A number of a sweep in short: it says in which way it was asked for."""

    def as_float(self) -> Any:
        return 7.25

    def as_fraction(self) -> Any:
        return Fraction(7)

    def as_int(self) -> Any:
        return 7

    def power_of_two(self) -> Any:
        return 8


RECORDED: Any = Seven()
TWO, ARRAY = TracedInt(2, label="two"), np.array([1.0, 4.0])


def test_a_recorded_number_is_asked_for_what_it_is() -> None:
    asked: list[Any] = [as_float(RECORDED), as_fraction(RECORDED), as_plain(RECORDED), power_of_two(RECORDED)]
    assert asked == [7.25, Fraction(7), 7, 8]
    assert (ratio(RECORDED, 2), ratio(2, RECORDED), ratio(RECORDED, RECORDED)) == (
        Fraction(7, 2),
        Fraction(2, 7),
        Fraction(1),
    )
    assert not is_nothing(RECORDED)
    assert not is_array(RECORDED)


def test_what_a_number_is() -> None:
    one: Any = np.array([1.0, 1.0])
    assert [is_array(number) for number in (1, 1.0, TWO, Fraction(1), None, ARRAY)] == [False] * 5 + [True]
    assert [is_one(number) for number in (1, 2, 0, None, TracedInt(1), one)] == [True, False, False, False, True, False]
    assert [is_nothing(number) for number in (0, 0.0, 1, TWO, one - 1)] == [True, True, False, False, False]
    assert [is_never(condition) for condition in (False, True, one > 1)] == [True, False, False]


def test_numbers_of_each_kind_as_others() -> None:
    assert ratio(7, 2) == Fraction(7, 2)
    halves: Any = ratio(ARRAY, 2)  # type: ignore[arg-type]
    inverse: Any = ratio(2, ARRAY)  # type: ignore[arg-type]
    assert (halves.tolist(), inverse.tolist()) == ([0.5, 2.0], [2.0, 0.5])
    assert type(as_plain(TWO)) is int and as_plain(ARRAY) is ARRAY
    assert (as_float(3), as_fraction(0.5), whole(2.5), whole(3.5), rounded_up(2.25)) == (3.0, Fraction(1, 2), 2, 4, 3)
    floats: Any = np.array([2.25, 2.5])
    assert (whole(floats).tolist(), rounded_up(floats).tolist(), as_float(np.array([2])).tolist()) == (
        [2.0, 2.0],
        [3.0, 3.0],
        [2.0],
    )


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 8, 9, 1000])
def test_a_power_of_two_is_not_below(number: int) -> None:
    expected = next(2**n for n in range(20) if 2**n >= number)
    array: Any = power_of_two(np.array([number, 1.0]))  # type: ignore[arg-type]
    assert (power_of_two(number), power_of_two(TracedInt(number)), array.tolist()) == (
        expected,
        expected,
        [expected, 1],
    )


def test_smaller_larger_and_chosen_numbers_of_arrays() -> None:
    both: Any = ARRAY
    least, most, up = minimum(both, 2), maximum(2, both), ceil_div(both, 3)
    assert [np.asarray(one).tolist() for one in (least, most, up)] == [[1, 2], [2, 4], [1, 2]]
    assert np.asarray(where(both > 1, both, 0)).tolist() == [0, 4]
    assert (where(True, 1, 2), where(False, 1, 2)) == (1, 2)


def test_a_number_of_a_second_block_is_named_like_those_beside_it() -> None:
    """`attention_2_heads` has an `attention_2_head_dim`; a number that does not remember has no name."""
    beside: Any = label_beside("head_dim", TWO, TracedInt(4, label="attention_2_heads"), "heads")
    plain: Any = label_beside("head_dim", TWO, TracedInt(4, label="layers"), "heads")
    assert (beside.names, plain.names) == ("attention_2_head_dim", "head_dim")
    assert label_beside("head_dim", 2, 4, "heads") == 2
    alone: Any = label_beside("head_dim", TWO, 4, "heads")
    assert alone.names == "head_dim"
