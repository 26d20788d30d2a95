"""Training FLOPs by each published convention, as printed, and by the exact count, over all stages of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tscale.core.costs.conventions import chinchilla, megatron, megatron_recompute, palm, six_nd
from tscale.core.costs.params import active_params, embedding_params
from tscale.core.metric import Figure, Missing, weakest
from tscale.core.tracing import label
from tscale.core.units import FLOPS
from tscale.estimates.explaining import TracedModel
from tscale.estimates.trained import Trained, TrainedStage
from tscale.models.spec import ModelSpec

CONVENTIONS: Final = {
    "six_nd": ("6·N·D", "6 per parameter and token, all parameters", "brown2020 Table D.1"),
    "six_nd_non_embedding": ("6·N·D, non-embedding", "the same without embeddings", "kaplan2020 section 2.1"),
    "chinchilla": ("Chinchilla", "products, softmax, one-hot embedding", "hoffmann2022 Appendix F"),
    "palm": ("PaLM", "6·N·D and full attention", "chowdhery2022 Appendix B"),
    "megatron": ("Megatron", "12·l·h² layers, full attention, head", "narayanan2021 section 5.1"),
    "megatron_recompute": ("Megatron, recomputed", "the same, layers forward twice", "narayanan2021 equation 3"),
    "exact": ("exact, full attention", "every product; every query sees every key", ""),
    "exact_causal": ("exact, causal attention", "every product; each query sees what it may", ""),
}
"""By key: the name of a convention, what it counts, and where it is published."""


def by_convention(model: TracedModel, run: Trained) -> dict[str, Figure | Missing]:
    """Training FLOPs of a run under every convention, by the keys of `CONVENTIONS`."""
    spec, d = model.spec, run.tokens.value
    assert isinstance(d, int)
    n = label("N", active_params(model.ledger).total, "parameters")
    others = n - label("N_embedding", embedding_params(model.ledger).total, "parameters")
    printed = {
        "six_nd": six_nd(n, d),
        "six_nd_non_embedding": six_nd(label("N_non_embedding", others, "parameters"), d),
    }
    known = not two_stacks(spec) and spec.plain_blocks() is not None and spec.mtp is None
    at_lengths = _of_shapes(spec, n, run.stages) if known else {}
    rests = weakest("convention", run.known)
    exact = {"exact": run.flops(model, "full"), "exact_causal": run.flops(model, "causal")}
    figures = {
        **{key: Figure(value, FLOPS, run.known) for key, value in exact.items()},
        **{key: Figure(value, FLOPS, "convention", CONVENTIONS[key][2]) for key, value in printed.items()},
        **{key: Figure(value, FLOPS, rests, CONVENTIONS[key][2]) for key, value in at_lengths.items()},
    }
    absent = Missing("not defined for two stacks" if two_stacks(spec) else "not defined for such layers")
    return {key: figures.get(key, absent) for key in CONVENTIONS}


def two_stacks(spec: ModelSpec) -> bool:
    """Whether the formulas that know one stack of layers say nothing of it."""
    return spec.kind == "encoder-decoder"


def _of_shapes(spec: ModelSpec, n: int, stages: Iterable[TrainedStage]) -> dict[str, int]:
    """The conventions that take the shape of a plain stack and the length of the sequences, summed over the stages."""
    plain = spec.plain_blocks()
    assert plain is not None
    attention, feed_forward = plain
    heads, _, head_dim = attention.widths(spec.d_model)
    layers, d_model, v = spec.layers, spec.d_model, spec.vocabulary
    totals: dict[str, int] = {}
    for stage in stages:
        d, t = stage.ran_through, stage.context.value
        assert isinstance(t, int)
        own = {
            "chinchilla": chinchilla(d, t, layers, d_model, feed_forward.d_ff, heads, head_dim, v),
            "palm": palm(n, d, t, layers, heads, head_dim),
            "megatron": megatron(d, t, layers, d_model, v),
            "megatron_recompute": megatron_recompute(d, t, layers, d_model, v),
        }
        totals = {key: totals[key] + value if key in totals else value for key, value in own.items()}
    return totals
