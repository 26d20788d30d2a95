"""How training or serving is spread over devices: the degrees of each kind of parallelism. No arithmetic of a model."""

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from tscale.core.kept import is_plain
from tscale.core.tracing import is_array, maximum
from tscale.errors import RequestError, field

Schedule = Literal["1f1b", "interleaved", "zero-bubble", "dualpipe"]
"""In which order the stages of a pipeline run micro-batches (`tscale.core.costs.schedules`)."""

MOST_STAGES: Final = 512
"""Stages of a pipeline, each of which is counted by itself; no training has come near."""
MOST_PIECES: Final = 8192
"""Pieces of a stack, over all stages."""


Fits = Callable[["Parallelism"], bool]
"""Whether a model can be shared by a plan."""


def _any(_: "Parallelism") -> bool:
    """Where no model is known."""
    return True


class Parallelism(NamedTuple):
    """The degrees: how many devices share a model in each way; 1 where they do not.

    tensor: the matrices of a layer are cut (Shoeybi 2019); with `sequence`, what lies between them is cut along the
    sequence over the same devices (Korthikanti 2022, section 4.2.2). pipeline: the layers are assigned to stages
    (Narayanan 2021), each of `interleave` pieces of the stack, in the order of `schedule`; `stages` says how many layers each
    stage has, or each piece in the order of the stack, where they are not as even as possible. data: copies of the model read
    different sequences; with `zero` 1 to 3 they share optimizer states, gradients too, weights too (Rajbhandari 2019), among
    `shards` of them where that is not all (hybrid sharding). context: a sequence is cut over devices.

    expert: routed experts are divided over devices that a stage has already, those of tensor, context and data parallelism,
    and each of them is cut over `expert_tensor` of these (Liu 2025, parallel folding). None: over those of tensor
    parallelism, as an engine does; in training it is 1 (`trained`).
    """

    tensor: int = 1
    sequence: bool = False
    pipeline: int = 1
    interleave: int = 1
    data: int = 1
    zero: int = 0
    shards: int | None = None
    context: int = 1
    expert: int = 1
    expert_tensor: int | None = None
    stages: tuple[int, ...] | None = None
    schedule: Schedule | None = None

    @property
    def devices(self) -> int:
        """Devices in all; expert parallelism takes none of its own."""
        return self.tensor * self.pipeline * self.data * self.context

    @property
    def sharing(self) -> int:
        """Devices among which ZeRO divides what it divides: those of data and context parallelism, or `shards` of them."""
        return self.data * self.context if self.shards is None else self.shards

    @property
    def shards_weights(self) -> bool:
        """Whether copies share weights too, as stage 3 of ZeRO and FSDP2 have it; in arrays of plans an array."""
        return self.zero == 3

    @property
    def trained(self) -> "Parallelism":
        """The plan as a trainer reads it: routed experts are cut only where that is asked for."""
        return self if self.expert_tensor is not None else self._replace(expert_tensor=1)

    @property
    def cuts(self) -> "Parallelism | None":
        """What it says about cutting a model, for whoever keeps the pieces; None of degrees that remember, or of arrays.

        What copies, ZeRO and a cut sequence change is no ledger, unless experts are spread over them.
        """
        if not is_plain(self):
            return None
        return (
            self
            if self.expert > 1
            else Parallelism(
                self.tensor,
                False,
                self.pipeline,
                self.interleave,
                expert_tensor=self.expert_tensor,
                stages=self.stages,
                schedule=self.schedule,
            )
        )

    @property
    def expert_cut(self) -> int:
        """Devices over which each routed expert is cut."""
        return self.tensor if self.expert_tensor is None else self.expert_tensor

    @property
    def cuts_experts_apart(self) -> bool:
        """Whether routed experts are cut over other numbers of devices than the rest; in arrays of plans they may be."""
        cut, tensor = self.expert_cut, self.tensor
        return is_array(cut) or is_array(tensor) or cut != tensor

    @property
    def expert_copies(self) -> int:
        """Copies of each routed expert in a stage, over which its gradients are summed."""
        if self.expert_tensor is None:
            return self.data * self.context // self.expert
        return self.tensor * self.context * self.data // (self.expert * self.expert_tensor)

    @property
    def expert_shards(self) -> int:
        """Copies of a routed expert among which ZeRO divides it: all of them, or those within `shards`.

        Both Megatron-LM (instances of its distributed optimizer) and torchtitan cut the ranks that hold an expert at the same
        places as those that hold the rest; where one part of them has each expert at most once, nothing is divided.
        """
        if self.shards is None:
            return self.expert_copies
        return maximum(self.expert_copies * self.shards // (self.data * self.context), 1)

    @property
    def order(self) -> Schedule:
        """The schedule of the pipeline: 1F1B where nothing is said, interleaved where a stage has several pieces."""
        return self.schedule or ("interleaved" if self.interleave > 1 else "1f1b")

    @property
    def is_divided(self) -> bool:
        """Whether the devices of a stage divide into groups as the degrees say."""
        ranks = self.data * self.context
        experts, cut = (ranks, 1) if self.expert_tensor is None else (ranks * self.tensor, self.expert_tensor)
        return (
            experts % (self.expert * cut) == 0
            and (self.shards is None or ranks % self.shards == 0)
            and not (self.sequence and self.tensor == 1)
        )

    def advice(self, name: str, numbers: list[int], fits: Fits) -> str:
        """Those of some numbers for a field with which the plan can be; all of them where another field is wrong too."""
        plans = [(number, self._with(name, number)) for number in numbers]
        return or_list([number for number, plan in plans if plan.is_divided and fits(plan)] or numbers)

    def _with(self, name: str, number: Any) -> "Parallelism":
        return self._replace(**{name: number})

    def check(self, fits: Fits = _any) -> None:
        """Raises `RequestError` for degrees that contradict one another; `fits`: whether a model can be shared by a plan."""
        if self.interleave > 1 and self.pipeline == 1:
            raise RequestError(
                f"an interleaved schedule needs pipeline stages: set {field('pipeline')}, or drop {field('interleave')}"
            )
        if self.sequence and self.tensor == 1:
            raise RequestError(f"sequence parallelism is over the devices of tensor parallelism: set {field('tensor')}")
        self._check_schedule()
        self._check_stages()
        self._check_experts(fits)
        ranks = self.data * self.context
        if self.shards is not None and ranks % self.shards:
            raise RequestError(
                f"{self.shards} shards do not divide the {ranks} devices of data and context parallelism: "
                f"use {self.advice('shards', divisors(ranks), fits)}"
            )

    def _check_schedule(self) -> None:
        if self.schedule is None:
            return
        if self.pipeline == 1:
            raise RequestError(
                f"a {self.schedule} schedule needs pipeline stages: set {field('pipeline')}, or drop {field('schedule')}"
            )
        if self.schedule == "interleaved" and self.interleave == 1:
            raise RequestError(
                f"an interleaved schedule has several pieces a stage: set {field('interleave')} to 2 or more"
            )
        if self.schedule != "interleaved" and self.interleave > 1:
            raise RequestError(
                f"a {self.schedule} schedule has one piece of the stack a stage: drop {field('interleave')}, or use {field('schedule', 'interleaved')}"
            )
        if self.schedule == "dualpipe" and self.pipeline % 2:
            raise RequestError(
                f"dualpipe sends micro-batches in from both ends of an even number of stages, not {self.pipeline}: use "
                f"{field('pipeline', self.pipeline - 1)} or {self.pipeline + 1}"
            )

    def _check_stages(self) -> None:
        if self.stages is None:
            return
        count, pieces = len(self.stages), self.pipeline * self.interleave
        if count not in (self.pipeline, pieces):
            wanted = (
                f"{self.pipeline}" if pieces == self.pipeline else f"{self.pipeline} (or {pieces}, one for each piece)"
            )
            raise RequestError(f"{field('stages')} has {count} numbers for {self.pipeline} stages: give it {wanted}")
        inner = self.stages[1:-1] if count == pieces else self.stages
        if min(self.stages) < 0 or 0 in inner:
            raise RequestError(
                "a stage without layers is the first or the last one, with the embedding or the head alone: give each other one "
                f"1 layer or more in {field('stages')}"
            )

        if count < pieces and min(self.stages) < self.interleave:
            raise RequestError(
                f"a stage of {min(self.stages)} layers has not {self.interleave} pieces: leave {field('stages')} out, or give each stage "
                f"{self.interleave} layers or more"
            )

    def _check_experts(self, fits: Fits) -> None:
        if self.expert_tensor is None:
            ranks, what, cut = self.data * self.context, "data and context parallelism", 1
        else:
            ranks, what = self.tensor * self.context * self.data, "tensor, context and data parallelism"
            cut = self.expert_tensor
        if ranks % cut:
            raise RequestError(
                f"experts that are cut over {cut} are over the {ranks} devices of {what}, which that does not divide: use "
                f"{field('expert_tensor', self.advice('expert_tensor', divisors(ranks), fits))}"
            )
        if ranks % (self.expert * cut):
            by = f"{self.expert}" if cut == 1 else f"{self.expert}, each cut over {cut},"
            raise RequestError(
                f"expert parallelism by {by} is over the {ranks} devices of {what}, which it does not divide: use "
                f"{self.advice('expert', divisors(ranks // cut), fits)}"
            )


def divisors(number: int) -> list[int]:
    """The divisors of a number, in order."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def or_list(numbers: list[int]) -> str:
    """`1, 2, 4 or 8`; of many numbers, the first dozen."""
    shown = [str(number) for number in numbers[:12]]
    if len(numbers) > len(shown):
        return ", ".join([*shown, "..."])
    return " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
