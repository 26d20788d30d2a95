"""`tscale optimal --experts`: the compute-optimal mixture of experts, of a number of experts or of the best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tscale.answers.assumptions import budget_notes, budget_tables
from tscale.catalogue.laws import Law
from tscale.core.laws.experts import Joint
from tscale.core.laws.experts_best import dense_flops
from tscale.core.metric import Column, Data, Figure, Missing, Report, Step
from tscale.core.number_text import number_text
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import (
    BYTES,
    COUNT,
    FLOPS,
    NATS,
    PREDICTED_PARAMETERS,
    PREDICTED_TOKENS,
    RATIO,
    SHARE,
    TOKENS_PER_PARAMETER,
)
from tscale.core.view import Record, view
from tscale.estimates.budget import Budget
from tscale.estimates.laws import INCOMPARABLE, law_data, law_notes, loss_figure, predicted, range_mark, range_note
from tscale.estimates.optimal_experts import (
    OF_GRANULARITY,
    BestMixture,
    Wanted,
    best_by_experts,
    best_by_granularity,
    best_by_laws,
)

_COLUMNS = (
    Column("law", "law", numeric=False),
    Column("experts", "experts"),
    Column("per token", "active_experts"),
    Column("active", "params"),
    Column("total", "total_params"),
    Column("tokens", "tokens"),
    Column("tokens/active", "tokens_per_param", drop=2),
    Column("loss", "loss"),
    Column("memory", "memory_bytes", drop=1),
    Column("dense FLOPs", "dense_flops_ratio", drop=3),
    Column("fitted range", "extrapolated", drop=4, numeric=False),
)


def optimal_experts_report(budget: Budget, names: Sequence[str], wanted: Wanted, *, explain: bool = False) -> Report:
    """The mixtures that reach the least loss with a budget."""
    rows, finer = _found(names, wanted)
    data = _document(budget, rows, finer, wanted)
    records, by_granularity = data["rows"], data["granularities"]
    tables = (
        view(f"{_title(budget, wanted)}: {_headline(rows, wanted)}", _COLUMNS, records),
        *([view("", _granular_columns(), by_granularity, aside=True)] if finer else []),
        *budget_tables(budget),
    )
    laws = list({row.law.name: row.law for row in (*rows, *finer)}.values())
    notes = filter(None, (*budget_notes(budget), *_notes(rows, finer, wanted), *law_notes(laws, explain=explain)))
    return Report(
        "Compute-optimal training", tables, data, tuple(notes), (*budget.steps, *_steps(rows)), lead=budget.lead
    )


def optimal_experts_figures(budget: Budget, names: Sequence[str], wanted: Wanted) -> Data:
    """The figures of the same answer by their keys, without tables and notes: what a row of a sweep holds."""
    return _document(budget, *_found(names, wanted), wanted)


def _found(names: Sequence[str], wanted: Wanted) -> tuple[list[BestMixture], list[BestMixture]]:
    """The best runs of the experts that are asked for, or of each number of them; and then of each granularity."""
    if wanted.experts is not None:
        return list(best_by_laws(names, wanted)), []
    return best_by_experts(names, wanted), [] if names else best_by_granularity(wanted)


def _document(
    budget: Budget, rows: Sequence[BestMixture], finer: Sequence[BestMixture], wanted: Wanted
) -> dict[str, Any]:
    """The answer for JSON."""
    limits = wanted.limits
    return {
        "flops": budget.figure,
        "given": {"quantity": budget.asked, "value": budget.figure, "of": budget.made_of},
        "experts": wanted.experts,
        "active_share": None if wanted.share is None else Figure(wanted.share, SHARE),
        "inference_tokens": round(limits.served) or None,
        "memory_bytes": None if limits.memory is None else Figure(round(limits.memory), BYTES),
        "rows": [_data(row) for row in rows],
        "granularities": [_data(row) for row in finer],
    }


# ---------------------------------------------------------------------------------------------------------------------
# What is shown
# ---------------------------------------------------------------------------------------------------------------------


def _title(budget: Budget, wanted: Wanted) -> str:
    digits = 3 if budget.figure.known == "assumed" else 4
    amount = f"{budget.amount:.{digits}g}".replace("e+", "e")
    within = "" if wanted.limits.memory is None else f" and {wanted.limits.memory / 1e9:g} GB"
    return f"Compute-optimal mixture of experts with {amount} training FLOPs{within}"


def _headline(rows: Sequence[BestMixture], wanted: Wanted) -> str:
    """The best of the rows, or what the first law says of the experts asked for."""
    row = min(rows, key=lambda one: one.best.loss) if wanted.experts is None else rows[0]
    run = row.best.run
    active, total, tokens = (number_text(value, "short") for value in (run.active, run.total, run.tokens))
    lead = f"{run.mixture.experts:g} experts, " if wanted.experts is None else ""
    return f"{lead}{active} active of {total} parameters, {tokens} tokens by {row.law.name}"


def _granular_columns() -> tuple[Column, ...]:
    return tuple(
        column._replace(title="granularity") if column.key == "active_experts" else column for column in _COLUMNS
    )


def _dense_ratio(formula: Joint, loss: float, flops: float, law: Law) -> Figure | None:
    """The FLOPs of the dense model of equal loss over those of the mixture; None where no dense model has it."""
    try:
        return predicted(dense_flops(formula, loss) / flops, RATIO, law)
    except OverflowError:
        return None


def _figures(row: BestMixture) -> dict[str, Figure | Missing | None]:
    law, (run, loss, held, _) = row.law, row.best
    formula = law.experts
    ratio = _dense_ratio(formula, loss, run.flops, law) if isinstance(formula, Joint) else None
    return {
        "experts": Figure(run.mixture.experts, COUNT._replace(reading="given")),
        "active_experts": Figure(run.mixture.active, COUNT._replace(reading="given")),
        "params": predicted(run.active, PREDICTED_PARAMETERS, law),
        "total_params": predicted(run.total, PREDICTED_PARAMETERS, law),
        "tokens": predicted(run.tokens, PREDICTED_TOKENS, law),
        "tokens_per_param": predicted(round(run.tokens / run.active, 6), TOKENS_PER_PARAMETER, law),
        "loss": loss_figure(loss, law),
        "memory_bytes": Figure(round(held), BYTES, "convention", law.source),
        "dense_flops_ratio": ratio,
    }


def _data(row: BestMixture) -> Record:
    return {
        "law": row.law.name,
        **_figures(row),
        "expansion": Figure(round(row.best.run.mixture.expansion, 6), RATIO),
        "flops": predicted(row.best.run.flops, FLOPS, row.law),
        "limited_by_memory": row.best.limited,
        "extrapolated": range_mark(beyond=row.extrapolated),
        **law_data(row.law),
    }


def _notes(rows: Sequence[BestMixture], finer: Sequence[BestMixture], wanted: Wanted) -> Iterator[str]:
    limits = wanted.limits
    yield (
        "Active parameters are those that a token meets, embeddings included; FLOPs are 6 for each and token. Total parameters and "
        "memory are those of the joint law's own shape: d_model of 64 for each layer, a vocabulary of 50,257, weights and a cache of "
        f"{limits.cached:,.0f} tokens in bf16."
    )
    if wanted.experts is None:
        yield "Experts are those of a layer, one of which a token meets; finer ones count by what is stored for each that it meets."
    elif wanted.share is None:
        yield "--active-share is not given: each law has the share of experts with which its loss is least."
    if any(isinstance(row.law.experts, Joint) for row in rows):
        yield "Dense FLOPs are those of the dense model that reaches the same loss with the fewest, over those of the mixture."
    if any(row.best.limited for row in rows):
        yield "Where memory is what limits a mixture, it is the largest that fits, trained for longer than is best of the budget."
    if limits.served:
        yield f"The budget pays for {limits.served:,.0f} tokens of service too, at 2 FLOPs for each and active parameter."
    if finer:
        least = min(finer, key=lambda row: row.best.loss)
        yield (
            f"Of granularities at an expansion of {OF_GRANULARITY}, {least.best.run.mixture.active:g} is best by {least.law.name}, "
            "with the FLOPs of routing paid for."
        )
    marks = {row.law.name: (row.law, False) for row in rows}
    for row in rows:
        marks[row.law.name] = (row.law, marks[row.law.name][1] or row.extrapolated)
    yield range_note(list(marks.values()))
    yield "No published run judges which mixture is the best."
    if len(marks) > 1 or finer:
        yield INCOMPARABLE


def _steps(rows: Sequence[BestMixture]) -> Iterator[Step]:
    for row in rows:
        run, loss = row.best.run, row.best.loss
        constants = ", ".join(f"{name} {one.value:g}" for name, one in row.law.constants.items())
        numbers = f"E {run.mixture.expansion:.4g}, N {run.active:.4g}, N total {run.total:.4g}, D {run.tokens:.4g}, {constants}"
        yield Step(
            "loss",
            f"the least of {row.law.source} with 6·N·D = C",
            numbers,
            predicted(loss, NATS, row.law),
            row.law.name,
        )


def optimal_experts_plot(budget: Budget, names: Sequence[str], wanted: Wanted) -> Plot:
    """Loss by memory: the best run of each mixture, with its experts beside it, in a line for each law."""
    rows, finer = _found(names, wanted)
    kinds = dict.fromkeys(row.law.name for row in (*rows, *finer))
    return Plot(
        _title(budget, wanted),
        Axis("memory", BYTES),
        Axis("predicted loss", NATS, log=False),
        tuple(
            Series(
                name,
                tuple(
                    Point(row.best.bytes, round(row.best.loss, 6), f"{row.best.run.mixture.experts:g} experts")
                    for row in (*rows, *finer)
                    if row.law.name == name
                ),
                "points",
            )
            for name in kinds
        ),
        notes=("Each law has its own data and tokenizer: losses of two laws cannot be compared.",),
    )
