"""`tscale.sweep`: a sweep from Python, as a table in memory or as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from tscale.analysis.request import file_name
from tscale.analysis.respelled import Respelled
from tscale.errors import RequestError, one_of
from tscale.sweeping import need

if TYPE_CHECKING:
    import pyarrow as pa

    from tscale.sweeping.sweep import Sweep

MOST_IN_MEMORY: Final = 10**7
"""Rows of a table in memory: more are written to files."""
_TABLES: Final = ("pandas", "arrow")


def sweep(
    question: str,
    model: Any = None,
    *,
    vary: Mapping[str, Any] | Sequence[str],
    columns: Sequence[str] = (),
    table: Literal["pandas", "arrow"] = "pandas",
    output: str | PathLike[str] | None = None,
    engine: Literal["local", "dask"] = "local",
    scheduler: str | None = None,
    workers: int | None = None,
    yes: bool = False,
    **options: Any,
) -> Any:
    """A question over all combinations of many values: a table with a row for each, or the path of the files it is written to.

    Counts are exact: int64, or decimals of 38 digits where they pass 2^63. A row that the question refuses has the reason
    in the column `refused`; the units of the columns are in `attrs["units"]` of a DataFrame, and in the metadata of an Arrow table.

    Args:
        question: the name of a function that answers it, such as "params", "memory", "train" or "serve".
        model: what it is asked of, as that function takes it; or vary "model".
        vary: the values of each axis: {"gpus": "8..1024*2", "gpu": ["h100", "h200"], "set.layers": range(16, 97, 8)}, or
            texts "AXIS=VALUES". An axis is a keyword of the question, or set.FIELD of the spec. The last one varies fastest.
        columns: the figures that are wanted, by their keys such as "params.total"; all of them by default.
        table: "pandas" for a DataFrame, "arrow" for a pyarrow Table.
        output: write to this name instead: FILE.parquet is a folder of parts, FILE.csv one file. One that was stopped goes on.
        engine: "local" or "dask".
        scheduler: the address of a running Dask cluster; by default, processes of this machine.
        workers: how many such processes there are; by default as many as cores.
        yes: whether more than 10^8 rows are wanted.
        options: what holds for every row, by the question's keywords.

    Raises:
        TscaleError: for what cannot be varied, for too many rows, and where pyarrow, pandas or Dask is not installed.

    Example:
        >>> sweep("params", "gpt3", vary={"set.layers": [48, 96]})["params.total"].tolist()
        [87623503872, 174604259328]
    """
    with Respelled():
        need("numpy", "a sweep", "sweep")
        from tscale.sweeping.job import job_of
        from tscale.sweeping.run import Where, write
        from tscale.sweeping.sweep import prepared

        where = Where(_one_of(engine, ("local", "dask"), "--engine"), scheduler, workers)
        where.check()
        kind = _one_of(table, _TABLES, "--table")
        fixed = {name: value for name, value in options.items() if value is not None}
        if model is not None:
            fixed["model"] = str(model) if isinstance(model, PathLike) else model
        wanted = (columns,) if isinstance(columns, str) else tuple(columns)
        made = prepared(job_of(question, fixed, vary, wanted), yes=yes)
        if output is not None:
            return write(Path(file_name(output, "--output")), made, where, lambda _: None).path
        return _in_memory(made, kind, where)


def _one_of(value: Any, legal: tuple[str, ...], what: str) -> Any:
    if value not in legal:
        raise RequestError(one_of(what, legal, value))
    return value


def _in_memory(made: Sweep, kind: str, where: Any) -> Any:
    """All rows as one table."""
    from tscale.sweeping.arrow import need_arrow

    need_arrow("a sweep as a table")
    if kind == "pandas":
        _need_pandas()
    if made.job.rows > MOST_IN_MEMORY:
        raise RequestError(
            f"{made.job.rows:,} rows are more than the {MOST_IN_MEMORY:,} of a table in memory: give output=FILE.parquet"
        )
    found = _arrow(made, where)
    return found if kind == "arrow" else _pandas(found)


def _need_pandas() -> None:
    try:
        import pandas as pd
    except ImportError:
        raise RequestError('a DataFrame needs pandas: `pip install pandas`, or give table="arrow"') from None
    del pd


def _arrow(made: Sweep, where: Any) -> pa.Table:
    import pyarrow as pa

    from tscale.sweeping.arrow import batches, schema_of
    from tscale.sweeping.run import results

    schema, parts = schema_of(made.columns, made.about), made.parts
    if where.engine == "local":
        evaluator = made.evaluator()
        found: Iterable[Any] = (
            batch for part in range(parts.length) for batch in batches(evaluator, parts.at(part), schema)
        )
        return pa.Table.from_batches(found, schema)
    from pyarrow import parquet

    files = results(made, range(parts.length), "parquet", where)
    return pa.concat_tables([parquet.read_table(pa.BufferReader(data)) for _, data in files])


def _pandas(table: pa.Table) -> Any:
    """A DataFrame in which no count is rounded: where a column has gaps, it is of a type that knows them."""
    import pandas as pd
    import pyarrow as pa

    frame = pd.DataFrame({field.name: _series(table.column(field.name), field.type, pd, pa) for field in table.schema})
    about = {field.name: field.metadata or {} for field in table.schema}
    frame.attrs["units"] = {name: said[b"unit"].decode() for name, said in about.items() if b"unit" in said}
    return frame


def _series(column: Any, type: Any, pd: Any, pa: Any) -> Any:
    if pa.types.is_decimal(type):
        return column.to_pandas(types_mapper=pd.ArrowDtype)
    if column.null_count and pa.types.is_int64(type):
        return column.to_pandas(types_mapper=lambda _: pd.Int64Dtype())
    if column.null_count and pa.types.is_boolean(type):
        return column.to_pandas(types_mapper=lambda _: pd.BooleanDtype())
    return column.to_pandas()
