"""The command `sweep`: words of a question, axes, and where the rows go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tscale.render import Format

if TYPE_CHECKING:
    from tscale.sweeping.run import Where
    from tscale.sweeping.sweep import Sweep

_Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="QUESTION [MODEL]",
        help="Name a command, such as params, memory, train or serve, and its model; its own options may follow.",
    ),
]


def axis_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """What can be varied of the question that a line names, `gpus=`, and fields of the spec, `set.layers=`."""
    from tscale.analysis.completion import spec_fields
    from tscale.sweeping.job import QUESTIONS, options_of

    words = (*(ctx.params.get("words") or ()), *ctx.args)  # where --vary still lacks its value, they are left over
    question = next((word for word in words if word in QUESTIONS), None)
    if question is None:
        return []
    if incomplete.startswith("set."):
        return [f"set.{field}" for field in spec_fields(incomplete.removeprefix("set."))]
    names = (f"{key}." if key == "set" else f"{key}=" for key in options_of(question))
    return [name for name in names if name.startswith(incomplete.replace("-", "_"))]


_Vary = Annotated[
    list[str],
    typer.Option(
        "--vary",
        autocompletion=axis_names,
        metavar="AXIS=VALUES",
        help="Vary an option, such as gpus=8..1024*2 or gpu=h100,h200, or a field of the spec, such as "
        "set.layers=16..96+8. Repeat it: all combinations are computed.",
        show_default=False,
    ),
]
_Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="NAME,...", help="Choose figures by their keys in JSON; by default all."),
]
_Output = Annotated[
    str | None,
    typer.Option(
        "--output-file",
        "-o",
        metavar="FILE",
        help="Write all rows to FILE.parquet, a folder of parts, or to FILE.csv; a sweep that was stopped goes on.",
    ),
]
_Plot = Annotated[
    str | None,
    typer.Option("--plot", metavar="X,Y[,SERIES]", help="Draw two columns in the terminal, by a third if it is named."),
]
_EngineName = Annotated[
    str | None,
    typer.Option("--engine", metavar="[local|dask]", help="Choose where rows are computed (default: local)."),
]
_Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Use the Dask cluster of this scheduler.")
]
_Workers = Annotated[
    str | None,
    typer.Option("--workers", metavar="N", help="Set the Dask processes of this machine; by default its cores."),
]
_Yes = Annotated[bool, typer.Option("--yes", help="Compute more than 10^8 rows.")]
_Shown = Annotated[Format, typer.Option("--format", help="Set the output format.")]


def sweep(
    words: _Words = None,
    vary: _Vary = [],
    columns: _Columns = None,
    output: _Output = None,
    plot: _Plot = None,
    engine: _EngineName = None,
    scheduler: _Scheduler = None,
    workers: _Workers = None,
    yes: _Yes = False,
    format: _Shown = "table",
) -> None:
    """Answer a question over all combinations of many values.

    Each combination is a row, and one that the question refuses has the reason in its row. Without -o, the first rows are
    shown.
    """
    import gc

    from tscale.analysis import readers
    from tscale.cli.sweep_words import read_words
    from tscale.errors import RequestError
    from tscale.sweeping import need
    from tscale.sweeping.job import job_of

    need("numpy", "a sweep", "sweep")
    from tscale.sweeping.sweep import prepared

    gc.enable()  # unlike one answer, a sweep makes garbage for hours
    if engine not in (None, *_ENGINES) and (words or [""])[0] == "serve":
        words, engine = [*(words or []), "--engine", str(engine)], None
    question, fixed = read_words(words or [])
    where = _where(engine, scheduler, workers)
    if where.engine == "dask" and output is None:
        raise RequestError("--engine dask computes what -o writes: add -o FILE.parquet or -o FILE.csv")
    job = job_of(question, fixed, vary, tuple(_names(columns)))
    made = prepared(job, yes=yes)
    _check_plot(made, format, plot)
    if output is not None:
        _write(Path(readers.file(output, "-o")), made, where)
    if output is None or plot is not None:
        _show(made, format, plot, table=output is None)


_ENGINES: Final = ("local", "dask")


def _names(columns: str | None) -> list[str]:
    from tscale.errors import RequestError

    names = [] if columns is None else [name.strip() for name in columns.split(",")]
    if not all(names):
        raise RequestError("--columns takes keys of the question's JSON between commas, such as params.total")
    return names


def _where(engine: str | None, scheduler: str | None, workers: str | None) -> Where:
    """Where rows are computed. Raises `RequestError`."""
    from tscale.core.counts import parse_count
    from tscale.errors import RequestError, one_of
    from tscale.sweeping.run import Where

    if engine not in (None, "local", "dask"):
        raise RequestError(one_of("--engine", _ENGINES, engine))
    count = None if workers is None else parse_count(workers, what="--workers", most=1024)
    where = Where("dask" if engine == "dask" else "local", scheduler, count)
    where.check()
    return where


def _write(path: Path, made: Sweep, where: Where) -> None:
    """Writes all rows, with a bar on standard error while it takes."""
    from tscale.cli.boundary import told
    from tscale.render import print_text
    from tscale.render.progress import progress
    from tscale.sweeping.run import write

    try:
        with progress(made.job.question, made.job.rows, rows=True) as advance:
            done = write(path, made, where, advance)
    except KeyboardInterrupt:
        told([f"stopped: whole parts are kept next to {path}, and the same command goes on from there"], 0)
        raise
    if done.before == done.parts:
        print_text(f"{path} holds all {done.rows:,} rows already\n")
        return
    more = f", {done.parts - done.before} of {done.parts} parts now" if done.before else ""
    print_text(f"{path} is written: {done.rows:,} rows{more}\n")


def _check_plot(made: Sweep, format: Format, plot: str | None) -> None:
    """Raises `RequestError` for a plot that cannot be drawn, before any row is computed or written."""
    if plot is None:
        return
    from tscale.errors import RequestError
    from tscale.render.plot import TERMINAL, check_target
    from tscale.sweeping.show import drawn_columns

    if format not in ("table", "html"):
        raise RequestError(
            f"--plot draws in the terminal, which --format {format} leaves to a program: drop one of them"
        )
    check_target(TERMINAL, format)
    drawn_columns(made, plot)


def _show(made: Sweep, format: Format, plot: str | None, *, table: bool) -> None:
    """Shows the first rows, or all of them to a program, and the picture below them."""
    from tscale.errors import RequestError
    from tscale.render import print_text, show
    from tscale.sweeping.show import SHOWN, most_shown, plot_of, report_of

    pictures: Any = () if plot is None else [plot_of(made, plot)]
    if table:
        everything = format in ("json", "csv")
        most = most_shown(made)
        if everything and made.job.rows > most:
            raise RequestError(
                f"--format {format} prints at most {most:,} rows of {len(made.columns)} columns, and these are {made.job.rows:,}: "
                "write them with -o FILE.parquet or FILE.csv, or choose fewer with --columns"
            )
        show(report_of(made, most if everything else SHOWN, brief=not everything), format, plots=pictures)
    if pictures and format != "html":
        from tscale.render.plot_terminal import drawn

        print_text(f"\n{drawn(pictures)}")
