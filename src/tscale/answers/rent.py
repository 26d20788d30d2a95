"""What an hour of an accelerator costs: as given, as a file of one's own says, or the range of what others ask."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.catalogue.measured import Price, prices
from tscale.core.metric import Data, Figure, Known
from tscale.core.sources import cited
from tscale.core.units import USD


class Rent(NamedTuple):
    """US dollars for an hour of one device: the least, the one in the middle and the most, and where they are from."""

    low: Fraction
    middle: Fraction
    high: Fraction
    known: Known
    source: str = ""
    """Of a price that a file states; "" of one that was given."""
    asked: tuple[Price, ...] = ()
    """The published prices that the range is of, the least first."""

    @property
    def ranges(self) -> bool:
        """Whether several were published."""
        return self.low < self.high

    def range(self, hours: Fraction | float, most: Fraction | float | None = None) -> Data:
        """The least and the most that so many hours cost; `most` are the hours at the highest price, where they differ."""
        if not self.ranges and most is None:
            return None
        low, high = hours * self.low, (hours if most is None else most) * self.high
        return {"low": Figure(low, USD, self.known), "high": Figure(high, USD, self.known)}

    def said(self) -> str:
        """The price in a sentence; "" of one that was given."""
        if self.known == "exact":
            return ""
        if not self.asked:
            return f"The price is assumed, {_usd(self.middle)} USD a GPU-hour: {self.source}. --price gives yours."
        if len(self.asked) == 1:
            return f"The price is assumed, that of {_one(self.asked[0])}, the only one known here. --price gives yours."
        middle = self.asked[(len(self.asked) - 1) // 2]
        return (
            f"The price is assumed, the middle of {len(self.asked)} published ones: {_one(middle)}; from "
            f"{_one(self.asked[0])} to {_one(self.asked[-1])}. --price gives yours."
        )

    def data(self) -> Data:
        """The price and its range, for programs."""
        return {
            "low": Figure(self.low, USD, self.known),
            "middle": Figure(self.middle, USD, self.known),
            "high": Figure(self.high, USD, self.known),
            "source": self.source,
            "published": [
                {
                    "usd_per_gpu_hour": Figure(price.usd_per_device_hour, USD, "cited", price.source),
                    "provider": price.provider,
                    "kind": price.kind,
                    "date": price.date,
                    "source": cited(price.source),
                    "evidence": price.evidence,
                }
                for price in self.asked
            ],
        }


def rent_of(hardware: Hardware, given: Fraction | None = None) -> Rent | None:
    """The price of an hour of an accelerator: given, or its file's, or what is published; None where none is known.

    Of published ones, the median is the middle; those that end when somebody bids more are left out.

    >>> from tscale.catalogue.hardware import find_hardware
    >>> found = rent_of(find_hardware("h100"))
    >>> found.low < found.middle < found.high < Fraction("12.29")
    True
    """
    if given is not None:
        return Rent(given, given, given, "exact")
    if hardware.price_usd_per_hour is not None:
        own = Fraction(str(hardware.price_usd_per_hour))
        return Rent(own, own, own, "assumed", hardware.price_source or "")
    known = [price for price in prices() if price.hardware == hardware.name and price.kind != "spot"]
    if not known:
        return None
    known.sort(key=lambda price: price.usd_per_device_hour)
    low, middle, high = (known[place].usd_per_device_hour for place in (0, (len(known) - 1) // 2, -1))
    return Rent(low, middle, high, "assumed", asked=tuple(known))


def _one(price: Price) -> str:
    return f"{_usd(price.usd_per_device_hour)} USD a GPU-hour ({price.provider}, {price.kind}, {price.date})"


def _usd(value: Fraction) -> str:
    return f"{float(value):.3g}"
