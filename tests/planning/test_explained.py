"""`plan --explain`, and the best plan as a system: the same figures as `train`, `memory` and `serve` give, and how they were made."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

import tscale
from tests.helpers import answer, run

TRAIN = ["plan", "gpt3", "--train", "--gpu", "h100", "--gpus", "64", "--batch", "64"]
SERVE = ["plan", "llama-3.1-8b", "--serve", "--gpu", "h100", "--ttft", "2s", "--tpot", "30ms", "--rate", "5"]


def steps(text: str) -> dict[str, tuple[str, float]]:
    """What is computed with, of each derivation, and what that comes to by Python; of several of a name, the first."""
    found: dict[str, tuple[str, float]] = {}
    for name, numbers in re.findall(r"^(\S.*)\n    = .*\n    = ([-\d.()+*/·, ]+)$", text, re.MULTILINE):
        found.setdefault(name, (numbers, eval(numbers.replace("·", "*"))))  # noqa: S307 (our own text)
    return found


@pytest.mark.slow
def test_figures_of_the_first_layout_follow_from_their_derivations() -> None:
    """The seconds are the sum of their parts, and MFU is FLOPs over devices, peak and seconds (Narayanan 2021)."""
    row = answer(*TRAIN)["rows"][0]
    found = steps(run(*TRAIN, "--explain").out)
    assert next(iter(found)) == "step_seconds"
    assert math.isclose(found["step_seconds"][1], row["step_seconds"]["middle"])
    assert math.isclose(found["mfu_predicted"][1], row["mfu"])
    assert math.isclose(found["tokens_per_second_per_gpu"][1], row["tokens_per_second_per_gpu"])
    assert found["per_device_bytes"][1] == row["per_device_bytes"]
    assert math.isclose(found["days"][1], row["days"])


@pytest.mark.slow
def test_figures_of_the_first_deployment_follow_from_their_derivations() -> None:
    row = answer(*SERVE)["rows"][0]
    found = steps(run(*SERVE, "--explain").out)
    for name in (
        "usd_per_million_output", "usd_per_million_input", "usd_per_request", "usd_per_hour", "tokens_per_second_per_gpu",
        "tokens_per_second_per_user",
    ):  # fmt: skip
        assert math.isclose(found[name][1], row[name]), name
    assert "latency" in found


@pytest.mark.slow
@pytest.mark.parametrize("words", [TRAIN, SERVE])
def test_derivations_are_of_json_and_of_pages_too(words: list[str]) -> None:
    data: Any = json.loads(run(*words, "--explain", "--format", "json").out)
    assert data["explain"]
    assert "How each number was made" in run(*words, "--explain", "--format", "html").out


def test_both_systems_of_a_comparison_are_derived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, tensor in (("a.yaml", 8), ("b.yaml", 4)):
        plan = f"model: gpt3\ngpu: h100\ngpus: 64\nbatch: 64\npipeline: 8\ntensor: {tensor}\n"
        Path(name).write_text(plan, encoding="utf-8")
    text = run("plan", "a.yaml", "--compare", "b.yaml", "--train", "--explain").out
    assert "How each number was made: a.yaml: gpt3, a step" in text
    assert "How each number was made: b.yaml: gpt3, a step" in text


@pytest.mark.slow
def test_python_explains_a_plan() -> None:
    found = tscale.plan("gpt3", train=True, gpu="h100", gpus=64, batch=64, tensor=8, pipeline=8)
    assert "step_seconds = computing + " in found.explain()


@pytest.mark.slow
def test_the_best_layout_is_kept_as_a_system_that_train_reproduces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = answer(*TRAIN)["rows"][0]
    assert run(*TRAIN, "--save", "best.yaml").code == 0
    trained = answer("train", "--system", "best.yaml")
    assert trained["plan"]["step_seconds"] == row["step_seconds"]
    assert answer("memory", "--train", "--system", "best.yaml")["per_device_bytes"]["total"] == row["per_device_bytes"]
    again = answer("plan", "--train", "--system", "best.yaml")
    assert again["rows"][0]["step_seconds"] == row["step_seconds"]
    assert again["evaluated"] < 100


@pytest.mark.slow
def test_the_best_deployment_is_kept_as_a_system_that_serve_reproduces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = answer(*SERVE)["rows"][0]
    assert run(*SERVE, "--save", "best.yaml").code == 0
    served = answer("serve", "--system", "best.yaml")
    assert served["calibration"]["fitted_source"]["tpot_seconds"] == row["tpot_seconds"]


@pytest.mark.slow
@pytest.mark.parametrize("load", [["--rate", "5", "--ttft-percentile", "90"], ["--users", "40"]])
def test_the_load_and_the_targets_are_kept_with_the_best_deployment(
    load: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the plan can be asked again, of a dearer load too; `serve` and `--compare` pass over what they do not ask."""
    monkeypatch.chdir(tmp_path)
    words = [*SERVE[:-2], *load]
    before = answer(*words)
    assert run(*words, "--save", "best.yaml").code == 0
    kept = Path("best.yaml").read_text()
    assert "ttft: 2s" in kept
    assert "tpot: 30ms" in kept
    again = answer("plan", "--serve", "--system", "best.yaml")
    assert again["rows"][0]["tpot_seconds"] == before["rows"][0]["tpot_seconds"]
    assert run("plan", "--serve", "--system", "best.yaml", "--users", "20").code == 0
    assert run("serve", "--system", "best.yaml", "--rate", "4").code == 0
    other = kept.replace("input: 2048", "input: 1024")
    Path("other.yaml").write_text(other)
    assert "input: 2048 to 1024" in run("plan", "--compare", "best.yaml", "other.yaml").out


def test_a_system_that_serve_kept_gives_a_plan_its_prompt_and_its_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["serve", "llama-3.1-8b", "--gpu", "h100", "--tensor", "2", "--context", "4k", "--concurrency", "16"]
    assert run(*words, "--save", "s.yaml").code == 0
    found = answer("plan", "--serve", "--system", "s.yaml", "--ttft", "2s")
    assert found["input"] == 4096
    assert {row["tensor"] for row in found["rows"]} == {2}
    same = answer("plan", "llama-3.1-8b", "--serve", "--gpu", "h100", "--tensor", "2", "--input", "4k", "--users", "16", "--ttft", "2s")  # fmt: skip
    assert found["rows"] == same["rows"]


@pytest.mark.slow
def test_tokens_that_nobody_gave_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens of Qwen3-VL's training are not known, and a plan's command has to name some; its days are nobody's."""
    monkeypatch.chdir(tmp_path)
    words = ["plan", "qwen3-vl-2b", "--train", "--gpu", "h100", "--gpus", "2", "--batch", "8", "--tensor", "1", "--pipeline", "1"]  # fmt: skip
    for name, more in (("a.yaml", ["--zero", "1"]), ("b.yaml", ["--zero", "2"]), ("c.yaml", ["--tokens", "1e9"])):
        assert run(*words, *more, "--save", name).code == 0
    assert "tokens" not in Path("a.yaml").read_text(encoding="utf-8")
    assert "tokens: 1000000000" in Path("c.yaml").read_text(encoding="utf-8")
    refused = run("train", "--system", "a.yaml")
    assert (refused.code, "its training tokens are not known" in refused.err) == (3, True)
    refused = run("plan", "a.yaml", "--compare", "b.yaml", "--train")
    assert (refused.code, "here as a line of both files, tokens: 300e9" in refused.err) == (3, True)


@pytest.mark.slow
def test_what_was_not_found_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("plan", "gpt3", "--train", "--gpu", "h100", "--gpus", "1", "--batch", "64", "--save", "none.yaml")
    assert done.code == 3
    assert "--save: no system was found, and none.yaml is not written." in done.out
    assert not Path("none.yaml").exists()
