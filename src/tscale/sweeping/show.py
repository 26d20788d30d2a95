"""A sweep as an answer: its first rows in a table, all of them for a program, and two of its columns in a picture."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final

from tscale.core.metric import Cell, Data, Figure, Missing, Report, Table
from tscale.core.metric import Column as Heading
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import COUNT
from tscale.errors import RequestError, nearest
from tscale.render.format import cell_text
from tscale.sweeping.columns import OTHER, REFUSED, Column, Part
from tscale.sweeping.grid import Blocks, whole
from tscale.sweeping.sweep import Sweep

HEADLINES: Final[dict[str, tuple[str, ...]]] = {
    "summary": ("params", "flops_per_token", "kv_bytes_per_token"),
    "params": ("params.total", "params.active"),
    "attention": ("attention_flops_per_token", "kv_cache_bytes", "attention_share"),
    "flops": ("params", "training_flops.exact", "training_flops.six_nd"),
    "memory": ("per_device_bytes.total", "verdict", "max_batch", "max_context"),
    "train": ("days", "mfu", "gpu_hours", "cost_usd", "memory.verdict", "plan.memory.verdict"),
    "serve": (
        "tpot_seconds.middle",
        "ttft_seconds.middle",
        "predicted_tokens_per_second",
        "usd_per_million_output_tokens",
        "verdict",
    ),
    "optimal": ("*.params", "*.tokens"),
    "loss": ("*.loss",),
    "design": ("params", "shape.layers", "shape.d_model", "shape.heads", "shape.d_ff"),
}
"""The figures of a question that its table shows: JSON, CSV and files have all of them, and --columns names others."""
SHOWN: Final = 12
"""Rows of a table for people."""
MOST_SHOWN: Final = 100_000
"""Rows of JSON or CSV that are printed: more are written to a folder."""
MOST_DRAWN: Final = 20_000
_AT_ONCE: Final = 4096


def rows_of(sweep: Sweep, most: int) -> Iterator[list[Any]]:
    """The first rows, each cell in Python's own numbers."""
    evaluator = sweep.evaluator()
    blocks = Blocks.within(whole(sweep.job.lengths), min(_AT_ONCE, max(most, 1)))
    every = (row for place in range(blocks.count) for row in _rows(evaluator.part(blocks.at(place)), sweep))
    yield from islice(every, most)


def _rows(part: Part, sweep: Sweep) -> Iterator[list[Any]]:
    for row in range(part.rows):
        yield part.cells(row, sweep.columns)


def report_of(sweep: Sweep, most: int, *, brief: bool = False) -> Report:
    """The first rows of a sweep as an answer; `brief`: with the figures alone that people look for first."""
    columns, rows = sweep.columns, list(rows_of(sweep, most))
    wanted = {one.name for one in _headlines(sweep)} if brief else {one.name for one in sweep.figures}
    used = [place for place, one in enumerate(columns) if _is_used(one, wanted, [row[place] for row in rows])]
    headings = tuple(_heading(columns[place], drop) for drop, place in enumerate(used))
    cells = tuple(tuple(_cell(columns[place], row[place]) for place in used) for row in rows)
    refused = sum(row[-2] is not None for row in rows)
    total, job = sweep.job.rows, sweep.job
    over = ", ".join(f"{axis.name} ({len(axis.values):,})" for axis in job.axes)
    title = f"{_subject(sweep)} over {over}: {total:,} row{'s' if total != 1 else ''}"
    data: Data = {
        "question": job.question,
        "axes": {axis.name: len(axis.values) for axis in job.axes},
        "total_rows": total,
        "rows": [
            {column.name: _datum(column, row[place]) for place, column in enumerate(columns) if place in used}
            for row in rows
        ],
    }
    notes = list(_notes(sweep, len(rows), refused))
    if len(wanted) < len(sweep.figures):
        notes.append(f"--columns names others of its {len(sweep.figures)} figures; --format json, csv and -o have all.")
    title += _headline(sweep, rows)
    return Report(title, (Table(title, headings, cells),), data, tuple(notes))


def _headlines(sweep: Sweep) -> list[Column]:
    """The figures that a table shows: those that are asked for, those that its question is about, or the first."""
    if sweep.job.wanted:
        return list(sweep.figures)
    patterns = HEADLINES[sweep.job.question]
    found = [
        one
        for pattern in patterns
        for one in sweep.figures
        if fnmatchcase(one.name, pattern) and one.name.count(".") == pattern.count(".")
    ]
    return found or list(sweep.figures[:4])


def _headline(sweep: Sweep, rows: list[list[Any]]) -> str:
    """From where to where the first figure goes, where all rows are known."""
    numbers = [one for one in _headlines(sweep) if one.kind not in ("text", "bool")]
    if len(rows) < sweep.job.rows or not numbers:
        return ""
    place = sweep.columns.index(numbers[0])
    values = [row[place] for row in rows if row[place] is not None]
    if not values:
        return ", all of them refused"
    least, most = (cell_text(Figure(value, numbers[0].unit, numbers[0].known)) for value in (min(values), max(values)))
    return f", {numbers[0].name} {least}" + (f" to {most}" if most != least else "")


def _subject(sweep: Sweep) -> str:
    model = sweep.job.fixed.get("model")
    name = model if isinstance(model, str) else getattr(model, "name", "")
    return f"{sweep.job.question} of {name}" if name else sweep.job.question


def _notes(sweep: Sweep, shown: int, refused: int) -> Iterator[str]:
    if shown < sweep.job.rows:
        yield f"{sweep.job.rows - shown:,} more rows: -o FILE.parquet or FILE.csv writes all of them."
    if refused:
        yield f"{refused} of these {shown} rows {'is' if refused == 1 else 'are'} refused, each for its reason."


def _is_used(column: Column, wanted: set[str], cells: list[Any]) -> bool:
    if column.name in (REFUSED, OTHER):
        return any(cell is not None for cell in cells)
    return column.axis or column.name in wanted


def _heading(column: Column, drop: int) -> Heading:
    words = column.kind == "text"
    return Heading(
        column.name, column.name, drop=0 if column.axis else drop, numeric=not words, below=column.name == REFUSED
    )


def _cell(column: Column, value: Any) -> Cell:
    datum = _datum(column, value)
    if isinstance(datum, (Figure, Missing)):
        return datum
    return "" if datum is None else str(datum).lower() if isinstance(datum, bool) else str(datum)


def _datum(column: Column, value: Any) -> Figure | Missing | str | bool | None:
    if value is None or isinstance(value, (str, bool)):
        return value
    return Figure(value, column.unit, column.known, column.source)


def plot_of(sweep: Sweep, wanted: str) -> Plot:
    """Two columns against one another, a series for each value of a third. Raises `RequestError`."""
    names = [name.strip() for name in wanted.split(",")]
    if len(names) not in (2, 3) or not all(names):
        raise RequestError("--plot takes the columns X,Y or X,Y,SERIES, such as gpus,days,gpu")
    known = {column.name: place for place, column in enumerate(sweep.columns)}
    for name in names:
        if name not in known:
            raise RequestError(f"--plot: no column {name}: {nearest(name, known)}")
    if sweep.job.rows > MOST_DRAWN:
        raise RequestError(f"--plot draws at most {MOST_DRAWN:,} rows, and these are {sweep.job.rows:,}: vary less")
    x, y = sweep.columns[known[names[0]]], sweep.columns[known[names[1]]]
    for column in (x, y):
        if column.kind in ("text", "bool"):
            raise RequestError(f"--plot: {column.name} holds no numbers: give columns that do, and it as SERIES")
    series: dict[str, list[Point]] = {}
    for row in rows_of(sweep, sweep.job.rows):
        pair = row[known[x.name]], row[known[y.name]]
        if None not in pair:
            name = str(row[known[names[2]]]) if len(names) == 3 else ""
            series.setdefault(name, []).append(Point(*pair))
    if not series:
        raise RequestError(f"--plot: no row has both {x.name} and {y.name}")
    lines = tuple(Series(name, tuple(sorted(points))) for name, points in series.items())
    positive = [all(point[place] > 0 for line in lines for point in line.points) for place in (0, 1)]
    axes = [
        Axis(one.name, COUNT._replace(name="") if one.axis else one.unit, log)
        for one, log in zip((x, y), positive, strict=True)
    ]
    return Plot(_subject(sweep), axes[0], axes[1], lines)
