"""The specs of a sweep's rows: sizes of the axes put into them, and those that validation refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tscale.core.tracing import TracedInt
from tscale.errors import TscaleError
from tscale.models.made import mapped
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec, build
from tscale.sweeping.job import Job
from tscale.sweeping.path import Places

_BY_LAYER: Final = frozenset({"layers", "unique_layers", "encoder.layers"})
"""Sizes that are counted through one by one where blocks say in which layers they stand."""


def with_sizes(spec: ModelSpec, job: Job, numbers: Mapping[str, Any]) -> tuple[ModelSpec, list[Any]]:
    """A spec on numbers that remember, and on those of the axes where they are sizes; and those that are none, which count as they are."""
    from tscale.models.resolve import full_path

    wanted = {full_path(axis.key, spec): numbers[axis.name] for axis in job.axes if axis.name in numbers and axis.key}
    found: set[str] = set()
    layered = any(block.on is not None for block in (*spec.mixers, *spec.feed_forwards))

    def change(path: str, leaf: Any) -> Any:
        size = wanted.get(path)
        by_layer = path in _BY_LAYER and (layered or spec.weights is not None)
        if size is None or not isinstance(leaf, TracedInt) or by_layer or path == "context":
            return leaf  # a context cuts the lengths of training
        found.add(path)
        return size

    sized: ModelSpec = mapped(traced(spec), change)
    return sized, [number for path, number in wanted.items() if path not in found]


def without_memory(spec: ModelSpec) -> ModelSpec:
    """The same spec on plain numbers where they remember."""
    plain: ModelSpec = mapped(spec, lambda _, leaf: int(leaf) if isinstance(leaf, TracedInt) else leaf)
    return plain


def unchecked(job: Job, places: Places) -> ModelSpec | None:
    """The spec of a row that validation refused, as it would be; None where its fields alone are wrong."""
    from tscale.models.resolve import with_changes

    given: Any = job.given(places)
    try:
        base = _without_changes(given)
        spec = build(ModelSpec, with_changes(base, tuple(given.get("set") or ())))
    except (TscaleError, TypeError, ValueError, AttributeError, KeyError):
        return None
    return spec if isinstance(spec, ModelSpec) else None


def _without_changes(given: Mapping[str, Any]) -> Any:
    from tscale.analysis.found import spec_of

    return spec_of(
        given["model"], (), given.get("assume"), strict=bool(given.get("strict")), families=given.get("families")
    )
