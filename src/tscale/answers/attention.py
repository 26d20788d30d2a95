"""`tscale attention`: what context costs, at each length; where it overtakes the rest; and why it replaced recurrence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.layer_comparison import VERSUS_NOTE, versus_of
from tscale.blocks import Attention, attentions
from tscale.core.costs.cache import LEAVES_OUT as CACHE_LEAVES_OUT
from tscale.core.costs.cache import SOURCE as CACHE_SOURCE
from tscale.core.costs.cache import cache_bytes, growing, states
from tscale.core.costs.crossover import first_context
from tscale.core.costs.forward import (
    AttentionMask,
    conv_flops,
    forward_flops,
    leaves_out,
    matmul_flops,
    scan_flops,
    score_flops,
)
from tscale.core.costs.params import params
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Conv, Matmul, Scan, Scores
from tscale.core.metric import Cell, Column, Data, Figure, Label, Line, Missing, Report, Step, Table
from tscale.core.number_text import number_text
from tscale.core.tracing import TracedInt, ceil_div, label
from tscale.core.units import BYTES, FLOPS, FLOPS_PER_TOKEN, RATIO, TOKENS
from tscale.core.view import Record, view
from tscale.core.workload import SequenceLengths
from tscale.estimates.explaining import (
    TracedModel,
    counted,
    line_figures,
    notes_of,
    share,
    steps_of,
    streams_note,
    summed,
)
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec

DEFAULT_CONTEXTS: Final = tuple(2**power for power in range(9, 18, 2))
_FLOPS_SOURCE: Final = "kaplan2020 Table 1"


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


class Ask(NamedTuple):
    """What is asked of a model's attention."""

    contexts: Sequence[int] = ()
    sight: AttentionMask = "full"
    dtype: str = "bf16"
    versus: bool = False
    kernel: int = 3
    """Of the convolution that attention is compared with."""
    neighbourhood: int = 256
    """Keys that restricted attention sees."""


class _Costs(NamedTuple):
    """The costs of one sequence of a context, each a figure."""

    context: Figure
    per_token: Figure
    per_sequence: Figure
    forward: Figure
    cache: Figure | Missing
    matrix: Figure
    lines: tuple[Line, ...]


def attention_report(spec: ModelSpec, ask: Ask) -> Report:
    """Attention's cost at each context length, where it overtakes the rest, and what stood in its place before."""
    model = counted(spec)
    contexts = sorted(set(ask.contexts)) or default_contexts(spec)
    rows = [_costs(model, context, ask) for context in contexts]
    records = [_record(cost, spec) for cost in rows]
    crossed = crossovers(model, ask)
    tables = [
        view(
            f"{spec.label}: {_shares(rows)} ({_seen(spec, ask)}; one sequence, cache and scores in {ask.dtype})",
            _COLUMNS,
            [{**one, "growth": _growth(*pair)} for one, *pair in zip(records, [None, *rows], rows, strict=False)],
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
    return Report(f"{spec.label}: attention", tuple(tables), data, _notes(model, ask), tuple(_steps(rows, crossed)))


def attention_figures(spec: ModelSpec, ask: Ask) -> Data:
    """The figures of the same answer by their keys, without tables and derivations: what a row of a sweep holds."""
    model = counted(spec)
    contexts = list(ask.contexts) if len(ask.contexts) == 1 else sorted(set(ask.contexts)) or default_contexts(spec)
    records = [_record(_costs(model, context, ask), spec) for context in contexts]
    return _document(spec, ask, records, crossovers(model, ask))


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


def _shares(rows: list[_Costs]) -> str:
    """Their share of forward FLOPs at the shortest and the longest context."""
    ends = rows[:1] if len(rows) == 1 else [rows[0], rows[-1]]
    shares = [number_text(Fraction(int(cost.per_sequence.value), int(cost.forward.value)), "percent") for cost in ends]
    if not any(int(cost.per_sequence.value) for cost in ends):
        return "no attention scores at any context"
    first, *last = [f"at {int(cost.context.value):,} tokens" for cost in ends]
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


def default_contexts(spec: ModelSpec) -> list[int]:
    """Powers of two around what the model was trained on, and that itself."""
    trained = [int(spec.context)] if spec.context else []
    return sorted({*DEFAULT_CONTEXTS, *trained})


def _costs(model: TracedModel, context: int, ask: Ask) -> _Costs:
    length = TracedInt(context, label="context")
    run = run_of(model.spec, length)
    scores = label("attention_flops_per_sequence", score_total(model, run, ask.sight))
    cache = cache_bytes(model.ledger, run, _bits(ask.dtype))
    lines = forward_flops(model.ledger, run, ask.sight).lines
    return _Costs(
        Figure(length, TOKENS),
        Figure(ceil_div(scores, run.tokens), FLOPS_PER_TOKEN, source=_FLOPS_SOURCE),
        Figure(score_total(model, run, ask.sight), FLOPS, source=_FLOPS_SOURCE),
        Figure(summed(lines), FLOPS, source=_FLOPS_SOURCE),
        Figure(sum(line.value for line in cache.lines), BYTES, source=CACHE_SOURCE) if cache.lines else Missing("none"),
        Figure(_matrix_bytes(model, run, ask.dtype), BYTES),
        lines,
    )


_NO_CACHE: Final = Missing("none: an encoder keeps no cache")


def score_total(model: TracedModel, run: SequenceLengths, sight: AttentionMask) -> int:
    """FLOPs of all scores of one sequence."""
    return sum(score_flops(entry, run, sight) for entry in model.ledger.entries if isinstance(entry, Scores))


def _matrix_bytes(model: TracedModel, run: SequenceLengths, dtype: str) -> int:
    """Bytes of the scores [heads, queries, keys] of the layer with most, stored whole: what flash attention avoids."""
    sizes = (
        entry.heads * run.length(entry.stream) * run.length(entry.keys)
        for entry in model.ledger.entries
        if isinstance(entry, Scores)
    )
    return ceil_div(max(sizes, default=0) * _bits(dtype), 8)


def _bits(dtype: str) -> int:
    """Whole bits of a number: the formats that are asked for here share no scales."""
    bits = DTYPES[dtype].bits
    assert bits.denominator == 1, dtype
    return bits.numerator


def _growth(before: _Costs | None, cost: _Costs) -> Figure | None:
    """How many times the scores of the length before it costs."""
    if before is None or not before.per_sequence.value:
        return None
    return Figure(Fraction(int(cost.per_sequence.value), int(before.per_sequence.value)), RATIO)


def _record(cost: _Costs, spec: ModelSpec) -> Record:
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


def crossovers(model: TracedModel, ask: Ask) -> dict[str, Figure | Missing]:
    """The contexts at which attention's scores cost as much as the feed-forward, as all else; the cache as the weights."""
    ledger = model.ledger
    scores = [entry for entry in ledger.entries if isinstance(entry, Scores)]
    products = [entry for entry in ledger.entries if isinstance(entry, Matmul)]
    feed_forward = [entry for entry in products if entry.part == "feed_forward"]
    rank = sum(entry.used * entry.heads * (entry.d_qk + entry.d_v) for entry in scores)
    bits = _bits(ask.dtype)
    weights = params(ledger).total

    def attended(context: int) -> int:
        return sum(score_flops(entry, run_of(model.spec, context), ask.sight) for entry in scores)

    def multiplied(entries: list[Matmul]) -> Callable[[int], int]:
        def flops(context: int) -> int:
            run = run_of(model.spec, context)
            return sum(matmul_flops(entry, run) for entry in entries)

        return flops

    def mixed(context: int) -> int:
        """All that is not scores: products, convolutions and recurrences."""
        run = run_of(model.spec, context)
        convolved = sum(conv_flops(entry, run) for entry in ledger.entries if isinstance(entry, Conv))
        scanned = sum(scan_flops(entry, run) for entry in ledger.entries if isinstance(entry, Scan))
        return multiplied(products)(context) + convolved + scanned

    def cached(context: int) -> int:
        return cache_bytes(ledger, run_of(model.spec, context), bits).total

    def reached(entries: list[Matmul], cost: Callable[[int], int], name: str) -> Figure | Missing:
        """Scores grow by 2·rank a token and key; products cost 2·weights a token. Causal, a query sees half the keys."""
        if not scores:
            return Missing("never: no attention")
        if not entries:
            return Missing("never: no such layers")
        size = label(
            f"{name}_weights", sum(entry.used * entry.d_in * entry.d_out for entry in entries if entry.stream != "once")
        )
        each = label("scores_per_pair", rank)
        closed = ceil_div(size, each) if ask.sight == "full" else ceil_div(2 * size, each) - 1
        return _crossing(first_context(attended, cost, closed), closed)

    cache_per_token = cache_bytes(growing(ledger), run_of(model.spec, 1), bits).total
    state = cache_bytes(states(ledger), run_of(model.spec, 1), bits).total
    outweighs: Figure | Missing = Missing("never: the state does not grow") if state else _NO_CACHE
    if cache_per_token:
        room = label("total", weights) * bits - (8 * label("state_bytes", state) if state else 0)
        closed = ceil_div(room, label("cache_bits_per_token", 8 * cache_per_token))
        outweighs = _crossing(first_context(cached, lambda _: ceil_div(weights * bits, 8), closed), closed)
    return {
        "feed_forward": reached(feed_forward, multiplied(feed_forward), "feed_forward"),
        "all_else": reached(products, mixed, "all"),
        "cache_equals_weights": outweighs,
    }


def _crossing(context: int | None, closed: int) -> Figure | Missing:
    """A crossing, with its closed form where that is what was found."""
    if context is None:
        return Missing("never: a window stops the growth")
    return Figure(closed if context == closed else int(context), TOKENS)


def _crossover_rows(crossovers: dict[str, Figure | Missing]) -> list[tuple[Cell, ...]]:
    names = {
        "feed_forward": "score FLOPs equal those of the feed-forward",
        "all_else": "score FLOPs equal all other FLOPs",
        "cache_equals_weights": "KV cache exceeds the weights",
    }
    return [(names[key], crossing) for key, crossing in crossovers.items()]


def _steps(rows: list[_Costs], crossovers: dict[str, Figure | Missing]) -> Iterator[Step]:
    """How the figures were made, context by context."""
    for cost in rows:
        derived = [
            *line_figures(cost.lines, FLOPS, _FLOPS_SOURCE),
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
