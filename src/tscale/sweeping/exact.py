"""Derivations as programs on arrays that never round: int64 where a bound says that it fits, else two words, else Python's ints.

Bounds of every step follow from those of the axes, in exact ints, before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.core.tracing import TracedInt, innermost_first, power_of_two
from tscale.sweeping.operations import COMPARISONS
from tscale.sweeping.wide import Wide, wide_add, wide_ceil_div, wide_div, wide_mul, wide_sub

Value = Any
"""An int, an int64 array, a `Wide` or an array of Python's ints; arrays broadcast against one another."""
SMALL: Final = 2**63
_WIDE: Final = 2**126


class Bounds(NamedTuple):
    """The least and the most that a number can be."""

    least: int
    most: int

    @property
    def kind(self) -> str:
        """What holds it: small, wide or object."""
        if self.least >= -SMALL and self.most < SMALL:
            return "small"
        return "wide" if self.least >= 0 and self.most < _WIDE else "object"


class _Step(NamedTuple):
    """One operation: which, of which slots, how it is computed, and the slots that nobody reads afterwards."""

    run: Callable[..., Value]
    args: tuple[int, ...]
    frees: tuple[int, ...] = ()


class Program:
    """Derivations compiled once: `run` gives the values of all of them on the arrays of the axes by name."""

    def __init__(self, numbers: Sequence[int], ranges: Mapping[str, tuple[int, int]]) -> None:
        self._slots: dict[Any, int] = {}
        self._bounds: list[Bounds] = []
        self._first: list[Value] = []
        self._axes: list[tuple[int, str]] = []
        self._steps: list[_Step | None] = []
        self._ranges = ranges
        self.outputs = [self._slot_of(number) for number in numbers]
        self._free()

    def kinds(self) -> list[str]:
        """Of each derivation, what holds it: small, wide or object."""
        return [self._bounds[slot].kind for slot in self.outputs]

    def run(self, axes: Mapping[str, Value]) -> list[Value]:
        """The values of the derivations."""
        values = list(self._first)
        for slot, name in self._axes:
            values[slot] = axes[name]
        for slot, step in enumerate(self._steps):
            if step is not None:
                values[slot] = step.run(*(values[arg] for arg in step.args))
                for old in step.frees:
                    values[old] = None
        return [values[slot] for slot in self.outputs]

    def _slot_of(self, number: int) -> int:
        """Where the value of a number stands; equal expressions have one place."""
        places: dict[int, int] = {}
        for one in innermost_first(number):
            places[id(one)] = self._place(one, places)
        return places[id(number)]

    def _place(self, number: int, places: Mapping[int, int]) -> int:
        if not isinstance(number, TracedInt) or (number.op == "name" and not number.args):
            label = number.label if isinstance(number, TracedInt) else ""
            if label in self._ranges:
                return self._new(("axis", label), Bounds(*self._ranges[label]), axis=label)
            return self._constant(int(number))
        args = tuple(places[id(arg)] for arg in number.args)
        if number.op == "name":
            return args[0]
        if all(self._steps[arg] is None and self._first[arg] is not None for arg in args):
            return self._constant(int(number))
        bounds = [self._bounds[arg] for arg in args]
        result = BOUNDS[number.op](*bounds)
        step = _Step(_function(number.op, [*bounds, result]), args)
        return self._new((number.op, *args), result, step=step)

    def _constant(self, value: int) -> int:
        return self._new(("constant", value), Bounds(value, value), first=value)

    def _new(self, key: Any, bounds: Bounds, *, first: Value = None, axis: str = "", step: _Step | None = None) -> int:
        if key in self._slots:
            return self._slots[key]
        slot = self._slots[key] = len(self._bounds)
        self._bounds.append(bounds)
        self._first.append(first)
        self._steps.append(step)
        if axis:
            self._axes.append((slot, axis))
        return slot

    def _free(self) -> None:
        """Finds after which step each value is no longer needed, so that few arrays are held at once."""
        last: dict[int, int] = {}
        for slot, step in enumerate(self._steps):
            for arg in step.args if step is not None else ():
                last[arg] = slot
        kept = set(self.outputs)
        for arg, slot in last.items():
            step = self._steps[slot]
            if arg not in kept and step is not None:
                self._steps[slot] = step._replace(frees=(*step.frees, arg))


def _corners(of: Callable[[int, int], int]) -> Callable[[Bounds, Bounds], Bounds]:
    def bounds(a: Bounds, b: Bounds) -> Bounds:
        values = [of(x, y) for x in a for y in b]
        return Bounds(min(values), max(values))

    return bounds


def _square(a: Bounds) -> Bounds:
    most = max(a.least**2, a.most**2)
    return Bounds(0 if a.least <= 0 <= a.most else min(a.least**2, a.most**2), most)


def _divided(ceiling: int) -> Callable[[Bounds, Bounds], Bounds]:
    """Of quotients; a divisor that can be 0 is refused by whoever compares it, and counts as 1 for its bounds."""

    def bounds(a: Bounds, b: Bounds) -> Bounds:
        divisors = [max(b.least, 1), max(b.most, 1)]
        values = [-(-x // y) if ceiling else x // y for x in a for y in divisors]
        return Bounds(min(values), max(values))

    return bounds


BOUNDS: Final[dict[str, Callable[..., Bounds]]] = {
    "+": lambda a, b: Bounds(a.least + b.least, a.most + b.most),
    "-": lambda a, b: Bounds(a.least - b.most, a.most - b.least),
    "*": _corners(lambda x, y: x * y),
    "/": _divided(0),
    "ceil": _divided(1),
    "^2": _square,
    "%": lambda _, b: Bounds(0, max(b.most - 1, 0)),
    "min": lambda a, b: Bounds(min(a.least, b.least), min(a.most, b.most)),
    "max": lambda a, b: Bounds(max(a.least, b.least), max(a.most, b.most)),
    "power_of_two": lambda a: Bounds(1, 2 * max(a.most, 1)),
}


_PLAIN: Final[dict[str, Callable[..., Value]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "ceil": lambda a, b: -(-a // b),
    "^2": lambda a: a * a,
    "%": lambda a, b: a % b,
    "min": np.minimum,
    "max": np.maximum,
}
_ON_WORDS: Final[dict[str, Callable[..., Value]]] = {
    "+": wide_add,
    "-": wide_sub,
    "*": wide_mul,
    "/": wide_div,
    "ceil": wide_ceil_div,
    "^2": lambda a: wide_mul(a, a),
}


def _function(op: str, bounds: list[Bounds]) -> Callable[..., Value]:
    """How an operation is computed, given the bounds of its arguments and of its result."""
    kinds = [one.kind for one in bounds]
    if all(kind == "small" for kind in kinds) and op != "power_of_two":
        return _PLAIN[op]
    if "object" not in kinds and op in _ON_WORDS and _fits_words(op, bounds):
        return _ON_WORDS[op]
    by_ints = np.frompyfunc(_exactly(op), len(bounds) - 1, 1)
    return lambda *args: by_ints(*(as_ints(arg) for arg in args))


def _exactly(op: str) -> Callable[..., int]:
    if op == "power_of_two":
        return power_of_two
    return {"min": min, "max": max}.get(op) or _PLAIN[op]


def _fits_words(op: str, bounds: list[Bounds]) -> bool:
    """Whether an operation of two words is one that we have: of nothing negative, of at most one factor that is wide."""
    *args, _ = bounds
    if any(one.least < 0 for one in bounds):
        return False
    if op in ("/", "ceil"):
        return args[1].most < 2**31
    if op in ("*", "^2"):
        return sum(one.kind == "wide" for one in (args if op == "*" else args * 2)) < 2
    return True


def as_ints(value: Value) -> Value:
    """A value as Python's ints, in an array where it is one."""
    if isinstance(value, Wide):
        return value.ints()
    return value.astype(object) if isinstance(value, np.ndarray) else value


def holds(ops: Iterable[tuple[str, bool]], sides: Sequence[Value]) -> Value:
    """Whether comparisons come out as they did, of pairs of values in turn: true or false, or an array of them."""
    result: Value = True
    for place, (op, outcome) in enumerate(ops):
        left, right = sides[2 * place], sides[2 * place + 1]
        if isinstance(left, Wide) or isinstance(right, Wide):
            left, right = as_ints(left), as_ints(right)
        found = COMPARISONS[op](left, right)
        result = result & (found == outcome)
    return result
