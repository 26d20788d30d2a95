"""Quotients of whole numbers as the nearest doubles, many at once."""

from __future__ import annotations

from fractions import Fraction
from operator import truediv
from typing import Any, Final

import numpy as np

from tscale.sweeping.each import each
from tscale.sweeping.exact import SMALL, as_ints
from tscale.sweeping.wide import Wide

_DOUBLES: Final = 2**100
"""Up to which whole numbers that are doubles are divided as such."""
_SLACK: Final = np.longdouble(8 * np.finfo(np.longdouble).eps)
"""How far a quotient may be off, several times over: where both ends round to one double, that is the nearest."""


def quotients(value: Any, over: Any) -> Any:
    """Numbers over whole numbers above 0, an array or a number each, as the nearest doubles.

    Where the two ends of what rounding leaves open are not one double, and of numbers of more than 64 bits, Python divides.
    """
    if not isinstance(value, (np.ndarray, Wide)) and not isinstance(over, np.ndarray):
        return float(Fraction(int(value), over))
    if not _is_of_words(value) or not _is_of_words(over):
        return each(truediv, [as_ints(value), as_ints(over)], np.float64)
    ratios = _long(value) / _long(over)
    least, most = (ratios * (1 + sign * _SLACK) for sign in (-1, 1))
    found = np.asarray(least.astype(np.float64))
    unsure = np.nonzero(found != most.astype(np.float64))
    if unsure[0].size:
        found[unsure] = each(truediv, [_at(one, found.shape, unsure) for one in (value, over)], np.float64)
    return found


def _is_of_words(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) < SMALL or (abs(value) < _DOUBLES and value == int(float(value)))
    return isinstance(value, Wide) or value.dtype != object


def _long(value: Any) -> Any:
    if isinstance(value, Wide):
        return np.asarray(value.high).astype(np.longdouble) * 2.0**64 + np.asarray(value.low).astype(np.longdouble)
    return np.asarray(value if isinstance(value, np.ndarray) or abs(value) < SMALL else float(value)).astype(
        np.longdouble
    )


def _at(value: Any, shape: tuple[int, ...], places: Any) -> Any:
    """Some of the numbers, as Python's ints."""
    return np.broadcast_to(np.asarray(as_ints(value), dtype=object), shape)[places]
