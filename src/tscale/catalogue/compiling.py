"""The compiled index of what is shipped, made anew from the YAML files: read, validated and written as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tscale.catalogue import calibrations, hardware, laws, measured, models
from tscale.catalogue.index import KINDS, Kind, file_of, index_text
from tscale.catalogue.run_counts import counted_of
from tscale.catalogue.shipped import PLAIN, plain_from_yaml, shipped_names
from tscale.core.costs.params import active_params, params
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.writing import plain


def made(kind: Kind) -> str:
    """The text of the index of a kind, from the YAML files."""
    return index_text(kind, {name: _data(kind, name) for name in _names(kind)}, dict(_counted(kind)))


def _counted(kind: Kind) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parameters of each model whose shape is known, all and those that a token runs through; and what is counted of published runs."""
    match kind:
        case "models":
            for name in _names(kind):
                spec = models.from_yaml(name)
                if isinstance(spec, ModelSpec):
                    ledger = lower(spec)
                    yield name, {"params": int(params(ledger).total), "active_params": int(active_params(ledger).total)}
        case "measured":
            read = measured.measured_from_yaml("utilisation")
            assert isinstance(read, measured.TrainingRuns)
            yield "utilisation", {"runs": [counted_of(run) for run in read.runs]}


def write() -> None:
    """Writes the index of every kind."""
    for kind in KINDS:
        file_of(kind).write_text(made(kind), encoding="utf-8")


def _names(kind: Kind) -> list[str]:
    files = {"measured": measured.FILES, "calibrations": (*calibrations.FILES, *PLAIN)}
    return list(files[kind]) if kind in files else shipped_names(kind)


def _data(kind: Kind, name: str) -> dict[str, Any]:
    """What a YAML file says, validated: what is at its default is left out."""
    match kind:
        case "models":
            read: Any = models.from_yaml(name)
        case "families":
            from tscale.importer.family_schema import family_from_yaml

            row = family_from_yaml(name)
            assert row["name"] == name, f"{name}.yaml describes {row['name']}"
            return row
        case "hardware":
            read = hardware.from_yaml(name)
        case "laws":
            read = laws.law_from_yaml(name)
        case "measured":
            return plain(measured.measured_from_yaml(name))
        case "calibrations" if name in PLAIN:
            return plain_from_yaml(name)
        case "calibrations":
            return plain(calibrations.calibration_from_yaml(name))
    assert read.name == name, f"{name}.yaml describes {read.name}"
    return plain(read)
