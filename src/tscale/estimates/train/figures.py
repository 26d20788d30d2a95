"""Everything that follows from a run's devices, utilisation and time."""

from __future__ import annotations

from fractions import Fraction

from tscale.catalogue.hardware import Hardware
from tscale.catalogue.judged import Judged, judged
from tscale.core.costs.wall_time import SOURCE
from tscale.core.device import Device
from tscale.core.metric import Data, Figure, Known, weakest
from tscale.core.units import (
    COUNT,
    DAYS,
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
from tscale.estimates.capacity import kind_of
from tscale.estimates.rent import Rent
from tscale.estimates.train.ask import DAY, Ask
from tscale.estimates.train.cases import Case
from tscale.estimates.trained import Trained


def rent_data(columns: list[dict[str, Figure | None]], rent: Rent | None) -> dict[str, Data]:
    """What the hours cost at the lowest and the highest price, and who asks how much."""
    if rent is None:
        return {"cost_usd_range": None, "usd_per_gpu_hour": None}
    return {"cost_usd_range": _cost_range(columns, rent), "usd_per_gpu_hour": rent.data()}


def _cost_range(columns: list[dict[str, Figure | None]], rent: Rent) -> Data:
    """The fewest hours at the lowest price, and the most at the highest."""
    hours = [Fraction(column["gpu_hours"].value) for column in columns if column["gpu_hours"] is not None]
    return rent.range(min(hours), max(hours) if len(hours) > 1 else None)


def power_error(hardware: Hardware) -> Judged | None:
    """How far the TDP of a device of its kind is from what published runs were measured to draw."""
    return None if hardware.tdp_watts is None else judged("power", kind_of(hardware.name))


def in_range(case: Case, column: dict[str, Figure | None], rent: Rent | None) -> Data:
    """One case of several, with what its own hours cost at the lowest and the highest price."""
    return {"case": case.label, **column, "cost_usd_range": None if rent is None else _cost_range([column], rent)}


def figures_of(
    case: Case,
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
