"""Mixtures of experts and their laws: how a model's feed-forward is divided, its runs, and dense models of equal loss."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Final, NamedTuple

from tscale.blocks.experts import Experts
from tscale.catalogue.laws import Law, read_law
from tscale.core.costs.params import active_params, embedding_params, non_embedding_params, params, size
from tscale.core.laws.experts import Granular, Joint, Leverage, Mixture, Routed, Run, Sparse
from tscale.core.laws.halving import where
from tscale.core.ledger import Matmul
from tscale.estimates.explaining import TracedModel
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

JOINT: Final = "ludziejewski2025"
GRANULAR: Final = "krajewski2024"
LOSSES: Final = (JOINT, "abnar2025", GRANULAR)
"""Laws of experts that predict the loss of a run of any length; the last only of expansions near those it was fitted on."""
_EQUIVALENTS: Final = (JOINT, "tian2025", "clark2022")
_NEAR: Final = 2.0
"""How many times the expansions that a law was fitted on it may be asked about unasked."""


class Equivalent(NamedTuple):
    """The dense model that reaches the loss of a mixture on as many tokens, by one law."""

    law: Law
    params: float
    """Its parameters, in the count of the law."""
    active: float
    """The active parameters of the mixture in the same count."""
    extrapolated: bool


def mixture_of(spec: ModelSpec) -> Mixture | None:
    """How the feed-forward of most layers is divided; None where no layer has routed experts."""
    blocks = [block for block in spec.feed_forwards if isinstance(block, Experts)]
    if not blocks:
        return None
    block = max(blocks, key=lambda one: int(one.experts))
    d_ff = int(block.d_ff)
    shared = int(block.shared_d_ff or 0) / d_ff
    stored = None if len(spec.feed_forwards) == 1 else _stored(spec)
    return Mixture(int(block.experts), int(block.top_k), shared, 2 * int(spec.d_model) / d_ff, stored)


def _stored(spec: ModelSpec) -> float:
    """Feed-forward parameters of all layers for each that a token meets, without routers."""
    found = [
        entry
        for entry in lower(spec).entries
        if isinstance(entry, Matmul) and entry.part == "feed_forward" and entry.role != "router"
    ]
    met = sum(min(int(entry.stored), int(entry.used)) * int(size(entry)) for entry in found)
    return sum(int(entry.stored) * int(size(entry)) for entry in found) / met


def run_of(model: TracedModel, mixture: Mixture, tokens: int) -> Run:
    """A model's training on so many tokens, counted in every way that a law asks for."""
    ledger = model.ledger
    active, embeddings = int(active_params(ledger).total), int(embedding_params(ledger).total)
    total, bare = int(params(ledger).total), int(non_embedding_params(ledger))
    return Run(active, total, active - embeddings, bare, tokens, mixture)


def inside(law: Law, run: Run) -> bool:
    """Whether a run lies within those that its law was fitted on."""
    return law.fitted.within(
        params=counted_by(law, run),
        tokens=run.tokens,
        flops=run.flops,
        expansion=run.mixture.expansion,
        granularity=(run.mixture.wide or 1) if law.kind == "leverage" else run.mixture.granularity,
    )


def counted_by(law: Law, run: Run) -> float:
    """The parameters of a run in the count of a law."""
    match law.counts:
        case "all":
            return run.total
        case "non_embedding":
            return run.total_bare
        case "active":
            return run.active
        case "active_non_embedding":
            return run.active_bare


def default_losses(run: Run) -> Iterator[str]:
    """The laws of experts that are asked where none are named: those of one expansion only of expansions near it."""
    for name in LOSSES:
        if name != GRANULAR or near(read_law(name), run.mixture.expansion):
            yield name


def near(law: Law, expansion: float) -> bool:
    """Whether an expansion is near those that a law was fitted on."""
    ends = law.fitted.expansion
    return ends is None or ends[0] / _NEAR <= expansion <= ends[1] * _NEAR


def equivalents(run: Run) -> Iterator[Equivalent]:
    """The dense models of equal loss by each law that can say so."""
    for law in map(read_law, _EQUIVALENTS):
        dense = _dense(law, run)
        if dense < inf:
            yield Equivalent(law, dense, counted_by(law, run), not inside(law, run))


def _dense(law: Law, run: Run) -> float:
    """Parameters of the dense model that reaches the loss of a run on as many tokens; infinite where none does."""
    mixture, formula = run.mixture, law.experts
    match formula:
        case Joint():
            return formula.of(1).params_to(formula.loss(run), run.tokens)
        case Leverage():
            share, granularity = 1 / mixture.expansion, mixture.wide or mixture.granularity
            flops = 6 * run.active_bare * run.tokens
            return run.active_bare * formula.at(share, granularity, flops) / formula.at(1, granularity, flops)
        case Routed():
            return formula.dense(run.active, mixture.expansion)
        case Sparse():
            loss = formula.loss(run)
            most = 1e6 * run.total
            if formula.at(most, run.tokens, 0) > loss:
                return inf
            return where(lambda dense: formula.at(dense, run.tokens, 0) <= loss, 1, most)
        case Granular() | None:
            return inf
