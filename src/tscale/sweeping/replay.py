"""What was recorded of one row, done again on arrays: the same operations in the same order, to the same digits.

Values are those of `tscale.sweeping.whole_arrays`; what is neither whole, nor a quotient, nor a double among its like is Python's own, number
by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tscale.sweeping import searching
from tscale.sweeping.each import safe
from tscale.sweeping.fraction_arrays import exactly, of_quotients
from tscale.sweeping.operations import OPERATIONS, Number
from tscale.sweeping.recorded import OfRows, Recorded, plain_of
from tscale.sweeping.searches import Search, depending, reached
from tscale.sweeping.values import as_column, by_number, of_reals
from tscale.sweeping.whole_arrays import (
    Quotient,
    Value,
    Whole,
    as_doubles,
    counted,
    is_array,
    of_wholes,
    shape_of,
    where,
)


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

    def run(self, axes: Mapping[str, Any]) -> list[Any]:
        """The values, as columns hold them: numbers and arrays of numbers."""
        values: dict[int, Value] = {}
        with np.errstate(all="ignore"):
            for one, frees in zip(self._steps, self._frees, strict=True):
                values[id(one)] = _axis(axes[one.label]) if one.op == "axis" else _done(one, values)
                for key in frees:
                    del values[key]
            return [
                as_column(values[id(number)]) if isinstance(number, Recorded) else plain_of(number)
                for number in self._outputs
            ]


class Conditions(Replay):
    """Conditions as pairs of values that are equal where they hold, as `tscale.sweeping.exact.holds` takes them."""

    def run(self, axes: Mapping[str, Any]) -> list[Any]:
        """Each condition, and behind it true."""
        return [side for one in super().run(axes) for side in (one, True)]


def _axis(array: Any) -> Whole:
    return Whole(array, int(array.min()), int(array.max()))


def _done(one: Recorded, values: Mapping[int, Value]) -> Value:
    """The value of an operation, given those of its arguments."""
    args = [values[id(arg)] if isinstance(arg, Recorded) else arg for arg in one.args]
    if isinstance(one.how, Search):
        return _searched(one.how, values, args)
    if one.how is not None:
        return _called(one.how, args)
    if one.op in ("+", "-", "*"):
        args = [counted(arg) for arg in args]
    if not any(map(is_array, args)):
        return OPERATIONS[one.op](*args)
    found = where(args) if one.op == "where" else None
    for kind in (of_wholes, of_quotients, of_reals) if found is None else ():
        found = kind(one.op, args)
        if found is not None:
            break
    return by_number(one, args) if found is None else found


def _called(function: Callable[..., Any], values: list[Value]) -> Value:
    """What a function gives for each row: one that has no answer to all rows at once is called once for each that differs."""
    if isinstance(function, OfRows):
        return function.rows(*values)
    arrays = np.broadcast_arrays(*(as_column(value) for value in values))
    rows = list(zip(*(array.reshape(-1).tolist() for array in arrays), strict=True))
    known = {row: safe(function)(*row) for row in dict.fromkeys(rows)}
    found = np.empty(len(rows), dtype=object)
    found[:] = [known[row] for row in rows]
    return exactly(found.reshape(arrays[0].shape))


def _searched(search: Search, values: Mapping[int, Value], frontier: list[Value]) -> Value:
    """What a search finds for each row, all of them at once."""
    inside = depending(search.asked, search.tried)
    shape = np.broadcast_shapes(*(shape_of(value) for value in frontier))
    whole = search.kind == "largest"

    def at(number: Any) -> Any:
        own: dict[int, Value] = {**values, id(search.tried): _axis(number) if whole else number}
        for one in inside:
            own[id(one)] = _done(one, own)
        found = own[id(search.asked)]
        return np.broadcast_to(found if search.kind != "lowest" else as_doubles(found), shape)

    if whole:
        return _axis(searching.largest(at, search.ends[0], shape))
    ends = [np.broadcast_to(as_doubles(values.get(id(end), end)), shape) for end in search.ends]
    if search.kind == "lowest":
        return searching.lowest(at, ends[0], ends[1])
    return searching.halved(at, ends[0], ends[1] if len(ends) > 1 else None)


__all__ = ["Conditions", "Quotient", "Replay", "Whole"]
