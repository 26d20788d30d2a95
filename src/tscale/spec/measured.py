"""What others measured: the utilisation of published training runs, to assume where the user gives none."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

from tscale.blocks.fields import CONFIG, Number, Size, Whole
from tscale.core.numbers import MOST_TOKENS
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


def training_runs() -> tuple[TrainingRun, ...]:
    """The published runs that are shipped."""
    from pydantic import TypeAdapter

    from tscale.spec.validation import judged

    document = read_document(str(configs() / "measured" / "utilisation.yaml"))
    return judged(TypeAdapter(TrainingRuns), document, _legal_keys).runs


def _legal_keys(path: Path_, _: Document) -> list[str]:
    return [field.name for field in fields(TrainingRun if path else TrainingRuns)]
