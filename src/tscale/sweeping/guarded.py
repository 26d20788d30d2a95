"""Ints that note every comparison that a question makes of them: what is compiled holds for rows that compare alike.

A question and the validation of a spec run once on such numbers. What they compared, and how it came out, are the conditions
under which another row takes the same way; the derivations of the figures are then right for every row that meets them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tscale.core.tracing import TracedInt
from tscale.sweeping.marks import mark_of
from tscale.sweeping.operations import COMPARISONS


class Condition(NamedTuple):
    """A comparison and how it came out; each side is a number or a derivation."""

    op: str
    left: int
    right: int
    outcome: bool


@dataclass
class Trail:
    """What was compared on the way of one row, and which numbers were written into texts.

    `writes`: whether a number that is written leaves a mark in its place, so that a message can be filled for other rows.
    """

    conditions: list[Condition] = field(default_factory=list)
    texts: list[tuple[int, str]] = field(default_factory=list)
    writes: bool = False


_TRAIL: ContextVar[Trail | None] = ContextVar("trail", default=None)


@contextmanager
def following(trail: Trail) -> Iterator[Trail]:
    """Notes on a trail whatever is compared meanwhile."""
    token = _TRAIL.set(trail)
    try:
        yield trail
    finally:
        _TRAIL.reset(token)


class Guarded(TracedInt):
    """A traced int that notes its comparisons; whatever is made of it is one too."""

    def _note(self, op: str, other: object) -> Any:
        if not isinstance(other, int):
            return self._with_float(op, other)
        outcome = bool(COMPARISONS[op](int(self), int(other)))
        trail = _TRAIL.get()
        if trail is not None:
            trail.conditions.append(Condition(op, self, other, outcome))
        return outcome

    def _with_float(self, op: str, other: object) -> Any:
        """Of fractions and floats: noted as this very number, so that no other row is taken to compare alike."""
        if not hasattr(other, "__float__"):
            return NotImplemented
        self._pin()
        return COMPARISONS[op](int(self), other)

    def _pin(self) -> None:
        """Notes that what follows holds of this number alone."""
        trail = _TRAIL.get()
        if trail is not None:
            trail.conditions.append(Condition("==", self, int(self), True))

    def __eq__(self, other: object) -> Any:
        return self._note("==", other)

    def __ne__(self, other: object) -> Any:
        return self._note("!=", other)

    def __lt__(self, other: object) -> Any:
        return self._note("<", other)

    def __le__(self, other: object) -> Any:
        return self._note("<=", other)

    def __gt__(self, other: object) -> Any:
        return self._note(">", other)

    def __ge__(self, other: object) -> Any:
        return self._note(">=", other)

    def __bool__(self) -> bool:
        return bool(self._note("!=", 0))

    def __hash__(self) -> int:
        self._pin()
        return hash(int(self))

    def __mod__(self, other: int) -> int:
        return Guarded(int(self) % int(other), "%", (self, other)) if isinstance(other, int) else NotImplemented

    def __rmod__(self, other: int) -> int:
        return Guarded(int(other) % int(self), "%", (other, self)) if isinstance(other, int) else NotImplemented

    def __neg__(self) -> int:
        return 0 - self

    def __truediv__(self, other: Any) -> Any:
        self._pin()
        return int(self) / other

    def __rtruediv__(self, other: Any) -> Any:
        self._pin()
        return other / int(self)

    def __float__(self) -> float:
        self._pin()
        return float(int(self))

    def __format__(self, spec: str) -> str:
        trail = _TRAIL.get()
        if trail is None or not trail.writes:
            return format(int(self), spec)
        trail.texts.append((self, spec))
        return mark_of(trail.texts)

    def __str__(self) -> str:
        return format(self, "")

    __repr__ = __str__
