"""Functions of a float, or of each number of an array, which brings its own library (`__array_namespace__`).

Of floats they are those of `math` and of Python, so that an answer about one deployment needs no array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def larger(a: float, b: float) -> float:
    """The larger of two numbers, or of two arrays of them one by one.

    >>> larger(1.0, 2.5)
    2.5
    """
    return _of(max, "maximum", a, b)


def smaller(a: float, b: float) -> float:
    """The smaller of two numbers, or of two arrays of them one by one."""
    return _of(min, "minimum", a, b)


def rounded(number: float) -> float:
    """The nearest whole number, of two as near the even one."""
    return _of(round, "rint", number)


def log2_of(number: float) -> float:
    """The logarithm to base 2."""
    return _of(math.log2, "log2", number)


def log_of(number: float) -> float:
    """The natural logarithm."""
    return _of(math.log, "log", number)


def exp_of(number: float) -> float:
    """The exponential of a number."""
    return _of(math.exp, "exp", number)


def expm1_of(number: float) -> float:
    """The exponential of a number, less 1, close to 0 as exact as elsewhere."""
    return _of(math.expm1, "expm1", number)


def sinh_of(number: float) -> float:
    """The hyperbolic sine."""
    return _of(math.sinh, "sinh", number)


def asinh_of(number: float) -> float:
    """The number whose hyperbolic sine is given."""
    return _of(math.asinh, "asinh", number)


def _of(plain: Callable[..., float], name: str, *numbers: float) -> float:
    """A function of plain numbers; where one of them is an array, that of its library which has this name."""
    for number in numbers:
        kind = type(number)
        if kind is not float and kind is not int and hasattr(kind, "__array_namespace__"):
            array: Any = number
            found: float = getattr(array.__array_namespace__(), name)(*numbers)
            return found
    return plain(*numbers)
