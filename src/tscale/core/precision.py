"""What training keeps of every parameter: the formats of a precision recipe, and the states of an optimizer.

bytes a parameter = weights + gradients + master + states. Mixed precision with AdamW keeps 2 + 2 + 4 + 8 = 16 of them
(Rajbhandari 2019, section 3.1); with gradients in fp32, as Megatron-LM keeps them, 18 (Korthikanti 2022, Figure 1).
"""

from __future__ import annotations

from typing import Final, NamedTuple, assert_never

from tscale.core.costs.params import size
from tscale.core.costs.weights import is_linear
from tscale.core.ledger import Conv, Lookup, Matmul, Vector
from tscale.core.tracing import ceil_div, where

Owner = Matmul | Lookup | Vector | Conv
"""An entry that owns parameters."""


class Precision(NamedTuple):
    """A precision recipe: the format of the weights that are multiplied, and bytes of a number of everything else.

    `master`: bytes of the copy that the optimizer updates, 0 where it updates the weights themselves. `states`: bytes of one
    number of the optimizer's state, where the optimizer itself does not say. `products`: bytes of a number that is kept as the
    input of a product, 0 where it is an activation like the others. `gathered`: whether the master copy alone is kept between
    its uses, and the weights are made of it as they are gathered (FSDP2).
    """

    name: str
    weights: str
    gradients: int
    master: int
    states: int
    activations: int
    source: str
    note: str = ""
    products: int = 0
    gathered: bool = False


_PRECISIONS: Final = (
    Precision("bf16", "bf16", 2, 4, 4, 2, "rajbhandari2019 section 3.1", "weights and gradients in bf16, the rest in fp32"),
    Precision(
        "bf16-fp32-gradients", "bf16", 4, 4, 4, 2, "korthikanti2022 Figure 1",
        "as bf16, with gradients summed in fp32, as Megatron-LM does",
    ),
    Precision("pure-bf16", "bf16", 2, 0, 2, 2, "torch.optim 2.13: states in the format of the parameters", "no master copy"),
    Precision("fp16", "fp16", 2, 4, 4, 2, "micikevicius2017 section 3", "weights and gradients in fp16, the rest in fp32"),
    Precision(
        "fp8", "fp8", 4, 4, 2, 2, "deepseek2024c section 3.3",
        "matrices of the layers in fp8, moments in bf16, gradients and master copy in fp32; inputs of the layers' matrices are kept "
        "in fp8, other activations in bf16",
        products=1,
    ),
    Precision(
        "fp8-bf16-gradients", "bf16", 2, 4, 4, 2, "NVIDIA-NeMo/Megatron-Bridge 0.3 scripts/performance; Megatron-Core DDP, Transformer Engine",
        "as Megatron-Bridge's recipes have it: matrices of the layers in fp8 twice, by rows and by columns, gradients in bf16, master "
        "copy and moments in fp32",
        products=1,
    ),
    Precision(
        "fp32-master", "bf16", 4, 4, 4, 2, "torch 2.13 fully_shard with MixedPrecisionPolicy(bf16, reduce_dtype=fp32)",
        "weights, gradients and states in fp32, gathered in bf16 for products, as torchtitan has FSDP2 do", gathered=True,
    ),
    Precision("fp32", "fp32", 4, 0, 4, 4, "IEEE 754 binary32", "everything in fp32"),
)  # fmt: skip

PRECISIONS: Final[dict[str, Precision]] = {recipe.name: recipe for recipe in _PRECISIONS}
"""Every recipe by its name."""


class Optimizer(NamedTuple):
    """An optimizer by its name, with the publication of its state and what must be said of it.

    `paged`: whether its state is in memory that the driver moves to the host where the device has no room for it.
    """

    name: str
    source: str
    note: str
    paged: bool = False


_OPTIMIZERS: Final = (
    Optimizer("adamw", "loshchilov2017 Algorithm 2", "two moments of every parameter"),
    Optimizer(
        "adam-8bit", "dettmers2021 section 2",
        "two moments of 8 bits, with a scale of 32 bits for each 256, as bitsandbytes keeps them; tensors of fewer than 4,096 numbers in 32 bits",
    ),
    Optimizer("adamw-fp32", "loshchilov2017 Algorithm 2", "two moments of every parameter in fp32, whatever the precision"),
    Optimizer(
        "paged-adamw", "dettmers2023 section 3", "two moments of every parameter, paged out to the host (bitsandbytes)", paged=True
    ),
    Optimizer(
        "paged-adam-8bit", "dettmers2023 section 3", "two moments of 8 bits, paged out to the host (bitsandbytes)", paged=True
    ),
    Optimizer("adafactor", "shazeer2018 Algorithm 4", "of a matrix the second moment's rows and columns, no first moment"),
    Optimizer("sgd", "torch.optim.SGD 2.13", "a momentum of every parameter"),
    Optimizer("lion", "chen2023 Algorithm 2", "a momentum of every parameter"),
    Optimizer("muon", "jordan2024", "a momentum of the layers' matrices; AdamW on tables, head, gains and biases"),
)  # fmt: skip

OPTIMIZERS: Final[dict[str, Optimizer]] = {optimizer.name: optimizer for optimizer in _OPTIMIZERS}
"""Every optimizer by its name."""

LEAST_8BIT: Final = 4096
"""Numbers of the smallest tensor whose state bitsandbytes keeps in 8 bits (`min_8bit_size` of its optimizers, 0.50)."""
BLOCK: Final = 256
"""Numbers of an 8-bit state that share a scale in bitsandbytes since its version 0.44; Dettmers 2021 has 2,048."""


def state_bytes(entry: Owner, optimizer: Optimizer, number: int) -> int:
    """Bytes of an optimizer's state for one copy of an entry, where a number of the state has `number` bytes.

    A paged state takes no memory that a device could not do without.
    """
    if optimizer.paged:
        return 0
    match optimizer.name:
        case "adamw":
            return 2 * size(entry) * number
        case "adamw-fp32":
            return 2 * size(entry) * 4
        case "sgd" | "lion":
            return size(entry) * number
        case "muon":
            vector = bias_size(entry)
            matrix = size(entry) - vector
            return (matrix if is_linear(entry) else 2 * matrix) * number + 2 * vector * number
        case "adam-8bit":
            if isinstance(entry, Vector):
                return entry.tensors * _moments_8bit(ceil_div(entry.width, entry.tensors))
            vector = bias_size(entry)
            return _moments_8bit(size(entry) - vector) + _moments_8bit(vector)
        case "adafactor":
            return factored_numbers(entry) * number
        case _:
            raise AssertionError(optimizer.name)


def _moments_8bit(numbers: int) -> int:
    """Bytes of a tensor's two moments in 8 bits, each with its scales; in 32 bits of one that is small."""
    kept: int = where(numbers < LEAST_8BIT, 8 * numbers, 2 * (numbers + 4 * ceil_div(numbers, BLOCK)))
    return kept


def bias_size(entry: Owner) -> int:
    """Numbers of an entry that are a vector beside its matrix."""
    match entry:
        case Matmul():
            return entry.d_out if entry.bias else 0
        case Conv():
            return entry.channels if entry.bias else 0
        case Lookup():
            return 0
        case Vector():
            return entry.width
        case _:
            assert_never(entry)


def factored_numbers(entry: Owner) -> int:
    """Numbers of a second moment that is kept as the sums of its rows and columns; whole for vectors."""
    match entry:
        case Matmul():
            return entry.d_in + entry.d_out + bias_size(entry)
        case Lookup():
            return entry.rows + entry.width
        case Vector():
            return entry.width
        case Conv():
            return entry.channels + entry.channels * entry.kernel + bias_size(entry)  # [channels, 1, kernel]
        case _:
            assert_never(entry)
