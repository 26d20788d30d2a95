"""The figures of each case of a training run, and their table."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from tscale.answers.goodput import ELAPSED
from tscale.answers.rent import Rent
from tscale.answers.train.ask import DAY, Ask
from tscale.answers.train.cases import Case
from tscale.answers.trained import Trained
from tscale.core.costs.wall_time import SOURCE
from tscale.core.device import Device
from tscale.core.metric import Cell, Column, Data, Figure, Known, Missing, Table, weakest
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


def rent_data(columns: list[dict[str, Figure | None]], rent: Rent | None) -> dict[str, Data]:
    """What the hours cost at the lowest and the highest price, and who asks how much."""
    if rent is None:
        return {"cost_usd_range": None, "usd_per_gpu_hour": None}
    return {"cost_usd_range": _cost_range(columns, rent), "usd_per_gpu_hour": rent.data()}


def _cost_range(columns: list[dict[str, Figure | None]], rent: Rent) -> Data:
    """The fewest hours at the lowest price, and the most at the highest."""
    hours = [Fraction(column["gpu_hours"].value) for column in columns if column["gpu_hours"] is not None]
    return rent.range(min(hours), max(hours) if len(hours) > 1 else None)


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


def table_of(
    title: str, subject: str, cases: tuple[Case, ...], columns: list[dict[str, Figure | None]], rent: Rent | None
) -> Table:
    """The figures of a run, a case a column."""
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
