"""A sweep as an answer: its first rows in a table, all of them for a program, and two of its columns in a picture."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final

from tscale.analysis.result_schema import schema_of_answers
from tscale.core.metric import Cell, Data, Figure, Missing, Report, Table
from tscale.core.metric import Column as Heading
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import COUNT, Unit
from tscale.errors import RequestError, nearest
from tscale.render.format import cell_text
from tscale.render.json import as_data
from tscale.sweeping.columns import OTHER, REFUSED, Column, Part
from tscale.sweeping.grid import Blocks, whole
from tscale.sweeping.job import job_of
from tscale.sweeping.sweep import Sweep, prepared

HEADLINES: Final[dict[str, tuple[str, ...]]] = {
    "summary": ("params", "flops_per_token", "kv_bytes_per_token"),
    "params": ("params.total", "params.active"),
    "attention": ("attention_flops_per_token", "kv_cache_bytes", "attention_share"),
    "flops": ("training_flops.exact", "training_flops.six_nd", "params", "flops.full", "flops.causal"),
    "memory": ("per_device_bytes.total", "peak.per_device_bytes", "verdict", "max_batch", "max_context"),
    "train": ("days", "mfu", "step_seconds.middle", "gpu_hours", "cost_usd", "memory.verdict", "plan.memory.verdict"),
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
MOST_CELLS: Final = 1_000_000
"""Values in those rows: of a question with many figures fewer rows are printed, so that none takes a gigabyte."""
MOST_DRAWN: Final = 20_000
_AT_ONCE: Final = 4096


def most_shown(sweep: Sweep) -> int:
    """Rows of JSON or CSV that are printed of a sweep."""
    return min(MOST_SHOWN, MOST_CELLS // len(sweep.columns))


def rows_of(sweep: Sweep, most: int) -> Iterator[list[Any]]:
    """The first rows, each cell in Python's own numbers."""
    evaluator = sweep.evaluator()
    blocks = Blocks.within(whole(sweep.job.lengths), min(_AT_ONCE, max(most, 1)))
    every = (row for place in range(blocks.length) for row in _rows(evaluator.part(blocks.at(place)), sweep))
    yield from islice(every, most)


def _rows(part: Part, sweep: Sweep) -> Iterator[list[Any]]:
    for row in range(part.rows):
        yield part.cells(row, sweep.columns)


def report_of(sweep: Sweep, most: int, *, brief: bool = False) -> Report:
    """The first rows of a sweep as an answer; `brief`: with the figures alone that people look for first."""
    rows = list(rows_of(sweep, most))
    wanted = {one.name for one in (_headlines(sweep) if brief else sweep.figures)}
    used = [
        (place, one) for place, one in enumerate(sweep.columns) if _is_used(one, wanted, [row[place] for row in rows])
    ]
    headings = tuple(_heading(one, drop) for drop, (_, one) in enumerate(used))
    data_rows = [{one.name: _datum(one, row[place]) for place, one in used} for row in rows]
    cells = tuple(tuple(map(_cell, row.values())) for row in data_rows)
    over = ", ".join(f"{axis.name} ({len(axis.values):,})" for axis in sweep.job.axes)
    total = sweep.job.rows
    title = f"{_subject(sweep)} over {over}: {total:,} row{'s' if total != 1 else ''}{_headline(sweep, rows)}"
    data: Data = {
        "question": sweep.job.question,
        "axes": {axis.name: len(axis.values) for axis in sweep.job.axes},
        "total_rows": total,
        "rows": data_rows,
    }
    return Report(title, (Table(title, headings, cells),), data, tuple(_notes(sweep, rows, wanted)))


def schema() -> dict[str, Any]:
    """The JSON Schema of a sweep's answer, whose rows have the keys of its question."""
    job = job_of("params", {"model": "gpt2"}, ["set.layers=12,24"])
    found = schema_of_answers("sweep", [as_data(report_of(prepared(job), SHOWN))])
    properties = found["properties"]
    properties["axes"] = {
        "type": "object",
        "description": "How many values each axis has.",
        "additionalProperties": {"type": "integer"},
    }
    properties["rows"]["items"] = {
        "type": "object",
        "description": "The values of the axes, and the figures of the question by their keys with dots; refused says why there are none.",
        "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
    }
    return found


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


def _notes(sweep: Sweep, rows: list[list[Any]], shown: set[str]) -> Iterator[str]:
    if len(rows) < sweep.job.rows:
        yield f"{sweep.job.rows - len(rows):,} more rows: -o FILE.parquet or FILE.csv writes all of them."
    refused = sum(row[-2] is not None for row in rows)
    if refused:
        yield f"{refused} of these {len(rows)} rows {'is' if refused == 1 else 'are'} refused, each for its reason."
    if len(shown) < len(sweep.figures):
        yield f"--columns names others of its {len(sweep.figures)} figures; --format json, csv and -o have all."


def _is_used(column: Column, wanted: set[str], cells: list[Any]) -> bool:
    if column.name in (REFUSED, OTHER):
        return any(cell is not None for cell in cells)
    return column.axis or column.name in wanted


def _heading(column: Column, drop: int) -> Heading:
    words = column.kind == "text"
    return Heading(
        column.name, column.name, drop=0 if column.axis else drop, numeric=not words, below=column.name == REFUSED
    )


def _cell(datum: Figure | Missing | str | bool | None) -> Cell:
    if isinstance(datum, (Figure, Missing)):
        return datum
    return "" if datum is None else str(datum).lower() if isinstance(datum, bool) else str(datum)


def _datum(column: Column, value: Any) -> Figure | Missing | str | bool | None:
    if value is None or isinstance(value, (str, bool)):
        return value
    return Figure(value, column.unit, column.known, column.source)


def plot_of(sweep: Sweep, wanted: str) -> Plot:
    """Two columns against one another, a series for each value of a third. Raises `RequestError`."""
    places = drawn_columns(sweep, wanted)
    x, y = (sweep.columns[place] for place in places[:2])
    series: dict[str, list[Point]] = {}
    for row in rows_of(sweep, sweep.job.rows):
        one, other = (row[place] for place in places[:2])
        if one is not None and other is not None:
            series.setdefault(str(row[places[2]]) if len(places) == 3 else "", []).append(Point(one, other))
    if not series:
        raise RequestError(f"--plot: no row has both {x.name} and {y.name}")
    lines = tuple(
        Series(name, tuple(sorted(points, key=lambda point: (point.x, point.y)))) for name, points in series.items()
    )
    points = [point for line in lines for point in line.points]
    across = Axis(x.name, _unit(x), all(point.x > 0 for point in points))
    return Plot(_subject(sweep), across, Axis(y.name, _unit(y), all(point.y > 0 for point in points)), lines)


def _unit(column: Column) -> Unit:
    return COUNT._replace(name="") if column.axis else column.unit


def drawn_columns(sweep: Sweep, wanted: str) -> list[int]:
    """The places of the columns of a picture. Raises `RequestError`."""
    names = [name.strip() for name in wanted.split(",")]
    if len(names) not in (2, 3) or not all(names):
        raise RequestError("--plot takes the columns X,Y or X,Y,SERIES, such as gpus,days,gpu")
    known = {column.name: place for place, column in enumerate(sweep.columns)}
    for name in names:
        if name not in known:
            raise RequestError(f"--plot: no column {name}: {nearest(name, known)}")
    for name in names[:2]:
        if sweep.columns[known[name]].kind in ("text", "bool"):
            raise RequestError(f"--plot: {name} holds no numbers: give columns that do, and it as SERIES")
    if sweep.job.rows > MOST_DRAWN:
        raise RequestError(f"--plot draws at most {MOST_DRAWN:,} rows, and these are {sweep.job.rows:,}: vary less")
    return [known[name] for name in names]
