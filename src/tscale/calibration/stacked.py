"""Steps of many runs at once: what they give their devices to do as arrays, one for each structure.

`tscale.core.costs.step_prediction.predict` takes sums, products and maxima alone, so that arrays go through it as numbers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tscale.core.costs.step_prediction import TrainingConstants, predict
from tscale.core.costs.step_work import StepWork


class Stacked(NamedTuple):
    """Runs of one structure: their places among all, and their work as arrays."""

    places: Any
    work: StepWork


def stacked(works: Sequence[StepWork]) -> tuple[Stacked, ...]:
    """Runs by structure: as many kinds of stage, with as many products of each kind."""
    alike: dict[object, list[int]] = {}
    for place, work in enumerate(works):
        alike.setdefault(_structure(work), []).append(place)
    return tuple(Stacked(np.array(places), _joined([works[place] for place in places])) for places in alike.values())


def seconds_of(runs: Sequence[Stacked], constants: TrainingConstants) -> Any:
    """Predicted seconds of all runs, in their order."""
    found = np.empty(sum(len(one.places) for one in runs))
    for one in runs:
        found[one.places] = predict(one.work, constants).seconds
    return found


def _structure(part: Any) -> object:
    """What has to be equal for arrays to be made: lengths of tuples and what is true or false."""
    if isinstance(part, tuple):
        return tuple(_structure(item) for item in part)
    return part if isinstance(part, bool) else None


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, bool):
        return first
    if not isinstance(first, tuple):
        return np.array(parts, dtype=float)
    items = [_joined([part[place] for part in parts]) for place in range(len(first))]
    return type(first)(*items) if hasattr(first, "_fields") else tuple(items)
