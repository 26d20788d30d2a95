"""Whatever it is given, the program answers or refuses in one line. Always the same tries: `tests/fuzz/long_run.py`
makes new ones."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.files import FILES
from tests.fuzz.properties import PROPERTIES
from tests.fuzz.requests import REQUESTS
from tests.helpers import of_each, run
from tscale.catalogue.models import built_in, names
from tscale.models.validation import validated
from tscale.models.writing import plain, to_yaml
from tscale.models.yaml_file import parse_document


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PROPERTIES, *FILES, *REQUESTS])
def test_holds_of_any_input(name: str) -> None:
    one = (PROPERTIES | FILES | REQUESTS)[name]
    tried = given(*one.inputs)(one.holds)
    settings(
        max_examples=one.tries,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(tried)()


@of_each(names())
def test_a_built_in_reads_back_as_the_same_spec(name: str) -> None:
    spec = built_in(name)
    assert validated(parse_document(to_yaml(spec), "yaml")) == spec
    assert validated(parse_document(json.dumps(plain(spec)), "json")) == spec


@of_each(names())
def test_what_show_prints_reads_back(name: str) -> None:
    assert validated(parse_document(run("show", name).out, "shown")) == built_in(name)


@pytest.mark.parametrize("title", ["no", "a: b # c", "'quoted' \"twice\"", "- x", "é·×", "2026-01-01", "null "])
def test_a_title_that_yaml_could_take_for_something_else_reads_back(title: str) -> None:
    """Of a model, of two stacks, of layers of several kinds, and of one that nobody described."""
    for name in ("gpt2", "t5-small", "jamba", "gpt-4"):
        shown = run("show", name, "--set", f"title={json.dumps(title)}").out
        spec = validated(parse_document(shown, "shown"))
        assert spec.title == title
        assert run("show", "-", stdin=shown).out == shown


@pytest.mark.parametrize(
    "title",
    [
        *("-1.5e-3", "010", "0x1F", "1_000", ".5", "5.", "1:30", "~", "=", "<<"),
        *("1e5", "0o17", "08"),
    ],
)
def test_a_title_like_a_number_stays_text(title: str) -> None:
    shown = run("show", "gpt3", "--set", f"title={json.dumps(title)}").out
    assert validated(parse_document(shown, "shown")).title == title


@pytest.mark.parametrize("tokens", ["9007199254740993", "1e24", "123456789012345678901234"])
def test_great_numbers_read_back_to_the_last_digit(tokens: str) -> None:
    shown = run("show", "gpt3", "--set", f"training={{tokens: {tokens}, source: here}}").out
    assert plain(validated(parse_document(shown, "shown")))["training"]["tokens"] == int(Decimal(tokens))
