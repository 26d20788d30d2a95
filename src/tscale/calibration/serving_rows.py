"""What is predicted of a row of a table of measured serving, beside what was measured.

The columns are those of configs/measured/serving.csv. A row gives time to first token and time per output token, and their sum
over an answer, the latency of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.calibration.interval import Interval
from tscale.calibration.rows import Judged, What, positive
from tscale.calibration.serving_calibration import predict
from tscale.calibration.serving_cases import ServingCase, case_of
from tscale.errors import RequestError, shown

COLUMNS: Final = ("mode", "engine", "model", "gpu", "isl", "osl", "concurrency", "ttft_ms", "tpot_ms")
"""Columns that a row must have; those of its layout go by its mode."""


def judge(row: Mapping[str, str]) -> list[Judged]:
    """Each figure of a row beside its prediction. Raises `TscaleError` for what cannot be answered, with the reason."""
    case, tpot, ttft = measured_case(row)
    predicted = predict(case)
    groups = {
        "chip": case.hardware.name,
        "engine": case.engine,
        "model": case.spec.name,
        "precision": row.get("weights", "") or "bf16",
        "kind": predicted.kind,
    }

    def judged(what: What, measured: float, found: Interval, bound: float) -> Judged:
        return Judged(what, measured, found.low, found.middle, found.high, bound, groups)

    return [
        judged("tpot", tpot, predicted.tpot, predicted.tpot_bound),
        judged("ttft", ttft, predicted.ttft, predicted.ttft_bound),
        judged("latency", latency(case, ttft, tpot), predicted.latency, predicted.latency_bound),
    ]


def measured_case(row: Mapping[str, str]) -> tuple[ServingCase, float, float]:
    """The deployment of a row, and its measured seconds of an output token and to the first. Raises `TscaleError`."""
    missing = [column for column in COLUMNS if column not in row]
    if missing:
        raise RequestError(f"no column {', '.join(missing)}: a table of serving has them")
    return case_of(row), _seconds(row, "tpot_ms"), _seconds(row, "ttft_ms")


def latency(case: ServingCase, ttft: float, tpot: float) -> float:
    """Seconds of a whole request of the mean length."""
    return ttft + case.output * tpot


def _seconds(row: Mapping[str, str], column: str) -> float:
    found = positive(row[column])
    if found is None or found > _MOST_MS:
        raise RequestError(f"column {column}: write milliseconds above 0, not {shown(row[column])}")
    return found / 1000


_MOST_MS: Final = 1e9
