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


def mean_ttft(curve: Curve, rate: float) -> Floats:
    """Mean seconds to the first token of requests that arrive at `rate` a second, by how many places there are (as `at_once`).

    It is infinite where so many places do not keep up with the rate.

    Source: chandy1975, for the flow-equivalent server; Little's law for the mean wait.
    """
    used, states = rate / curve.throughput, np.diff(curve.at_once, prepend=0.0)
    logs = np.concatenate(([0.0], np.cumsum(states * np.log(used))))
    each = np.exp(logs - logs.max())
    below = each[:-1] * _geometric(used, states)
    with np.errstate(divide="ignore", invalid="ignore"):
        queued = each[1:] / (1 - used)
        waited = queued / (1 - used) / curve.throughput
        total = np.cumsum(below * curve.ttft) + queued * curve.ttft + waited
        found: Floats = total / (np.cumsum(below) + queued)
    found[~(used < 1) | ~np.isfinite(found)] = np.inf
    return found


def _geometric(ratio: Floats, terms: Floats) -> Floats:
    """1 + r + r² + ... of so many terms."""
    apart = np.where(ratio == 1, 2.0, ratio)
    return np.where(ratio == 1, terms, np.expm1(terms * np.log(apart)) / (apart - 1))
