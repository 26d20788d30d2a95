"""A budget as it is given, and the training FLOPs that it comes to."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.common import steps_of
from tscale.answers.optimal import Asked, Budget
from tscale.answers.train import peak_of
from tscale.core.numbers import Remembered, named
from tscale.core.quantity import Data, Figure, Known
from tscale.core.questions.wall_time import MILLION, SOURCE, flops_within
from tscale.core.sources import cited
from tscale.core.units import (
    COUNT,
    DAYS,
    FLOPS,
    FLOPS_PER_SECOND,
    GPU_HOURS,
    PREDICTED_PARAMETERS,
    PREDICTED_TOKENS,
    SHARE,
    USD,
    Unit,
)
from tscale.errors import RequestError
from tscale.spec.hardware import Hardware
from tscale.spec.measured import TrainingRun, training_runs

_UNITS: Final[dict[Asked, Unit]] = {"flops": FLOPS, "params": PREDICTED_PARAMETERS, "tokens": PREDICTED_TOKENS}


class Machines(NamedTuple):
    """A budget of devices and days, or of dollars, and what they do of their peak."""

    gpus: int | None = None
    days: Fraction | None = None
    dollars: Fraction | None = None
    price: Fraction | None = None
    mfu: Fraction | None = None


def amount_given(asked: Asked, amount: int) -> Budget:
    """Training FLOPs, parameters or tokens as they were given."""
    return Budget(asked, amount, Figure(amount, _UNITS[asked]))


def on_machines(hardware: Hardware, asked: Machines) -> Budget:
    """The training FLOPs that devices do in some days, or in the GPU-hours that dollars buy.

    Where no utilisation is given, that of published runs on the hardware is assumed, of all published runs where none is
    known on it: the one in the middle. Raises `RequestError` where too much or too little is given.
    """
    dtype, peak = peak_of(hardware.device(), hardware, None)
    hours, price, bought = _gpu_hours(hardware, asked)
    runs = () if asked.mfu is not None else _published(hardware)
    mfu = Fraction(str(runs[len(runs) // 2].mfu)) if asked.mfu is None else asked.mfu
    seconds = Remembered(int(hours * 3600), label="gpu_seconds")
    millionths = Remembered(max(round(mfu * MILLION), 1), label="mfu_millionths")
    flops = flops_within(seconds, Remembered(peak, label="peak"), millionths)
    if flops < 1:
        raise RequestError("the budget is less than a second of one device: give more")
    known: Known = "assumed" if runs or (price is not None and asked.price is None) else "exact"
    figure = Figure(named("training_flops", flops), FLOPS, known, SOURCE)
    made_of: dict[str, Data] = {
        "gpu": hardware.name,
        "gpus": None if asked.gpus is None else Figure(asked.gpus, COUNT),
        "days": None if asked.days is None else Figure(asked.days, DAYS),
        "dollars": None if asked.dollars is None else Figure(asked.dollars, USD),
        "price_per_gpu_hour": None if price is None else Figure(price, USD, known),
        "gpu_hours": Figure(hours, GPU_HOURS, known if price is not None else "exact"),
        "mfu": Figure(mfu, SHARE, "assumed" if runs else "exact"),
        "dtype": dtype,
        "peak_flops_per_second": Figure(peak, FLOPS_PER_SECOND, "cited", hardware.source),
    }
    notes = (
        f"The budget: {bought} is {float(hours):,.0f} GPU-hours, at {float(100 * mfu):.4g}% of a dense peak of "
        f"{peak / 10**12:,.1f} TFLOP/s in {dtype} ({hardware.source}).",
        *(_of_utilisation(hardware, runs, flops, mfu) if runs else ()),
    )
    steps = tuple(steps_of([("training_flops", figure._replace(value=flops))], hardware.name))
    return Budget("flops", int(flops), figure, notes, made_of, steps)


def _gpu_hours(hardware: Hardware, asked: Machines) -> tuple[Fraction, Fraction | None, str]:
    """GPU-hours, the price of one where they are bought, and the budget in words."""
    gpus, days, dollars = asked.gpus, asked.days, asked.dollars
    if dollars is None:
        if asked.price is not None:
            raise RequestError("--price is read with --dollars only: add it, or drop the price")
        if gpus is None or days is None:
            raise RequestError("how many devices, and how long? --gpus 1024 and --days 30, or --dollars 1e6")
        return gpus * days * 24, None, f"{gpus:,} {hardware.label} for {float(days):,.6g} days"
    if gpus is not None or days is not None:
        raise RequestError("--dollars buy GPU-hours, however many devices share them: drop --gpus and --days")
    price, said = asked.price, ""
    if price is None:
        if hardware.price_usd_per_hour is None:
            raise RequestError(f"{hardware.label}: no price of an hour is known: --price gives one")
        price = Fraction(str(hardware.price_usd_per_hour))
        said = f" (assumed, the price of {hardware.price_source}: --price gives yours)"
    bought = f"{float(dollars):,.0f} US dollars at {float(price):,.2f} for a GPU-hour of {hardware.label}{said}"
    return dollars / price, price, bought


def _published(hardware: Hardware) -> tuple[TrainingRun, ...]:
    """The published runs to assume a utilisation from, the least of it first: on the same hardware if there are any."""
    runs = sorted(training_runs(), key=lambda run: run.mfu)
    return tuple(run for run in runs if run.hardware == hardware.name) or tuple(runs)


def _of_utilisation(hardware: Hardware, runs: tuple[TrainingRun, ...], flops: int, mfu: Fraction) -> tuple[str, ...]:
    """What is assumed of the utilisation, and the FLOPs that the least and the most of it would be."""
    middle, where = runs[len(runs) // 2], f" on {hardware.name}" if runs[0].hardware == hardware.name else ""
    low, high = (int(flops) * run.mfu / float(mfu) for run in (runs[0], runs[-1]))
    return (
        f"The utilisation is assumed: that of {middle.model} ({cited(middle.source)}), the middle of those published{where}. "
        f"The least and the most of them, {100 * runs[0].mfu:.4g}% and {100 * runs[-1].mfu:.4g}%, would make "
        f"{low:.3g} to {high:.3g} FLOPs: --mfu gives yours.".replace("e+", "e"),
    )
