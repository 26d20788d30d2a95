"""A calibration moved to one's own measured runs: deviations of their groups, drawn to those that are shipped.

The constants stay; runs of one's own stand next to the shipped ones of the same model, engine and generation of chips, and groups'
deviations are solved anew: one row moves its deployment a little, many rows move it all the way. What comes of it is a table of
groups, which is read without numpy. Making it needs numpy.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tscale.calibration.measured_tables import read_table
from tscale.calibration.serving_calibration import Calibration, constants_for, shipped
from tscale.calibration.serving_deployed import deployed_on
from tscale.calibration.serving_meanings import LEVELS, TERMS
from tscale.calibration.serving_physics import physics
from tscale.errors import SpecError, shown

if TYPE_CHECKING:
    from tscale.calibration.serving_fit import Deviations, Figure, Floats, Runs

FIGURES: Final[tuple[Figure, ...]] = ("tpot", "ttft")
_FOLDS: Final = 20
_COLUMNS: Final = ("level", "group", *(f"{figure}_{term}" for figure in FIGURES for term in TERMS))


class Own(NamedTuple):
    """Groups' deviations of one's own runs as a table, and errors of runs before and when each was left out, by figure."""

    text: str
    before: Mapping[str, tuple[float, float]]
    """Median and 90th percentile of |predicted/measured - 1| with the shipped calibration."""
    after: Mapping[str, tuple[float, float]]
    """The same where deviations are solved without the run that is judged."""


def own_calibration(rows: Sequence[Mapping[str, str]]) -> Own:
    """The calibration of one's own runs. Raises `TscaleError` for a row that is not answered; needs numpy."""
    from tscale.calibration.fit_serving import of_rows, table
    from tscale.calibration.serving_fit import deviations

    count = len(rows)
    models = {key["model"] for key in of_rows(rows).keys}
    near = [row for row, keys in zip(table(), of_rows(table()).keys, strict=True) if keys["model"] in models]
    runs = of_rows([*rows, *near])
    seconds = _by_formula(runs)
    everything = runs.measured["tpot"] > 0
    found = {figure: deviations(runs, figure, seconds[figure], everything) for figure in FIGURES}
    return Own(
        _text(found, runs), _errors(runs, seconds, count, leave=False), _errors(runs, seconds, count, leave=True)
    )


def _by_formula(runs: Runs) -> dict[Figure, Floats]:
    """Seconds of runs by the shipped constants alone."""
    import numpy as np

    found = []
    for case in runs.cases:
        structure = deployed_on(case, case.decode.layout).structure
        found.append(physics(case, structure, constants_for(shipped(), case)))
    return {"tpot": np.array([one.tpot for one in found]), "ttft": np.array([one.ttft for one in found])}


def _errors(runs: Runs, seconds: dict[Figure, Floats], count: int, *, leave: bool) -> dict[str, tuple[float, float]]:
    """Errors of the first `count` runs: with none of them known, or all but the fold of the one that is judged.

    Of a few runs each is a fold of its own; the time that many take grows with the folds.
    """
    import numpy as np

    from tscale.calibration.serving_fit import deviations, with_deviations

    said: dict[str, tuple[float, float]] = {}
    place = np.arange(len(runs.cases))
    own = place < count
    fold = place % (min(count, _FOLDS) if leave else 1)
    for figure in FIGURES:
        wrong = np.zeros(count)
        for number in np.unique(fold[own]):
            out = own & (fold == number)
            there = with_deviations(runs, seconds[figure], deviations(runs, figure, seconds[figure], ~out))
            wrong[out[:count]] = np.abs(there[out] / runs.measured[figure][out] - 1)
        said[figure] = float(np.median(wrong)), float(np.quantile(wrong, 0.9))
    return said


def _text(found: Mapping[Figure, Deviations], runs: Runs) -> str:
    text = io.StringIO()
    text.write("# Deviations of one's own runs in logarithms, over the constants of calibration serving.\n")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(_COLUMNS)
    groups = {item for keys in runs.keys for item in keys.items()}
    for level, key in sorted(groups, key=lambda item: (LEVELS.index(item[0]), item[1])):
        terms = [f"{value:.4f}" for figure in FIGURES for value in found[figure][level, key]]
        out.writerow([level, key, *terms])
    return text.getvalue()


def with_groups(calibration: Calibration, text: str, where: str) -> Calibration:
    """A calibration with the deviations of a table in place of its own. Raises `SpecError` where it is no such table."""
    columns, rows = read_table(text, where)
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        raise SpecError(f"no column {missing[0]}: `tscale calibrate RUNS.csv -o FILE` makes such a table", where=where)
    found = dict(calibration.deviations)
    for number, row in enumerate(rows, 1):
        if row["level"] not in LEVELS:
            raise SpecError(
                f"level {shown(str(row['level']))} is none of {', '.join(LEVELS)}", where=f"{where}: row {number:,}"
            )
        terms = [
            tuple(_number(row, f"{figure}_{term}", f"{where}: row {number:,}") for term in TERMS) for figure in FIGURES
        ]
        found[row["level"], row["group"]] = (terms[0], terms[1])
    own = frozenset(str(row["group"]) for row in rows if row["level"] == LEVELS[0])
    return calibration._replace(name=where, deviations=found, own=own)


def _number(row: Mapping[str, str | None], column: str, where: str) -> float:
    text = row.get(column) or ""
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not -10 <= found <= 10:
        raise SpecError(f"column {column}: write a number from -10 to 10, not {shown(text)}", where=where)
    return found
