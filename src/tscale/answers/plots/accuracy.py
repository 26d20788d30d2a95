"""The picture of `tscale accuracy`: what was measured against what is predicted, a point a run."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.core.plot import Axis, Plot, Point, Series
from tscale.estimates.accuracy import Accuracy, unit_of


def accuracy_plots(found: Accuracy) -> Iterator[Plot]:
    """One plot for each figure: runs by measured and predicted value, and the line where both are equal."""
    judged = found.judged
    for what in dict.fromkeys(one.what for _, one in judged):
        ones = [one for _, one in judged if one.what == what]
        unit = unit_of(what)
        ends = [end(value for one in ones for value in (one.measured, one.middle)) for end in (min, max)]
        yield Plot(
            f"{found.name}: {what} of {len(ones):,} runs",
            Axis("measured", unit),
            Axis("predicted", unit),
            (
                Series("as measured", tuple(Point(end, end) for end in ends), quiet=True),
                Series("runs", tuple(Point(one.measured, one.middle) for one in ones), "points"),
            ),
        )
