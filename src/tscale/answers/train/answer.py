"""`tscale train`: how long a training run takes, what it costs, and how much energy it uses."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from tscale.answers.assumptions import utilisation_table
from tscale.answers.train.columns import table_of
from tscale.answers.train.media import run_media_table
from tscale.answers.train.notes import all_notes, fit_of, headline
from tscale.answers.train.step_table import step_table
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.wall_time import SOURCE
from tscale.core.metric import Derivations, Figure, Known, Report, Step, Table
from tscale.core.units import COUNT, FLOPS, SECONDS
from tscale.estimates.explaining import TracedModel, steps_of
from tscale.estimates.goodput import with_elapsed
from tscale.estimates.train.answered import Answered, answered
from tscale.estimates.train.ask import Ask
from tscale.estimates.train.cases import Case
from tscale.estimates.train.data import train_data
from tscale.estimates.train.derived import Rates, of_prediction, of_run
from tscale.estimates.trained import Trained
from tscale.estimates.utilisation import Utilisation
from tscale.models.spec import ModelSpec


def train_report(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Report:
    """Time, GPU-hours, cost and energy of a training run; a range where the utilisation or the price is an assumption."""
    one = answered(spec, hardware, ask)
    fit = fit_of(one.planned, one.states)
    title = f"{headline(one)}, in sequences of {one.whole.lengths_text()}{fit.title}"
    assumed, rent = one.assumed, one.rent
    said = (
        fit.lead,
        *one.whole.lead,
        "" if assumed is None else assumed.said(),
        one.hours_error,
        "" if one.goodput is None else one.goodput.said(),
        "" if rent is None else rent.said(),
    )
    steps = Derivations(lambda: _all_steps(one))
    lead = tuple(filter(None, said))
    return Report(title, _tables(one, title), train_data(one), tuple(all_notes(one)), steps, fit.exit_code, lead=lead)


def _tables(one: Answered, title: str) -> tuple[Table, ...]:
    """The run, its plan, and the runs that its utilisation is assumed from."""
    name = one.model.spec.name
    told = one.goodput is not None and one.goodput.noticed
    columns = one.columns if told else [with_elapsed(column, None) for column in one.columns]
    tables = [table_of(title, name, one.cases, columns, one.rent)]
    if one.planned is not None:
        tables.append(step_table(one.planned.step, one.planned.predicted))
    if isinstance(one.assumed, Utilisation):
        tables.append(utilisation_table(one.assumed, name))
    tables += run_media_table(one.model.spec, one.ask.media)
    return tuple(tables)


def _all_steps(one: Answered) -> Iterator[Step]:
    """How the answer was made, its headline first: what follows from time and devices, then the time, then a plan's step."""
    rates = _rates(one)
    for case, column in zip(one.cases, one.columns, strict=True):
        yield from of_run(column, rates, _subject(one.model, case))
    if one.planned is not None and one.planned.predicted is not None:
        yield from of_prediction(one.planned.predicted, f"{one.model.spec.name}, a step")
    yield from _steps(one.model, one.whole, one.cases, one.known)
    if one.planned is not None:
        yield from one.planned.step.steps


def _rates(one: Answered) -> Rates:
    """What GPU-hours are multiplied with."""
    ask, watts = one.ask, one.hardware.device().watts
    drawn = ask.watts if ask.watts is not None else (None if watts is None else Fraction(watts))
    goodput = None if one.goodput is None else one.goodput.middle
    return Rates(None if one.rent is None else one.rent.middle, drawn, ask.pue, ask.grid, goodput)


def _subject(model: TracedModel, case: Case) -> str:
    """What the derivations of a case are about."""
    return f"{model.spec.name}, {case.label}" if case.label else f"{model.spec.name}, the run"


def _steps(model: TracedModel, whole: Trained, cases: tuple[Case, ...], known: Known) -> Iterator[Step]:
    """How the FLOPs, the devices and the seconds were made."""
    name = model.spec.name
    derived = [
        *(figure for stage in whole.stages for figure in stage.derived(model)),
        ("training_flops", Figure(whole.flops(model), FLOPS, whole.known, "kaplan2020 Table 1")),
    ]
    yield from steps_of(derived, name)
    for case in cases:
        figures = [
            ("gpus", Figure(case.gpus, COUNT, known, SOURCE)),
            ("seconds", Figure(case.seconds, SECONDS, known, SOURCE)),
        ]
        told = steps_of(figures, _subject(model, case))
        yield from (step for step in told if step.name in ("gpus", "seconds"))
