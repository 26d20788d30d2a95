"""How much of a forward pass is kept for its backward pass: what each layer saves, by how it is computed again.

A pre-norm layer of multi-head attention and GELU keeps s·b·h·(34 + 5·a·s/h) bytes with dropout and 16-bit activations
(Korthikanti 2022, equation 1); without the 5·a·s/h where the scores are computed again, and 2·s·b·h where all of it is. Here
the same is counted entry by entry for any stack, with the statistics of the norms, which the paper leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple, assert_never

from tscale.core.ledger import Keeping, NormKernel, Number, Saved
from tscale.core.metric import Line, Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.recompute import Recompute
from tscale.core.sharding import cut_width
from tscale.core.tracing import ceil_div, is_never, is_one, minimum, most_of, where
from tscale.core.units import BYTES
from tscale.core.workload import SequenceLengths, TowerRun

SOURCE: Final = "korthikanti2022 section 4"

LEAVES_OUT: Final = (
    "Activations are those that fused kernels save: a norm its input and statistics, GELU and SiLU their input (a ReLU saves "
    "less), a gate (SwiGLU) its two inputs and the product, a recurrence what its authors' kernel saves. Not counted: rotary tables "
    "and attention masks, which all layers share, what is computed from weights alone (decays), copies that a framework makes for "
    "its layout, and scores and logits before they are clipped (Gemma 2). The residual stream is in the format of the activations "
    "unless stated above. In parallel blocks with a norm for each branch (GPT-NeoX), the common input is counted twice."
)

Attention = Literal["flash", "naive"]
Kernels = Literal["fused", "eager"]
"""Whether an activation and the gate that it multiplies are one kernel (Liger, Transformer Engine) or two (transformers)."""


class Passes(NamedTuple):
    """How a forward pass is run: how many sequences at once, what of it is kept, bytes of an activation, dropout, kernels.

    `residual_bytes`: of a number of the residual stream, `product_bytes`: of one that is kept as the input of a product; None where
    it is an activation like the others. `norms`: how norms are computed. `repeats_keys`: whether a fused attention is given a copy of
    grouped keys and values for every head.
    """

    micro_batch: int = 1
    keeping: Keeping = "flash"
    activation_bytes: int = 2
    dropout: bool = False
    kernels: Kernels = "eager"
    residual_bytes: int | None = None
    product_bytes: int | None = None
    norms: NormKernel = "fused"
    repeats_keys: bool = False


def keeping(attention: Attention, recompute: Recompute) -> Keeping:
    """How a layer is kept. A fused kernel computes the scores again in any case: `selective` adds nothing to it.

    What `op` keeps is not of these ways: it is said product by product (`tscale.core.costs.recompute`).
    """
    if recompute == "full":
        return "full"
    if attention == "flash":
        return "flash"
    return "selective" if recompute == "selective" else "naive"


def number_bytes(number: Number, passes: Passes) -> int:
    """Bytes of one number that is kept."""
    match number:
        case "activation":
            return passes.activation_bytes
        case "residual":
            return passes.activation_bytes if passes.residual_bytes is None else passes.residual_bytes
        case "product":
            return passes.activation_bytes if passes.product_bytes is None else passes.product_bytes
        case "fp32":
            return 4
        case "mask":
            return 1
        case "index":
            return 8
        case _:
            assert_never(number)


def saved_by(kept: Iterable[Saved], passes: Passes) -> Iterator[Saved]:
    """What is kept where forward passes are run in this way."""
    for saved in kept:
        dropped, stepwise = passes.dropout or not saved.dropout, passes.kernels == "eager" or not saved.eager
        normed, copied = (
            not saved.norms or passes.norms in saved.norms,
            passes.product_bytes is not None or not saved.copied,
        )
        grouped = saved.repeated is None or saved.repeated is passes.repeats_keys
        if passes.keeping in saved.keeping and dropped and stepwise and normed and copied and grouped:
            yield saved


def activation_bytes(
    kept: Iterable[Saved], run: SequenceLengths, passes: Passes, plan: Parallelism | None = None
) -> Quantity:
    """Bytes that the forward pass of one micro-batch keeps on one device, one line for each thing that is kept."""
    return saved_bytes(saved_by(kept, passes), run, passes, plan or Parallelism())


def saved_bytes(saved: Iterable[Saved], run: SequenceLengths, passes: Passes, plan: Parallelism) -> Quantity:
    """The same of what is known to be kept (`saved_by`)."""
    lines = [Line(one.name, _bytes(one, one.used, run, passes, plan)) for one in saved]
    return Quantity("activations", tuple(lines), BYTES, source=SOURCE)


def widest_bytes(kept: Iterable[Saved], run: SequenceLengths, passes: Passes, plan: Parallelism) -> int:
    """Bytes of the largest single array that the forward pass of one micro-batch keeps, of one layer; 0 of none."""
    return most_of(_bytes(saved, 1 if saved.used else 0, run, passes, plan) for saved in saved_by(kept, passes))


def numbers_of(saved: Saved, run: SequenceLengths, passes: Passes, plan: Parallelism) -> int:
    """Numbers that one device keeps of one micro-batch, of what is known to be kept."""
    return _bytes(saved._replace(number="mask"), saved.used, run, passes, plan)


def _bytes(saved: Saved, used: int, run: SequenceLengths, passes: Passes, plan: Parallelism) -> int:
    """Bytes of one line, in so many layers; of a tower's, for all that runs through it."""
    if saved.block.stack == "tower":
        passes_through = (one for one in run.media if one.block == saved.block)
        return sum(one.times * _bytes_of_run(saved, used, one.run, passes, plan) for one in passes_through)
    return _bytes_of_run(saved, used, run, passes, plan)


def _bytes_of_run(saved: Saved, used: int, run: SequenceLengths | TowerRun, passes: Passes, plan: Parallelism) -> int:
    """The same of one sequence, image or sound."""
    devices = plan.expert_cut if saved.routed else plan.tensor
    width = saved.width if saved.cut is None else cut_width(saved.width, saved.cut, devices)
    each = used * _positions(saved, run, plan) * width * number_bytes(saved.number, passes)
    if not saved.shared:
        each *= passes.micro_batch
    if saved.squared:
        each *= passes.micro_batch
    if saved.keys is None:
        return each
    keys = run.length(saved.keys)
    return each * (keys if saved.most is None else minimum(keys, saved.most))


def _positions(saved: Saved, run: SequenceLengths | TowerRun, plan: Parallelism) -> int:
    """Positions that a device keeps. Context parallelism divides them, and sequence parallelism those that nothing else divides.

    Of the tokens that routed experts are sent, in balance, a device has as many as its own: a part of those that the devices of
    tensor parallelism read together, times the devices that each expert is cut over (Liu 2025; a trainer without sequence
    parallelism is taken to drop what is there twice).
    """
    positions = run.length(saved.stream)
    if saved.most is not None and saved.keys is None:
        positions = minimum(positions, saved.most)
    if isinstance(run, TowerRun):
        return positions  # a device runs all of its images and sounds
    if saved.stream != "once" and not is_one(plan.context):
        positions = ceil_div(positions, plan.context)
    if saved.cut is None and not is_never(plan.sequence) and not saved.gathered and saved.stream != "once":
        positions = where(plan.sequence, ceil_div(positions, plan.tensor), positions)
    if saved.routed and plan.cuts_experts_apart:
        positions = ceil_div(positions * plan.expert_cut, plan.tensor)
    return ceil_div(positions, saved.chunk) if saved.chunk > 1 else positions


def korthikanti_layer_bytes(s: int, b: int, h: int, a: int, t: int, passes: Passes, *, sequence: bool) -> int:
    """Bytes of one layer by the published shortcut: 16 bits, dropout, d_ff = 4·h and as many key-value heads as heads.

    s positions, b sequences, h d_model, a heads, t devices of tensor parallelism (equations 2 and 4, section 5).
    """
    if passes.keeping == "full":
        return 2 * s * b * h  # the layer's input, on every device: Megatron does not divide it
    scores = 5 * a * s**2 * b if passes.keeping == "naive" else 0
    return ceil_div(34 * s * b * h + scores, t) if sequence else 10 * s * b * h + ceil_div(24 * s * b * h + scores, t)
