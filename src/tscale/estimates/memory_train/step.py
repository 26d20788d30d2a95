"""The time of a step that `tscale memory --train --batch` gives beside its memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tscale.core.costs.step_time import Batch
from tscale.core.metric import Data, Figure, weakest
from tscale.errors import RequestError, field
from tscale.estimates.explaining import adapting, of_plain
from tscale.estimates.memory.peak import peak_of, products_of
from tscale.estimates.memory_train.ask import Ask
from tscale.estimates.recomputed import recomputed
from tscale.estimates.train.plan import PlannedStep, as_bounds, planned_step
from tscale.estimates.train.prediction import PredictedStep, predicted_step
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec


class TimedStep(NamedTuple):
    """A step: its bound, and what it is predicted to take."""

    least: PlannedStep
    predicted: PredictedStep

    @property
    def data(self) -> Data:
        """The keys of a plan's JSON."""
        assert isinstance(self.least.data, Mapping)
        return {**self.least.data, **self.predicted.data}

    def notes(self) -> Iterator[str]:
        """What bounds it, and what the prediction rests on."""
        yield from self.least.notes(None)
        yield from self.predicted.notes()


def step_of(spec: ModelSpec, ask: Ask, context: Figure, batch: int) -> TimedStep:
    """The time of a step of so many sequences. Raises `RequestError` without hardware to time it on."""
    if ask.hardware is None:
        raise RequestError(
            f"{field('batch')} with {field('train')} gives the least time of a step, on hardware: add {field('gpu')}, or drop {field('batch')}"
        )
    dtype, peak = peak_of(ask.hardware.device(), ask.hardware, products_of(ask.how.precision.name))
    model = adapting(of_plain(spec), ask.how.rank, ask.how.lora_targets, ask.how.base)
    run, sequences = run_of(spec, int(context.value)), Batch(batch, ask.how.micro_batch)
    redone = recomputed(spec, model.ledger, ask.how.recompute, ask.how.again, ask.how.plan)
    given = (model, run, ask.how.plan, sequences, ask.hardware.cluster())
    least = planned_step(*given, peak, dtype, redone)
    known = weakest("predicted", context.known)
    predicted = predicted_step(
        *given, dtype, redone, least.step.seconds, known=known, base=ask.how.base,
        gradient_bytes=ask.how.precision.gradients,
    )  # fmt: skip
    return TimedStep(as_bounds(least, weakest("bound", context.known)), predicted)
