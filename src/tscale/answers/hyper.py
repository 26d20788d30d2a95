"""`tscale hyper`: the learning rate and the batch size of a training run by each law of hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tscale.catalogue.judged import judged
from tscale.catalogue.laws import read_law
from tscale.core.costs.params import active_params, params
from tscale.core.laws.experts import Mixture
from tscale.core.metric import Column, Data, Derivations, Figure, Missing, Report, Step, Table
from tscale.core.number_text import count_text, number_text
from tscale.core.units import COUNT, FLOPS, PARAMETERS, PREDICTED_TOKENS, RATIO, SHARE, Unit
from tscale.core.view import Record, view
from tscale.errors import NotPublishedError
from tscale.estimates.experts import mixture_of, run_of
from tscale.estimates.explaining import counted
from tscale.estimates.hyper import (
    LEARNING_RATE,
    VOCABULARY_LAW,
    LawSays,
    flops_without_head,
    laws_of,
    said_by,
    vocabularies_of,
)
from tscale.estimates.laws import law_data, law_notes, predicted, range_mark, range_note
from tscale.estimates.trained import trained
from tscale.models.spec import ModelSpec

_TIMESCALE_LAW: Final = "bergsma2025"
_NONE: Final = Missing("n/a", settled=True)
_COLUMNS = (
    Column("law", "law", numeric=False),
    Column("for", "optimizer", drop=1, numeric=False),
    Column("peak LR", "learning_rate", absent=_NONE),
    Column("batch tokens", "batch_tokens", absent=_NONE),
    Column("critical batch", "critical_batch_tokens", absent=_NONE),
    Column("steps", "steps", drop=2, absent=_NONE),
    Column("weight decay", "weight_decay", drop=3, absent=_NONE),
    Column("fitted range", "extrapolated", numeric=False),
)
_COUNTS: Final = {
    "all": "all parameters",
    "non_embedding": "all parameters without embeddings",
    "active": "active parameters",
    "active_non_embedding": "active parameters without embeddings",
}


def hyper_report(
    spec: ModelSpec, asked: int | None, context: int | None, names: Sequence[str], *, explain: bool = False
) -> Report:
    """The learning rate, batch size and critical batch size of a model's training by each law."""
    if spec.kind != "decoder":
        raise NotPublishedError(f"{spec.label}: the laws here are for decoders, and this is an {spec.kind}")
    model = counted(spec)
    training = trained(spec, asked, context)
    mixture = mixture_of(spec)
    run = run_of(model, mixture or Mixture(), int(training.tokens.value))
    rows = [said_by(law, run, flops_without_head(model, training)) for law in laws_of(names, mixture)]
    vocabularies = [] if names else [one.data for one in vocabularies_of(run, int(spec.d_model))]
    tau = next((row.timescale for row in rows if row.timescale is not None), None)
    rows = [row._replace(tau=tau) for row in rows]
    title = f"{spec.label}: {_headline(rows)} for {count_text(int(run.tokens))} training tokens"
    records = [_data(row) for row in rows]
    data: Data = {
        "model": spec.name,
        "params": Figure(params(model.ledger).total, PARAMETERS),
        "active_params": Figure(active_params(model.ledger).total, PARAMETERS),
        "tokens": training.tokens,
        "adamw_timescale": None if tau is None else Figure(tau, SHARE, "convention", read_law(_TIMESCALE_LAW).source),
        "rows": records,
        "vocabulary": {
            "size": Figure(int(spec.vocabulary), COUNT),
            "law": VOCABULARY_LAW if vocabularies else None,
            "rows": vocabularies,
        },
    }
    laws = [row.law for row in rows]
    unjudged = _VOCABULARY_UNJUDGED if vocabularies else ""
    notes = (*_notes(rows, spec), unjudged, *law_notes(laws, explain=explain))
    table = view(title, _COLUMNS, records, subject=spec.name)
    tables = (table, *_judged_tables(rows), *_vocabulary_tables(vocabularies, spec))
    return Report(
        title, tables, data, tuple(filter(None, notes)), Derivations(lambda: _steps(rows)), lead=training.lead
    )


_VOCABULARY_UNJUDGED: Final = "No published run judges the best vocabulary."
_JUDGES: Final = ("best_learning_rate", "best_batch", "critical_batch", "learning_rate", "batch")


def _judged_tables(rows: Sequence[LawSays]) -> Iterator[Table]:
    """By law, the median error of learning rates and batches on figures that it was not fitted to."""
    columns = (
        Column("median error", "law", numeric=False),
        Column("LR, best", "best_learning_rate", absent=_NONE),
        Column("batch, best", "best_batch", absent=_NONE),
        Column("critical batch", "critical_batch", absent=_NONE),
        Column("LR, chosen", "learning_rate", drop=1, absent=_NONE),
        Column("batch, chosen", "batch", absent=_NONE),
    )
    records: list[Record] = [{"law": row.law.name, **errors} for row in rows if any((errors := _errors(row)).values())]
    if records:
        yield view("", columns, records, aside=True)


def _errors(row: LawSays) -> dict[str, Figure | None]:
    """The median error of a law as a factor, by what judges it; None of what nothing judges."""
    found = {of: judged(of, row.law.name) for of in _JUDGES}
    return {of: None if one is None else Figure(one.median, RATIO, "cited", one.source) for of, one in found.items()}


def _judged_note(rows: Sequence[LawSays]) -> str:
    """What judges the laws, and which of them nothing does."""
    kinds = (
        (("best_learning_rate", "best_batch"), "the best of {} grids of runs"),
        (("critical_batch",), "the critical batch of {} grids"),
        (("learning_rate", "batch"), "what makers of {} models chose"),
    )
    judges = []
    for kind, words in kinds:
        found = [one.figures for row in rows for of in kind if (one := judged(of, row.law.name)) is not None]
        if found:
            judges.append(words.format(max(found)))
    said = ", from ".join(judges)
    without = ", ".join(row.law.name for row in rows if not any(_errors(row).values()))
    errors = f"Median errors are factors from {said}, that the law was not fitted to." if said else ""
    return " ".join(filter(None, (errors, f"No published figure judges {without}." if without else "")))


def _vocabulary_tables(vocabularies: Sequence[Record], spec: ModelSpec) -> Iterator[Table]:
    if vocabularies:
        columns = (
            Column(f"vocabulary by {VOCABULARY_LAW} ({int(spec.vocabulary):,} here)", "by", numeric=False),
            Column("rows", "size"),
            Column("parameters", "params"),
            Column("fitted range", "extrapolated", drop=1, numeric=False),
        )
        yield view("", columns, vocabularies, aside=True)


# ---------------------------------------------------------------------------------------------------------------------
# What is shown
# ---------------------------------------------------------------------------------------------------------------------


def _headline(rows: Sequence[LawSays]) -> str:
    """The least and the most of learning rates and of batches."""
    rates = sorted(row.learning_rate for row in rows if row.learning_rate is not None)
    batches = sorted(row.batch for row in rows if row.batch is not None)
    said = []
    if rates:
        said.append("a learning rate of " + _span([number_text(rate, "power") for rate in (rates[0], rates[-1])]))
    if batches:
        said.append("a batch of " + _span([number_text(one, "short") for one in (batches[0], batches[-1])]) + " tokens")
    if not said:
        critical = sorted(row.critical for row in rows if row.critical is not None)
        return f"a critical batch of {number_text(critical[0], 'short')} tokens" if critical else "no law has a figure"
    return " and ".join(said)


def _span(ends: list[str]) -> str:
    return ends[0] if ends[0] == ends[-1] else f"{ends[0]} to {ends[-1]}"


def _figures(row: LawSays) -> dict[str, Figure | None]:
    """What a law says, and what follows from it; None of what it does not say."""
    steps = None if row.batch is None else round(max(row.of.tokens / row.batch, 1))
    said: dict[str, tuple[float | None, Unit]] = {
        "learning_rate": (row.learning_rate, LEARNING_RATE),
        "batch_tokens": (row.batch, PREDICTED_TOKENS),
        "critical_batch_tokens": (row.critical, PREDICTED_TOKENS),
        "steps": (steps, COUNT._replace(reading="estimate")),
        "weight_decay": (row.weight_decay, _DECAY),
    }
    return {name: None if value is None else predicted(value, unit, row.law) for name, (value, unit) in said.items()}


_DECAY: Final = Unit("weight decay", "", "estimate")


def _data(row: LawSays) -> Record:
    return {
        "law": row.law.name,
        "optimizer": row.law.optimizer,
        **_figures(row),
        "params": predicted(row.of.params, PARAMETERS, row.law),
        "flops_counted": predicted(row.of.flops, FLOPS, row.law),
        "sequence": row.law.sequence,
        "extrapolated": range_mark(beyond=row.extrapolated),
        **law_data(row.law),
    }


def _notes(rows: Sequence[LawSays], spec: ModelSpec) -> Iterator[str]:
    yield _counts_note(rows)
    exact = [row.law.name for row in rows if row.law.flops == "M*D"]
    if exact:
        yield f"C is 6·N·D, and in {', '.join(exact)} the FLOPs of training with attention and without the head."
    yield range_note([(row.law, row.extrapolated) for row in rows])
    yield _judged_note(rows)
    yield "Learning rates are the peak of a schedule, for the optimizer named; batches are in tokens, of all devices together."
    yield _critical_note([row.law.name for row in rows if row.critical is not None])
    if any(row.weight_decay is not None for row in rows):
        yield f"Weight decay is B/(learning rate · tau · D), with tau, the AdamW timescale, by {_TIMESCALE_LAW}."
    flat = [row.law.name for row in rows if row.learning_rate is None and "lr" in row.law.constants]
    if flat:
        yield f"{', '.join(flat)} has no learning rate above 0 for a model of this size."
    if mixture_of(spec) is not None:
        yield _mixture_note(rows, spec)


def _critical_note(names: Sequence[str]) -> str:
    """What a critical batch costs, by the definition of the laws that have one; nothing where none has."""
    if not names:
        return ""
    fifth = (
        "; that of zhang2024b takes 1.2 times the tokens of the most efficient batch" if "zhang2024b" in names else ""
    )
    return (
        "A batch as large as the critical one takes about twice the tokens of a small one and twice the steps of a very large one "
        f"(McCandlish 2018, equation 2.11){fifth}."
    )


def _counts_note(rows: Sequence[LawSays]) -> str:
    """What N is, law by law."""
    by = {counts: [row.law.name for row in rows if row.law.counts == counts] for counts in _COUNTS}
    return (
        "N is " + "; ".join(f"{_COUNTS[counts]} in {', '.join(names)}" for counts, names in by.items() if names) + "."
    )


def _mixture_note(rows: Sequence[LawSays], spec: ModelSpec) -> str:
    """Which of the laws are of mixtures of experts."""
    fitted = [row.law.name for row in rows if row.law.fitted.expansion is not None]
    tried = ", and li2025 was tried on some" if any(row.law.name == "li2025" for row in rows) else ""
    return f"{spec.label} is a mixture of experts; fitted on such: {', '.join(fitted) or 'none of these laws'}{tried}."


_FORMULAS: Final = {"lr": "learning_rate", "batch": "batch_tokens", "critical": "critical_batch_tokens"}


def _steps(rows: Sequence[LawSays]) -> Iterator[Step]:
    for row in rows:
        constants = {name: float(one.value) for name, one in row.law.constants.items()}
        for term, name in _FORMULAS.items():
            figure = _figures(row)[name]
            if term in constants and figure is not None:
                powers = [key for key in constants if key.startswith(f"{term}_")]
                formula = "·".join([term, *(f"{key.removeprefix(f'{term}_')}^{constants[key]:g}" for key in powers)])
                if f"{term}_log_N" in constants:
                    formula = f"{term} + {term}_log_N·ln N"
                numbers = (
                    f"{term} {constants[term]:g}, N {row.of.params:.6g}, D {row.of.tokens:.6g}, C {row.of.flops:.6g}"
                )
                if row.of.loss is not None:
                    numbers += f", L {row.of.loss:.4g}"
                if row.law.sequence is not None and term != "lr":
                    formula += f", times sequences of {row.law.sequence:,} tokens"
                yield Step(name, formula, numbers, figure, row.law.name)
