"""What a judge of measured runs says of a row: the figure that was measured, and what is predicted of it.

One file for each kind of table (`training_rows`, `serving_rows`, `memory_rows`) has a function `judge(row)`, which takes a row
as text by the name of its column and returns one `Judged` for each figure that the row states. It raises `TscaleError` where
no prediction is made of a row, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from tscale.calibration.interval import Interval

What = Literal["step", "tpot", "ttft", "latency", "throughput", "memory"]
"""The figure: seconds of a training step, of an output token, to the first token and of a whole request, output tokens/s, or bytes."""


LEAST: Final = 1e-9
MOST: Final = 1e18


def positive(text: str) -> float | None:
    """The number of a cell of measured figures; None for any that no machine measured: 0, less, nan, too small or too large."""
    try:
        found = float(text) if text.isascii() else 0.0
    except ValueError:
        return None
    return found if LEAST <= found <= MOST else None


class Judged(NamedTuple):
    """A measured figure beside its prediction: an 80% interval, its middle, and the bound that no run passes, if one is known.

    All are in seconds, in tokens/s of "throughput", or in bytes of "memory". `groups` says what the row is of: chip, engine or stack, model, precision,
    kind of case.
    """

    what: What
    measured: float
    low: float
    middle: float
    high: float
    bound: float | None
    groups: Mapping[str, str]
    others: Interval | None = None
    """The interval of runs of another source than that of the fitted ones, where it is another."""

    @property
    def error(self) -> float:
        """How far the middle is from what was measured, as a fraction of it."""
        return abs(self.middle / self.measured - 1)

    @property
    def covered(self) -> bool:
        """Whether what was measured lies within the interval."""
        return self.low <= self.measured <= self.high

    @property
    def covered_by_others(self) -> bool | None:
        """The same of the interval of other sources; None where there is none."""
        return None if self.others is None else self.others.low <= self.measured <= self.others.high

    @property
    def bound_broken(self) -> bool:
        """Whether what was measured is less than a bound says that it takes at the least, or a throughput more than there is at the most."""
        if self.bound is None:
            return False
        return self.measured > self.bound if self.what == "throughput" else self.measured < self.bound
