"""`tscale hyper`: the learning rate and the batch size of a training run by each law of hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from tscale.catalogue.laws import Law, read_law, shipped_laws
from tscale.core.costs.params import active_params, params, size
from tscale.core.laws import Kaplan
from tscale.core.laws.experts import Mixture, Run
from tscale.core.laws.hyper import Of
from tscale.core.ledger import Matmul
from tscale.core.metric import Column, Data, Figure, Missing, Report, Step, Table
from tscale.core.number_text import number_text
from tscale.core.units import COUNT, FLOPS, PARAMETERS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, SHARE, Unit
from tscale.core.view import Record, view
from tscale.errors import NotPublishedError, RequestError
from tscale.estimates.experts import inside, mixture_of, run_of
from tscale.estimates.explaining import TracedModel, counted
from tscale.estimates.laws import law_data, law_notes, predicted, range_mark, range_note
from tscale.estimates.trained import Trained, trained
from tscale.models.spec import ModelSpec

LEARNING_RATE: Final = Unit("learning rate", "", "power")
VOCABULARY_LAW: Final = "tao2024"
_ROWS: Final = Unit("rows of the vocabulary", "", "estimate")
_TIMESCALE_LAW: Final = "bergsma2025"
_LOSS_LAW: Final = "kaplan2020"
_NEAR: Final = 2.0
"""How many times the expansions that a law was fitted on it may be asked about unasked."""
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


class _Row(NamedTuple):
    """What a law says of a run; None of what it does not say."""

    law: Law
    of: Of
    learning_rate: float | None
    batch: float | None
    critical: float | None
    timescale: float | None
    extrapolated: bool
    tau: float | None
    """The timescale by the law that has one, for the weight decay of this one."""

    @property
    def weight_decay(self) -> float | None:
        """B/(lr·tau·D), where learning rate and batch are this law's, and AdamW's timescale that of the law that has one."""
        if self.learning_rate is None or self.batch is None or self.tau is None or self.law.optimizer != "AdamW":
            return None
        return self.batch / (self.learning_rate * self.tau * self.of.tokens)


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
    rows = [_row(law, run, _bare_flops(model, training)) for law in _picked(names, mixture)]
    vocabularies = [] if names else [one.data for one in _vocabularies(run, int(spec.d_model))]
    tau = next((row.timescale for row in rows if row.timescale is not None), None)
    rows = [row._replace(tau=tau) for row in rows]
    title = f"{spec.label}: {_headline(rows)} for {int(run.tokens):,} training tokens"
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
    notes = (*_notes(rows, spec), *law_notes(laws, explain=explain))
    table = view(title, _COLUMNS, records, subject=spec.name)
    tables = (table, *_vocabulary_tables(vocabularies, spec))
    return Report(title, tables, data, tuple(filter(None, notes)), tuple(_steps(rows)), lead=training.lead)


def learning_rates(
    spec: ModelSpec, asked: int | None, context: int | None, names: Sequence[str]
) -> tuple[int, dict[str, float]]:
    """The training tokens, and the peak learning rate by each law that has one. Raises as `hyper_report` does."""
    if spec.kind != "decoder":
        raise NotPublishedError(f"{spec.label}: the laws here are for decoders, and this is an {spec.kind}")
    model, training, mixture = counted(spec), trained(spec, asked, context), mixture_of(spec)
    tokens = int(training.tokens.value)
    run = run_of(model, mixture or Mixture(), tokens)
    rows = (_row(law, run, _bare_flops(model, training)) for law in _picked(names, mixture))
    return tokens, {row.law.name: row.learning_rate for row in rows if row.learning_rate is not None}


class _Vocabulary(NamedTuple):
    """The best vocabulary by one approach of a law, and its parameters."""

    by: str
    params: float
    size: float
    extrapolated: bool

    @property
    def data(self) -> Record:
        """For programs, and for the table."""
        law = read_law(VOCABULARY_LAW)
        return {
            "by": self.by,
            "params": predicted(self.params, PREDICTED_PARAMETERS, law),
            "size": predicted(round(self.size), _ROWS, law),
            "extrapolated": range_mark(beyond=self.extrapolated),
        }


def _vocabularies(run: Run, d_model: int) -> Iterator[_Vocabulary]:
    """The best vocabulary of a dense model by each approach of the law of vocabularies."""
    law = read_law(VOCABULARY_LAW)
    formula = law.vocabulary
    if formula is None or run.mixture.expansion > 1:
        return
    past = not law.fitted.within(params=run.total_bare)
    flops = 6 * run.total_bare * run.tokens
    for by, found in (
        ("equal FLOPs, compute-optimal", formula.by_flops(run.total_bare)),
        ("derivative, compute-optimal", formula.by_derivative(run.total_bare)),
        ("loss, of these tokens", formula.by_loss(run.total_bare, flops)),
    ):
        yield _Vocabulary(by, found, found / d_model, past)


def _vocabulary_tables(vocabularies: Sequence[Record], spec: ModelSpec) -> Iterator[Table]:
    if vocabularies:
        columns = (
            Column(f"vocabulary by {VOCABULARY_LAW} ({int(spec.vocabulary):,} here)", "by", numeric=False),
            Column("rows", "size"),
            Column("parameters", "params"),
            Column("fitted range", "extrapolated", drop=1, numeric=False),
        )
        yield view("", columns, vocabularies, aside=True)


def _picked(names: Sequence[str], mixture: Mixture | None) -> list[Law]:
    """The laws asked for, else all: those fitted on mixtures of experts only of mixtures that are like them."""
    asked = [read_law(name) for name in dict.fromkeys(names)]
    for law in asked:
        if law.hyper is None:
            known = ", ".join(one.name for one in shipped_laws() if one.hyper is not None)
            raise RequestError(f"{law.name} is no law of learning rates or batch sizes: choose among {known}")
    return asked or [law for law in shipped_laws() if law.hyper is not None and _like(law, mixture)]


def _like(law: Law, mixture: Mixture | None) -> bool:
    ends = law.fitted.expansion
    if ends is None:
        return True
    return mixture is not None and ends[0] / _NEAR <= mixture.expansion <= ends[1] * _NEAR


def _bare_flops(model: TracedModel, training: Trained) -> float:
    """Training FLOPs with attention and without the head: M·D."""
    heads = [entry for entry in model.ledger.entries if isinstance(entry, Matmul) and entry.role == "head"]
    return int(training.flops(model)) - 6 * int(sum(map(size, heads))) * int(training.tokens.value)


def _row(law: Law, run: Run, bare_flops: float) -> _Row:
    """What a law says. Raises `RequestError` where that is no number that makes sense."""
    formula = law.hyper
    assert formula is not None
    counts: dict[str, float] = {
        "all": run.total,
        "non_embedding": run.total_bare,
        "active": run.active,
        "active_non_embedding": run.active_bare,
    }
    params_ = counts[law.counts]
    # C of mixtures is of the parameters that a token meets, whichever ones the law's N is.
    flops = (
        bare_flops if law.flops == "M*D" else 6 * (run.active_bare if "non" in law.counts else run.active) * run.tokens
    )
    of = Of(params_, run.tokens, flops, _loss(run) if formula.needs_loss() else None)
    try:
        rate, batch, critical = formula.learning_rate(of), _some(formula.batch, of), _some(formula.critical, of)
        tau = formula.timescale(of)
    except (OverflowError, ZeroDivisionError):
        raise RequestError(f"{law.name} makes no sense of this run: its powers are past any number") from None
    past = not inside(law, run._replace(active=run.active)) or not law.fitted.within(flops=flops)
    return _Row(
        law,
        of,
        None if rate is None or rate <= 0 else rate,
        batch,
        critical,
        tau,
        past,
        None,
    )


def _some(made: Callable[[Of], float | None], of: Of) -> float | None:
    """A batch of at least a token."""
    value = made(of)
    return None if value is None else max(value, 1)


def _loss(run: Run) -> float:
    """The loss that Kaplan 2020 predicts of a run."""
    formula = read_law(_LOSS_LAW).formula()
    assert isinstance(formula, Kaplan)
    return formula.loss(run.active_bare, run.tokens)


# ---------------------------------------------------------------------------------------------------------------------
# What is shown
# ---------------------------------------------------------------------------------------------------------------------


def _headline(rows: Sequence[_Row]) -> str:
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


def _figures(row: _Row) -> dict[str, Figure | None]:
    def rate(value: float | None) -> Figure | None:
        return None if value is None else predicted(value, LEARNING_RATE, row.law)

    def tokens(value: float | None) -> Figure | None:
        return None if value is None else predicted(value, PREDICTED_TOKENS, row.law)

    steps = None if row.batch is None else max(row.of.tokens / row.batch, 1)
    return {
        "learning_rate": rate(row.learning_rate),
        "batch_tokens": tokens(row.batch),
        "critical_batch_tokens": tokens(row.critical),
        "steps": None if steps is None else predicted(round(steps), COUNT._replace(reading="estimate"), row.law),
        "weight_decay": None if row.weight_decay is None else predicted(row.weight_decay, _DECAY, row.law),
    }


_DECAY: Final = Unit("weight decay", "", "estimate")


def _data(row: _Row) -> Record:
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


def _notes(rows: Sequence[_Row], spec: ModelSpec) -> Iterator[str]:
    yield _counts_note(rows)
    exact = [row.law.name for row in rows if row.law.flops == "M*D"]
    if exact:
        yield f"C is 6·N·D, and in {', '.join(exact)} the FLOPs of training with attention and without the head."
    yield range_note([(row.law, row.extrapolated) for row in rows])
    yield "Learning rates are the peak of a schedule, for the optimizer named; batches are in tokens, of all devices together."
    if any(row.critical is not None for row in rows):
        yield (
            "A batch as large as the critical one takes about twice the tokens of a small one and twice the steps of a very large one "
            "(McCandlish 2018, equation 2.11)."
        )
    if any(row.weight_decay is not None for row in rows):
        yield f"Weight decay is B/(learning rate · tau · D), with tau, the AdamW timescale, by {_TIMESCALE_LAW}."
    flat = [row.law.name for row in rows if row.learning_rate is None and "lr" in row.law.constants]
    if flat:
        yield f"{', '.join(flat)} has no learning rate above 0 for a model of this size."
    if mixture_of(spec) is not None:
        yield _mixture_note(rows, spec)


def _counts_note(rows: Sequence[_Row]) -> str:
    """What N is, law by law."""
    by = {counts: [row.law.name for row in rows if row.law.counts == counts] for counts in _COUNTS}
    return (
        "N is " + "; ".join(f"{_COUNTS[counts]} in {', '.join(names)}" for counts, names in by.items() if names) + "."
    )


def _mixture_note(rows: Sequence[_Row], spec: ModelSpec) -> str:
    """Which of the laws are of mixtures of experts."""
    fitted = [row.law.name for row in rows if row.law.fitted.expansion is not None]
    tried = ", and li2025 was tried on some" if any(row.law.name == "li2025" for row in rows) else ""
    return f"{spec.label} is a mixture of experts; fitted on such: {', '.join(fitted) or 'none of these laws'}{tried}."


_FORMULAS: Final = {"lr": "learning_rate", "batch": "batch_tokens", "critical": "critical_batch_tokens"}


def _steps(rows: Sequence[_Row]) -> Iterator[Step]:
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
