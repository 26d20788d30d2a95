"""The columns of a sweep: each of one kind, with its unit and source, settled before the first row is written.

Counts are whole numbers of 64 bits, or of 38 digits where the largest of them pass those; what is measured is a double. A
figure that its column cannot hold as it is stands in the column `other`, as JSON, so that nothing is rounded or lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from tscale.core.metric import Figure, Known
from tscale.core.units import BYTES, COUNT, FLOPS, FLOPS_PER_TOKEN, OPERATIONS, PARAMETERS, TOKENS, Unit
from tscale.sweeping.exact import as_ints
from tscale.sweeping.wide import Wide, as_wide

Kind = Literal["int64", "decimal128", "double", "bool", "text"]
REFUSED: Final = "refused"
OTHER: Final = "other"
_ROOM: Final = 2**62
"""Of the rows that are looked at first: half of what 64 bits hold, since others may be larger."""
MOST_DIGITS: Final = 10**38


class Column(NamedTuple):
    """A column: its key, what it holds, and the unit and the source of its figures; `axis`: whether it is varied."""

    name: str
    kind: Kind
    unit: Unit = COUNT
    known: Known = "exact"
    source: str = ""
    axis: bool = False


@dataclass
class Part:
    """Neighbouring rows: of each column an array, and which of its rows have a value; None where all have.

    Of `decimal128` the array is a `Wide`, of text an array of objects. A column that is not here has no value in any row.
    """

    rows: int
    data: dict[str, Any]
    has: dict[str, Any]

    def cells(self, row: int, columns: Iterable[Column]) -> list[Any]:
        """A row in Python's own numbers."""
        return [self._cell(row, column) for column in columns]

    def _cell(self, row: int, column: Column) -> Any:
        if column.name not in self.data:
            return None
        has, data = self.has[column.name], self.data[column.name]
        if has is not None and not has[row]:
            return None
        if isinstance(data, Wide):
            return int(data.high[row]) * 2**64 + int(data.low[row])
        value = data[row]
        return value.item() if isinstance(value, np.generic) else value


def plain(cell: object) -> Any:
    """A cell in Python's own numbers: a figure's value, whole ones as ints."""
    value = cell.value if isinstance(cell, Figure) else cell
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    assert isinstance(value, (float, Fraction))
    return int(value) if value == int(value) else float(value)


def columns_of(answers: Iterable[Mapping[str, Any]]) -> list[Column]:
    """The columns that hold the figures of some rows."""
    cells: dict[str, list[Any]] = {}
    for answer in answers:
        for name, cell in answer.items():
            cells.setdefault(name, []).append(cell)
    found = [_column(name, own) for name, own in cells.items()]
    return [column for column in found if column is not None]


def _column(name: str, cells: list[Any]) -> Column | None:
    """The column of some cells; None where there is nothing in any of them."""
    figure = next((cell for cell in cells if isinstance(cell, Figure)), None)
    values = [value for value in map(plain, cells) if value is not None]
    if not values:
        return None
    kind = _kind(values, counts=_counts(figure))
    return Column(name, kind) if figure is None else Column(name, kind, figure.unit, figure.known, figure.source)


_COUNTED: Final = frozenset(
    unit.name for unit in (COUNT, PARAMETERS, TOKENS, OPERATIONS, FLOPS, FLOPS_PER_TOKEN, BYTES)
)


def _counts(figure: Figure | None) -> bool:
    """Whether a figure counts, so that it is whole in every row."""
    return figure is None or figure.unit.name in _COUNTED


def _kind(values: list[Any], *, counts: bool) -> Kind:
    if any(isinstance(value, str) for value in values):
        return "text"
    if all(isinstance(value, bool) for value in values):
        return "bool"
    if not counts or any(isinstance(value, float) for value in values):
        return "double"
    return "int64" if all(abs(value) < _ROOM for value in values) else "decimal128"


def _zeros(rows: int, kind: Kind) -> Any:
    if kind == "decimal128":
        return Wide(np.zeros(rows, dtype=np.uint64), np.zeros(rows, dtype=np.uint64))
    types: dict[Kind, Any] = {"int64": np.int64, "double": np.float64, "bool": bool, "text": object}
    return np.zeros(rows, dtype=types[kind])


def as_column(value: Any, kind: Kind) -> Any:
    """An array, a `Wide` or a number as a column of a kind holds it; None where it cannot hold all of it."""
    if isinstance(value, Wide):
        return value if kind == "decimal128" else None
    if kind in ("text", "bool"):
        own = (str, object) if kind == "text" else (bool, bool)
        return value if isinstance(value, own[0]) or getattr(value, "dtype", None) == own[1] else None
    if isinstance(value, (str, bool)):
        return None
    if kind == "decimal128":
        return _as_decimal(value)
    return _as_words(value, np.float64 if kind == "double" else np.int64)


def _as_decimal(value: Any) -> Wide | None:
    if isinstance(value, np.ndarray):
        if value.dtype == object or value.dtype.kind == "f" or (value.size and value.min() < 0):
            return _split(value)
        return as_wide(value)
    return as_wide(value) if isinstance(value, int) and 0 <= value < MOST_DIGITS else None


def _split(value: Any) -> Wide | None:
    """Python's ints as two words each; None where one of them is no such number."""
    if not all(isinstance(one, int) and 0 <= one < MOST_DIGITS for one in value.flat):
        return None
    high = np.array([one >> 64 for one in value.flat], dtype=np.uint64).reshape(value.shape)
    low = np.array([one & (2**64 - 1) for one in value.flat], dtype=np.uint64).reshape(value.shape)
    return Wide(high, low)


def _as_words(value: Any, type: Any) -> Any:
    """Numbers as int64 or doubles, where they are the same numbers then."""
    array = np.asarray(value)
    if array.dtype == type:
        return array
    try:
        changed = array.astype(type)
    except (OverflowError, ValueError, TypeError):
        return None
    same = as_ints(changed) == as_ints(array) if array.dtype == object else changed == array
    exact = array.dtype == object or array.dtype.kind == "f" or not array.size or np.abs(array).max() < 2**53
    return changed if np.all(same) and (exact or type is np.int64) else None


def put(part: Part, column: Column, rows: Any, held: Any) -> None:
    """Puts what a column holds into some of its rows, or into all of them where `rows` is None."""
    name = column.name
    if rows is None:
        part.data[name], part.has[name] = held, None
        return
    if name not in part.data:
        part.data[name], part.has[name] = _zeros(part.rows, column.kind), np.zeros(part.rows, dtype=bool)
    data = part.data[name]
    if isinstance(data, Wide):
        data.high[rows], data.low[rows] = held.high, held.low
    else:
        data[rows] = held
    part.has[name][rows] = True


def as_text(left: Mapping[str, Any]) -> str:
    """Figures without a column, as JSON."""
    return json.dumps({name: plain(cell) for name, cell in left.items()}, ensure_ascii=False)
