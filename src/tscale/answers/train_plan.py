"""What a parallel plan makes of a training run: the bounds that it sets, beside the time of `tscale.answers.train`."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.common import Counted
from tscale.core.device import Cluster
from tscale.core.plan import Plan
from tscale.core.quantity import Cell, Column, Data, Figure, Table
from tscale.core.questions.communication import LEAVES_OUT, TWO_SUMS
from tscale.core.questions.step_time import SOURCE, Batch, Part, step_parts
from tscale.core.questions.training import training_flops
from tscale.core.questions.wall_time import Recompute, mfu_of
from tscale.core.run import Run
from tscale.core.units import BYTES, SECONDS, SHARE
from tscale.spec.stages import stages

_NOT_WHOLE: Final = {2: "gradients", 3: "weights and gradients"}


class PlannedStep(NamedTuple):
    """A step of a plan: its parts, and the utilisation with the sending hidden behind the computing, and without."""

    plan: Plan
    micro_batches: int
    parts: tuple[Part, ...]
    mfu_hidden: Fraction
    mfu_serial: Fraction
    table: Table
    data: Data

    @property
    def bound(self) -> str:
        """What takes longest: the computing with its bubble, or one of the things that are sent."""
        return max(_side_by_side(self.parts).items(), key=lambda item: item[1])[0]

    def notes(self, mfu: Fraction) -> Iterator[str]:
        """What must be said of the plan, beside the utilisation that the run was reckoned with."""
        yield (
            f"The plan is bound by {self.bound}. Each part is at the peak and at the full bandwidth of the links, in 16 bits, "
            "so that no run has a higher MFU than with all sending hidden."
        )
        if mfu > self.mfu_hidden:
            yield f"The MFU above, {float(mfu):.1%}, is more than the plan allows: {float(self.mfu_hidden):.1%}."
        whole = _NOT_WHOLE.get(self.plan.zero)
        if whole is not None and self.micro_batches > 1 and self.plan.data > 1:
            yield f"ZeRO's stage {self.plan.zero} keeps no whole {whole}: each of {self.micro_batches} micro-batches sends its own."
        yield f"{LEAVES_OUT} {TWO_SUMS}" if self.plan.tensor > 1 else LEAVES_OUT


def planned_step(
    model: Counted, run: Run, plan: Plan, batch: Batch, cluster: Cluster, peak: int, recompute: Recompute
) -> PlannedStep:
    """The parts of a step, the least time that it takes, and what bounds it. Raises `RequestError` for a plan that cannot be."""
    plan.check()
    spec = model.spec
    parts = step_parts(
        stages(spec, plan), spec.d_model, run, plan, batch, cluster, peak, recompute, side_by_side=spec.side_by_side
    )
    serial = sum((part.seconds for part in parts), Fraction())
    hidden = max(_side_by_side(parts).values())
    flops = training_flops(model.ledger, run, run.tokens * batch.sequences)
    shares = [mfu_of(flops, plan.devices, peak, seconds) for seconds in (hidden, serial)]
    data: Data = {
        "tensor": plan.tensor,
        "pipeline": plan.pipeline,
        "interleave": plan.interleave,
        "data": plan.data,
        "zero": plan.zero,
        "batch": batch.sequences,
        "micro_batch": batch.micro,
        "micro_batches": batch.micro_batches(plan),
        "step_seconds_at_least": Figure(hidden, SECONDS, source=SOURCE),
        "step_seconds_in_turn": Figure(serial, SECONDS, source=SOURCE),
        "mfu_at_most": Figure(shares[0], SHARE),
        "mfu_in_turn": Figure(shares[1], SHARE),
        "parts": [
            {
                "part": part.name,
                "seconds": Figure(part.seconds, SECONDS, source=SOURCE),
                "bytes": None if part.sent is None else Figure(part.sent, BYTES, source=SOURCE),
            }
            for part in parts
        ],
    }
    table = _table(model, plan, batch, parts, (hidden, shares[0]), (serial, shares[1]))
    return PlannedStep(plan, batch.micro_batches(plan), parts, shares[0], shares[1], table, data)


def _side_by_side(parts: tuple[Part, ...]) -> dict[str, Fraction]:
    """The times that may pass at once: the computing with its bubble, and each thing that is sent."""
    times = {"computing": sum((part.seconds for part in parts if part.sent is None), Fraction())}
    return times | {part.name: part.seconds for part in parts if part.sent is not None}


def _table(
    model: Counted,
    plan: Plan,
    batch: Batch,
    parts: tuple[Part, ...],
    hidden: tuple[Fraction, Fraction],
    serial: tuple[Fraction, Fraction],
) -> Table:
    ways = {"tensor": plan.tensor, "pipeline": plan.pipeline, "data": plan.data}
    spread = " × ".join(f"{degree} {way}" for way, degree in ways.items())
    columns = (
        Column("of a step", "part", numeric=False),
        Column("a device sends", "sent"),
        Column("seconds", "seconds"),
        Column("of computing", "share"),
        Column("MFU", "mfu"),
    )
    computing = parts[0].seconds
    nothing: Cell = ""
    rows: list[tuple[Cell, ...]] = [
        (
            part.name,
            nothing if part.sent is None else Figure(part.sent, BYTES, source=SOURCE),
            Figure(part.seconds, SECONDS, source=SOURCE),
            Figure(part.seconds / computing, SHARE),
            nothing,
        )
        for part in parts
    ]
    for name, (seconds, mfu) in (("all sending hidden", hidden), ("one after the other", serial)):
        rows.append((name, nothing, Figure(seconds, SECONDS), Figure(seconds / computing, SHARE), Figure(mfu, SHARE)))
    title = f"the least that a step of {batch.sequences:,} sequences takes on {plan.devices:,} devices ({spread})"
    return Table(title, columns, tuple(rows), subject=model.spec.name, totals=frozenset({len(parts), len(parts) + 1}))
