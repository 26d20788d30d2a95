"""`tscale fit --form`: other forms of law fitted to one's own runs, and forms compared by sizes that they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import expm1, sqrt
from pathlib import Path
from shlex import quote
from statistics import fmean
from typing import Final, NamedTuple

from tscale.answers.fit.answer import fit_report
from tscale.answers.fit.notes import columns_text
from tscale.answers.fit.tables import CONSTANTS, OPTIMA, PLAIN, held_rows
from tscale.calibration.forms import FORMS, Held, Name, fit_form, held_out
from tscale.calibration.forms import Fitted as FittedForm
from tscale.calibration.parametric import BEYOND, DELTA
from tscale.calibration.runs import Run, Runs
from tscale.catalogue.law_kinds import Kind
from tscale.catalogue.laws import Constant, Counts, Fitted, Law
from tscale.core.laws import Farseer, KaplanJoint, Parametric, Point
from tscale.core.laws.experts import Joint
from tscale.core.metric import Cell, Column, Data, Figure, Label, Missing, Report, Step, Table
from tscale.core.units import COUNT, FLOPS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, RATIO, SHARE, Unit
from tscale.errors import SpecError, shown
from tscale.estimates.fitting import Fitting, fitted
from tscale.estimates.laws import LEVEL, Bound, extrapolated, law_data, loss_figure, per_param, percentiles, predicted

_DIGITS: Final = 8
_SURE: Final = 3
"""Runs for each constant, with fewer of which a form is little more than drawn through them."""
_OF_EXPERTS = (OPTIMA[0], Column("experts", "experts"), *OPTIMA[1:])
_COMPARED = (
    Column("form", "form", numeric=False),
    Column("constants", "constants"),
    Column("error", "rms"),
    Column("held-out error", "held_out_rms"),
    Column("largest held out", "held_out_largest", drop=1),
    Column("", "best", numeric=False),
)


class FormFitting(NamedTuple):
    """Runs, the form that was fitted to them, and the law as a file holds it."""

    read: Runs
    fit: FittedForm
    law: Law
    bootstraps: int
    seed: int
    held: Held | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.read.runs

    @property
    def name(self) -> Name:
        return self.fit.form.name


Found = Fitting | FormFitting


class Trial(NamedTuple):
    """A form, what it came to, or why it came to nothing."""

    name: Name
    found: Found | None
    reason: str = ""


class Comparison(NamedTuple):
    """Forms that were fitted to the same runs; the best predicts sizes that were held out with the least error."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Found:
        """The form with the least error of sizes that were held out."""
        return min((one.found for one in self.trials if one.found is not None), key=_held_error)


def _held_error(found: Found) -> float:
    assert found.held is not None, "compared forms are held to sizes that they were not fitted to"
    return found.held.rms


class Asked(NamedTuple):
    """What is asked of a fit."""

    forms: tuple[Name, ...]
    bootstraps: int
    seed: int
    counts: Counts
    name: str
    holdout: bool


def fitted_forms(read: Runs, asked: Asked, advance: Callable[[], None] = lambda: None) -> Found | Comparison:
    """The form fitted to runs, or several compared. Raises `SpecError` where none can be told from them."""
    if len(asked.forms) == 1:
        return _fitted(read, asked.forms[0], asked, advance, held=asked.holdout)
    trials = []
    for name in asked.forms:
        try:
            trials.append(Trial(name, _fitted(read, name, asked, advance, held=True)))
        except SpecError as error:
            trials.append(Trial(name, None, str(error).removeprefix(f"{read.name}: ")))
    if all(one.found is None for one in trials):
        raise SpecError(trials[0].reason, where=read.name)
    return Comparison(tuple(trials))


def _fitted(read: Runs, name: Name, asked: Asked, advance: Callable[[], None], *, held: bool) -> Found:
    if name == "chinchilla":
        found = fitted(read, asked.bootstraps, asked.seed, asked.counts, asked.name, advance)
        return found._replace(held=_held(read, name) if held else None)
    try:
        result = fit_form(read.runs, FORMS[name], asked.bootstraps, asked.seed, advance)
    except SpecError as error:
        raise SpecError(str(error), where=read.name) from None
    law = _law(read, result, asked)
    return FormFitting(read, result, law, asked.bootstraps, asked.seed, _held(read, name) if held else None)


def _held(read: Runs, name: Name) -> Held:
    try:
        return held_out(read.runs, name)
    except SpecError as error:
        raise SpecError(f"with one size held out, {error}", where=read.name) from None


_ACTIVE: Final[dict[Counts, Counts]] = {"all": "active", "non_embedding": "active_non_embedding"}


def _law(read: Runs, found: FittedForm, asked: Asked) -> Law:
    """The law as a file holds it: the constants with their intervals, and the range of the runs."""
    source = f"{len(read.runs)} runs of {read.name}"

    def constant(name: str) -> Constant:
        value = found.values[name]
        low, high = percentiles([draw[name] for draw in found.draws])
        ends = (min(low, value), max(high, value))
        return Constant(value=_kept(value), low=_kept(ends[0]), high=_kept(ends[1]), source=source, evidence="derived")

    experts = found.form.name == "moe-joint"
    kind: Kind = found.form.kind
    return Law(
        name=asked.name,
        kind=kind,
        source=source,
        counts=_ACTIVE[asked.counts] if experts else asked.counts,
        flops="6ND",
        fitted=Fitted(
            params=_range([run.params for run in read.runs]),
            tokens=_range([run.tokens for run in read.runs]),
            flops=_range([run.flops for run in read.runs]),
            expansion=_range([run.experts for run in read.runs]) if experts else None,
            source=source,
            evidence="derived",
        ),
        constants={name: constant(name) for name in found.form.constants},
    )


def _kept(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


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
    rows = [_compared(one, best) for one in answer.trials]
    inner = forms_report(best, written)
    name = next(one.name for one in answer.trials if one.found is best)
    assert best.held is not None
    title = f"Of {len(rows)} forms, {name} predicts held-out sizes best: within {100 * best.held.rms:.2g}% (root mean square)"
    data = inner.data
    assert isinstance(data, dict)
    reasons = [f"{one.name} is not fitted: {one.reason}." for one in answer.trials if one.found is None]
    return Report(
        "Forms of scaling law",
        (Table(title, _COMPARED, tuple(tuple(row.values()) for row in rows)), *inner.tables),
        {**data, "form": name, "forms": [_compared_data(one, best) for one in answer.trials]},
        (
            "Held out: each size in turn, predicted by a fit to the runs of all others; an error is that of ln L.",
            *reasons,
            *inner.notes,
        ),
        inner.steps,
    )


def _compared(one: Trial, best: Found) -> dict[str, Cell]:
    if one.found is None:
        none = Missing("n/a", settled=True)
        return {"form": one.name, "constants": none, "rms": none, "held": none, "largest": none, "best": ""}
    held = one.found.held
    assert held is not None
    return {
        "form": one.name,
        "constants": Figure(len(one.found.law.constants), COUNT),
        "rms": _figure(_rms(one.found), SHARE),
        "held": _figure(held.rms, SHARE),
        "largest": _figure(expm1(held.worst), SHARE),
        "best": "best" if one.found is best else "",
    }


def _compared_data(one: Trial, best: Found) -> Data:
    found = one.found
    return {
        "form": one.name,
        "constants": None if found is None else Figure(len(found.law.constants), COUNT),
        "rms": None if found is None else _figure(_rms(found), SHARE),
        "held_out": None if found is None else {name: cell for name, _, cell in held_rows(found.held)},
        "best": found is best,
        "reason": one.reason or None,
    }


def _rms(found: Found) -> float:
    return sqrt(fmean(one * one for one in found.fit.residuals))


def _figure(value: float, unit: Unit, source: str = "hoffmann2022 equation 11") -> Figure:
    return Figure(value, unit, "convention", source)


def _form_report(answer: FormFitting, written: Path | None) -> Report:
    form, law = answer.fit.form, answer.law
    rows = list(_constant_rows(answer))
    optima = list(_optima(answer))
    title = f"{form.formula}, fitted to the {len(answer.runs):,} runs of {answer.read.name}"
    columns = _OF_EXPERTS if form.name == "moe-joint" else OPTIMA
    quality = [*_residuals(answer), *held_rows(answer.held)]
    tables = (
        Table(title, CONSTANTS, tuple((name, *figures, form.constants[name]) for name, *figures in rows)),
        Table("", columns, tuple(tuple(one[column.key] for column in columns) for one in optima), aside=True),
        Table(
            "",
            (Column("predicted and measured loss", "residual", numeric=False), Column("difference", "value")),
            tuple((label, cell) for _, label, cell in quality),
            aside=True,
        ),
    )
    data: Data = {
        "form": form.name,
        "file": answer.read.name,
        "runs": len(answer.runs),
        "columns": list(answer.read.columns),
        "columns_left_out": list(answer.read.unread),
        "constants": {name: {"value": value, "low": low, "high": high} for name, value, low, high in rows},
        "level": LEVEL,
        "bootstraps": answer.bootstraps,
        "seed": answer.seed,
        "huber_delta": _figure(DELTA, PLAIN),
        "objective": _figure(_kept(answer.fit.objective), PLAIN),
        "residuals": {name: cell for name, _, cell in _residuals(answer)},
        "held_out": {name: cell for name, _, cell in held_rows(answer.held)} or None,
        "optima": [_optimum_data(one) for one in optima],
        "law": {"name": law.name, **law_data(law)},
        "law_file": None if written is None else str(written),
    }
    constants = ", ".join(f"{name} {value:.5g}" for name, value in answer.fit.values.items())
    step = Step(
        "objective",
        f"Σ Huber(ln L(N, D) − ln L), delta {DELTA:g}, with {form.formula}",
        f"{constants}, over {len(answer.runs):,} runs",
        _figure(_kept(answer.fit.objective), PLAIN, form.source),
    )
    return Report("A fitted scaling law", tables, data, tuple(_notes(answer, written)), (step,))


def _constant_rows(answer: FormFitting) -> Iterator[tuple[str, Figure, Figure, Figure]]:
    for name, one in answer.law.constants.items():
        assert one.low is not None
        assert one.high is not None
        value, low, high = (_figure(end, PLAIN, answer.fit.form.source) for end in (one.value, one.low, one.high))
        yield name, value, low, high


def _residuals(answer: FormFitting) -> Iterator[tuple[str, str, Figure]]:
    residuals = answer.fit.residuals
    worst = max(range(len(residuals)), key=lambda index: abs(residuals[index]))
    yield "rms", "typical (root mean square)", _figure(_rms(answer), SHARE)
    yield "largest", "largest", _figure(expm1(residuals[worst]), SHARE)
    yield "largest_line", "line of the largest", Figure(answer.runs[worst].line, COUNT)


def formulas(answer: FormFitting) -> Iterator[tuple[float, KaplanJoint | Farseer | Parametric]]:
    """The law of N and D for each number of experts of the runs; for 1 where the form knows of none."""
    experts = answer.law.experts
    if isinstance(experts, Joint):
        for expansion in sorted({run.experts for run in answer.runs}):
            yield expansion, experts.of(expansion)
        return
    formula = answer.law.formula()
    assert isinstance(formula, (KaplanJoint, Farseer))
    yield 1, formula


def _optima(answer: FormFitting) -> Iterator[dict[str, Cell]]:
    """The best run at and past the runs' largest budget, for each number of experts."""
    largest, law = max(run.flops for run in answer.runs), answer.law
    for experts, formula in formulas(answer):
        for times in BEYOND:
            try:
                point = formula.at_flops(times * largest)
            except (OverflowError, ZeroDivisionError):
                continue
            yield _optimum(point, experts, law, past=_past(law, formula, point))


def _past(law: Law, formula: KaplanJoint | Farseer | Parametric, point: Point) -> bool:
    return extrapolated(Bound(law, formula), point)


def _optimum(point: Point, experts: float, law: Law, *, past: bool) -> dict[str, Cell]:
    return {
        "flops": predicted(point.flops, FLOPS, law),
        "experts": Figure(experts, RATIO._replace(name="experts", reading="given")),
        "params": predicted(point.params, PREDICTED_PARAMETERS, law),
        "tokens": predicted(point.tokens, PREDICTED_TOKENS, law),
        "tokens_per_param": per_param(point, law),
        "loss": loss_figure(point.loss, law),
        "extrapolated": Label("extrapolated", value=True) if past else Label("inside", value=False),
    }


def _optimum_data(one: dict[str, Cell]) -> Data:
    return {
        name: bool(cell.value) if isinstance(cell, Label) else cell
        for name, cell in one.items()
        if isinstance(cell, (Figure, Missing, Label))
    }


def _notes(answer: FormFitting, written: Path | None) -> Iterator[str]:
    read, law, form = answer.read, answer.law, answer.fit.form
    met = " that a token meets" if form.name == "moe-joint" else ""
    bare = ", without embeddings" if "non_embedding" in law.counts else ""
    yield f"N is all parameters{met}{bare}, as --counts says; D is tokens, C is 6·N·D; losses are in the unit of the file."
    if form.name == "moe-joint":
        yield "Experts are those of a layer, one of which a token meets: feed-forward parameters stored for each that it meets."
    yield f"Low and high are the {LEVEL}, of which there are {answer.bootstraps:,}, with seed {answer.seed}."
    left_out = f"; left out: {', '.join(shown(name, 30) for name in read.unread[:12])}" if read.unread else ""
    yield f"Read from {read.name}: {columns_text(read)}{left_out}."
    if len(read.runs) < _SURE * len(law.constants):
        yield f"{len(read.runs)} runs are few for {len(law.constants)} constants: --holdout says how well they predict others."
    if answer.fit.at_end:
        yield f"{', '.join(answer.fit.at_end)}: at an end of what is sought, so that these runs do not determine it."
    if written is not None:
        use = "loss MODEL" if form.name == "moe-joint" else "optimal --flops 1e22"
        yield f"{written} is written: `tscale {use} --law {quote(str(written))}` reads it."
