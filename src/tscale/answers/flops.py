"""`tscale flops`: training FLOPs by each published convention beside the exact count, and why they differ."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.common import (
    Counted,
    context_of,
    counted,
    lengths_text,
    line_figures,
    notes_of,
    published_data,
    published_figure,
    source_text,
    steps_of,
    summed,
)
from tscale.answers.departures import departures
from tscale.core.numbers import Remembered, ceil_div, named
from tscale.core.quantity import Cell, Column, Data, Figure, Known, Missing, Report, Step, Table
from tscale.core.questions.conventions import chinchilla, megatron, megatron_recompute, palm, six_nd
from tscale.core.questions.forward import forward_flops, leaves_out
from tscale.core.questions.params import active_params, embedding_params, params
from tscale.core.questions.training import PF_DAY, training_flops
from tscale.core.run import Run
from tscale.core.units import FLOPS, FLOPS_PER_TOKEN, PARAMETERS, PF_DAYS, RATIO, TOKENS
from tscale.errors import NotPublishedError, RequestError
from tscale.spec.lower import run_of
from tscale.spec.model import ModelSpec

_COLUMNS = (
    Column("training FLOPs by", "convention", numeric=False),
    Column("FLOPs", "training_flops"),
    Column("PF-days", "pf_days", drop=3),
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
    "six_nd": ("6·N·D", "6 a parameter and token, all parameters", "brown2020 Table D.1"),
    "six_nd_non_embedding": ("6·N·D, non-embedding", "the same without embeddings", "kaplan2020 section 2.1"),
    "chinchilla": ("Chinchilla", "products, softmax, one-hot embedding", "hoffmann2022 Appendix F"),
    "palm": ("PaLM", "6·N·D and full attention", "chowdhery2022 Appendix B"),
    "megatron": ("Megatron", "12·l·h² layers, full attention, head", "narayanan2021 section 5.1"),
    "megatron_recompute": ("Megatron, recomputed", "the same, layers forward twice", "narayanan2021 equation 3"),
    "exact": ("exact, full attention", "every product; every query sees every key", ""),
    "exact_causal": ("exact, causal attention", "every product; each query sees what it may", ""),
}
_FORWARD_SOURCE: Final = "kaplan2020 Table 1"


class _Asked(NamedTuple):
    """A model, one sequence of its training, and how long it was trained."""

    model: Counted
    run: Run
    context: Figure
    tokens: Figure

    @property
    def known(self) -> Known:
        """How whatever rests on the length of the sequences is known."""
        return self.context.known

    def figure(self, value: int) -> Figure:
        """An exact count of FLOPs, but for the length of the sequences."""
        return Figure(value, FLOPS, self.known)


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
    asked = _Asked(model, *_run(spec, context, source, target), _tokens(spec, tokens))
    forward = {
        "full": asked.figure(summed(forward_flops(model.ledger, asked.run, "full").lines)),
        "causal": asked.figure(summed(forward_flops(model.ledger, asked.run, "causal").lines, _CAUSAL)),
    }
    training = _training(asked)
    title = _title(asked, by_default=by_default)
    own_run = tokens is None
    tables = (
        Table(title, _COLUMNS, tuple(_rows(training)), subject=spec.name),
        Table("", _SPLIT_COLUMNS, tuple(_split(asked, forward, training)), aside=True),
        *_published_table(spec, training["six_nd"], own_run=own_run),
    )
    data = _data(asked, forward, training, own_run=own_run)
    steps = steps_of(_derived(asked, forward, training), spec.name)
    notes = notes_of(
        spec,
        asked.context.note,
        _TRAINED if spec.context is not None and context is source is target is None else "",
        asked.tokens.note,
        *departures(spec),
        _why(training),
        leaves_out(model.ledger) + " No recomputation, but for the convention that names it.",
    )
    return Report(title, tables, {**data, "default_model": by_default}, notes, (*steps, _pf_days_step(training)))


_CAUSAL: Final = "causal."
_TRAINED: Final = (
    "Sequences are of the trained context: --context changes that, where most of the training saw shorter ones."
)


def _title(asked: _Asked, *, by_default: bool) -> str:
    spec, run = asked.model.spec, asked.run
    whose = f"{spec.label} (the default model)" if by_default else spec.label
    return f"{whose}: training FLOPs on {int(asked.tokens.value):,} tokens, in sequences of {lengths_text(spec, run)}"


def _two(spec: ModelSpec) -> bool:
    return spec.kind == "encoder-decoder"


def _run(spec: ModelSpec, context: int | None, source: int | None, target: int | None) -> tuple[Run, Figure]:
    """One sequence as asked for, on numbers that remember, and the context that stands for it."""
    if not _two(spec):
        if source is not None or target is not None:
            kind = "an encoder" if spec.kind == "encoder" else "a decoder"
            raise RequestError(
                f"--source and --target are for an encoder-decoder; {spec.name} is {kind}: use --context"
            )
        figure = context_of(spec, context)
        context = Remembered(int(figure.value), label="context")
        return (Run(0, context) if spec.kind == "encoder" else Run(context)), figure
    if source is not None and spec.heard is not None:
        raise RequestError(
            f"--source: the encoder of {spec.label} reads {int(spec.heard):,} positions of sound, whatever is said in them: drop it"
        )
    if context is not None and source is not None and target is not None:
        raise RequestError("--context is for a length that --source or --target leaves open: drop one of the three")
    both = source is not None and target is not None
    figure = context_of(spec, target if both else context)
    length = int(figure.value)
    read = source or int(run_of(spec, length).source)  # of sounds it is the same whatever the context
    lengths = Run(Remembered(target or length, label="target"), Remembered(read, label="source"))
    return lengths, figure


def _tokens(spec: ModelSpec, asked: int | None) -> Figure:
    """The tokens asked for, or those the model was trained on."""
    if asked is not None:
        return Figure(Remembered(asked, label="tokens"), TOKENS)
    training = spec.training
    if training is None:
        raise NotPublishedError(
            f"{spec.label}: its training tokens were never published: give --tokens, such as --tokens 300e9"
        )
    graded = "" if training.evidence == "primary" else f", {training.evidence}"
    more = f"; {training.note}" if training.note else ""
    note = f"Tokens: those it was trained on ({source_text(training.source)}{graded}){more}"
    return Figure(Remembered(training.tokens, label="tokens"), TOKENS, "cited", training.source, note.rstrip(".") + ".")


def _training(asked: _Asked) -> dict[str, Figure | Missing]:
    """Training FLOPs under every convention; the published ones are applied as printed."""
    spec, ledger = asked.model
    d, t = asked.tokens.value, Remembered(int(asked.context.value), label="context")
    assert isinstance(d, int)
    n = named("N", active_params(ledger).total)
    others = n - named("N_embedding", embedding_params(ledger).total)
    exact = {
        "exact": training_flops(ledger, asked.run, d, "full"),
        "exact_causal": training_flops(ledger, asked.run, d, "causal"),
    }
    printed = {"six_nd": six_nd(n, d), "six_nd_non_embedding": six_nd(named("N_non_embedding", others), d)}
    plain = None if _two(spec) else spec.plain_blocks()
    if plain is not None:
        attention, feed_forward = plain
        heads, _, head_dim = attention.widths(spec.d_model)
        layers, d_model, v = spec.layers, spec.d_model, spec.vocabulary
        printed |= {
            "chinchilla": chinchilla(d, t, layers, d_model, feed_forward.d_ff, heads, head_dim, v),
            "palm": palm(n, d, t, layers, heads, head_dim),
            "megatron": megatron(d, t, layers, d_model, v),
            "megatron_recompute": megatron_recompute(d, t, layers, d_model, v),
        }
    absent = Missing("not defined for two stacks" if _two(spec) else "not defined for such layers")
    figures = {key: asked.figure(value) for key, value in exact.items()} | {
        key: Figure(value, FLOPS, "convention", _NAMES[key][2]) for key, value in printed.items()
    }
    return {key: figures.get(key, absent) for key in _NAMES}


def _rows(training: dict[str, Figure | Missing]) -> Iterator[tuple[Cell, ...]]:
    exact = training["exact"]
    assert isinstance(exact, Figure)
    for key, (name, counts, source) in _NAMES.items():
        figure = training[key]
        if isinstance(figure, Missing):
            yield name, figure, "", "", counts, source_text(source)
            continue
        pf_days = Figure(Fraction(int(figure.value), PF_DAY), PF_DAYS, figure.known)
        ratio = Figure(Fraction(int(figure.value), int(exact.value)), RATIO)
        yield name, figure, pf_days, ratio, counts, source_text(source)


def _split(
    asked: _Asked, forward: dict[str, Figure], training: dict[str, Figure | Missing]
) -> Iterator[tuple[Cell, ...]]:
    """The exact count taken apart: forward and backward, a sequence, a token and the whole run."""
    full, causal = (int(forward[sight].value) for sight in ("full", "causal"))
    sequence, tokens = int(asked.run.tokens), int(asked.tokens.value)

    def row(name: str, times: int, over: int = 1) -> tuple[Cell, ...]:
        return name, *(asked.figure(ceil_div(times * once, over)) for once in (full, causal))

    yield row("forward, a sequence", 1)
    yield row("forward, a token", 1, sequence)
    yield row("backward, a token", 2, sequence)
    yield row("forward, all tokens", tokens, sequence)
    yield row("backward, all tokens", 2 * tokens, sequence)
    yield "training", training["exact"], training["exact_causal"]


def _published_table(spec: ModelSpec, six: Figure | Missing, *, own_run: bool) -> tuple[Table, ...]:
    """What was published of the model's training; beside it 6·N·D, where that is of the same tokens."""
    assert isinstance(six, Figure)
    columns = [Column("published", "quantity", numeric=False), Column("FLOPs", "published")]
    if own_run:
        columns.append(Column("6·N·D to it", "ratio"))
    columns.append(Column("source", "source", numeric=False))
    rows: list[tuple[Cell, ...]] = []
    for published in spec.figures("training_flops"):
        figure = published_figure(published, FLOPS)
        ratio = [Figure(Fraction(int(six.value)) / Fraction(published.value), RATIO)] if own_run else []
        source = source_text(figure.source) + (f" ({figure.note})" if figure.note else "")
        rows.append(("training", figure, *ratio, source))
    return (Table("", tuple(columns), tuple(rows), aside=True),) if rows else ()


def _data(
    asked: _Asked, forward: dict[str, Figure], training: dict[str, Figure | Missing], *, own_run: bool
) -> dict[str, Data]:
    spec, ledger = asked.model
    six = training["six_nd"]
    assert isinstance(six, Figure)
    total, active = params(ledger).total, active_params(ledger).total
    lengths: dict[str, Data] = (
        {
            "source": Figure(asked.run.source, TOKENS, asked.known),
            "target": Figure(asked.run.target, TOKENS, asked.known),
        }
        if _two(spec)
        else {}
    )
    backward: dict[str, Data] = {sight: asked.figure(2 * int(figure.value)) for sight, figure in forward.items()}
    return {
        "model": spec.name,
        "title": spec.label,
        "tokens": asked.tokens,
        "context": asked.context,
        **lengths,
        "params": Figure(total, PARAMETERS),
        **({"active_params": Figure(active, PARAMETERS)} if active != total else {}),
        "training_flops": training,
        "forward_flops_per_sequence": forward,
        "backward_flops_per_sequence": backward,
        "forward_flops_per_token": Figure(_per_token(asked, forward), FLOPS_PER_TOKEN, asked.known),
        "pf_days": Figure(Fraction(int(six.value), PF_DAY), PF_DAYS, "convention", "brown2020 Table D.1"),
        "published": published_data(spec, [("training_flops", FLOPS, int(six.value))], compared=own_run),
    }


def _per_token(asked: _Asked, forward: dict[str, Figure]) -> int:
    once = forward["full"].value
    assert isinstance(once, int)
    return ceil_div(named("forward_full", once), asked.run.tokens)


def _derived(
    asked: _Asked, forward: dict[str, Figure], training: dict[str, Figure | Missing]
) -> Iterator[tuple[str, Figure]]:
    """The figures in the order in which one explains the next."""
    ledger, run = asked.model.ledger, asked.run
    yield from line_figures(forward_flops(ledger, run).lines, FLOPS, _FORWARD_SOURCE)
    yield "forward_full", forward["full"]
    yield from line_figures(forward_flops(ledger, run, "causal").lines, FLOPS, _FORWARD_SOURCE, _CAUSAL)
    yield "forward_causal", forward["causal"]
    for key, value in training.items():
        if isinstance(value, Figure):
            yield key, value
    yield "forward_flops_per_token", Figure(_per_token(asked, forward), FLOPS_PER_TOKEN, asked.known)


def _pf_days_step(training: dict[str, Figure | Missing]) -> Step:
    six = training["six_nd"]
    assert isinstance(six, Figure)
    figure = Figure(Fraction(int(six.value), PF_DAY), PF_DAYS, "convention", "brown2020 Table D.1")
    return Step("pf_days", f"six_nd/{PF_DAY}", f"{int(six.value)}/{PF_DAY}", figure)


def _why(training: dict[str, Figure | Missing]) -> str:
    others = " PaLM, Megatron and Chinchilla add full attention scores;" if isinstance(training["palm"], Figure) else ""
    return (
        f"Why they differ: 6·N·D counts no attention scores and every parameter once a token, embeddings too;{others} "
        "the exact count takes each matrix product of the model as it is. Forward is a third of training, backward two."
    )
