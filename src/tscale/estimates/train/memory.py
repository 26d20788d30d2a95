"""Whether a training run that is timed has room: what `tscale memory --train` says of its plan, or of its states alone."""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.costs.training_setup import Training
from tscale.core.metric import Data, Figure
from tscale.core.number_text import gigabytes
from tscale.core.precision import PRECISIONS
from tscale.core.roles import Role
from tscale.core.units import BYTES
from tscale.errors import TscaleError, ended
from tscale.estimates.capacity import VERDICTS, Verdict
from tscale.estimates.memory.peak import precision_of
from tscale.estimates.memory_train.ask import Ask
from tscale.estimates.memory_train.held import weighed
from tscale.estimates.trained import training_length
from tscale.models.spec import ModelSpec
from tscale.models.trainer import trainer

PRECISION, OPTIMIZER = "bf16", "adamw"
"""Those that `memory --train` takes where nothing is said."""
_KEYS: Final = (
    "per_device_bytes", "least_total_bytes", "memory_bytes", "device_bytes", "reserve_bytes", "usable_bytes",
    "missing_bytes", "fits", "verdict",
)  # fmt: skip


class PlanMemory(NamedTuple):
    """What a device of a plan holds, at the most and at the least; `verdict` is None where it cannot be counted: `why` says why."""

    verdict: Verdict | None
    total: int
    least: int
    memory: int
    data: Data
    command: str
    """The command that shows the same in parts."""
    precision: str = PRECISION
    optimizer: str = OPTIMIZER
    why: str = ""

    def said(self) -> str:
        """The verdict in a sentence."""
        if self.verdict is None:
            return ended(f"What a device of the plan holds is not known here: {self.why}")
        more = "" if self.verdict == "fits" else f"; see `{self.command}`"
        needed = (
            gigabytes(self.total) if self.least == self.total else f"{gigabytes(self.least)} to {gigabytes(self.total)}"
        )
        return (
            f"The plan {VERDICTS[self.verdict]}: a device needs {needed} and has {gigabytes(self.memory)} ({self.precision}, "
            f"{self.optimizer}){more}."
        )


def plan_memory(spec: ModelSpec, hardware: Hardware, ask: Ask, command: str) -> PlanMemory:
    """What `memory --train` says of the same plan; `command` asks it."""
    precision, optimizer = ask.how.precision.name, ask.how.optimizer.name
    try:
        one = weighed(spec, ask._replace(hardware=hardware))
    except TscaleError as error:
        return PlanMemory(
            None, 0, 0, 0, {"verdict": None, "why": str(error)}, command, precision, optimizer, str(error)
        )
    assert one.capacity is not None
    told = one.data
    data: Data = {
        "precision": precision,
        "optimizer": optimizer,
        **{key: told[key] for key in _KEYS},
        "command": command,
    }
    verdict, memory = one.capacity.verdict(one.total, one.least), one.capacity.device.device_bytes
    return PlanMemory(verdict, one.total, one.least, memory, data, command, precision, optimizer)


class States(NamedTuple):
    """Weights, gradients, master copy and optimizer states of a run, and the memory of all its devices."""

    gpus: int
    total: int
    memory: int
    precision: str = PRECISION

    @property
    def fit(self) -> bool:
        """Whether there is room for the states, were they spread evenly and were there nothing else."""
        return self.total <= self.memory

    def said(self) -> str:
        """Why there is no room."""
        least = -(-self.total * self.gpus // self.memory)
        have = "One device has" if self.gpus == 1 else f"{self.gpus:,} devices have a total of"
        return (
            f"It does not fit: {have} {gigabytes(self.memory)}, and weights, gradients and optimizer states alone take "
            f"{gigabytes(self.total)} ({self.precision}, {OPTIMIZER}): {least:,} devices at least."
        )

    def data(self, of_plan: Verdict | None = None) -> Data:
        """For programs. `of_plan`: what is said of the plan; without one, what has room for its states may fit."""
        return {
            "training_state_bytes": Figure(self.total, BYTES),
            "device_bytes_of_all": Figure(self.memory, BYTES, "cited"),
            "verdict": of_plan or ("may_fit" if self.fit else "does_not_fit"),
        }


def all_states(
    spec: ModelSpec,
    hardware: Hardware,
    gpus: int,
    dtype: str,
    rank: int | None = None,
    targets: frozenset[Role] | None = None,
) -> States | str:
    """What any way to spread a run over so many devices must hold; why it is not known where its states cannot be counted."""
    precision = precision_of(dtype)
    training = Training(PRECISIONS[precision], rank=rank, lora_targets=targets)
    try:
        needs = trainer(spec, training, int(training_length(spec, None).value)).worst()[1]
    except TscaleError as error:
        return str(error)
    total = sum(int(part.total) for part in (needs.weights, needs.gradients, needs.master, needs.optimizer))
    return States(gpus, total, gpus * hardware.device().device_bytes, precision)
