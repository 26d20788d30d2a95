"""What was recorded of one row, done again on arrays: the same operations in the same order, to the same digits.

Whole numbers are 64-bit words where a bound says that they fit, else Python's ints; floats are doubles, whose sums, products and
quotients numpy rounds as Python does; fractions, powers and logarithms are Python's own, number by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.sweeping.columns import plain
from tscale.sweeping.exact import BOUNDS, SMALL, Bounds
from tscale.sweeping.recorded import NO_LIMIT, OPERATIONS, Number, Recorded, Search, depending, plain_of, reached

Value = Any
"""A plain number, `Whole`, or an array: of doubles, of conditions, or of Python's numbers."""
_EXACT: Final = 2**53
"""Up to which a double holds every whole number."""


class Whole(NamedTuple):
    """An array of whole numbers, of words or of Python's ints, and what they lie between."""

    array: Any
    least: int
    most: int


class Replay:
    """Recorded numbers as a program: `run` computes all of them from the arrays of the axes by name."""

    def __init__(self, numbers: Sequence[Number]) -> None:
        self._outputs = numbers
        every: dict[int, Recorded] = {}
        for number in numbers:
            if isinstance(number, Recorded):
                every |= {id(one): one for one in reached(number)}
        self._steps = list(every.values())
        last = {id(arg): place for place, one in enumerate(self._steps) for arg in one.args}
        kept = {id(number) for number in numbers}
        self._frees: list[list[int]] = [[] for _ in self._steps]
        for key, place in last.items():
            if key in every and key not in kept:
                self._frees[place].append(key)

    def run(self, axes: Mapping[str, Any]) -> list[Value]:
        """The values, as columns hold them: numbers and arrays of numbers."""
        values: dict[int, Value] = {}
        with np.errstate(all="ignore"):
            for one, frees in zip(self._steps, self._frees, strict=True):
                values[id(one)] = _axis(axes[one.label]) if one.op == "axis" else _done(one, values)
                for key in frees:
                    del values[key]
        return [
            as_plain_array(values[id(number)] if isinstance(number, Recorded) else plain_of(number))
            for number in self._outputs
        ]


class Conditions(Replay):
    """Conditions as pairs of values that are equal where they hold, as `tscale.sweeping.exact.holds` takes them."""

    def run(self, axes: Mapping[str, Any]) -> list[Value]:
        """Each condition, and behind it true."""
        return [side for one in super().run(axes) for side in (one, True)]


def as_plain_array(value: Value) -> Any:
    """A value as numbers that columns hold: of fractions and the like, ints where all are whole, else doubles."""
    if isinstance(value, Whole):
        return value.array
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    cells = np.frompyfunc(_plain, 1, 1)(value)
    if all(isinstance(cell, int) for cell in cells.flat):
        return _whole_of(cells).array
    return cells.astype(np.float64)


def _plain(cell: Any) -> Any:
    return None if cell is None else plain(cell)


def _axis(array: Any) -> Whole:
    return Whole(array, int(array.min()), int(array.max()))


def _done(one: Recorded, values: Mapping[int, Value]) -> Value:
    """The value of an operation, given those of its arguments."""
    args = [values[id(arg)] if isinstance(arg, Recorded) else arg for arg in one.args]
    if isinstance(one.how, Search):
        frontier = {id(arg): value for arg, value in zip(one.args, args, strict=True)}
        return _searched(one.how, frontier)
    if one.how is not None:
        return _called(one.how, args[0])
    if not any(isinstance(arg, (Whole, np.ndarray)) for arg in args):
        return OPERATIONS[one.op](*args)
    if all(map(_is_whole, args)):
        found = _of_wholes(one.op, args)
    elif all(map(_is_real, args)):
        found = _of_reals(one.op, args)
    else:
        found = _where(args) if one.op == "where" else None
    return _by_number(one, args) if found is None else found


def _is_whole(value: Value) -> bool:
    return isinstance(value, Whole) or (isinstance(value, int) and not isinstance(value, bool))


def _is_real(value: Value) -> bool:
    """Whether it is a double, or becomes one among doubles as Python makes them."""
    if isinstance(value, np.ndarray):
        return value.dtype == np.float64
    return isinstance(value, float) or _is_whole(value)


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
_COMPARISONS: Final[dict[str, Callable[..., Any]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _of_wholes(op: str, args: list[Value]) -> Value | None:
    """An operation on whole numbers by words; None where those do not do."""
    bounds = [_bounds(arg) for arg in args]
    arrays = [_array(arg) for arg in args]
    if not all(one.kind == "small" for one in bounds) or any(getattr(one, "dtype", None) == object for one in arrays):
        return None
    if op in _COMPARISONS:
        return _COMPARISONS[op](*arrays)
    if op == "neg":
        return Whole(-arrays[0], -bounds[0].most, -bounds[0].least)
    if op in _ON_WORDS:
        result = BOUNDS[op](*bounds)
        return Whole(_ON_WORDS[op](*arrays), *result) if result.kind == "small" else None
    if op == "float":
        return arrays[0].astype(np.float64)
    if op == "true" and all(_is_exact(one) for one in bounds):
        return arrays[0] / arrays[1]
    return None


def _is_exact(bounds: Bounds) -> bool:
    return max(abs(bounds.least), abs(bounds.most)) <= _EXACT


def _of_reals(op: str, args: list[Value]) -> Value | None:
    """An operation on doubles, or on doubles and whole numbers; None where numpy does not round it as Python does."""
    wholes = [arg for arg in args if _is_whole(arg)]
    if op in ("min", "max", "where", *_COMPARISONS) and wholes and not all(_is_exact(_bounds(arg)) for arg in wholes):
        return None  # Python compares a whole number with a double exactly
    if op in ("min", "max") and wholes:
        return None  # and gives the one or the other as it is
    if op not in _ON_REALS and op not in _COMPARISONS and op not in _TO_WHOLE:
        return None
    reals = [_real(arg) for arg in args]
    if op in _COMPARISONS:
        return _COMPARISONS[op](*reals)
    if op in _TO_WHOLE:
        return _cut(_TO_WHOLE[op](reals[0])) if len(reals) == 1 else None
    return _ON_REALS[op](*reals)


def _real(value: Value) -> Any:
    """A number or an array as doubles, each whole number as the nearest."""
    if isinstance(value, Whole):
        array = value.array
        return array.astype(np.float64) if array.dtype != object else _doubles(np.frompyfunc(_safe(float), 1, 1)(array))
    return float(value) if isinstance(value, int) else value


def _doubles(array: Any) -> Any:
    return np.asarray(array, dtype=object).astype(np.float64)


def _cut(array: Any) -> Whole | None:
    """Doubles that are whole as words; None where some are too large."""
    array = np.nan_to_num(np.asarray(array), nan=0.0, posinf=0.0, neginf=0.0)
    least, most = array.min(), array.max()
    return Whole(array.astype(np.int64), int(least), int(most)) if max(abs(least), abs(most)) < SMALL // 2 else None


def _called(function: Callable[[Any], Any], value: Value) -> Value:
    """What a function gives for each number, which is called once for each that differs."""
    array = np.asarray(_array(value))
    own, places = np.unique(array, return_inverse=True)
    found = np.empty(len(own), dtype=object)
    for place, number in enumerate(own):
        found[place] = _safe(function)(number.item() if isinstance(number, np.generic) else number)
    return found[places].reshape(array.shape)


def _where(args: list[Value]) -> Value | None:
    condition, *choices = args
    if not isinstance(condition, np.ndarray) or condition.dtype != bool:
        return None
    if all(map(_is_whole, choices)):
        bounds = [_bounds(one) for one in choices]
        if all(one.kind == "small" for one in bounds):
            array = np.where(condition, *map(_array, choices))
            return Whole(array, min(one.least for one in bounds), max(one.most for one in bounds))
        return None
    if all(_is_real(one) and not _is_whole(one) for one in choices):
        return np.where(condition, *choices)
    return None


def _by_number(one: Recorded, args: list[Value]) -> Value:
    """An operation on Python's numbers, one by one."""
    objects = [np.asarray(_array(arg)).astype(object) if isinstance(arg, (Whole, np.ndarray)) else arg for arg in args]
    found = np.asarray(np.frompyfunc(_safe(OPERATIONS[one.op]), len(objects), 1)(*objects), dtype=object)
    if isinstance(one.value, bool):
        return found == True  # noqa: E712 (of an array; what could not be computed is false)
    if isinstance(one.value, int) and all(isinstance(cell, int) for cell in found.flat):
        return _whole_of(found)
    return _doubles(found) if isinstance(one.value, float) else found


def _safe(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that has no value, rather than an error, for rows of another way."""

    def safe(*args: Any) -> Any:
        try:
            return function(*args)
        except (ArithmeticError, TypeError, ValueError):
            return None

    return safe


def _whole_of(array: Any) -> Whole:
    """Python's ints, as words where they fit."""
    least, most = min(array.flat, default=0), max(array.flat, default=0)
    return Whole(array.astype(np.int64) if Bounds(least, most).kind == "small" else array, least, most)


def _searched(search: Search, frontier: Mapping[int, Value]) -> Whole:
    """What `tscale.core.costs.largest.largest` finds for each row, all of them at once."""
    inside = depending(search.condition, search.tried)
    shape = np.broadcast_shapes(*(np.shape(_array(value)) for value in frontier.values()))

    def fits(number: Any) -> Any:
        values: dict[int, Value] = {**frontier, id(search.tried): _axis(number)}
        for one in inside:
            values[id(one)] = _done(one, values)
        return np.broadcast_to(values[id(search.condition)], shape)

    every = np.ones(shape, dtype=np.int64)
    some = fits(every)
    low, high = every.copy(), 2 * every
    growing = some & (high < search.most)
    while growing.any():
        growing = growing & fits(high)
        low, high = np.where(growing, high, low), np.where(growing, 2 * high, high)
        growing = growing & (high < search.most)
    past = some & (high >= search.most)
    endless = past & fits(search.most * every) if past.any() else past
    high = np.where(past, search.most, high)
    while (narrow := some & ~endless & (high - low > 1)).any():
        middle = (low + high) // 2
        fitting = fits(middle)
        low, high = np.where(narrow & fitting, middle, low), np.where(narrow & ~fitting, middle, high)
    found = np.where(some, np.where(endless, NO_LIMIT, low), 0)
    return _axis(found)
