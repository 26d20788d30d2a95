"""A table of measured runs beside what is predicted of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Final, NamedTuple

from tscale.calibration.measured_kinds import Kind, kind_of
from tscale.calibration.measured_tables import read_table
from tscale.calibration.rows import Judged, What
from tscale.core.metric import Data, Figure
from tscale.core.units import BYTES, COUNT, SECONDS, SHARE, TOKENS_PER_SECOND, Unit
from tscale.errors import SpecError, TscaleError, called
from tscale.models.yaml_file import read_text

MOST_BYTES: Final = 32 * 2**20


class Row(NamedTuple):
    """A row of the table: its number among the rows, from 1, what was judged of it, or why it was not."""

    number: int
    cells: Mapping[str, str]
    judged: tuple[Judged, ...]
    refused: str = ""


class Accuracy(NamedTuple):
    """A table of measured runs, judged row by row."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    unread: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def judged(self) -> list[tuple[Row, Judged]]:
        """Every figure that was judged, with its row."""
        return [(row, one) for row in self.rows for one in row.judged]

    @property
    def refused(self) -> list[Row]:
        """The rows that no prediction was made of."""
        return [row for row in self.rows if not row.judged]


class Errors(NamedTuple):
    """What predictions were off by: median, 90th percentile and mean of |predicted/measured - 1|, and the share in the interval."""

    figures: int
    median: float
    p90: float
    mean: float
    coverage: float
    bound_broken: int
    coverage_of_others: float | None
    """The share in the interval of other sources than the fitted one; None where there is no other."""

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> Errors:
        """The errors of some figures, at least one."""
        errors = sorted(one.error for one in judged)
        others = [one.covered_by_others for one in judged if one.covered_by_others is not None]
        at = 0.9 * (len(errors) - 1)
        below, above = errors[int(at)], errors[min(int(at) + 1, len(errors) - 1)]
        return cls(
            len(errors),
            median(errors),
            below + (at - int(at)) * (above - below),
            fmean(errors),
            fmean(one.covered for one in judged),
            sum(one.bound_broken for one in judged),
            fmean(others) if others else None,
        )

    def data(self) -> dict[str, Data]:
        """For programs, errors as fractions."""
        others = self.coverage_of_others
        return {
            "figures": Figure(self.figures, COUNT),
            "median": Figure(self.median, SHARE),
            "p90": Figure(self.p90, SHARE),
            "mean": Figure(self.mean, SHARE),
            "coverage": Figure(self.coverage, SHARE),
            "bound_broken": Figure(self.bound_broken, COUNT),
            **({} if others is None else {"coverage_of_other_sources": Figure(others, SHARE)}),
        }


def accuracy_of(path: str) -> Accuracy:
    """A CSV of measured runs, or that on standard input for `-`, judged. Raises `SpecError` where it is no such table, or no run is predicted."""
    name = "standard input" if path == "-" else called(path)
    return judge_table(read_text(path, MOST_BYTES, "a table of runs is smaller"), name)


def judge_table(text: str, name: str) -> Accuracy:
    """The rows of a table, each judged or refused with a reason. Raises `SpecError`."""
    columns, rows = read_table(text, name)
    kind, unread = kind_of(columns, name)
    if not rows:
        raise SpecError("holds a heading and no runs", where=name)
    judge = kind.judge()
    found = []
    for number, row in enumerate(rows, 1):
        try:
            found.append(Row(number, row, tuple(judge(row))))
        except TscaleError as error:
            found.append(Row(number, row, (), str(error)))
    if not any(row.judged for row in found):
        raise SpecError(f"none of its runs is predicted; run 1 of {len(found):,}: {found[0].refused}", where=name)
    return Accuracy(name, kind, columns, unread, tuple(found))


def unit_of(what: What) -> Unit:
    """The unit of a figure."""
    return BYTES if what == "memory" else TOKENS_PER_SECOND if what == "throughput" else SECONDS


def with_predictions(found: Accuracy) -> str:
    """The table as CSV, with the prediction of each row behind its own columns: low, middle, high and bound of each figure."""
    import csv
    import io

    whats = tuple(dict.fromkeys(one.what for _, one in found.judged))
    heads = [f"{what}_{name}" for what in whats for name in ("measured", "low", "predicted", "high", "bound")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*found.columns, *heads, "refused"])
    for row in found.rows:
        of = {one.what: one for one in row.judged}
        cells: list[str] = []
        for what in whats:
            one = of.get(what)
            values = (None,) * 5 if one is None else (one.measured, one.low, one.middle, one.high, one.bound)
            cells += ["" if value is None else f"{value:.6g}" for value in values]
        writer.writerow([*(row.cells[name] for name in found.columns), *cells, row.refused])
    return out.getvalue()
