"""`tscale train`: how long a training run takes, what it costs, and what it draws."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import log
from typing import Final, NamedTuple

from tscale.answers.common import (
    Counted,
    counted,
    notes_of,
    steps_of,
)
from tscale.answers.train_plan import planned_step
from tscale.answers.trained import Trained, trained
from tscale.core.device import Device
from tscale.core.ledger import Scores
from tscale.core.numbers import Remembered, named
from tscale.core.plan import Plan
from tscale.core.quantity import Cell, Column, Data, Figure, Known, Missing, Report, Table
from tscale.core.questions.forward import leaves_out
from tscale.core.questions.params import active_params
from tscale.core.questions.step_time import Batch
from tscale.core.questions.wall_time import (
    MILLION,
    SOURCE,
    Recompute,
    gpus_to_train,
    hardware_flops_ratio,
    least_flops,
    mfu_of,
    seconds_to_train,
)
from tscale.core.sources import cited
from tscale.core.units import (
    COUNT,
    DAYS,
    FLOPS,
    FLOPS_PER_SECOND,
    GPU_HOURS,
    KG,
    KWH,
    SECONDS,
    SHARE,
    TOKENS_PER_SECOND,
    USD,
    Unit,
)
from tscale.errors import RequestError
from tscale.spec.hardware import Hardware
from tscale.spec.measured import TrainingRun, training_runs
from tscale.spec.model import ModelSpec

DAY: Final = 86_400
SIXTEEN_BITS: Final = ("bf16", "fp16")


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
    price: Fraction | None = None
    price_source: str = ""
    watts: Fraction | None = None
    pue: Fraction = Fraction(1)
    grid: Fraction | None = None
    grid_source: str = ""
    plan: Plan | None = None
    batch: Batch | None = None


class _Case(NamedTuple):
    """One answer: devices, utilisation, time; `label` where there is a range of them."""

    label: str
    mfu: Fraction
    gpus: int
    seconds: int


def train_report(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Report:
    """Time, GPU-hours, cost and energy of a training run; a range where the utilisation is an assumption."""
    model = counted(spec)
    device = hardware.device()
    dtype, peak = peak_of(device, hardware, ask.dtype)
    whole = trained(model.spec, ask.tokens, ask.context)
    run, tokens = whole.first.run, int(whole.tokens.value)
    counted_flops = whole.flops(model)
    flops = named("training_flops", counted_flops)
    open_ended = ask.gpus is None or ask.days is None
    assumed = _assumed(model, hardware) if open_ended and ask.mfu is None and ask.tokens_per_second is None else ()
    cases = _cases(ask, tokens, flops, peak, assumed)
    ratio = _hardware_ratio(model, whole, ask.recompute)
    _check_peak(model, whole, ask.recompute, max(case.mfu for case in cases))
    known: Known = "assumed" if assumed else whole.known
    if ask.price is None and hardware.price_usd_per_hour is not None:
        ask = ask._replace(price=Fraction(str(hardware.price_usd_per_hour)), price_source=hardware.price_source or "")
    columns = [_figures(case, ask, device, peak, ratio, flops, tokens, known) for case in cases]
    title = f"{model.spec.label}: training on {hardware.label}, in sequences of {whole.lengths_text()}"
    tables = [_table(title, spec.name, cases, columns)]
    planned = None
    if ask.plan is not None and ask.batch is not None:
        planned = planned_step(model, run, ask.plan, ask.batch, hardware.cluster(), peak, dtype, ask.recompute)
        tables.append(planned.table)
    notes = _notes(model, hardware, ask, dtype, peak, assumed, whole)
    middle = columns[len(columns) // 2]
    data: dict[str, Data] = {
        "model": spec.name,
        "tokens": whole.tokens,
        "context": whole.first.context,
        "stages": whole.data(),
        "gpu": hardware.name,
        **middle,
        "dtype": dtype,
        "peak_flops_per_second": Figure(peak, FLOPS_PER_SECOND, "cited", hardware.source),
        "training_flops": Figure(flops, FLOPS, whole.known),
        "assumed": bool(assumed),
        "range": [{"case": case.label, **column} for case, column in zip(cases, columns, strict=True)]
        if len(cases) > 1
        else [],
    }
    derived = [
        *(figure for stage in whole.stages for figure in stage.derived(model)),
        ("training_flops", Figure(counted_flops, FLOPS, whole.known, "kaplan2020 Table 1")),
    ]
    steps = (
        *steps_of(derived, spec.name),
        *(
            step
            for case in cases
            for step in steps_of(
                [
                    ("gpus", Figure(case.gpus, COUNT, known, SOURCE)),
                    ("seconds", Figure(case.seconds, SECONDS, known, SOURCE)),
                ],
                f"{spec.name}, {case.label}" if case.label else f"{spec.name}, the run",
            )
            if step.name in ("gpus", "seconds")
        ),
    )
    if planned is not None:
        data["plan"] = planned.data
        steps = (*steps, *planned.steps)
        # Of a run at several lengths the MFU is not that of the plan's steps, which are of the first.
        alike = len({stage.run for stage in whole.stages}) == 1
        notes = (*notes, *planned.notes(max(case.mfu for case in cases) if alike else None))
    return Report(title, tuple(tables), data, notes, steps)


def peak_of(device: Device, hardware: Hardware, dtype: str | None) -> tuple[str, int]:
    """The dtype of the products and its dense peak: 16 bits where none is asked for."""
    peaks = device.flops_per_second
    if dtype is None:
        dtype = next((name for name in SIXTEEN_BITS if name in peaks), None)
        if dtype is None:
            raise RequestError(
                f"{hardware.label}: its vendor states no 16-bit peak, so there is nothing to reckon time from: "
                "--gpu-set bf16=TFLOPS gives one"
            )
    if dtype not in peaks:
        legal = ", ".join(peaks) or "none"
        raise RequestError(f"{hardware.label} has no peak in {dtype}: it has {legal}")
    return dtype, peaks[dtype]


def _hardware_ratio(model: Counted, whole: Trained, recompute: Recompute) -> Fraction:
    """HFU / MFU of a whole run: the mean over its stages, by their FLOPs."""
    flops = [int(stage.flops(model, "full")) for stage in whole.stages]
    ratios = [hardware_flops_ratio(model.ledger, stage.run, recompute) for stage in whole.stages]
    return sum((ratio * of for ratio, of in zip(ratios, flops, strict=True)), Fraction()) / sum(flops)


def _assumed(model: Counted, hardware: Hardware) -> tuple[TrainingRun, ...]:
    """The published runs to assume from, the middle first: on the same hardware the nearest in size, else the median."""
    runs = sorted(training_runs(), key=lambda run: run.mfu)
    same = [run for run in runs if run.hardware == hardware.name]
    if not same:
        middle = runs.pop(len(runs) // 2)
        return (middle, *runs)
    size = active_params(model.ledger).total
    return tuple(sorted(same, key=lambda run: abs(log(run.params / size))))


def _cases(ask: Ask, tokens: int, flops: int, peak: int, assumed: tuple[TrainingRun, ...]) -> tuple[_Case, ...]:
    """The third of devices, utilisation and time, from the other two."""
    if ask.mfu is not None and ask.tokens_per_second is not None:
        raise RequestError("--mfu and --tokens-per-second say the same in two ways: give one of them")
    given = [name for name, value in (("--gpus", ask.gpus), ("--days", ask.days)) if value is not None]
    speed = ask.mfu is not None or ask.tokens_per_second is not None
    if not given:
        raise RequestError("how many devices, or how long? --gpus 1024, --days 30, or both")
    if len(given) == 2 and speed:
        raise RequestError("--gpus, --days and a utilisation are one too many: any two of them give the third")
    if ask.tokens_per_second is not None:
        if ask.gpus is None:
            raise RequestError("--tokens-per-second is of all devices together: --gpus says how many they are")
        seconds = Fraction(tokens) / ask.tokens_per_second
        return (_Case("", mfu_of(flops, ask.gpus, peak, seconds), ask.gpus, _rounded_up(seconds)),)
    if ask.gpus is not None and ask.days is not None:
        seconds = ask.days * DAY
        return (_Case("", mfu_of(flops, ask.gpus, peak, seconds), ask.gpus, _rounded_up(seconds)),)
    if ask.mfu is not None:
        return (_case("", ask, flops, peak, ask.mfu),)
    shares = sorted(Fraction(str(run.mfu)) for run in assumed)
    middle = Fraction(str(assumed[0].mfu))
    found = {"low": shares[0], "middle": middle, "high": shares[-1]}
    return tuple(_case(label, ask, flops, peak, mfu) for label, mfu in found.items())


def _case(label: str, ask: Ask, flops: int, peak: int, mfu: Fraction) -> _Case:
    """Time from devices, or devices from time, at a utilisation."""
    rated = Remembered(peak, label="peak")
    millionths = Remembered(max(round(mfu * MILLION), 1), label="mfu_millionths")
    if ask.gpus is not None:
        gpus = Remembered(ask.gpus, label="gpus")
        return _Case(label, mfu, gpus, seconds_to_train(flops, gpus, rated, millionths))
    assert ask.days is not None
    allowed = Remembered(_rounded_up(ask.days * DAY), label="seconds_allowed")
    needed = gpus_to_train(flops, allowed, rated, millionths)
    return _Case(label, mfu, needed, seconds_to_train(flops, named("gpus", needed), rated, millionths))


def _check_peak(model: Counted, whole: Trained, recompute: Recompute, mfu: Fraction) -> None:
    """Raises `RequestError` where the devices would do more than their peak, of what causal attention needs of them.

    MFU counts full attention, so that in long sequences it may pass 1 and still be.
    """
    if mfu * _least_ratio(model, whole, "none") > 1:
        raise RequestError(
            f"that is {float(mfu):.3g} times the peak, which no device reaches: more devices, more days or fewer tokens"
        )
    if mfu * _least_ratio(model, whole, recompute) > 1:
        raise RequestError(f"with --recompute {recompute} the devices would do more than their peak: a lower --mfu")


def _least_ratio(model: Counted, whole: Trained, recompute: Recompute) -> Fraction:
    """What the devices compute at the least over what MFU counts, of a whole run."""
    least = (
        Fraction(stage.ran_through * int(least_flops(model.ledger, stage.run, recompute)), int(stage.run.tokens))
        for stage in whole.stages
    )
    return sum(least, Fraction()) / int(whole.flops(model))


def _rounded_up(seconds: Fraction) -> int:
    return -int(-seconds // 1)


def _figures(
    case: _Case, ask: Ask, device: Device, peak: int, ratio: Fraction, flops: int, tokens: int, known: Known
) -> dict[str, Figure | None]:
    """Everything that follows from devices, utilisation and time; speeds from the utilisation, for time is in whole seconds."""
    speed = case.mfu * peak
    hours = Fraction(int(case.gpus) * int(case.seconds), 3600)
    watts = ask.watts if ask.watts is not None else (None if device.watts is None else Fraction(device.watts))
    energy = None if watts is None else hours * watts / 1000 * ask.pue
    drawn: Known = "assumed" if ask.watts is None else known

    def figure(value: Fraction | None, unit: Unit, how: Known = known) -> Figure | None:
        return None if value is None else Figure(value, unit, how)

    return {
        "gpus": Figure(case.gpus, COUNT, known if ask.gpus is None else "exact", SOURCE if ask.gpus is None else ""),
        "mfu": figure(case.mfu, SHARE),
        "hfu": figure(case.mfu * ratio, SHARE),
        "seconds": Figure(case.seconds, SECONDS, known, SOURCE),
        "days": figure(Fraction(int(case.seconds), DAY), DAYS),
        "tokens_per_second": figure(speed * int(case.gpus) * tokens / int(flops), TOKENS_PER_SECOND),
        "flops_per_second_per_gpu": figure(speed, FLOPS_PER_SECOND),
        "gpu_hours": figure(hours, GPU_HOURS),
        "cost_usd": figure(
            None if ask.price is None else hours * ask.price, USD, "assumed" if ask.price_source else known
        ),
        "energy_kwh": figure(energy, KWH, drawn),
        "co2e_kg": figure(None if energy is None or ask.grid is None else energy * ask.grid / 1000, KG, drawn),
    }


_ROWS: Final = {
    "gpus": "GPUs",
    "mfu": "MFU",
    "hfu": "HFU",
    "days": "days",
    "tokens_per_second": "tokens a second",
    "flops_per_second_per_gpu": "model FLOP/s a GPU",
    "gpu_hours": "GPU-hours",
    "cost_usd": "cost, US dollars",
    "energy_kwh": "energy, kWh",
    "co2e_kg": "CO2e, kg",
}
_ABSENT: Final = {
    "cost_usd": "--price gives it",
    "energy_kwh": "--watts gives it",
    "co2e_kg": "--grid gives it",
}


def _table(title: str, subject: str, cases: tuple[_Case, ...], columns: list[dict[str, Figure | None]]) -> Table:
    heads = (Column("", "quantity", numeric=False), *(Column(c.label or "value", c.label or "value") for c in cases))
    rows: list[tuple[Cell, ...]] = []
    for key, name in _ROWS.items():
        cells: list[Cell] = [column[key] or Missing(_ABSENT[key]) for column in columns]
        rows.append((name, *cells))
    return Table(title, heads, tuple(rows), subject=subject, stack=True)


def _notes(
    model: Counted,
    hardware: Hardware,
    ask: Ask,
    dtype: str,
    peak: int,
    assumed: tuple[TrainingRun, ...],
    whole: Trained,
) -> tuple[str, ...]:
    said = [
        f"Of a dense peak of {peak / 10**12:,.1f} TFLOP/s in {dtype} ({hardware.source}).",
    ]
    if assumed:
        middle, same = assumed[0], assumed[0].hardware == hardware.name
        where = f"{middle.model} on {f'{middle.gpus:,} ' if middle.gpus else ''}{middle.hardware}"
        why = "the nearest in size" if same else f"the median of all, since no run on {hardware.name} is known here"
        said.append(
            f"The utilisation is assumed: in the middle that of {where} ({cited(middle.source)}), {why}; low and high are "
            f"the least and the most published{f' on {hardware.name}' if same else ''}. --mfu gives yours."
        )
    said.append(
        "MFU counts three forward passes in full attention, as Chowdhery 2022 does; HFU also what is recomputed."
    )
    if ask.watts is None and hardware.tdp_watts is not None:
        said.append(f"Energy is at the TDP of {hardware.tdp_watts} W all the time, times a PUE of {float(ask.pue):g}.")
    if ask.price_source and ask.price is not None:
        said.append(f"The cost is at {float(ask.price):g} USD a GPU-hour: {ask.price_source}. --price gives yours.")
    if ask.grid_source and ask.grid is not None:
        said.append(f"A kWh emits {float(ask.grid):g} g of CO2e in {ask.grid_source}.")
    said += _departures(model)
    return notes_of(model.spec, *whole.notes, *said, leaves_out(model.ledger))


def _departures(model: Counted) -> Iterator[str]:
    windows = [entry for entry in model.ledger.entries if isinstance(entry, Scores) and entry.window is not None]
    if windows:
        yield f"{model.spec.label} has layers that see a window only: full attention counts more than they need."
