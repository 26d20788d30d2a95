"""What other people's software counted, as it was recorded under `tests/oracle/`, and the same read by the importer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tscale.errors import SpecError
from tscale.importer.reader import imported
from tscale.models.spec import ModelSpec

ORACLE = Path(__file__).parents[1] / "oracle"

Line = dict[str, Any]
"""A configuration, what was changed in it, and what was counted of it."""
Differences = dict[str, tuple[int, int]]
"""What tscale counts otherwise than the record: its number and the recorded one."""


def recorded(name: str) -> list[Line]:
    """The lines of a file of records."""
    return [json.loads(line) for line in (ORACLE / name).read_text(encoding="utf-8").splitlines()]


def families_in(lines: Iterable[Line]) -> list[str]:
    """The families that lines are of."""
    return sorted({line["config"]["model_type"] for line in lines})


def spec_of(config: dict[str, Any]) -> ModelSpec:
    """The spec that a config.json is read as. Raises `SpecError` where it is refused."""
    return imported(config, name="x", where="config.json")


def is_refused(config: dict[str, Any]) -> bool:
    """Whether a config.json is refused."""
    try:
        spec_of(config)
    except SpecError:
        return True
    return False


def counted_wrong(
    lines: Iterable[Line], differences: Callable[[ModelSpec, Line], Differences]
) -> list[tuple[str, dict[str, Any], Differences]]:
    """The lines that are neither refused nor counted as they were recorded."""
    read = ((line, spec_of(line["config"])) for line in lines if not is_refused(line["config"]))
    return [(line["changed"], line["config"], found) for line, spec in read if (found := differences(spec, line))]
