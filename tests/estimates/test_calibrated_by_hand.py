"""Tables of one's own runs that are refused before any is predicted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tscale.errors import SpecError
from tscale.estimates import calibrate as module
from tscale.estimates.calibrate import Calibrated, calibrated


def calibrated_of(rows: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, kind: str = "serving") -> Calibrated:
    """What becomes of a table, of which each run is taken."""
    stand_ins: dict[str, Any] = {
        "read_text": lambda *_: "",
        "read_table": lambda *_: (("gpu",), rows),
        "kind_of": lambda *_: (SimpleNamespace(name=kind), None),
        "_refuse_unanswered": lambda row, where: where if row else pytest.fail(where),
        "own_calibration": list,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(module, name, stand_in)
    return calibrated("runs.csv")


def test_a_thousand_runs_are_taken_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [{"gpu": "h100"}] * 1000
    assert calibrated_of(runs, monkeypatch)[:2] == ("runs.csv", 1000)
    with pytest.raises(SpecError, match="has 1,001 runs: calibrate takes up to 1,000"):
        calibrated_of([*runs, runs[0]], monkeypatch)


def test_a_table_has_runs_and_is_of_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="holds a heading and no runs"):
        calibrated_of([], monkeypatch)
    with pytest.raises(SpecError, match="is a table of training: calibrate takes measured runs of serving"):
        calibrated_of([{"gpu": "h100"}], monkeypatch, "training")


def test_runs_are_counted_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(module, "read_text", lambda *_: "")
    monkeypatch.setattr(module, "read_table", lambda *_: ((), [{}, {}]))
    monkeypatch.setattr(module, "kind_of", lambda *_: (SimpleNamespace(name="serving"), None))
    monkeypatch.setattr(module, "_refuse_unanswered", lambda *given: seen.append(given[1]))
    monkeypatch.setattr(module, "own_calibration", list)
    assert calibrated("-").name == "standard input"
    assert seen == ["standard input: run 1", "standard input: run 2"]
