"""Tables of records: an answer's rows are written once, as programs read them, and a table names the fields that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tscale.core.metric import Cell, Column, Data, Figure, Known, Label, Missing, Table
from tscale.core.tracing import Recordable
from tscale.core.units import COUNT, Unit

Record = Mapping[str, Data]


def view(title: str, columns: Iterable[Column | None], records: Iterable[Record], **how: Any) -> Table:
    """The table of records, under those of the columns that are there; `how`: the other fields of a `Table`.

    A whole number stands for so many, an interval for its middle, a list of words for all of them.

    >>> made = view("", [Column("devices", "gpus")], [{"gpus": 8, "fits": True}])
    >>> made.rows[0][0].value
    8
    """
    shown = tuple(column for column in columns if column is not None)
    return Table(title, shown, tuple(tuple(_cells(record, shown)) for record in records), **how)


def interval(found: NamedTuple, unit: Unit, known: Known) -> dict[str, Data]:
    """The ends of an interval, under their own names."""
    return {name: Figure(value, unit, known) for name, value in found._asdict().items()}


def _cells(record: Record, columns: Sequence[Column]) -> Iterator[Cell]:
    for column in columns:
        yield cell_of(_field(record, column.of or column.key), column)


def _field(record: Record, path: str) -> Data:
    """A field of a record, or of one within it: `step_seconds.low`."""
    own, _, rest = path.partition(".")
    value = record.get(own)
    return _field(value, rest) if rest and isinstance(value, Mapping) else value


def cell_of(value: Data, column: Column) -> Cell:
    """What a table shows of a field."""
    if value is None:
        return column.absent
    if column.read is not None:
        return column.read(value)
    match value:
        case bool():
            return Label("yes" if value else "", value)
        case int() | Recordable():
            return Figure(value, COUNT)
        case Figure() | Missing() | Label() | str():
            return value
        case Mapping() if "middle" in value:
            return cell_of(value["middle"], column)
        case _:
            return ", ".join(_words(value, column))


def _words(value: Data, column: Column) -> Iterator[str]:
    """The words of a list of them."""
    assert isinstance(value, Sequence), f"a record is no cell: {column.key}"
    for word in value:
        assert isinstance(word, str), f"a list of things is no cell: {column.key}"
        yield word
