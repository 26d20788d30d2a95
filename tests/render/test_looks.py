"""What a person sees: at every width, in a pipe, in ASCII, in a spreadsheet, in a README."""

from __future__ import annotations

import csv
import io
import os
import pty
import re
import subprocess
import sys
from fractions import Fraction
from functools import cache

import pytest
from typer.testing import CliRunner

from tests.helpers import answer, run
from tscale.cli import app
from tscale.core.metric import Compared, Figure
from tscale.core.units import (
    BYTES,
    DAYS,
    FLOPS,
    FLOPS_PER_SECOND,
    GPU_HOURS,
    MFU,
    MILLISECONDS,
    PARAMETERS,
    RATIO,
    SECONDS,
    SHARE,
    TOKENS_PER_SECOND,
    USD,
    YEAR,
    as_given,
)
from tscale.render.format import cell_text, in_encoding

COMMANDS = [
    ["params", "gpt3"],
    ["params", "t5-small", "gemma-2-9b"],
    ["flops", "--tokens", "300e9"],
    ["flops", "t5-small", "--tokens", "1e12"],
    ["attention", "gpt3", "--context", "512,2k,8k,128k", "--versus"],
    ["compare", "transformer", "gpt3"],
    ["compare", "transformer", "gpt1", "gpt2", "gpt2-xl", "gpt3", "palm-540b", "llama-3.1-405b", "gpt-4"],
    ["memory", "llama-3.1-70b", "--gpu", "h100", "--gpus", "2", "--batch", "16", "--context", "8k"],
    ["memory", "gpt3", "--train", "--gpu", "a100", "--gpus", "64", "--tensor", "8", "--pipeline", "8", "--sequence"],
    ["check", "article"],
    ["list"],
    ["train", "gpt3", "--gpu", "a100", "--gpus", "64", "--batch", "64", "--tensor", "8"],
    ["optimal", "--flops", "1e24"],
    ["loss", "llama-3.1-8b"],
    ["design", "--params", "7B"],
    ["attention", "deepseek-v3"],
]
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


@cache
def shown(columns: int | None, *command: str) -> str:
    """What a terminal of so many columns shows, asked for once: several tests look at the same."""
    return run(*command, columns=columns).out


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_is_wider_than_the_terminal(command: list[str], columns: int) -> None:
    assert max(len(line) for line in shown(columns, *command).splitlines()) <= columns


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_digit_is_cut_at_any_width(command: list[str], columns: int) -> None:
    """Whatever number a narrow terminal shows stands in the wide answer too, whole."""
    whole = set(NUMBER.findall(shown(None, *command)))
    narrow = shown(columns, *command)
    tables = "\n".join(line for line in narrow.splitlines() if "  " in line)
    assert "…" not in narrow
    assert set(NUMBER.findall(tables)) <= whole


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["params", "gpt3"], "embedding.positions"),
        (["optimal", "--flops", "1e24"], "hoffmann2022-3"),
        (["list"], "gpt3"),
    ],
)
def test_rows_keep_their_names_at_any_width(command: list[str], name: str) -> None:
    assert name in run(*command, columns=24).out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_narrow_terminal_says_what_it_leaves_out(command: list[str]) -> None:
    narrow, wide = shown(80, *command), run(*command, columns=300).out
    assert "Left out at this width" not in wide
    headings = [line for line in wide.splitlines() if line.startswith(("part", "training FLOPs by", "context "))]
    for heading in headings:
        missing = [title for title in re.split(r" {2,}", heading.strip()) if title not in narrow.replace("\n", " ")]
        assert not missing or "Left out at this width" in narrow


def test_a_width_of_0_is_none() -> None:
    """Some shells and containers export COLUMNS=0; a headline must not be wrapped to nothing."""
    assert run("params", "gpt2", columns=0) == run("params", "gpt2")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_ascii_is_enough(command: list[str]) -> None:
    done = CliRunner(charset="ascii").invoke(app, command, env={"COLUMNS": "100", "NO_COLOR": None}, prog_name="tscale")
    assert done.exit_code in (0, 3)
    assert done.stderr_bytes == b""
    text = done.stdout_bytes.decode("ascii")
    assert "?" not in text


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_pipe_gets_no_escape_codes_and_no_trailing_spaces(command: list[str]) -> None:
    out = shown(None, *command)
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("no_color, escapes", [(None, True), ("1", False)])
def test_a_terminal_gets_styles_unless_it_asks_for_none(no_color: str | None, *, escapes: bool) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
    environment |= {"TERM": "xterm-256color"} | ({"NO_COLOR": no_color} if no_color else {})
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "tscale", "params", "gpt2"], stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        chunks = []
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # the other end is closed: all is read
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(leader)
    assert process.returncode == 0
    assert (b"\x1b[" in b"".join(chunks)) is escapes


@pytest.mark.parametrize("command", [*COMMANDS[:7], ["check", "article"]], ids=" ".join)
def test_csv_is_one_table_with_whole_numbers(command: list[str]) -> None:
    rows = list(csv.reader(io.StringIO(run(*command, "--format", "csv").out)))
    assert len(rows) > 3
    assert len({len(row) for row in rows}) == 1
    assert not any(re.fullmatch(r"\d{1,3}(,\d{3})+", cell) for row in rows for cell in row)


def test_csv_adds_up() -> None:
    rows = list(csv.DictReader(io.StringIO(run("params", "gpt3", "--format", "csv").out)))
    lines = [row for row in rows if row["stored"]]
    total = next(row for row in rows if row["name"] == "total")
    assert sum(int(row["params"]) for row in lines) == int(total["params"]) == 174_604_259_328


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_markdown_tables_are_tables(command: list[str]) -> None:
    """Every row of a table has as many cells as its heading, and no cell is taken for markup."""
    out = run(*command, "--format", "markdown").out
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert rows
    cells = 0
    for index, line in enumerate(rows):
        count = len(re.findall(r"(?<!\\)\|", line))
        if index + 1 < len(rows) and set(rows[index + 1]) <= set("|-:"):
            cells = count
        assert count == cells, line


@pytest.mark.parametrize(
    "figure, text",
    [
        (Figure(174_604_259_328, PARAMETERS), "174,604,259,328"),
        (Figure(2020, YEAR), "2020"),
        (Figure(314_287_666_790_400_000_000_000, FLOPS), "3.14e23"),
        (Figure(999_500_000_000, FLOPS), "1.00e12"),
        (Figure(291_648, FLOPS), "291,648"),
        (Figure(0, FLOPS), "0"),
        (Figure(4_831_838_208, BYTES), "4.83 GB"),
        (Figure(512, BYTES), "512 B"),
        (Figure(805_306_368, BYTES), "805.3 MB"),
        (Figure(Fraction(16), RATIO), "×16"),
        (Figure(Fraction(1002, 1000), RATIO), "×1.002"),
        (Figure(Fraction(2769), RATIO), "×2,769"),
        (Figure(Fraction(1, 3), SHARE), "33.33%"),
        (Figure(Fraction(1, 10**6), SHARE), "<0.01%"),
        (Figure(0, SHARE), "0.00%"),
        (Figure(Fraction(-23, 10_000), SHARE), "−0.23%"),
        (Figure(Fraction(36376, 10), PARAMETERS), "3,637.6"),
    ],
)
def test_a_figure_reads_as_people_write_it(figure: Figure, text: str) -> None:
    assert cell_text(figure) == text


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(Fraction(405321, 10), GPU_HOURS, "assumed"), "40,500"),
        (Figure(30, DAYS), "30"),
        (Figure(Fraction(264, 10), DAYS), "26.4"),
        (Figure(Fraction(999951, 1000), USD), "1,000"),
        (Figure(0.0000195634, MILLISECONDS, "bound"), "0.0000196"),
        (Figure(5.2, SECONDS, "bound"), "5.20"),
        (Figure(1549.9, TOKENS_PER_SECOND, "bound"), "1,550"),
        (Figure(123456789012, USD), "123,000,000,000"),
        (Figure(Fraction(4072, 10000), SHARE, "assumed"), "40.7%"),
        (Figure(Fraction(4072, 10000), SHARE), "40.72%"),
        (Figure(Fraction(4072, 10000), MFU), "40.7%"),
        (Figure(Fraction(2, 5), MFU), "40.0%"),
        (Figure(Fraction(1), MFU, "cited"), "100%"),
        (Figure(31_457_280, GPU_HOURS), "31,500,000"),
        (Figure(31_457_280, as_given(GPU_HOURS)), "31,457,280"),
        (Figure(Fraction("2664038.4"), as_given(GPU_HOURS)), "2,664,038.4"),
        (Figure(1e-6, SHARE, "bound"), "<0.01%"),
        (Figure(4029 * 10**11, FLOPS_PER_SECOND, "assumed"), "403 TFLOP/s"),
        (Figure(9894 * 10**11, FLOPS_PER_SECOND, "cited"), "989.4 TFLOP/s"),
        (Figure(174_604_259_328, PARAMETERS, "assumed"), "174,604,259,328"),
    ],
)
def test_estimates_have_three_significant_digits_and_counts_all(figure: Figure, text: str) -> None:
    assert cell_text(figure) == text


def test_a_bound_has_a_mark_of_its_own_in_tables_and_a_name_in_json() -> None:
    args = ("train", "llama-2-7b", "--gpu", "a100", "--gpus", "64", "--batch", "64", "--tensor", "8", "--mfu", "0.3")
    out = run(*args).out
    assert "‡ a bound: no run is better" in out and "link, s‡" in out
    assert re.search(r"full overlap \(bound\) +[0-9.]+‡ .*\n.*\npredicted +[0-9.]+§", out)
    figures = answer(*args)["figures"]
    of_plan = {path: how["known"] for path, how in figures.items() if path.startswith("plan.") and "seconds" in path}
    predicted = {path for path, known in of_plan.items() if known == "predicted"}
    assert {f"plan.step_seconds.{end}" for end in ("low", "middle", "high")} <= predicted
    assert {known for path, known in of_plan.items() if path not in predicted} == {"bound"}
    assert figures["plan.mfu_at_most"]["known"] == "bound"
    serving = answer("serve", "llama-3.1-8b", "--gpu", "h100", "--price", "2")["figures"]
    for key in ("prefill_seconds", "seconds_per_token", "tokens_per_second", "usd_per_million_output_tokens"):
        assert serving[key]["known"] == "bound"
    assumed = answer("serve", "llama-3.1-8b", "--gpu", "h100", "--efficiency", "50%")["figures"]
    for key in ("prefill_seconds", "tokens_per_second", "usd_per_million_output_tokens"):
        assert assumed[key]["known"] == "assumed"


@pytest.mark.parametrize("columns", [80, 60, 50])
@pytest.mark.parametrize(
    "command, says",
    [
        (["params", "gpt2-xl"], "a misprint: 1,558,000,000 is right"),
        (["params", "nemotron-4-340b"], "NVIDIA 2024, section 2"),
        (["flops", "transformer"], "an estimate, not a count"),
        (["check", "article"], "12,288 is gpt3's d_model"),
    ],
)
def test_a_reason_is_never_left_out(command: list[str], says: str, columns: int) -> None:
    shown = run(*command, columns=columns).out
    assert says in " ".join(shown.split())


def test_words_below_a_row_are_indented_and_wrapped_and_empty_ones_leave_no_line() -> None:
    lines = run("check", "article", columns=80).out.splitlines()
    place = lines.index("    because: Brown 2020, Table 2.1")
    assert lines[place - 1].startswith("gpt3: layers")
    assert lines[place + 1] == "    quote: layers grew from 6 to 96"
    assert lines[place + 2].startswith("transformer: heads")
    year = next(number for number, line in enumerate(lines) if line.startswith("gpt3: year"))
    assert lines[year + 1].startswith("transformer: layers")


def test_what_was_assumed_stands_between_the_title_and_the_table() -> None:
    args = ("train", "gpt3", "--gpu", "h100", "--gpus", "64")
    lines = run(*args).out.splitlines()
    assert lines[0].startswith("Training GPT-3 175B on 64 × ") and lines[1].startswith("MFU assumed: ")
    markdown = run(*args, "--format", "markdown").out.split("\n\n")
    assert markdown[0].startswith("**Training GPT-3 175B") and markdown[1].startswith("MFU assumed: ")
    assert markdown[2].startswith("Hours within ") and markdown[4].startswith("|")
    notes = answer(*args)["notes"]
    assert [note.partition(" ")[0] for note in notes[:3]] == ["MFU", "Hours", "Price"]


def test_a_compared_figure_has_its_ratio_beside_it() -> None:
    assert cell_text(Compared(Figure(96, PARAMETERS), Fraction(16))) == "96 (×16)"
    assert cell_text(Compared(Figure(5, PARAMETERS), Fraction(262_984))) == "5 (×262,984)"
    assert cell_text(Compared(Figure(5, PARAMETERS), Fraction(262_984), "assumed")) == "5 (×263,000)"
    assert cell_text(Compared(Figure(5, PARAMETERS), Fraction(12_345, 10_000), "assumed")) == "5 (×1.23)"


def test_glyphs_have_ascii_forms_only_where_they_are_needed() -> None:
    assert in_encoding("×16 · ⌈a/b⌉", "utf-8") == "×16 · ⌈a/b⌉"
    assert in_encoding("×16 · ⌈a/b⌉", "ascii") == "x16 * ceil(a/b)"
    assert in_encoding("×16", "latin-1") == "×16"
