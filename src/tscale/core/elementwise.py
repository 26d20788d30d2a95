"""Functions of a float, or of each number of an array, which brings its own library (`__array_namespace__`).

Of floats they are those of `math` and of Python, so that an answer about one deployment needs no array.
"""

from __future__ import annotations

import math
from typing import Any


def larger(a: float, b: float) -> float:
    """The larger of two numbers, or of two arrays of them one by one.

    >>> larger(1.0, 2.5)
    2.5
    """
    library = _library(a, b)
    found: float = max(a, b) if library is None else library.maximum(a, b)
    return found


def smaller(a: float, b: float) -> float:
    """The smaller of two numbers, or of two arrays of them one by one."""
    library = _library(a, b)
    found: float = min(a, b) if library is None else library.minimum(a, b)
    return found


def rounded(number: float) -> float:
    """The nearest whole number, of two as near the even one."""
    library = _library(number)
    found: float = round(number) if library is None else library.rint(number)
    return found


def log2_of(number: float) -> float:
    """The logarithm to base 2."""
    library = _library(number)
    found: float = math.log2(number) if library is None else library.log2(number)
    return found


def log_of(number: float) -> float:
    """The natural logarithm."""
    library = _library(number)
    found: float = math.log(number) if library is None else library.log(number)
    return found


def exp_of(number: float) -> float:
    """The exponential of a number."""
    library = _library(number)
    found: float = math.exp(number) if library is None else library.exp(number)
    return found


def expm1_of(number: float) -> float:
    """The exponential of a number, less 1, close to 0 as exact as elsewhere."""
    library = _library(number)
    found: float = math.expm1(number) if library is None else library.expm1(number)
    return found


def sinh_of(number: float) -> float:
    """The hyperbolic sine."""
    library = _library(number)
    found: float = math.sinh(number) if library is None else library.sinh(number)
    return found


def asinh_of(number: float) -> float:
    """The number whose hyperbolic sine is given."""
    library = _library(number)
    found: float = math.asinh(number) if library is None else library.asinh(number)
    return found


def _library(*numbers: float) -> Any:
    """The library of the first array among numbers; None where all are plain."""
    for number in numbers:
        kind = type(number)
        if kind is not float and kind is not int and hasattr(kind, "__array_namespace__"):
            array: Any = number
            return array.__array_namespace__()
    return None
