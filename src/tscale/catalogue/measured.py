"""What others measured: published training runs and their goodput, prices of accelerators, what electricity emits by country."""

from __future__ import annotations

from fractions import Fraction
from functools import cache, lru_cache
from typing import Annotated, Final, Literal

from tscale.blocks.fields import Number, Size, Whole
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.index import compiled
from tscale.catalogue.shipped import built, read_as, shipped_as, shipped_document
from tscale.errors import RequestError, field, nearest, shown
from tscale.models.spec import Evidence

Rate = Annotated[int | float, Number()]


@spec_dataclass
class Shape:
    """Where the model of a run differs from the built-in one that it is a size of."""

    layers: Size | None = None
    d_model: Size | None = None
    heads: Size | None = None
    kv_heads: Size | None = None
    d_ff: Size | None = None
    vocabulary: Size | None = None


@spec_dataclass
class TrainingRun:
    """One published run: what was measured of it, in one of four ways, from which its utilisation follows."""

    model: str
    """A built-in one, by its name."""
    title: str | None = None
    """What its makers call it, where that is not the built-in one's title."""
    shape: Shape | None = None
    hardware: str
    """The accelerator, by its name in configs/hardware."""
    gpus: Size | None = None
    context: Size
    """Tokens of a sequence."""
    precision: Literal["bf16", "fp16", "fp8"]
    """The format of most products."""
    mfu: Rate | None = None
    """Model FLOPs utilisation as published, of the dense 16-bit peak; where no speed was read."""
    hfu: Rate | None = None
    """Hardware FLOPs utilisation, recomputation counted."""
    tokens_per_second_per_gpu: Rate | None = None
    tokens_per_second: Rate | None = None
    """Of all devices."""
    tokens: Rate | None = None
    """Of a whole run, which took `gpu_hours`."""
    gpu_hours: Rate | None = None
    source: str
    evidence: Evidence

    @property
    def speed(self) -> Fraction | None:
        """Tokens a second of one device; None where a share of the peak was published alone."""
        if self.tokens_per_second_per_gpu is not None:
            return _exact(self.tokens_per_second_per_gpu)
        if self.tokens_per_second is not None and self.gpus is not None:
            return _exact(self.tokens_per_second) / self.gpus
        if self.tokens is not None and self.gpu_hours is not None:
            return _exact(self.tokens) / (3600 * _exact(self.gpu_hours))
        return None


@spec_dataclass
class TrainingRuns:
    """All of them."""

    runs: tuple[TrainingRun, ...]


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
    usd_per_hour: Rate | None = None
    """US dollars for an hour of `devices`."""
    usd_low: Rate | None = None
    """Where a source states a range of prices, its least, and `usd_high` its most."""
    usd_high: Rate | None = None
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
        return _exact(price) / self.devices


@spec_dataclass
class Prices:
    """All of them."""

    prices: tuple[Price, ...]


@spec_dataclass
class Grids:
    """What electricity emits."""

    source: str
    year: Annotated[int, Whole(1990, 2100)]
    evidence: Evidence
    grams_per_kwh: dict[str, Annotated[int | float, Number()]]
    """Grams of CO2 equivalent, by country."""


@spec_dataclass
class Interrupted:
    """How much of the time of one published run went to steps that count."""

    title: str
    gpus: Size
    days: Rate
    """How long it was watched."""
    goodput: Rate
    """Time of steps that count over all the time."""
    source: str
    evidence: Evidence


@spec_dataclass
class Goodputs:
    """All of them."""

    interrupted: tuple[Interrupted, ...]


Measured = Goodputs | Grids | Prices | TrainingRuns
"""What a file of configs/measured holds."""

FILES: Final[dict[str, type[Measured]]] = {
    "goodput": Goodputs,
    "grid": Grids,
    "prices": Prices,
    "utilisation": TrainingRuns,
}
"""The files of configs/measured that are read, and what each of them holds."""


def measured_from_yaml(name: str) -> Measured:
    """What a file of configs/measured says, read and validated."""
    return read_as(FILES[name], shipped_document("measured", name), _INNER)


_INNER: Final[dict[str, type]] = {"runs": TrainingRun, "prices": Price, "shape": Shape, "interrupted": Interrupted}


def grids() -> Grids:
    """What electricity emits, by country."""
    return shipped_as(Grids, "measured", "grid", _INNER)


def grid_of(region: str) -> tuple[Fraction, str]:
    """Grams of CO2 equivalent for a kWh in a country, and where that is from. Raises `RequestError` for an unknown one."""
    known = grids()
    name = _ALSO.get(region.strip().lower(), region.strip().lower().replace(" ", "-"))
    if name not in known.grams_per_kwh:
        raise RequestError(
            f"{field('grid')} takes grams of CO2e for a kWh, such as 400, or a country, not {shown(region)}: "
            f"{nearest(name, known.grams_per_kwh)}"
        )
    return Fraction(str(known.grams_per_kwh[name])), f"{name}: {known.source}"


_ALSO: Final = {"us": "united-states", "usa": "united-states", "uk": "united-kingdom", "uae": "united-arab-emirates"}


@cache
def training_runs() -> tuple[TrainingRun, ...]:
    """The published runs that are shipped."""
    return shipped_as(TrainingRuns, "measured", "utilisation", _INNER).runs


@cache
def interrupted_runs() -> tuple[Interrupted, ...]:
    """The published runs whose goodput is known."""
    return shipped_as(Goodputs, "measured", "goodput", _INNER).interrupted


@cache
def prices() -> tuple[Price, ...]:
    """The prices that are shipped, of every accelerator."""
    return shipped_as(Prices, "measured", "prices", _INNER).prices


def prices_of(hardware: str) -> list[Price]:
    """The prices that are shipped of one accelerator, by its name; of all the others none is made."""
    data = compiled("measured", "prices")
    if data is None:
        return [price for price in prices() if price.hardware == hardware]
    return [built(Price, row) for row in data["prices"] if row["hardware"] == hardware]


@lru_cache(maxsize=4096)
def _exact(value: float) -> Fraction:
    """A number of a file as it is written there, without the dust of a binary fraction."""
    return Fraction(str(value))
