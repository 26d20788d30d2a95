"""What a pool that prefills takes in, where all of its ranks have prompts one after the other."""

from __future__ import annotations

from tscale.calibration.interval import Interval
from tscale.calibration.serving_calibration import Prediction
from tscale.calibration.serving_case import ServingCase
from tscale.core.metric import Data, Figure
from tscale.core.units import TOKENS_PER_SECOND
from tscale.core.view import interval


def speeds_taken_in(case: ServingCase, times: Prediction) -> tuple[Interval, float] | None:
    """Tokens of prompts that a device takes in each second, with an interval, and the most; None where prompts have no pool."""
    if not case.disaggregated:
        return None
    layout, of = case.prefill.layout, times.prefill
    tokens = case.prompt / layout.tensor / layout.pipeline
    return Interval(tokens / of.high, tokens / of.middle, tokens / of.low), tokens / times.prefill_bound


def taken_in(case: ServingCase, times: Prediction) -> dict[str, Data]:
    """The speeds by their keys; null where prompts have no pool of their own."""
    speeds = speeds_taken_in(case, times)
    within = None if speeds is None else interval(speeds[0], TOKENS_PER_SECOND, "predicted")
    most = None if speeds is None else Figure(speeds[1], TOKENS_PER_SECOND, "bound")
    return {"prompt_tokens_per_second_per_gpu": within, "prompt_tokens_per_second_per_gpu_at_most": most}
