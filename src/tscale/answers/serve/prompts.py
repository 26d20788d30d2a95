"""Of `tscale serve`: what a pool that prefills takes in, where all of its ranks have prompts one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.calibration.serving_calibration import Prediction
from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import is_grouped
from tscale.core.metric import Cell, Figure
from tscale.core.units import TOKENS_PER_SECOND
from tscale.estimates.serve.prompts import speeds_taken_in


def rows_taken_in(case: ServingCase, times: Prediction) -> Iterator[tuple[Cell, ...]]:
    """The row of a prediction's table: the middle and the ends."""
    speeds = speeds_taken_in(case, times)
    if speeds is not None:
        of = speeds[0]
        ends = (Figure(value, TOKENS_PER_SECOND, "predicted") for value in (of.middle, of.low, of.high))
        yield ("prompt tokens/s per device of prefill", *ends, "")


def notes_of_prompts(case: ServingCase) -> Iterator[str]:
    """Where rates of kernels were published and no run was fitted to."""
    if is_grouped(case):
        yield (
            "Prompts' experts are spread over nodes: tokens are sent and multiplied at rates that were published of DeepEP and DeepGEMM, "
            "and that were fitted to no run. Prompts that do not meet experts alike take longer: 1.18 times as long in SGLang's published runs."
        )
