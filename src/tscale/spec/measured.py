"""What others measured: the utilisation of published training runs, and what electricity emits by country."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Annotated, ClassVar, Final

from tscale.blocks.fields import CONFIG, Number, Size, Whole
from tscale.core.numbers import MOST_TOKENS
from tscale.errors import RequestError, nearest, shown
from tscale.spec.catalogue import configs
from tscale.spec.model import Evidence
from tscale.spec.yaml_file import Document, Path_, read_document


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One published run."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    model: str
    params: Annotated[int, Whole(1, MOST_TOKENS)]
    hardware: str
    """The accelerator, by its name in configs/hardware."""
    gpus: Size | None = None
    mfu: Annotated[int | float, Number()]
    """Model FLOPs utilisation, a fraction of the dense 16-bit peak."""
    hfu: Annotated[int | float, Number()] | None = None
    """Hardware FLOPs utilisation, recomputation counted."""
    source: str
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class TrainingRuns:
    """All of them."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    runs: tuple[TrainingRun, ...]


@dataclass(frozen=True, kw_only=True)
class Grids:
    """What electricity emits."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    source: str
    year: Annotated[int, Whole(1990, 2100)]
    evidence: Evidence
    grams_per_kwh: dict[str, Annotated[int | float, Number()]]
    """Grams of CO2 equivalent, by country."""


def grids() -> Grids:
    """What electricity emits, by country."""
    from pydantic import TypeAdapter

    from tscale.spec.validation import judged

    document = read_document(str(configs() / "measured" / "grid.yaml"))
    return judged(TypeAdapter(Grids), document, lambda *_: [field.name for field in fields(Grids)])


def grid_of(region: str) -> tuple[Fraction, str]:
    """Grams of CO2 equivalent for a kWh in a country, and where that is from. Raises `RequestError` for an unknown one."""
    known = grids()
    name = _ALSO.get(region.strip().lower(), region.strip().lower().replace(" ", "-"))
    if name not in known.grams_per_kwh:
        raise RequestError(
            f"--grid takes grams of CO2e for a kWh, such as 400, or a country, not {shown(region)}: "
            f"{nearest(name, known.grams_per_kwh)}"
        )
    return Fraction(str(known.grams_per_kwh[name])), f"{name}: {known.source}"


_ALSO: Final = {"us": "united-states", "usa": "united-states", "uk": "united-kingdom", "uae": "united-arab-emirates"}


def training_runs() -> tuple[TrainingRun, ...]:
    """The published runs that are shipped."""
    from pydantic import TypeAdapter

    from tscale.spec.validation import judged

    document = read_document(str(configs() / "measured" / "utilisation.yaml"))
    return judged(TypeAdapter(TrainingRuns), document, _legal_keys).runs


def _legal_keys(path: Path_, _: Document) -> list[str]:
    return [field.name for field in fields(TrainingRun if path else TrainingRuns)]
