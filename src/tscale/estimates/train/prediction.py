"""What a step of a plan is predicted to take, beside its bound: its figures, and what must be said of them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.calibration.training_case import (
    CURRENT,
    OF_PUBLISHERS,
    Dispatcher,
    Prediction,
    TrainingCase,
    as_cut,
    prediction,
)
from tscale.core.costs.step_prediction import SOURCE
from tscale.core.costs.step_time import Batch
from tscale.core.costs.training import Count, counted_flops
from tscale.core.costs.wall_time import mfu_of
from tscale.core.device import Cluster, of_peak
from tscale.core.dtypes import Dtype
from tscale.core.metric import Data, Figure, Known
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shares_of
from tscale.core.units import COUNT, SECONDS, SHARE
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, ended
from tscale.estimates.explaining import TracedModel
from tscale.estimates.recomputed import Recomputed
from tscale.estimates.trained import Trained
from tscale.models.stages import stages

PARTS: Final = {
    "computing": "products",
    "traffic": "elementwise traffic",
    "attention": "attention",
    "keys": "waiting for keys of context parallelism",
    "sums": "tensor-parallel all-reduces",
    "dispatches": "expert-parallel all-to-alls",
    "handed": "pipeline send/receive",
    "host": "waiting for the host",
    "pipeline": "pipeline bubble",
    "gradients": "gradients",
    "gathers": "sharded weights and gradients",
    "optimizer": "optimizer",
    "step": "each step",
}
"""What people call the parts of a predicted step."""


_BOTH: Final = ", √2 times as long, for software and cluster may differ too"


class PredictedStep(NamedTuple):
    """The predicted seconds of a step as an 80% interval, and the MFU at each of its ends; `why`: why there is none."""

    found: Prediction | None
    flops: int
    devices: int
    peak: int
    known: Known = "predicted"
    why: str = ""
    ring: bool = False
    """Whether devices share a sequence, and send keys."""

    @property
    def data(self) -> dict[str, Data]:
        """The keys of a plan's JSON."""
        if self.found is None:
            return {"step_seconds": None, "prediction": None}
        choice, seconds = self.found.choice, self.found.seconds
        return {
            "step_seconds": {name: self.figure(getattr(seconds, name)) for name in seconds._fields},
            "mfu_predicted": dict(zip(seconds._fields, map(self.utilisation, reversed(seconds)), strict=True)),
            "prediction": {
                "calibration": choice.calibration.name,
                "attention": self.found.kernel,
                "runs": Figure(choice.calibration.fitted_to.runs, COUNT),
                "median_error": Figure(choice.residual.median_error, SHARE, "cited", choice.calibration.fitted_to.file),
                "covered": not choice.outside,
                "not_covered": list(choice.outside),
                "interval": choice.residual.how,
                "parts": {
                    name: self.figure(float(value)) for name, value in self.found.parts._asdict().items() if value
                },
            },
        }

    def notes(self) -> Iterator[str]:
        """What the prediction rests on."""
        if self.found is None:
            yield ended(f"No step time is predicted: {self.why}")
            return
        choice, fit = self.found.choice, self.found.choice.calibration.fitted_to
        how = f"within {choice.residual.median_error:.1%} (median) of {choice.residual.runs:,} runs that it was not fitted to"
        yield (
            f"The prediction is by {choice.calibration.name} ({choice.calibration.title}; {fit.runs:,} runs): {how}. It takes "
            f"{self.found.kernel} attention. {self._longest()}"
        )
        if self.ring:
            yield "Keys and values go round a ring of context-parallel devices while attention is computed: what takes longer counts."
        if choice.outside:
            yield (
                f"That calibration does not cover {', '.join(choice.outside)}: the interval is that of runs that stand apart "
                f"from those it was fitted to{_BOTH if choice.another_source else ''}."
            )
        elif choice.another_source:
            yield (
                "Software and cluster may differ from those of these runs: the interval is as wide as predictions were off "
                f"{OF_PUBLISHERS}."
            )

    def _longest(self) -> str:
        assert self.found is not None
        parts = sorted(((float(value), name) for name, value in self.found.parts._asdict().items()), reverse=True)[:3]
        whole = float(self.found.parts.seconds)
        return "Most of it: " + ", ".join(f"{PARTS[name]} {seconds / whole:.0%}" for seconds, name in parts) + "."

    def figure(self, seconds: float) -> Figure:
        """A time as it is predicted."""
        return Figure(seconds, SECONDS, self.known, SOURCE)

    def utilisation(self, seconds: float) -> Figure:
        """The MFU of steps that take so long."""
        share = mfu_of(self.flops, self.devices, self.peak, Fraction(seconds))
        return Figure(share, SHARE, self.known, SOURCE)


class PlanUtilisation(NamedTuple):
    """The utilisation of a run whose steps are all as a plan's is predicted to be, in full attention, at the ends of an 80% interval."""

    low: Fraction
    middle: Fraction
    high: Fraction

    def said(self) -> str:
        """The middle and the range."""
        low, middle, high = (f"{float(share):.1%}" for share in self)
        return f"MFU predicted: {middle} ({low} to {high}, an 80% interval of the plan below)."


def plan_utilisation(
    predicted: PredictedStep | None, model: TracedModel, whole: Trained, batch: Batch
) -> PlanUtilisation | None:
    """What a run of such steps comes to; None where no step is predicted."""
    if predicted is None or predicted.found is None:
        return None
    run = whole.first.run
    flops = counted_flops(model.ledger, run, run.tokens * batch.sequences, "full")
    fast, middle, slow = (
        mfu_of(flops, predicted.devices, predicted.peak, Fraction(seconds)) for seconds in predicted.found.seconds
    )
    return PlanUtilisation(slow, middle, fast)


def predicted_step(
    model: TracedModel,
    run: SequenceLengths,
    plan: Parallelism,
    batch: Batch,
    cluster: Cluster,
    dtype: str,
    redone: Recomputed,
    bound: Fraction,
    *,
    known: Known,
    stack: str = CURRENT,
    kernel: str | None = None,
    count: Count = "full",
    base: Dtype | None = None,
    gradient_bytes: int = 4,
    dispatcher: Dispatcher = "deepep",
) -> PredictedStep:
    """What a step of a plan is predicted to take, never less than its bound; the reason where that cannot be said.

    `base`: the format of few bits that the frozen matrices under adapters are in. `gradient_bytes`: of a number of the sum that
    micro-batches' gradients are added to. `dispatcher`: how tokens go to their experts.
    """
    spec, peak = model.spec, cluster.device.flops_per_second[of_peak(dtype)]
    flops = counted_flops(model.ledger, run, run.tokens * batch.sequences, count)
    cut, plan = plan.trained.expert_cut, as_cut(plan)
    of_stages = stages(spec, plan, model.ledger)
    shares = shares_of(of_stages, plan)
    case = TrainingCase(
        of_stages, shares, plan, run, batch, int(spec.d_model), cluster, dtype, redone.policy, stack, kernel, spec.parallel_block,
        redone=redone.stages, base=base, gradient_bytes=gradient_bytes, expert_tensor=cut, dispatcher=dispatcher,
    )  # fmt: skip
    try:
        return PredictedStep(prediction(case, bound), int(flops), plan.devices, peak, known, ring=plan.context > 1)
    except RequestError as error:
        if kernel is not None:
            raise
        return PredictedStep(None, int(flops), plan.devices, peak, known, str(error))
