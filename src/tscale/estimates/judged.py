"""The error of a prediction on published figures that it was not fitted to, in words and for programs."""

from __future__ import annotations

from tscale.catalogue.measured import Judged
from tscale.core.metric import Data, Figure
from tscale.core.units import COUNT, RATIO, SHARE


def error_text(one: Judged, of: str) -> str:
    """The median error, and of how many figures of what, in the words of all predictions.

    >>> error_text(Judged(of="hours", figures=33, median=0.341, p90=0.715, table="hours.yaml"), "published runs")
    'within 34% (median) of 33 published runs that it was not fitted to'
    """
    far = f"a factor of {one.median:.2g}" if one.unit == "factor" else f"{one.median:.2g}"
    if one.unit == "share":
        far = f"{one.median:.1%}" if one.median < _TENTH else f"{one.median:.0%}"
    return f"within {far} (median) of {one.figures} {of} that it was not fitted to"


_TENTH = 0.1


def error_data(one: Judged | None) -> Data:
    """The same for programs: `median_error` and `p90_error`, or the factors; None where no published figure says."""
    if one is None:
        return None
    name, unit = ("factor", RATIO) if one.unit == "factor" else ("error", SHARE)
    within = None if one.within is None else Figure(one.within, SHARE, "cited", one.table)
    return {
        "figures": Figure(one.figures, COUNT, "cited", one.table),
        f"median_{name}": Figure(one.median, unit, "cited", one.table),
        f"p90_{name}": Figure(one.p90, unit, "cited", one.table),
        **({} if within is None else {"within_range": within}),
    }
