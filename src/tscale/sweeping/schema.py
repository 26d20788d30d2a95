"""Which columns a sweep has: found by answering some of its rows, at the ends of its axes and between them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from tscale.errors import RequestError
from tscale.sweeping.answers import Answer, answer_of
from tscale.sweeping.axes import Axis
from tscale.sweeping.columns import MOST_DIGITS, OTHER, REFUSED, Column, columns_of
from tscale.sweeping.exact import SMALL
from tscale.sweeping.grid import places_of
from tscale.sweeping.job import Job

LOOKED_AT: Final = 24
"""Rows that are answered to find the columns."""
_OF_EACH: Final = 4
"""Values of each axis among them."""
Places = tuple[int, ...]


def samples(job: Job) -> list[tuple[Places, Answer]]:
    """Some rows and their answers: the first and the last, each axis at several values, and others by chance."""
    found = list(dict.fromkeys(chosen(job)))[:LOOKED_AT]
    return [(places, answer_of(job, places, whole=True)) for places in found]


def chosen(job: Job) -> Iterator[Places]:
    """Some rows: all of few, else the first and the last, each axis at several values, and others by chance."""
    lengths = job.lengths
    if job.rows <= LOOKED_AT:
        yield from (places_of(row, lengths) for row in range(job.rows))
        return
    first, last = tuple(0 for _ in lengths), tuple(length - 1 for length in lengths)
    yield first
    yield last
    for base in (last, first):
        for axis, length in enumerate(lengths):
            for step in range(_OF_EACH):
                place = step * (length - 1) // (_OF_EACH - 1)
                yield (*base[:axis], place, *base[axis + 1 :])
    chance = random.Random(0)  # noqa: S311 (the same rows each time, no secret)
    for _ in range(4 * LOOKED_AT):
        yield tuple(chance.randrange(length) for length in lengths)


def schema_of(job: Job, found: list[tuple[Places, Answer]]) -> tuple[Column, ...]:
    """The columns: the axes, the figures, why a row is refused, and what no column holds."""
    figures = columns_of(answer.figures for _, answer in found if answer.refused is None)
    taken = [axis.name for axis in job.axes if axis.name in (REFUSED, OTHER)]
    if taken:
        raise RequestError(f"{taken[0]} is a column of every sweep, and cannot be varied")
    axes = [_axis_column(axis) for axis in job.axes]
    return (*axes, *figures, Column(REFUSED, "text"), Column(OTHER, "text"))


def _axis_column(axis: Axis) -> Column:
    if axis.is_whole and axis.bounds[1] < MOST_DIGITS:
        return Column(axis.name, "int64" if axis.bounds[1] < SMALL else "decimal128", axis=True)
    values = axis.values
    if all(isinstance(value, bool) for value in values):
        return Column(axis.name, "bool", axis=True)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return Column(axis.name, "double", axis=True)
    return Column(axis.name, "text", axis=True)
