"""The figures of each case of a training run, and their table."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from tscale.core.metric import Cell, Column, Figure, Missing, Table, weakest
from tscale.core.units import USD
from tscale.estimates.goodput import ELAPSED
from tscale.estimates.rent import Rent
from tscale.estimates.train.cases import Case

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
    heads = (
        Column("by utilisation" if len(cases) > 1 else "", "quantity", numeric=False),
        *(Column(c.label or "value", c.label or "value") for c in cases),
    )
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
