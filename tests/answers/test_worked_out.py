"""Each part of a prefill, a decode and a training step is what `tests/oracle/work_out_steps.py` works out without tscale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import tscale
from tests.oracle.work_out_steps import (
    BATCH,
    DEVICES,
    LLAMA,
    PROMPT,
    SEQUENCES,
    SHAPES,
    Shape,
    cut_step,
    decode,
    prefill,
    step,
)

ROOM = {"memory_gb": 5000}
CLOSE = 1e-3
"""Below: routers' biases, the small matrices and convolutions of Mamba's layers, norms."""


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_phase_takes_what_was_worked_out(shape: Shape, phase: str) -> None:
    found = tscale.serve(
        shape.name, gpu="h100", batch=BATCH, context=PROMPT, output=256, bound=True, dtype="bf16", gpu_set=ROOM
    )
    lines = found.to_dict()[phase]
    products = [line for line in lines if line["part"] not in ("cache", "norm", "embedding", "state")]
    scores = [line for line in lines if line["part"] == "cache"]
    expected = prefill(shape) if phase == "prefill" else decode(shape)
    assert total(products, "flops") == pytest.approx(expected["product_flops"], rel=CLOSE)
    assert total(scores, "flops") == pytest.approx(expected["attention_flops"], rel=1e-12)
    assert total(products, "weight_bytes") == pytest.approx(expected["matrix_bytes"], rel=CLOSE)
    if phase == "decode":
        assert total(scores, "cache_bytes") == expected["attention_cache_bytes"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_step_takes_what_was_worked_out(shape: Shape) -> None:
    expected = step(shape)
    parts = step_parts(shape, data=DEVICES)
    assert parts["computing"] == pytest.approx(expected["computing"], rel=CLOSE)
    assert parts["gradients"] == pytest.approx(expected["gradients"], rel=CLOSE)


def test_a_cut_step_takes_what_was_worked_out() -> None:
    parts = step_parts(LLAMA, tensor=DEVICES)
    for part, seconds in cut_step(LLAMA).items():
        assert parts[part] == pytest.approx(seconds, rel=1e-9)


def step_parts(shape: Shape, **degrees: int) -> dict[str, float]:
    """Seconds of each part of a step on eight A100s."""
    asked: Mapping[str, Any] = {"gpus": DEVICES, "batch": SEQUENCES, "context": PROMPT, "tokens": "1e9", **degrees}
    plan = tscale.train(shape.name, gpu="a100", bound=True, **asked).to_dict()["plan"]
    return {part["part"]: part["seconds"] for part in plan["parts"]}


def total(lines: list[dict[str, Any]], key: str) -> float:
    """A figure of several lines in all."""
    return sum(float(line[key]) for line in lines)
