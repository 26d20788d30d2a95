"""The exact count of training FLOPs: three forward passes' worth for every sequence of the run."""

from __future__ import annotations

from typing import Final

from tscale.core.costs.forward import AttentionMask, forward_flops
from tscale.core.ledger import Ledger
from tscale.core.tracing import ceil_div, named
from tscale.core.workload import Run

PF_DAY: Final = 86_400 * 10**15
"""FLOPs of a petaFLOP/s held for a day (GPT-3's Table D.1 uses the same)."""


def training_flops(ledger: Ledger, run: Run, tokens: int, sight: AttentionMask = "full", tag: str = "") -> int:
    """FLOPs to train on `tokens` tokens in sequences like `run`, rounded up to a whole FLOP.

    Forward once, and twice that for the backward pass, which multiplies by each matrix twice: for the gradients of its
    input and of its weights. A last sequence that is not full counts by its share of one; no recomputation. `tag` begins the
    names in its derivation, where several stages of training are told of.
    """
    forward = named(f"{tag}forward_{sight}", forward_flops(ledger, run, sight).total)
    return ceil_div(3 * forward * tokens, run.tokens)
