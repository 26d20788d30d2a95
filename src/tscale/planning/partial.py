"""Recomputation of the first layers of each stage, as few as make a layout fit: the fewer are computed again, the faster is a step.

What a device holds shrinks with each further layer, so that a search of the number is one by bisection, for all layouts at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tscale.planning.layouts import Layouts
from tscale.planning.memory import Held
from tscale.planning.structure import Orders, pipelines

Weigh = Callable[[Layouts], Held]
"""What a device of each of some layouts holds."""


class Weighed(NamedTuple):
    """Layouts with what a device of each holds and has: `usable` at a usual reserve, `room` at the least one."""

    layouts: Layouts
    micro_batches: Any
    held: Held
    usable: Any
    room: Any

    @property
    def fits(self) -> Any:
        """Whether each surely fits."""
        return self.held.total <= self.usable

    @property
    def may(self) -> Any:
        """Whether each fits, or may."""
        return self.fits | (self.held.least <= self.room)

    def only(self, rows: Any) -> Weighed:
        """Those at some places."""
        held = Held(*(one[rows] for one in self.held))
        return Weighed(self.layouts.only(rows), self.micro_batches[rows], held, self.usable[rows], self.room[rows])

    def with_(self, others: Weighed) -> Weighed:
        """These and others."""
        held = Held(*(np.concatenate(both) for both in zip(self.held, others.held, strict=True)))
        micro_batches, usable, room = (
            np.concatenate([getattr(one, name) for one in (self, others)])
            for name in ("micro_batches", "usable", "room")
        )
        return Weighed(self.layouts.with_(others.layouts), micro_batches, held, usable, room)


def between(weighed: Weighed) -> Weighed:
    """Layouts in full recomputation that fit, or may, where without any they do not surely: those that can do with less of it.

    Rows of one policy stand in the order of those of another, for nothing that makes a layout legal asks for it.
    """
    columns, policies = weighed.layouts.columns, weighed.layouts.axes.policies
    none, full = (
        np.flatnonzero((columns["recompute"] == policies.index(name)) & (columns["first"] == 0))
        for name in ("none", "full")
    )
    return weighed.only(full[~weighed.fits[none] & weighed.may[full]])


def with_fewest(weighed: Weighed, orders: Orders, weigh: Weigh) -> Weighed:
    """The same with the fewest layers of each stage that make a layout fit: surely, or where all do not, perhaps.

    Those that fit with none at all have one layer; those that do not fit with all have all.
    """
    high = _most_layers(weighed.layouts, orders)
    low = np.zeros_like(high)  # a layout does not fit with `low`, and does with `high` if at all
    held = weigh(_with_first(weighed.layouts, high))
    sure = held.total <= weighed.usable
    rows = np.flatnonzero(high > 1)
    while len(rows):
        middle = (low[rows] + high[rows]) // 2
        own = weigh(_with_first(weighed.layouts.only(rows), middle))
        fits = np.where(sure[rows], own.total <= weighed.usable[rows], own.least <= weighed.room[rows])
        low[rows], high[rows] = np.where(fits, low[rows], middle), np.where(fits, middle, high[rows])
        for every, new in zip(held, own, strict=True):
            every[rows] = np.where(fits, new, every[rows])
        rows = rows[high[rows] - low[rows] > 1]
    return weighed._replace(layouts=_with_first(weighed.layouts, high), held=held)


def _with_first(layouts: Layouts, first: Any) -> Layouts:
    return layouts._replace(columns={**layouts.columns, "first": first})


def _most_layers(layouts: Layouts, orders: Orders) -> Any:
    """Layers of the deepest stage of each layout, 1 at the least."""
    most = np.ones(layouts.size, dtype=np.int64)
    for rows, stages in pipelines(layouts.columns, orders):
        most[rows] = max(1, *(len(one.order) for one in stages))
    return most
