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


class Text(NamedTuple):
    """A column of texts with numbers in them: what stands between them, and each number's column with its format."""

    pieces: tuple[str | tuple[str, str], ...]


class Path(NamedTuple):
    """What rows that compare alike have in common.

    `holds`: the program of both sides of each comparison in turn, with how they came out in `ops`. `program`: that of the
    columns `names`, or of the numbers in the message `refused`. `others`: columns that are alike in all rows, ratios or texts.
    """

    holds: Runs
    ops: tuple[tuple[str, bool], ...]
    program: Runs
    names: tuple[str, ...] = ()
    others: Mapping[str, Any] = {}
    refused: tuple[str | tuple[Any, str], ...] | None = None
    hidden: frozenset[str] = frozenset()
    """Of `names` those of numbers in texts, which are no columns."""
