"""A search of the layouts of a step after pre-training, of its training and of its rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tscale.calibration.interval import Interval
from tscale.calibration.post_training_calibration import shipped
from tscale.core.parallelism import divisors
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.sharding import tensor_degrees
from tscale.errors import TscaleError
from tscale.estimates.capacity import Verdict
from tscale.estimates.plan.planned import Planned
from tscale.estimates.plan.search import Best
from tscale.estimates.post_training.models import Ask, Models, models_of
from tscale.estimates.post_training.phases import Held, decisive, fullest, peak
from tscale.estimates.post_training.rollout import Generated, How, generation
from tscale.estimates.post_training.step import Passed, StepTime, together, trained
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

TRIED: Final = 32
"""Layouts of training, the fastest first, that each way of generating is tried with."""
_WIDEST: Final = 32
"""Devices that share a layer in rollouts, at most, where nothing is said."""


class Candidate(NamedTuple):
    """A layout of training and of rollouts: the seconds of a step, and what a device holds at its peak."""

    best: Best
    ask: Ask
    time: StepTime
    seconds: Interval
    peak: Held
    verdict: Verdict

    @property
    def usd(self) -> float | None:
        """Dollars of a step."""
        rent = self.best.rent
        return None if rent is None else float(rent.middle) * self.ask.devices * self.seconds.middle / 3600

    def rank(self, by: str) -> float:
        """What it is ranked by: seconds, or device-seconds, or dollars."""
        if by == "time":
            return self.seconds.middle
        device_seconds = self.ask.devices * self.seconds.middle
        return (self.usd or device_seconds) if by == "dollars" else device_seconds


class Found(NamedTuple):
    """The candidates that fit or may fit in order, how many were tried, and of those that do not fit the nearest."""

    ranked: tuple[Candidate, ...]
    tried: int
    nearest: Held | None
    why: str
    """Why one could not be, of those that could not."""


def candidates(spec: ModelSpec, planned: Planned, step: Ask, how: How) -> Found:
    """Layouts of training, the fastest first, each with every way of generating."""
    tried = _Trials(spec, how)
    for search in planned.searches:
        for best in search.best(TRIED):
            for ask in _asked(spec, best, step):
                tried.add(best, ask)
    by = planned.ask.rank
    tried.found.sort(key=lambda one: (one.rank(by), one.peak.total))
    return Found(tuple(tried.found[: planned.ask.top]), tried.count, tried.nearest, tried.why)


class _Trials:
    """What was tried: rollouts of as many engines take the same whatever trains, and training the same whatever generates."""

    def __init__(self, spec: ModelSpec, how: How) -> None:
        self.spec, self.how = spec, how
        self.found: list[Candidate] = []
        self.count, self.why = 0, ""
        self.nearest: Held | None = None
        self._generated: dict[object, Generated] = {}
        self._passed: dict[object, Passed] = {}

    def add(self, best: Best, ask: Ask) -> None:
        """Tries a layout of training with a way of generating."""
        self.count += 1
        try:
            models = models_of(self.spec, ask)
            phases = fullest(models)[1]
            tightest = decisive(phases)
            if tightest.verdict == "does_not_fit":
                nearer = self.nearest is None or tightest.total < self.nearest.total
                self.nearest = tightest if nearer else self.nearest
                return
            time = self._time(models, best)
        except TscaleError as error:
            self.why = self.why or str(error)
            return
        seconds = time.seconds(shipped())
        if seconds is not None and tightest.verdict is not None:
            self.found.append(Candidate(best, ask, time, seconds, peak(phases), tightest.verdict))

    def _time(self, models: Models, best: Best) -> StepTime:
        """The time of a step, of which each side is predicted once."""
        layout, ask = (best.hardware.name, best.layout), models.ask
        if layout not in self._passed:
            self._passed[layout] = trained(models, self.how)
        generated = None
        if ask.online:
            engines = (best.hardware.name, ask.tensor, ask.engines)
            generated = self._generated.get(engines) or generation(models, self.how)
            if generated.at_once == ask.waiting[0]:  # fewer fit beside what trains: another layout may leave more room
                self._generated[engines] = generated
        return together(models, self.how, generated, self._passed[layout])


def _asked(spec: ModelSpec, best: Best, step: Ask) -> Iterator[Ask]:
    """A step in a layout of training, with each degree of tensor parallelism in rollouts that is asked for."""
    layout = best.layout
    training = step.training.with_(
        precision=PRECISIONS[layout.precision],
        optimizer=OPTIMIZERS[layout.optimizer],
        plan=layout.plan,
        micro_batch=layout.micro_batch,
        recompute=layout.recompute,
        again=layout.again if layout.again.of_some else None,
        loss=layout.loss,
        offload=layout.offload,
        batch=step.batch,
    )
    ask = step._replace(training=training._replace(hardware=best.hardware))
    if not ask.online or step.rollout_tensor is not None:
        yield ask
        return
    legal = tensor_degrees(lower(spec), experts=False)
    for tensor in divisors(ask.generating):
        if tensor in legal and tensor <= _WIDEST:
            yield ask._replace(rollout_tensor=tensor)
