"""`tscale accuracy`: how far predictions are from a table of measured runs, by group, and the rows that are furthest off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Final, NamedTuple

from tscale.calibration.measured_kinds import Kind, kind_of
from tscale.calibration.measured_tables import read_table
from tscale.calibration.rows import Judged, What
from tscale.core.metric import Column, Data, Figure, Report
from tscale.core.number_text import number_text
from tscale.core.units import BYTES, COUNT, SECONDS, SHARE, TOKENS, Unit
from tscale.core.view import Record, view
from tscale.errors import SpecError, TscaleError, called
from tscale.models.yaml_file import read_text

MOST_BYTES: Final = 32 * 2**20
_WORST: Final = 10
_LISTED: Final = 3
_WHAT: Final[Mapping[What, str]] = {
    "step": "step time",
    "tpot": "time per output token",
    "ttft": "time to first token",
    "latency": "request latency",
    "memory": "memory",
}


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

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> Errors:
        """The errors of some figures, at least one."""
        errors = sorted(one.error for one in judged)
        at = 0.9 * (len(errors) - 1)
        below, above = errors[int(at)], errors[min(int(at) + 1, len(errors) - 1)]
        return cls(
            len(errors),
            median(errors),
            below + (at - int(at)) * (above - below),
            fmean(errors),
            fmean(one.covered for one in judged),
            sum(one.bound_broken for one in judged),
        )

    def data(self) -> dict[str, Data]:
        """For programs, errors as fractions."""
        return {
            "figures": Figure(self.figures, COUNT),
            "median": Figure(self.median, SHARE),
            "p90": Figure(self.p90, SHARE),
            "mean": Figure(self.mean, SHARE),
            "coverage": Figure(self.coverage, SHARE),
            "bound_broken": Figure(self.bound_broken, COUNT),
        }


def accuracy_of(path: str) -> Accuracy:
    """A CSV of measured runs, or that on standard input for `-`, judged. Raises `SpecError` where it is no such table."""
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
    return Accuracy(name, kind, columns, unread, tuple(found))


def accuracy_report(found: Accuracy) -> Report:
    """The errors of a judged table: in all, by group, and the worst rows; exit code 3 where a bound was broken."""
    judged = found.judged
    whats = tuple(dict.fromkeys(one.what for _, one in judged))
    broken = sum(one.bound_broken for _, one in judged)
    answered = len(found.rows) - len(found.refused)
    overall: dict[str, dict[str, Data]] = {
        what: Errors.of([one for _, one in judged if one.what == what]).data() for what in whats
    }
    groups = list(_groups(judged))
    worst = sorted(judged, key=lambda pair: -pair[1].error)[:_WORST]
    title = f"{found.name}: predictions of {answered:,} measured runs{_medians(judged, whats)}"
    data: dict[str, Data] = {
        "kind": found.kind.name,
        "rows": Figure(len(found.rows), COUNT),
        "answered": Figure(answered, COUNT),
        "refused": Figure(len(found.refused), COUNT),
        "bound_broken": Figure(broken, COUNT),
        **overall,
        "groups": groups,
        "worst": [_worst_data(*pair) for pair in worst],
        "refusals": [{"row": row.number, "why": row.refused} for row in found.refused],
        "columns_left_out": list(found.unread),
    }
    rows = [{**errors, "what": _WHAT[what]} for what, errors in zip(whats, overall.values(), strict=True)]
    tables = [view(title, (Column("predicted", "what", numeric=False), *_ERRORS), rows, subject=found.name)]
    if judged:
        tables.append(view("", _GROUPS, groups, subject="groups", aside=True))
        tables.append(view("", _FURTHEST, map(_worst_row, worst), subject="worst", aside=True))
    return Report(title, tuple(tables), data, tuple(_notes(found)), exit_code=3 if broken else 0)


def _medians(judged: Sequence[tuple[Row, Judged]], whats: Sequence[What]) -> str:
    """The median error of each kind of figure."""
    errors = {what: Errors.of([one for _, one in judged if one.what == what]).median for what in whats}
    said = ", ".join(f"{_WHAT[what]} {number_text(error, 'percent')}" for what, error in errors.items())
    return f"; median error of {said}" if said else ""


def _stated(value: str) -> str:
    return value or "not stated"


_ERRORS: Final = (
    Column("figures", "figures"),
    Column("median error", "median"),
    Column("p90", "p90"),
    Column("mean", "mean", drop=2),
    Column("in interval", "coverage"),
    Column("bounds broken", "bound_broken", drop=1),
)


def _groups(judged: Sequence[tuple[Row, Judged]]) -> Iterator[Record]:
    """The figures by what they are of, one key after the other; a key with one value says nothing."""
    for what in dict.fromkeys(one.what for _, one in judged):
        ones = [one for _, one in judged if one.what == what]
        for key in dict.fromkeys(key for one in ones for key in one.groups):
            by_value: dict[str, list[Judged]] = {}
            for one in ones:
                by_value.setdefault(one.groups.get(key, ""), []).append(one)
            for value, those in sorted(by_value.items(), key=lambda item: (-len(item[1]), item[0])):
                yield {"what": what, "group": key, "value": value, **Errors.of(those).data()}


_GROUPS: Final = (
    Column("by", "group", numeric=False),
    Column("", "value", numeric=False, wraps=16, read=_stated),
    Column("of", "what", numeric=False, drop=3),
    *_ERRORS,
)


def unit_of(what: What) -> Unit:
    """The unit of a figure."""
    return BYTES if what == "memory" else SECONDS


def _unit(one: Judged) -> Unit:
    """That of one figure: of memory, the longest context is in tokens."""
    return TOKENS if one.groups.get("what") == "longest_context" else unit_of(one.what)


_FURTHEST: Final = (
    Column("furthest off", "row", numeric=False),
    Column("run", "run", numeric=False, wraps=16),
    Column("of", "what", numeric=False, drop=2),
    Column("measured", "measured"),
    Column("predicted", "middle"),
    Column("low", "low", drop=1),
    Column("high", "high", drop=1),
    Column("error", "error"),
)


def _worst_row(pair: tuple[Row, Judged]) -> Record:
    """What people read of a row that is far off: its number, and what ran where."""
    row, one = pair
    run = ", ".join(one.groups[key] for key in ("model", "chip") if key in one.groups)
    return {**_worst_data(row, one), "row": f"row {row.number:,}", "run": run, "what": one.what}


def _worst_data(row: Row, one: Judged) -> Record:
    unit = _unit(one)
    return {
        "row": row.number,
        "what": one.what,
        "measured": Figure(one.measured, unit, "measured"),
        "low": Figure(one.low, unit, "predicted"),
        "middle": Figure(one.middle, unit, "predicted"),
        "high": Figure(one.high, unit, "predicted"),
        "bound": None if one.bound is None else Figure(one.bound, unit, "bound"),
        "error": Figure(one.middle / one.measured - 1, SHARE),
        **dict(one.groups),
    }


def _notes(found: Accuracy) -> Iterator[str]:
    yield (
        "Errors are |predicted/measured - 1|. The interval of a prediction is to hold 80% of what is measured. A table that "
        "constants were fitted to is predicted better than others; the calibration's file says by how much."
    )
    if found.unread:
        yield f"Columns that are not read: {', '.join(found.unread)}."
    reasons: dict[str, list[int]] = {}
    for row in found.refused:
        reasons.setdefault(row.refused, []).append(row.number)
    for why, numbers in sorted(reasons.items(), key=lambda item: -len(item[1]))[:_LISTED]:
        many = f"{len(numbers):,} rows" if len(numbers) > 1 else f"Row {numbers[0]:,}"
        yield f"{many} without a prediction: {why}."


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
