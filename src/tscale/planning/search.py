"""All layouts of a model on so many devices: which fit, how long a step of each is predicted to take, and why others are not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.calibration.training_case import TrainingCase
from tscale.core.costs.training_setup import Training
from tscale.core.recompute import FEWEST
from tscale.planning import memory, step
from tscale.planning.layouts import MOST_LAYOUTS, Axes, Columns, Layout, Layouts, grid
from tscale.planning.legal import legal
from tscale.planning.partial import Weighed, between, with_fewest
from tscale.planning.stage_kinds import Model
from tscale.planning.structure import Orders

Rooms = Callable[[int], tuple[int, int]]
"""Bytes that are a model's next to the largest and the least reserve, of a device that sends to so many groups of others."""


class Run(NamedTuple):
    """What is trained in all layouts: the model, how, and on what; `cases`: a step in each precision of the axes, where there is one."""

    model: Model
    base: Training
    cases: tuple[TrainingCase | None, ...]
    rooms: Rooms


class TooLarge(NamedTuple):
    """The layout that does not fit by the least, what it needs at the least, and what there is; `change`: what fits, one change away."""

    layout: Layout
    least: int
    room: int
    change: tuple[Layout, float] | None
    """The fastest layout that differs in one axis and fits, with its seconds."""


class Found(NamedTuple):
    """The layouts that fit, or may, the fastest first: bytes at the most and at the least, whether they surely fit, and seconds.

    `evaluated`: all that were tried; `rejected`: those that are not here by reason.
    """

    layouts: Layouts
    total: Any
    least: Any
    fits: Any
    seconds: Any
    evaluated: int
    rejected: dict[str, int]
    nearest: TooLarge | None

    @property
    def size(self) -> int:
        """How many fit."""
        return self.layouts.size


def search(run: Run, axes: Axes, gpus: int, batch: int, most: int = MOST_LAYOUTS) -> Found:
    """Every layout of some axes on so many devices, a step of so many sequences.

    Raises `RequestError` for more layouts than are tried at once, and where a link that a layout needs is not known.
    """
    every = grid(axes, gpus, most)
    can = legal(run.model, every, batch)
    rejected = dict(can.rejected)
    known = np.array([case is not None for case in run.cases], dtype=bool)[can.layouts.columns["precision"]]
    rejected["precision"] = int((~known).sum())
    layouts, micro_batches = can.layouts.only(known), can.micro_batches[known]
    weighed = _weighed(run, layouts, micro_batches, can.orders)
    may, more = weighed.may, weighed.layouts.size - layouts.size
    rejected["memory"] = int((~may).sum())
    fitting = weighed.only(may)
    seconds = _seconds(run, fitting.layouts, can.orders, fitting.micro_batches)
    order = np.lexsort((fitting.held.least, seconds))
    fitting = fitting.only(order)
    found = Found(
        fitting.layouts,
        fitting.held.total,
        fitting.held.least,
        fitting.fits,
        seconds[order],
        every.size + more,
        {reason: count for reason, count in rejected.items() if count},
        None,
    )
    return found._replace(nearest=_nearest(weighed.layouts, weighed.held.least, weighed.room, ~may, found))


def _weighed(run: Run, layouts: Layouts, micro_batches: Any, orders: Orders) -> Weighed:
    """Layouts with what a device holds; those whose recomputed layers are searched too, with the fewest that fit."""

    def weigh(some: Layouts, states: Any) -> memory.Held:
        return memory.held(run.model, some, orders, run.base, states)

    def of(rows: Any) -> Weighed:
        own = layouts.only(rows)
        nothing = memory.Held(*(np.zeros(own.size, dtype=np.int64) for _ in range(2)))
        states = memory.kept(run.model, own, orders, run.base)
        return Weighed(own, micro_batches[rows], states, nothing, *_rooms(own.columns, run.rooms))

    searched = layouts.columns["first"] == FEWEST
    known = of(~searched)
    known = known._replace(held=weigh(known.layouts, known.states))
    if searched.any():
        known = known.with_(with_fewest(of(searched), orders, weigh))
    if layouts.axes.partial:
        less, guess = between(known)
        known = known.with_(with_fewest(less, orders, weigh, guess))
    return known


def _rooms(columns: Columns, rooms: Rooms) -> tuple[Any, Any]:
    """The room of each layout, by the groups of devices that a device sends to (`tscale.estimates.capacity.groups_of`)."""
    ways = ("tensor", "pipeline", "data", "context", "expert")
    groups = sum((columns[name] > 1).astype(np.int64) for name in ways)
    cut = columns["expert_tensor"]
    groups = groups + ((cut > 1) & (cut != columns["tensor"]))
    table = np.array([rooms(count) for count in range(len(ways) + 2)], dtype=np.int64)
    return table[groups, 0], table[groups, 1]


def _seconds(run: Run, layouts: Layouts, orders: Any, micro_batches: Any) -> Any:
    """Predicted seconds of each, by the formats of its products."""
    found = np.zeros(layouts.size)
    for place, case in enumerate(run.cases):
        if case is None:
            continue
        of_case = np.flatnonzero(layouts.columns["precision"] == place)
        for start in range(0, len(of_case), _AT_ONCE):
            rows = of_case[start : start + _AT_ONCE]
            found[rows] = step.seconds(run.model, layouts.only(rows), orders, case, micro_batches[rows])
    return found


_AT_ONCE: Final = 2**16
"""Layouts that are timed at once: some hundred bytes of each stage of each."""


def _nearest(layouts: Layouts, least: Any, most: Any, out: Any, found: Found) -> TooLarge | None:
    """The layout that does not fit by the least, with the fastest that fits one change away."""
    if not out.any():
        return None
    rows = np.flatnonzero(out)
    row = int(rows[np.argmin(least[rows] - most[rows])])
    change: tuple[Layout, float] | None = None
    if found.size:
        alike = _steps_away({name: column[row] for name, column in layouts.columns.items()}, found.layouts.columns)
        if (alike == 1).any():
            place = int(np.argmax(alike == 1))  # the fastest, for they are in order
            change = found.layouts.one(place), float(found.seconds[place])
    return TooLarge(layouts.one(row), int(least[row]), int(most[row]), change)


_TOGETHER = (("zero", "shards"), ("tensor", "sequence"), ("pipeline", "interleave", "schedule", "stages"), ("context",), ("expert",),
             ("expert_tensor",), ("micro_batch",), ("recompute", "first"), ("precision",), ("optimizer",), ("loss",), ("offload",))  # fmt: skip
"""Columns that one change may be of; copies follow from the others."""


def _steps_away(at: dict[str, Any], columns: Columns) -> Any:
    """In how many axes each layout differs from one."""
    return sum(np.any([columns[name] != at[name] for name in names], axis=0).astype(np.int64) for names in _TOGETHER)


def front(seconds: Any, total: Any) -> Any:
    """The places, of layouts the fastest first, of those that need less memory than any that is faster."""
    least = np.minimum.accumulate(total)
    return np.flatnonzero(np.concatenate([[True], total[1:] < least[:-1]])) if len(seconds) else np.zeros(0, dtype=int)
