"""How far predictions are off runs of other sources than those that constants were fitted to: what intervals of the next source rest on.

Runs of one page are wrong alike, by its engine's release, its settings and how its harness sends requests, so that they say less of
the next page than of each other: each is one draw (`ends_of_groups`), and releases that a page states are one. They are those of
configs/measured/serving_others.csv, and the source that constants are fitted to, whose models are left out one by one.

What these tables state is throughput of many requests at once, or latency, which are one over the other. Times per output token and to the
first token are taken to be off as much more or less as they are of runs of the fitted source whose model is left out.

Ends were chosen among those of `interval` by the interval score (Gneiting and Raftery 2007, equation 43) of latency of each page by ends of
the others, each page weighing as much: 1.37 by `ends_of_groups`, 1.53 by `ends_of_another`, 1.83 by `ends_of_all`; they hold 75% to 98% of a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log
from pathlib import Path
from statistics import median
from typing import Any, Final

from tscale.calibration.interval import SHARE, ends_of_groups
from tscale.calibration.measured_tables import read_table
from tscale.calibration.serving_calibration import Calibration
from tscale.calibration.serving_rows import judged_by
from tscale.catalogue.models import configs

FILE: Final = "measured/serving_others.csv"


def ratios_of_others(calibration: Calibration, path: Path | None = None) -> Iterator[tuple[str, float]]:
    """The source of each run, and its latency as measured over as predicted; of runs of which throughput was measured, one over its."""
    path = configs() / FILE if path is None else path
    _, rows = read_table(path.read_text(encoding="utf-8"), path.name)
    for row in rows:
        of = {one.what: one.measured / one.middle for one in judged_by(row, calibration)}
        ratio = of["latency"] if "latency" in of else 1 / of["throughput"]
        yield row["source"] or "", ratio


def page_of(source: str) -> str:
    """The page that states runs of a source, of which releases are apart.

    >>> page_of("overview-1.0")
    'overview'
    """
    return source.partition("-")[0]


def others_data(found: Sequence[tuple[str, float]], own: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """What a calibration's file says of other sources.

    Args:
        found: the source and the ratio of each of their runs.
        own: ratios of the fitted source's runs by figure, each without its model.
    """
    ratios = [*(ratio for _, ratio in found), *own["latency"]]
    low, high = ends_of_groups(ratios, [*(page_of(source) for source, _ in found), *("" for _ in own["latency"])])
    reach = {figure: _reach(of) / _reach(own["latency"]) for figure, of in own.items()}
    ends = {figure: {"low": round(low**far, 4), "high": round(high**far, 4)} for figure, far in reach.items()}
    return {
        "file": f"configs/{FILE}",
        "sources": sorted({source for source, _ in found}),
        "runs": len(found),
        "median": round(median(abs(1 / ratio - 1) for _, ratio in found), 4),
        "ends": ends,
    }


def _reach(ratios: Sequence[float]) -> float:
    """What 80% of ratios are within, in logarithms, on either side."""
    logs = sorted(abs(log(ratio)) for ratio in ratios)
    return logs[int(SHARE * (len(logs) - 1))]
