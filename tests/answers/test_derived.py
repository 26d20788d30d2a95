"""What `train` and `serve` come to is derived: each formula, worked out, gives the figure that the answer has."""

from __future__ import annotations

from typing import Any

import pytest

import tscale
from tests.core.test_numbers import evaluated
from tscale.core.metric import Step

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


def steps_of(result: Any) -> tuple[Step, ...]:
    """The derivations of an answer."""
    steps: tuple[Step, ...] = result.report.steps
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
