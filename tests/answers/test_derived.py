"""What `train` and `serve` come to is derived: each formula, worked out, gives the figure that the answer has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import tscale
from tests.core.test_numbers import evaluated
from tests.helpers import run
from tscale.core.metric import Derivations, Step

TRAINED: list[dict[str, Any]] = [
    {"gpus": 64, "tensor": 2, "batch": 64},
    {"gpus": 64},
    {"gpus": 64, "days": 30},
    {"days": 30, "mfu": "40%", "price": 2, "watts": 500, "pue": "1.1", "grid": 400},
    {"gpus": 512, "tokens_per_second": "1e6"},
]
SERVED: list[dict[str, Any]] = [
    {"tensor": 2, "batch": 8, "engine": "vllm"},
    {"batch": 1, "bound": True, "price": 2},
    {"batch": 4, "draft": "llama-3.2-1b", "draft_tokens": 3, "acceptance": "0.8"},
]


def steps_of(result: Any) -> Sequence[Step]:
    """The derivations of an answer."""
    steps: Sequence[Step] = result.report.steps
    return steps


def holds(step: Step) -> None:
    assert float(evaluated(step.numbers)) == pytest.approx(float(step.figure.value), rel=1e-9), step


@pytest.mark.parametrize("asked", TRAINED, ids=range(len(TRAINED)))
def test_what_training_comes_to_is_derived(asked: dict[str, Any]) -> None:
    result = tscale.train("llama-3-8b", gpu="h100", tokens="1T", **asked)
    steps = steps_of(result)
    for step in steps:
        holds(step)
    data = result.to_dict()
    made = {step.name: float(step.figure.value) for step in steps if not step.subject.endswith(("low", "high"))}
    for key in ("gpu_hours", "cost_usd", "energy_kwh", "co2e_kg"):
        if data[key] is not None and not ("gpus" in asked and "days" in asked and key == "gpu_hours"):
            assert made[key] == pytest.approx(data[key], rel=1e-12)


@pytest.mark.parametrize("asked", SERVED, ids=range(len(SERVED)))
def test_what_serving_comes_to_is_derived(asked: dict[str, Any]) -> None:
    result = tscale.serve("llama-3-8b", gpu="h100", **asked)
    steps = steps_of(result)
    for step in steps:
        holds(step)
    data, made = result.to_dict(), {step.name: float(step.figure.value) for step in steps}
    for key in ("seconds_per_answer", "usd_per_million_input_tokens", "usd_per_million_output_tokens"):
        assert made[key] == pytest.approx(data[key], rel=1e-12)
    if "engine" in asked:
        assert made["latency"] == data["latency_seconds"]["middle"]


def test_the_headline_comes_first() -> None:
    steps = steps_of(tscale.train("gpt3", gpu="h100", gpus=64))
    assert [step.name for step in steps[:3]] == ["days", "gpu_hours", "cost_usd"]


@pytest.mark.parametrize(
    "command",
    [
        "params gpt2",
        "flops gpt3",
        "attention gpt2",
        "compare gpt2 gpt3",
        "memory gpt2 --gpu h100",
        "memory gpt2 --train --gpu h100 --batch 8",
        "train gpt3 --gpu h100 --gpus 1024 --tensor 8 --pipeline 8 --batch 1536",
        "serve gpt2 --gpu h100",
        "loss gpt3",
        "optimal --flops 1e24",
        "hyper gpt3",
        "design --params 1e9",
        "train qwen3-8b --gpu h100 --gpus 8 --zero 3 --method dpo --batch 64",
    ],
)
def test_no_derivation_is_made_of_an_answer_that_is_not_explained(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take as long as the answer, or longer."""
    made = []

    def noted(self: Derivations, make: Any) -> None:
        self._make = lambda: made.append(1) or make()  # type: ignore[func-returns-value]

    monkeypatch.setattr(Derivations, "__init__", noted)
    for form in ("table", "json"):
        assert run(*command.split(), "--format", form).code in (0, 3)
    assert not made
    assert run(*command.split(), "--explain").code in (0, 3)
    assert made
