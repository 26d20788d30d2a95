"""`tscale train`: how long a training run takes, what it costs, and how much energy it uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final, NamedTuple, assert_never

from tscale.answers.explaining import (
    TracedModel,
    counted,
    notes_of,
    steps_of,
)
from tscale.answers.goodput import ELAPSED, Goodput, goodput_of, in_hours_already, with_elapsed
from tscale.answers.memory_train import Ask as MemoryAsk
from tscale.answers.peak import peak_of, precision_of
from tscale.answers.recomputed import Recomputed, recomputed
from tscale.answers.rent import Rent, rent_of
from tscale.answers.train_derived import Rates, of_prediction, of_run
from tscale.answers.train_memory import PlanMemory, States, all_states, plan_memory
from tscale.answers.train_plan import PlannedStep, as_bounds, planned_step
from tscale.answers.train_prediction import PlanUtilisation, PredictedStep, plan_utilisation, predicted_step
from tscale.answers.trained import Trained, trained
from tscale.answers.utilisation import Utilisation, assumed_utilisation, case_of
from tscale.calibration.training_case import CURRENT
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.forward import leaves_out
from tscale.core.costs.params import active_params
from tscale.core.costs.recompute import Again
from tscale.core.costs.step_time import Batch
from tscale.core.costs.training import Count
from tscale.core.costs.wall_time import (
    MILLION,
    SOURCE,
    Recompute,
    gpus_to_train,
    hardware_flops_ratio,
    least_flops,
    mfu_of,
    seconds_to_train,
)
from tscale.core.device import Device
from tscale.core.ledger import Scores
from tscale.core.metric import (
    Cell,
    Column,
    Data,
    Detail,
    Figure,
    Known,
    Missing,
    Report,
    Step,
    Table,
    weakest,
)
from tscale.core.number_text import duration, durations, number_text
from tscale.core.parallelism import Parallelism
from tscale.core.precision import PRECISIONS
from tscale.core.tracing import TracedInt, named
from tscale.core.units import (
    COUNT,
    DAYS,
    FLOPS,
    FLOPS_PER_SECOND,
    GPU_HOURS,
    KG,
    KWH,
    MFU,
    SECONDS,
    TOKENS_PER_SECOND,
    USD,
    Unit,
    as_given,
)
from tscale.errors import RequestError
from tscale.models.spec import ModelSpec

DAY: Final = 86_400


class Ask(NamedTuple):
    """What is given of a run; of gpus, a utilisation (or a speed) and days, two or one."""

    tokens: int | None = None
    context: int | None = None
    gpus: int | None = None
    mfu: Fraction | None = None
    tokens_per_second: Fraction | None = None
    days: Fraction | None = None
    dtype: str | None = None
    recompute: Recompute = "none"
    again: Again | None = None
    """The layers that the policy is about; None for all."""
    price: Fraction | None = None
    goodput: Fraction | None = None
    """The share of the time that goes to steps that count; None for that of published runs."""
    watts: Fraction | None = None
    pue: Fraction = Fraction(1)
    grid: Fraction | None = None
    grid_source: str = ""
    plan: Parallelism | None = None
    batch: Batch | None = None
    flops_count: Count = "full"
    """How the FLOPs of utilisations are counted."""
    memory: MemoryAsk | None = None
    """What is asked of the memory of the plan; of none, the usual."""
    command: str = ""
    """The command that asks it."""
    stack: str = CURRENT
    """The training stack whose calibration predicts a plan's step (`tscale.calibration.training_case`)."""
    kernel: str | None = None
    """The attention kernel of the prediction; None for the usual one of stack and chip."""
    bound_only: bool = False
    """Whether a plan is given its bounds alone."""

    @property
    def measured(self) -> bool:
        """Whether devices and time are both given, so that GPU-hours follow from them alone."""
        return self.gpus is not None and self.days is not None

    @property
    def of_steps(self) -> Ask:
        """The same with the days that go to steps, where days and goodput are given."""
        return self if self.days is None or self.goodput is None else self._replace(days=self.days * self.goodput)


class _Case(NamedTuple):
    """One answer: devices, utilisation, time; `label` where there is a range of them."""

    label: str
    mfu: Fraction
    gpus: int
    seconds: int


class Timed(NamedTuple):
    """An answer in plain numbers: so many devices at a utilisation take so long; `label` where there is a range of them."""

    label: str
    mfu: Fraction
    gpus: int
    seconds: int


def timed(spec: ModelSpec, hardware: Hardware, ask: Ask) -> tuple[Timed, ...]:
    """The answers of `train_report`: one, or a range of them. Raises `RequestError` for a run that cannot be."""
    return tuple(
        Timed(case.label, Fraction(case.mfu), int(case.gpus), int(case.seconds))
        for case in _answered(spec, hardware, ask).cases
    )


def train_report(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Report:
    """Time, GPU-hours, cost and energy of a training run; a range where the utilisation or the price is an assumption."""
    one = _answered(spec, hardware, ask)
    fit = _fit(one.planned, one.states)
    title = f"{_headline(one)}, in sequences of {one.whole.lengths_text()}{fit.title}"
    assumed, rent = one.assumed, one.rent
    said = (
        fit.lead,
        *one.whole.lead,
        "" if assumed is None else assumed.said(),
        "" if one.goodput is None else one.goodput.said(),
        "" if rent is None else rent.said(),
    )
    steps = tuple(_all_steps(one))
    lead = tuple(filter(None, said))
    return Report(title, _tables(one, title), _data(one), tuple(_all_notes(one)), steps, fit.exit_code, lead=lead)


def train_figures(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Data:
    """The figures of `train_report` by their keys: what a row of a sweep holds."""
    return _data(_answered(spec, hardware, ask))


class _Answered(NamedTuple):
    """A run: what is given, and what follows from it."""

    model: TracedModel
    hardware: Hardware
    ask: Ask
    dtype: str
    peak: int
    whole: Trained
    flops: int
    assumed: Utilisation | PlanUtilisation | None
    """The utilisation where none is given: that of published runs, or that which is predicted of the plan."""
    cases: tuple[_Case, ...]
    columns: list[dict[str, Figure | None]]
    rent: Rent | None
    planned: _Planned | None
    states: States | None
    counted_share: Fraction
    """FLOPs by the count of the utilisation over those of full attention."""
    goodput: Goodput | None
    """Of the case in the middle; None where the time has its failures in it."""

    @property
    def known(self) -> Known:
        """How times and costs are known."""
        return _known_of(self.assumed, self.whole)


def _known_of(assumed: Utilisation | PlanUtilisation | None, whole: Trained) -> Known:
    """How times and costs are known."""
    if isinstance(assumed, PlanUtilisation):
        return weakest("predicted", whole.known)
    return "assumed" if assumed else whole.known


def _answered(spec: ModelSpec, hardware: Hardware, ask: Ask) -> _Answered:
    """Raises `RequestError` for a run that cannot be."""
    model = counted(spec)
    dtype, peak = peak_of(hardware.device(), hardware, ask.dtype)
    whole = trained(model.spec, ask.tokens, ask.context)
    flops = named("training_flops", whole.flops(model))
    redone = recomputed(model.spec, model.ledger, ask.recompute, ask.again, ask.plan)
    ratio = _hardware_ratio(model, whole, redone)
    counted_share = _counted_share(model, whole, ask.flops_count)
    ask = ask if ask.mfu is None else ask._replace(mfu=ask.mfu / counted_share)
    planned = _planned(model, hardware, ask, whole, dtype, peak, redone)
    assumed: Utilisation | PlanUtilisation | None = _assumed(model, hardware, ask, dtype, peak, ratio)
    if assumed is not None and planned is not None and ask.batch is not None:
        assumed = plan_utilisation(planned.predicted, model, whole, ask.batch) or assumed
    cases = _cases(ask.of_steps, int(whole.tokens.value), flops, peak, assumed)
    _check_peak(model, whole, redone, max(case.mfu for case in cases))
    known = _known_of(assumed, whole)
    rent = rent_of(hardware, ask.price)
    columns = [
        with_elapsed(
            _figures(case, ask.of_steps, rent, hardware.device(), peak, ratio, whole, flops, known, counted_share),
            _goodput(case.gpus, ask, assumed),
        )
        for case in cases
    ]
    states = all_states(spec, hardware, max(int(case.gpus) for case in cases), dtype) if planned is None else None
    return _Answered(
        model, hardware, ask, dtype, peak, whole, flops, assumed, cases, columns, rent, planned, states, counted_share,
        _goodput(cases[len(cases) // 2].gpus, ask, assumed),
    )  # fmt: skip


def _goodput(gpus: int, ask: Ask, assumed: Utilisation | PlanUtilisation | None) -> Goodput | None:
    """What of the time goes to steps; None where devices and time were measured, or the runs assumed from have it in their hours."""
    counted_already = ask.measured or (isinstance(assumed, Utilisation) and in_hours_already(assumed))
    return None if counted_already and ask.goodput is None else goodput_of(int(gpus), ask.goodput)


def _tables(one: _Answered, title: str) -> tuple[Table, ...]:
    """The run, its plan, and the runs that its utilisation is assumed from."""
    name = one.model.spec.name
    told = one.goodput is not None and one.goodput.noticed
    columns = one.columns if told else [with_elapsed(column, None) for column in one.columns]
    tables = [_table(title, name, one.cases, columns, one.rent)]
    if one.planned is not None:
        tables.append(one.planned.table)
    if isinstance(one.assumed, Utilisation):
        tables.append(one.assumed.table(name))
    return tuple(tables)


def _data(one: _Answered) -> dict[str, Data]:
    """All of it for programs."""
    several = len(one.cases) > 1
    return {
        "model": one.model.spec.name,
        "tokens": one.whole.tokens,
        "context": one.whole.first.context,
        "stages": one.whole.data(),
        "gpu": one.hardware.name,
        **one.columns[len(one.columns) // 2],
        "dtype": one.dtype,
        "peak_flops_per_second": Figure(one.peak, FLOPS_PER_SECOND, "cited", one.hardware.source),
        "training_flops": Figure(one.flops, FLOPS, one.whole.known),
        "count": one.ask.flops_count,
        "goodput": None if one.goodput is None else one.goodput.data(),
        **_rent_data(one.columns, one.rent),
        "memory": None if one.states is None else one.states.data(),
        "assumed": isinstance(one.assumed, Utilisation),
        "utilisation_runs": one.assumed.data() if isinstance(one.assumed, Utilisation) else [],
        "range": [_in_range(*pair, one.rent) for pair in zip(one.cases, one.columns, strict=True)] if several else [],
        **({} if one.planned is None else {"plan": one.planned.data}),
    }


def _all_notes(one: _Answered) -> Iterator[str]:
    """Notes of the run, of its utilisation, its price and its plan."""
    yield from _notes(one.model, one.hardware, one.ask, one.dtype, one.peak, one.whole)
    if isinstance(one.assumed, Utilisation):
        yield one.assumed.note()
    if one.goodput is not None:
        yield one.goodput.note()
    if one.rent is not None:
        yield from one.rent.notes()
    if one.planned is not None:
        # Of a run at several lengths the MFU is not that of the plan's steps, which are of the first.
        alike = len({stage.run for stage in one.whole.stages}) == 1
        most = max(case.mfu for case in one.cases) * one.counted_share
        yield from one.planned.notes(most if alike else None)


def _rent_data(columns: list[dict[str, Figure | None]], rent: Rent | None) -> dict[str, Data]:
    """What the hours cost at the lowest and the highest price, and who asks how much."""
    if rent is None:
        return {"cost_usd_range": None, "usd_per_gpu_hour": None}
    return {"cost_usd_range": _cost_range(columns, rent), "usd_per_gpu_hour": rent.data()}


def _headline(one: _Answered) -> str:
    """What training takes: the time of so many devices, or the devices of so much time; with its range, and its dollars."""
    ask, cases, label = one.ask, one.cases, one.model.spec.label
    middle, column = cases[len(cases) // 2], one.columns[len(cases) // 2]
    dollars = _dollars(column["cost_usd"])
    if ask.gpus is None and ask.days is not None:
        counts = sorted(case.gpus for case in cases)
        spread = f" ({counts[0]:,} to {counts[-1]:,})" if len(cases) > 1 else ""
        return (
            f"Training {label} in {duration(ask.days * DAY)} takes {middle.gpus:,}{spread} × {one.hardware.label}{dollars}"
            f"{_with_failures(one, column)}"
        )
    times = sorted(case.seconds for case in cases)
    spread = f" ({durations(times[0], times[-1])})" if len(cases) > 1 else ""
    return (
        f"Training {label} on {middle.gpus:,} × {one.hardware.label} takes {duration(middle.seconds)}{spread}{dollars}"
        f"{_with_failures(one, column)}"
    )


def _dollars(cost: Figure | None) -> str:
    return "" if cost is None else f" and ${number_text(cost.value, cost.unit.reading)}"


def _with_failures(one: _Answered, column: dict[str, Figure | None]) -> str:
    """The days and dollars with failures and restarts, where they are worth a word."""
    days = column["elapsed_days"]
    if days is None or one.goodput is None or not one.goodput.noticed:
        return ""
    elapsed = duration(Fraction(days.value) * DAY)
    return f"; with failures and restarts {elapsed}{_dollars(column['elapsed_cost_usd'])}"


class _Fit(NamedTuple):
    """What is said of a run that does not fit, or may not: the end of the title, a line before the table, an exit code."""

    title: str = ""
    lead: str = ""
    exit_code: int = 0


def _fit(planned: _Planned | None, states: States | None) -> _Fit:
    """Whether the plan fits, or without a plan the states that any would have to hold."""
    if planned is None:
        return _Fit() if states is None or states.fit else _Fit(": does not fit", states.said(), 3)
    memory = planned.memory
    match memory.verdict:
        case "fits":
            return _Fit()
        case "may_fit":
            return _Fit(": the plan may fit", memory.said())
        case "does_not_fit":
            return _Fit(": the plan does not fit", memory.said(), 3)
        case None:
            return _Fit(lead=memory.said())


def _assumed(
    model: TracedModel, hardware: Hardware, ask: Ask, dtype: str, peak: int, ratio: Fraction
) -> Utilisation | None:
    """What is assumed of the utilisation where neither it nor both of devices and days are given."""
    if ask.mfu is not None or ask.tokens_per_second is not None or (ask.gpus is not None and ask.days is not None):
        return None
    return assumed_utilisation(case_of(model.ledger, ask.gpus, hardware, dtype), peak).within(1 / ratio)


class _Planned(NamedTuple):
    """A plan: the bounds of a step, and what a device holds."""

    step: PlannedStep
    memory: PlanMemory
    predicted: PredictedStep | None = None

    @property
    def data(self) -> Data:
        assert isinstance(self.step.data, Mapping)
        return {**self.step.data, **({} if self.predicted is None else self.predicted.data), "memory": self.memory.data}

    @property
    def table(self) -> Table:
        """The bounds, and the prediction below them."""
        return self.step.table if self.predicted is None else self.predicted.on(self.step.table)

    def notes(self, mfu: Fraction | None) -> Iterator[str]:
        """What must be said of it, where the run is estimated with a utilisation."""
        if self.memory.verdict == "fits":
            yield self.memory.said()
        yield from self.step.notes(mfu)
        if self.predicted is not None:
            yield from self.predicted.notes()


def _planned(
    model: TracedModel, hardware: Hardware, ask: Ask, whole: Trained, dtype: str, peak: int, redone: Recomputed
) -> _Planned | None:
    """The plan that is asked about; None where none is."""
    if ask.plan is None or ask.batch is None:
        return None
    step = planned_step(
        model, whole.first.run, ask.plan, ask.batch, hardware.cluster(), peak, dtype, redone, ask.flops_count
    )
    asked = ask.memory or MemoryAsk(
        PRECISIONS[precision_of(dtype)],
        plan=ask.plan,
        micro_batch=ask.batch.micro,
        context=ask.context,
        recompute=ask.recompute,
        again=ask.again,
        batch=ask.batch.sequences,
    )
    memory = plan_memory(model.spec, hardware, asked, ask.command)
    predicted = None
    if not ask.bound_only:
        predicted = predicted_step(
            model, whole.first.run, ask.plan, ask.batch, hardware.cluster(), dtype, redone, step.step.seconds,
            known=weakest("predicted", whole.first.context.known), stack=ask.stack, kernel=ask.kernel, count=ask.flops_count,
        )  # fmt: skip
    return _Planned(as_bounds(step, weakest("bound", whole.first.context.known)), memory, predicted)


def _all_steps(one: _Answered) -> Iterator[Step]:
    """How the answer was made, its headline first: what follows from time and devices, then the time, then a plan's step."""
    rates = _rates(one)
    for case, column in zip(one.cases, one.columns, strict=True):
        yield from of_run(column, rates, _subject(one.model, case))
    if one.planned is not None and one.planned.predicted is not None:
        yield from of_prediction(one.planned.predicted, f"{one.model.spec.name}, a step")
    yield from _steps(one.model, one.whole, one.cases, one.known)
    if one.planned is not None:
        yield from one.planned.step.steps


def _rates(one: _Answered) -> Rates:
    """What GPU-hours are multiplied with."""
    ask, watts = one.ask, one.hardware.device().watts
    drawn = ask.watts if ask.watts is not None else (None if watts is None else Fraction(watts))
    goodput = None if one.goodput is None else one.goodput.middle
    return Rates(None if one.rent is None else one.rent.middle, drawn, ask.pue, ask.grid, goodput)


def _subject(model: TracedModel, case: _Case) -> str:
    """What the derivations of a case are about."""
    return f"{model.spec.name}, {case.label}" if case.label else f"{model.spec.name}, the run"


def _steps(model: TracedModel, whole: Trained, cases: tuple[_Case, ...], known: Known) -> Iterator[Step]:
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


def _cost_range(columns: list[dict[str, Figure | None]], rent: Rent) -> Data:
    """The fewest hours at the lowest price, and the most at the highest."""
    hours = [Fraction(column["gpu_hours"].value) for column in columns if column["gpu_hours"] is not None]
    return rent.range(min(hours), max(hours) if len(hours) > 1 else None)


def _in_range(case: _Case, column: dict[str, Figure | None], rent: Rent | None) -> Data:
    """One case of several, with what its own hours cost at the lowest and the highest price."""
    return {"case": case.label, **column, "cost_usd_range": None if rent is None else _cost_range([column], rent)}


def _hardware_ratio(model: TracedModel, whole: Trained, redone: Recomputed) -> Fraction:
    """HFU / MFU of a whole run: the mean over its stages, by their FLOPs."""
    flops = [int(stage.flops(model, "full")) for stage in whole.stages]
    parts = redone.parts(model.ledger)
    ratios = [hardware_flops_ratio(model.ledger, stage.run, redone.policy, parts) for stage in whole.stages]
    return sum((ratio * of for ratio, of in zip(ratios, flops, strict=True)), Fraction()) / sum(flops)


def _cases(
    ask: Ask, tokens: int, flops: int, peak: int, assumed: Utilisation | PlanUtilisation | None
) -> tuple[_Case, ...]:
    """The third of devices, utilisation and time, from the other two."""
    _refuse_unlike(ask)
    if ask.tokens_per_second is not None:
        assert ask.gpus is not None
        seconds = Fraction(tokens) / ask.tokens_per_second
        return (_Case("", mfu_of(flops, ask.gpus, peak, seconds), ask.gpus, _rounded_up(seconds)),)
    if ask.gpus is not None and ask.days is not None:
        seconds = ask.days * DAY
        return (_Case("", mfu_of(flops, ask.gpus, peak, seconds), ask.gpus, _rounded_up(seconds)),)
    if ask.mfu is not None:
        return (_case("", ask, flops, peak, ask.mfu),)
    assert assumed is not None
    found = {"low": assumed.low, "middle": assumed.middle, "high": assumed.high}
    return tuple(_case(label, ask, flops, peak, mfu) for label, mfu in found.items())


def _refuse_unlike(ask: Ask) -> None:
    """Raises `RequestError` where devices, utilisation and time are not two of three."""
    if ask.mfu is not None and ask.tokens_per_second is not None:
        raise RequestError("--mfu and --tokens-per-second say the same in two ways: give one of them")
    if ask.gpus is None and ask.days is None:
        raise RequestError("how many devices, or how long? --gpus 1024, --days 30, or both")
    if ask.measured and (ask.mfu is not None or ask.tokens_per_second is not None):
        raise RequestError("--gpus, --days and a utilisation are one too many: any two of them give the third")
    if ask.tokens_per_second is not None and ask.gpus is None:
        raise RequestError("--tokens-per-second is that of all devices: --gpus says how many they are")


def _case(label: str, ask: Ask, flops: int, peak: int, mfu: Fraction) -> _Case:
    """Time from devices, or devices from time, at a utilisation."""
    rated = TracedInt(peak, label="peak")
    millionths = TracedInt(max(round(mfu * MILLION), 1), label="mfu_millionths")
    if ask.gpus is not None:
        gpus = TracedInt(ask.gpus, label="gpus")
        return _Case(label, mfu, gpus, seconds_to_train(flops, gpus, rated, millionths))
    assert ask.days is not None
    allowed = TracedInt(_rounded_up(ask.days * DAY), label="seconds_allowed")
    needed = gpus_to_train(flops, allowed, rated, millionths)
    return _Case(label, mfu, needed, seconds_to_train(flops, named("gpus", needed), rated, millionths))


def _check_peak(model: TracedModel, whole: Trained, redone: Recomputed, mfu: Fraction) -> None:
    """Raises `RequestError` where the devices would do more than their peak, of what causal attention needs of them.

    MFU counts full attention, so that in long sequences it may pass 1 and still be.
    """
    if mfu * _least_ratio(model, whole, Recomputed()) > 1:
        raise RequestError(
            f"that is {float(mfu):.3g} times the peak, which no device reaches: more devices, more days or fewer tokens"
        )
    if mfu * _least_ratio(model, whole, redone) > 1:
        raise RequestError(f"with --recompute {redone.policy} the devices would do more than their peak: a lower --mfu")


def _least_ratio(model: TracedModel, whole: Trained, redone: Recomputed) -> Fraction:
    """What the devices compute at the least over what MFU counts, of a whole run."""
    parts = redone.parts(model.ledger)
    least = (
        Fraction(
            stage.ran_through * int(least_flops(model.ledger, stage.run, redone.policy, parts)), int(stage.run.tokens)
        )
        for stage in whole.stages
    )
    return sum(least, Fraction()) / int(whole.flops(model))


def _rounded_up(seconds: Fraction) -> int:
    return -int(-seconds // 1)


def _figures(
    case: _Case,
    ask: Ask,
    rent: Rent | None,
    device: Device,
    peak: int,
    ratio: Fraction,
    whole: Trained,
    flops: int,
    known: Known,
    counted_share: Fraction,
) -> dict[str, Figure | None]:
    """Everything that follows from devices, utilisation and time; speeds from the utilisation, for time is in whole seconds."""
    speed = case.mfu * peak
    hours, days = Fraction(int(case.gpus) * int(case.seconds), 3600), Fraction(int(case.seconds), DAY)
    if ask.gpus is not None and ask.days is not None:
        hours, days = ask.gpus * ask.days * 24, ask.days
    watts = ask.watts if ask.watts is not None else (None if device.watts is None else Fraction(device.watts))
    energy = None if watts is None else hours * watts / 1000 * ask.pue
    drawn: Known = "assumed" if ask.watts is None else "exact"

    def figure(value: Fraction | None, unit: Unit, how: Known = known) -> Figure | None:
        return None if value is None else Figure(value, unit, how)

    def product(value: Fraction | None, unit: Unit, how: Known = "exact") -> Figure | None:
        """A product with the GPU-hours: exact to its last digit where devices, time and the other factors were given."""
        given = ask.measured and how == "exact"
        return figure(value, as_given(unit) if given else unit, "exact" if given else weakest(known, how))

    cost = None if rent is None else hours * rent.middle
    emitted = None if energy is None or ask.grid is None else energy * ask.grid / 1000

    return {
        "gpus": Figure(case.gpus, COUNT, known if ask.gpus is None else "exact", SOURCE if ask.gpus is None else ""),
        "mfu": figure(case.mfu * counted_share, MFU),
        "hfu": figure(case.mfu * ratio * counted_share, MFU),
        "seconds": Figure(case.seconds, SECONDS, known, SOURCE),
        "days": product(days, DAYS),
        "tokens_per_second": figure(speed * int(case.gpus) * int(whole.tokens.value) / int(flops), TOKENS_PER_SECOND),
        "flops_per_second_per_gpu": figure(speed * counted_share, FLOPS_PER_SECOND),
        "gpu_hours": product(hours, GPU_HOURS),
        "cost_usd": product(cost, USD, "exact" if rent is None else rent.known),
        "energy_kwh": product(energy, KWH, drawn),
        "co2e_kg": product(emitted, KG, weakest(drawn, "cited" if ask.grid_source else "exact")),
    }


_ROWS: Final = {
    "gpus": "GPUs",
    "mfu": "MFU",
    "hfu": "HFU",
    "days": "days",
    "elapsed_days": "  with failures and restarts",
    "tokens_per_second": "tokens/s",
    "flops_per_second_per_gpu": "model FLOP/s per GPU",
    "gpu_hours": "GPU-hours",
    "cost_usd": "cost, $",
    "elapsed_cost_usd": "  with failures and restarts",
    "energy_kwh": "energy, kWh",
    "co2e_kg": "CO2e, kg",
}
_ABSENT: Final = {
    "cost_usd": "needs --price",
    "energy_kwh": "needs --watts",
}


def _table(
    title: str, subject: str, cases: tuple[_Case, ...], columns: list[dict[str, Figure | None]], rent: Rent | None
) -> Table:
    heads = (Column("", "quantity", numeric=False), *(Column(c.label or "value", c.label or "value") for c in cases))
    rows: list[tuple[Cell, ...]] = []
    for key, name in _ROWS.items():
        if _says_nothing(key, columns):
            continue
        cells: list[Cell] = [column[key] or Missing(_ABSENT[key]) for column in columns]
        rows.append((name, *cells))
        if key == "cost_usd" and rent is not None and rent.ranges:
            rows.append(("  at the lowest price", *_priced(columns, rent, rent.low)))
            rows.append(("  at the highest price", *_priced(columns, rent, rent.high)))
    return Table(title, heads, tuple(rows), subject=subject, stack=True)


def _says_nothing(key: str, columns: list[dict[str, Figure | None]]) -> bool:
    """Whether a row only repeats another: HFU where nothing is recomputed; or nobody asked for it: CO2e without a grid."""
    if key in ELAPSED:
        return all(column[key] is None for column in columns)
    if key == "hfu":
        return all(column["hfu"] == column["mfu"] for column in columns)
    return key == "co2e_kg" and all(column[key] is None for column in columns)


def _priced(columns: list[dict[str, Figure | None]], rent: Rent, price: Fraction) -> Iterator[Figure]:
    """What the GPU-hours of each case cost at a price."""
    for column in columns:
        hours = column["gpu_hours"]
        assert hours is not None
        yield Figure(Fraction(hours.value) * price, USD, weakest(hours.known, rent.known))


def _notes(model: TracedModel, hardware: Hardware, ask: Ask, dtype: str, peak: int, whole: Trained) -> tuple[str, ...]:
    said: list[str] = [
        Detail(f"Of a dense peak of {peak / 10**12:,.1f} TFLOP/s in {dtype} ({hardware.source})."),
        Detail(_COUNTS[ask.flops_count]),
    ]
    if ask.watts is None and hardware.tdp_watts is not None:
        said.append(
            Detail(f"Energy is at the TDP of {hardware.tdp_watts} W all the time, times a PUE of {float(ask.pue):g}.")
        )
    if ask.grid_source and ask.grid is not None:
        said.append(f"A kWh emits {float(ask.grid):g} g of CO2e in {ask.grid_source}.")
    said += _departures(model)
    return notes_of(model.spec, *whole.notes, *said, leaves_out(model.ledger))


_COUNTS: Final[dict[Count, str]] = {
    "full": "MFU counts three forward passes in full attention, as Chowdhery 2022 does; HFU also what is recomputed.",
    "causal": "MFU counts three forward passes in causal attention (--count causal); HFU also what is recomputed.",
    "6nd": "MFU counts 6 FLOPs a parameter that a token meets and a token (--count 6nd, Kaplan 2020); HFU also what is recomputed.",
}


def _counted_share(model: TracedModel, whole: Trained, count: Count) -> Fraction:
    """FLOPs of a whole run by a count, over those in full attention."""
    full = int(whole.flops(model))
    match count:
        case "full":
            return Fraction(1)
        case "causal":
            return Fraction(int(whole.flops(model, "causal")), full)
        case "6nd":
            return Fraction(6 * int(active_params(model.ledger).total) * int(whole.tokens.value), full)
        case _:
            assert_never(count)


def _departures(model: TracedModel) -> Iterator[str]:
    windows = [entry for entry in model.ledger.entries if isinstance(entry, Scores) and entry.window is not None]
    if windows:
        yield f"{model.spec.label} has sliding-window layers: full attention counts more than they need."
