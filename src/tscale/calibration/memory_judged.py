"""The judge of tables of measured memory, in the form that all tables of measured runs share."""

from __future__ import annotations

from collections.abc import Mapping

from tscale.calibration import memory_rows
from tscale.calibration.rows import Judged


def judge(row: Mapping[str, str]) -> list[Judged]:
    """The measured memory of a row, or the longest context that it allowed, beside what is counted.

    Raises:
        TscaleError: for a row that says what is not counted, with the reason.
    """
    one = memory_rows.judge(row)
    return [
        Judged("memory", one.measured, one.low, one.middle, one.high, None, one.groups)
    ]  # what is counted as the least is no bound: runs held less
