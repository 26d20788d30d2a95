"""Predictions of serving that are moved to one's own runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tscale.calibration.measured_kinds import kind_of
from tscale.calibration.measured_tables import read_table
from tscale.calibration.serving_own import Own, own_calibration
from tscale.errors import SpecError, TscaleError, called
from tscale.estimates.accuracy import MOST_BYTES
from tscale.models.yaml_file import read_text

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
    """Raises `SpecError` for a run that has no figures, that cannot be on what it names, or whose requests its cache does not hold."""
    from tscale.calibration.serving_calibration import check_capacity, shipped
    from tscale.calibration.serving_cases import passes_of
    from tscale.calibration.serving_rows import measured_case

    try:
        case = measured_case(row)[0]
        passes_of(case)
        check_capacity(case, shipped())
    except TscaleError as error:
        raise SpecError(str(error), where=where) from None
