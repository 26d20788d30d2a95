"""`tscale calibrate`: predictions of serving moved to one's own runs, and what that changes of their error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tscale.answers.accuracy import MOST_BYTES
from tscale.calibration.measured_kinds import kind_of
from tscale.calibration.measured_tables import read_table
from tscale.calibration.serving_own import Own, own_calibration
from tscale.core.metric import Column, Data, Figure, Report
from tscale.core.units import SHARE
from tscale.core.view import view
from tscale.errors import SpecError, TscaleError, called
from tscale.models.yaml_file import read_text

_NAMES: Final = {"tpot": "time per output token", "ttft": "time to first token"}
_MOST_RUNS: Final = 1000


class Calibrated(NamedTuple):
    """One's own runs and the calibration that they come to."""

    name: str
    runs: int
    own: Own


def calibrated(path: str) -> Calibrated:
    """The calibration of a table of runs. Raises `TscaleError` for one that is not of serving, or a row that is not answered."""
    name = "standard input" if path == "-" else called(path)
    columns, rows = read_table(read_text(path, MOST_BYTES), name)
    kind, _ = kind_of(columns, name)
    if kind.name != "serving":
        raise SpecError(f"is a table of {kind.name}: calibrate takes measured runs of serving", where=name)
    if not rows:
        raise SpecError("holds a heading and no runs", where=name)
    if len(rows) > _MOST_RUNS:
        raise SpecError(f"has {len(rows):,} runs: calibrate takes up to {_MOST_RUNS:,}", where=name)
    for number, row in enumerate(rows, 1):
        _refuse_unanswered(row, f"{name}: run {number:,}")
    return Calibrated(name, len(rows), own_calibration(rows))


def _refuse_unanswered(row: Mapping[str, str], where: str) -> None:
    """Raises `SpecError` for a run that has no figures, or that cannot be on what it names."""
    from tscale.calibration.serving_cases import passes_of
    from tscale.calibration.serving_rows import measured_case

    try:
        passes_of(measured_case(row)[0])
    except TscaleError as error:
        raise SpecError(str(error), where=where) from None


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
    ]
    if written is not None:
        notes.insert(0, f"{written} is written: `tscale serve ... --calibration {written}` uses it.")
    title = f"{found.name}: predictions calibrated to {found.runs:,} measured runs"
    return Report(title, (view(title, columns, rows),), data, tuple(notes))


def _errors(own: Own, figure: str) -> dict[str, Data]:
    """The errors of a figure with the shipped calibration, and with one's own."""
    named = {"before": own.before[figure], "after": own.after[figure]}
    return {when: dict(zip(("median", "p90"), map(_share, errors), strict=True)) for when, errors in named.items()}


def _share(value: float) -> Figure:
    return Figure(value, SHARE)
