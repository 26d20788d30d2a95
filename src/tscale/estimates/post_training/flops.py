"""The FLOPs of each phase of a step of training after pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tscale.core.costs.forward import AttentionMask, forward_flops
from tscale.core.costs.post_training import Phase, passes
from tscale.core.tracing import TracedInt, ceil_div
from tscale.estimates.explaining import TracedModel, counted
from tscale.estimates.post_training.models import Ask, scoring
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec


class Counted(NamedTuple):
    """A phase: its tokens, and its FLOPs with full attention and with causal."""

    phase: Phase
    tokens: int
    full: int
    causal: int


def counted_phases(model: TracedModel, ask: Ask, longest: int) -> Iterator[Counted]:
    """The phases of a step; of methods without rollouts those of one sequence or pair."""
    sequences = ask.rollouts if ask.online else 1
    prompt, response = (longest, 0) if ask.method == "sft" else (ask.prompt, ask.response)
    tokens = passes(ask.method, sequences, prompt, response, ask.group, ask.epochs)
    read = TracedInt(tokens.scored // (prompt + response), label="sequences")
    if ask.online:
        generated = _generation(model, ask)
        yield Counted("rollout", tokens.generated, generated, generated)
    if ask.scores_old:
        yield _forward("old log-probs", model, prompt + response, read, tokens.scored)
    beside: tuple[tuple[Phase, ModelSpec | None], ...] = (
        ("reference", ask.reference if ask.scores_reference else None),
        ("reward", None if ask.reward is None else scoring(ask.reward)),
        ("value", None if ask.value is None else scoring(ask.value)),
    )
    for phase, spec in beside:
        if spec is not None:
            yield _forward(phase, counted(spec), prompt + response, read, tokens.scored)
    yield _trained("training", model, prompt + response, read, tokens.trained, ask.epochs)
    if ask.value is not None:
        yield _trained(
            "value training", counted(scoring(ask.value)), prompt + response, read, tokens.trained, ask.epochs
        )


def _of_sequence(model: TracedModel, tokens: int, mask: AttentionMask) -> int:
    """FLOPs of a forward pass over one sequence."""
    return forward_flops(model.ledger, run_of(model.spec, tokens), mask).total


def _forward(phase: Phase, model: TracedModel, length: int, sequences: int, tokens: int) -> Counted:
    full, causal = (sequences * _of_sequence(model, length, mask) for mask in _MASKS)
    return Counted(phase, tokens, full, causal)


_MASKS: tuple[AttentionMask, AttentionMask] = ("full", "causal")


def _trained(phase: Phase, model: TracedModel, length: int, sequences: int, tokens: int, epochs: int) -> Counted:
    """Forward and backward passes, the latter of twice the FLOPs."""
    full, causal = (3 * epochs * sequences * _of_sequence(model, length, mask) for mask in _MASKS)
    return Counted(phase, tokens, full, causal)


def _generation(model: TracedModel, ask: Ask) -> int:
    """FLOPs of rollouts: each prompt once, and each token of a response with the keys before it."""
    first = _of_sequence(model, ask.prompt, "causal")
    whole = _of_sequence(model, ask.prompt + ask.response, "causal")
    return ceil_div(ask.rollouts, ask.group) * first + ask.rollouts * (whole - first)
