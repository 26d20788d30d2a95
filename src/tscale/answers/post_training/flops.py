"""`tscale flops --method`: the FLOPs of a step of training after pre-training, of what is generated, scored and trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.post_training.memory import METHOD_NAMES, NAMES
from tscale.core.costs.forward import leaves_out
from tscale.core.costs.post_training import key_of
from tscale.core.methods import Method
from tscale.core.metric import Column, Data, Derivations, Figure, Known, Report
from tscale.core.number_text import number_text
from tscale.core.tracing import label
from tscale.core.units import FLOPS, TOKENS
from tscale.core.view import Record, view
from tscale.errors import RequestError, field
from tscale.estimates.explaining import TracedModel, counted, notes_of, share, steps_of
from tscale.estimates.post_training.flops import Counted, counted_phases
from tscale.estimates.post_training.models import Ask
from tscale.estimates.trained import training_length
from tscale.models.spec import ModelSpec


def post_training_flops_report(spec: ModelSpec, ask: Ask) -> Report:
    """The FLOPs of a step by phase; of methods without rollouts those of a sequence or a pair. Raises `RequestError`."""
    if ask.method != "sft" and spec.kind != "decoder":
        raise RequestError(
            f"{spec.label} is an {spec.kind}: {field('method', ask.method)} is of decoders, which write responses"
        )
    model = counted(spec)
    length = training_length(model.spec, ask.longest)
    phases = tuple(counted_phases(model, ask, int(length.value)))
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
    derived = [*figures, ("full", Figure(full, FLOPS)), ("causal", Figure(causal, FLOPS))]
    steps = Derivations(lambda: steps_of(derived, spec.name))
    return Report(title, (table,), data, notes_of(spec, length.note, *_notes(model, ask)), steps)


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


def _notes(model: TracedModel, ask: Ask) -> Iterator[str]:
    if ask.online:
        yield (
            "Responses are counted at their mean length, prompts once for a group; what is generated sees the keys before it alone. Rewards by "
            "rule take no FLOPs."
        )
    if ask.method == "dpo":
        yield "A pair is two sequences, the chosen response and the rejected one, each with its prompt."
    yield leaves_out(model.ledger)
