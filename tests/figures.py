"""Every figure that the YAML files of configs/ give, with the source, the grade and the date that stand over it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tscale.catalogue.models import configs

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
_WORDS: Final = {"source", "sources", "evidence", "date", "note", "notes", "title", "name"}
_OF_FILE: Final = {"year", "sequence"}
"""At the head of a file: when it came out, and the tokens that a law counts its batches in."""
KINDS: Final = ("hardware", "models", "laws", "claims", "measured", "calibrations")


@dataclass(frozen=True)
class Figure:
    """A number of a file, by the keys that lead to it."""

    file: str
    keys: tuple[str, ...]
    value: float
    source: str | None
    """Of the mapping that it stands in, or the nearest around it that names one."""
    evidence: str | None
    """Its grade, likewise; of a chip, whose grades are by kind, all of them."""
    date: str | None
    """When it was so, where it is one of a day or a year: a price, or what electricity emits."""

    @property
    def name(self) -> str:
        """Its place in words."""
        return f"{self.file}: {'.'.join(self.keys)}"


@dataclass(frozen=True)
class _Over:
    source: str | None = None
    evidence: str | None = None
    date: str | None = None


@cache
def figures(kind: str) -> tuple[Figure, ...]:
    """All figures of a folder of configs/."""
    paths = sorted((configs() / kind).glob("*.yaml"))
    return tuple(figure for path in paths for figure in _of_file(f"{kind}/{path.name}", path))


def _of_file(name: str, path: Path) -> Iterator[Figure]:
    given = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506
    return _walk(name, (), given, _Over())


def measured_then() -> Iterator[Figure]:
    """How many of the rows of tables were measured on each day, where tables say."""
    for path in sorted((configs() / "measured").glob("*.csv")):
        lines = (line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
        days = Counter(row["measured"] for row in csv.DictReader(lines) if row.get("measured"))
        for day, rows in days.items():
            yield Figure(f"measured/{path.name}", ("rows",), rows, "its first lines", None, day)


def _walk(file: str, keys: tuple[str, ...], node: Any, over: _Over) -> Iterator[Figure]:
    if isinstance(node, dict):
        over = _under(node, over, keys)
        for key, value in node.items():
            if key not in _WORDS and (keys or key not in _OF_FILE):
                yield from _walk(file, (*keys, str(key)), value, _named(node, str(key), over))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _walk(file, (*keys, str(place)), value, over)
    elif (number := _number(node)) is not None:
        yield Figure(file, keys, number, over.source, over.evidence, over.date)


def _under(node: dict[str, Any], over: _Over, keys: tuple[str, ...]) -> _Over:
    """What a mapping says of its figures. The year of electricity's file dates it; other files' are when a chip or a law came out."""
    dated = node.get("date", node.get("year") if not keys and "grams_per_kwh" in node else None)
    source = node.get("source") or node.get("sources") or over.source
    evidence = node.get("evidence") or over.evidence
    return replace(
        over,
        source=str(source) if source else None,
        evidence=str(evidence) if evidence else None,
        date=str(dated) if dated else over.date,
    )


def _named(node: dict[str, Any], key: str, over: _Over) -> _Over:
    """A figure may have a source of its own beside it: `network_source` for `network_gb_per_s`."""
    first = key.partition("_")[0]
    source, evidence = node.get(f"{first}_source"), node.get(f"{first}_evidence")
    return replace(over, source=source or over.source, evidence=evidence or over.evidence)


def _number(node: Any) -> float | None:
    if isinstance(node, bool):
        return None
    try:
        return float(node)
    except (TypeError, ValueError):
        return None
