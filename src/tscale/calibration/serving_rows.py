"""What is predicted of a row of a table of measured serving, beside what was measured.

The columns are those of configs/measured/serving.csv. A row gives time to first token, time per output token, or both, and then
their sum over an answer, the latency of a request; or the latency as it was measured, `latency_ms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.calibration.interval import Interval
from tscale.calibration.rows import Judged, What, positive
from tscale.calibration.serving_calibration import predict
from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import case_of
from tscale.errors import RequestError, shown


def judge(row: Mapping[str, str]) -> list[Judged]:
    """Each figure of a row beside its prediction. Raises `TscaleError` for what cannot be answered, with the reason."""
    case = case_of(row)
    predicted = predict(case)
    tpot, ttft, whole = (_seconds(row, column) for column in ("tpot_ms", "ttft_ms", "latency_ms"))
    if whole is None and tpot is not None and ttft is not None:
        whole = latency(case, ttft, tpot)
    if tpot is ttft is whole is None:
        raise RequestError("nothing was measured: tpot_ms, ttft_ms or latency_ms says what was")
    groups = {
        "chip": case.hardware.name,
        "engine": case.engine,
        "model": case.spec.name,
        "precision": row.get("weights", "") or "bf16",
        "kind": predicted.kind,
        "build": " ".join(
            filter(None, (case.engine, case.spec.name, case.hardware.name, row.get("weights", ""), case.version))
        ),
    }

    figures: tuple[tuple[What, float | None, Interval, float], ...] = (
        ("tpot", tpot, predicted.tpot, predicted.tpot_bound),
        ("ttft", ttft, predicted.ttft, predicted.ttft_bound),
        ("latency", whole, predicted.latency, predicted.latency_bound),
    )
    return [
        Judged(what, measured, found.low, found.middle, found.high, bound, groups)
        for what, measured, found, bound in figures
        if measured is not None
    ]


def measured_case(row: Mapping[str, str]) -> tuple[ServingCase, float, float]:
    """The deployment of a row, and its measured seconds of an output token and to the first. Raises `TscaleError`."""
    tpot, ttft = _seconds(row, "tpot_ms"), _seconds(row, "ttft_ms")
    if tpot is None or ttft is None:
        raise RequestError(f"{'tpot_ms' if tpot is None else 'ttft_ms'} is missing: to calibrate, a run has both")
    return case_of(row), tpot, ttft


def latency(case: ServingCase, ttft: float, tpot: float) -> float:
    """Seconds of a whole request of the mean length."""
    return ttft + case.output * tpot


def _seconds(row: Mapping[str, str], column: str) -> float | None:
    """Seconds of a column in milliseconds; None where nothing is said."""
    text = (row.get(column) or "").strip()
    if not text:
        return None
    found = positive(text)
    if found is None or found > _MOST_MS:
        raise RequestError(f"column {column}: write milliseconds above 0, not {shown(text)}")
    return found / 1000


_MOST_MS: Final = 1e9
