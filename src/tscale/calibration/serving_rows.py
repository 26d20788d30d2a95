"""What is predicted of a row of a table of measured serving, beside what was measured.

The columns are those of configs/measured/serving.csv. A row gives time to first token, time per output token, or both, and then
their sum over an answer, the latency of a request; or the latency as it was measured, `latency_ms`. `output_tokens_per_s` is what all
devices generate: where more requests come at once than the cache holds, that of as many as it does, for the others wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.calibration.interval import Interval
from tscale.calibration.rows import Judged, What, positive
from tscale.calibration.serving_calibration import Prediction, check_capacity, predict, predict_held, shipped
from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import case_of, whole_number
from tscale.calibration.serving_deployed import OverCapacityError
from tscale.errors import RequestError, shown


def judge(row: Mapping[str, str]) -> list[Judged]:
    """Each figure of a row beside its prediction. Raises `TscaleError` for what cannot be answered, with the reason."""
    case = case_of(row)
    tpot, ttft, whole = (_seconds(row, column) for column in ("tpot_ms", "ttft_ms", "latency_ms"))
    rate = _measured(row, "output_tokens_per_s", "tokens/s")
    if whole is None and tpot is not None and ttft is not None:
        whole = latency(case, ttft, tpot)
    if tpot is ttft is whole is rate is None:
        raise RequestError("nothing was measured: tpot_ms, ttft_ms, latency_ms or output_tokens_per_s says what was")
    held = case if rate is None else _held(case)
    predicted = predict(held)
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
    if row.get("source"):
        groups["source"] = row["source"]

    figures: list[tuple[What, float | None, Interval, float]] = [
        ("tpot", tpot, predicted.tpot, predicted.tpot_bound),
        ("ttft", ttft, predicted.ttft, predicted.ttft_bound),
        ("latency", whole, predicted.latency, predicted.latency_bound),
    ]
    if rate is not None:
        times = () if held.concurrency < case.concurrency else figures  # of requests that wait no times are predicted
        figures = [*times, ("throughput", rate, *_throughput(held, case, whole_number(row, "requests", 0), predicted))]
    return [
        Judged(what, measured, found.low, found.middle, found.high, bound, groups)
        for what, measured, found, bound in figures
        if measured is not None
    ]


def _held(case: ServingCase) -> ServingCase:
    """The case with no more requests at once than the cache holds. Raises `OverCapacityError` where it holds none."""
    try:
        check_capacity(case, shipped())
    except OverCapacityError as error:
        if not error.holds:
            raise
        return case._replace(concurrency=error.holds)
    return case


def _throughput(held: ServingCase, asked: ServingCase, requests: int, times: Prediction) -> tuple[Interval, float]:
    """Output tokens/s of all devices, and the most: of all requests that are asked for at once, for engines differ in what they hold.

    In steady state by Little's law. A run of so many `requests`, 0 where it does not end, serves as many at once as are held, and at
    last what is left.
    """
    waves, rest = divmod(requests or held.concurrency, held.concurrency)
    last = predict_held(held._replace(concurrency=rest), shipped()).latency if rest else Interval(0.0, 0.0, 0.0)
    seconds = Interval(*(waves * a + b for a, b in zip(times.latency, last, strict=True)))
    tokens = (waves * held.concurrency + rest) * held.output
    least = times.latency_bound if held is asked else predict_held(asked, shipped()).latency_bound
    most = asked.concurrency * asked.output / least
    return Interval(tokens / seconds.high, tokens / seconds.middle, tokens / seconds.low), most


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
    found = _measured(row, column, "milliseconds")
    return None if found is None else found / 1000


def _measured(row: Mapping[str, str], column: str, unit: str) -> float | None:
    """The figure of a column; None where nothing is said."""
    text = (row.get(column) or "").strip()
    if not text:
        return None
    found = positive(text)
    if found is None or found > _MOST:
        raise RequestError(f"column {column}: write {unit} above 0, not {shown(text)}")
    return found


_MOST: Final = 1e9
