"""Arrays of whole numbers as Python has them: 64-bit words where bounds say that they fit, else Python's ints.

A quotient is kept as two whole numbers, in no lowest terms: its value is the same, and nothing is divided before it is asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.sweeping.each import each
from tscale.sweeping.exact import BOUNDS, Bounds
from tscale.sweeping.operations import COMPARISONS, OPERATIONS
from tscale.sweeping.quotients import quotients

Value = Any
"""A plain number, `Whole`, `Quotient`, or an array: of doubles, of conditions, or of Python's numbers."""
_EXACT: Final = 2**53
"""Up to which a double holds every whole number."""


class Whole(NamedTuple):
    """An array of whole numbers, of words or of Python's ints, and what they lie between."""

    array: Any
    least: int
    most: int


class Quotient(NamedTuple):
    """Fractions: whole numbers, or one, over others, or one, which are above 0."""

    over: Whole | int
    under: Whole | int


def is_array(value: Value) -> bool:
    """Whether it is of many rows."""
    return isinstance(value, (Whole, Quotient, np.ndarray))


def is_whole(value: Value) -> bool:
    """Whether it is a whole number, or an array of them."""
    return isinstance(value, Whole) or (isinstance(value, int) and not isinstance(value, bool))


def shape_of(value: Value) -> tuple[int, ...]:
    """The shape of an array; of a plain number that of none."""
    if isinstance(value, Quotient):
        return np.broadcast_shapes(*map(shape_of, value))
    return np.shape(array_of(value))


def counted(value: Value) -> Value:
    """Conditions as the numbers 0 and 1 that they are in sums and products; all else as it is."""
    if isinstance(value, np.ndarray) and value.dtype == bool:
        return Whole(value.astype(np.int64), 0, 1)
    return value


def bounds_of(value: Value) -> Bounds:
    """Between what a whole number lies, or an array of them."""
    return Bounds(value.least, value.most) if isinstance(value, Whole) else Bounds(value, value)


def array_of(value: Value) -> Any:
    """The array itself, or a plain number."""
    return value.array if isinstance(value, Whole) else value


ON_WORDS: Final[dict[str, Callable[..., Any]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "min": np.minimum,
    "max": np.maximum,
}
"""Operations on words, and on doubles too where they are no divisions."""


def of_wholes(op: str, args: list[Value]) -> Value | None:
    """An operation on whole numbers; None where it is none of those."""
    if not all(map(is_whole, args)):
        return None
    bounds = [bounds_of(arg) for arg in args]
    arrays = [array_of(arg) for arg in args]
    words = all(one.kind == "small" for one in bounds) and not any(map(_is_of_objects, arrays))
    if op in COMPARISONS:
        return COMPARISONS[op](*arrays) if words else _one_by_one(op, arrays) == True  # noqa: E712 (of an array)
    if op == "neg":
        return Whole(-arrays[0] if words else _one_by_one(op, arrays), -bounds[0].most, -bounds[0].least)
    if op in ON_WORDS:
        result = BOUNDS[op](*bounds)
        if words and result.kind == "small":
            return Whole(ON_WORDS[op](*arrays), *result)
        return _within(_one_by_one(op, arrays), result)
    return _as_double(op, args, words=words and all(is_exact(one) for one in bounds))


def _is_of_objects(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "O"


def _as_double(op: str, args: list[Value], *, words: bool) -> Value | None:
    """A whole number, or a quotient of two, as a double."""
    if op == "float":
        return as_doubles(args[0])
    if op != "true":
        return None
    return array_of(args[0]) / array_of(args[1]) if words else quotient_double(Quotient(*args))


def _one_by_one(op: str, arrays: list[Any]) -> Any:
    objects = [array.astype(object) if isinstance(array, np.ndarray) else array for array in arrays]
    try:
        return np.asarray({**ON_WORDS, **COMPARISONS, "neg": operator.neg}[op](*objects), dtype=object)
    except (ArithmeticError, TypeError):  # of rows of another way
        pass
    return each(OPERATIONS[op], objects)


def _within(array: Any, bounds: Bounds) -> Whole:
    """Python's ints within bounds, as words where they fit."""
    if bounds.kind != "small":
        return Whole(array, *bounds)
    try:
        return Whole(array.astype(np.int64), *bounds)
    except (TypeError, OverflowError):  # rows of another way have none
        return Whole(array, *bounds)


def is_exact(bounds: Bounds) -> bool:
    """Whether doubles hold all whole numbers between some bounds."""
    return max(abs(bounds.least), abs(bounds.most)) <= _EXACT


def on_wholes(op: str, *args: Value) -> Value:
    """An operation on whole numbers, arrays or not."""
    if not any(isinstance(arg, Whole) for arg in args):
        return OPERATIONS[op](*args)
    return of_wholes(op, list(args))


def quotient_double(a: Quotient) -> Any:
    """Quotients as the nearest doubles."""
    return quotients(array_of(a.over), array_of(a.under))


def where(args: list[Value]) -> Value | None:
    """One of two values by a condition, of arrays of one kind; None of others."""
    condition, yes, no = args
    if isinstance(condition, bool):
        return yes if condition else no
    if not isinstance(condition, np.ndarray) or condition.dtype != bool:
        return None
    if is_whole(yes) and is_whole(no):
        return _where_whole(condition, yes, no)
    if isinstance(yes, Quotient) and isinstance(no, Quotient):
        over, under = (where([condition, *sides]) for sides in zip(yes, no, strict=True))
        return None if over is None or under is None else Quotient(over, under)
    return np.where(condition, yes, no) if _is_double(yes) and _is_double(no) else None


def _where_whole(condition: Any, yes: Value, no: Value) -> Whole:
    bounds = bounds_of(yes), bounds_of(no)
    least, most = min(one.least for one in bounds), max(one.most for one in bounds)
    if all(one.kind == "small" for one in bounds):
        return Whole(np.where(condition, array_of(yes), array_of(no)), least, most)
    return Whole(np.where(condition, *(np.asarray(array_of(one), dtype=object) for one in (yes, no))), least, most)


def _is_double(value: Value) -> bool:
    """Whether it is a double, or an array of them."""
    return isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype == np.float64)


def whole_of(array: Any) -> Whole:
    """Python's ints, as words where they fit."""
    least, most = min(array.flat, default=0), max(array.flat, default=0)
    return Whole(array.astype(np.int64) if Bounds(least, most).kind == "small" else array, least, most)


def as_doubles(value: Value) -> Any:
    """A number or an array as doubles, each exact number as the nearest."""
    if isinstance(value, Whole):
        array = value.array
        return array.astype(np.float64) if array.dtype != object else each(float, [array], np.float64)
    if isinstance(value, Quotient):
        return quotient_double(value)
    return float(value) if isinstance(value, (int, Fraction)) else value
