"""What is predicted of a row of a table of measured serving, beside what was measured.

The columns are those of configs/measured/serving.csv. A row gives time to first token, time per output token, or both, and then
their sum over an answer, the latency of a request; or the latency as it was measured, `latency_ms`. `output_tokens_per_s` is what all
devices generate: where more requests come at once than the cache holds, that of as many as it does, for the others wait.

Where lengths differ as those of conversations do, a run whose requests all come at once is not over when its mean answer is: as answers end
fewer decode, and few for long. They are then taken for exponentially distributed, for no table says more of them than their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import log
from typing import Final, NamedTuple

from tscale.calibration.interval import Interval
from tscale.calibration.rows import Judged, What, positive
from tscale.calibration.serving_calibration import (
    Calibration,
    Prediction,
    check_capacity,
    decoding_seconds,
    of_another_source,
    predict,
    predict_held,
    shipped,
)
from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import EXPONENTIAL, case_of, whole_number
from tscale.calibration.serving_deployed import OverCapacityError
from tscale.core.adding import in_order
from tscale.errors import RequestError, shown


def judge(row: Mapping[str, str]) -> list[Judged]:
    """Each figure of a row beside its prediction by the shipped calibration. Raises `TscaleError` for what cannot be answered, with the reason.

    Its interval is that of the source that constants were fitted to; beside it is that of other sources.
    """
    return judged_by(row, shipped())


def judged_by(row: Mapping[str, str], calibration: Calibration) -> list[Judged]:
    """The same by a calibration."""
    case = case_of(row)
    tpot, ttft, whole = (_seconds(row, column) for column in ("tpot_ms", "ttft_ms", "latency_ms"))
    rate = _measured(row, "output_tokens_per_s", "tokens/s")
    if whole is None and tpot is not None and ttft is not None:
        whole = latency(case, ttft, tpot)
    if tpot is ttft is whole is rate is None:
        raise RequestError("nothing was measured: tpot_ms, ttft_ms, latency_ms or output_tokens_per_s says what was")
    held = case if rate is None else _held(case, calibration)
    predicted = predict(held, calibration)
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

    measured: dict[What, float | None] = {"tpot": tpot, "ttft": ttft, "latency": whole}
    run = None
    if rate is not None:
        if held.concurrency < case.concurrency:
            measured = {}  # of requests that wait no times are predicted
        measured["throughput"] = rate
        run = _run(held, case, row, calibration)
    own, others = (
        _figures(times, run, calibration) for times in (predicted, of_another_source(predicted, calibration))
    )
    return [
        Judged(what, value, *own[what][0], own[what][1], groups, others[what][0])
        for what, value in measured.items()
        if value is not None
    ]


def _held(case: ServingCase, calibration: Calibration) -> ServingCase:
    """The case with no more requests at once than the cache holds. Raises `OverCapacityError` where it holds none."""
    try:
        check_capacity(case, calibration)
    except OverCapacityError as error:
        if not error.holds:
            raise
        return case._replace(concurrency=error.holds)
    return case


class _Run(NamedTuple):
    """A run of which throughput was measured: waves of as many requests at once as are held, then what is left, if any."""

    waves: float
    tokens: float
    last: Prediction | None
    most: float
    """Output tokens/s of all devices at the most: of all requests that are asked for at once, for engines differ in what they hold."""


def _run(held: ServingCase, asked: ServingCase, row: Mapping[str, str], calibration: Calibration) -> _Run:
    """The run of a row: of so many requests as it says, or in steady state by Little's law."""
    requests, last = whole_number(row, "requests", 0) or held.concurrency, None
    if row.get("requests") and row.get("drawn") == EXPONENTIAL:
        waves = _waves_until_the_longest(held, requests, calibration)
    else:
        waves, rest = divmod(requests, held.concurrency)
        last = predict_held(held._replace(concurrency=rest), calibration) if rest else None
    most = asked.concurrency * asked.output / predict_held(asked, calibration).latency_bound
    return _Run(waves, requests * held.output, last, most)


def _waves_until_the_longest(held: ServingCase, requests: int, calibration: Calibration) -> float:
    """How many times the latency of the requests that are held a run takes whose answers are exponentially distributed.

    As long as requests wait, as many decode at any time: steady state. Of n that are left, whose answers are as long again in
    expectation however much of them is there, one ends after the mean length over n, and the others go on (Rényi 1953): all of
    them take the mean length times the sum over n of 1/n of a token's time with n at once, in place of its time with all.
    """
    last = held._replace(concurrency=min(requests, held.concurrency))
    most = last.concurrency
    each = {some: decoding_seconds(last._replace(concurrency=some), calibration) for some in _spaced(most)}
    between = in_order((each[a] + each[b]) / 2 * log(b / a) for a, b in pairwise(each))
    ends = _EULER * each[1] + (1 / 2 - 1 / 12 / most) / most * each[most]  # Euler and Maclaurin
    longest = held.output * (between + ends - each[most])
    full, whole = (predict_held(case, calibration).latency.middle for case in (last, held))
    return (requests / most * full + longest) / whole


_EULER: Final = 0.5772156649


def _spaced(most: int) -> list[int]:
    """Whole numbers from 1 to `most`, each about as many times the last."""
    return sorted({round(most ** (place / _PARTS)) for place in range(_PARTS + 1)})


_PARTS: Final = 64
"""Parts in which the sum is taken: of all whole numbers it is the same to a thousandth, and to 0.5% where some steps are no graphs."""


def _figures(times: Prediction, run: _Run | None, calibration: Calibration) -> dict[What, tuple[Interval, float]]:
    """Each figure with its bound."""
    found: dict[What, tuple[Interval, float]] = {
        "tpot": (times.tpot, times.tpot_bound),
        "ttft": (times.ttft, times.ttft_bound),
        "latency": (times.latency, times.latency_bound),
    }
    if run is not None:
        last = run.last
        if last is not None and times.fitted_source is not None:
            last = of_another_source(last, calibration)
        of_last = Interval(0.0, 0.0, 0.0) if last is None else last.latency
        seconds = Interval(*(run.waves * a + b for a, b in zip(times.latency, of_last, strict=True)))
        speeds = Interval(run.tokens / seconds.high, run.tokens / seconds.middle, run.tokens / seconds.low)
        found["throughput"] = speeds, run.most
    return found


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
