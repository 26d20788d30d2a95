"""What is numbers of one system knows of no table, no column and no report: those are made of it in `answers`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tscale.estimates

SHOWN = {"Report", "Table", "Column", "Detail", "view"}


def shown_in(source: str) -> Iterator[str]:
    """The names of what answers are shown with that a source imports, or reads of a module."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        names += [node.attr] if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else []
        yield from (name for name in names if name in SHOWN)


def test_it_finds_what_is_imported_and_what_is_read_of_a_module() -> None:
    source = "from tscale.core.metric import Figure, Table as T\nfrom tscale.core import metric\nmetric.Column"
    assert list(shown_in(source)) == ["Table", "Column"]


@pytest.mark.slow
def test_estimates_make_no_tables() -> None:
    room = Path(tscale.estimates.__file__).parent
    found = {
        str(path.relative_to(room)): list(shown_in(path.read_text(encoding="utf-8"))) for path in room.rglob("*.py")
    }
    assert len(found) > 40
    assert {name: names for name, names in found.items() if names} == {}
