"""What others ask for accelerators by the hour: the rows of `configs/measured/prices.yaml`."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Literal

from tscale.blocks.fields import Positive, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.index import compiled
from tscale.catalogue.shipped import built
from tscale.models.spec import Evidence


@spec_dataclass
class Price:
    """What somebody asks for accelerators by the hour."""

    hardware: str
    """The accelerator, by its name in configs/hardware."""
    date: str
    """When it was asked: a year, a month, a day, or the two years between which it was: 2026-05, 2025/2026."""
    provider: str
    kind: Literal["on demand", "reserved", "market", "spot", "estimate"]
    """On the terms of a list; for a term of a year or so; at an auction or by private owners; until somebody bids more;
    or what the makers of a model estimated with."""
    usd_per_hour: Positive | None = None
    """US dollars for an hour of `devices`."""
    usd_low: Positive | None = None
    """Where a source states a range of prices, its least, and `usd_high` its most."""
    usd_high: Positive | None = None
    devices: Size = 1
    source: str
    evidence: Evidence

    @property
    def low(self) -> Fraction:
        """US dollars for an hour of one device, at the least."""
        return self._of_one(self.usd_low)

    @property
    def high(self) -> Fraction:
        """US dollars for an hour of one device, at the most."""
        return self._of_one(self.usd_high)

    @property
    def usd_per_device_hour(self) -> Fraction:
        """US dollars for an hour of one device; of a range, its middle."""
        return (self.low + self.high) / 2

    def _of_one(self, end: float | None) -> Fraction:
        price = self.usd_per_hour if end is None else end
        assert price is not None, "a row of prices.yaml states one price, or both ends of a range"
        return exact(price) / self.devices


@spec_dataclass
class Prices:
    """All of them."""

    prices: tuple[Price, ...]


def prices_of(hardware: str) -> list[Price]:
    """The prices that are shipped of one accelerator, by its name; of all the others none is made."""
    data = compiled("measured", "prices")
    if data is None:
        from tscale.catalogue.measured import prices

        return [price for price in prices() if price.hardware == hardware]
    return [built(Price, row) for row in data["prices"] if row["hardware"] == hardware]


@lru_cache(maxsize=4096)
def exact(value: float) -> Fraction:
    """A number of a file as it is written there, without the dust of a binary fraction."""
    return Fraction(str(value))
