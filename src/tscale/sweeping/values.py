"""Arrays of doubles, and of all else that is recorded, each operation to the same digits as Python's.

Sums, products and quotients of doubles are those of numpy, which rounds them as Python does; powers and logarithms are not.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np

from tscale.sweeping.columns import plain
from tscale.sweeping.each import each
from tscale.sweeping.exact import SMALL
from tscale.sweeping.operations import COMPARISONS, OPERATIONS
from tscale.sweeping.recorded import Recorded
from tscale.sweeping.whole_arrays import (
    ON_WORDS,
    Quotient,
    Value,
    Whole,
    array_of,
    as_doubles,
    bounds_of,
    is_array,
    is_exact,
    is_whole,
    quotient_double,
    whole_of,
)

_ON_REALS: Final[dict[str, Callable[..., Any]]] = {
    **{op: function for op, function in ON_WORDS.items() if op not in ("/", "%")},
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
    return is_whole(value) and is_exact(bounds_of(value))


def _cut(array: Any) -> Whole | None:
    """Doubles that are whole as words; None where some are too large."""
    array = np.nan_to_num(np.asarray(array), nan=0.0, posinf=0.0, neginf=0.0)
    least, most = array.min(), array.max()
    return Whole(array.astype(np.int64), int(least), int(most)) if max(abs(least), abs(most)) < SMALL // 2 else None


def by_number(one: Recorded, args: list[Value]) -> Value:
    """An operation on Python's numbers, one by one."""
    objects = [_numbers(arg) if is_array(arg) else arg for arg in args]
    kind = type(one.value) if isinstance(one.value, (bool, float)) else object
    found = each(OPERATIONS[one.op], objects, kind)
    if kind is object and isinstance(one.value, int) and all(isinstance(cell, int) for cell in found.flat):
        return whole_of(found)
    return found


def _numbers(value: Value) -> Any:
    """An array of numbers; of quotients one of Python's fractions."""
    if isinstance(value, Quotient):
        return each(Fraction, [array_of(part) for part in value])
    return array_of(value)


def as_column(value: Value) -> Any:
    """A value as numbers that columns hold: of Python's own, ints where all are whole, else doubles."""
    if isinstance(value, Whole):
        return value.array
    if isinstance(value, Quotient):
        return quotient_double(value)
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    cells = np.frompyfunc(_plain, 1, 1)(value)
    return whole_of(cells).array if all(isinstance(cell, int) for cell in cells.flat) else cells.astype(np.float64)


def _plain(cell: Any) -> Any:
    return None if cell is None else plain(cell)
