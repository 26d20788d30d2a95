"""What an hour of an accelerator costs: as given, as a file of one's own says, or the range of what others ask."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.catalogue.prices import Price, prices_of
from tscale.core.metric import Data, Figure, Known
from tscale.core.number_text import significant
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
        """Whether more than one price was published."""
        return self.low < self.high

    def range(self, hours: Fraction | float, most: Fraction | float | None = None) -> Data:
        """The least and the most that so many hours cost; `most` are the hours at the highest price, where they differ."""
        if not self.ranges and most is None:
            return None
        low, high = hours * self.low, (hours if most is None else most) * self.high
        return {"low": Figure(low, USD, self.known), "high": Figure(high, USD, self.known)}

    def at_ends(self, figure: Figure) -> Iterator[tuple[str, Figure]]:
        """The names and figures of rows below a cost: at the lowest and the highest price, where several were published."""
        if self.ranges:
            for words, price in (("lowest", self.low), ("highest", self.high)):
                yield f"  at the {words} price", figure._replace(value=figure.value * float(price / self.middle))

    def said(self) -> str:
        """The price in a line, with its range where there is one; "" of one that was given."""
        if self.known == "exact":
            return ""
        return f"Price assumed: {usd_text(self.middle)} USD per GPU-hour ({self._whence()})."

    def _whence(self) -> str:
        """The range and how many prices it is of, or the one source."""
        if not self.asked:
            return self.source
        sources = dict.fromkeys(price.source for price in self.asked)
        span = f"{usd_text(self.low)} to {usd_text(self.high)}: " if self.ranges else ""
        if len(sources) == 1:
            return f"{span}one source, {price_terms(self.asked[0]) if len(self.asked) == 1 else self.asked[0].source}"
        years = sorted(
            {year for price in self.asked for year in price.date.replace("-", "/").split("/") if len(year) == 4}
        )
        return f"{span}{len(self.asked)} prices, {'-'.join(dict.fromkeys((years[0], years[-1])))}"

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
                    "low": Figure(price.low, USD, "cited", price.source),
                    "high": Figure(price.high, USD, "cited", price.source),
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

    Of published ones, the median is the middle; a source that states a range is one price, its middle, but for the ends.
    Those that end when somebody bids more are left out.

    >>> from tscale.catalogue.hardware import find_hardware
    >>> found = rent_of(find_hardware("h100"))
    >>> found.low < found.middle < found.high
    True
    """
    if given is not None:
        return Rent(given, given, given, "exact")
    if hardware.price_usd_per_hour is not None:
        own = Fraction(str(hardware.price_usd_per_hour))
        return Rent(own, own, own, "assumed", hardware.price_source or "")
    known = [price for price in prices_of(hardware.name) if price.kind != "spot"]
    if not known:
        return None
    known.sort(key=lambda price: price.usd_per_device_hour)
    low, high = min(price.low for price in known), max(price.high for price in known)
    asked = [price.usd_per_device_hour for price in known]
    median = (asked[(len(asked) - 1) // 2] + asked[len(asked) // 2]) / 2
    return Rent(low, median, high, "assumed", asked=tuple(known))


def price_terms(price: Price) -> str:
    """Who asks for it, how it is rented, and when that was so."""
    return f"{price.provider}, {price.kind}, {price.date}"


def usd_text(value: Fraction) -> str:
    """Dollars to three digits."""
    return significant(value)
