"""A budget as it is given, and the training FLOPs that it comes to."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.catalogue.judged import judged
from tscale.core.costs.wall_time import MILLION, SOURCE, flops_within
from tscale.core.metric import Data, Figure, Known, Step, weakest
from tscale.core.tracing import TracedInt, label
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
from tscale.errors import RequestError, field
from tscale.estimates.explaining import steps_of
from tscale.estimates.judged import errors_data
from tscale.estimates.memory.peak import peak_of
from tscale.estimates.rent import Rent, rent_of
from tscale.estimates.utilisation import HOURS, Utilisation, assumed_utilisation, case_of, percent_text

Asked = Literal["flops", "params", "tokens"]
_UNITS: Final[dict[Asked, Unit]] = {"flops": FLOPS, "params": PREDICTED_PARAMETERS, "tokens": PREDICTED_TOKENS}


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
    hardware: Hardware | None = None
    """Of a budget of devices or dollars."""
    assumed: Utilisation | None = None
    """What the utilisation was assumed from."""
    rent: Rent | None = None


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

    Where no utilisation is given, that of published whole runs in such hardware, devices and precision is assumed, and
    where no price is, the middle of the published ones. Raises `RequestError` where too much or too little is given.
    """
    dtype, peak = peak_of(hardware.device(), hardware, None)
    hours, rent, bought = _gpu_hours(hardware, asked)
    assumed = None
    if asked.mfu is None:
        assumed = assumed_utilisation(case_of(None, asked.gpus, hardware, dtype), peak)
    mfu = assumed.middle if assumed is not None else asked.mfu
    assert mfu is not None
    seconds = TracedInt(int(hours * 3600), label="gpu_seconds")
    millionths = TracedInt(max(round(mfu * MILLION), 1), label="mfu_millionths")
    flops = flops_within(seconds, TracedInt(peak, label="peak"), millionths)
    if flops < 1:
        raise RequestError("the budget is less than a second of one device: give more")
    priced: Known = "exact" if rent is None else rent.known
    how: Known = "exact" if assumed is None else "assumed"
    known = weakest(priced, how)
    least, most = _range(int(flops), assumed, rent)
    figure = Figure(label("training_flops", flops, "FLOPs"), FLOPS, known, SOURCE)
    made_of: dict[str, Data] = {
        "gpu": hardware.name,
        **_asked_data(asked),
        "price_per_gpu_hour": None if rent is None else Figure(rent.middle, USD, priced),
        "usd_per_gpu_hour": None if rent is None else rent.data(),
        "gpu_hours": Figure(hours, GPU_HOURS, priced),
        "mfu": Figure(mfu, SHARE, how),
        "utilisation_runs": [] if assumed is None else assumed.data(),
        "errors": [] if assumed is None else errors_data([("flops", judged(HOURS))]),
        "flops_range": {"low": Figure(least, FLOPS, known), "high": Figure(most, FLOPS, known)}
        if least < most
        else None,
        "dtype": dtype,
        "peak_flops_per_second": Figure(peak, FLOPS_PER_SECOND, "cited", hardware.source),
    }
    notes = (
        f"The budget: {bought} is {float(hours):,.0f} GPU-hours, at {percent_text(mfu)} of a dense peak of "
        f"{peak / 10**12:,.1f} TFLOP/s in {dtype} ({hardware.source}).",
        *_of_range(least, most),
    )
    said = (
        *(() if assumed is None else (assumed.said(), assumed.error())),
        "" if rent is None else rent.said(),
    )
    steps = tuple(steps_of([("training_flops", figure._replace(value=flops))], hardware.name))
    lead = tuple(filter(None, said))
    return Budget("flops", int(flops), figure, notes, made_of, steps, lead, hardware, assumed, rent)


def _asked_data(asked: Machines) -> dict[str, Data]:
    """The devices, days and dollars that were given."""
    return {
        "gpus": None if asked.gpus is None else Figure(asked.gpus, COUNT),
        "days": None if asked.days is None else Figure(asked.days, DAYS),
        "dollars": None if asked.dollars is None else Figure(asked.dollars, USD),
    }


def _gpu_hours(hardware: Hardware, asked: Machines) -> tuple[Fraction, Rent | None, str]:
    """GPU-hours, the price of one where they are bought, and the budget in words."""
    gpus, days, dollars = asked.gpus, asked.days, asked.dollars
    if dollars is None:
        if asked.price is not None:
            raise RequestError(f"{field('price')} is read with {field('dollars')} only: add it, or drop the price")
        if gpus is None or days is None:
            raise RequestError(
                f"how many devices, and how long? {field('gpus', 1024)} and {field('days', 30)}, or {field('dollars', '1e6')}"
            )
        return gpus * days * 24, None, f"{gpus:,} {hardware.label} for {float(days):,.6g} days"
    if gpus is not None or days is not None:
        raise RequestError(
            f"{field('dollars')} buy GPU-hours, however many devices share them: drop {field('gpus')} and {field('days')}"
        )
    rent = rent_of(hardware, asked.price)
    if rent is None:
        raise RequestError(f"{hardware.label}: no price of an hour is known: {field('price')} gives one")
    bought = f"${float(dollars):,.0f} at ${float(rent.middle):,.2f} per GPU-hour of {hardware.label}"
    return dollars / rent.middle, rent, bought


def _range(flops: int, assumed: Utilisation | None, rent: Rent | None) -> tuple[Fraction, Fraction]:
    """The FLOPs at the least utilisation and the highest price, and at the most and the lowest."""
    least = most = Fraction(flops)
    if assumed is not None:
        least, most = least * assumed.low / assumed.middle, most * assumed.high / assumed.middle
    if rent is not None:
        least, most = least * rent.middle / rent.high, most * rent.middle / rent.low
    return least, most


def _of_range(least: Fraction, most: Fraction) -> Iterator[str]:
    if least < most:
        yield f"Over the assumed ranges, the budget is {_power(least)} to {_power(most)} FLOPs."


def _power(value: Fraction) -> str:
    return f"{float(value):.3g}".replace("e+", "e")
