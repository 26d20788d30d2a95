"""`tscale optimal`: the compute-optimal run for a budget by each scaling law."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from tscale.answers.laws import (
    INCOMPARABLE,
    LEVEL,
    Bound,
    Interval,
    counts_note,
    exponent_of,
    exponents,
    extrapolated,
    interval,
    law_data,
    law_notes,
    loss_figure,
    per_param,
    percentiles,
    picked,
    predicted,
    range_mark,
    range_note,
    steps,
)
from tscale.catalogue.laws import Law
from tscale.core.laws import Law as Formula
from tscale.core.laws import Lifetime, Parametric, Point, Repeated, effective
from tscale.core.metric import Cell, Column, Data, Figure, Missing, Report, Step, Table
from tscale.core.number_text import number_text
from tscale.core.units import EPOCHS, FLOPS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, SHARE
from tscale.core.view import Record, view
from tscale.errors import RequestError, called, field

Asked = Literal["flops", "params", "tokens"]

_COLUMNS = (
    Column("law", "law", numeric=False),
    Column("params", "params"),
    Column("tokens", "tokens"),
    Column("tokens/param", "tokens_per_param"),
    Column("loss", "loss"),
    Column("FLOPs", "flops", drop=3),
    Column("N ~ C^a: a", "exponent", drop=2),
    Column("a from", "exponent_low", drop=4),
    Column("a to", "exponent_high", drop=4),
    Column("fitted range", "range", drop=1, numeric=False),
)
_INTERVAL_COLUMNS = (
    Column("95% of bootstrap samples", "law", numeric=False),
    Column("params from", "params_low"),
    Column("to", "params_high"),
    Column("tokens from", "tokens_low"),
    Column("to", "tokens_high"),
)
_LIFE_COLUMNS = (
    Column("over its life", "run", numeric=False),
    Column("params", "params"),
    Column("tokens", "tokens"),
    Column("training FLOPs", "flops", drop=1),
    Column("with serving", "lifetime_flops"),
    Column("saved", "saving"),
)
_REPEATED_COLUMNS = (
    Column("repeated data", "law", numeric=False),
    Column("unique tokens", "unique_tokens"),
    Column("epochs", "epochs"),
    Column("worth in fresh tokens", "effective_tokens", drop=1),
    Column("of fresh", "worth"),
)


class Budget(NamedTuple):
    """What is given: training FLOPs, parameters or tokens; how that is known, and what it was made of."""

    asked: Asked
    amount: int
    figure: Figure
    notes: tuple[str, ...] = ()
    made_of: Data = None
    steps: tuple[Step, ...] = ()
    lead: tuple[str, ...] = ()
    """What was assumed, to be said before the figures."""
    tables: tuple[Table, ...] = ()
    """What that was assumed from."""


class Answer(NamedTuple):
    """A law's answer: the optimal run, and its interval where the law's file holds one."""

    bound: Bound
    point: Point
    ends: Interval | None = None

    @property
    def pair(self) -> tuple[Bound, Point]:
        return self.bound, self.point


def optimal_report(
    budget: Budget, names: Sequence[str], unique: int | None, served: int | None, *, explain: bool = False
) -> Report:
    """The compute-optimal run of a budget by each law: parameters, tokens, their ratio and the loss."""
    bounds = picked(names, unique, served)
    answers = [answered(bound, budget) for bound in bounds]
    laws = [bound.law for bound in bounds]
    records = [_data(answer, budget) for answer in answers]
    rows = [_shown(answer, record) for answer, record in zip(answers, records, strict=True)]
    tables = (
        view(f"{_title(budget)}: {_found(answers, budget)}", _COLUMNS, rows),
        *_interval_tables(answers),
        *_life_tables(answers, budget),
        *_repeated_tables(answers),
        *budget.tables,
    )
    data: Data = {
        "flops": budget.figure if budget.asked == "flops" else None,
        "given": {"quantity": budget.asked, "value": budget.figure, "of": budget.made_of},
        "unique_tokens": unique,
        "inference_tokens": served,
        "rows": records,
    }
    pairs = [answer.pair for answer in answers]
    notes = [
        *budget.notes,
        counts_note(laws),
        range_note([(answer.bound.law, extrapolated(*answer.pair)) for answer in answers]),
        INCOMPARABLE if len([a for a in answers if a.point.loss is not None]) > 1 else "",
        *_binding_notes(answers, unique, served),
        *law_notes(laws, explain=explain),
    ]
    said = tuple(filter(None, notes))
    return Report("Compute-optimal training", tables, data, said, (*budget.steps, *steps(pairs)), lead=budget.lead)


def at(formula: Formula, budget: Budget) -> Point:
    """The optimal run of what is given, by one formula."""
    match budget.asked:
        case "flops":
            return formula.at_flops(budget.amount)
        case "params":
            return formula.at_params(budget.amount)
        case "tokens":
            return formula.at_tokens(budget.amount)


def answered(bound: Bound, budget: Budget) -> Answer:
    """What a law answers. Raises `RequestError` where that is no number that makes sense."""
    if not bound.law.optima:
        raise RequestError(
            f"the constants of {bound.law.name} were printed in too few digits for an optimum, and only predict losses: "
            f"choose another {field('law')}"
        )
    try:
        point = at(bound.formula, budget)
        ends = _ends(bound.law, budget)
        fits = all(1 <= value < _MOST for value in point[:3])
    except (OverflowError, ZeroDivisionError):
        fits = False
    if not fits:
        name = called(bound.law.name, 40)
        amount = f"{budget.amount:.4g}".replace("e+", "e")
        raise RequestError(
            f"{field(budget.asked)} of {amount} has no meaningful optimum by {name}: ask for an amount nearer to what is trained"
        )
    return Answer(bound, point, ends)


def _ends(law: Law, budget: Budget) -> Interval | None:
    """The interval of an optimum, as the law's file holds it: as rows, or as bootstrap samples."""
    if law.quantiles is not None:
        low, high = law.quantiles.at(budget.asked, budget.amount)
        given = float(budget.amount)
        match budget.asked:
            case "flops":
                return Interval((low, high), (given / (6 * high), given / (6 * low)))
            case "params":
                return Interval((given, given), (low, high))
            case "tokens":
                return Interval((low, high), (given, given))
    if not law.draws:
        return None
    samples = [at(Parametric(*map(float, draw)), budget) for draw in law.draws]
    return Interval(percentiles([point.params for point in samples]), percentiles([point.tokens for point in samples]))


_MOST: Final = 1e60


def _title(budget: Budget) -> str:
    digits = 3 if budget.figure.known == "assumed" else 4
    amount = f"{budget.amount:.{digits}g}" if budget.asked == "flops" else f"{budget.amount:,}"
    unit = {"flops": "training FLOPs", "params": "parameters", "tokens": "training tokens"}[budget.asked]
    return f"Compute-optimal training with {amount.replace('e+', 'e')} {unit}"


def _found(answers: Sequence[Answer], budget: Budget) -> str:
    """What the laws say of what is not given: the least and the most."""
    of, unit = ("tokens", "tokens") if budget.asked == "params" else ("params", "parameters")
    values = sorted(getattr(answer.point, of) for answer in answers)
    ends = [number_text(value, "short") for value in (values[0], values[-1])]
    if len(values) == 1:
        return f"{ends[0]} {unit} by {answers[0].bound.law.name}"
    return f"{ends[0]} to {ends[1]} {unit}, by {len(values)} laws"


def _shown(answer: Answer, record: Record) -> Record:
    """What a table shows of a law's answer: the ends of its exponent too, and its range in a word."""
    law = answer.bound.law
    ends = {} if law.exponent is None else dict(zip(("exponent_low", "exponent_high"), exponents(law)[1:], strict=True))
    return {**record, **ends, "range": range_mark(beyond=extrapolated(*answer.pair)).text}


def _data(answer: Answer, budget: Budget) -> Record:
    bound, point, ends = answer
    law = bound.law
    data: dict[str, Data] = {
        "law": law.name,
        "params": predicted(point.params, PREDICTED_PARAMETERS, law),
        "tokens": predicted(point.tokens, PREDICTED_TOKENS, law),
        "tokens_per_param": per_param(point, law),
        "loss": loss_figure(point.loss, law),
        "interval": interval(bound, ends),
        "extrapolated": extrapolated(bound, point),
        "flops": predicted(point.flops, FLOPS, law),
        "exponent": exponent_of(bound),
        **law_data(law),
    }
    if isinstance(bound.formula, Lifetime):
        plain = at(bound.formula.law, budget)
        data["lifetime"] = {
            "flops": predicted(bound.formula.flops(point), FLOPS, law),
            "compute_optimal_params": predicted(plain.params, PREDICTED_PARAMETERS, law),
            "compute_optimal_tokens": predicted(plain.tokens, PREDICTED_TOKENS, law),
            "compute_optimal_flops": predicted(bound.formula.flops(plain), FLOPS, law),
            "saving": _saving(bound.formula, point, plain, bound),
        }
    if isinstance(bound.formula, Repeated):
        epochs, worth = _repeats(bound.formula, point)
        data["repeated"] = {
            "epochs": predicted(epochs, EPOCHS, law),
            "effective_tokens": predicted(worth, PREDICTED_TOKENS, law),
        }
    return data


def _saving(formula: Lifetime, point: Point, plain: Point, bound: Bound) -> Figure:
    """The share of the lifetime FLOPs of the compute-optimal run that the cheapest of the same loss does without.

    The cheapest takes no more than any other: what comes out below 0 is the rounding of floats.
    """
    return predicted(max(1 - formula.flops(point) / formula.flops(plain), 0.0), SHARE, bound.law)


def _repeats(formula: Repeated, point: Point) -> tuple[float, float]:
    """Epochs over the unique tokens, and what all tokens are worth in fresh ones."""
    return max(point.tokens / formula.unique, 1), effective(point.tokens, formula.unique, formula.R_D)


def _interval_tables(answers: Sequence[Answer]) -> Iterator[Table]:
    rows: list[tuple[Cell, ...]] = []
    for bound, _, ends in answers:
        if ends is not None:
            spans = [(ends.params, PREDICTED_PARAMETERS), (ends.tokens, PREDICTED_TOKENS)]
            rows.append((bound.law.name, *(predicted(end, unit, bound.law) for span, unit in spans for end in span)))
    if rows:
        yield Table("", _INTERVAL_COLUMNS, tuple(rows), aside=True)


def _life_tables(answers: Sequence[Answer], budget: Budget) -> Iterator[Table]:
    for bound, point, _ in answers:
        formula, law = bound.formula, bound.law
        if isinstance(formula, Lifetime):
            plain = at(formula.law, budget)
            rows: list[tuple[Cell, ...]] = [
                (
                    text,
                    predicted(run.params, PREDICTED_PARAMETERS, law),
                    predicted(run.tokens, PREDICTED_TOKENS, law),
                    predicted(run.flops, FLOPS, law),
                    predicted(formula.flops(run), FLOPS, law),
                    _saving(formula, run, plain, bound) if run is point else Missing(""),
                )
                for text, run in (("compute-optimal", plain), (law.name, point))
            ]
            yield Table("", _LIFE_COLUMNS, tuple(rows), aside=True)


def _repeated_tables(answers: Sequence[Answer]) -> Iterator[Table]:
    for bound, point, _ in answers:
        formula, law = bound.formula, bound.law
        if isinstance(formula, Repeated):
            epochs, worth = _repeats(formula, point)
            row = (
                law.name,
                Figure(round(formula.unique), PREDICTED_TOKENS),
                predicted(epochs, EPOCHS, law),
                predicted(worth, PREDICTED_TOKENS, law),
                predicted(worth / point.tokens, SHARE, law),
            )
            yield Table("", _REPEATED_COLUMNS, (row,), aside=True)


def _binding_notes(answers: Sequence[Answer], unique: int | None, served: int | None) -> Iterator[str]:
    """Which laws know of the tokens that there are and of the service, and which do not."""
    if unique is not None:
        blind = [
            a.bound.law.name for a in answers if not isinstance(a.bound.formula, Repeated) and a.point.tokens > unique
        ]
        if blind:
            yield f"Of more tokens than the {unique:,} that there are, as if each were fresh: {', '.join(blind)}."
    if served is not None:
        yield (
            f"A law of kind lifetime names the run with the loss of the compute-optimal one that takes the fewest FLOPs to "
            f"train and to serve {served:,} tokens, 2·N each; the other laws leave serving out."
        )
    if any(answer.ends is not None for answer in answers):
        yield f"Intervals of a law that was fitted here: the {LEVEL}."
