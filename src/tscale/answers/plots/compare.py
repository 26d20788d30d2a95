"""The picture of `tscale compare`: parameters by year."""

from __future__ import annotations

from collections.abc import Sequence

from tscale.answers.compare import answers_of
from tscale.core.metric import Figure
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import PARAMETERS, YEAR
from tscale.errors import NotPublishedError
from tscale.models.spec import Spec


def compare_plot(specs: Sequence[Spec], context: int | None) -> Plot:
    """Parameters by year on a logarithmic axis: all that a model has, and those active a token where they are fewer.

    Raises `NotPublishedError` where no model has both a year and a size.
    """
    told = answers_of(specs, context)
    labels = [spec.label for spec in specs]
    rows = list(zip(labels, told["year"], told["params"], told["active_params"], strict=True))
    known = [
        (label, year.value, size.value, active.value if isinstance(active, Figure) else size.value)
        for label, year, size, active in rows
        if isinstance(year, Figure) and isinstance(size, Figure)
    ]
    left = [label for label, year, size, _ in rows if not (isinstance(year, Figure) and isinstance(size, Figure))]
    if not known:
        raise NotPublishedError("--plot: no model here has both a year and a size that is known")
    sizes = Series("parameters", tuple(Point(year, size, label) for label, year, size, _ in known), "points")
    fewer = tuple(Point(year, active) for _, year, size, active in known if active < size)
    return Plot(
        "Parameters by year",
        Axis("year", YEAR, log=False),
        Axis("parameters", PARAMETERS),
        (sizes, Series("active per token", fewer, "points")) if fewer else (sizes._replace(name=""),),
        notes=(f"Not drawn, for its size or year is not known: {', '.join(left)}.",) if left else (),
    )
