"""How a model is to be trained, and on what: what is asked of the memory of training."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from tscale.blocks import Rwkv
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.states import adapters
from tscale.core.costs.training_setup import Training
from tscale.core.dtypes import DTYPES
from tscale.core.loss_kernels import find_kernel
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, field
from tscale.estimates.capacity import Capacity, training_capacity
from tscale.estimates.media import Media, tower_passes
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.trainer import RANK


class Ask(NamedTuple):
    """How a model is to be trained, and on what, where that is given; its run is that of the context."""

    how: Training = Training()
    context: int | None = None
    memory_share: Fraction | None = None
    hardware: Hardware | None = None
    media: Media = Media()
    """Images and sounds in a sequence, whose towers keep activations."""

    def with_(self, **changes: Any) -> Ask:
        """The same of a training that is so in other ways."""
        return self._replace(how=self.how._replace(**changes))


def train_ask(
    *,
    precision: str,
    optimizer: str,
    rank: int | None,
    qlora: bool,
    loss: str | None = None,
    context: int | None = None,
    memory_share: Fraction | None = None,
    hardware: Hardware | None = None,
    media: Media = Media(),
    **given: Any,
) -> Ask:
    """What is asked, by the names of recipe, optimizer and loss; QLoRA is adapters on a model in nf4."""
    how = Training(
        loss=None if loss is None else find_kernel(loss).name,
        precision=PRECISIONS[precision],
        optimizer=OPTIMIZERS[optimizer],
        rank=rank or (RANK if qlora else None),
        base=DTYPES["nf4"] if qlora else None,
        **given,
    )
    return Ask(how, context, memory_share, hardware, media)


def multiplied_in_16(name: str, format: str) -> RequestError:
    """That products of fewer bits are asked of QLoRA, by the option that asks for them."""
    return RequestError(
        f"{field(name, format)} multiplies in fewer bits, and {field('qlora')} in 16 what is frozen in 4 (Dettmers 2023, section 3): "
        f"use {field(name, 'bf16')}, or drop {field('qlora')}"
    )


def refuse(spec: ModelSpec, ask: Ask) -> None:
    """Raises `RequestError` for what cannot be trained so."""
    if ask.how.base is not None and ask.how.precision.products:
        raise multiplied_in_16("precision", ask.how.precision.name)
    if ask.how.rank is not None and ask.how.rank > spec.d_model:
        raise RequestError(
            f"a rank of {ask.how.rank:,} is no low one: {spec.label} is {spec.d_model:,} wide, the most for {field('lora_rank')}"
        )
    if ask.how.rank is not None and not adapters(lower(spec), ask.how.rank, ask.how.lora_targets).entries:
        raise RequestError(
            f"{spec.label} has none of the matrices that {field('lora_targets')} names: name others, such as all, or drop it"
        )
    if ask.how.precision.name == "fp16" and any(isinstance(mixer, Rwkv) for mixer in spec.mixers):
        raise RequestError(
            f"{spec.label}'s kernel keeps its arrays in 32 bits where the rest is in fp16, which is not counted: use {field('precision')} bf16"
        )


def capacity_of(ask: Ask) -> Capacity | None:
    """What a device has for it; None without hardware."""
    return None if ask.hardware is None else training_capacity(ask.hardware.device(), ask.how.plan, ask.memory_share)


def training_of(spec: ModelSpec, ask: Ask) -> Training:
    """What is asked about a model, with what runs through its towers; how long a sequence is, the context says.

    Raises `RequestError` for images and sounds that it does not read.
    """
    if not ask.media.any:
        return ask.how
    return ask.how._replace(run=SequenceLengths(target=0, media=tower_passes(spec, ask.media)))
