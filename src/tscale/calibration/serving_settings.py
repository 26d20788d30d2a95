"""How the engine of a measured run was set, where that keeps it waiting: as its row says, or as was published of such runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from math import inf
from typing import Final, NamedTuple

from tscale.calibration.rows import positive
from tscale.catalogue.models import configs
from tscale.core.costs.serving_waits import Scheduling
from tscale.errors import RequestError, shown

COLUMNS: Final = ("poll_steps", "gather_steps", "gather_tokens", "balance_steps", "places", "cold_tokens", "graphs")
"""The columns of a table that say it, in the order of `Scheduling`."""
_RANGES: Final = ("isl", "osl", "concurrency", "tensor", "attention_data", "workers")
_MOST: Final = 10**6


class Run(NamedTuple):
    """What a run is found by: names as in `configs`, the format of weights in a word, the day, and its sizes in order."""

    engine: str
    model: str
    gpu: str
    weights: str
    day: str
    sizes: tuple[int, ...]
    """Of the prompt, the answer, requests at once, tensor parallelism of attention that decodes, its copies, and workers that only decode."""


def scheduling_of(row: Mapping[str, str], run: Run) -> Scheduling:
    """How the engine of a row was set; by the row alone where it says any of it. Raises `RequestError` for what is no number."""
    said = {column: text for column in COLUMNS if (text := (row.get(column) or "").strip())}
    if said:
        return _scheduling({column: _number(column, text) for column, text in said.items()})
    return next((found for fits, found in _published() if _is_of(fits, run)), Scheduling())


def _number(column: str, text: str) -> float:
    found = positive(text)
    if found is None or found > _MOST:
        raise RequestError(f"column {column}: write a number above 0, at most {_MOST:,}, not {shown(text)}")
    return found


def _scheduling(said: Mapping[str, float]) -> Scheduling:
    polled, gathered, tokens, balanced, places, cold, graphs = (said.get(column) for column in COLUMNS)
    return Scheduling(
        polled or 1.0, gathered or 0.0, tokens or inf, balanced or 0.0, places or inf, cold or inf, graphs or inf
    )


@cache
def _published() -> tuple[tuple[Mapping[str, str], Scheduling], ...]:
    """The rows of configs/measured/serving_settings.csv, each with what it says."""
    text = (configs() / "measured" / "serving_settings.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple((row, _scheduling({name: float(row[name]) for name in COLUMNS if row[name]})) for row in rows)


def _is_of(fits: Mapping[str, str], run: Run) -> bool:
    names = zip(("engine", "model", "gpu", "weights"), run[:4], strict=True)
    return (
        all(fits[name] in ("", own) for name, own in names)
        and fits["first_day"] <= run.day <= fits["last_day"]
        and all(_is_within(fits[name], size) for name, size in zip(_RANGES, run.sizes, strict=True))
    )


def _is_within(text: str, size: int) -> bool:
    """Whether a size is in a range such as 8, 16.. or ..7; any is in an empty one."""
    low, dots, high = text.partition("..")
    return int(low or 0) <= size <= (int(high) if high else inf if dots or not text else int(low))
