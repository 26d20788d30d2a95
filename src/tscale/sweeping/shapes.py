"""The shape nearest to each of many budgets: what `tscale.core.costs.shapes.search` finds for one, for all rows at once.

Shapes whose proportions are nearly those that are wanted are counted as arrays, and each row takes the least of those within 1% of
its budget; where that is further off than shapes that were left out may be, they are counted too. Where two are as near, to some
digits, or where no shape is within 1%, a row is searched by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.core.costs.shapes import FEWEST_PARTS, MOST, MOST_PARTS, PARTS, Lines, Shape
from tscale.sweeping.operations import Number
from tscale.sweeping.recorded import Recorded, plain_of
from tscale.sweeping.whole_arrays import Value, Whole, array_of, whole_of

_MOST_SHAPES: Final = 2**20
"""Shapes that are counted at once, about."""
_OFF: Final = (2.0**-12, 2.0**-9, 2.0**-6, 2.0**-3, np.inf)
"""How far the proportions of shapes that are counted are off, the nearest first."""
_SLACK: Final = 1e-12
"""Distances that differ by less are told apart by the search itself, which rounds otherwise."""


def nearest(lines: Lines, budget: Number, *others: Lines) -> tuple[list[Number], Number, list[Number]]:
    """The sizes, the count and other counts of the shape for a recorded budget."""
    shapes = _Shapes(lines, others)
    place = Recorded(shapes(plain_of(budget)), "call", (budget,), label="shape", how=shapes)
    found: list[Number] = [
        Recorded(column(place.value), "call", (place,), label=str(of), how=column)
        for of, column in enumerate(shapes.columns)
    ]
    many = len(Shape._fields)
    return found[:many], found[many], found[many + 1 :]


class _Shapes:
    """The places of the shapes for budgets in a list of those that were found."""

    def __init__(self, lines: Lines, others: Sequence[Lines]) -> None:
        self.lines, self.others = lines, others
        self.places: dict[tuple[int, ...], int] = {}
        self.columns = [_Column(self, of) for of in range(len(Shape._fields) + 1 + len(others))]
        self.found: list[tuple[int, ...]] = []

    def __call__(self, budget: int) -> int:
        """The place for one budget."""
        found = self.lines(budget)
        return self._place((*found.shape, found.params))

    def _place(self, sizes: tuple[int, ...]) -> int:
        if sizes not in self.places:
            self.places[sizes] = len(self.found)
            self.found.append((*sizes, *(one.at(Shape(*sizes[:-1])) for one in self.others)))
        return self.places[sizes]

    def rows(self, budgets: Value) -> Whole:
        """The places for many; that of any shape for a budget that no design has, which is of a row of another way."""
        every = np.asarray(array_of(budgets))
        legal = (every >= 1) & (every <= MOST)
        places = np.zeros(every.shape, dtype=np.int64)
        places[legal] = self._of(every[legal].astype(np.int64))
        return Whole(places, 0, len(self.found) - 1)

    def _of(self, budgets: Any) -> Any:
        places = np.full(len(budgets), -1, dtype=np.int64)
        left = np.arange(len(budgets))
        for off in _OFF:
            if not left.size:
                return places
            table = self._table(int(budgets[left].min()), int(budgets[left].max()), off)
            if table is None:
                return self._in_halves(budgets, places, left)
            rows, chosen = table.least(budgets[left], off)
            known, back = np.unique(chosen, return_inverse=True)
            own = [self._place(sizes) for sizes in table.sizes_at(known)]
            places[left[rows]] = np.array(own, dtype=np.int64)[back]
            left = np.flatnonzero(places < 0)
        places[left] = [self(int(budget)) for budget in budgets[left]]
        return places

    def _in_halves(self, budgets: Any, places: Any, left: Any) -> Any:
        """The places, with those that are left found for the smaller budgets and for the larger ones apart."""
        least, most = int(budgets[left].min()), int(budgets[left].max())
        if PARTS * most <= MOST_PARTS * least:  # their shapes are mostly the same
            places[left] = [self(int(budget)) for budget in budgets[left]]
            return places
        small = budgets[left] <= isqrt(least * most)
        for half in (left[small], left[~small]):
            places[half] = self._of(budgets[half])
        return places

    def _table(self, low: int, high: int, off: float) -> _Table | None:
        """The shapes within 1% of some budget between two, whose proportions are no further off; None of too many."""
        parts: list[list[Any]] = []
        many = 0
        for line in self.lines.within(high):
            if line.off > off:
                continue
            (layers, of_layers), (d_ff, of_d_ff) = (
                _near(sizes, wanted, off)
                for sizes, wanted in zip(self.lines.ranges(line), self.lines.ideals(line), strict=True)
            )
            params: Any = line.at(line.start._replace(layers=layers[:, None], d_ff=d_ff))
            offs = line.off + of_layers[:, None] + of_d_ff
            scaled = PARTS * params
            deep, wide = np.nonzero((offs <= off) & (scaled >= FEWEST_PARTS * low) & (scaled <= MOST_PARTS * high))
            many += len(deep)
            if many > _MOST_SHAPES:
                return None
            fixed = [np.full(len(deep), size) for size in line.start[1:4]]
            parts.append([layers[deep], *fixed, d_ff[wide], params[deep, wide], offs[deep, wide]])
        if not parts:
            return _Table(*[np.zeros(0, dtype=np.int64)] * 7)
        table = _Table(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        order = np.argsort(table.params, kind="stable")
        return _Table(*(column[order] for column in table))


def _near(sizes: range, wanted: float, off: float) -> tuple[Any, Any]:
    """Those of some sizes that are no further off from what is wanted, and how far each is."""
    array = np.array(sizes, dtype=np.int64)
    offs = np.log(array / wanted) ** 2
    near = offs <= off
    return array[near], offs[near]


class _Column:
    """A size, or a count, of the shapes that were found."""

    def __init__(self, shapes: _Shapes, of: int) -> None:
        self.shapes, self.of = shapes, of

    def __call__(self, place: int) -> int:
        """That of the shape at a place."""
        return self.shapes.found[place][self.of]

    def rows(self, places: Value) -> Whole:
        """Those of many."""
        known = whole_of(np.array([one[self.of] for one in self.shapes.found], dtype=object))
        return Whole(known.array[array_of(places)], known.least, known.most)


class _Table(NamedTuple):
    """Shapes in the order of what they count, and how far their proportions are off."""

    layers: Any
    d_model: Any
    heads: Any
    kv_heads: Any
    d_ff: Any
    params: Any
    off: Any

    def sizes_at(self, places: Any) -> list[tuple[int, ...]]:
        """Sizes and counts of the shapes at some places."""
        return list(zip(*(column[places].tolist() for column in self[:-1]), strict=True))

    def least(self, budgets: Any, off: float) -> tuple[Any, Any]:
        """The rows in which one shape alone is nearest, by no more than proportions are off here; and its place in each."""
        scaled = PARTS * self.params
        first = np.searchsorted(scaled, FEWEST_PARTS * budgets, "left")
        last = np.searchsorted(scaled, MOST_PARTS * budgets, "right")
        rows = np.flatnonzero(first < last)
        if not rows.size:
            return rows, rows
        best = np.full(len(budgets), np.inf)
        found = self._candidates(budgets, rows, first[rows], last[rows], best)
        near, place = (np.concatenate(column) for column in zip(*found, strict=True))
        close = self._distance(place, budgets[near]) <= best[near] + _SLACK
        near, place = near[close], place[close]
        sure = (np.bincount(near, minlength=len(budgets))[near] == 1) & (best[near] + _SLACK <= off)
        return near[sure], place[sure]

    def _candidates(self, budgets: Any, rows: Any, first: Any, last: Any, best: Any) -> list[tuple[Any, Any]]:
        """Rows, and places of shapes from `first` to `last` among which the nearest is, whose distance `best` is set to.

        That whose proportions are least off, and then of those on either side of it, while they may be nearer.
        """
        ranges = _Ranges(self.off, int((last - first).max()))
        found: list[tuple[Any, Any]] = []
        places = ranges.least(first, last)
        while rows.size:
            np.minimum.at(best, rows, self._distance(places, budgets[rows]))
            found.append((rows, places))
            rows = np.concatenate([rows, rows])
            first, last = np.concatenate([first, places + 1]), np.concatenate([places, last])
            some = first < last
            rows, first, last = rows[some], first[some], last[some]
            places = ranges.least(first, last)
            near = self.off[places] <= best[rows] + _SLACK
            rows, first, last, places = rows[near], first[near], last[near], places[near]
        return found

    def _distance(self, places: Any, budgets: Any) -> Any:
        return self.off[places] + np.log(self.params[places] / budgets) ** 2


class _Ranges:
    """Where a column is least within ranges, by where it is within each of a power of two rows."""

    def __init__(self, column: Any, longest: int) -> None:
        self.column = column
        self.levels = [np.arange(len(column))]
        while 2 ** len(self.levels) <= longest:
            half, last = 2 ** (len(self.levels) - 1), self.levels[-1]
            self.levels.append(self._less(last[:-half], last[half:]))

    def _less(self, one: Any, other: Any) -> Any:
        return np.where(self.column[one] <= self.column[other], one, other)

    def least(self, first: Any, last: Any) -> Any:
        """For ranges of at least one row each."""
        level = np.frexp(last - first)[1] - 1
        found = np.empty(len(first), dtype=np.int64)
        for number in np.unique(level):
            here = level == number
            known = self.levels[number]
            found[here] = self._less(known[first[here]], known[last[here] - 2**number])
        return found
