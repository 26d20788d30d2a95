"""Functions of Python's numbers for each of many rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from math import prod
from typing import Any

import numpy as np


def each(function: Callable[..., Any], values: list[Any], kind: Any = object) -> Any:
    """What a function gives for each row of some arrays, and numbers that are the same in all, as an array of some kind.

    Rows of another way may have no value, which then is None, false or no number.
    """
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    lists = [
        np.broadcast_to(value, shape).reshape(-1).tolist() if isinstance(value, np.ndarray) else repeat(value)
        for value in values
    ]
    try:
        return np.fromiter(map(function, *lists), kind, prod(shape)).reshape(shape)
    except (ArithmeticError, TypeError, ValueError):
        pass
    found = np.frompyfunc(safe(function), len(values), 1)(*(np.asarray(value, dtype=object) for value in values))
    return np.asarray(found, dtype=object).astype(kind)


def safe(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that has no value, rather than an error, for rows of another way."""

    def found(*args: Any) -> Any:
        try:
            value = function(*args)
        except (ArithmeticError, TypeError, ValueError):
            return None
        return None if isinstance(value, complex) else value

    return found
