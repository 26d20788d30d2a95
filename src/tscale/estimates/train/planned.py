"""The plan of a training run: the bounds of a step, what it is predicted to take, and what a device holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.costs.training_setup import Training
from tscale.core.metric import Data, weakest
from tscale.core.precision import PRECISIONS
from tscale.estimates.explaining import adapting, of_plain
from tscale.estimates.memory.peak import precision_of
from tscale.estimates.memory_train.ask import Ask as MemoryAsk
from tscale.estimates.recomputed import Recomputed
from tscale.estimates.train.ask import Ask
from tscale.estimates.train.media import with_towers
from tscale.estimates.train.memory import PlanMemory, plan_memory
from tscale.estimates.train.plan import PlannedStep, as_bounds, planned_step
from tscale.estimates.train.prediction import PredictedStep, predicted_step
from tscale.estimates.trained import Trained
from tscale.models.spec import ModelSpec


class Planned(NamedTuple):
    """A plan: the bounds of a step, and what a device holds."""

    step: PlannedStep
    memory: PlanMemory
    predicted: PredictedStep | None = None

    @property
    def data(self) -> Data:
        assert isinstance(self.step.data, Mapping)
        return {**self.step.data, **({} if self.predicted is None else self.predicted.data), "memory": self.memory.data}

    def notes(self, mfu: Fraction | None) -> Iterator[str]:
        """What must be said of it, where the run is estimated with a utilisation."""
        if self.memory.verdict == "fits":
            yield self.memory.said()
        yield from self.step.notes(mfu)
        if self.predicted is not None:
            yield from self.predicted.notes()


def planned_of(
    spec: ModelSpec, hardware: Hardware, ask: Ask, whole: Trained, dtype: str, peak: int, redone: Recomputed
) -> Planned | None:
    """The plan that is asked about; None where none is. Nothing of it is derived from sizes of the spec."""
    if ask.plan is None or ask.batch is None:
        return None
    model = adapting(with_towers(of_plain(spec), ask.media), ask.rank, ask.lora_targets, ask.base)
    run = whole.first.run.plain
    step = planned_step(model, run, ask.plan, ask.batch, hardware.cluster(), peak, dtype, redone, ask.flops_count)
    how = Training(
        PRECISIONS[precision_of(dtype)],
        plan=ask.plan,
        micro_batch=ask.batch.micro,
        recompute=ask.recompute,
        again=ask.again,
        batch=ask.batch.sequences,
        rank=ask.rank,
        lora_targets=ask.lora_targets,
        base=ask.base,
    )
    asked = ask.memory or MemoryAsk(how, ask.context)
    memory = plan_memory(spec, hardware, asked, ask.command)
    predicted = None
    if not ask.bound_only:
        predicted = predicted_step(
            model, run, ask.plan, ask.batch, hardware.cluster(), dtype, redone, step.step.seconds,
            known=weakest("predicted", whole.first.context.known), stack=ask.stack, kernel=ask.kernel, count=ask.flops_count,
            base=ask.base, gradient_bytes=asked.how.precision.gradients,
        )  # fmt: skip
    return Planned(as_bounds(step, weakest("bound", whole.first.context.known)), memory, predicted)
