"""A chosen deployment as `serve` predicts it: all its units, so many requests in progress, and what random arrivals add."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, sqrt
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.calibration.serving_calibration import Calibration, Prediction, predict_held
from tscale.calibration.serving_case import ServingCase
from tscale.planning.best_first import Key, best_first
from tscale.planning.deployment_curves import Unit, copied
from tscale.planning.deployment_loads import Targets, places, ttft_at, within
from tscale.planning.deployment_search import Choice, Wanted, chosen, least_at_once
from tscale.planning.queueing import Curve, Floats


class Deployed(NamedTuple):
    """A deployment under a load.

    `case`: all units with the requests in progress, so that `serve` predicts the same of it. `load`: requests a second or users.
    `waiting`: seconds that random arrivals, or users beyond the places, add to the time to first token. `places`: requests
    that a unit takes up at once. `most`: the largest load within the targets.
    """

    choice: Choice
    case: ServingCase
    times: Prediction
    load: float
    waiting: float
    places: int
    most: float

    @property
    def requests_per_second(self) -> float:
        """Requests that are answered a second, as predicted of so many in progress."""
        return self.case.concurrency / self.times.latency.middle

    @property
    def ttft_at_most(self) -> float:
        """Seconds to the first token on the slow side of the interval, with the wait."""
        return self.times.ttft.high + self.waiting

    def meets(self, targets: Targets) -> bool:
        """Whether the slow side of both times is within the targets."""
        return self.ttft_at_most <= targets.ttft and self.times.tpot.high <= targets.tpot


_A_LITTLE_LESS: Final = (1.0, 0.995, 0.98, 0.95, 0.9, 0.8)
"""Shares of the largest load of a curve that are tried: what `serve` predicts of whole requests and of all copies is a little off it."""
_HALVINGS: Final = 5
"""Times that the span between two of those is halved."""


def ranked_rows(units: Sequence[Unit], wanted: Wanted, calibration: Calibration) -> Iterator[Deployed]:
    """Every deployment that meets the targets, the best first; whoever takes a few waits for few."""
    for _, row in best_first(chosen(units, wanted), lambda choice: _ranked(choice, wanted, calibration)):
        yield row


def _ranked(choice: Choice, wanted: Wanted, calibration: Calibration) -> tuple[Key, Deployed] | None:
    row = deployed_row(choice, wanted, calibration)
    return None if row is None else (ranking(row, wanted), row)


def deployed_row(choice: Choice, wanted: Wanted, calibration: Calibration) -> Deployed | None:
    """A choice under the load that is asked about, or under the largest that it carries; None where it then misses the targets.

    Of a load that it misses by little, with a few more copies where there may be some.
    """
    if _is_idle(_at_most(choice, wanted)):
        return None
    return (_most if wanted.load is None else _fewest)(choice, wanted, calibration)


def _most(choice: Choice, wanted: Wanted, calibration: Calibration) -> Deployed | None:
    """Under the largest load, to a part in some thousands, of those that are no more than its curve says."""
    above: float | None = None
    for share in _A_LITTLE_LESS:
        found = _at(choice, wanted, calibration, share * choice.load)
        if found is not None:
            break
        above = share
    else:
        return None
    if above is None:
        return found
    for _ in range(_HALVINGS):
        middle = (share + above) / 2
        more = _at(choice, wanted, calibration, middle * choice.load)
        share, above, found = (share, middle, found) if more is None else (middle, above, more)
    return found


def _fewest(choice: Choice, wanted: Wanted, calibration: Calibration) -> Deployed | None:
    """With the fewest copies of those that may be, and are no fewer than its curve says."""
    assert wanted.load is not None
    load, less = wanted.load, choice.copies - 1
    tried = (choice.copies, choice.copies + 1, *(ceil(choice.copies / share) for share in _A_LITTLE_LESS[1:]))
    for copies in dict.fromkeys(wanted.allowed(choice.unit, number) for number in tried):
        found = _under(choice._replace(copies=copies), wanted, calibration, load) if copies else None
        if found is not None and _is_idle(found.case):
            return None  # the more copies, the more there are that wait for work
        if found is not None and found.meets(wanted.targets):
            break
        less = copies
    else:
        return None
    while wanted.copies is None and copies - less > 1:
        middle = (copies + less) // 2
        fewer = _at(choice._replace(copies=middle), wanted, calibration, load)
        less, copies, found = (middle, copies, found) if fewer is None else (less, middle, fewer)
    return found


def _at_most(choice: Choice, wanted: Wanted) -> ServingCase:
    """The choice with no fewer requests in progress than there are under the load, by its curve: looked at before they are counted."""
    curve, load = choice.unit.curve, choice.load if wanted.load is None else wanted.load
    enough = np.flatnonzero(curve.throughput >= load / choice.copies)
    each = curve.at_once[int(enough[0]) if wanted.arrivals == "rate" and len(enough) else -1]
    return copied(choice.unit.case, choice.copies, int(each) * choice.copies)


def _at(choice: Choice, wanted: Wanted, calibration: Calibration, load: float) -> Deployed | None:
    """The deployment under a load; None where it misses the targets, or some of it has next to nothing to do."""
    row = _under(choice, wanted, calibration, load)
    return None if row is None or not row.meets(wanted.targets) or _is_idle(row.case) else row


def _under(choice: Choice, wanted: Wanted, calibration: Calibration, load: float) -> Deployed | None:
    """The deployment under a load, whether or not it is within the targets; None where it does not come to the load."""
    return (_at_rate if wanted.arrivals == "rate" else _of_users)(choice, wanted, calibration, load)


def _is_idle(case: ServingCase) -> bool:
    """Whether a worker that prefills has next to nothing to do: without it there were still a rank for each request in progress.

    Of so many in progress on average there are twice the root more one time in forty, where they are independent of each other.
    """
    if not case.disaggregated:
        return False
    others = (case.prefill.workers - 1) * case.prefill.layout.attention_data
    return others >= case.concurrency + 2 * sqrt(case.concurrency)


def _at_rate(choice: Choice, wanted: Wanted, calibration: Calibration, load: float) -> Deployed | None:
    curve, each = choice.unit.curve, load / choice.copies
    room = places(curve, wanted.targets, each)

    every = copied(choice.unit.case, choice.copies, 1)

    def answered(at_once: Any) -> Floats:
        found: Floats = at_once / predict_held(every._replace(concurrency=at_once), calibration).latency.high
        return found

    at_once = least_at_once(answered, load, int(room) * choice.copies)
    if at_once is None:
        return None
    case = every._replace(concurrency=at_once)
    largest = load if wanted.load is None else max(choice.load, load)
    waiting = _waiting(curve, wanted.targets, each, at_once / choice.copies)
    return Deployed(choice, case, predict_held(case, calibration), load, waiting, int(room), largest)


def _waiting(curve: Curve, targets: Targets, rate: float, at_once: float) -> float:
    """Seconds that random arrivals add to the first token of a unit that has so many requests in progress on average.

    Half of the requests may find fewer than these: of a share of them it may be less than nothing.
    """
    steady = float(np.interp(at_once, curve.at_once, curve.ttft))
    more = float(ttft_at(within(curve, targets), targets, rate).min()) - steady
    return more if targets.share is not None else max(0.0, more)


def _of_users(choice: Choice, wanted: Wanted, calibration: Calibration, load: float) -> Deployed | None:
    users, room = max(int(load), 1), int(within(choice.unit.curve, wanted.targets).at_once[-1])
    room = min(room, max(int(choice.carried.places), -(-users // choice.copies)))
    at_once = min(users, room * choice.copies)
    case = copied(choice.unit.case, choice.copies, at_once)
    times = predict_held(case, calibration)
    waiting = max(0.0, (users / at_once - 1) * times.latency.high)
    return Deployed(choice, case, times, users, waiting, room, max(choice.load, users))


def ranking(row: Deployed, wanted: Wanted) -> Key:
    """What deployments are ordered by: devices or dollars, then the load that they carry; or the load alone, then devices."""
    cost = wanted.cost(row.case, row.case.devices)
    return (-row.load, cost) if wanted.load is None else (cost, -row.most)
