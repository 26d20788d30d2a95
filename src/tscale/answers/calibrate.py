"""`tscale calibrate`: predictions of serving moved to one's own runs, and what that changes of their error."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tscale.calibration.serving_cases import DRAWN_NOTE
from tscale.calibration.serving_own import Own
from tscale.core.metric import Column, Data, Figure, Report
from tscale.core.units import SHARE
from tscale.core.view import view
from tscale.estimates.calibrate import Calibrated

_NAMES: Final = {"tpot": "time per output token", "ttft": "time to first token"}


def calibrate_report(found: Calibrated, written: Path | None) -> Report:
    """The errors of the runs with the shipped calibration, and with their own, each left out where it is judged."""
    columns = (
        Column("error of", "figure", numeric=False),
        Column("median, shipped", "median_before", of="before.median"),
        Column("p90, shipped", "p90_before", of="before.p90"),
        Column("median, own", "median_after", of="after.median"),
        Column("p90, own", "p90_after", of="after.p90"),
    )
    errors = {figure: _errors(found.own, figure) for figure in _NAMES}
    data: dict[str, Data] = {"runs": found.runs, "file": None if written is None else str(written), **errors}
    rows = [{"figure": name, **errors[figure]} for figure, name in _NAMES.items()]
    notes = [
        "Errors are |predicted/measured - 1|; with the own calibration, each run is judged by one that was made without it.",
        "Nothing leaves this machine: the calibration is a table of deviations by model, build, kind and deployment.",
        DRAWN_NOTE,
    ]
    if written is not None:
        notes.insert(0, f"{written} is written: `tscale serve ... --calibration {written}` uses it.")
    title = f"{found.name}: predictions calibrated to {found.runs:,} measured runs"
    return Report(title, (view(title, columns, rows),), data, tuple(notes))


def _errors(own: Own, figure: str) -> dict[str, Data]:
    """The errors of a figure with the shipped calibration, and with one's own."""
    named = {"before": own.before[figure], "after": own.after[figure]}
    return {
        when: {name: Figure(error, SHARE) for name, error in zip(("median", "p90"), errors, strict=True)}
        for when, errors in named.items()
    }
