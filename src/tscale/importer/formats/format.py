"""What one entry of the table of formats says; the entries stand in `tscale.importer.formats`.

A file of another format names its sizes by keys of its own and says no model_type that transformers knows. Where its
program builds what a family of transformers has too, the entry translates it to that family's `config.json`, and all that
is known of the family holds; where its program has a model of its own, the entry is a row like that of a family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tscale.blocks import Norm
from tscale.importer.config_keys import Config
from tscale.importer.family import Family, Keys
from tscale.models.spec import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format of files that say a model's shape."""

    title: str
    """What its files are called."""
    told_by: frozenset[str]
    """The keys that all of its files have and others have not all of."""
    row: Family
    """What its keys are, and what its program takes where one is absent."""
    translated: Callable[[Config], dict[str, object]] | None = None
    """The `config.json` that says the same; None where the row describes the model itself."""
    model_types: frozenset[str | None] = frozenset({None})
    """What its files may say as model_type."""


_RMS: Final = Norm(kind="rmsnorm")


def keys(reads: Mapping[str, object], *, names: Keys = Keys(), harmless: str = "", **fixed: object) -> Family:
    """The row of a format that is translated: its keys alone, each with what its program takes where it is absent."""
    return Family(
        name="",
        classes={"model": Head(kind="none")},
        keys=names,
        reads=reads,
        fixed=fixed,
        harmless=tuple(harmless.split()),
        norm=_RMS,
    )


def taken_of(config: Config, names: Mapping[str, str]) -> dict[str, object]:
    """Values under other names, but for those that the file does not say: `names` are the new by the old."""
    values = {new: config.value(old) for old, new in names.items()}  # what must not be null is refused here
    return {new: values[new] for old, new in names.items() if config.says(old) is not None}
