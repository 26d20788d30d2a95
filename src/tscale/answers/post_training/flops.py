"""`tscale flops --method`: the FLOPs of a step of training after pre-training, of what is generated, scored and trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tscale.answers.explaining import TracedModel, counted, notes_of, share, steps_of
from tscale.answers.post_training.answer import Ask, scoring
from tscale.answers.post_training.memory import METHOD_NAMES, NAMES
from tscale.answers.trained import training_length
from tscale.core.costs.forward import AttentionMask, forward_flops, leaves_out
from tscale.core.costs.post_training import Method, Phase, key_of, passes
from tscale.core.metric import Column, Data, Figure, Known, Report
from tscale.core.number_text import number_text
from tscale.core.tracing import TracedInt, ceil_div, label
from tscale.core.units import FLOPS, TOKENS
from tscale.core.view import Record, view
from tscale.errors import RequestError, field
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec


class Counted(NamedTuple):
    """A phase: its tokens, and its FLOPs with full attention and with causal."""

    phase: Phase
    tokens: int
    full: int
    causal: int


def post_training_flops_report(spec: ModelSpec, ask: Ask) -> Report:
    """The FLOPs of a step by phase; of methods without rollouts those of a sequence or a pair. Raises `RequestError`."""
    if ask.method != "sft" and spec.kind != "decoder":
        raise RequestError(
            f"{spec.label} is an {spec.kind}: {field('method', ask.method)} is of decoders, which write responses"
        )
    model = counted(spec)
    length = training_length(model.spec, ask.longest)
    phases = tuple(_phases(model, ask, int(length.value)))
    known: Known = length.known if ask.method == "sft" else "exact"
    full, causal = (
        sum(label(f"{key_of(one.phase)}{tag}", getattr(one, kind)) for one in phases) for kind, tag in _KINDS
    )
    title = (
        f"{METHOD_NAMES[ask.method]} of {spec.label} takes {number_text(int(causal), 'power')} FLOPs a {_OF[ask.method]}"
        f"{_generated(ask, phases, int(causal))}"
    )
    records = [_phase_data(one, known) for one in phases]
    rows = [
        {**record, "phase": NAMES[one.phase], "share": share(one.causal, causal)}
        for one, record in zip(phases, records, strict=True)
    ]
    total = {"phase": "total", "flops": _both(full, causal, known), "share": share(causal, causal)}
    table = view(title, _COLUMNS, [*rows, total], subject=spec.name, totals=frozenset({len(rows)}))
    data: Data = {
        **_asked_data(model.spec, ask),
        "phases": records,
        "flops": total["flops"],
    }
    figures = [
        (f"{key_of(one.phase)}{tag}", Figure(getattr(one, kind), FLOPS, known))
        for kind, tag in _KINDS
        for one in phases
    ]
    steps = steps_of([*figures, ("full", Figure(full, FLOPS)), ("causal", Figure(causal, FLOPS))], spec.name)
    return Report(title, (table,), data, notes_of(spec, length.note, *_notes(model, ask)), tuple(steps))


_OF: Final[dict[Method, str]] = {"sft": "sequence", "dpo": "pair", "grpo": "step", "ppo": "step"}
"""What the FLOPs of a method are of."""


def _asked_data(spec: ModelSpec, ask: Ask) -> dict[str, Data]:
    """What is counted, for programs."""
    return {
        "model": spec.name,
        "title": spec.label,
        "method": ask.method,
        "of": _OF[ask.method],
        "prompts": ask.prompts or None,
        "group": ask.group if ask.online else None,
        "prompt_tokens": Figure(ask.prompt, TOKENS) if ask.method != "sft" else None,
        "response_tokens": Figure(ask.response, TOKENS) if ask.method != "sft" else None,
    }


def _phase_data(one: Counted, known: Known) -> Record:
    return {
        "phase": key_of(one.phase),
        "tokens": Figure(one.tokens, TOKENS, known),
        "flops": _both(one.full, one.causal, known),
    }


def _both(full: int, causal: int, known: Known) -> Data:
    return {"full": Figure(full, FLOPS, known), "causal": Figure(causal, FLOPS, known)}


_KINDS = (("full", ""), ("causal", ".causal"))
_COLUMNS = (
    Column("phase of a step", "phase", numeric=False),
    Column("tokens", "tokens", drop=1),
    Column("full attention", "full", of="flops.full"),
    Column("causal attention", "causal", of="flops.causal"),
    Column("share", "share"),
)


def _generated(ask: Ask, phases: tuple[Counted, ...], causal: int) -> str:
    return f", {phases[0].causal / causal:.0%} of them to generate" if ask.online else ""


def _phases(model: TracedModel, ask: Ask, longest: int) -> Iterator[Counted]:
    """The phases of a step; of methods without rollouts those of one sequence or pair."""
    sequences = ask.rollouts if ask.online else 1
    prompt, response = (longest, 0) if ask.method == "sft" else (ask.prompt, ask.response)
    tokens = passes(ask.method, sequences, prompt, response, ask.group, ask.epochs)
    read = TracedInt(tokens.scored // (prompt + response), label="sequences")
    if ask.online:
        generated = _generation(model, ask)
        yield Counted("rollout", tokens.generated, generated, generated)
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


def _notes(model: TracedModel, ask: Ask) -> Iterator[str]:
    if ask.online:
        yield (
            "Responses are counted at their mean length, prompts once for a group; what is generated sees the keys before it alone. Rewards by "
            "rule take no FLOPs."
        )
    if ask.method == "dpo":
        yield "A pair is two sequences, the chosen response and the rejected one, each with its prompt."
    yield leaves_out(model.ledger)
