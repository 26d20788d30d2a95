"""What others measured: published training runs and their goodput, prices of accelerators, what electricity emits by country."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Annotated, Final, Literal

from tscale.blocks.fields import Positive, Size, Whole
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.judged import JUDGED, Judgements
from tscale.catalogue.prices import Price, Prices, exact
from tscale.catalogue.shipped import read_as, shipped_as, shipped_document
from tscale.errors import RequestError, field, nearest, shown
from tscale.models.spec import Evidence


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
    mfu: Positive | None = None
    """Model FLOPs utilisation as published, of the dense 16-bit peak; where no speed was read."""
    hfu: Positive | None = None
    """Hardware FLOPs utilisation, recomputation counted."""
    tokens_per_second_per_gpu: Positive | None = None
    tokens_per_second: Positive | None = None
    """Of all devices."""
    tokens: Positive | None = None
    """Of a run, which took `gpu_hours`."""
    gpu_hours: Positive | None = None
    whole: bool = False
    """Whether these are all hours of a run as its makers counted them, restarts included: no time of its steps alone."""
    maker: str
    """Who trained or measured it: runs of one maker are alike."""
    source: str
    evidence: Evidence

    @property
    def speed(self) -> Fraction | None:
        """Tokens a second of one device; None where a share of the peak was published alone."""
        if self.tokens_per_second_per_gpu is not None:
            return exact(self.tokens_per_second_per_gpu)
        if self.tokens_per_second is not None and self.gpus is not None:
            return exact(self.tokens_per_second) / self.gpus
        if self.tokens is not None and self.gpu_hours is not None:
            return exact(self.tokens) / (3600 * exact(self.gpu_hours))
        return None


@spec_dataclass
class TrainingRuns:
    """All of them."""

    runs: tuple[TrainingRun, ...]


@spec_dataclass
class Grids:
    """What electricity emits."""

    source: str
    year: Annotated[int, Whole(1990, 2100)]
    evidence: Evidence
    grams_per_kwh: dict[str, Positive]
    """Grams of CO2 equivalent, by country."""


@spec_dataclass
class Interrupted:
    """How much of the time of one published run went to steps that count."""

    title: str
    gpus: Size
    days: Positive
    """How long it was watched."""
    goodput: Positive
    """Time of steps that count over all the time."""
    source: str
    evidence: Evidence


@spec_dataclass
class Goodputs:
    """All of them."""

    interrupted: tuple[Interrupted, ...]


Measured = Goodputs | Grids | Judgements | Prices | TrainingRuns
"""What a file of configs/measured holds."""

FILES: Final[dict[str, type[Measured]]] = {
    "goodput": Goodputs,
    "grid": Grids,
    "judged": Judgements,
    "prices": Prices,
    "utilisation": TrainingRuns,
}
"""The files of configs/measured that are read, and what each of them holds."""


def measured_from_yaml(name: str) -> Measured:
    """What a file of configs/measured says, read and validated."""
    return read_as(FILES[name], shipped_document("measured", name), _INNER | JUDGED)


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
