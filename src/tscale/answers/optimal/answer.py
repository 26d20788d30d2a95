"""`tscale optimal`: the compute-optimal run for a budget by each scaling law."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tscale.answers.assumptions import budget_notes, budget_tables
from tscale.core.laws import Lifetime, Repeated, effective
from tscale.core.metric import Cell, Column, Data, Derivations, Figure, Missing, Report, Table
from tscale.core.number_text import number_text
from tscale.core.units import EPOCHS, FLOPS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, SHARE
from tscale.core.view import Record, view
from tscale.estimates.budget import Budget
from tscale.estimates.judged import loss_note, sizes_note
from tscale.estimates.laws import (
    INCOMPARABLE,
    LEVEL,
    counts_note,
    exponent_of,
    exponents,
    extrapolated,
    interval,
    law_data,
    law_notes,
    loss_figure,
    per_param,
    picked,
    predicted,
    range_mark,
    range_note,
    steps,
)
from tscale.estimates.optimal import Answer, answered, at

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
    Column("epochs", "epochs", of="repeated.epochs"),
    Column("worth in fresh tokens", "effective_tokens", drop=1, of="repeated.effective_tokens"),
    Column("of fresh", "worth"),
)


def optimal_report(
    budget: Budget, names: Sequence[str], unique: int | None, served: int | None, *, explain: bool = False
) -> Report:
    """The compute-optimal run of a budget by each law: parameters, tokens, their ratio and the loss."""
    bounds = picked(names, unique, served)
    answers = [answered(bound, budget) for bound in bounds]
    laws = [bound.law for bound in bounds]
    data = _document(budget, answers, unique, served)
    records = data["rows"]
    rows = [_shown(answer, record) for answer, record in zip(answers, records, strict=True)]
    tables = (
        view(f"{_title(budget)}: {_found(answers, budget)}", _COLUMNS, rows),
        *_interval_tables(answers),
        *_life_tables(answers, records, budget),
        *_repeated_tables(answers, records),
        *budget_tables(budget),
    )
    pairs = [answer.pair for answer in answers]
    notes = [
        *budget_notes(budget),
        counts_note(laws),
        range_note([(answer.bound.law, extrapolated(*answer.pair)) for answer in answers]),
        INCOMPARABLE if len([a for a in answers if a.point.loss is not None]) > 1 else "",
        loss_note(answer.bound.law for answer in answers if answer.point.loss is not None),
        sizes_note(laws),
        *_binding_notes(answers, unique, served),
        *law_notes(laws, explain=explain),
    ]
    said = tuple(filter(None, notes))
    derived = Derivations(lambda: (*budget.steps, *steps(pairs)))
    return Report("Compute-optimal training", tables, data, said, derived, lead=budget.lead)


def optimal_figures(budget: Budget, names: Sequence[str], unique: int | None, served: int | None) -> Data:
    """The figures of the same answer by their keys, without tables and notes: what a row of a sweep holds."""
    return _document(budget, [answered(bound, budget) for bound in picked(names, unique, served)], unique, served)


def _document(budget: Budget, answers: Sequence[Answer], unique: int | None, served: int | None) -> dict[str, Any]:
    """The answer for JSON."""
    return {
        "flops": budget.figure if budget.asked == "flops" else None,
        "given": {"quantity": budget.asked, "value": budget.figure, "of": budget.made_of},
        "unique_tokens": unique,
        "inference_tokens": served,
        "rows": [_data(answer, budget) for answer in answers],
    }


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
        own, whole = bound.formula.flops(point), bound.formula.flops(plain)
        data["lifetime"] = {
            "flops": predicted(own, FLOPS, law),
            "compute_optimal_params": predicted(plain.params, PREDICTED_PARAMETERS, law),
            "compute_optimal_tokens": predicted(plain.tokens, PREDICTED_TOKENS, law),
            "compute_optimal_flops": predicted(whole, FLOPS, law),
            "saving": predicted(max(1 - own / whole, 0.0), SHARE, law),  # below 0 is the rounding of floats
        }
    if isinstance(bound.formula, Repeated):
        epochs = max(point.tokens / bound.formula.unique, 1)
        worth = effective(point.tokens, bound.formula.unique, bound.formula.R_D)
        data["repeated"] = {
            "epochs": predicted(epochs, EPOCHS, law),
            "effective_tokens": predicted(worth, PREDICTED_TOKENS, law),
        }
    return data


def _interval_tables(answers: Sequence[Answer]) -> Iterator[Table]:
    rows: list[tuple[Cell, ...]] = []
    for bound, _, ends in answers:
        if ends is not None:
            spans = [(ends.params, PREDICTED_PARAMETERS), (ends.tokens, PREDICTED_TOKENS)]
            rows.append((bound.law.name, *(predicted(end, unit, bound.law) for span, unit in spans for end in span)))
    if rows:
        yield Table("", _INTERVAL_COLUMNS, tuple(rows), aside=True)


def _life_tables(answers: Sequence[Answer], records: Sequence[Record], budget: Budget) -> Iterator[Table]:
    """The run that takes the fewest FLOPs over its life beside the compute-optimal one."""
    for (bound, _, _), record in zip(answers, records, strict=True):
        life = record.get("lifetime")
        if isinstance(bound.formula, Lifetime) and isinstance(life, Mapping):
            plain: Record = {
                "run": "compute-optimal",
                "params": life["compute_optimal_params"],
                "tokens": life["compute_optimal_tokens"],
                "flops": predicted(at(bound.formula.law, budget).flops, FLOPS, bound.law),
                "lifetime_flops": life["compute_optimal_flops"],
                "saving": Missing(""),
            }
            own = {**record, "run": bound.law.name, "lifetime_flops": life["flops"], "saving": life["saving"]}
            yield view("", _LIFE_COLUMNS, (plain, own), aside=True)


def _repeated_tables(answers: Sequence[Answer], records: Sequence[Record]) -> Iterator[Table]:
    for (bound, point, _), record in zip(answers, records, strict=True):
        formula, law = bound.formula, bound.law
        if isinstance(formula, Repeated):
            worth = effective(point.tokens, formula.unique, formula.R_D)
            unique = Figure(round(formula.unique), PREDICTED_TOKENS)
            row = {**record, "unique_tokens": unique, "worth": predicted(worth / point.tokens, SHARE, law)}
            yield view("", _REPEATED_COLUMNS, [row], aside=True)


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
