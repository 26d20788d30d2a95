"""The rows of a sweep: all combinations of the values of its axes, the last axis fastest, cut into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

Span = tuple[int, int]
"""Places of an axis, from the first to before the last."""
Block = tuple[Span, ...]
"""Neighbouring rows: so many places of each axis."""


def rows_of(block: Block) -> int:
    """How many rows a block has."""
    return prod(stop - start for start, stop in block)


def whole(lengths: Sequence[int]) -> Block:
    """All rows of axes of some lengths."""
    return tuple((0, length) for length in lengths)


def places_of(index: int, lengths: Sequence[int]) -> tuple[int, ...]:
    """The place on each axis of a row."""
    found = []
    for length in reversed(lengths):
        index, place = divmod(index, length)
        found.append(place)
    return tuple(reversed(found))


class Blocks(NamedTuple):
    """A block cut into smaller ones of at most some rows each, in the order of the rows; none of them is kept in memory."""

    of: Block
    cut: int
    """The axis that is cut into pieces; those before it are taken place by place, those behind it whole."""
    pieces: int

    @classmethod
    def within(cls, of: Block, most: int) -> Blocks:
        """The fewest even pieces of at most so many rows."""
        lengths = [stop - start for start, stop in of]
        cut = len(of) - 1
        while cut > 0 and prod(lengths[cut:]) <= most:
            cut -= 1
        behind = prod(lengths[cut + 1 :])
        step = max(most // behind, 1)
        return cls(of, cut, -(-lengths[cut] // step))

    @property
    def length(self) -> int:
        """How many blocks there are."""
        return prod(stop - start for start, stop in self.of[: self.cut]) * self.pieces

    def at(self, index: int) -> Block:
        """The block of a place in the order."""
        before = self.of[: self.cut]
        outer, piece = divmod(index, self.pieces)
        places = places_of(outer, [stop - start for start, stop in before])
        start, stop = self.of[self.cut]
        length = stop - start
        own = (start + piece * length // self.pieces, start + (piece + 1) * length // self.pieces)
        alone = tuple((first + place, first + place + 1) for (first, _), place in zip(before, places, strict=True))
        return (*alone, own, *self.of[self.cut + 1 :])
