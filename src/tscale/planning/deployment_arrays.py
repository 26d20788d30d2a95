"""Many deployments at once: `serve`'s own prediction on arrays of their degrees and of their requests in progress.

Deployments that the formula treats alike are the rows of one array, each with its numbers of requests as columns; what is the same in
all of them is a plain number. Deployments that differ in more than degrees and workers, in how tokens meet their experts, or that were
measured themselves, are apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tscale.calibration.serving_calibration import Calibration, predict_held
from tscale.calibration.serving_case import Pool, ServingCase
from tscale.calibration.serving_cases import is_grouped
from tscale.calibration.serving_deployed import worker_of
from tscale.calibration.serving_groups import keys_of
from tscale.core.costs.serving_work import ways_of
from tscale.planning.queueing import Floats

_POINTS: Final = 2**14
"""Points of an array, so that all that is made of it stays close to the processor."""


class Slow(NamedTuple):
    """The slow ends of a deployment's times, in seconds, by how many requests are in progress.

    `prompts_per_second`: what all devices that prefill take in.
    """

    tpot: Floats
    ttft: Floats
    latency: Floats
    prompts_per_second: float


def slow_ends(cases: Sequence[ServingCase], loads: Sequence[Any], calibration: Calibration) -> list[Slow]:
    """The slow ends of each case, at so many requests in progress of each; all are known to be held.

    Raises `RequestError` where a layout does not divide the model.
    """
    found: dict[int, Slow] = {}
    for places in _alike(cases, calibration):
        for block in _blocks(places, loads):
            found |= zip(
                block, _of_block([cases[n] for n in block], [loads[n] for n in block], calibration), strict=True
            )
    return [found[n] for n in range(len(cases))]


def _alike(cases: Sequence[ServingCase], calibration: Calibration) -> Iterator[list[int]]:
    """The places of cases that one pass over the formula answers."""
    found: dict[tuple[Any, ...], list[int]] = {}
    known: dict[tuple[int, ...], bool] = {}
    for place, case in enumerate(cases):
        others = tuple(map(id, case._replace(prefill=None, decode=None)))  # type: ignore[arg-type]
        if others not in known:
            known[others] = ("build", keys_of(case)["build"]) in calibration.deviations
        deployment = keys_of(case)["deployment"] if known[others] else ""
        measured = deployment if ("deployment", deployment) in calibration.deviations else ""
        key = others, _kind(case, case.prefill), _kind(case, case.decode), is_grouped(case), measured
        found.setdefault(key, []).append(place)
    yield from found.values()


def _kind(case: ServingCase, pool: Pool) -> tuple[bool, bool]:
    """What the formula branches on: whether attention has copies; if so, whether tokens are gathered for experts, else if these are spread."""
    layout = pool.layout
    if layout.attention_data > 1:
        return True, ways_of(worker_of(case, pool)).gathers
    return False, layout.expert > 1 and not case.disaggregated


def _blocks(places: list[int], loads: Sequence[Any]) -> Iterator[list[int]]:
    """Places whose arrays have no more than `_POINTS`, those of about as many loads together."""
    ordered = sorted(places, key=lambda place: len(loads[place]))
    while ordered:
        rows = max(_POINTS // len(loads[ordered[-1]]), 1)
        yield ordered[-rows:]
        del ordered[-rows:]


def _of_block(cases: Sequence[ServingCase], loads: Sequence[Any], calibration: Calibration) -> Iterator[Slow]:
    """The slow ends of cases that are alike; shorter rows of loads are filled up with their last."""
    at_once: Any = np.empty((len(loads), max(map(len, loads))))
    for row, one in zip(at_once, loads, strict=True):
        row[: len(one)], row[len(one) :] = one, one[-1]
    decode = _columns_of(cases, [case.decode for case in cases])
    prefill = _columns_of(cases, [case.prefill for case in cases]) if cases[0].disaggregated else decode
    times = predict_held(cases[0]._replace(prefill=prefill, decode=decode, concurrency=at_once), calibration)
    tpot, ttft, latency = (np.broadcast_to(one.high, at_once.shape) for one in (times.tpot, times.ttft, times.latency))
    prompts = np.broadcast_to(times.prompts_per_second, (len(cases), 1))
    for row, one in enumerate(loads):
        own = row, slice(len(one))
        yield Slow(tpot[own], ttft[own], latency[own], float(prompts[row, 0]))


def _columns_of(cases: Sequence[ServingCase], pools: Sequence[Pool]) -> Pool:
    """The pools of cases as one."""
    number = {pool: place for place, pool in enumerate(dict.fromkeys(pools))}
    if len(number) == 1:
        return pools[0]
    which = np.array([number[pool] for pool in pools])[:, None]
    workers = [worker_of(cases[0], pool) for pool in number]
    found: Pool = columns(list(number), which)
    return found._replace(model=columns(workers, which))


def columns(rows: Sequence[Any], which: Any) -> Any:
    """Tuples of numbers as one whose numbers are arrays, of the rows `which` says; what is the same in all stays as it is."""
    first = rows[0]
    if all(row == first for row in rows):
        return first
    if not isinstance(first, tuple):
        return np.array(rows)[which]
    parts = [columns(part, which) for part in zip(*rows, strict=True)]
    return first._make(parts) if hasattr(first, "_make") else tuple(parts)
