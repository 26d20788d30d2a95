"""Arrays of fractions, each operation to the same digits as Python's: sums, products, quotients, roundings and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import gcd, lcm
from operator import attrgetter
from typing import Any, Final

import numpy as np

from tscale.sweeping.each import each
from tscale.sweeping.operations import COMPARISONS
from tscale.sweeping.whole_arrays import (
    Quotient,
    Value,
    Whole,
    bounds_of,
    is_whole,
    on_wholes,
    quotient_double,
    where,
    whole_of,
)


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
            result = on_wholes(op, *same[:2])
            return result if op in COMPARISONS else Quotient(result, same[2])
        sides = on_wholes("*", a.over, b.under), on_wholes("*", b.over, a.under)
        if op in COMPARISONS:
            return on_wholes(op, *sides)
        return where([on_wholes("<=" if op == "min" else ">=", *sides), a, b])
    return None


def _as_quotient(value: Value) -> Quotient | None:
    """A number as a quotient; None for what is none exactly."""
    if isinstance(value, Quotient):
        return value
    if is_whole(value):
        return Quotient(value, 1)
    if isinstance(value, Fraction):
        return Quotient(value.numerator, value.denominator)
    found = exactly(each(Fraction, [value])) if isinstance(value, np.ndarray) else None
    return found if isinstance(found, Quotient) else None


def exactly(array: Any) -> Any:
    """An array of Python's numbers as a quotient, where all are fractions or whole; else as it is."""
    if not all(isinstance(one, (Fraction, int)) for one in array.flat):
        return array
    parts = (np.frompyfunc(attrgetter(name), 1, 1)(array) for name in ("numerator", "denominator"))
    return Quotient(*map(whole_of, parts))


def _over_the_same(a: Quotient, b: Quotient) -> tuple[Value, Value, int] | None:
    """What two fractions are over their common denominator, where both have one for all rows."""
    if not isinstance(a.under, int) or not isinstance(b.under, int):
        return None
    common = lcm(a.under, b.under)
    return on_wholes("*", a.over, common // a.under), on_wholes("*", b.over, common // b.under), common


def _add(a: Quotient, b: Quotient) -> Quotient:
    same = _over_the_same(a, b)
    if same is not None:
        return Quotient(on_wholes("+", *same[:2]), same[2])
    return Quotient(
        on_wholes("+", on_wholes("*", a.over, b.under), on_wholes("*", b.over, a.under)),
        on_wholes("*", a.under, b.under),
    )


def _negative(a: Quotient) -> Quotient:
    return Quotient(on_wholes("neg", a.over), a.under)


def _times(a: Quotient, b: Quotient) -> Quotient:
    a, b = _cancelled(a, b), _cancelled(b, a)
    return Quotient(on_wholes("*", a.over, b.over), on_wholes("*", a.under, b.under))


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
    if bounds_of(value).least > 0 or isinstance(value, int):
        return bounds_of(value).least > 0
    return (
        all(one is not None and one > 0 for one in value.array.flat)
        if value.array.dtype == object
        else bool((value.array > 0).all())
    )


def _floor(a: Quotient) -> Value:
    return on_wholes("/", a.over, a.under)


def _floor_divided(a: Quotient, b: Quotient) -> Value | None:
    found = _divided(a, b)
    return None if found is None else _floor(found)


def _nearest(a: Quotient) -> Value:
    """The nearest whole number, of two as near the even one."""
    below = _floor(a)
    twice = on_wholes("*", 2, on_wholes("-", a.over, on_wholes("*", below, a.under)))
    even = where([on_wholes("==", on_wholes("%", below, 2), 0), 0, 1])
    up = where([on_wholes(">", twice, a.under), 1, where([on_wholes("==", twice, a.under), even, 0])])
    return on_wholes("+", below, up)


def _cut_to_whole(a: Quotient) -> Value | None:
    return _floor(a) if bounds_of(a.over).least >= 0 else None


_BY_PARTS: Final[dict[str, Callable[..., Value | None]]] = {
    "+": _add,
    "-": lambda a, b: _add(a, _negative(b)),
    "*": _times,
    "true": _divided,
    "neg": _negative,
    "abs": lambda a: Quotient(on_wholes("max", a.over, on_wholes("neg", a.over)), a.under),
    "/": _floor_divided,
    "floor": _floor,
    "ceil": lambda a: on_wholes("neg", _floor(_negative(a))),
    "int": _cut_to_whole,
    "round": _nearest,
    "float": quotient_double,
}
