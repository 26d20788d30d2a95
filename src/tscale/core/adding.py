"""Sums of floats that come out the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any, TypeVar, cast

T = TypeVar("T")


def in_order(values: Iterable[T], start: Any = 0) -> T:
    """The sum of `values`, one added after the other, in their unit; `start` where there is none.

    From Python 3.12 on `sum` carries what each addition of floats rounds off, and earlier ones do not: figures would differ in
    their last digits from one Python to the next. It is used wherever floats are added; ints and fractions are exact with `sum`.
    """
    return cast("T", reduce(add, values, start))
