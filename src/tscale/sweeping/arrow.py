"""Parts of a sweep as Arrow tables, and as the bytes of Parquet and CSV files; pyarrow is imported here alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from tscale.core.sources import cited
from tscale.sweeping import need
from tscale.sweeping.columns import Column, Part
from tscale.sweeping.evaluate import Evaluator
from tscale.sweeping.grid import Block, Blocks
from tscale.sweeping.wide import Wide

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "csv"]
ROWS_AT_ONCE: Final = 2**16
"""Rows that are computed at once: their arrays stay in the caches of a core."""
_DIGITS: Final = 38


def need_arrow(what: str) -> None:
    """Raises `RequestError` where pyarrow is not installed."""
    need("pyarrow", what, "sweep")


def schema_of(columns: Iterable[Column], about: Mapping[str, object]) -> pa.Schema:
    """The schema: each field with its unit, how it is known and its source; and what the sweep is about."""
    import pyarrow as pa

    types = {
        "int64": pa.int64(),
        "decimal128": pa.decimal128(_DIGITS, 0),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "text": pa.string(),
    }
    fields = [pa.field(one.name, types[one.kind], metadata=_about(one)) for one in columns]
    return pa.schema(fields, metadata={"tscale": json.dumps(about, ensure_ascii=False)})


def _about(column: Column) -> dict[str, str] | None:
    if column.axis or column.kind == "text":
        return None
    said = {"unit": column.unit.name, "known": column.known, "source": cited(column.source)}
    return {key: text for key, text in said.items() if text}


def batch_of(part: Part, columns: Sequence[Column], schema: pa.Schema) -> pa.RecordBatch:
    """A part as a record batch."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(
        [_array(part, one, schema.field(one.name).type) for one in columns], schema=schema
    )


def _array(part: Part, column: Column, type: Any) -> Any:
    import pyarrow as pa

    if column.name not in part.data:
        return pa.nulls(part.rows, type)
    data, has = part.data[column.name], part.has[column.name]
    if not isinstance(data, Wide):
        return pa.array(data, type=type, mask=None if has is None else ~has)
    words = np.empty((part.rows, 2), dtype=np.uint64)
    words[:, 0], words[:, 1] = data.low, data.high
    valid = None if has is None else pa.py_buffer(np.packbits(has, bitorder="little").tobytes())
    return pa.Array.from_buffers(type, part.rows, [valid, pa.py_buffer(words)])


def batches(evaluator: Evaluator, block: Block, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of a block in the order of the sweep, a piece at a time."""
    pieces = Blocks.within(block, ROWS_AT_ONCE)
    for piece in range(pieces.length):
        yield batch_of(evaluator.part(pieces.at(piece)), evaluator.columns, schema)


def encoded(evaluator: Evaluator, block: Block, schema: pa.Schema, format: Format, *, first: bool) -> Any:
    """The bytes of a part as a file of a format; `first`: of CSV, whether the headings stand above them."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    if format == "csv":
        from pyarrow import csv

        with csv.CSVWriter(sink, schema, write_options=csv.WriteOptions(include_header=first)) as lines:
            for batch in batches(evaluator, block, schema):
                lines.write_batch(batch)
        return sink.getvalue()
    from pyarrow import parquet

    with parquet.ParquetWriter(sink, schema, **_parquet_options(evaluator.columns)) as writer:
        for batch in batches(evaluator, block, schema):
            writer.write_batch(batch)
    return sink.getvalue()


def _parquet_options(columns: Sequence[Column]) -> dict[str, Any]:
    """Values of axes and texts come again and again; figures hardly do, and a dictionary of them costs time for nothing."""
    return {
        "compression": "snappy",  # what every reader knows
        "use_dictionary": [one.name for one in columns if one.axis or one.kind == "text"],
        "write_statistics": [one.name for one in columns if one.axis],
    }
