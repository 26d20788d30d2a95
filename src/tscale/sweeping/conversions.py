"""Python's conversions as recorded numbers need them, put in the place of its own in our modules while a row is recorded.

`int(x)`, `float(x)` and `Fraction(x)` give plain numbers, whatever x is, and `max` and `min` branch. Of recorded numbers they
are operations like any other; of all else they are what they are, so that nothing else notices.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import reduce
from types import ModuleType
from typing import Any, Final

from tscale.core.tracing import TracedInt
from tscale.sweeping.recorded import Recorded, record_of

_ROOMS: Final = (
    "tscale.core.", "tscale.blocks.", "tscale.models.", "tscale.answers.", "tscale.estimates.", "tscale.calibration.",
)  # fmt: skip
_NOT: Final = ("tscale.core.number_text", "tscale.core.metric", "tscale.core.plot")
"""Modules that only write numbers."""


class _Kind(type):
    """A type that a recorded number of its kind counts as."""

    of: builtins.type

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance.value if isinstance(instance, Recorded) else instance, cls.of)


class _Int(metaclass=_Kind):
    of = builtins.int

    def __new__(cls, value: Any = 0, *more: Any) -> Any:
        return value.as_int() if isinstance(value, Recorded) else builtins.int(value, *more)


class _Float(metaclass=_Kind):
    of = builtins.float

    def __new__(cls, value: Any = 0.0) -> Any:
        return value.as_float() if isinstance(value, Recorded) else builtins.float(value)


class _Fraction(metaclass=_Kind):
    of = Fraction

    def __new__(cls, value: Any = 0, under: Any = None) -> Any:
        if not isinstance(value, Recorded) and not isinstance(under, Recorded):
            return Fraction(value, under)
        whole = value.as_fraction() if isinstance(value, Recorded) else Fraction(value)
        return whole if under is None else record_of("true", whole, under)


class _TracedInt(metaclass=_Kind):
    """A derivation is not recorded: a number that is stays what it is."""

    of = TracedInt

    def __new__(cls, value: Any, *args: Any, **named: Any) -> Any:
        return value if isinstance(value, Recorded) else TracedInt(value, *args, **named)


def _largest(*values: Any, **more: Any) -> Any:
    return _extreme("max", values, more)


def _smallest(*values: Any, **more: Any) -> Any:
    return _extreme("min", values, more)


def _extreme(op: str, values: tuple[Any, ...], more: dict[str, Any]) -> Any:
    """The largest or the smallest; of keys and of other things than numbers by comparing, which is noted."""
    several = list(values[0]) if len(values) == 1 else list(values)
    if not more.keys() - {"default"} and several and any(isinstance(one, Recorded) for one in several):
        return reduce(lambda a, b: record_of(op, a, b), several)
    plain = builtins.max if op == "max" else builtins.min
    return plain(several, **more)


_IN_PLACE: Final = {"int": _Int, "float": _Float, "max": _largest, "min": _smallest}
_WHERE_USED: Final = {"Fraction": _Fraction, "TracedInt": _TracedInt}
"""Names that a module has of its own."""
_OURS: Final = "tscale.core.tracing"
"""Where derivations are made, of numbers that are no recorded ones."""


@contextmanager
def recording_conversions() -> Iterator[None]:
    """Puts them into our modules for a while."""
    taken: list[tuple[ModuleType, str, Any]] = []
    try:
        for module in _modules():
            for name, own in _IN_PLACE.items():
                if name not in vars(module):
                    taken.append((module, name, None))
                    setattr(module, name, own)
            for name, own in _WHERE_USED.items():
                if name in vars(module):
                    taken.append((module, name, vars(module)[name]))
                    setattr(module, name, own)
        yield
    finally:
        for module, name, before in taken:
            if before is None:
                delattr(module, name)
            else:
                setattr(module, name, before)


def _modules() -> list[ModuleType]:
    return [
        module for name, module in sys.modules.items() if name.startswith(_ROOMS) and name != _OURS and name not in _NOT
    ]
