"""`plan --train`: what it says of a layout is what `train` says of it, and what it asks the other way round comes out even."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from itertools import product
from typing import Any

import pytest

import tscale
from tests.helpers import run
from tscale.catalogue.hardware import find_hardware
from tscale.core.costs.training_setup import Training
from tscale.core.precision import PRECISIONS
from tscale.estimates.plan.search import Ask, Sized, subject_of
from tscale.models.resolve import resolve
from tscale.models.trainer import trainer
from tscale.planning.search import search

ARGS = "llama-3.2-1b --train --gpu h100 --gpus 16 --batch 64"


def _plan(args: str) -> Any:
    done = run("plan", *shlex.split(args), "--format", "json")
    assert done.err == ""
    return json.loads(done.out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "args",
    [
        f"{ARGS} --top 3",
        f"{ARGS} --top 2 --precision fp8 --recompute op,full --zero 2,3 --shards 8 --context 4k --tokens 1e12",
        f"{ARGS} --top 2 --pipeline 4 --interleave 2 --stages 2,2,3,2,2,2,2,1 --micro-batch 4 --recompute full:K",
        f"{ARGS} --top 2 --pipeline 2 --stages 9,7 --recompute full:3 --micro-batch 2",
        "mixtral-8x7b --train --gpu h100 --gpus 64 --batch 64 --top 2 --expert 2..8 --tensor 2 --expert-tensor 2",
        "llama-3.1-8b --train --gpu a100 --gpus 64 --batch 256 --top 1 --pipeline 4 --schedule zero-bubble --attention naive "
        "--stack megatron-deepspeed --attention-kernel unfused --loss in-place --offload states",
    ],
)
def test_the_command_of_a_row_gives_its_figures(args: str) -> None:
    for row in _plan(args)["rows"]:
        done = run(*shlex.split(row["command"])[1:], "--format", "json")
        assert done.code == 0, done.err
        plan = json.loads(done.out)["plan"]
        assert plan["step_seconds"] == row["step_seconds"]
        assert plan["step_seconds_at_least"] == row["step_seconds_at_least"]
        assert plan["mfu_predicted"]["middle"] == pytest.approx(row["mfu"], rel=1e-12)
        assert plan["memory"]["per_device_bytes"]["total"] == row["per_device_bytes"]
        assert plan["memory"]["verdict"] == row["verdict"]


@pytest.mark.slow
def test_the_keys_are_those_that_were_asked_for() -> None:
    found = _plan(ARGS)
    keys = {"model", "gpu", "gpus", "evaluated", "search_seconds", "rejected", "rows", "pareto", "command"}
    assert keys <= found.keys()
    row = {
        "tensor", "sequence", "context_parallel", "pipeline", "interleave", "data", "zero", "expert", "expert_tensor", "micro_batch",
        "recompute", "stages", "step_seconds", "step_seconds_at_least", "tokens_per_second_per_gpu", "mfu", "per_device_bytes", "verdict", "flags",
    }  # fmt: skip
    assert row <= found["rows"][0].keys()
    assert found["rows"][0]["flags"].keys() == {"megatron_lm", "torchtitan", "nemo"}
    assert found["evaluated"] == found["fitting"] + sum(found["rejected"].values())


@pytest.mark.slow
def test_nothing_that_fits_is_an_honest_no() -> None:
    done = run("plan", "gpt3", "--train", "--gpu", "h100", "--gpus", "8", "--batch", "8")
    assert done.code == 3
    assert done.out.startswith("No layout of GPT-3 175B on 8 ")
    assert "it fits with" in done.out


def _searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The layouts of each search, noted as they are made."""
    counts: list[int] = []

    def noted(*given: Any) -> Any:
        found = search(*given)
        counts.append(found.evaluated)
        return found

    monkeypatch.setattr("tscale.estimates.plan.search.search", noted)
    return counts


@pytest.mark.slow
def test_what_would_fit_is_looked_for_on_few_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a mixture with long sequences: 4 changes and up to 8 doublings, each on less than a tenth of the layouts of the answer."""
    counts = _searched(monkeypatch)
    done = run("plan", "deepseek-v3", "--train", "--gpu", "h100", "--gpus", "16", "--batch", "4096", "--context", "32k")
    assert done.code == 3 and "it fits with --offload weights+states+activations or 256 devices" in done.out
    asked, *tried = counts
    assert asked > 200_000 and len(tried) <= 12
    assert max(tried) < asked / 10


@pytest.mark.slow
def test_the_layouts_that_need_least_fit_where_any_does() -> None:
    """Against the search of all layouts, on either side of where the first one fits."""
    spec = resolve("llama-3.1-8b")
    for gpus, memory in product((1, 2, 4), (20, 26, 36, 50, 70, 100, 140, 200)):
        ask = Ask(batch=16, sizes=(gpus,), chips=(), given={})
        chip = ("h100", find_hardware("h100", [f"memory_gb={memory}"]))
        one = Sized(subject_of(spec, 2048), ask, chip, gpus, None)
        assert one.can_fit == (one.found.size > 0)


def test_of_devices_without_a_network_no_number_of_them_is_told() -> None:
    done = run("plan", "gpt3", "--train", "--gpu", "rtx-4090", "--gpus", "1", "--batch", "8")
    assert done.code == 3
    assert "it fits with --offload weights+states+activations.\n" in done.out


@pytest.mark.slow
def test_a_fixed_axis_is_kept_and_a_listed_one_varied() -> None:
    found = _plan(f"{ARGS} --tensor 2 --zero 1,3 --micro-batch 1 --recompute full --top 100")
    assert {row["tensor"] for row in found["rows"]} == {2}
    assert {row["zero"] for row in found["rows"]} == {1, 3}
    assert {row["recompute"] for row in found["rows"]} == {"full"}


@pytest.mark.slow
def test_given_stages_are_in_every_row() -> None:
    rows = _plan(f"{ARGS} --stages 5,4,4,3 --top 100")["rows"]
    assert {(row["pipeline"], row["interleave"], *row["stages"]) for row in rows} == {(4, 1, 5, 4, 4, 3)}


def test_stages_of_the_wrong_layers_are_refused_as_train_does() -> None:
    said = [
        run(*f"{command} --stages 5,4,4,4".split())
        for command in (f"plan {ARGS}", "train llama-3.2-1b --tokens 1e9 --gpu h100 --gpus 4 --batch 64 --pipeline 4")
    ]
    assert said[0].code == said[1].code == 2
    assert (
        said[0].err
        == said[1].err
        == "tscale: --stages has 17 layers, and llama-3.2-1b has 16: let them add up to that, such as 4,4,4,4\n"
    )


@pytest.mark.slow
def test_the_fewest_devices_for_a_time_are_too_slow_where_they_are_fewer() -> None:
    found = _plan("llama-3.2-1b --train --gpu h100 --batch 512 --tokens 1e11 --days 2 --gpus 8..64*2 --top 1")
    days, gpus = found["rows"][0]["days"], found["gpus"]
    assert days <= 2
    fewer = _plan(f"llama-3.2-1b --train --gpu h100 --batch 512 --tokens 1e11 --gpus {gpus // 2} --top 1")
    assert fewer["rows"][0]["days"] > 2


@pytest.mark.slow
def test_dollars_are_spent_on_tokens() -> None:
    found = _plan(f"{ARGS} --dollars 1e5 --price 2 --top 1")
    row = found["rows"][0]
    hours = found["tokens"] / row["tokens_per_second_per_gpu"] / 3600
    assert hours * 2 == pytest.approx(1e5, rel=1e-6)


@pytest.mark.slow
def test_a_table_over_sizes_has_the_efficiency_of_each() -> None:
    found = _plan("llama-3.2-1b --train --gpu h100,a100 --gpus 8..32 --batch 64 --top 1")
    assert [one["gpus"] for one in found["sizes"]] == [8, 16, 32] * 2
    for first, last in ((0, 2), (3, 5)):
        one, other = found["sizes"][first], found["sizes"][last]
        assert one["scaling_efficiency"] == 1
        ratio = one["step_seconds"] * one["gpus"] / (other["step_seconds"] * other["gpus"])
        assert other["scaling_efficiency"] == pytest.approx(ratio)


@pytest.mark.slow
@pytest.mark.parametrize("where", [("h100", "64..1024*4"), ("h100,h200", "1024,2048")])
def test_its_tables_are_whole_at_80_columns(where: tuple[str, str]) -> None:
    gpu, gpus = where
    said = run(
        "plan",
        "llama-3.1-8b",
        "--train",
        "--gpu",
        gpu,
        "--gpus",
        gpus,
        "--batch",
        "2048",
        "--tensor",
        "1,2",
        columns=80,
    ).out
    assert max(map(len, said.splitlines())) <= 80


def test_at_80_columns_a_layout_is_said_in_full() -> None:
    """What is recomputed stays; stages of several sizes, which no column has, stand below their row; no two rows read alike."""
    words = ("llama-3.1-8b", "--train", "--gpu", "h100", "--gpus", "64", "--batch", "512", "--pipeline", "1,2")
    said = run("plan", *words, columns=80).out
    table = said.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    heading, _, *rows = table
    assert heading.split()[:9] == ["TP", "PP", "VP", "DP", "ZeRO", "SP", "MB", "recompute", "step,"]
    assert "    also: stages 17+15" in rows
    layouts = [f"{row[: heading.index('step')]}{below}" for row, below in zip(rows, [*rows[1:], ""], strict=True)]
    layouts = [one for one in layouts if not one.startswith("    also")]
    assert len(layouts) == 10 == len(set(layouts))
    assert max(map(len, table)) <= 80


@pytest.mark.slow
def test_python_gives_axes_as_lists() -> None:
    found = tscale.plan(
        "llama-3.2-1b",
        train=True,
        gpu=["h100"],
        gpus=16,
        batch=64,
        tensor=[1, 2],
        sequence=True,
        recompute="none",
        top=3,
    ).to_dict()
    assert {row["sequence"] for row in found["rows"] if row["tensor"] == 2} <= {True}
    assert found["evaluated"] < _plan(ARGS)["evaluated"]


@pytest.mark.parametrize("asked", [ARGS, "gpt3 --serve --gpu h200 --rate 4 --ttft 2s"])
def test_without_numpy_one_line_says_what_installs_it(asked: str) -> None:
    """In a program of its own, where no module has imported numpy before."""
    code = "import sys; sys.modules['numpy'] = None; from tscale.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", *shlex.split(asked)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "tscale: plan needs numpy: `pip install '.[plan]'` in the folder of tscale's source installs it\n"
    )


@pytest.mark.slow
def test_context_parallelism_is_varied_where_it_is_listed() -> None:
    assert {row["context_parallel"] for row in _plan(f"{ARGS} --top 20")["rows"]} == {1}
    found = _plan(f"{ARGS} --context-parallel 1..2 --top 50")
    assert {row["context_parallel"] for row in found["rows"]} == {1, 2}


@pytest.mark.slow
def test_by_default_tensor_parallelism_stays_within_a_node() -> None:
    rows = tscale.plan("llama-3.1-70b", train=True, gpu="h100", gpus=64, batch=128, top=100).to_dict()["rows"]
    assert {row["tensor"] for row in rows} <= {1, 2, 4, 8}


@pytest.mark.slow
@pytest.mark.parametrize(("context", "ways"), [(8192, {1}), (65_536, {1, 2, 4, 8, 16})])
def test_long_sequences_are_cut_over_devices(context: int, ways: set[int]) -> None:
    plan = tscale.plan("llama-3.1-8b", train=True, gpu="h100", gpus=64, batch=64, context=context, top=100).to_dict()
    found = {row["context_parallel"] for row in plan["rows"]}
    assert found <= ways
    assert (len(found) > 1) == (len(ways) > 1)


@pytest.mark.slow
def test_each_framework_has_the_best_layout_that_it_has_options_for() -> None:
    plan = tscale.plan("llama-3.1-70b", train=True, gpu="h100", gpus=256, batch=512).to_dict()
    best = plan["rows"][0]["step_seconds"]["middle"]
    for framework, found in plan["frameworks"].items():
        if found is None:
            continue
        assert found["flags"]
        assert found["step_seconds"]["middle"] >= best
        same = [row for row in plan["rows"] if row["command"] == found["command"]]
        assert all(row["flags"][framework] == found["flags"] for row in same)


@pytest.mark.parametrize(
    ("batch", "says"), [([], "needs --batch"), (["--batch", "8,16"], "takes one value of --batch")]
)
def test_a_plan_is_of_steps_of_one_size(batch: list[str], says: str) -> None:
    done = run("plan", "gpt2", "--train", "--gpu", "h100", "--gpus", "8", *batch)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_a_plan_and_an_answer_agree_on_gradients_that_come_as_activations_go() -> None:
    """On one device, where a step may be one micro-batch (4) or two (2)."""
    rows = _plan(
        "llama-3.2-3b --train --precision pure-bf16 --batch 4 --gpu a100-sxm-80gb --gpus 1 --context 4096 --recompute full "
        "--micro-batch 2,4 --top 20 --loss plain-kept"
    )["rows"]
    spec = resolve("llama-3.2-3b")
    held = {}
    for row in rows:
        asked = Training(
            PRECISIONS["pure-bf16"], micro_batch=row["micro_batch"], recompute="full", loss="plain-kept", batch=4
        )
        total, least = trainer(spec, asked, 4096).totals()
        assert (row["per_device_bytes"], row["least_total_bytes"]) == (total, least)
        held[row["micro_batch"]] = total
    assert set(held) == {2, 4}
