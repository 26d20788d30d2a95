"""Arrays of numbers as Python has them: whole ones, quotients of them, and doubles, each operation to the same digits.

Whole numbers are 64-bit words where bounds say that they fit, else Python's ints. A quotient is kept as two whole numbers, in no lowest
terms: its value is the same, and nothing is divided before it is asked for. Sums, products and quotients of doubles are those of
numpy, which rounds them as Python does; powers and logarithms are not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from math import gcd, lcm
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.sweeping.columns import plain
from tscale.sweeping.exact import BOUNDS, SMALL, Bounds
from tscale.sweeping.operations import COMPARISONS, OPERATIONS
from tscale.sweeping.quotients import quotients
from tscale.sweeping.recorded import Recorded

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
    return np.shape(_array(value))


def counted(value: Value) -> Value:
    """Conditions as the numbers 0 and 1 that they are in sums and products; all else as it is."""
    if isinstance(value, np.ndarray) and value.dtype == bool:
        return Whole(value.astype(np.int64), 0, 1)
    return value


def _bounds(value: Value) -> Bounds:
    return Bounds(value.least, value.most) if isinstance(value, Whole) else Bounds(value, value)


def _array(value: Value) -> Any:
    return value.array if isinstance(value, Whole) else value


_ON_WORDS: Final[dict[str, Callable[..., Any]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "min": np.minimum,
    "max": np.maximum,
}
_ON_REALS: Final[dict[str, Callable[..., Any]]] = {
    **{op: function for op, function in _ON_WORDS.items() if op not in ("/", "%")},
    "true": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": np.abs,
    "float": lambda a: a,
}
_TO_WHOLE: Final[dict[str, Callable[..., Any]]] = {
    "round": np.rint,
    "ceil": np.ceil,
    "floor": np.floor,
    "int": np.trunc,
}


def of_wholes(op: str, args: list[Value]) -> Value | None:
    """An operation on whole numbers; None where it is none of those."""
    if not all(map(is_whole, args)):
        return None
    bounds = [_bounds(arg) for arg in args]
    arrays = [_array(arg) for arg in args]
    words = all(one.kind == "small" for one in bounds) and not any(map(_is_of_objects, arrays))
    if op in COMPARISONS:
        return COMPARISONS[op](*arrays) if words else _one_by_one(op, arrays) == True  # noqa: E712 (of an array)
    if op == "neg":
        return Whole(-arrays[0] if words else _one_by_one(op, arrays), -bounds[0].most, -bounds[0].least)
    if op in _ON_WORDS:
        result = BOUNDS[op](*bounds)
        if words and result.kind == "small":
            return Whole(_ON_WORDS[op](*arrays), *result)
        return _within(_one_by_one(op, arrays), result)
    return _as_double(op, args, words=words and all(_is_exact(one) for one in bounds))


def _is_of_objects(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "O"


def _as_double(op: str, args: list[Value], *, words: bool) -> Value | None:
    """A whole number, or a quotient of two, as a double."""
    if op == "float":
        return as_doubles(args[0])
    if op != "true":
        return None
    return _array(args[0]) / _array(args[1]) if words else _quotient_double(Quotient(*args))


def _one_by_one(op: str, arrays: list[Any]) -> Any:
    objects = [array.astype(object) if isinstance(array, np.ndarray) else array for array in arrays]
    try:
        return np.asarray({**_ON_WORDS, **COMPARISONS, "neg": operator.neg}[op](*objects), dtype=object)
    except (ArithmeticError, TypeError):  # of rows of another way
        pass
    return np.asarray(np.frompyfunc(safe(OPERATIONS[op]), len(objects), 1)(*objects), dtype=object)


def _within(array: Any, bounds: Bounds) -> Whole:
    """Python's ints within bounds, as words where they fit."""
    if bounds.kind != "small":
        return Whole(array, *bounds)
    try:
        return Whole(array.astype(np.int64), *bounds)
    except (TypeError, OverflowError):  # rows of another way have none
        return Whole(array, *bounds)


def _is_exact(bounds: Bounds) -> bool:
    return max(abs(bounds.least), abs(bounds.most)) <= _EXACT


# ---------------------------------------------------------------------------------------------------------------------
# Fractions
# ---------------------------------------------------------------------------------------------------------------------


def _int(op: str, *args: Value) -> Value:
    """An operation on whole numbers, arrays or not."""
    if not any(isinstance(arg, Whole) for arg in args):
        return OPERATIONS[op](*args)
    return of_wholes(op, list(args))


def of_quotients(op: str, args: list[Value]) -> Value | None:
    """An operation on fractions, or on fractions and whole numbers; None where it is none of those."""
    if op == "fraction":
        return _as_quotient(args[0])
    if not all(isinstance(arg, (Quotient, Fraction)) or is_whole(arg) for arg in args):
        return None
    found = [one for one in map(_as_quotient, args) if one is not None]
    if op in _BY_PARTS:
        return _BY_PARTS[op](*found)
    if op in COMPARISONS or op in ("min", "max"):
        a, b = found
        same = _over_the_same(a, b)
        if same is not None:
            result = _int(op, *same[:2])
            return result if op in COMPARISONS else Quotient(result, same[2])
        sides = _int("*", a.over, b.under), _int("*", b.over, a.under)
        if op in COMPARISONS:
            return _int(op, *sides)
        return where([_int("<=" if op == "min" else ">=", *sides), a, b])
    return None


def _as_quotient(value: Value) -> Quotient | None:
    """A number as a quotient; None for what is none exactly."""
    if isinstance(value, Quotient):
        return value
    if is_whole(value):
        return Quotient(value, 1)
    if isinstance(value, Fraction):
        return Quotient(value.numerator, value.denominator)
    found = exactly(np.frompyfunc(safe(Fraction), 1, 1)(value)) if isinstance(value, np.ndarray) else None
    return found if isinstance(found, Quotient) else None


def exactly(array: Any) -> Any:
    """An array of Python's numbers as a quotient, where all are fractions or whole; else as it is."""
    if not all(isinstance(one, (Fraction, int)) for one in array.flat):
        return array
    parts = (np.frompyfunc(attrgetter(name), 1, 1)(array) for name in ("numerator", "denominator"))
    return Quotient(*map(_whole_of, parts))


def _over_the_same(a: Quotient, b: Quotient) -> tuple[Value, Value, int] | None:
    """What two fractions are over their common denominator, where both have one for all rows."""
    if not isinstance(a.under, int) or not isinstance(b.under, int):
        return None
    common = lcm(a.under, b.under)
    return _int("*", a.over, common // a.under), _int("*", b.over, common // b.under), common


def _add(a: Quotient, b: Quotient) -> Quotient:
    same = _over_the_same(a, b)
    if same is not None:
        return Quotient(_int("+", *same[:2]), same[2])
    return Quotient(_int("+", _int("*", a.over, b.under), _int("*", b.over, a.under)), _int("*", a.under, b.under))


def _negative(a: Quotient) -> Quotient:
    return Quotient(_int("neg", a.over), a.under)


def _times(a: Quotient, b: Quotient) -> Quotient:
    a, b = _cancelled(a, b), _cancelled(b, a)
    return Quotient(_int("*", a.over, b.over), _int("*", a.under, b.under))


def _cancelled(a: Quotient, b: Quotient) -> Quotient:
    """A factor without what the other one's denominator and it have in common, and its denominator without what the other's numerator has."""
    over, under = a.over, a.under
    if isinstance(over, int) and isinstance(b.under, int):
        over //= gcd(over, b.under)
    if isinstance(under, int) and isinstance(b.over, int) and b.over:
        under //= gcd(under, b.over)
    return Quotient(over, under)


def _divided(a: Quotient, b: Quotient) -> Quotient | None:
    if not _is_positive(b.over):
        return None  # what a quotient is over is above 0
    return _times(a, Quotient(b.under, b.over))


def _is_positive(value: Whole | int) -> bool:
    """Whether all numbers are above 0; bounds may say less than the numbers themselves."""
    if _bounds(value).least > 0 or isinstance(value, int):
        return _bounds(value).least > 0
    return (
        all(one is not None and one > 0 for one in value.array.flat)
        if value.array.dtype == object
        else bool((value.array > 0).all())
    )


def _floor(a: Quotient) -> Value:
    return _int("/", a.over, a.under)


def _floor_divided(a: Quotient, b: Quotient) -> Value | None:
    found = _divided(a, b)
    return None if found is None else _floor(found)


def _nearest(a: Quotient) -> Value:
    """The nearest whole number, of two as near the even one."""
    below = _floor(a)
    twice = _int("*", 2, _int("-", a.over, _int("*", below, a.under)))
    even = where([_int("==", _int("%", below, 2), 0), 0, 1])
    up = where([_int(">", twice, a.under), 1, where([_int("==", twice, a.under), even, 0])])
    return _int("+", below, up)


def _cut_to_whole(a: Quotient) -> Value | None:
    return _floor(a) if _bounds(a.over).least >= 0 else None


def _quotient_double(a: Quotient) -> Any:
    return quotients(_array(a.over), _array(a.under))


_BY_PARTS: Final[dict[str, Callable[..., Value | None]]] = {
    "+": _add,
    "-": lambda a, b: _add(a, _negative(b)),
    "*": _times,
    "true": _divided,
    "neg": _negative,
    "/": _floor_divided,
    "floor": _floor,
    "ceil": lambda a: _int("neg", _floor(_negative(a))),
    "int": _cut_to_whole,
    "round": _nearest,
    "float": _quotient_double,
}


# ---------------------------------------------------------------------------------------------------------------------
# Doubles, and all the rest
# ---------------------------------------------------------------------------------------------------------------------


def _is_real(value: Value) -> bool:
    """Whether it is a double, or becomes one among doubles as Python makes them."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype == np.float64)
    return isinstance(value, (float, Fraction, Quotient)) or is_whole(value)


def of_reals(op: str, args: list[Value]) -> Value | None:
    """An operation on doubles, or on doubles and exact numbers; None where numpy does not round it as Python does."""
    if not all(map(_is_real, args)) or op not in (*_ON_REALS, *COMPARISONS, *_TO_WHOLE):
        return None
    exact = [arg for arg in args if not isinstance(arg, (float, np.ndarray))]
    if len(exact) == len(args):
        return None
    if exact and op in ("min", "max", *COMPARISONS) and not (op in COMPARISONS and all(map(_is_small, exact))):
        return None  # Python compares exact numbers with doubles exactly, and gives the one or the other as it is
    reals = [as_doubles(arg) for arg in args]
    if op in COMPARISONS:
        return COMPARISONS[op](*reals)
    if op in _TO_WHOLE:
        return _cut(_TO_WHOLE[op](reals[0])) if len(reals) == 1 else None
    return _ON_REALS[op](*reals)


def _is_small(value: Value) -> bool:
    return is_whole(value) and _is_exact(_bounds(value))


def as_doubles(value: Value) -> Any:
    """A number or an array as doubles, each exact number as the nearest."""
    if isinstance(value, Whole):
        array = value.array
        return array.astype(np.float64) if array.dtype != object else _doubles(np.frompyfunc(safe(float), 1, 1)(array))
    if isinstance(value, Quotient):
        return _quotient_double(value)
    return float(value) if isinstance(value, (int, Fraction)) else value


def _doubles(array: Any) -> Any:
    return np.asarray(array, dtype=object).astype(np.float64)


def _cut(array: Any) -> Whole | None:
    """Doubles that are whole as words; None where some are too large."""
    array = np.nan_to_num(np.asarray(array), nan=0.0, posinf=0.0, neginf=0.0)
    least, most = array.min(), array.max()
    return Whole(array.astype(np.int64), int(least), int(most)) if max(abs(least), abs(most)) < SMALL // 2 else None


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
    bounds = _bounds(yes), _bounds(no)
    least, most = min(one.least for one in bounds), max(one.most for one in bounds)
    if all(one.kind == "small" for one in bounds):
        return Whole(np.where(condition, _array(yes), _array(no)), least, most)
    return Whole(np.where(condition, *(np.asarray(_array(one), dtype=object) for one in (yes, no))), least, most)


def _is_double(value: Value) -> bool:
    return isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype == np.float64)


def by_number(one: Recorded, args: list[Value]) -> Value:
    """An operation on Python's numbers, one by one."""
    objects = [_objects(arg) if is_array(arg) else arg for arg in args]
    found = np.asarray(np.frompyfunc(safe(OPERATIONS[one.op]), len(objects), 1)(*objects), dtype=object)
    if isinstance(one.value, bool):
        return found == True  # noqa: E712 (of an array; what could not be computed is false)
    if isinstance(one.value, int) and all(isinstance(cell, int) for cell in found.flat):
        return _whole_of(found)
    return _doubles(found) if isinstance(one.value, float) else found


def _objects(value: Value) -> Any:
    """An array as Python's numbers."""
    if isinstance(value, Quotient):
        parts = [np.asarray(_array(part)).astype(object) for part in value]
        return np.frompyfunc(safe(Fraction), 2, 1)(*parts)
    return np.asarray(_array(value)).astype(object)


def safe(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that has no value, rather than an error, for rows of another way."""

    def found(*args: Any) -> Any:
        try:
            value = function(*args)
        except (ArithmeticError, TypeError, ValueError):
            return None
        return None if isinstance(value, complex) else value

    return found


def _whole_of(array: Any) -> Whole:
    """Python's ints, as words where they fit."""
    least, most = min(array.flat, default=0), max(array.flat, default=0)
    return Whole(array.astype(np.int64) if Bounds(least, most).kind == "small" else array, least, most)


def as_column(value: Value) -> Any:
    """A value as numbers that columns hold: of Python's own, ints where all are whole, else doubles."""
    if isinstance(value, Whole):
        return value.array
    if isinstance(value, Quotient):
        return _quotient_double(value)
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    cells = np.frompyfunc(_plain, 1, 1)(value)
    return _whole_of(cells).array if all(isinstance(cell, int) for cell in cells.flat) else cells.astype(np.float64)


def _plain(cell: Any) -> Any:
    return None if cell is None else plain(cell)
