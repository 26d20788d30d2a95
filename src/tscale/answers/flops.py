"""`tscale flops`: training FLOPs by each published convention beside the exact count, and why they differ."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.media import media_notes, media_table
from tscale.core.costs.forward import AttentionMask, forward_flops, leaves_out
from tscale.core.costs.params import active_params, params
from tscale.core.costs.training import PF_DAY
from tscale.core.metric import Cell, Column, Data, Derivations, Figure, Known, Label, Missing, Report, Step, Table
from tscale.core.number_text import count_text, number_text
from tscale.core.tracing import TracedInt, ceil_div, label
from tscale.core.units import FLOPS, FLOPS_PER_TOKEN, PARAMETERS, PF_DAYS, RATIO, SHARE, TOKENS
from tscale.core.view import Record, view
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, field
from tscale.estimates.caveats import departures
from tscale.estimates.conventions import CONVENTIONS, by_convention, two_stacks
from tscale.estimates.explaining import (
    TracedModel,
    counted,
    difference,
    notes_of,
    published_data,
    published_row,
    source_text,
    steps_of,
    summed,
)
from tscale.estimates.media import Media, check_fits, media_costs, media_data
from tscale.estimates.trained import Trained, trained, training_length
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec

_COLUMNS = (
    Column("convention", "convention", numeric=False),
    Column("training FLOPs", "training_flops"),
    Column("PF-days", "pf_days", drop=3),
    Column("ratio to exact", "ratio"),
    Column("what it counts", "counts", drop=2, numeric=False),
    Column("source", "source", drop=1, numeric=False),
)
_SPLIT_COLUMNS = (
    Column("exact count", "quantity", numeric=False),
    Column("full attention", "full"),
    Column("causal attention", "causal"),
)


class _Asked(NamedTuple):
    """A model and the training run that is asked about."""

    model: TracedModel
    trained: Trained

    @property
    def run(self) -> SequenceLengths:
        """One sequence of the first stage."""
        return self.trained.first.run

    @property
    def known(self) -> Known:
        """How whatever rests on the length of the sequences is known."""
        return self.trained.known

    def figure(self, value: int) -> Figure:
        """An exact count of FLOPs of all tokens, but for the lengths of the sequences."""
        return Figure(value, FLOPS, self.known)

    def of_a_sequence(self, value: int) -> Figure:
        """An exact count of FLOPs of one sequence of the first stage, or of a token in it, but for its length."""
        return Figure(value, FLOPS, self.trained.first.known)


def flops_report(
    spec: ModelSpec,
    tokens: int | None,
    context: int | None,
    source: int | None = None,
    target: int | None = None,
    *,
    by_default: bool = False,
    media: Media = Media(),
) -> Report:
    """Training and forward FLOPs of a model on `tokens` tokens; its own training tokens where none are given."""
    model = counted(spec)
    spec = model.spec
    asked = _Asked(model, _asked_run(spec, tokens, context, source, target))
    forward = {
        "full": asked.of_a_sequence(summed(forward_flops(model.ledger, asked.run, "full").lines)),
        "causal": asked.of_a_sequence(summed(forward_flops(model.ledger, asked.run, "causal").lines, _CAUSAL)),
    }
    training = by_convention(model, asked.trained)
    title = _title(asked, training["exact"], by_default=by_default)
    own_run = tokens is None
    length = int(asked.trained.first.context.value)
    costs = media_costs(spec, media)
    check_fits(costs, length)
    tables = (
        view(title, _COLUMNS, _rows(training, asked.known), subject=spec.name),
        Table("", _SPLIT_COLUMNS, tuple(_split(asked, forward, training)), aside=True),
        *([media_table(spec, costs, length)] if costs else []),
        *_published_table(spec, training, asked.known, own_run=own_run),
    )
    data = _data(asked, forward, training, own_run=own_run)
    notes = notes_of(
        spec,
        *asked.trained.notes,
        *departures(spec),
        *media_notes(media, costs),
        _why(training),
        leaves_out(model.ledger) + " Recomputation is counted only by the convention that names it.",
    )
    told = Derivations(lambda: (*steps_of(_derived(asked, forward, training), spec.name), _pf_days_step(training)))
    seen: dict[str, Data] = {"media": media_data(spec, costs, length)} if costs else {}
    return Report(title, tables, {**data, **seen, "default_model": by_default}, notes, told, lead=asked.trained.lead)


_CAUSAL: Final = "causal."
_SIGHTS: Final[tuple[AttentionMask, ...]] = ("full", "causal")


def _title(asked: _Asked, exact: Figure | Missing, *, by_default: bool) -> str:
    spec, trained = asked.model.spec, asked.trained
    whose = f"{spec.label} (the default model)" if by_default else spec.label
    assert isinstance(exact, Figure)
    return (
        f"Training {whose} on {count_text(int(trained.tokens.value))} tokens takes {number_text(int(exact.value), 'power')} FLOPs, in sequences of "
        f"{trained.lengths_text()}"
    )


def _asked_run(
    spec: ModelSpec, tokens: int | None, context: int | None, source: int | None, target: int | None
) -> Trained:
    """The training run; of an encoder-decoder in sequences of `source` and `target` tokens, where they are given."""
    if source is None and target is None:
        return trained(spec, tokens, context)
    _check_lengths(spec, context, source, target)
    figure = training_length(spec, target if source is not None and target is not None else context)
    length = int(figure.value)
    read = source or int(run_of(spec, length).source)  # of sounds it is the same whatever the context
    lengths = SequenceLengths(TracedInt(target or length, label="target"), TracedInt(read, label="source"))
    one = trained(spec, tokens, length)
    return one._replace(stages=(one.first._replace(context=figure, run=lengths),), notes=(figure.note, *one.notes))


def _check_lengths(spec: ModelSpec, context: int | None, source: int | None, target: int | None) -> None:
    """Raises `RequestError` where a length of `source` or `target` tokens is none that a model can be run at."""
    if not two_stacks(spec):
        kind = "an encoder" if spec.kind == "encoder" else "a decoder"
        raise RequestError(
            f"{field('source')} and {field('target')} are for an encoder-decoder; {spec.name} is {kind}: use {field('context')}"
        )
    if source is not None and spec.audio_frames is not None:
        raise RequestError(
            f"{field('source')}: the encoder of {spec.label} always reads {int(spec.audio_frames):,} audio frames: drop it"
        )
    if context is not None and source is not None and target is not None:
        raise RequestError(
            f"{field('context')} gives the length that {field('source')} or {field('target')} leaves open: drop one of the three"
        )


def _rows(training: dict[str, Figure | Missing], known: Known) -> Iterator[Record]:
    exact = training["exact"]
    assert isinstance(exact, Figure)
    for key, (text, counts, source) in CONVENTIONS.items():
        figure = training[key]
        row: Record = {
            "convention": Label(text, key),
            "training_flops": figure,
            "counts": counts,
            "source": source_text(source),
        }
        if isinstance(figure, Figure):
            pf_days = Figure(Fraction(int(figure.value), PF_DAY), PF_DAYS, figure.known)
            row = {
                **row,
                "pf_days": pf_days,
                "ratio": Figure(Fraction(int(figure.value), int(exact.value)), RATIO, known),
            }
        yield row


def _split(
    asked: _Asked, forward: dict[str, Figure], training: dict[str, Figure | Missing]
) -> Iterator[tuple[Cell, ...]]:
    """The exact count taken apart: forward and backward, a sequence, a token and the whole run."""
    sequence = int(asked.run.tokens)
    both = [int(forward[sight].value) for sight in _SIGHTS]

    def once(name: str, times: int, over: int = 1) -> tuple[Cell, ...]:
        return name, *(asked.of_a_sequence(ceil_div(times * flops, over)) for flops in both)

    def all_tokens(name: str, times: int) -> tuple[Cell, ...]:
        return name, *(asked.figure(sum(_of_stages(asked, sight, times))) for sight in _SIGHTS)

    yield once("forward, per sequence", 1)
    yield once("forward, per token", 1, sequence)
    yield once("backward, per token", 2, sequence)
    yield all_tokens("forward, all tokens", 1)
    yield all_tokens("backward, all tokens", 2)
    yield "training", training["exact"], training["exact_causal"]


def _of_stages(asked: _Asked, sight: AttentionMask, times: int) -> Iterator[int]:
    """So many forward passes over all tokens of each stage."""
    for stage in asked.trained.stages:
        forward = int(forward_flops(asked.model.ledger, stage.run, sight).total)
        yield ceil_div(times * forward * int(stage.tokens.value), int(stage.run.tokens))


def _published_table(
    spec: ModelSpec, training: dict[str, Figure | Missing], known: Known, *, own_run: bool
) -> tuple[Table, ...]:
    """What was published of the model's training; beside it 6·N·D and the count, where they are of the same tokens."""
    six, exact = training["six_nd"], training["exact"]
    assert isinstance(six, Figure)
    assert isinstance(exact, Figure)
    columns = [Column("published", "quantity", numeric=False), Column("FLOPs", "published")]
    if own_run:
        columns += [Column("6·N·D / published", "ratio"), Column("exact, difference", "difference")]
    columns.append(Column("source", "source", numeric=False, wraps=20, below=True))
    rows = [
        {
            "quantity": "training",
            "ratio": Figure(Fraction(int(six.value)) / Fraction(published.value), RATIO),
            "difference": Figure(difference(int(exact.value), published), SHARE, known),
            **published_row(published, FLOPS),
        }
        for published in spec.figures("training_flops")
    ]
    return (view("", columns, rows, aside=True),) if rows else ()


def _data(
    asked: _Asked, forward: dict[str, Figure], training: dict[str, Figure | Missing], *, own_run: bool
) -> dict[str, Data]:
    spec, ledger = asked.model
    six = training["six_nd"]
    assert isinstance(six, Figure)
    total, active = params(ledger.whole).total, active_params(ledger).total
    lengths: dict[str, Data] = (
        {
            "source": Figure(asked.run.source, TOKENS, asked.known),
            "target": Figure(asked.run.target, TOKENS, asked.known),
        }
        if two_stacks(spec)
        else {}
    )
    backward: dict[str, Data] = {sight: asked.of_a_sequence(2 * _count(figure)) for sight, figure in forward.items()}
    return {
        "model": spec.name,
        "title": spec.label,
        "tokens": asked.trained.tokens,
        "context": asked.trained.first.context,
        "stages": asked.trained.data(),
        **lengths,
        "params": Figure(total, PARAMETERS),
        **({"active_params": Figure(active, PARAMETERS)} if active != total else {}),
        "training_flops": training,
        "forward_flops_per_sequence": forward,
        "backward_flops_per_sequence": backward,
        "forward_flops_per_token": Figure(_per_token(asked, forward), FLOPS_PER_TOKEN, asked.trained.first.known),
        "pf_days": Figure(Fraction(int(six.value), PF_DAY), PF_DAYS, "convention", "brown2020 Table D.1"),
        "published": published_data(spec, [("training_flops", FLOPS, int(six.value))], compared=own_run),
    }


def _count(figure: Figure) -> int:
    """The number of a figure that counts."""
    assert isinstance(figure.value, int)
    return figure.value


def _per_token(asked: _Asked, forward: dict[str, Figure]) -> int:
    once = forward["full"].value
    assert isinstance(once, int)
    return ceil_div(label("forward_full", once, "FLOPs"), asked.run.tokens)


def _derived(
    asked: _Asked, forward: dict[str, Figure], training: dict[str, Figure | Missing]
) -> Iterator[tuple[str, Figure]]:
    """The figures in the order in which one explains the next."""
    for stage in asked.trained.stages:
        for sight in _SIGHTS:
            yield from stage.derived(asked.model, sight)
    for key, value in training.items():
        if isinstance(value, Figure):
            yield key, value
    yield "forward_flops_per_token", Figure(_per_token(asked, forward), FLOPS_PER_TOKEN, asked.trained.first.known)


def _pf_days_step(training: dict[str, Figure | Missing]) -> Step:
    six = training["six_nd"]
    assert isinstance(six, Figure)
    figure = Figure(Fraction(int(six.value), PF_DAY), PF_DAYS, "convention", "brown2020 Table D.1")
    return Step("pf_days", f"six_nd/{PF_DAY}", f"{int(six.value)}/{PF_DAY}", figure)


def _why(training: dict[str, Figure | Missing]) -> str:
    others = " PaLM, Megatron and Chinchilla add full attention scores;" if isinstance(training["palm"], Figure) else ""
    return (
        f"Why they differ: 6·N·D counts no attention scores and every parameter once per token, embeddings included;{others} "
        "the exact count takes each matrix product of the model as it is. Forward is a third of training, backward two."
    )
