"""Tables of measured runs that are none, or that say what no machine measured: `accuracy` and `calibrate` tell in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.helpers import answer, run
from tscale.catalogue.models import configs

SERVING = [
    line
    for line in (configs() / "measured" / "serving.csv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
RUNS = list(csv.DictReader(SERVING[:4]))
STEPS = [
    line
    for line in (configs() / "measured" / "vtrain.csv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str | bytes) -> str:
    Path("t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return "t.csv"


def with_cell(column: str, cell: str) -> str:
    """Two runs of serving, the second of which has this cell."""
    with Path("t.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(RUNS[0]))
        out.writeheader()
        out.writerows([RUNS[0], {**RUNS[1], column: cell}])
    return "t.csv"


HEADING = SERVING[0]
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "t.csv: the file is empty"),
    "comments": ("# a\n\n", "t.csv: the file is empty"),
    "numbers": ("1,2\n3,4\n", "t.csv: no column says what was measured"),
    "binary": (bytes(range(256)), "t.csv:2:118: byte 0x80 is not UTF-8"),
    "a heading": (HEADING, "t.csv: holds a heading and no runs"),
    "a million columns": (",".join(map(str, range(10**6))), "t.csv:1: 1,000,000 columns: at most 1,000 are read"),
    "semicolons": (HEADING.replace(",", ";"), "t.csv:1: semicolons separate the columns: write commas"),
    "tabs": (HEADING.replace(",", "\t"), "t.csv:1: tabs separate the columns: write commas"),
    "a column twice": (f"{HEADING},isl\n{SERVING[1]},1\n", 't.csv:1: the column "isl" is there twice'),
    "a short row": (f"{HEADING}\n{SERVING[1]}\n1,2\n", "t.csv:3: 2 cells in a row of"),
    "an open quote": (f'{HEADING}\n{SERVING[1]}\n{SERVING[2]},"\n{SERVING[3]}\n', "t.csv:4: this is no CSV"),
    "a cell without end": (f"{HEADING}\n{'x' * 200_000}\n", "t.csv:2: this is no CSV: field larger"),
}


@pytest.mark.parametrize("command", ["accuracy", "calibrate"])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_table_is_refused(name: str, command: str) -> None:
    text, said = BROKEN[name]
    done = run(command, written(text))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"tscale: {said}")
    assert done.err[:-1].isprintable()


def test_a_table_of_too_many_cells_is_refused_before_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscale.calibration.measured_tables.MOST_CELLS", 60)
    done = run("accuracy", written("\n".join(SERVING[:9])))
    assert (done.code, done.err) == (1, "tscale: t.csv:5: more than 60 cells: divide the table\n")


@pytest.mark.parametrize("cell", ["nan", "inf", "0", "-1", "1e-308", "1e308", "none", "٣", "0x10"])
@pytest.mark.parametrize("column", ["tpot_ms", "ttft_ms"])
def test_what_no_machine_measured_is_told_with_its_run(column: str, cell: str) -> None:
    table = with_cell(column, cell)
    said = f'column {column}: write milliseconds above 0, not "{cell}"'
    assert run("calibrate", table).err == f"tscale: t.csv: run 2: {said}\n"
    judged = answer("accuracy", table)
    assert judged["refusals"] == [{"row": 2, "why": said}]


@pytest.mark.parametrize("column", ["tpot_ms", "ttft_ms"])
def test_a_figure_that_is_not_said_is_not_judged_and_not_calibrated_to(column: str) -> None:
    table = with_cell(column, "")
    assert run("calibrate", table).err == f"tscale: t.csv: run 2: {column} is missing: to calibrate, a run has both\n"
    assert answer("accuracy", table)["refusals"] == []


@pytest.mark.parametrize("cell", ["1e-308", "1e308", "nan", "-5"])
def test_a_step_that_no_machine_took_is_told_with_its_row(cell: str) -> None:
    row = STEPS[1].rpartition(",")[0]
    judged = answer("accuracy", written("\n".join([*STEPS[:2], f"{row},{cell}"])))
    assert judged["refusals"] == [{"row": 2, "why": f'step_ms: a number above 0 is wanted, not "{cell}"'}]


def test_a_table_without_a_column_that_runs_need_is_refused() -> None:
    without = [{name: cell for name, cell in run.items() if name != "isl"} for run in RUNS]
    with Path("t.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(without[0]))
        out.writeheader()
        out.writerows(without)
    assert run("calibrate", "t.csv").err.startswith('tscale: t.csv: a table of serving needs the column "isl"')


def test_marks_and_line_ends_of_other_machines_are_read() -> None:
    plain = answer("accuracy", written("\n".join(SERVING[:4]) + "\n"))
    other = answer("accuracy", written("\ufeff" + "\r\n".join(SERVING[:4])))
    assert plain == other


@pytest.mark.slow
def test_runs_past_the_number_of_folds_are_judged_without_their_own() -> None:
    """Half of the runs take thrice as long: judged by a calibration that knows each of them, nearly all would be right."""
    rows = list(csv.DictReader([SERVING[0], *SERVING[1:61]]))
    with Path("t.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    done = run("calibrate", "t.csv", "--format", "json")
    data = json.loads(done.out)
    assert data["runs"] == 60
    assert 0 < data["tpot"]["after"]["median"] <= data["tpot"]["after"]["p90"] < 1


@pytest.mark.slow
def test_a_calibration_with_a_cell_without_end_is_refused() -> None:
    assert run("calibrate", written("\n".join(SERVING[:3])), "-o", "own.csv").code == 0
    with Path("own.csv").open("a", encoding="utf-8") as file:
        file.write("x" * 200_000 + "\n")
    done = run("serve", "gpt2", "--gpu", "h100", "--calibration", "own.csv")
    assert done.code == 1
    assert "this is no CSV: field larger than field limit" in done.err
