"""Every row of a sweep is what the question answers alone, compiled or not, refused or not."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

import tscale
from tests.helpers import answer, run
from tscale.sweeping import compiled, evaluate
from tscale.sweeping.evaluate import Evaluator
from tscale.sweeping.job import Job, job_of
from tscale.sweeping.quotients import quotients
from tscale.sweeping.sweep import Sweep, prepared

SHAPES = ["set.layers=4..64+4", "set.d_model=256..4096+256", "set.heads=4..32+4"]


def made(question: str, model: str | None, *vary: str, **fixed: object) -> Sweep:
    return prepared(job_of(question, {**({} if model is None else {"model": model}), **fixed}, vary))


def rows(sweep: Sweep) -> list[dict[str, Any]]:
    part = Evaluator(sweep.job, sweep.columns).part(tuple((0, length) for length in sweep.job.lengths))
    return [
        dict(zip((one.name for one in sweep.columns), part.cells(row, sweep.columns), strict=True))
        for row in range(part.rows)
    ]


def words_of(job: Job, row: dict[str, Any]) -> list[str]:
    """The command line that asks one row alone."""
    words = [job.question, *([str(job.fixed["model"])] if "model" in job.fixed else [])]
    for axis in job.axes:
        value = row[axis.name]
        words += [f"--{axis.field.replace('_', '-')}", f"{axis.key}={value}" if axis.key else str(value)]
    return words


def at(data: Any, path: str) -> Any:
    """The figure at a key with dots."""
    for key in path.split("."):
        data = data[key]
    return data


@pytest.mark.slow
@pytest.mark.parametrize(
    "question, model, vary",
    [
        ("params", "gpt3", [*SHAPES, "set.d_ff=1024,3000"]),
        ("params", "llama-3.1-8b", ["set.kv_heads=1..9", "set.heads=8..40+8", "set.layers=1,7"]),
        ("params", "mixtral-8x7b", ["set.experts=1..9", "set.d_model=1024..4096+1024", "set.d_ff=999,14336"]),
        ("params", "deepseek-v3", ["set.d_model=3584,7168", "set.heads=64,128", "set.layers=4,61"]),
        ("params", "bert-base", ["set.layers=1..4", "set.vocabulary=100,30522", "set.heads=7,12"]),
        ("flops", "gpt3", [*SHAPES, "context=1,513,4096", "tokens=1,999,300e9"]),
        ("flops", "llama-3.1-8b", ["tokens=1e9,15e12,15.6e12", "context=1,8k,200k", "set.layers=32"]),
        ("flops", "gemma-3-27b", ["tokens=3,14e12", "context=1,100,8k,1M", "set.layers=6,62"]),
        ("flops", "t5-3b", ["tokens=5,1e12", "context=17,512", "set.layers=3,24"]),
        ("flops", "gpt3", ["tokens=1e18..1e24*10", "context=2k"]),
    ],
)
def test_compiled_rows_are_what_the_command_answers(question: str, model: str, vary: list[str]) -> None:
    sweep = made(question, model, *vary)
    found = rows(sweep)
    chance = random.Random(5)  # noqa: S311
    for row in chance.sample(found, min(len(found), 6)):
        done = run(*words_of(sweep.job, row), "--format", "json")
        if row["refused"] is not None:
            assert done.code != 0
            assert row["refused"] in done.err
            continue
        alone = answer(*words_of(sweep.job, row))
        for column in sweep.figures:
            assert row[column.name] == at(alone, column.name), column.name


def test_gpt_shapes_have_the_parameters_of_the_formula() -> None:
    """Of a GPT-2 block: 12·d² + 13·d with biases and norms (Radford 2019; counted by hand), two tables and a last norm."""
    for row in rows(
        made("params", "gpt2", "set.layers=1..5", "set.d_model=64..640+64", "set.d_ff=256,1000", "set.heads=1,4")
    ):
        layers, d, d_ff = (row[f"set.{name}"] for name in ("layers", "d_model", "d_ff"))
        block = 4 * d * d + 4 * d + 2 * d * d_ff + d_ff + d + 4 * d
        assert row["params.total"] == 50257 * d + 1024 * d + layers * block + 2 * d


def test_six_nd_is_exact_far_past_64_bits() -> None:
    """Brown 2020, Table D.1: C = 6·N·D."""
    for row in rows(made("flops", "gpt3", "tokens=1e9..1e18*10")):
        assert row["training_flops.six_nd"] == 6 * 174_604_259_328 * row["tokens"]


@pytest.mark.slow
def test_few_ways_serve_all_rows() -> None:
    """A comparison that pins a row to itself would leave nothing to compile."""
    sweep = made("flops", "llama-3.1-8b", *SHAPES, "context=1k..16k*2", "tokens=1e12,2e12")
    evaluator = Evaluator(sweep.job, sweep.columns)
    evaluator.part(tuple((0, length) for length in sweep.job.lengths))
    (structure,) = evaluator.structures.values()
    assert not structure.by_row
    assert len(structure.paths) <= 4


def test_a_way_that_the_question_contradicts_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compiled is asked of rows that it was not compiled from, and of one that differs nothing is kept."""
    right = compiled.path_of

    def wrong(job: Job, places: tuple[int, ...], sizes: tuple[bool, ...]) -> Any:
        path = right(job, places, sizes)
        assert not isinstance(path, str)
        return path._replace(names=(*reversed(path.names),))

    monkeypatch.setattr(evaluate, "path_of", wrong)
    sweep = made("params", "gpt2", "set.layers=1..4")
    assert [row["params.total"] for row in rows(sweep)] == [
        answer("params", "gpt2", "--set", f"layers={layers}")["params"]["total"] for layers in range(1, 5)
    ]


@pytest.mark.parametrize(
    "question, model, vary, fixed",
    [
        ("memory", "llama-3.1-8b", ["context=2k,8k", "batch=1,64", "gpu=h100,h200"], {}),
        ("train", "gpt3", ["gpus=8,1000", "gpu=h100,a100"], {"mfu": "40%"}),
        ("serve", "llama-3.1-8b", ["batch=1,32", "engine=vllm,sglang"], {"gpu": "h100"}),
        ("summary", None, ["model=gpt2,llama-3.1-8b"], {}),
    ],
)
def test_rows_answered_one_by_one_are_what_the_command_answers(
    question: str, model: str | None, vary: list[str], fixed: dict[str, object]
) -> None:
    sweep = made(question, model, *vary, **fixed)
    more = [word for name, value in fixed.items() for word in (f"--{name}", str(value))]
    for row in rows(sweep)[::3]:
        words = words_of(sweep.job, row)
        words = [words[0], words[2], *words[3:]] if "--model" in words else words
        done = run(*words, *more, "--format", "json")
        alone = json.loads(done.out)
        for column in sweep.figures:
            if not column.name.startswith("range."):
                assert row[column.name] == at(alone, column.name), column.name


def test_a_refused_row_is_a_row_with_its_reason() -> None:
    found = rows(made("params", "gpt3", "set.heads=95..97"))
    assert [row["params.total"] for row in found] == [None, 174_604_259_328, None]
    assert found[0]["refused"].startswith("attention.heads: 95 heads do not divide d_model 12288: set head_dim")


def test_a_model_whose_shape_is_not_published_is_refused_in_its_row() -> None:
    found = rows(made("params", None, "model=gpt4,gpt3"))
    assert "shape was never published" in found[0]["refused"]
    assert found[1]["params.total"] == 174_604_259_328


def test_the_last_axis_varies_fastest_whatever_is_structure() -> None:
    found = rows(made("params", None, "set.layers=1,2", "model=gpt2,gpt3", "set.vocabulary=10,20"))
    assert [(row["set.layers"], row["model"], row["set.vocabulary"]) for row in found] == [
        (layers, model, rows_) for layers in (1, 2) for model in ("gpt2", "gpt3") for rows_ in (10, 20)
    ]


def test_a_figure_that_no_column_holds_is_kept_as_text() -> None:
    """Of a column of 64 bits, one that is larger."""
    sweep = made("params", "gpt2", "set.d_ff=10,1000000000000,1000000000000000")
    narrow = Sweep(
        sweep.job,
        tuple(one._replace(kind="int64") if one.kind == "decimal128" else one for one in sweep.columns),
        sweep.rows_of_a_part,
        sweep.digest,
    )
    for wide, small in zip(rows(sweep), rows(narrow), strict=True):
        other = json.loads(small["other"] or "{}")
        for name, value in wide.items():
            if value is not None and name != "other":
                assert small[name] == value or other[name] == value


def test_a_table_of_python_holds_counts_exactly() -> None:
    frame = tscale.sweep("flops", "gpt3", vary={"set.heads": [95, 96], "tokens": ["300e9"]})
    assert int(frame["training_flops.exact"][1]) == 322_912_029_081_600_000_000_000
    assert frame["params"].tolist()[1] == 174_604_259_328
    assert frame["params"].isna().tolist() == [True, False]
    assert frame.attrs["units"]["params"] == "parameters"
    table = tscale.sweep("params", "gpt3", vary={"set.layers": range(8, 97, 8)}, table="arrow")
    assert table.column("params.total").to_pylist()[-1] == 174_604_259_328
    assert table.schema.field("params.total").metadata[b"unit"] == b"parameters"


def test_a_spec_from_python_is_swept() -> None:
    spec = tscale.load("gpt2")
    frame = tscale.sweep("params", spec, vary={"set.layers": [12, 24]}, columns=["params.total"])
    assert frame["params.total"].tolist() == [
        tscale.params("gpt2").total,
        tscale.params("gpt2", set={"layers": 24}).total,
    ]


def test_fields_that_are_set_for_every_row_stay_set() -> None:
    frame = tscale.sweep("params", "gpt2", vary={"set.layers": [12, 24]}, set={"d_ff": 1000})
    assert frame["params.total"].tolist() == [
        tscale.params("gpt2", set={"layers": layers, "d_ff": 1000}).total for layers in (12, 24)
    ]


def test_quotients_are_the_nearest_doubles() -> None:
    from fractions import Fraction

    numbers = np.array([random.Random(1).randrange(2**62) for _ in range(2000)], dtype=np.int64)  # noqa: S311
    found = quotients(numbers, 86_400 * 10**15)
    assert list(found) == [float(Fraction(int(one), 86_400 * 10**15)) for one in numbers]
