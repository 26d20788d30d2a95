"""The picture of `tscale compare`: one quantity by another, parameters by year where none is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tscale.answers.compare import answers_of
from tscale.core.metric import Figure, Missing
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import YEAR
from tscale.errors import NotPublishedError, field
from tscale.estimates.metrics import COMPARED
from tscale.models.spec import Spec

_NAMES: Final = {quantity.key: quantity.name for quantity in COMPARED}
_RATIO: Final = 8
"""From which ratio of the greatest to the least on an axis is logarithmic."""


def compare_plot(specs: Sequence[Spec], context: int | None, x: str = "year", y: str = "params") -> Plot:
    """A point a model; of parameters also those active per token, where they are fewer.

    `x` and `y`: keys of quantities that `compare` lists. Raises `NotPublishedError` where no model has both.
    """
    told = answers_of(specs, context)
    labels = [spec.label for spec in specs]
    known = [
        (label, across, up)
        for label, across, up in zip(labels, told[x], told[y], strict=True)
        if isinstance(across, Figure) and isinstance(up, Figure)
    ]
    drawn = {label for label, _, _ in known}
    left = [label for label in labels if label not in drawn]
    if not known:
        raise NotPublishedError(f"{field('plot')}: no model here has both {_called(x)} and {_called(y)} that are known")
    main = Series(_NAMES[y], tuple(Point(across.value, up.value, label) for label, across, up in known), "points")
    fewer = _active(told, x) if y == "params" else ()
    return Plot(
        f"{_NAMES[y][:1].upper()}{_NAMES[y][1:]} by {_NAMES[x]}",
        _axis(x, [across for _, across, _ in known]),
        _axis(y, [up for _, _, up in known], log=y == "params"),
        (main, Series("active per token", fewer, "points")) if fewer else (main._replace(name=""),),
        notes=(f"Not drawn, for its {_owned(y)} or {_owned(x)} is not known: {', '.join(left)}.",) if left else (),
    )


def _called(key: str) -> str:
    return {"year": "a year", "params": "a size"}.get(key, _NAMES[key])


def _owned(key: str) -> str:
    return "size" if key == "params" else _NAMES[key]


def _active(told: Mapping[str, Sequence[Figure | Missing | str]], x: str) -> tuple[Point, ...]:
    """Parameters active per token, of models where they are fewer than all."""
    return tuple(
        Point(across.value, active.value)
        for across, active, size in zip(told[x], told["active_params"], told["params"], strict=True)
        if isinstance(across, Figure)
        and isinstance(active, Figure)
        and isinstance(size, Figure)
        and active.value < size.value
    )


def _axis(key: str, figures: Sequence[Figure], *, log: bool = False) -> Axis:
    """An axis; logarithmic where its figures differ by much, but never of years."""
    values = [figure.value for figure in figures]
    wide = min(values) > 0 and max(values) >= _RATIO * min(values)
    unit = figures[0].unit
    return Axis(_NAMES[key], unit, log=unit is not YEAR and (log or wide))
