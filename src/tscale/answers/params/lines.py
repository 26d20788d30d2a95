"""Of `tscale params`: a line of a model, in the table and in JSON."""

from __future__ import annotations

from tscale.core.costs.params import size
from tscale.core.ledger import Buffer, Cache, Entry, Scan, Scores
from tscale.core.metric import Column, Figure, Label
from tscale.core.view import Record
from tscale.estimates.explaining import share

COLUMNS = (
    Column("part", "name", numeric=False),
    Column("copies", "stored", drop=2),
    Column("parameters", "params"),
    Column("share", "share"),
    Column("formula", "formula", drop=1, numeric=False),
)


def line_data(entry: Entry, figure: Figure) -> Record:
    """An entry with weights: its copies in memory and in products, its parameters and their formula."""
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


def line_row(entry: Entry, figure: Figure, total: int) -> Record:
    """The same for people: as a share of a total, and why there is no copy in memory."""
    record = line_data(entry, figure)
    assert not isinstance(entry, (Buffer, Scores, Scan, Cache))
    if record["stored"]:
        return {**record, "share": share(int(figure.value), total)}
    why = "numbers of each token, no weights" if entry.role == "stream_mix" else "tied to embedding.tokens"
    return {**record, "share": share(0, 1), "formula": why}


def sum_row(name: Label | str, figure: Figure, total: int, formula: str = "") -> Record:
    """The row of a sum of lines."""
    return {"name": name, "params": figure, "share": share(int(figure.value), total), "formula": formula}
