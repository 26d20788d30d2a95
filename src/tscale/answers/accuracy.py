"""`tscale accuracy`: how far predictions are from a table of measured runs, by group, and the rows that are furthest off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tscale.calibration.rows import Judged, What
from tscale.calibration.serving_cases import DRAWN_NOTE
from tscale.calibration.training_case import OF_PUBLISHERS
from tscale.core.metric import Column, Data, Detail, Figure, Report
from tscale.core.number_text import number_text
from tscale.core.units import COUNT, SHARE, TOKENS
from tscale.core.view import Record, view
from tscale.errors import ended
from tscale.estimates.accuracy import Accuracy, Errors, Row, unit_of

_WORST: Final = 10
_LISTED: Final = 3
_WHAT: Final[Mapping[What, str]] = {
    "step": "step time",
    "tpot": "time per output token",
    "ttft": "time to first token",
    "latency": "request latency",
    "throughput": "throughput",
    "memory": "memory",
}


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
    many = f"{answered:,} of {len(found.rows):,}" if found.refused else f"{answered:,}"
    title = f"{found.name}: predictions of {many} measured run{'s' * (len(found.rows) > 1)}{_medians(judged, whats)}"
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
    tables = [view(title, (Column("predicted", "what", numeric=False), *_errors(found)), rows, subject=found.name)]
    if judged:
        tables.append(view("", (*_OF_GROUPS, *_errors(found)), _shown(groups), subject="groups", aside=True))
        tables.append(view("", _FURTHEST, map(_worst_row, worst), subject="worst", aside=True))
    return Report(title, tuple(tables), data, tuple(_notes(found)), exit_code=3 if broken else 0)


def _medians(judged: Sequence[tuple[Row, Judged]], whats: Sequence[What]) -> str:
    """The median error of each kind of figure."""
    errors = {what: Errors.of([one for _, one in judged if one.what == what]).median for what in whats}
    said = ", ".join(f"{_WHAT[what]} {number_text(error, 'percent')}" for what, error in errors.items())
    return f"; median error of {said}" if said else ""


def _errors(found: Accuracy) -> Iterator[Column]:
    """The columns of errors; of serving, two intervals."""
    yield Column("figures", "figures")
    yield Column("median error", "median")
    yield Column("p90", "p90")
    yield Column("mean", "mean", drop=2)
    yield Column("in interval", "coverage")
    if found.kind.name == "serving":
        yield Column("in other sources'", "coverage_of_other_sources")
    yield Column("bounds broken", "bound_broken", drop=1)


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


def _shown(groups: Sequence[Record]) -> Iterator[Record]:
    """The groups that people read: of builds, which are many, those of each figure that are furthest off."""
    for what in dict.fromkeys(one["what"] for one in groups):
        those = [one for one in groups if one["what"] == what]
        builds = [one for one in those if one["group"] == "build"]
        yield from (one for one in those if one["group"] != "build")
        yield from sorted(builds, key=_furthest)[:_WORST]


def _furthest(group: Record) -> tuple[float, str]:
    p90 = group["p90"]
    assert isinstance(p90, Figure)
    return -float(p90.value), str(group["value"])


_OF_GROUPS: Final = (
    Column("by", "group", numeric=False),
    Column("", "value", numeric=False, wraps=16, read=lambda value: value or "not stated"),
    Column("of", "what", numeric=False, drop=3),
)


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
    unit = TOKENS if one.groups.get("what") == "longest_context" else unit_of(one.what)  # of memory, tokens too
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
    if any(one.groups.get("kind", "").endswith("of another source") for _, one in found.judged):
        yield (
            "Of another source: software and cluster may differ from those of the runs that the calibration was fitted to, and intervals "
            f"are as wide as predictions were off {OF_PUBLISHERS}."
        )
    if found.unread:
        yield f"Columns that are not read: {', '.join(found.unread)}."
    if found.kind.name == "serving":
        yield (
            "In interval: in that of runs of the source that the calibration was fitted to, as `plan --serve` shows it; in other sources': in "
            "the wider one, as `serve` does."
        )
    if found.kind.name == "serving" and "drawn" not in found.columns:
        yield DRAWN_NOTE
    reasons: dict[str, list[int]] = {}
    for row in found.refused:
        reasons.setdefault(row.refused, []).append(row.number)
    for place, (why, numbers) in enumerate(sorted(reasons.items(), key=lambda item: -len(item[1]))):
        many = f"{len(numbers):,} rows" if len(numbers) > 1 else f"Row {numbers[0]:,}"
        said = ended(f"{many} without a prediction: {why}")
        yield said if place < _LISTED else Detail(said)
