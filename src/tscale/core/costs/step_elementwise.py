"""What a layer reads and writes in a training step beside its products: bytes of kernels that are elementwise, or put tokens in order.

In bytes a token of 16-bit eager kernels that is 4 for each number that a matrix cut along its columns gives out (read and written by what
follows: an activation function, a bias, a transpose), 11 for each of a sum (dropout, residual and norm). Of a GPT layer that is
d·(22 + 28/t), twice as much backward, and once more where the layer is computed again.

A token's copies are put in the order of experts, and brought back, by kernels of their own, forward, backward and where the layer is
computed again: of each number of a token that is 4 bytes for each copy and 4 for each device that the token is sent to, which reads it
once and writes what its experts yield once (DeepEP, HybridEP). By all-to-alls it is 12 for each copy and 4: a device copies before it
sends, and what arrives from each device is sorted by experts, there and back (Megatron-LM, MoEAlltoAllTokenDispatcher: permute,
sort_chunks_by_idxs).

Routed experts with biases are those of gpt-oss, which Megatron-LM adds, and limits what is gated, in kernels of their own (core_v0.15.0,
and later releases too): of each number that is gated 18 bytes forward and backward (fusions/fused_bias_geglu.py: clamp 4 and cat 4,
their gradients 6 and 4), and of each that an expert gives out 28 (transformer/moe/experts.py, _apply_bias: bias times probability 2, sum
6, experts joined 4; the gradients of both factors 6 each, and experts joined 4). DeepEP and HybridEP hand on probabilities in 32 bits
(transformer/moe/token_dispatcher.py), which what they are multiplied by and added to becomes, too: 68 bytes (bias times probability 4,
sum 10, experts joined 8, back to 16 bits 6; backward to 32 bits 6, to 16 bits 6, the gradients of both factors 12 each, and experts
joined 4). Automodel adds both biases so, and compiles what limits and gates to one kernel: of each number that is gated 10 (v0.2.0,
components/moe/layers.py: sum 4 and experts joined 4, and 2 to sum the bias's gradient).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from tscale.core.adding import in_order
from tscale.core.costs.step_products import Case, tokens_of
from tscale.core.costs.step_sent import reached
from tscale.core.ledger import Matmul
from tscale.core.parallelism import Parallelism
from tscale.core.roles import ADAPTERS
from tscale.core.sharding import is_expert
from tscale.core.tracing import as_float, where

PASSES: Final = 3
"""Times that elementwise work is done: forward, and twice as much backward."""
_BY_COLUMNS, _OF_A_SUM = 4, 11
_PLACED, _SORTED = 4, 8
"""Of a copy that is put in the order of experts and brought back, and of one that is sorted in between, too."""
_LIMITED_COLUMNS, _COMPILED_COLUMNS = 18 / PASSES, 10 / PASSES
"""More of the columns of experts with biases, a pass."""
_BIASED_COPY, _BIASED_WIDE = 28 / PASSES, 68 / PASSES
"""More of the copies of experts with biases, a pass: by probabilities in 16 bits, and in 32."""
_SUMMED: Final = frozenset({"o", "out", "down"})
"""Roles of a tower's matrices whose outputs are added to the residual stream."""


def all_written(matrices: Iterable[Matmul], plan: Parallelism, case: Case) -> float:
    """Bytes that elementwise work reads and writes of what matrices give out."""
    return in_order(_written(entry, plan, case) * tokens_of(entry, plan, case) * entry.used for entry in matrices)


def _written(entry: Matmul, plan: Parallelism, case: Case) -> float:
    """Bytes a token that elementwise work reads and writes of what a matrix gives out; of an adapter's nothing, which its products add."""
    if entry.role in ADAPTERS:
        return 0.0
    if entry.block.stack == "tower" and entry.role in _SUMMED:  # whole on each device
        return cast("float", as_float(_OF_A_SUM * entry.d_out))
    biased = is_expert(entry) and entry.bias
    if entry.cut is not None and entry.cut.axis == "in":
        each = (_BIASED_WIDE if case.wide else _BIASED_COPY) * biased if is_expert(entry) else _OF_A_SUM
        return cast("float", each * as_float(entry.d_out) / where(plan.sequence, plan.tensor, 1))
    limited = _COMPILED_COLUMNS if case.compiled else _LIMITED_COLUMNS
    return cast("float", (_BY_COLUMNS + limited * biased) * as_float(entry.d_out))


def placed(routed: Iterable[Matmul], plan: Parallelism, case: Case) -> float:
    """Bytes that are read and written in a pass to put copies of tokens in the order of their experts, and to bring them back."""
    total = 0.0
    for entry in routed:
        if entry.role == "down":
            layers = as_float(entry.stored // entry.experts)
            each = _PLACED + where(plan.expert > 1, where(entry.experts > 1, _SORTED, 0), 0) * case.copied
            parts = where(plan.expert > 1, plan.expert * plan.tensor, 1)
            devices = 1.0 if case.copied else reached(entry, parts, plan, case)
            of_a_token = each * as_float(entry.used) + _PLACED * devices * layers
            total = total + of_a_token * tokens_of(entry, plan, case) * entry.d_out / where(
                plan.sequence, plan.tensor, 1
            )
    return total
