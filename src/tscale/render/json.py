"""JSON for programs: exact integers under keys that are a contract, and beside them how each figure is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from tscale.core.quantity import Data, Figure, Missing, Report
from tscale.core.sources import cited

EXACT_IN_A_DOUBLE: Final = 2**53
"""Past this, readers that hold numbers as doubles round: the digits are given as text as well."""


def to_json(report: Report, *, explain: bool = False) -> str:
    """A report as JSON.

    Its own data first; then `figures`, how the figure at each path is known (list positions left out, since the
    figures of a column are alike); `digits`, the text of every integer past 2^53; `notes`, what is not counted.
    """
    figures: dict[str, dict[str, str]] = {}
    digits: dict[str, str] = {}
    data = _plain(report.data, "", "", figures, digits)
    body: dict[str, Any] = data if isinstance(data, dict) else {"answers": data}
    extra: dict[str, Any] = {"figures": figures, "digits": digits, "notes": list(report.notes)}
    if explain:
        extra["explain"] = [
            {
                "name": step.name,
                "formula": step.names,
                "numbers": step.numbers,
                "value": number(step.figure.value),
                "unit": step.figure.unit.name,
                "known": step.figure.known,
                "source": cited(step.figure.source),
            }
            for step in report.steps
        ]
    if isinstance(data, list):  # an array of models stays an array, each with what belongs to it
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    return json.dumps({**body, **extra}, indent=2, ensure_ascii=False) + "\n"


def number(value: float | Fraction) -> int | float:
    """A figure's number as JSON has it: whole ones as integers."""
    return int(value) if value == int(value) else float(value)


def _plain(data: Data, path: str, column: str, figures: dict[str, dict[str, str]], digits: dict[str, str]) -> object:
    """Data without our own classes, noting on the way how each figure is known and which need their digits spelled."""
    match data:
        case Figure():
            value = number(data.value)
            known = {"unit": data.unit.name, "known": data.known, "source": cited(data.source)}
            figures.setdefault(column, {**known, "note": data.note} if data.note else known)
            if isinstance(value, int) and abs(value) > EXACT_IN_A_DOUBLE:
                digits[path] = str(value)
            return value
        case Missing():
            figures.setdefault(column, {"unit": "", "known": "missing", "source": "", "note": data.why})
            return None
        case Mapping():
            dot = "." if path else ""
            return {
                key: _plain(value, f"{path}{dot}{key}", f"{column}{dot}{key}", figures, digits)
                for key, value in data.items()
            }
        case str() | int() | None:
            return data
        case _:
            return [_plain(item, f"{path}[{index}]", f"{column}[]", figures, digits) for index, item in enumerate(data)]
