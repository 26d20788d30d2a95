"""A sweep that is ready to be run: its columns, its parts, and what tells it from any other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from time import perf_counter
from typing import Any, Final

from tscale.errors import RequestError, UnknownNameError, nearest
from tscale.sweeping.answers import Answer, answer_of
from tscale.sweeping.columns import OTHER, REFUSED, Column, plain
from tscale.sweeping.compiled import sizes_of
from tscale.sweeping.evaluate import Evaluator
from tscale.sweeping.grid import Blocks, whole
from tscale.sweeping.job import MOST_ROWS, Job, asked
from tscale.sweeping.schema import Places, chosen, samples, schema_of

MOST_IN_A_PART: Final = 2**19
"""Rows of a file: some tens of megabytes."""
_FEWEST_IN_A_PART: Final = 64
_SECONDS_OF_A_PART: Final = 10
"""Of rows that are answered one by one: what is lost at the most when a sweep is stopped."""


@dataclass(frozen=True)
class Sweep:
    """A job with its columns and the rows of a part; plain data, which other processes are sent."""

    job: Job
    columns: tuple[Column, ...]
    rows_of_a_part: int
    digest: str
    """Of what is asked and of the answers to some rows: another model, another chip or another version has another."""

    @property
    def parts(self) -> Blocks:
        """The parts in the order of the rows."""
        return Blocks.within(whole(self.job.lengths), self.rows_of_a_part)

    @property
    def about(self) -> dict[str, Any]:
        """What its files say of it."""
        return {
            "tscale": version("tscale"),
            "question": self.job.question,
            "given": {name: _written(value) for name, value in self.job.fixed.items()},
            "axes": {axis.name: _values(axis.values) for axis in self.job.axes},
            "rows": self.job.rows,
            "rows_of_a_part": self.rows_of_a_part,
            "parts": self.parts.length,
            "columns": [column.name for column in self.columns],
            "digest": self.digest,
        }

    def evaluator(self) -> Evaluator:
        """What answers its rows."""
        return Evaluator(self.job, self.columns)

    @property
    def figures(self) -> tuple[Column, ...]:
        """The columns that are figures of the question."""
        return tuple(one for one in self.columns if not one.axis and one.name not in (REFUSED, OTHER))


def prepared(job: Job, *, yes: bool = False) -> Sweep:
    """A job with its columns found. Raises `RequestError` for too many rows, and for names that mean nothing."""
    if job.rows > MOST_ROWS and not yes:
        raise RequestError(
            f"{job.rows:,} rows are more than {MOST_ROWS:,}: vary less, or add --yes to compute them all"
        )
    _refuse_unknown_names(job)
    _refuse_contradictions(job)
    started = perf_counter()
    found = samples(job)
    seconds = (perf_counter() - started) / len(found)
    columns = schema_of(job, found)
    _check_wanted(job, columns)
    return Sweep(job, columns, _rows_of_a_part(job, seconds), _digest(job, found))


def _refuse_unknown_names(job: Job) -> None:
    """Raises `UnknownNameError` for a model, hardware or law that is none, given or varied: a slip, and no row of a sweep."""
    _refuse_unknown_name(job, (0,) * len(job.axes))
    for place, axis in enumerate(job.axes):
        if axis.field not in ("model", "gpu", "draft", "law"):
            continue
        for value in range(1, len(axis.values)):
            places = tuple(value if other == place else 0 for other in range(len(job.axes)))
            _refuse_unknown_name(job, places)


def _refuse_contradictions(job: Job) -> None:
    """Raises `RequestError` where every row is refused for what it asks, whatever the values: none of them would be answered."""
    said: set[str] = set()
    if "models" in asked(job.question).ask.options():  # of which nothing else is asked
        return
    for places in chosen(job):
        try:
            asked(job.question).made(job.given(places))
        except RequestError as error:
            said.add(str(error))
        else:
            return
    if len(said) == 1:
        raise RequestError(f"{said.pop()} (each row of the sweep is refused so)")


def _refuse_unknown_name(job: Job, places: Places) -> None:
    from tscale.sweeping.answers import request_of

    try:
        asked(job.question).analyze(request_of(job, places))
    except UnknownNameError:
        raise
    except Exception:  # noqa: BLE001, S110 (whatever else is wrong is told in the row)
        pass


def _check_wanted(job: Job, columns: Sequence[Column]) -> None:
    """Raises `RequestError` for a figure that is asked for and that no answer has."""
    known = {column.name for column in columns}
    for name in job.wanted:
        if name not in known:
            answer = answer_of(replace(job, wanted=()), (0,) * len(job.axes))
            if name in answer.figures:
                raise RequestError(f"--columns: {name} has no value in these rows: drop it")
            raise RequestError(f"--columns: {job.question} has no figure {name}: {nearest(name, answer.figures)}")


def _rows_of_a_part(job: Job, seconds: float) -> int:
    if any(sizes_of(job)):
        return MOST_IN_A_PART
    rows = int(_SECONDS_OF_A_PART / max(seconds, 1e-6))
    return max(_FEWEST_IN_A_PART, min(1 << max(rows, 1).bit_length() - 1, MOST_IN_A_PART))


def _digest(job: Job, found: list[tuple[Places, Answer]]) -> str:
    answers = [
        [places, answer.refused, {name: plain(cell) for name, cell in answer.figures.items()}]
        for places, answer in found
    ]
    given = {name: _written(value) for name, value in job.fixed.items()}
    axes = [[axis.name, _values(axis.values), axis.texts] for axis in job.axes]
    said = json.dumps([version("tscale"), job.question, given, axes, job.wanted, answers], sort_keys=True)
    return sha256(said.encode()).hexdigest()[:32]


def _written(value: object) -> Any:
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, (tuple, list)):
        return [_written(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _written(item) for key, item in value.items()}
    return getattr(value, "name", type(value).__name__)


def _values(values: Sequence[Any]) -> Any:
    """The values of an axis for a file: a range by its ends and its step."""
    if isinstance(values, range):
        return {"from": values[0], "to": values[-1], "step": values.step}
    return list(values)
