"""What a parallel plan makes of a training run: the bounds that it sets, beside the time of `tscale.estimates.train.cases`."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.core.costs.collectives import SOURCE as COLLECTIVES
from tscale.core.costs.communication import LEAVES_OUT
from tscale.core.costs.step_time import BITS, SOURCE, Batch, Part, Workload, step_of
from tscale.core.costs.step_time import Step as LeastStep
from tscale.core.costs.training import Count, counted_flops
from tscale.core.costs.wall_time import mfu_of
from tscale.core.device import NARROW, Cluster
from tscale.core.metric import Data, Figure, Known, Step, at_best, each_figure
from tscale.core.parallelism import Parallelism, Schedule
from tscale.core.sharding import check_plan
from tscale.core.units import BYTES, SECONDS, SHARE
from tscale.core.view import Record
from tscale.core.workload import SequenceLengths
from tscale.estimates.explaining import TracedModel
from tscale.estimates.parallel_data import parallel_data
from tscale.estimates.recomputed import Recomputed
from tscale.models.stages import even_rounds, stages

_NOT_WHOLE: Final = {2: "gradients", 3: "weights and gradients"}
_IN_ORDER: Final[dict[Schedule, str]] = {
    "1f1b": " in the order of 1F1B",
    "interleaved": " in the order of 1F1B",
    "zero-bubble": " in a zero-bubble schedule, which idles nowhere at its best (Qi 2024)",
    "dualpipe": " in the order of DualPipe, without the sums over the two devices that have the same stage",
}
_PAST_ONE: Final = " (past 100%, for it counts full attention)"
_BOUND_BY: Final = {"computing": "computing", "link": "the link within nodes", "network": "the network between nodes"}


class PlannedStep(NamedTuple):
    """A step of a plan: its parts, and the utilisation with the sending hidden behind the computing, and without."""

    subject: str
    plan: Parallelism
    batch: Batch
    step: LeastStep
    mfu_hidden: Fraction
    mfu_serial: Fraction
    data: Data
    steps: tuple[Step, ...]
    known: Known = "exact"
    """How times and utilisations are known."""
    waits: bool = False
    """Whether stages wait for pieces of others that are deeper than theirs."""

    @property
    def micro_batches(self) -> int:
        return self.batch.micro_batches(self.plan)

    @property
    def bound(self) -> str:
        """What takes longest: the computing with its bubble, or a link and the part that is most of what it sends."""
        bound_by = self.step.bound_by
        if bound_by == "computing":
            return bound_by
        most = max(self.step.parts, key=lambda part: _seconds_on(part, bound_by))
        return f"{_BOUND_BY[bound_by]} ({most.name})"

    def notes(self, mfu: Fraction | None) -> Iterator[str]:
        """What must be said of the plan, next to the MFU that the run was estimated with; None where it counts otherwise."""
        schedule = _IN_ORDER[self.plan.order] if self.plan.pipeline > 1 else ""
        yield (
            f"The plan is bound by {self.bound}. Each part takes its least time{schedule}: at the peak, with causal attention, "
            "and at the full bandwidth of the link and of all NICs of a node, in 16 bits. With full overlap, no run has a "
            f"higher MFU than {float(self.mfu_hidden):.1%}{_PAST_ONE if self.mfu_hidden > 1 else ''}."
        )
        if mfu is not None and mfu > self.mfu_hidden:
            yield f"The MFU above, {float(mfu):.1%}, is more than the plan allows: {float(self.mfu_hidden):.1%}."
        whole = _NOT_WHOLE.get(self.plan.zero)
        if whole is not None and self.micro_batches > 1 and self.plan.data > 1:
            yield f"ZeRO's stage {self.plan.zero} keeps no whole {whole}: each of {self.micro_batches} micro-batches sends its own."
        if self.waits:
            yield WAITS
        yield LEAVES_OUT


def as_bounds(step: PlannedStep, known: Known) -> PlannedStep:
    """A step whose times and utilisations are known as bounds, or as bounds of a length that is assumed."""
    return step._replace(data=each_figure(step.data, at_best(known, OF_BOUNDS)), known=known)


OF_BOUNDS: Final = (SECONDS, SHARE)
WAITS: Final = (
    "Pieces are not all as deep as one another: stages wait for those that are at deeper ones, which no time here counts (4% to 8% of a step, of 8 "
    "and 16 stages); a search tries such pieces only where it is asked for pieces or stages."
)


def _seconds_on(part: Part, resource: str) -> Fraction:
    """The least time that a part takes of the link, or of the network."""
    return part.least.link.seconds if resource == "link" else part.least.network.seconds


def planned_step(
    model: TracedModel,
    run: SequenceLengths,
    plan: Parallelism,
    batch: Batch,
    cluster: Cluster,
    peak: int,
    dtype: str,
    redone: Recomputed,
    count: Count = "full",
) -> PlannedStep:
    """The parts of a step, the least time that it takes, and what bounds it. Raises `RequestError` for a plan that cannot be."""
    plan = plan.trained
    check_plan(model.ledger, plan)
    spec = model.spec
    work = Workload(
        run, batch, spec.d_model, redone.policy, NARROW.get(dtype, BITS), spec.parallel_block, redone.stages
    )
    step = step_of(stages(spec, plan, model.ledger), plan, work, cluster, peak)
    flops = counted_flops(model.ledger, run, run.tokens * batch.sequences, count)
    shares = [mfu_of(flops, plan.devices, peak, seconds) for seconds in (step.seconds, step.seconds_in_turn)]
    data: Data = {
        **parallel_data(plan),
        "batch": batch.sequences,
        "micro_batch": batch.micro,
        "micro_batches": batch.micro_batches(plan),
        "bound_by": step.bound_by,
        "step_seconds_at_least": Figure(step.seconds, SECONDS, source=SOURCE),
        "step_seconds_in_turn": Figure(step.seconds_in_turn, SECONDS, source=SOURCE),
        "mfu_at_most": Figure(shares[0], SHARE),
        "mfu_in_turn": Figure(shares[1], SHARE),
        "computing_seconds": Figure(step.seconds_by["computing"], SECONDS, source=SOURCE),
        "link_seconds": Figure(step.seconds_by["link"], SECONDS, source=COLLECTIVES),
        "network_seconds": Figure(step.seconds_by["network"], SECONDS, source=COLLECTIVES),
        "parts": [part_data(part) for part in step.parts],
    }
    derived = tuple(_derived(step.parts, f"{spec.name}, a step"))
    waits = not even_rounds(spec, plan)
    return PlannedStep(spec.name, plan, batch, step, shares[0], shares[1], data, derived, waits=waits)


def part_data(part: Part) -> Record:
    """A part of a step: its least time, what it sends, and over which link."""
    sent = part.sent is not None
    return {
        "part": part.name,
        "seconds": Figure(part.seconds, SECONDS, source=part.source),
        "bytes": None if part.sent is None else Figure(part.sent, BYTES, source=SOURCE),
        "link_seconds": Figure(part.least.link.seconds, SECONDS, source=part.source) if sent else None,
        "network_seconds": Figure(part.least.network.seconds, SECONDS, source=part.source) if sent else None,
    }


def _derived(parts: tuple[Part, ...], subject: str) -> Iterator[Step]:
    """How the least time of each part that is sent was made."""
    for part in parts:
        if part.seconds and part.sent is not None:
            names, numbers = part.least.derivation
            yield Step(f"{part.name}, time", names, numbers, Figure(part.seconds, SECONDS, source=part.source), subject)
