"""Every figure that ships has a source and a grade, and what is of a day is found once it is old."""

from __future__ import annotations

import ast
from datetime import date
from typing import get_args

import pytest

from tests.figures import KINDS, figures
from tests.stale import last_day, main, stale
from tscale.catalogue.models import configs
from tscale.models.spec import Evidence

GRADES = set(get_args(Evidence))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "claims"])
def test_every_figure_has_a_source_and_a_grade(kind: str) -> None:
    """But claims, which are what is held to the others' figures."""
    found = figures(kind)
    assert len(found) > 50
    assert not [each.name for each in found if not each.source or not each.evidence]
    grades = {each.evidence for each in found if each.evidence and not each.evidence.startswith("{")}
    by_kind = [ast.literal_eval(each.evidence) for each in found if each.evidence and each.evidence.startswith("{")]
    assert grades | {grade for each in by_kind for grade in each.values()} <= GRADES


@pytest.mark.parametrize("path", sorted((configs() / "measured").glob("*.csv")), ids=lambda path: path.name)
def test_a_table_of_measurements_has_a_source_and_a_grade(path: object) -> None:
    lines = (configs() / "measured" / str(path)).read_text(encoding="utf-8").splitlines()
    head = " ".join(line for line in lines if line.startswith("#"))
    columns = next(line for line in lines if not line.startswith("#")).split(",")
    assert "source" in columns or "Source: " in head
    assert "vidence: " in head
    assert any(grade in head.partition("vidence: ")[2] for grade in GRADES)


def test_every_price_and_grid_is_of_a_day_or_a_year() -> None:
    for each in figures("measured"):
        if each.file in {"measured/prices.yaml", "measured/grid.yaml"}:
            assert each.date is not None, each.name
            assert date(2020, 1, 1) < last_day(each.date)


def test_a_date_lasts_until_its_end() -> None:
    assert last_day("2025/2026") == last_day("2026") == last_day("2026-12") == date(2026, 12, 31)
    assert last_day("2026-02") == date(2026, 2, 28)
    assert last_day("2026-05-25") == date(2026, 5, 25)


def test_what_is_older_than_a_year_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert not list(stale(date(2021, 1, 1)))
    early, late = (len(list(stale(date(year, 1, 2)))) for year in (2025, 2030))
    assert 30 < early < late
    main(["2030-01-02"])
    shown = capsys.readouterr().out
    assert "2021  measured/grid.yaml: grams_per_kwh.france  67.39  Ember and the Energy Institute" in shown
    assert "measured/serving.csv: rows" in shown
    assert shown.endswith(f"{late} figures are older than a year on 2030-01-02.\n")
