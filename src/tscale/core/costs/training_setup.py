"""How a model is trained, as far as memory asks; and what a device needs for it, by what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

from tscale.core.costs.activations import Attention, Kernels, Passes, keeping
from tscale.core.costs.states import Offload
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.kept import is_plain, keep
from tscale.core.ledger import Ledger, NormKernel, Saved
from tscale.core.loss_kernels import OF_TRANSFORMERS, default_kernel
from tscale.core.metric import JointLine, Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS, Optimizer, Precision
from tscale.core.recompute import Again, Recompute
from tscale.core.roles import Role
from tscale.core.tracing import ceil_div, is_one
from tscale.core.workload import SequenceLengths

T = TypeVar("T")

Peak = Literal["reserved", "held"]
"""How a peak is counted: as an allocator reserves memory for it, or what is live then, the model's output with it where the loop refers to it."""


class Adapters(NamedTuple):
    """Low-rank adapters on a frozen model: their rank, the matrices that have one (None for all), and the model's format of few bits."""

    rank: int
    targets: frozenset[Role] | None = None
    base: Dtype | None = None


class Training(NamedTuple):
    """How a model is trained: formats, optimizer, plan, sequences at a time and what of them is kept.

    `rank`: of low-rank adapters, where the model itself is frozen and kept in `base`; `lora_targets`: the matrices that have one, None
    for all. `loss`: the kernel that computes it, None for that of the common trainer. `kernels`: how norms and gates are computed.
    `again`: the layers that `recompute` is about, where these are not all, or it goes product by product.
    `optimizer_in_backward`: whether a parameter is updated as soon as it has its gradient. `offload`: what the host keeps.
    `batch`: sequences of a step over all copies; None where that is not said. `inputs_kept`: whether frozen matrices keep their inputs
    that no adapter reads, as those of bitsandbytes before 0.43.2 do. `adapter_dropout`: whether adapters drop out some of their inputs.
    `repeats_keys`: whether a fused attention is given a copy of grouped keys and values for every head.
    """

    precision: Precision = PRECISIONS["bf16"]
    optimizer: Optimizer = OPTIMIZERS["adamw"]
    plan: Parallelism = Parallelism()
    run: SequenceLengths = SequenceLengths(target=0)
    micro_batch: int = 1
    attention: Attention = "flash"
    recompute: Recompute = "none"
    dropout: bool = False
    rank: int | None = None
    base: Dtype | None = None
    loss: str | None = None
    kernels: NormKernel = "fused"
    again: Again | None = None
    optimizer_in_backward: bool = False
    offload: frozenset[Offload] = frozenset()
    lora_targets: frozenset[Role] | None = None
    batch: int | None = None
    inputs_kept: bool = False
    adapter_dropout: bool = False
    repeats_keys: bool = False

    @property
    def micro_batches(self) -> int | None:
        """Micro-batches of a step that a copy of the model takes; None where that is not said, but enough to fill a pipeline."""
        return None if self.batch is None else ceil_div(self.batch, self.plan.data * self.micro_batch)

    @property
    def passes(self) -> Passes:
        """How its forward passes are run; where policies are laid out layer by layer, those say what is kept."""
        how = keeping(self.attention, "none" if self.is_laid_out else self.recompute)
        residual = 4 if self.prepared else None
        gates: Kernels = "fused" if self.kernels == "fused" else "eager"
        products = self.precision.products or None
        return Passes(
            self.micro_batch,
            how,
            self.precision.activations,
            self.dropout,
            gates,
            residual,
            products,
            self.kernels,
            self.repeats_keys,
        )

    @property
    def is_laid_out(self) -> bool:
        """Whether what is kept is said layer by layer, or product by product, and not by one way of keeping."""
        return self.recompute == "op" or (self.again is not None and self.again.of_some)

    @property
    def loss_kernel(self) -> str:
        """The kernel that computes the loss."""
        return self.loss or default_kernel(self.plan, adapters=self.rank is not None).name

    @property
    def prepared(self) -> bool:
        """Whether peft has prepared a model of few bits for transformers' trainer (`prepare_model_for_kbit_training`).

        It keeps in fp32 what is not in few bits: tables, head and norms, and so the residual stream and the logits in the output.
        """
        return self.base is not None and self.loss_kernel in OF_TRANSFORMERS

    @property
    def weights_format(self) -> Dtype:
        """What the model's weights are kept in."""
        if self.base is None:
            return DTYPES[self.precision.weights]
        return self.base._replace(rest="fp32") if self.prepared else self.base

    @property
    def fsdp(self) -> bool:
        """Whether it is spread as torchtitan does it: by FSDP2, and by DTensor where tensors are cut."""
        return self.precision.gathered and self.plan.zero >= 2 and not is_one(self.plan.sharing)


class BesideActivations(JointLine):
    """The line of gradients that stand beside the activations at their most, where gradients come as activations go."""

    __slots__ = ()


class Needs(NamedTuple):
    """Bytes that one device needs, by what they are for.

    `logits`: what the loss keeps for its backward pass, where its moment is the largest; nothing where that of a layer is, when
    they are gone. `temporary`: what that moment needs besides.
    """

    weights: Quantity
    gradients: Quantity
    master: Quantity
    optimizer: Quantity
    activations: Quantity
    logits: Quantity
    temporary: Quantity

    @property
    def total(self) -> int:
        return sum(quantity.total for quantity in self)

    @property
    def comes_later(self) -> bool:
        """Whether gradients are those alone that stand beside the activations at the most, and not all."""
        return any(isinstance(line, BesideActivations) for line in self.gradients.lines)


class Layer(NamedTuple):
    """One layer of a kind that a stage holds: a device's ledger of it, what it saves, and what of that under a policy laid out."""

    share: Ledger
    kept: tuple[Saved, ...]
    again: tuple[Saved, ...] = ()


def counted_once(
    what: object, share: Ledger, kept: tuple[Saved, ...], training: Training, passes: Passes, count: Callable[[], T]
) -> T:
    """What is counted of what a device keeps of one micro-batch: once for all plans of other copies, where it is all its ledger's."""
    run, plan = training.run, training.plan
    degrees = plan.tensor, plan.sequence, plan.context, plan.expert_cut
    if kept is not share.saved or not is_plain((*run, *passes, *degrees)):
        return count()
    return keep(share.made, (what, run, passes, degrees), count)
