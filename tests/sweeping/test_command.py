"""What the command shows: the first rows for people, all of them for programs, and pictures of two columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tscale
from tests.helpers import answer, run
from tscale.render import progress
from tscale.sweeping import show
from tscale.sweeping.grid import Blocks, places_of, rows_of, whole
from tscale.sweeping.job import QUESTIONS


def test_the_first_rows_are_shown_and_how_many_more_there_are() -> None:
    done = run("sweep", "params", "gpt3", "--vary", "set.layers=1..96", columns=80)
    assert done.out.startswith("params of gpt3 over set.layers (96): 96 rows\n")
    assert "84 more rows: -o FILE.parquet or FILE.csv writes all of them." in done.out
    assert len(done.out.splitlines()) < 24
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_headline_says_from_where_to_where_the_first_figure_goes() -> None:
    done = run("sweep", "params", "gpt3", "--vary", "set.layers=48,96")
    assert done.out.startswith(
        "params of gpt3 over set.layers (2): 2 rows, params.total 87,623,503,872 to 174,604,259,328\n"
    )


def test_json_has_all_rows_and_the_digits_of_large_counts() -> None:
    data = answer("sweep", "flops", "gpt3", "--vary", "tokens=3e11,6e11", "--vary", "context=2k")
    assert data["axes"] == {"tokens": 2, "context": 1}
    assert [row["training_flops.exact"] for row in data["rows"]] == [
        322_912_029_081_600_000_000_000,
        645_824_058_163_200_000_000_000,
    ]
    assert data["digits"]["rows[0].training_flops.exact"] == "322912029081600000000000"
    assert data["figures"]["rows[].training_flops.exact"]["unit"] == "FLOPs"
    assert data["figures"]["rows[].training_flops.six_nd"]["source"] == "Brown 2020, Table D.1"


def test_csv_has_the_reason_of_a_refused_row() -> None:
    lines = run("sweep", "params", "gpt3", "--vary", "set.heads=95,96", "--format", "csv").out.splitlines()
    assert lines[0] == "set.heads,params.total,params.embedding,params.non_embedding,params.active,refused"
    assert lines[1].startswith('95,,,,,"attention.heads: 95 heads do not divide d_model 12288')
    assert lines[2].startswith("96,174604259328,")


def test_columns_are_chosen() -> None:
    words = ["sweep", "flops", "gpt3", "--vary", "tokens=3e11", "--columns", "pf_days,training_flops.exact"]
    assert run(*words, "--format", "csv").out == (
        "tokens,training_flops.exact,pf_days\n300000000000,322912029081600000000000,3637.588736\n"
    )


def test_options_of_the_question_hold_for_every_row() -> None:
    words = ["sweep", "train", "gpt3", "--gpu", "h100", "--mfu=40%", "--vary", "gpus=512,1024", "--set", "layers=48"]
    data = answer(*words)
    alone = tscale.train("gpt3", gpu="h100", mfu=0.4, gpus=1024, set={"layers": 48})
    assert data["rows"][1]["days"] == alone.days


def test_the_engine_of_serve_is_not_that_of_the_sweep() -> None:
    words = ["sweep", "serve", "llama-3.1-8b", "--gpu", "h100", "--engine", "sglang", "--vary", "batch=1"]
    assert answer(*words)["rows"][0]["engine"] == "sglang"


def test_a_spec_on_standard_input_is_read_once() -> None:
    spec = run("show", "gpt2").out
    done = run("sweep", "params", "-", "--vary", "set.layers=11,12", "--format", "csv", stdin=spec)
    assert done.out.splitlines()[-1].startswith("12,124439808,")


def test_a_picture_has_a_series_for_each_value() -> None:
    pytest.importorskip("plotext")
    words = ["sweep", "params", "gpt3", "--vary", "set.layers=1..9", "--vary", "set.d_ff=1000,2000"]
    done = run(*words, "--plot", "set.layers,params.total,set.d_ff", columns=80)
    assert "1000" in done.out.partition("params of gpt3\n")[2]


def test_a_picture_that_cannot_be_drawn_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("sweep", "params", "gpt3", "--vary", "set.layers=1..9", "-o", "x.csv", "--plot", "layers,params.total")
    assert (done.code, done.out) == (2, "")
    assert done.err == "tscale: --plot: no column layers: did you mean set.layers?\n"
    assert not list(tmp_path.iterdir())


def test_a_cluster_is_of_what_is_written() -> None:
    pytest.importorskip("distributed")
    done = run(
        "sweep", "params", "gpt3", "--vary", "set.layers=1,2", "--engine", "dask", "--scheduler", "tcp://127.0.0.1:1"
    )
    assert (done.code, done.out) == (2, "")
    assert done.err == "tscale: --engine dask computes what -o writes: add -o FILE.parquet or -o FILE.csv\n"


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_figures_to_show_first(question: str) -> None:
    words = {
        "optimal": ["--vary", "flops=1e22"],
        "design": ["--vary", "params=1e9"],
        "train": ["gpt3", "--vary", "gpu=h100", "--gpus", "8"],
        "attention": ["gpt3", "--vary", "context=2k"],
        "serve": ["gpt2", "--vary", "gpu=h100"],
        "loss": ["gpt3", "--vary", "tokens=1e11"],
    }.get(question, ["gpt3", "--vary", "set.layers=2"])
    done = run("sweep", question, *words, "--format", "markdown")
    assert done.code == 0, done.err
    wanted = show.HEADLINES[question][0].replace("*", "")
    assert wanted.replace("_", "\\_") in done.out


def test_the_schema_of_a_sweep_is_that_of_its_json() -> None:
    schema = json.loads(run("schema", "result", "sweep").out)
    data = answer("sweep", "params", "gpt3", "--vary", "set.heads=95,96")
    assert set(schema["required"]) <= set(data)
    assert set(data) <= set(schema["properties"])
    legal: Any = {"number": (int, float), "string": str, "boolean": bool, "null": type(None)}
    kinds = tuple(legal[one] for one in schema["properties"]["rows"]["items"]["additionalProperties"]["type"])
    assert all(isinstance(value, kinds) for row in data["rows"] for value in row.values())


def test_blocks_cover_every_row_once_and_in_order() -> None:
    for lengths in ((3, 4, 5), (1, 1), (7,), (2, 1, 9), (100, 3)):
        for most in (1, 2, 7, 20, 1000):
            blocks = Blocks.within(whole(lengths), most)
            seen = []
            for place in range(blocks.length):
                block = blocks.at(place)
                assert rows_of(block) <= max(most, 1)
                own = [stop - start for start, stop in block]
                for row in range(rows_of(block)):
                    inner = places_of(row, own)
                    seen.append(tuple(start + at for (start, _), at in zip(block, inner, strict=True)))
            total = rows_of(whole(lengths))
            assert seen == [places_of(row, lengths) for row in range(total)]


def test_progress_says_rows_and_their_rate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress("params", 1000, rows=True) as advance:
        advance(500)
        advance(500)
    assert "1,000/1,000" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["grpo", "dpo"])
@pytest.mark.parametrize("question", ["memory", "train", "flops"])
def test_a_row_of_a_method_is_the_answer_of_its_step(question: str, method: str) -> None:
    """And not that of pre-training with the same options."""
    words = [question, "gpt2", "--method", method]
    words += {"memory": ["--train"], "train": ["--gpu", "h100", "--gpus", "8"], "flops": []}[question]
    words += ["--batch", "64"] if question == "train" else []
    (row,) = answer("sweep", *words, "--vary", "context=768")["rows"]
    alone = dict(_leaves(answer(*words, "--context", "768"), ""))
    assert row["method"] == method
    compared = [name for name in row if name in alone and name != "context"]
    assert len(compared) > 3
    assert [row[name] for name in compared] == [alone[name] for name in compared]


def _leaves(data: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def test_a_number_of_thousands_of_digits_is_no_number() -> None:
    """Python reads none, and a field of the spec refuses it."""
    done = run("sweep", "params", "gpt2", "--vary", f"set.layers={'9' * 5000}", "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert "too many digits" in json.loads(done.out)["rows"][0]["refused"]


@pytest.mark.parametrize("axis", ["assume", "set.title"])
def test_a_value_that_steers_a_terminal_is_refused(axis: str) -> None:
    """It would stand in a column of its own, and be printed as it is."""
    done = run("sweep", "memory", "gpt2", "--vary", f"{axis}=a\x1b[31m")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"tscale: --vary {axis} takes values that can be shown in a row, not ")
    assert done.err[:-1].isprintable()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["params", "gpt3", "--vary", "set.layrs=1..8"], '--vary set.layrs: unknown key "layrs": did you mean layers?'),
        (
            ["params", "gpt3", "--vary", "set.layers=1..3", "--set", "layers=2"],
            "set.layers is both given and varied: drop one of them",
        ),
        (
            ["memory", "gpt3", "--vary", "lora_rank=8,16"],
            "--lora-rank is of training: add --train, or drop it (each row of the sweep is refused so)",
        ),
        (
            ["serve", "gpt3", "--gpu", "h100", "--vary", "rate=5,10", "--vary", "concurrency=1,2"],
            "--rate and --concurrency say the same: give one of them (each row of the sweep is refused so)",
        ),
    ],
)
def test_what_no_row_could_answer_is_refused_in_a_line(words: list[str], said: str) -> None:
    done = run("sweep", *words)
    assert (done.code, done.out, done.err) == (2, "", f"tscale: {said}\n")


def test_rows_that_contradict_themselves_are_told_beside_those_that_do_not() -> None:
    rows = answer("sweep", "memory", "gpt2", "--vary", "train=true,false", "--vary", "lora_rank=8,16")["rows"]
    assert [row["refused"] is None for row in rows] == [True, True, False, False]


def test_lengths_of_attention_may_be_a_range() -> None:
    rows = answer("sweep", "attention", "gpt2", "--vary", "context=1k..4k+1k")["rows"]
    assert [row["context"] for row in rows] == [1024, 2048, 3072, 4096]
    alone = answer("attention", "gpt2", "--context", "3k")["rows"][0]
    assert rows[2]["attention_share"] == alone["attention_share"]
