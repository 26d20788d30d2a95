"""`tscale flops`: training FLOPs by each published convention beside the exact count, and why they differ."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from tscale.answers.common import (
    Counted,
    context_of,
    counted,
    notes_of,
    published_data,
    published_figure,
    source_text,
    steps_of,
    summed,
)
from tscale.blocks import Attention, Experts, FeedForward
from tscale.core.numbers import Remembered, ceil_div, named
from tscale.core.quantity import Cell, Column, Data, Figure, Missing, Report, Step, Table
from tscale.core.questions.conventions import chinchilla, megatron, megatron_recompute, palm, six_nd
from tscale.core.questions.forward import forward_flops, leaves_out
from tscale.core.questions.params import active_params, embedding_params
from tscale.core.questions.training import PF_DAY, training_flops
from tscale.core.run import Run
from tscale.core.units import FLOPS, FLOPS_PER_TOKEN, PARAMETERS, PF_DAYS, RATIO, TOKENS
from tscale.errors import NotPublishedError, RequestError
from tscale.spec.model import ModelSpec

_COLUMNS = (
    Column("training FLOPs by", "convention", numeric=False),
    Column("FLOPs", "training_flops"),
    Column("to exact", "ratio"),
    Column("what it counts", "counts", drop=2, numeric=False),
    Column("source", "source", drop=1, numeric=False),
)
_SPLIT_COLUMNS = (
    Column("exact count", "quantity", numeric=False),
    Column("full attention", "full"),
    Column("causal attention", "causal"),
)
_NAMES: Final = {
    "six_nd": ("6·N·D", "all parameters, 6 FLOPs a token", "brown2020 Table D.1"),
    "six_nd_non_embedding": ("6·N·D, non-embedding", "parameters without embeddings", "kaplan2020 section 2.1"),
    "chinchilla": ("Chinchilla", "products, softmax, one-hot embedding", "hoffmann2022 Appendix F"),
    "palm": ("PaLM", "6·N and full attention", "chowdhery2022 Appendix B"),
    "megatron": ("Megatron", "12·l·h² layers, full attention, head", "narayanan2021 section 5.1"),
    "megatron_recompute": ("Megatron, recomputed", "the same, layers forward twice", "narayanan2021 equation 3"),
    "exact": ("exact, full attention", "every product; every query sees every key", ""),
    "exact_causal": ("exact, causal attention", "every product; each query sees what it may", ""),
}
_WHY: Final = (
    "Why they differ: 6·N·D counts no attention scores and every parameter once a token, the embedding too; PaLM, Megatron "
    "and Chinchilla add full attention scores; the exact count takes each matrix product of the model as it is."
)


def flops_report(
    spec: ModelSpec,
    tokens: int | None,
    context: int | None,
    source: int | None = None,
    target: int | None = None,
    *,
    by_default: bool = False,
) -> Report:
    """Training and forward FLOPs of a model on `tokens` tokens; its own training tokens where none are given."""
    model = counted(spec)
    spec = model.spec
    run, context_figure = _run(spec, context, source, target)
    tokens_figure = _tokens(spec, tokens)
    training = _training(model, run, int(tokens_figure.value), int(context_figure.value))
    forward = {
        "full": Figure(summed(forward_flops(model.ledger, run, "full").lines), FLOPS),
        "causal": Figure(summed(forward_flops(model.ledger, run, "causal").lines), FLOPS),
    }
    six = training["six_nd"]
    assert isinstance(six, Figure)
    per_token = Figure(ceil_div(named("forward_full", int(forward["full"].value)), run.tokens), FLOPS_PER_TOKEN)
    pf_days = Figure(Fraction(int(six.value), PF_DAY), PF_DAYS, "convention", "brown2020 Table D.1")
    total = named("N", active_params(model.ledger).total)
    whose = " (the default model)" if by_default else ""
    length = (
        f"{int(run.source):,} source and {int(run.target):,} target tokens"
        if _two(spec)
        else f"{int(run.tokens):,} tokens"
    )
    title = f"{spec.label}{whose}: training FLOPs on {int(tokens_figure.value):,} tokens, in sequences of {length}"
    published = spec.figures("training_flops")
    tables = (
        Table(title, _COLUMNS, tuple(_rows(training)), subject=spec.name),
        Table("", _SPLIT_COLUMNS, tuple(_split(forward, training, run, int(tokens_figure.value))), aside=True),
        *_published_table(spec, six),
    )
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        "tokens": tokens_figure,
        "context": context_figure,
        **({"source": Figure(run.source, TOKENS), "target": Figure(run.target, TOKENS)} if _two(spec) else {}),
        "params": Figure(total, PARAMETERS),
        "training_flops": training,
        "forward_flops_per_sequence": forward,
        "forward_flops_per_token": per_token,
        "pf_days": pf_days,
        "published": published_data(spec, [("training_flops", FLOPS, int(six.value))]) if published else {},
        "default_model": by_default,
    }
    derived = [
        ("N", Figure(total, PARAMETERS, source=model.shape_source)),
        *((line.name, Figure(line.value, FLOPS, source="kaplan2020 Table 1")) for line in forward_flops(model.ledger, run).lines),
        *((f"{line.name}, causal", Figure(line.value, FLOPS, source="kaplan2020 Table 1"))
          for line in forward_flops(model.ledger, run, "causal").lines if line.name.endswith(("scores", ".local", ".global"))),
        ("forward_full", forward["full"]),
        ("forward_causal", forward["causal"]),
        *((key, figure) for key, figure in training.items() if isinstance(figure, Figure)),
        ("forward_flops_per_token", per_token),
    ]  # fmt: skip
    pf_step = Step("pf_days", f"six_nd/{PF_DAY}", f"{int(six.value)}/{PF_DAY}", pf_days)
    notes = notes_of(
        spec,
        context_figure.note,
        tokens_figure.note,
        *_departures(spec),
        f"PF-days of 6·N·D: {float(pf_days.value):,.1f}. Forward is a third of training, backward two thirds.",
        _WHY,
        leaves_out(model.ledger) + " No recomputation, but for the convention that names it.",
    )
    return Report(title, tables, data, notes, (*steps_of(derived), pf_step))


def _two(spec: ModelSpec) -> bool:
    return spec.kind == "encoder-decoder"


def _run(spec: ModelSpec, context: int | None, source: int | None, target: int | None) -> tuple[Run, Figure]:
    """The run asked for, on numbers that remember."""
    if not _two(spec) and (source is not None or target is not None):
        raise RequestError(
            f"--source and --target are for an encoder-decoder; {spec.name} is a {spec.kind}: use --context"
        )
    figure = context_of(spec, context if context is not None else target if source is not None else None)
    length = int(figure.value)
    if _two(spec):
        lengths = Run(
            target=Remembered(target or length, label="target"), source=Remembered(source or length, label="source")
        )
        return lengths, figure
    remembered_length = Remembered(length, label="context")
    return (Run(0, remembered_length) if spec.kind == "encoder" else Run(remembered_length)), figure


def _tokens(spec: ModelSpec, asked: int | None) -> Figure:
    """The tokens asked for, or those the model was trained on."""
    if asked is not None:
        return Figure(Remembered(asked, label="tokens"), TOKENS)
    if spec.training is None:
        raise NotPublishedError(
            f"{spec.label}: its training tokens were never published: give --tokens, such as --tokens 300e9"
        )
    training = spec.training
    graded = "" if training.evidence == "primary" else f", {training.evidence}"
    note = f"Tokens: those it was trained on ({source_text(training.source)}{graded})" + (
        f"; {training.note}" if training.note else ""
    )
    return Figure(Remembered(training.tokens, label="tokens"), TOKENS, "cited", training.source, note.rstrip(".") + ".")


def _training(model: Counted, run: Run, tokens: int, context: int) -> dict[str, Figure | Missing]:
    """Training FLOPs under every convention; the published ones are applied as printed."""
    spec, ledger = model
    d = Remembered(tokens, label="tokens")
    n, t = named("N", active_params(ledger).total), Remembered(context, label="context")
    n_non_embedding = n - named("N_embedding", embedding_params(ledger).total)
    plain = None if _two(spec) else spec.plain_blocks()
    figures: dict[str, int] = {
        "six_nd": six_nd(n, d),
        "six_nd_non_embedding": six_nd(named("N_non_embedding", n_non_embedding), d),
        "exact": training_flops(ledger, run, d, "full"),
        "exact_causal": training_flops(ledger, run, d, "causal"),
    }
    if plain is not None:
        attention, feed_forward = plain
        heads, _, head_dim = attention.widths(spec.d_model)
        layers, d_model, v = spec.layers, spec.d_model, spec.vocabulary
        figures |= {
            "chinchilla": chinchilla(d, t, layers, d_model, feed_forward.d_ff, heads, head_dim, v),
            "palm": palm(n, d, t, layers, heads, head_dim),
            "megatron": megatron(d, t, layers, d_model, v),
            "megatron_recompute": megatron_recompute(d, t, layers, d_model, v),
        }
    absent = Missing("not defined for two stacks" if _two(spec) else "not defined for such layers")
    return {
        key: Figure(figures[key], FLOPS, "convention" if citation else "exact", citation) if key in figures else absent
        for key, (_, _, citation) in _NAMES.items()
    }


def _rows(training: dict[str, Figure | Missing]) -> Iterator[tuple[Cell, ...]]:
    exact = training["exact"]
    assert isinstance(exact, Figure)
    for key, (name, counts, source) in _NAMES.items():
        figure = training[key]
        ratio = Figure(Fraction(int(figure.value), int(exact.value)), RATIO) if isinstance(figure, Figure) else ""
        yield name, figure, ratio, counts, source_text(source)


def _split(
    forward: dict[str, Figure], training: dict[str, Figure | Missing], run: Run, tokens: int
) -> Iterator[tuple[Cell, ...]]:
    """The exact count taken apart: forward and backward, a sequence, a token and the whole run."""
    once = {sight: int(figure.value) for sight, figure in forward.items()}
    per_token = {sight: ceil_div(value, int(run.tokens)) for sight, value in once.items()}
    total = {"full": training["exact"], "causal": training["exact_causal"]}

    def row(name: str, values: dict[str, int]) -> tuple[Cell, ...]:
        return name, Figure(values["full"], FLOPS), Figure(values["causal"], FLOPS)

    yield row("forward, a sequence", once)
    yield row("forward, a token", per_token)
    yield row("backward, a token", {sight: 2 * value for sight, value in per_token.items()})
    yield row(
        "forward, all tokens", {sight: ceil_div(value * tokens, int(run.tokens)) for sight, value in once.items()}
    )
    yield row(
        "backward, all tokens", {sight: ceil_div(2 * value * tokens, int(run.tokens)) for sight, value in once.items()}
    )
    yield "training", total["full"], total["causal"]


def _published_table(spec: ModelSpec, six: Figure) -> tuple[Table, ...]:
    columns = (
        Column("published", "quantity", numeric=False),
        Column("FLOPs", "published"),
        Column("6·N·D to it", "ratio"),
        Column("source", "source", numeric=False),
    )
    rows: list[tuple[Cell, ...]] = []
    for published in spec.figures("training_flops"):
        figure = published_figure(published, FLOPS)
        ratio = Figure(Fraction(int(six.value)) / Fraction(published.value), RATIO)
        rows.append(
            ("training", figure, ratio, source_text(figure.source) + (f" ({figure.note})" if figure.note else ""))
        )
    return (Table("", columns, tuple(rows), aside=True),) if rows else ()


def _departures(spec: ModelSpec) -> Iterator[str]:
    """Where a model is not what the conventions' papers had in mind, so that their figures are only what they print."""
    if any(isinstance(block, Experts) for block in spec.feed_forwards):
        yield f"N is {spec.label}'s active parameters: each token is sent through some of the experts."
    plain = spec.plain_blocks()
    if plain is not None and not _two(spec):
        yield from _printed_for_others(spec, *plain)
    if _two(spec):
        yield (
            f"Each token of {spec.label} passes one of its two stacks, so 6·N·D is about twice too much; "
            "Brown 2020, Table D.1 takes 3·N·D. Tokens are those of both streams together."
        )


def _printed_for_others(spec: ModelSpec, attention: Attention, feed_forward: FeedForward) -> Iterator[str]:
    """Where a plain stack differs from the one in the formulas of Hoffmann 2022 and Narayanan 2021."""
    heads, kv_heads, head_dim = (int(width) for width in attention.widths(spec.d_model))
    d_model, d_ff = int(spec.d_model), int(feed_forward.d_ff)
    found = [
        text
        for holds, text in (
            (feed_forward.gated, "a gated feed-forward has three matrices, not two"),
            (kv_heads != heads, f"{kv_heads} key-value heads serve {heads} heads"),
            (heads * head_dim != d_model, f"heads·head_dim is {heads * head_dim:,}, not d_model {d_model:,}"),
            (d_ff != 4 * d_model, f"d_ff is {d_ff:,}, not 4·d_model"),
        )
        if holds
    ]
    if found:
        yield f"Chinchilla's and Megatron's formulas are as printed, though in {spec.label} " + "; ".join(found) + "."
