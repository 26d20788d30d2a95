"""What is given of a training run."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from tscale.calibration.training_case import CURRENT
from tscale.core.costs.step_time import Batch
from tscale.core.costs.training import Count
from tscale.core.costs.wall_time import Recompute
from tscale.core.dtypes import Dtype
from tscale.core.parallelism import Parallelism
from tscale.core.recompute import Again
from tscale.core.roles import Role
from tscale.estimates.media import Media
from tscale.estimates.memory_train.ask import Ask as MemoryAsk

DAY: Final = 86_400


class Ask(NamedTuple):
    """What is given of a run; of gpus, a utilisation (or a speed) and days, two or one."""

    tokens: int | None = None
    context: int | None = None
    gpus: int | None = None
    mfu: Fraction | None = None
    tokens_per_second: Fraction | None = None
    days: Fraction | None = None
    dtype: str | None = None
    recompute: Recompute = "none"
    again: Again | None = None
    """The layers that the policy is about; None for all."""
    price: Fraction | None = None
    goodput: Fraction | None = None
    """The share of the time that goes to steps that count; None for that of published runs."""
    watts: Fraction | None = None
    pue: Fraction = Fraction(1)
    grid: Fraction | None = None
    grid_source: str = ""
    rank: int | None = None
    """Of low-rank adapters, where these alone are trained; None where the model itself is."""
    lora_targets: frozenset[Role] | None = None
    """The matrices that have adapters; None for all."""
    base: Dtype | None = None
    """The format of few bits that the model under the adapters is frozen in."""
    plan: Parallelism | None = None
    batch: Batch | None = None
    flops_count: Count = "full"
    """How the FLOPs of utilisations are counted."""
    memory: MemoryAsk | None = None
    """What is asked of the memory of the plan; of none, the usual."""
    command: str = ""
    """The command that asks it."""
    stack: str = CURRENT
    """The training stack whose calibration predicts a plan's step (`tscale.calibration.training_case`)."""
    kernel: str | None = None
    """The attention kernel of the prediction; None for the usual one of stack and chip."""
    media: Media = Media()
    """Images and sounds in each sequence, which run through the towers."""
    bound_only: bool = False
    """Whether a plan is given its bounds alone."""

    @property
    def measured(self) -> bool:
        """Whether devices and time are both given, so that GPU-hours follow from them alone."""
        return self.gpus is not None and self.days is not None

    @property
    def of_steps(self) -> Ask:
        """The same with the days that go to steps, where days and goodput are given."""
        return self if self.days is None or self.goodput is None else self._replace(days=self.days * self.goodput)
