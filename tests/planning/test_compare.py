"""`plan --compare`: a row for each field that differs, each the answer of the command with that field changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import tscale
from tests.helpers import run
from tscale.errors import RequestError, SpecError

FIRST = {"model": "llama-3.1-70b", "gpu": "h100", "tensor": 4, "input": "4k", "output": 512, "concurrency": 16}
SECOND = {**FIRST, "gpu": "h200", "concurrency": 64, "dtype": "fp8"}


def saved(folder: Path, name: str, system: dict[str, object]) -> str:
    """A system as --save writes it."""
    file = folder / name
    file.write_text("".join(f"{key}: {value}\n" for key, value in system.items()), encoding="utf-8")
    return str(file)


@pytest.mark.slow
def test_each_row_is_what_serve_says_with_one_field_changed(tmp_path: Path) -> None:
    first, second = saved(tmp_path, "a.yaml", FIRST), saved(tmp_path, "b.yaml", SECOND)
    found = tscale.plan(second, compare=first).to_dict()
    assert [(one["name"], one["before"], one["after"]) for one in found["changes"]] == [
        ("gpu", "h100", "h200"),
        ("concurrency", "16", "64"),
        ("dtype", "default", "fp8"),
    ]
    for one in found["changes"]:
        alone = tscale.serve(**{**FIRST, one["name"]: SECOND[one["name"]]}).to_dict()  # type: ignore[arg-type]
        assert one["figures"]["tpot_seconds"] == alone["tpot_seconds"]["middle"]
        assert one["figures"]["usd_per_million_output_tokens"] == alone["usd_per_million_output_tokens"]
    assert found["second"]["figures"]["ttft_seconds"] == tscale.serve(**SECOND).to_dict()["ttft_seconds"]["middle"]  # type: ignore[arg-type]


def test_a_field_that_the_first_alone_has_is_a_difference_too(tmp_path: Path) -> None:
    first, second = saved(tmp_path, "a.yaml", {**FIRST, "dtype": "fp8"}), saved(tmp_path, "b.yaml", FIRST)
    found = tscale.plan(second, compare=first).to_dict()
    assert [(one["name"], one["before"], one["after"]) for one in found["changes"]] == [("dtype", "fp8", "default")]


@pytest.mark.slow
def test_a_change_that_is_refused_alone_says_why(tmp_path: Path) -> None:
    first = saved(tmp_path, "a.yaml", {"model": "llama-3.1-8b", "gpu": "h100", "gpus": 8, "batch": 64, "zero": 3})
    second = saved(
        tmp_path, "b.yaml", {"model": "llama-3.1-8b", "gpu": "h100", "gpus": 12, "batch": 60, "zero": 3, "data": 12}
    )
    found = tscale.plan(second, compare=first, train=True).to_dict()
    by_name = {one["name"]: one for one in found["changes"]}
    assert "12" in by_name["data"]["refused"]
    assert found["second"]["refused"] is None


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (FIRST, FIRST, "say the same"),
        (FIRST, {**SECOND, "zero": 3}, "no one question asks all of"),
        ({"model": "gpt3", "gpu": "h100"}, {"model": "gpt3", "gpu": "h200"}, "compared in serving or in training"),
    ],
    ids=["same", "mixed", "any"],
)
def test_systems_that_are_not_compared(
    tmp_path: Path, first: dict[str, object], second: dict[str, object], said: str
) -> None:
    files = saved(tmp_path, "a.yaml", first), saved(tmp_path, "b.yaml", second)
    with pytest.raises(RequestError, match=said):
        tscale.plan(files[1], compare=files[0])


def test_a_file_that_is_no_system_is_refused(tmp_path: Path) -> None:
    good = saved(tmp_path, "a.yaml", FIRST)
    with pytest.raises(SpecError, match="did you mean concurrency"):
        tscale.plan(saved(tmp_path, "b.yaml", {"concurency": 3}), compare=good)
    with pytest.raises(RequestError, match="two files alone"):
        tscale.plan(good, compare=good, gpu="h100")


def test_a_system_that_cannot_be_is_refused_by_its_file(tmp_path: Path) -> None:
    good = saved(tmp_path, "a.yaml", FIRST)
    for system, said in (
        ({**FIRST, "gpu": "h1000"}, 'b.yaml: no hardware "h1000"'),
        ({**FIRST, "concurrency": -4}, "b.yaml: concurrency must be a whole number"),
        ({**FIRST, "zero": 3}, "b.yaml: zero is nothing that serve asks"),
    ):
        with pytest.raises(SpecError, match=said):
            tscale.plan(saved(tmp_path, "b.yaml", system), compare=good, serve=True)


def test_training_has_the_memory_of_its_plan_and_says_what_does_not_fit(tmp_path: Path) -> None:
    """As `memory --train` has it, and as `train` says it at its head."""
    plan = {"model": "llama-3.1-8b", "gpu": "h100", "gpus": 8, "batch": 64, "tensor": 2, "sequence": True}
    first, second = saved(tmp_path, "a.yaml", {**plan, "zero": 1}), saved(tmp_path, "b.yaml", {**plan, "zero": 0})
    report = tscale.plan(second, compare=first, train=True)
    found = report.to_dict()
    for one, zero, verdict in ((found["first"], 1, "fits"), (found["second"], 0, "does_not_fit")):
        told = tscale.memory(plan["model"], train=True, **{key: plan[key] for key in plan if key != "model"}, zero=zero)  # type: ignore[arg-type]  # fmt: skip
        assert one["figures"]["memory"] == told.to_dict()["per_device_bytes"]["total"]
        assert one["verdict"] == told.to_dict()["verdict"] == verdict
        assert tscale.train(**plan, zero=zero).to_dict()["memory"]["verdict"] == verdict  # type: ignore[arg-type]


def test_the_change_that_does_the_most_is_by_its_ratio_whichever_way(tmp_path: Path) -> None:
    """A smaller model is 5.5 times as cheap, and four times the batch 3.2 times: what does not fit has no cost."""
    first = saved(tmp_path, "a.yaml", {"model": "llama-3.1-70b", "gpu": "h100", "gpus": 4, "batch": 64})
    second = saved(tmp_path, "b.yaml", {"model": "llama-3.1-8b", "gpu": "h100", "batch": 16})
    report = tscale.plan(second, compare=first, serve=True)
    assert "changes the most with model: llama-3.1-70b to llama-3.1-8b" in report.report.title
    by_name = {one["name"]: one for one in report.to_dict()["changes"]}
    assert by_name["gpus"]["verdict"] == "does_not_fit"
    assert "gpus: 4 to default: does not fit." in report.report.notes


def test_a_comparison_keeps_no_system(tmp_path: Path) -> None:
    files = saved(tmp_path, "a.yaml", FIRST), saved(tmp_path, "b.yaml", SECOND)
    done = run("plan", files[1], "--compare", files[0], "--save", str(tmp_path / "c.yaml"))
    assert (done.code, (tmp_path / "c.yaml").exists()) == (2, False)
    assert "drop --save" in done.err
