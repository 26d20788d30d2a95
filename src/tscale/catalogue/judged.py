"""How far predictions are from published figures that nothing is fitted to, as configs/measured/judged.yaml says it."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Final, Literal

from tscale.blocks.fields import MOST_SIZE, Positive, Size, Whole
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.shipped import shipped_as
from tscale.models.spec import Evidence

OfLaw = Literal[
    "loss", "loss_ratio", "learning_rate", "batch", "best_learning_rate", "best_batch", "optimal_params", "critical_batch"
]  # fmt: skip
"""What published figures judge of laws."""


@spec_dataclass
class Judged:
    """How far predictions of a kind are from published figures that nothing here was fitted to."""

    of: Literal["hours", "goodput", "power", "memory", "speculative", OfLaw]
    by: str | None = None
    """What predicts: a law by its name, a kind of device."""
    figures: Size
    """Published figures, or of `loss_ratio` pairs of them."""
    unit: Literal["share", "factor"] = "share"
    """|predicted/published - 1|, or the larger of the two over the smaller."""
    median: Positive
    p90: Positive
    held: Annotated[int, Whole(0, MOST_SIZE)] | None = None
    """How many of the figures the predicted range holds, where there is one."""
    source: str

    @property
    def held_share(self) -> float | None:
        """The share of the figures that the predicted range holds."""
        return None if self.held is None else self.held / self.figures


@spec_dataclass
class Judgements:
    """All of them."""

    evidence: Evidence
    judged: tuple[Judged, ...]


JUDGED: Final[dict[str, type]] = {"judged": Judged}


@cache
def judgements() -> tuple[Judged, ...]:
    """How far predictions are from published figures, as `python -m tests.judged` wrote it."""
    return shipped_as(Judgements, "measured", "judged", JUDGED).judged


def judged(of: str, by: str | None = None) -> Judged | None:
    """How far predictions of a kind are; None where no published figure says."""
    return next((one for one in judgements() if (one.of, one.by) == (of, by)), None)


def certainly_judged(of: str, by: str | None = None) -> Judged:
    """The same of a kind that published figures always judge."""
    found = judged(of, by)
    assert found is not None
    return found
