"""A table of records shows the fields that its columns name, and JSON has them all."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tscale.core.metric import Column, Data, Figure, Label, Missing, Report
from tscale.core.units import BYTES, COUNT, SECONDS
from tscale.core.view import interval, view
from tscale.render.json import as_data


class Ends(NamedTuple):
    low: float
    middle: float
    high: float


ROW: dict[str, Data] = {
    "name": "a",
    "devices": 8,
    "fits": True,
    "verdict": Label("may fit", "may_fit"),
    "step": interval(Ends(1.0, 2.0, 3.0), SECONDS, "predicted"),
    "held": {"total": Figure(5, BYTES)},
    "price": None,
    "aliases": ["b", "c"],
}


def _twice(value: int) -> str:
    return f"{2 * value}"


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        (Column("", "name"), "a"),
        (Column("", "devices"), Figure(8, COUNT)),
        (Column("", "fits"), Label("yes", value=True)),
        (Column("", "verdict"), Label("may fit", "may_fit")),
        (Column("", "step"), Figure(2.0, SECONDS, "predicted")),
        (Column("", "low", of="step.low"), Figure(1.0, SECONDS, "predicted")),
        (Column("", "bytes", of="held.total"), Figure(5, BYTES)),
        (Column("", "price"), ""),
        (Column("", "price", absent=Missing("needs --price")), Missing("needs --price")),
        (Column("", "of no record"), ""),
        (Column("", "aliases"), "b, c"),
        (Column("", "devices", read=_twice), "16"),
        (Column("", "price", read=_twice, absent="none"), "none"),
    ],
)
def test_a_column_shows_its_field(column: Column, cell: object) -> None:
    assert view("", [column, None], [ROW]).rows == ((cell,),)


def test_json_has_a_label_as_programs_read_it() -> None:
    data = as_data(Report("", (), {"rows": [ROW]}))
    assert isinstance(data, dict)
    assert data["rows"][0] == {
        "name": "a",
        "devices": 8,
        "fits": True,
        "verdict": "may_fit",
        "step": {"low": 1, "middle": 2, "high": 3},
        "held": {"total": 5},
        "price": None,
        "aliases": ["b", "c"],
    }


def test_a_list_of_things_and_a_record_are_no_cells() -> None:
    with pytest.raises(AssertionError, match="a list of things is no cell: rows"):
        view("", [Column("", "rows")], [{"rows": [1, 2]}])
    with pytest.raises(AssertionError, match="a record is no cell: rows"):
        view("", [Column("", "rows")], [{"rows": {"low": 1}}])
