"""How training is spread over devices and computed: the options that `memory --train` and `train` share."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Final

from tscale.analysis import options
from tscale.analysis.request import Request, asked
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.recompute import Again
from tscale.errors import RequestError

if TYPE_CHECKING:
    from tscale.core.costs.states import Offload
    from tscale.core.ledger import NormKernel
    from tscale.core.parallelism import Parallelism, Schedule
    from tscale.core.roles import Role
    from tscale.models.adapter_spec import Adapter

DEGREES: Final = (
    "data", "tensor", "sequence", "context_parallel", "pipeline", "stages", "interleave", "schedule", "expert",
    "expert_tensor", "zero", "shards",
)  # fmt: skip
"""The fields that a plan of devices is made of."""
POLICIES: Final = (
    "precision", "optimizer", "micro_batch", "recompute", "attention", "kernels", "loss", "dropout",
    "optimizer_in_backward", "offload",
)  # fmt: skip
"""The fields that say how a step is computed."""


NO_ADAPTERS: Final = "--lora-targets is of adapters: add --lora-rank or --qlora, or drop it"


def _not_plain(own: Adapter) -> str:
    """What adapters that are not plain ones have, in words."""
    if own.places:
        return "in some layers alone, or with a rank in each"
    return "with several ranks" if own.ranks else "with one matrix for several, as qkv is"


def rank_of(asked: int | None, own: Adapter | None) -> int | None:
    """The rank of adapters: as asked, or of those that a model is. Raises `RequestError` for adapters that are not counted."""
    if own is not None and not own.is_plain:
        raise RequestError(
            f"tscale does not know what training takes of adapters {_not_plain(own)}: `tscale params` counts them, and --lora-rank and "
            "--lora-targets on the model that they are for are plain ones"
        )
    if own is not None and (own.magnitudes or own.whole):
        what = "magnitudes (DoRA)" if own.magnitudes else "modules that are trained whole (modules_to_save)"
        raise RequestError(
            f"tscale does not know what training takes of adapters with {what}: set --set adapter.magnitudes=false and "
            "--set adapter.whole=[]"
        )
    return asked or (own.rank if own else None)


def targets_of(asked: frozenset[Role] | None, own: Adapter | None, given: Container[str]) -> frozenset[Role] | None:
    """The matrices that have adapters: as asked where that is given, or of those that a model is; None for all."""
    return own.roles if own and "lora_targets" not in given else asked


@spec_dataclass
class Spread(Request):
    """Devices, the degrees of each kind of parallelism, and how a step is computed."""

    gpus: int | None = asked(options.GPUS)
    precision: str = asked(options.PRECISION, "bf16")
    optimizer: str = asked(options.OPTIMIZER, "adamw")
    micro_batch: int = asked(options.MICRO_BATCH, 1)
    recompute: Again = asked(options.RECOMPUTE, Again())
    attention: str = asked(options.ATTENTION, "flash")
    kernels: NormKernel = asked(options.KERNELS, "fused")
    loss: str | None = asked(options.LOSS)
    dropout: bool = asked(options.DROPOUT, False)
    optimizer_in_backward: bool = asked(options.OPTIMIZER_IN_BACKWARD, default=False)
    offload: frozenset[Offload] = asked(options.OFFLOAD, frozenset())
    data: int | None = asked(options.DATA)
    zero: int = asked(options.ZERO, 0)
    shards: int | None = asked(options.SHARDS)
    tensor: int = asked(options.TENSOR, 1)
    sequence: bool = asked(options.SEQUENCE, False)
    pipeline: int = asked(options.PIPELINE, 1)
    stages: tuple[int, ...] | None = asked(options.STAGES)
    interleave: int = asked(options.INTERLEAVE, 1)
    schedule: Schedule | None = asked(options.SCHEDULE)
    context_parallel: int = asked(options.CONTEXT_PARALLEL, 1)
    expert: int = asked(options.EXPERT, 1)
    expert_tensor: int | None = asked(options.EXPERT_TENSOR)
    lora_rank: int | None = asked(options.LORA_RANK)
    lora_targets: frozenset[Role] | None = asked(options.LORA_TARGETS)

    def rank_of(self, own: Adapter | None) -> int | None:
        """The rank of adapters: as asked, or of those that the model is. Raises `RequestError` for adapters that are not counted."""
        return rank_of(self.lora_rank, own)

    def targets_of(self, own: Adapter | None) -> frozenset[Role] | None:
        """The matrices that have adapters: as asked, or of those that the model is; None for all."""
        return targets_of(self.lora_targets, own, self.given)

    @property
    def plan(self) -> Parallelism:
        """The plan over all devices. Raises `RequestError` where the degrees do not make up as many."""
        from tscale.core.parallelism import Parallelism, divisors, or_list

        plan = Parallelism(
            tensor=self.tensor,
            sequence=self.sequence,
            pipeline=self.pipeline,
            interleave=self.interleave,
            zero=self.zero,
            shards=self.shards,
            context=self.context_parallel,
            expert=self.expert,
            expert_tensor=self.expert_tensor,
            stages=self.stages,
            schedule=self.schedule,
        )
        given, copies, one = self.gpus, self.data, plan.devices
        if given is None:
            return plan._replace(data=copies or 1)
        if given % one:
            fitting = [ways for ways in divisors(given) if ways < one]
            raise RequestError(
                f"{given:,} GPUs are not a multiple of the {one:,} that --tensor, --pipeline and --context-parallel take: let "
                f"them take {or_list(fitting)}, or give {-(-given // one) * one:,} GPUs"
            )
        if copies is not None and copies * one != given:
            raise RequestError(
                f"{copies:,} copies of the model, each on {one:,} GPU{'s' if one > 1 else ''}, are not {given:,} GPUs: drop "
                "--data or --gpus"
            )
        return plan._replace(data=given // one)
