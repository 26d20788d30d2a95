"""`tscale list` and `tscale show`: what is built in, and a spec as it stands."""

from __future__ import annotations

from tscale.core.quantity import Column, Data, Figure, Missing, Report, Table
from tscale.core.units import YEAR
from tscale.spec.catalogue import listed
from tscale.spec.claims import listed_claims


def models_report() -> Report:
    """The built-in models, oldest first."""
    columns = (
        Column("name", "name", numeric=False),
        Column("model", "title", numeric=False),
        Column("year", "year"),
        Column("kind", "kind", numeric=False),
        Column("also known as", "aliases", drop=1, numeric=False),
    )
    models = listed()
    rows = tuple((model.name, model.title, _year(model.year), model.kind, ", ".join(model.aliases)) for model in models)
    data: Data = {
        "models": [
            {
                "name": model.name,
                "title": model.title,
                "year": model.year,
                "kind": model.kind,
                "aliases": list(model.aliases),
            }
            for model in models
        ]
    }
    return Report("Built-in models", (Table("Built-in models", columns, rows),), data)


def _year(year: int | None) -> Figure | Missing:
    return Missing("") if year is None else Figure(year, YEAR)


def claims_report() -> Report:
    """The files of claims that are shipped."""
    names = listed_claims()
    table = Table(
        "Claims to audit with `tscale check NAME`", (Column("name", "name", numeric=False),), tuple((n,) for n in names)
    )
    return Report("Claims", (table,), {"claims": list(names)})
