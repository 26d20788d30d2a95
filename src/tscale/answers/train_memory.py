"""Whether a training run that is timed has room: what `tscale memory --train` says of its plan, or of its states alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tscale.answers.capacity import VERDICTS, Verdict
from tscale.answers.memory_train import Ask, memory_train_report, train_ask
from tscale.answers.trained import training_length
from tscale.answers.trainer import trainer
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.step_time import Batch
from tscale.core.costs.training_memory import Training
from tscale.core.costs.wall_time import Recompute
from tscale.core.metric import Data, Figure
from tscale.core.parallelism import Parallelism
from tscale.core.units import BYTES
from tscale.core.workload import Run
from tscale.errors import TscaleError
from tscale.models.spec import ModelSpec

RECIPE: Final = ("bf16", "adamw")
"""Precision and optimizer: those that `memory --train` takes where nothing is said."""
_KEYS: Final = (
    "precision",
    "optimizer",
    "per_device_bytes",
    "least_total_bytes",
    "memory_bytes",
    "device_bytes",
    "reserve_bytes",
    "usable_bytes",
    "missing_bytes",
    "fits",
    "verdict",
)


class PlanMemory(NamedTuple):
    """What a device of a plan holds, at the most and at the least; `verdict` is None where it cannot be counted: `why` says why."""

    verdict: Verdict | None
    total: int
    least: int
    memory: int
    data: Data
    why: str = ""

    def said(self) -> str:
        """The verdict in a sentence."""
        if self.verdict is None:
            return f"What a device of the plan holds is not known here: {self.why}."
        more = "" if self.verdict == "fits" else "; `tscale memory --train` with the same options shows what would"
        held = _gb(self.total) if self.least == self.total else f"{_gb(self.least)} to {_gb(self.total)}"
        return (
            f"The plan {VERDICTS[self.verdict]}: a device holds {held} and has {_gb(self.memory)} ({RECIPE[0]} with "
            f"{RECIPE[1]}){more}."
        )


def plan_memory(
    spec: ModelSpec, hardware: Hardware, plan: Parallelism, batch: Batch, context: int | None, recompute: Recompute
) -> PlanMemory:
    """What `memory --train` says of the same plan, in bf16 mixed precision with AdamW."""
    ask = train_ask(
        precision=RECIPE[0],
        optimizer=RECIPE[1],
        rank=None,
        qlora=False,
        plan=plan,
        micro_batch=batch.micro,
        context=context,
        recompute=recompute,
        hardware=hardware,
    )
    try:
        told = memory_train_report(spec, ask).data
    except TscaleError as error:
        return PlanMemory(None, 0, 0, 0, None, str(error))
    assert isinstance(told, Mapping)
    held = told["per_device_bytes"]
    assert isinstance(held, Mapping)
    data: Data = {key: told[key] for key in _KEYS}
    total, least = _bytes(held["total"]), _bytes(told["least_total_bytes"])
    return PlanMemory(_verdict(told["verdict"]), total, least, _bytes(told["device_bytes"]), data)


class States(NamedTuple):
    """Weights, gradients, master copy and optimizer states of all devices together, and the memory of these devices."""

    gpus: int
    total: int
    memory: int

    @property
    def fit(self) -> bool:
        """Whether there is room for the states, were they spread evenly and were there nothing else."""
        return self.total <= self.memory

    def said(self) -> str:
        """Why there is no room."""
        least = -(-self.total * self.gpus // self.memory)
        many = "One device has" if self.gpus == 1 else f"{self.gpus:,} devices have"
        return (
            f"It does not fit: {many} {_gb(self.memory)}{'' if self.gpus == 1 else ' together'}, and weights, gradients and "
            f"optimizer states alone take {_gb(self.total)} ({RECIPE[0]} with {RECIPE[1]}), {least:,} devices at least."
        )

    def data(self) -> Data:
        """For programs."""
        return {
            "training_state_bytes": Figure(self.total, BYTES),
            "device_bytes_of_all": Figure(self.memory, BYTES, "cited"),
            "verdict": None if self.fit else "does_not_fit",
        }


def all_states(spec: ModelSpec, hardware: Hardware, gpus: int) -> States | None:
    """What any way to spread a run over so many devices must hold; None where its states cannot be counted."""
    ask = Ask()
    training = Training(ask.recipe, ask.optimizer, ask.plan, Run(target=0))
    try:
        needs = trainer(spec, training, int(training_length(spec, None).value)).worst()[1]
    except TscaleError:
        return None
    total = sum(int(part.total) for part in (needs.weights, needs.gradients, needs.master, needs.optimizer))
    return States(gpus, total, gpus * hardware.device().device_bytes)


def _verdict(data: Data) -> Verdict:
    return next(verdict for verdict in VERDICTS if verdict == data)


def _bytes(data: Data) -> int:
    assert isinstance(data, Figure)
    return int(data.value)


def _gb(size: int) -> str:
    return f"{float(f'{size / 10**9:.4g}'):,.12g} GB"
