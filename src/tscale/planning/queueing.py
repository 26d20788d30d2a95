"""How long requests wait that arrive at random, by the flow-equivalent server of Chandy, Herzog and Woo (1975).

A unit that answers X(n) requests a second with n of them in progress stands for a server of just that rate. With Poisson arrivals at
rate R and room for B requests, those that come later waiting their turn, the number in the system is a birth-death process:

    p(n) is proportional to R^n / (X(1)·...·X(n)),  with X(n) = X(B) from B on

so that what waits is a geometric tail of ratio R/X(B). It is exact where a request's work is exponentially distributed; of
answers that are all as long, requests wait less. Little's law gives the mean wait. Users of a closed loop without pauses
need no such thing: U of them in B places wait U/X(B) less the time of a request.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SOURCE: Final = "chandy1975"
Floats = NDArray[np.float64]


class Curve(NamedTuple):
    """A unit by the number of its requests in progress: 1, 2, 3, ..., and further on some of them.

    `throughput`: requests a second; `ttft`: seconds to the first token of a request that finds no queue; `tpot`: seconds of
    an output token.
    """

    at_once: Floats
    throughput: Floats
    ttft: Floats
    tpot: Floats

    def upto(self, count: int) -> Curve:
        """The first points alone."""
        return Curve(*(values[:count] for values in self))


class _States(NamedTuple):
    """How likely a request finds a unit in each state, by how many places there are, up to a factor of that.

    `below`: at a point of the curve, which it then takes up; `queued`: where all places are taken. `used`: the rate over what all places
    answer.
    """

    below: Floats
    queued: Floats
    used: Floats


def _found(curve: Curve, rate: float) -> _States:
    used, states = rate / curve.throughput, np.diff(curve.at_once, prepend=0.0)
    logs = np.concatenate(([0.0], np.cumsum(states * np.log(used))))
    each = np.exp(logs - logs.max())
    with np.errstate(divide="ignore", invalid="ignore"):
        return _States(each[:-1] * _geometric(used, states), each[1:] / (1 - used), used)


def mean_ttft(curve: Curve, rate: float) -> Floats:
    """Mean seconds to the first token of requests that arrive at `rate` a second, by how many places there are (as `at_once`).

    It is infinite where so many places do not keep up with the rate.

    Source: chandy1975, for the flow-equivalent server; Little's law for the mean wait.
    """
    below, queued, used = _found(curve, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        waited = queued / (1 - used) / curve.throughput
        total = np.cumsum(below * curve.ttft) + queued * curve.ttft + waited
        found: Floats = total / (np.cumsum(below) + queued)
    found[~(used < 1) | ~np.isfinite(found)] = np.inf
    return found


def ttft_within(curve: Curve, rate: float, share: float) -> Floats:
    """Seconds to the first token that so large a share of requests stay within, which arrive at `rate` a second, by how many places.

    A request that finds all places taken waits for as many to end as wait before it and one more, each after an exponentially
    distributed time of the rate X(B): as the number that wait is geometric, its wait is exponential, of the rate X(B) - R. Infinite
    where so many places do not keep up.

    Args:
        curve: the unit, by its requests in progress.
        rate: requests a second.
        share: of the requests, above 0 and below 1.

    Source: chandy1975, for the flow-equivalent server; the wait of one that waits is that of M/M/c (Erlang 1917).

    Example:
        >>> one = Curve(*(np.array([value]) for value in (1.0, 1.0, 0.25, 0.1)))
        >>> float(ttft_within(one, 0.5, 0.4)[0])  # of M/M/1 half do not wait
        0.25
    """
    below, queued, used = _found(curve, rate)
    first, reached = np.maximum.accumulate(curve.ttft), np.cumsum(below)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        total = reached + queued
        at_once = np.minimum(np.searchsorted(reached, share * total), len(first) - 1)
        waits = np.log(queued / total / (1 - share)) / (curve.throughput - rate)
        places = np.arange(len(first))
        found: Floats = np.where(share * total <= reached, first[np.minimum(at_once, places)], first + waits)
    found[~(used < 1) | ~np.isfinite(found)] = np.inf
    return found


def _geometric(ratio: Floats, terms: Floats) -> Floats:
    """1 + r + r² + ... of so many terms."""
    apart = np.where(ratio == 1, 2.0, ratio)
    return np.where(ratio == 1, terms, np.expm1(terms * np.log(apart)) / (apart - 1))
