"""The exact count of training FLOPs: three forward passes' worth for every sequence of the run."""

from __future__ import annotations

from typing import Final, Literal, assert_never

from tscale.core.costs.conventions import six_nd
from tscale.core.costs.forward import AttentionMask, forward_flops, untrained_flops
from tscale.core.costs.params import active_params
from tscale.core.ledger import Ledger
from tscale.core.tracing import ceil_div, is_nothing, label
from tscale.core.workload import SequenceLengths

Count = Literal["full", "causal", "6nd"]
"""How the FLOPs of a utilisation are counted: matrix products with every pair of positions scored, with those that a query may see
(NVIDIA's tables), or 6 times the parameters that a token meets, times tokens (Kaplan 2020)."""

PF_DAY: Final = 86_400 * 10**15
"""FLOPs of a petaFLOP/s held for a day (GPT-3's Table D.1 uses the same)."""


def training_flops(
    ledger: Ledger, run: SequenceLengths, tokens: int, sight: AttentionMask = "full", tag: str = ""
) -> int:
    """FLOPs to train on `tokens` tokens in sequences like `run`, rounded up to a whole FLOP.

    Forward once, and twice that for the backward pass, which multiplies by each matrix twice: for the gradients of its
    input and of its weights; of a frozen model by its input's alone. A last sequence that is not full counts by its share of one; no recomputation. `tag` begins the
    names in its derivation, where several stages of training are told of.
    """
    forward = label(f"{tag}forward_{sight}", forward_flops(ledger, run, sight).total, "FLOPs")
    spared = untrained_flops(ledger, run)
    if is_nothing(spared):
        return ceil_div(3 * forward * tokens, run.tokens)
    return ceil_div((3 * forward - label(f"{tag}frozen", spared, "FLOPs")) * tokens, run.tokens)


def counted_flops(ledger: Ledger, run: SequenceLengths, tokens: int, count: Count) -> int:
    """Training FLOPs by the count that a utilisation is stated in."""
    match count:
        case "full" | "causal":
            return training_flops(ledger, run, tokens, count)
        case "6nd":
            return six_nd(active_params(ledger).total, tokens)
        case _:
            assert_never(count)
