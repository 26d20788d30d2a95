"""Recomputation of the first layers of each stage, as few as make a layout fit: the fewer are computed again, the faster is a step.

What a device holds shrinks with each further layer, so that a search of the number is one by bisection, for all layouts at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.planning.layouts import Layouts
from tscale.planning.memory import Held
from tscale.planning.structure import Orders, pipelines

Weigh = Callable[[Layouts, Any], Held]
"""What a device of each of some layouts holds, with what it keeps of its parameters (`memory.kept`)."""


class Weighed(NamedTuple):
    """Layouts with what a device of each holds and has: `usable` at a usual reserve, `room` at the least one.

    `states`: what the device of each stage keeps of its parameters (`memory.kept`), however a pass is run.
    """

    layouts: Layouts
    micro_batches: Any
    states: Any
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
        own = self.layouts.only(rows), self.micro_batches[rows], self.states[:, rows]
        return Weighed(*own, held, self.usable[rows], self.room[rows])

    def with_(self, others: Weighed) -> Weighed:
        """These and others."""
        held = Held(*(np.concatenate(both) for both in zip(self.held, others.held, strict=True)))
        micro_batches, usable, room = (
            np.concatenate([getattr(one, name) for one in (self, others)])
            for name in ("micro_batches", "usable", "room")
        )
        states = np.concatenate([self.states, others.states], axis=1)
        return Weighed(self.layouts.with_(others.layouts), micro_batches, states, held, usable, room)


class Guess(NamedTuple):
    """Of layouts whether all layers computed again make each fit surely, and the share of them that may be enough."""

    sure: Any
    share: Any


def between(weighed: Weighed) -> tuple[Weighed, Guess]:
    """Layouts in full recomputation that fit, or may, where without any they do not surely: those that can do with less of it.

    Rows of one policy stand in the order of those of another, for nothing that makes a layout legal asks for it. The guess is where a
    straight line between the two comes to what there is.
    """
    columns, policies = weighed.layouts.columns, weighed.layouts.axes.policies
    none, full = (
        weighed.only((columns["recompute"] == policies.index(name)) & (columns["first"] == 0))
        for name in ("none", "full")
    )
    rows = np.flatnonzero(~none.fits & full.may)
    none, full = none.only(rows), full.only(rows)
    room = np.where(full.fits, full.usable, full.room)
    before, after = (np.where(full.fits, one.held.total, one.held.least) for one in (none, full))
    return full, Guess(full.fits, (before - room) / np.maximum(before - after, 1))


_AWAY: Final = 2 ** np.arange(14)[:, np.newaxis]
"""How far from a number of layers that was tried others are tried at once: most guesses are wrong by a layer, if at all."""


def with_fewest(weighed: Weighed, orders: Orders, weigh: Weigh, guess: Guess | None = None) -> Weighed:
    """The same with the fewest layers of each stage that make a layout fit: surely, or where all do not, perhaps.

    Those that fit with none at all have one layer; those that do not fit with all have all.
    """
    most = _most_layers(weighed.layouts, orders)
    if guess is None:
        every = weigh(_with_first(weighed.layouts, most), weighed.states)
        guess = Guess(every.total <= weighed.usable, 0.5)
    high, low = most.copy(), np.zeros_like(most)  # a layout does not fit with `low`, and does with `high` if at all
    near = np.clip(np.ceil(most * guess.share), 1, most).astype(np.int64)
    held = Held(*(np.zeros_like(most) for _ in range(2)))  # with `high`, once that was tried
    rows, places = np.arange(len(most)), np.stack([near, near - 1])
    while len(rows):
        end = high + (held.total == 0)
        several, place = np.nonzero((low[rows] < places[:, rows]).T & (places[:, rows] < end[rows]).T)
        own, tried = rows[several], places[place, rows[several]]
        some = weighed.only(own)
        some = some._replace(held=weigh(_with_first(some.layouts, tried), some.states))
        fits = np.where(guess.sure[own], some.fits, some.may)
        np.minimum.at(high, own[fits], tried[fits])
        np.maximum.at(low, own[~fits], tried[~fits])
        least = tried == high[own]
        for total, one in zip(held, some.held, strict=True):
            total[own[least]] = one[least]
        rows = rows[(high[rows] - low[rows] > 1) | (held.total[rows] == 0)]
        places = np.where(low < near, high - _AWAY, low + _AWAY)
    return weighed._replace(layouts=_with_first(weighed.layouts, high), held=held)


def _with_first(layouts: Layouts, first: Any) -> Layouts:
    return layouts._replace(columns={**layouts.columns, "first": first})


def _most_layers(layouts: Layouts, orders: Orders) -> Any:
    """Layers of the deepest stage of each layout, 1 at the least."""
    most = np.ones(layouts.size, dtype=np.int64)
    for rows, stages in pipelines(layouts.columns, orders):
        most[rows] = max(1, *(len(one.order) for one in stages))
    return most
