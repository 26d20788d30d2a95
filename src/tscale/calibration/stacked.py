"""Steps of many runs at once: what they give their devices to do as arrays.

`tscale.core.costs.step_prediction.predict` takes sums, products and maxima alone, so that arrays go through it as numbers do. Where
runs have not as many kinds of stage, or products of a kind, the others have some of nothing more, which change no sum and no maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from tscale.core.costs.step_prediction import TrainingConstants, predict
from tscale.core.costs.step_work import StepWork


class Stacked(NamedTuple):
    """Runs of one width of numbers: their places among all, and their work as arrays."""

    places: Any
    work: StepWork


def stacked(works: Sequence[StepWork]) -> tuple[Stacked, ...]:
    """Runs by whether their products are in 8 bits."""
    alike: dict[bool, list[int]] = {}
    for place, work in enumerate(works):
        alike.setdefault(work.eight_bit, []).append(place)
    return tuple(Stacked(np.array(places), _joined([works[place] for place in places])) for places in alike.values())


def seconds_of(runs: Sequence[Stacked], constants: Sequence[TrainingConstants], of_run: Any) -> Any:
    """Predicted seconds of all runs, in their order; `of_run`: for each the place of the constants that it is predicted with."""
    each = {
        field.name: np.array([getattr(one, field.name) for one in constants]) for field in fields(TrainingConstants)
    }
    found = np.empty(len(of_run))
    for one in runs:
        own: Any = {name: values[of_run[one.places]] for name, values in each.items()}
        found[one.places] = predict(one.work, TrainingConstants(**own)).seconds
    return found


def _joined(parts: Sequence[Any]) -> Any:
    """What is true or false of all as it is, numbers as an array, and tuples part by part, as many as the longest has."""
    longest = max(parts, key=len) if isinstance(parts[0], tuple) else parts[0]
    if isinstance(longest, bool):
        return longest
    if not isinstance(longest, tuple):
        return np.array(parts, dtype=float)
    items = [
        _joined([part[place] if place < len(part) else _nothing(of) for part in parts])
        for place, of in enumerate(longest)
    ]
    return type(longest)(*items) if hasattr(longest, "_fields") else tuple(items)


def _nothing(like: Any) -> Any:
    """A stage or a product that takes no time."""
    if not isinstance(like, tuple):
        return 0.0
    return type(like)(*map(_nothing, like)) if hasattr(like, "_fields") else ()
