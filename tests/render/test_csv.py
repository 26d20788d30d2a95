"""CSV for programs: keys and numbers, and no words where a number or a truth value is wanted."""

from __future__ import annotations

import csv
import json
import re
import shlex
from io import StringIO

import pytest

from tests.helpers import run
from tscale.core.metric import Cell, Column, Figure, Label, Missing, Report, Table
from tscale.core.units import COUNT
from tscale.estimates.conventions import CONVENTIONS
from tscale.render.csv import to_csv
from tscale.render.markdown import to_markdown

COMMANDS = (
    "params gpt3",
    "params deepseek-v3",
    "params mixtral-8x7b t5-small gpt-4",
    "attention gpt3",
    "attention bert-base",
    "attention gpt3 --versus",
    "flops t5-small --tokens 1e9",
    "loss gpt3",
    "loss gpt2 --tokens 1e10 --unique-tokens 1e9 --inference-tokens 1e12",
    "design --flops 1e22",
    "list",
    "list hardware",
    "list formats",
    "list laws",
    "list claims",
    "memory llama-3.1-8b --gpu h100",
    "train gpt3 --gpu h100 --gpus 1024",
    "serve llama-3.1-8b --gpu h100",
    "optimal --flops 1e22",
    "check article",
)
KEY = re.compile(r"[a-z][a-z0-9_]*")


def rows_of(line: str) -> list[list[str]]:
    return list(csv.reader(StringIO(run(*shlex.split(line), "--format", "csv").out)))


@pytest.mark.parametrize("line", COMMANDS)
def test_headings_are_keys_and_each_stands_once(line: str) -> None:
    headings = rows_of(line)[0]
    assert len(set(headings)) == len(headings)
    assert all(map(KEY.fullmatch, headings)), headings


@pytest.mark.parametrize("line", COMMANDS)
def test_no_cell_begins_or_ends_with_a_blank(line: str) -> None:
    assert all(cell == cell.strip() for row in rows_of(line) for cell in row)


NUMBERS = {
    "attention bert-base": ("context", "growth", "kv_cache_bytes"),
    "loss gpt3": ("params", "loss", "best_with_flops_loss", "best_with_flops_tokens_per_param"),
    "optimal --flops 1e22": ("params", "loss", "exponent_low"),
    "list hardware": ("year", "bf16_flops_per_second", "fp8_flops_per_second", "watts"),
    "train gpt3 --gpu h100 --gpus 1024": ("low", "middle", "high"),
    "flops t5-small --tokens 1e9": ("training_flops", "pf_days", "ratio"),
}


@pytest.mark.parametrize("line, keys", NUMBERS.items())
def test_a_column_of_numbers_has_numbers_or_nothing(line: str, keys: tuple[str, ...]) -> None:
    headings, *rows = rows_of(line)
    for row in rows:
        for key in keys:
            cell = row[headings.index(key)]
            assert cell == "" or float(cell) >= 0


TRUTHS = {
    "attention gpt3": "beyond_trained_context",
    "loss gpt3": "extrapolated",
    "list formats": "caches",
}


@pytest.mark.parametrize("line, key", TRUTHS.items())
def test_truth_values_are_true_and_false(line: str, key: str) -> None:
    """As in JSON, row by row."""
    headings, *rows = rows_of(line)
    data = json.loads(run(*shlex.split(line), "--format", "json").out)
    listed = next(data[name] for name in ("rows", "formats") if name in data)
    assert [row[headings.index(key)] for row in rows] == [str(one[key]).lower() for one in listed]


NAMED_ROWS = {
    "params deepseek-v3": ["total", "non_embedding", "embedding", "active", "buffers"],
    "flops gpt3": list(CONVENTIONS),
    "compare gpt2 gpt3": ["training_tokens", "training_flops", "published_training_flops"],
    "design --params 7e9": ["d_model_per_layers", "d_ff_per_d_model", "heads_per_kv_heads", "params", "deviation"],
}

"""The last rows of each."""


@pytest.mark.parametrize("line, keys", NAMED_ROWS.items())
def test_rows_are_named_by_keys(line: str, keys: list[str]) -> None:
    """Those of JSON, where JSON has them."""
    assert [row[0] for row in rows_of(line)][-len(keys) :] == keys


def test_flops_by_convention_are_those_of_json() -> None:
    data = json.loads(run("flops", "t5-small", "--tokens", "1e9", "--format", "json").out)["training_flops"]
    rows = {row[0]: row[1] for row in rows_of("flops t5-small --tokens 1e9")[1:]}
    assert rows == {key: "" if value is None else str(value) for key, value in data.items()}


def report(*rows: tuple[Cell, ...]) -> Report:
    columns = (Column("quantity", "quantity", numeric=False), Column("value", "value"))
    return Report("title", (Table("", columns, rows),), {})


def test_a_row_that_is_a_part_of_another_is_named_after_it() -> None:
    """So that no two rows have one key, though a table for people indents them alike."""
    one = Figure(1, COUNT)
    parts = report(
        ("cost, US dollars", one), ("  at the lowest price", one), ("CO2e, kg", one), ("  at the lowest price", one)
    )
    assert [line.split(",")[0] for line in to_csv(parts).splitlines()[1:]] == [
        "cost_us_dollars",
        "cost_us_dollars_at_the_lowest_price",
        "co2e_kg",
        "co2e_kg_at_the_lowest_price",
    ]


def test_what_is_missing_is_empty_and_a_label_has_its_value() -> None:
    text = to_csv(
        report(
            (Label("buffers, not in the total", "buffers"), Missing("not stated")), ("plain", Label("yes", value=True))
        )
    )
    assert text == "quantity,value\nbuffers,\nplain,true\n"


# ---------------------------------------------------------------------------------------------------------------------
# Markdown
# ---------------------------------------------------------------------------------------------------------------------


def test_code_in_a_note_stays_code_in_markdown() -> None:
    """And all else that Markdown would take for markup is escaped, an unpaired backtick too."""
    noted = report()._replace(notes=("`tscale show NAME` prints d_model, a*b and `.", "`a|b`"))
    assert to_markdown(noted).endswith("\n- `tscale show NAME` prints d\\_model, a\\*b and \\`.\n- `a|b`\n")


def test_a_bar_in_code_does_not_end_a_cell() -> None:
    assert "| `a\\|b` | 1 |" in to_markdown(report(("`a|b`", Figure(1, COUNT))))


def test_a_command_in_a_note_can_be_copied_from_markdown() -> None:
    assert "`tscale show NAME`" in run("list", "laws", "--format", "markdown").out
