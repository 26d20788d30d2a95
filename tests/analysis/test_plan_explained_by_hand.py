"""Derivations of a plan's first row, in their order and with the numbers that they are made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tscale.analysis import plan_explained
from tscale.analysis.plan_explained import given_by, method_steps, serve_steps, train_steps
from tscale.analysis.questions import question
from tscale.core.metric import Figure, Step
from tscale.core.units import BYTES


def _step(name: str) -> Step:
    return Step(name, name, "1", Figure(1, BYTES))


def test_dollars_of_a_deployment_follow_from_its_price_and_its_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 devices at 6 dollars an hour together: 1.5 each. 0.5 requests a second are 1,800 an hour."""
    monkeypatch.setattr(plan_explained, "_reproduced", lambda command: (None, (_step(command),)))
    row: dict[str, Any] = {
        "gpus": Figure(4, BYTES), "usd_per_hour": Figure(6.0, BYTES), "requests_per_second": Figure(0.5, BYTES),
        "usd_per_request": Figure(6 / 1800, BYTES), "tokens_per_second_per_gpu": Figure(12.5, BYTES), "tpot_seconds": {"middle": Figure(0.02, BYTES)},
        "tokens_per_second_per_user": Figure(50.0, BYTES), "usd_per_million_output": Figure(25.0, BYTES), "prompt_share": 0.25,
    }  # fmt: skip
    data: Any = {"rows": [row, {}], "output": 100, "prompt_share": Figure(0.25, BYTES)}
    found = {step.name: step for step in serve_steps(data, "the command")}
    assert list(found)[-1] == "the command"
    assert found["usd_per_hour"].numbers == "4·1.5"
    assert found["usd_per_request"].numbers == "6/3600/0.5"
    assert found["tokens_per_second_per_gpu"].numbers == "0.5·100/4"
    assert found["tokens_per_second_per_user"].numbers == "1/0.02"
    assert found["usd_per_million_output"].numbers.endswith("·(1 - 0.25)/100")
    assert "usd_per_million_input" not in found  # of which the row has no figure
    free: Any = {"rows": [{"gpus": Figure(4, BYTES)}]}
    assert [step.name for step in serve_steps(free, "the command")] == ["the command"]


def test_a_layout_is_derived_from_its_step_and_then_from_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a plan's headline is of, what follows from it, what a device holds, and all else that a step is made of."""
    steps = tuple(map(_step, ("computing", "step_seconds", "traffic", "mfu_predicted")))
    monkeypatch.setattr(plan_explained, "_reproduced", lambda _: (SimpleNamespace(batch=8), steps))
    monkeypatch.setattr(plan_explained, "_memory", lambda _: iter([_step("per_device_bytes")]))
    row = {"step_seconds": {"middle": Figure(2.0, BYTES)}, "gpus": 4, "tokens_per_second_per_gpu": Figure(100.0, BYTES)}
    data: Any = {"rows": [row], "context": Figure(100, BYTES), "tokens": 10**6}
    found = list(train_steps(data, "the command"))
    assert [step.name for step in found] == [
        "step_seconds", "mfu_predicted", "tokens_per_second_per_gpu", "per_device_bytes", "computing", "traffic",
    ]  # fmt: skip
    assert found[2].numbers == "8·100/2/4"


def test_a_step_after_pre_training_is_derived_as_train_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_explained, "_reproduced", lambda command: (None, (_step(command),)))
    assert [step.name for step in method_steps({}, "the command")] == ["the command"]


def test_the_bytes_of_a_device_are_the_sum_of_their_parts() -> None:
    """As `memory --train` has them, without those that come to nothing; then how each part was made."""
    ask = question("train").made({"model": "gpt2", "gpu": "h100", "gpus": 8, "batch": 8})
    first, *rest = plan_explained._memory(ask)
    parts = list(map(int, first.numbers.split(" + ")))
    assert first.name == "per_device_bytes"
    assert sum(parts) == first.figure.value
    assert min(parts) > 0
    assert len(parts) == len(set(first.names.split(" + "))) > 3
    assert rest


def test_a_command_line_is_read_as_what_it_gives() -> None:
    line = "tscale train gpt3 --gpu h100 --gpus 8 --sequence --set layers=2 --set 'd_model=3 4'"
    assert given_by(line) == (
        "train",
        {"model": "gpt3", "gpu": "h100", "gpus": "8", "sequence": True, "set": ["layers=2", "d_model=3 4"]},
    )
