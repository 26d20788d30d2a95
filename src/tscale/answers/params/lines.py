"""Of `tscale params`: a line of a model, in the table and in JSON."""

from __future__ import annotations

from tscale.core.costs.params import size
from tscale.core.ledger import Buffer, Cache, Entry, Scan, Scores
from tscale.core.metric import Cell, Column, Data, Figure
from tscale.core.units import COUNT
from tscale.estimates.explaining import share

COLUMNS = (
    Column("part", "name", numeric=False),
    Column("copies", "stored", drop=2),
    Column("parameters", "params"),
    Column("share", "share"),
    Column("formula", "formula", drop=1, numeric=False),
)


def row(entry: Entry, figure: Figure, total: int) -> tuple[Cell, ...]:
    """The row of an entry with weights, as a share of a total."""
    assert not isinstance(entry, (Buffer, Scores, Scan, Cache))
    if not entry.stored and entry.role == "stream_mix":
        return (entry.name, Figure(0, COUNT), figure, share(0, 1), "numbers of each token, no weights")
    if not entry.stored:
        return (entry.name, Figure(0, COUNT), figure, share(0, 1), "tied to embedding.tokens")
    return (entry.name, Figure(entry.stored, COUNT), figure, share(int(figure.value), total), figure.formula)


def line_data(entry: Entry, figure: Figure) -> Data:
    """The same for JSON."""
    assert not isinstance(entry, (Buffer, Scores, Scan, Cache))
    used = getattr(entry, "used", 0)  # tables are read and vectors applied elementwise: no copy is used in a product
    return {
        "name": entry.name,
        "part": entry.part,
        "stored": int(entry.stored),
        "used": int(used),
        "params": figure,
        "params_per_copy": int(size(entry)),
        "formula": figure.formula,
    }
