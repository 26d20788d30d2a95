"""The deployments that carry a load within its targets on the fewest devices, or the most load on those that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from tscale.calibration.serving_case import ServingCase
from tscale.planning.best_first import Key, best_first
from tscale.planning.deployment_curves import Unit
from tscale.planning.deployment_loads import Carried, Targets, at_most, largest_rate, largest_users, units_for
from tscale.planning.queueing import Curve, Floats

Arrivals = Literal["rate", "users"]


class Wanted(NamedTuple):
    """What is looked for.

    `load`: requests a second, or users, that are to be carried; None for the most that `devices` carry. `price`: dollars an hour
    of a device, by the name of the chip, where deployments are ranked by dollars. `copies`: the numbers of copies that may be.
    """

    arrivals: Arrivals
    load: float | None
    devices: int | None
    targets: Targets
    price: dict[str, float] | None = None
    copies: tuple[int, ...] | None = None

    def cost(self, case: ServingCase, devices: int) -> float:
        """What devices of a case count for: one each, or what an hour of them costs."""
        return float(devices) if self.price is None else devices * self.price[case.hardware.name]

    def room(self, unit: Unit) -> float:
        """Copies of a unit that there are devices for."""
        return inf if self.devices is None else self.devices // unit.devices

    def allowed(self, unit: Unit, copies: int) -> int:
        """The fewest copies of a unit that may be, and are no fewer than so many; 0 where there are none."""
        few = copies if self.copies is None else min((n for n in self.copies if n >= copies), default=0)
        return few if few <= self.room(unit) else 0


class Choice(NamedTuple):
    """A unit, how many copies of it, and what each of them carries within the targets."""

    unit: Unit
    copies: int
    carried: Carried

    @property
    def devices(self) -> int:
        """All devices."""
        return self.unit.devices * self.copies

    @property
    def load(self) -> float:
        """The most that all copies carry within the targets."""
        return self.copies * self.carried.load


def largest(unit: Unit, wanted: Wanted) -> Carried | None:
    """The largest load of one unit within the targets."""
    find = largest_rate if wanted.arrivals == "rate" else largest_users
    return find(unit.curve, wanted.targets)


def chosen(units: Sequence[Unit], wanted: Wanted) -> Iterator[tuple[Key, Choice]]:
    """All choices with their keys, the best first; each unit is measured when no other can come before it."""
    bounds = sorted(zip(_bounds(units, wanted), range(len(units)), strict=True))
    possible = (((bound, -inf), units[place]) for bound, place in bounds if bound < inf)

    def exactly(unit: Unit) -> tuple[Key, Choice] | None:
        choice = _choice(unit, wanted)
        return None if choice is None else (_key(choice, wanted), choice)

    return best_first(possible, exactly)


def _choice(unit: Unit, wanted: Wanted) -> Choice | None:
    """The copies of a unit that carry the load, or all that the devices are enough for."""
    carried = largest(unit, wanted)
    if carried is None:
        return None
    copies = _copies(unit, wanted, carried.load)
    return Choice(unit, copies, carried) if copies else None


def _copies(unit: Unit, wanted: Wanted, load: float) -> int:
    """How many copies of a unit that carries so much; 0 where there are not as many devices, or they may not be so many."""
    if wanted.load is None:
        room = wanted.room(unit)
        return int(room) if wanted.copies is None else max((n for n in wanted.copies if n <= room), default=0)
    return wanted.allowed(unit, units_for(wanted.load, load))


def _key(choice: Choice, wanted: Wanted) -> Key:
    """What choices are ordered by: devices or dollars, then the load that they carry; or the load alone, then devices."""
    cost = wanted.cost(choice.unit.case, choice.devices)
    return (-choice.load, cost) if wanted.load is None else (cost, -choice.load)


def _bounds(units: Sequence[Unit], wanted: Wanted) -> list[float]:
    """Keys that the units' own are not below; infinite where a unit carries nothing."""
    curves = [unit.curve for unit in units]
    loads = (
        at_most(curves, wanted.targets) if wanted.arrivals == "rate" else [_users(curve, wanted) for curve in curves]
    )
    return [_bound(unit, wanted, load) for unit, load in zip(units, loads, strict=True)]


def _bound(unit: Unit, wanted: Wanted, most: float) -> float:
    """The same of one unit that carries no more than so much."""
    copies = _copies(unit, wanted, most) if most else 0
    if not copies:
        return inf
    return -copies * most if wanted.load is None else wanted.cost(unit.case, copies * unit.devices)


def _users(curve: Curve, wanted: Wanted) -> float:
    carried = largest_users(curve, wanted.targets)
    return 0.0 if carried is None else carried.load


class Miss(NamedTuple):
    """A unit that meets no targets with one request alone, and how many times over the targets it then is."""

    unit: Unit
    times: float


def nearest_miss(units: Sequence[Unit], targets: Targets) -> Miss | None:
    """Of units none of which meets the targets, the one that is closest to them."""

    def over(unit: Unit) -> float:
        return max(float(unit.curve.ttft[0]) / targets.ttft, float(unit.curve.tpot[0]) / targets.tpot)

    return min((Miss(unit, over(unit)) for unit in units), key=lambda miss: miss.times, default=None)


Answered = Callable[[Any], Floats]
"""Requests a second of so many in progress, at the slow side."""
_TRIED: Final = 255
"""Numbers of requests that are tried at once: those that the next halvings of what is left come to."""


def least_at_once(answered: Answered, rate: float, most: int) -> int | None:
    """The least number of requests in progress that are answered at a rate (Little's law); None where `most` do not come to it."""
    low, high = 0, most
    enough: dict[int, bool] = {}
    while high - low > 1 or most not in enough:
        middle = (low + high) // 2
        if middle not in enough:
            tried = [*_middles(low, high), most]
            enough |= zip(tried, (answered(np.array(tried)) >= rate).tolist(), strict=True)
            if not enough[most]:
                return None
        low, high = (low, middle) if enough.get(middle) else (middle, high)
    return high


def _middles(low: int, high: int) -> list[int]:
    """The middles of a span and of its halves in turn, as many as are tried at once."""
    found, spans = list[int](), [(low, high)]
    for first, last in spans:
        middle = (first + last) // 2
        if middle > first and len(found) < _TRIED:
            found.append(middle)
            spans += [(first, middle), (middle, last)]
    return found
