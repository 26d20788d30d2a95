"""The picture of `tscale plan --train`: step time against memory of the layouts that fit, and the front of them."""

from __future__ import annotations

from typing import Final

from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import BYTES, SECONDS
from tscale.errors import NotPublishedError
from tscale.estimates.plan.planned import Planned, search_of
from tscale.estimates.plan.search import pareto

_MOST_POINTS: Final = 400


def layouts_plot(planned: Planned) -> Plot:
    """Seconds of a step by bytes of a device. Raises `TscaleError` where no layout fits."""
    if not planned.best:
        raise NotPublishedError("no layout fits, so that there is nothing to draw")
    first = planned.best[0]
    search = search_of(planned, first)
    found = search.found
    every = max(found.size // _MOST_POINTS, 1)
    cloud = tuple(Point(float(found.seconds[row]), int(found.total[row])) for row in range(0, found.size, every))
    front = tuple(Point(seconds, size) for _, seconds, size in pareto(search))
    series = (Series("layouts that fit", cloud, "points", quiet=True), Series("none is faster in less", front))
    title = (
        f"Layouts of {planned.subject.spec.label} on {first.gpus:,} × {first.hardware.label}: step time against memory"
    )
    return Plot(title, Axis("step time", SECONDS), Axis("memory of a device", BYTES, log=False), series)
