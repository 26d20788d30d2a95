"""`tscale fit --form`: other forms of law fitted to one's own runs, and forms compared by sizes that they were not fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Final

from tscale.answers.fit.answer import fit_report
from tscale.answers.fit.notes import read_notes
from tscale.answers.fit.tables import (
    OPTIMA,
    constants_of,
    constants_table,
    distances_table,
    fit_data,
    held_data,
    objective,
    residuals_of,
    root_mean_square,
)
from tscale.calibration.parametric import BEYOND, DELTA
from tscale.catalogue.laws import Law
from tscale.core.laws import Point
from tscale.core.metric import Column, Figure, Missing, Report, Step
from tscale.core.units import COUNT, FLOPS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, RATIO
from tscale.core.view import Record, view
from tscale.estimates.fit import Fitting
from tscale.estimates.fit_forms import Comparison, FormFitting, Found, Trial, formulas
from tscale.estimates.laws import Bound, extrapolated, loss_figure, per_param, predicted, range_mark

_SURE: Final = 3
"""Runs for each constant, with fewer of which a form is little more than drawn through them."""
_OF_EXPERTS = (OPTIMA[0], Column("experts", "experts"), *OPTIMA[1:])
_NONE: Final = Missing("n/a", settled=True)
_COMPARED = (
    Column("form", "form", numeric=False),
    Column("constants", "constants", absent=_NONE),
    Column("error", "rms", absent=_NONE),
    Column("held-out error", "held_out_rms", of="held_out.held_out_rms", absent=_NONE),
    Column("largest held out", "held_out_largest", drop=1, of="held_out.held_out_largest", absent=_NONE),
    Column("", "best", numeric=False),
)


# ---------------------------------------------------------------------------------------------------------------------
# What is shown
# ---------------------------------------------------------------------------------------------------------------------


def forms_report(answer: Found | Comparison, written: Path | None = None) -> Report:
    """What was fitted; of several forms, first how they compare."""
    if isinstance(answer, Fitting):
        return fit_report(answer, written)
    return _form_report(answer, written) if isinstance(answer, FormFitting) else _comparison_report(answer, written)


def _comparison_report(answer: Comparison, written: Path | None) -> Report:
    best = answer.best
    records = [_compared(one, best) for one in answer.trials]
    rows = [{**record, "best": "best" if record["best"] else ""} for record in records]
    inner = forms_report(best, written)
    name = next(one.name for one in answer.trials if one.found is best)
    assert best.held is not None
    title = f"Of {len(rows)} forms, {name} predicts held-out sizes best: within {100 * best.held.rms:.2g}% (root mean square)"
    data = inner.data
    assert isinstance(data, dict)
    reasons = [f"{one.name} is not fitted: {one.reason}." for one in answer.trials if one.found is None]
    return Report(
        "Forms of scaling law",
        (view(title, _COMPARED, rows), *inner.tables),
        {**data, "form": name, "forms": records},
        (
            "Held out: each size in turn, predicted by a fit to the runs of all others; an error is that of ln L.",
            *reasons,
            *inner.notes,
        ),
        inner.steps,
    )


def _compared(one: Trial, best: Found) -> Record:
    found = one.found
    return {
        "form": one.name,
        "constants": None if found is None else Figure(len(found.law.constants), COUNT),
        "rms": None if found is None else root_mean_square(found.fit.residuals),
        "held_out": None if found is None else held_data(found.held),
        "best": found is best,
        "reason": one.reason or None,
    }


def _form_report(answer: FormFitting, written: Path | None) -> Report:
    form, law = answer.fit.form, answer.law
    constants = constants_of(law, {}, form.source)
    optima = list(_optima(answer))
    off, held = residuals_of(answer.fit.residuals, answer.runs), held_data(answer.held)
    title = f"{form.formula}, fitted to the {len(answer.runs):,} runs of {answer.read.name}"
    columns = _OF_EXPERTS if form.name == "moe-joint" else OPTIMA
    tables = (
        constants_table(title, constants, form.constants),
        view("", columns, optima, aside=True),
        distances_table(off | held),
    )
    data = fit_data(answer, form.name, constants, (off, held), optima, written)
    fitted = ", ".join(f"{name} {value:.5g}" for name, value in answer.fit.values.items())
    step = Step(
        "objective",
        f"Σ Huber(ln L(N, D) − ln L), delta {DELTA:g}, with {form.formula}",
        f"{fitted}, over {len(answer.runs):,} runs",
        objective(answer, form.source),
    )
    return Report("A fitted scaling law", tables, data, tuple(_notes(answer, written)), (step,))


def _optima(answer: FormFitting) -> Iterator[Record]:
    """The best run at and past the runs' largest budget, for each number of experts."""
    largest, law = max(run.flops for run in answer.runs), answer.law
    for experts, formula in formulas(answer):
        for times in BEYOND:
            try:
                point = formula.at_flops(times * largest)
            except (OverflowError, ZeroDivisionError):
                continue
            yield _optimum(point, experts, law, past=extrapolated(Bound(law, formula), point))


def _optimum(point: Point, experts: float, law: Law, *, past: bool) -> Record:
    return {
        "flops": predicted(point.flops, FLOPS, law),
        "experts": Figure(experts, RATIO._replace(name="experts", reading="given")),
        "params": predicted(point.params, PREDICTED_PARAMETERS, law),
        "tokens": predicted(point.tokens, PREDICTED_TOKENS, law),
        "tokens_per_param": per_param(point, law),
        "loss": loss_figure(point.loss, law),
        "extrapolated": range_mark(beyond=past),
    }


def _notes(answer: FormFitting, written: Path | None) -> Iterator[str]:
    read, law, form = answer.read, answer.law, answer.fit.form
    met = " that a token meets" if form.name == "moe-joint" else ""
    bare = ", without embeddings" if "non_embedding" in law.counts else ""
    yield f"N is all parameters{met}{bare}, as --counts says; D is tokens, C is 6·N·D; losses are in the unit of the file."
    if form.name == "moe-joint":
        yield "Experts are those of a layer, one of which a token meets: feed-forward parameters stored for each that it meets."
    yield from read_notes(answer)
    if len(read.runs) < _SURE * len(law.constants):
        yield f"{len(read.runs)} runs are few for {len(law.constants)} constants: --holdout says how well they predict others."
    if answer.fit.at_end:
        yield f"{', '.join(answer.fit.at_end)}: at an end of what is sought, so that these runs do not determine it."
    if written is not None:
        use = "loss MODEL" if form.name == "moe-joint" else "optimal --flops 1e22"
        yield f"{written} is written: `tscale {use} --law {quote(str(written))}` reads it."
