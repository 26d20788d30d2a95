"""Runs the parts of a sweep that are not written yet, here or on a cluster, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tscale.errors import RequestError
from tscale.sweeping.arrow import Format, encoded, need_arrow, schema_of
from tscale.sweeping.files import Kept, kept_at
from tscale.sweeping.grid import rows_of
from tscale.sweeping.sweep import Sweep

Engine = Literal["local", "dask"]
Advance = Callable[[int], None]
Results = Generator[tuple[int, Any]]
"""Parts with the bytes of their files, or None where they are written already."""


class Where(NamedTuple):
    """Where the rows are computed: by which engine, and for Dask the address of a scheduler or a number of own workers."""

    engine: Engine = "local"
    scheduler: str | None = None
    workers: int | None = None

    def check(self) -> None:
        """Raises `RequestError` for options that contradict one another, and for an engine that is not installed."""
        if self.engine == "local" and (self.scheduler is not None or self.workers is not None):
            raise RequestError("--scheduler and --workers are of --engine dask: add it, or drop them")
        if self.scheduler is not None and self.workers is not None:
            raise RequestError("--workers are processes of this machine, and --scheduler has its own: drop one of them")
        if self.engine == "dask":
            from tscale.sweeping.cluster import need_dask

            need_dask()


class Written(NamedTuple):
    """What a run wrote, and what was there before."""

    path: Path
    rows: int
    parts: int
    before: int


def open_at(path: Path, sweep: Sweep) -> tuple[Kept, Sweep, set[int]]:
    """Where a sweep is kept, the sweep in the parts that it was begun in, and those that are there. Raises `TscaleError`."""
    need_arrow("-o")
    kept = kept_at(path)
    begun = _rows_of_parts_at(path)
    sweep = sweep if begun is None else replace(sweep, rows_of_a_part=begun)
    return kept, sweep, kept.begin(sweep)


def _rows_of_parts_at(path: Path) -> int | None:
    """How many rows a part has of the sweep that was begun at a path."""
    import json

    for note in (path / "_sweep.json", path.with_name(f"{path.name}.sweep.json")):
        try:
            said = json.loads(note.read_text(encoding="utf-8"))
            return max(int(said["rows_of_a_part"]), 1)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def write(path: Path, sweep: Sweep, where: Where, advance: Advance) -> Written:
    """Writes the parts that are not there yet. Raises `TscaleError`."""
    where.check()
    kept, sweep, done = open_at(path, sweep)
    parts = sweep.parts
    for part in done:
        advance(rows_of(parts.at(part)))
    todo = (part for part in range(parts.length) if part not in done)
    format: Format = "csv" if kept.in_order else "parquet"
    with closing(results(sweep, todo, format, where, kept)) as found:
        for part, data in found:
            if data is not None:
                kept.write(part, data)
            advance(rows_of(parts.at(part)))
    kept.finish()
    return Written(path, sweep.job.rows, parts.length, len(done))


def results(sweep: Sweep, todo: Iterable[int], format: Format, where: Where, kept: Kept | None = None) -> Results:
    """The bytes of some parts; None of those that a process of this machine wrote itself. Without `kept`, in their order."""
    if where.engine == "dask":
        from tscale.sweeping.cluster import on_cluster

        return on_cluster(sweep, todo, format, where.scheduler, where.workers, kept)
    return _here(sweep, todo, format)


def _here(sweep: Sweep, todo: Iterable[int], format: Format) -> Results:
    evaluator, schema = sweep.evaluator(), schema_of(sweep.columns, sweep.about)
    for part in todo:
        yield part, encoded(evaluator, sweep.parts.at(part), schema, format, first=part == 0)
