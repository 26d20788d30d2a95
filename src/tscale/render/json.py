"""JSON for programs: exact integers under keys that are a contract, and beside them how each figure is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from tscale.core.metric import Data, Figure, Label, Missing, Report, Step
from tscale.core.sources import cited, reference

SCHEMA_VERSION: Final = 1
"""Of the keys and their meanings; it grows when one is renamed or means something else, not when one is added."""
EXACT_IN_A_DOUBLE: Final = 2**53
"""Past this, readers that hold numbers as doubles round: the digits are given as text as well."""


def to_json(report: Report, *, explain: bool = False) -> str:
    """A report as JSON: an object, or for a report of several an array of theirs.

    Its own data first; then `figures`, how the figure at each path is known (a whole column at once, `rows[].context`,
    where all of it is known alike); `digits`, the text of every integer past 2^53; `notes`, what was assumed and what is not counted.
    """
    return json.dumps(as_data(report, explain=explain), indent=2, ensure_ascii=False) + "\n"


def as_data(report: Report, *, explain: bool = False) -> dict[str, Any] | list[dict[str, Any]]:
    """What `to_json` writes, as plain data."""
    if report.parts:
        return [_body(part, explain=explain) for part in report.parts]
    return _body(report, explain=explain)


def _body(report: Report, *, explain: bool) -> dict[str, Any]:
    told = _Told()
    digits: dict[str, str] = {}
    data = _plain(report.data, "", "", told, digits)
    if told.mixed:
        _plain(report.data, "", "", told, {})
    assert isinstance(data, dict), "a report's data has keys"
    body = {
        **data,
        "schema_version": SCHEMA_VERSION,
        "figures": told.figures,
        "digits": digits,
        "notes": [*report.lead, *report.notes],
    }
    if explain:
        body["explain"] = [_explained(step) for step in report.steps]
    return body


def _explained(step: Step) -> dict[str, Any]:
    figure = step.figure
    return {
        "subject": step.subject,
        "name": step.name,
        "formula": step.names,
        "numbers": step.numbers,
        "value": number(figure.value),
        "unit": figure.unit.name,
        "known": figure.known,
        "source": cited(figure.source),
        "reference": reference(figure.source),
    }


How = tuple[str, str, str, str]
"""The unit of a figure, how well it is known, its source, and a note."""


class _Told:
    """How the figures of each column are known: the path without the positions in lists.

    Rows are many and ways few: where a column is known in several, a second walk over the data notes those of its paths.
    """

    def __init__(self) -> None:
        self.first: dict[str, How] = {}
        self.mixed: dict[str, dict[str, How]] = {}

    def note(self, path: str, column: str, how: How) -> None:
        """Notes how the figure at a path is known."""
        if column in self.mixed:
            self.mixed[column][path] = how
        elif self.first.setdefault(column, how) != how:
            self.mixed[column] = {}

    @property
    def figures(self) -> dict[str, dict[str, str]]:
        """What is said of each path, or of a column at once where it is the same for all of it."""
        return {
            path: _named(how)
            for column, first in self.first.items()
            for path, how in (self.mixed[column].items() if column in self.mixed else [(column, first)])
        }


def _named(how: How) -> dict[str, str]:
    unit, known, source, note = how
    named = {"unit": unit, "known": known, "source": source}
    return {**named, "note": note} if note else named


def number(value: float | Fraction) -> int | float:
    """A figure's number as JSON has it: whole ones as integers."""
    return int(value) if value == int(value) else float(value)


def _plain(data: Data, path: str, column: str, told: _Told, digits: dict[str, str]) -> object:
    """Data without our own classes, noting on the way how each figure is known and which need their digits spelled."""
    match data:
        case Figure():
            value = number(data.value)
            told.note(path, column, (data.unit.name, data.known, cited(data.source), data.note))
            if isinstance(value, int) and abs(value) > EXACT_IN_A_DOUBLE:
                digits[path] = str(value)
            return value
        case Missing():
            told.note(path, column, ("", "missing", "", data.why))
            return None
        case Label():
            return data.value
        case Mapping():
            dot = "." if path else ""
            return {
                key: _plain(value, f"{path}{dot}{key}", f"{column}{dot}{key}", told, digits)
                for key, value in data.items()
            }
        case str() | int() | None:
            return data
        case _:
            return [_plain(item, f"{path}[{index}]", f"{column}[]", told, digits) for index, item in enumerate(data)]
