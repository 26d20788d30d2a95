"""`tscale attention`: what context costs, at each length; where it overtakes the rest; and why it replaced recurrence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from tscale.answers.layer_comparison import VERSUS_NOTE, versus_of
from tscale.blocks import Attention, attentions
from tscale.core.costs.cache import LEAVES_OUT as CACHE_LEAVES_OUT
from tscale.core.costs.forward import leaves_out
from tscale.core.metric import Cell, Column, Data, Derivations, Figure, Label, Missing, Report, Step, Table
from tscale.core.number_text import number_text
from tscale.core.units import FLOPS, RATIO
from tscale.core.view import Record, view
from tscale.estimates.attention import FLOPS_SOURCE, Ask, AttentionCosts, costs_of, crossovers, default_contexts
from tscale.estimates.explaining import TracedModel, counted, line_figures, notes_of, share, steps_of, streams_note
from tscale.models.spec import ModelSpec


def _beyond_text(beyond: bool) -> Label:
    return Label("beyond trained context" if beyond else "", beyond)


_COLUMNS = (
    Column("context", "context"),
    Column("score FLOPs/token", "attention_flops_per_token"),
    Column("per sequence", "attention_flops_per_sequence", drop=1),
    Column("growth", "growth", drop=4),
    Column("forward FLOPs", "forward_flops_per_sequence", drop=3),
    Column("share", "attention_share"),
    Column("KV cache", "kv_cache_bytes"),
    Column("score matrix", "score_matrix_bytes", drop=2),
    Column("", "beyond_trained_context", numeric=False, read=_beyond_text),
)
_CROSSOVER_COLUMNS = (Column("crossover (one sequence)", "crossover", numeric=False), Column("context", "context"))


def attention_report(spec: ModelSpec, ask: Ask) -> Report:
    """Attention's cost at each context length, where it overtakes the rest, and what stood in its place before."""
    model = counted(spec)
    contexts = _contexts(spec, ask)
    rows = [costs_of(model, context, ask) for context in contexts]
    records = [_record(cost, spec) for cost in rows]
    crossed = crossovers(model, ask)
    tables = [
        view(
            f"{spec.label}: {_shares(rows)} ({_seen(spec, ask)}; one sequence, cache and scores in {ask.dtype})",
            _COLUMNS,
            [
                {**one, "growth": _growth(*pair)}
                for one, pair in zip(records, zip([None, *rows], rows, strict=False), strict=True)
            ],
            subject=spec.name,
            aside=ask.versus,  # a spreadsheet gets the table that was asked for
        ),
        Table("", _CROSSOVER_COLUMNS, tuple(_crossover_rows(crossed)), aside=True),
    ]
    versus: dict[str, Data] = {}
    if ask.versus:
        table, versus["versus"] = versus_of(int(spec.d_model), contexts, ask.kernel, ask.neighbourhood)
        tables.append(table)
    data: Data = {**_document(spec, ask, records, crossed), **versus}
    steps = Derivations(lambda: _steps(rows, crossed))
    return Report(f"{spec.label}: attention", tuple(tables), data, _notes(model, ask), steps)


def attention_figures(spec: ModelSpec, ask: Ask) -> Data:
    """The figures of the same answer by their keys, without tables and derivations: what a row of a sweep holds."""
    model = counted(spec)
    records = [_record(costs_of(model, context, ask), spec) for context in _contexts(spec, ask)]
    return _document(spec, ask, records, crossovers(model, ask))


def _contexts(spec: ModelSpec, ask: Ask) -> list[int]:
    """The lengths that are asked about, the shortest first; a single one, which a sweep may record, is compared with none."""
    return list(ask.contexts) if len(ask.contexts) == 1 else sorted(set(ask.contexts)) or default_contexts(spec)


def _document(
    spec: ModelSpec, ask: Ask, records: Sequence[Record], crossed: Mapping[str, Figure | Missing]
) -> dict[str, Data]:
    """The answer for JSON."""
    return {
        "model": spec.name,
        "title": spec.label,
        "attention": ask.sight,
        "dtype": ask.dtype,
        "rows": list(records),
        "crossovers": crossed,
    }


def _shares(rows: list[AttentionCosts]) -> str:
    """Their share of forward FLOPs at the shortest and the longest context."""
    ends = rows[:1] if len(rows) == 1 else [rows[0], rows[-1]]
    shares = [number_text(Fraction(int(cost.per_sequence.value), int(cost.forward.value)), "percent") for cost in ends]
    if not any(int(cost.per_sequence.value) for cost in ends):
        return "no attention scores at any context"
    first, *last = [f"at {int(cost.context.value):,} token{'' if cost.context.value == 1 else 's'}" for cost in ends]
    return f"attention scores take {shares[0]} of forward FLOPs {first}" + (
        f" and {shares[1]} {last[0]}" if last else ""
    )


def _seen(spec: ModelSpec, ask: Ask) -> str:
    """What the counted FLOPs take a query to see."""
    if ask.sight == "full":
        return "full attention: every query sees every key"
    if spec.kind == "encoder":
        return "every query sees every key within its window: an encoder is not causal"
    return "causal attention: a query sees itself and what came before"


def _growth(before: AttentionCosts | None, cost: AttentionCosts) -> Figure | None:
    """How many times the scores of the length before it costs."""
    if before is None or not before.per_sequence.value:
        return None
    return Figure(Fraction(int(cost.per_sequence.value), int(before.per_sequence.value)), RATIO)


def _record(cost: AttentionCosts, spec: ModelSpec) -> Record:
    return {
        "context": cost.context,
        "attention_flops_per_token": cost.per_token,
        "attention_flops_per_sequence": cost.per_sequence,
        "forward_flops_per_sequence": cost.forward,
        "attention_share": share(int(cost.per_sequence.value), int(cost.forward.value)),
        "kv_cache_bytes": cost.cache,
        "score_matrix_bytes": cost.matrix,
        "beyond_trained_context": spec.context is not None and int(cost.context.value) > spec.context,
    }


def _crossover_rows(crossovers: dict[str, Figure | Missing]) -> list[tuple[Cell, ...]]:
    names = {
        "feed_forward": "score FLOPs equal those of the feed-forward",
        "all_else": "score FLOPs equal all other FLOPs",
        "cache_equals_weights": "KV cache exceeds the weights",
    }
    return [(names[key], crossing) for key, crossing in crossovers.items()]


def _steps(rows: list[AttentionCosts], crossovers: dict[str, Figure | Missing]) -> Iterator[Step]:
    """How the figures were made, context by context."""
    for cost in rows:
        derived = [
            *line_figures(cost.lines, FLOPS, FLOPS_SOURCE),
            ("attention_flops_per_sequence", cost.per_sequence),
            ("attention_flops_per_token", cost.per_token),
            ("forward_flops_per_sequence", cost.forward),
            ("score_matrix_bytes", cost.matrix),
            ("kv_cache_bytes", cost.cache),
        ]
        figures = [(name, figure) for name, figure in derived if isinstance(figure, Figure)]
        yield from steps_of(figures, f"context {int(cost.context.value):,}")
    crossed = [(name, figure) for name, figure in crossovers.items() if isinstance(figure, Figure)]
    yield from steps_of(crossed, "crossovers")


def _notes(model: TracedModel, ask: Ask) -> tuple[str, ...]:
    spec = model.spec
    window = next(
        (mixer.window for mixer in attentions(spec.mixers) if isinstance(mixer, Attention) and mixer.window), None
    )
    windows = (
        f"Windows of {int(window):,} are {'ignored in FLOPs, as frameworks do (--causal respects them)' if ask.sight == 'full' else 'respected'}; "
        "a cache stops growing at its window."
        if window is not None
        else ""
    )
    two = (
        f"{streams_note(spec)} The cache holds the decoder's and the encoder's keys and values."
        if spec.kind == "encoder-decoder"
        else ""
    )
    trained = (
        "" if spec.context is not None else f"{spec.label} has no trained context, so no row is marked as beyond it."
    )
    return notes_of(
        spec,
        windows,
        two,
        trained,
        VERSUS_NOTE if ask.versus else "",
        f"Weights, cache and scores are in {ask.dtype}. The score matrix is of one layer, with all heads, stored whole; flash "
        "attention never stores it.",
        leaves_out(model.ledger) + " " + CACHE_LEAVES_OUT,
        about=("attention",),
    )
