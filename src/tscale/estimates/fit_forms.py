"""Forms of scaling law that are fitted to one's own runs, and compared by sizes that they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tscale.calibration.forms import FORMS, Held, Name, fit_form, held_out
from tscale.calibration.forms import Fitted as FittedForm
from tscale.calibration.runs import Run, Runs
from tscale.catalogue.law_kinds import Kind
from tscale.catalogue.laws import Constant, Counts, Law
from tscale.core.laws import Farseer, KaplanJoint, Parametric
from tscale.core.laws.experts import Joint
from tscale.errors import SpecError
from tscale.estimates.fit import Fitting, fitted, kept, range_of
from tscale.estimates.laws import percentiles


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
        return Constant(value=kept(value), low=kept(ends[0]), high=kept(ends[1]), source=source, evidence="derived")

    experts = found.form.name == "moe-joint"
    kind: Kind = found.form.kind
    return Law(
        name=asked.name,
        kind=kind,
        source=source,
        counts=_ACTIVE[asked.counts] if experts else asked.counts,
        flops="6ND",
        fitted=range_of(read, experts=experts),
        constants={name: constant(name) for name in found.form.constants},
    )


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
