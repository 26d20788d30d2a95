"""What each operation that is recorded is on plain numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from tscale.core.tracing import power_of_two

Number = Any
"""A plain number, or one that is recorded."""


COMPARISONS: Final[dict[str, Callable[..., Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "true": operator.truediv,
    "/": operator.floordiv,
    "%": operator.mod,
    "pow": operator.pow,
    "neg": operator.neg,
    "abs": abs,
    "min": min,
    "max": max,
    "round": round,
    "ceil": math.ceil,
    "floor": math.floor,
    "int": int,
    "float": float,
    "fraction": Fraction,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sinh": math.sinh,
    "asinh": math.asinh,
    "power_of_two": power_of_two,
    "where": lambda condition, yes, no: yes if condition else no,
    "numerator": operator.attrgetter("numerator"),
    "denominator": operator.attrgetter("denominator"),
    **COMPARISONS,
}
"""What each operation is on plain numbers."""
