"""What rows that compare alike have in common: a program of arrays for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

Places = tuple[int, ...]


class Runs(Protocol):
    """A program: the values of some numbers from the arrays of the axes by name."""

    def run(self, axes: Mapping[str, Any]) -> list[Any]:
        """The values."""


class Ratio(NamedTuple):
    """A column that is another one over a whole number."""

    of: str
    over: int


class Path(NamedTuple):
    """What rows that compare alike have in common.

    `holds`: the program of both sides of each comparison in turn, with how they came out in `ops`. `program`: that of the
    columns `names`, or of the numbers in the message `refused`. `others`: columns that are alike in all rows, or ratios.
    """

    holds: Runs
    ops: tuple[tuple[str, bool], ...]
    program: Runs
    names: tuple[str, ...] = ()
    others: Mapping[str, Any] = {}
    refused: tuple[str | tuple[Any, str], ...] | None = None
