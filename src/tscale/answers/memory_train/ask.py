"""How a model is to be trained, and on what: what is asked of the memory of training."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from tscale.answers.capacity import Capacity, training_capacity
from tscale.answers.trainer import RANK
from tscale.blocks import Rwkv
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.activations import Attention, Recompute
from tscale.core.costs.recompute import Again
from tscale.core.costs.states import Offload, adapters
from tscale.core.costs.training_setup import Training
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.ledger import NormKernel
from tscale.core.loss_kernels import find_kernel
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS, Optimizer, Precision
from tscale.core.roles import Role
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec


class Ask(NamedTuple):
    """How a model is to be trained, and on what, where that is given."""

    precision: Precision = PRECISIONS["bf16"]
    optimizer: Optimizer = OPTIMIZERS["adamw"]
    plan: Parallelism = Parallelism()
    micro_batch: int = 1
    context: int | None = None
    attention: Attention = "flash"
    recompute: Recompute = "none"
    dropout: bool = False
    rank: int | None = None
    base: Dtype | None = None
    memory_share: Fraction | None = None
    hardware: Hardware | None = None
    loss: str | None = None
    kernels: NormKernel = "fused"
    again: Again | None = None
    optimizer_in_backward: bool = False
    offload: frozenset[Offload] = frozenset()
    lora_targets: frozenset[Role] | None = None
    batch: int | None = None
    """Sequences of a step over all copies, of which no more are in flight in a pipeline."""


def train_ask(
    *, precision: str, optimizer: str, rank: int | None, qlora: bool, loss: str | None = None, **given: Any
) -> Ask:
    """What is asked, by the names of recipe, optimizer and loss; QLoRA is adapters on a model in nf4."""
    return Ask(
        loss=None if loss is None else find_kernel(loss).name,
        precision=PRECISIONS[precision],
        optimizer=OPTIMIZERS[optimizer],
        rank=rank or (RANK if qlora else None),
        base=DTYPES["nf4"] if qlora else None,
        **given,
    )


def refuse(spec: ModelSpec, ask: Ask) -> None:
    """Raises `RequestError` for what cannot be trained so."""
    if ask.rank is not None and ask.rank > spec.d_model:
        raise RequestError(
            f"a rank of {ask.rank:,} is no low one: {spec.label} is {spec.d_model:,} wide, the most for --lora-rank"
        )
    if ask.rank is not None and not adapters(lower(spec), ask.rank, ask.lora_targets).entries:
        raise RequestError(
            f"{spec.label} has none of the matrices that --lora-targets names: name others, such as all, or drop it"
        )
    if ask.precision.name == "fp16" and any(isinstance(mixer, Rwkv) for mixer in spec.mixers):
        raise RequestError(
            f"{spec.label}'s kernel keeps its arrays in 32 bits where the rest is in fp16, which is not counted: use --precision bf16"
        )


def capacity_of(ask: Ask) -> Capacity | None:
    """What a device has for it; None without hardware."""
    return None if ask.hardware is None else training_capacity(ask.hardware.device(), ask.plan, ask.memory_share)


def training_of(ask: Ask) -> Training:
    """What is asked about, without the run, which the context gives."""
    given = ask._asdict()
    for apart in ("context", "memory_share", "hardware"):
        del given[apart]
    return Training(run=SequenceLengths(target=0), **given)
