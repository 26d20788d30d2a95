"""What one unit of a deployment does by the number of its requests in progress: `serve`'s own prediction, on arrays.

A unit is what is copied: one worker that prefills and decodes, or so many workers that prefill and so many that decode. Times are
those of the slow side of the prediction's interval, by which a deployment is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.calibration.serving_calibration import Calibration
from tscale.calibration.serving_case import Pool, ServingCase
from tscale.calibration.serving_deployed import OverCapacityError, cache_room
from tscale.errors import RequestError
from tscale.planning.deployment_arrays import Slow, slow_ends
from tscale.planning.queueing import Curve

MOST_ON_A_RANK: Final = 1024
"""Requests that an attention rank decodes at once, at the most: the most that vLLM's default of --max-num-seqs comes to."""
_EACH: Final = 64
"""Requests up to which a curve has a point for each number of them; from there on, each is a thirtieth more than the one before."""
_POINTS: Final = np.concatenate((np.arange(1, _EACH + 1), np.rint(_EACH * 1.03 ** np.arange(1, 1000)).astype(np.int64)))
"""All points that there may be, up to 10^14."""


class Unit(NamedTuple):
    """What is copied, and its curve at the slow side of the prediction. `memory`: whether memory ends the curve."""

    case: ServingCase
    curve: Curve
    memory: bool

    @property
    def devices(self) -> int:
        """Devices of a unit."""
        return self.case.devices


class Rejected(NamedTuple):
    """A deployment that is none, and why in a word."""

    case: ServingCase
    reason: str
    detail: str


def with_pools(case: ServingCase, prefill: Pool, decode: Pool) -> ServingCase:
    """The case on other pools; one pool for both where they are the same object."""
    return case._replace(prefill=prefill, decode=decode, disaggregated=prefill is not decode)


def copied(case: ServingCase, units: int, concurrency: int) -> ServingCase:
    """So many units, with so many requests in progress over all of them."""
    decode = case.decode._replace(workers=case.decode.workers * units)
    prefill = case.prefill._replace(workers=case.prefill.workers * units) if case.disaggregated else decode
    return case._replace(prefill=prefill, decode=decode, concurrency=concurrency)


def unit_of(
    case: ServingCase, calibration: Calibration, most: int | None = None, memory: float = 1.0
) -> Unit | Rejected:
    """The curve of one unit, as `units_of` has them."""
    return units_of([case], calibration, most, memory)[0]


def units_of(
    cases: Sequence[ServingCase], calibration: Calibration, most: int | None = None, memory: float = 1.0
) -> list[Unit | Rejected]:
    """The curves of units, up to what their memory holds, or to `most` requests; or why there is none.

    `memory`: what their room for caches is multiplied by, for whoever asks what more of it would change.
    """
    found: list[Any] = [_held(case, memory) for case in cases]
    fitting = [place for place, one in enumerate(found) if not isinstance(one, Rejected)]
    usual = [MOST_ON_A_RANK * _ranks(cases[place]) if most is None else most for place in fitting]
    loads = [_grid(min(found[place], asked)) for place, asked in zip(fitting, usual, strict=True)]
    ends = slow_ends([cases[place] for place in fitting], loads, calibration)
    for place, asked, at_once, slow in zip(fitting, usual, loads, ends, strict=True):
        found[place] = Unit(cases[place], _curve(cases[place], at_once, slow), found[place] <= asked)
    return found


def _ranks(case: ServingCase) -> int:
    return case.decode.layout.attention_data * case.decode.workers


def _held(case: ServingCase, memory: float) -> int | Rejected:
    """Requests that the memory of a unit holds, at least one; or why it holds none."""
    try:
        room, each = cache_room(case)
    except OverCapacityError as error:
        return Rejected(case, "memory", str(error))
    except RequestError as error:
        return Rejected(case, "divisibility", str(error))
    held = int(memory * room / each) * _ranks(case)
    return held or Rejected(case, "memory", "over capacity: the cache holds no request of this length")


@cache
def _grid(most: int) -> Any:
    """Numbers of requests up to so many: every one, and further on some."""
    return np.unique(np.minimum(_POINTS, most))


def _curve(case: ServingCase, at_once: Any, slow: Slow) -> Curve:
    """The curve of a unit. Where prompts come faster than they are taken in, requests wait for their first token until they are."""
    of = at_once.astype(np.float64)
    throughput, ttft = of / slow.latency, slow.ttft
    if case.disaggregated:
        throughput = np.minimum(throughput, slow.prompts_per_second)
        ttft = np.maximum(ttft, of / throughput - case.output * slow.tpot)
    return Curve(of, throughput, ttft, slow.tpot)
