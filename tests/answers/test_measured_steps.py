"""No training step that was ever measured and published is faster than the bound of its layout."""

from __future__ import annotations

import csv
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from statistics import median
from typing import Any, Final, cast

import pytest

import tscale
from tests.helpers import run
from tscale.catalogue.hardware import find_hardware
from tscale.catalogue.models import configs
from tscale.core.costs.step_time import Batch
from tscale.core.costs.wall_time import Recompute
from tscale.core.parallelism import Parallelism
from tscale.estimates.train.answered import answered
from tscale.estimates.train.ask import Ask
from tscale.estimates.train.data import train_data
from tscale.models.spec import ModelSpec

ZERO: Final = {"fsdp full": 3, "fsdp2 full": 3, "fsdp": 3, "distributed optimizer": 1}
"""The stage of ZeRO that shards the same, by the source's own word."""


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a file of measured runs, whose first lines are comments."""
    text = (configs() / "measured" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@cache
def gpt(layers: int, d_model: int, heads: int, vocabulary: int, context: int) -> ModelSpec:
    """A GPT of a row's shape: learned positions, a tied head, d_ff = 4 d_model."""
    shape = {
        "layers": layers, "d_model": d_model, "attention.heads": heads, "d_ff": 4 * d_model, "vocabulary": vocabulary,
        "context": context, "positions.rows": context,
    }  # fmt: skip
    return tscale.load("gpt3", [f"{key}={value}" for key, value in shape.items()])


def plan_of(spec: ModelSpec, row: dict[str, str], ask: Ask) -> dict[str, Any]:
    """What `tscale train` says of a row's layout; its MFU is not asked about."""
    gpus, tensor, pipeline = (int(row[key]) for key in ("gpus", "tensor", "pipeline"))
    assert ask.plan is not None
    context = int(row.get("context_parallel", 1))
    data_parallel = gpus // (tensor * pipeline * context)
    plan = ask.plan._replace(tensor=tensor, pipeline=pipeline, context=context, data=data_parallel)
    ask = ask._replace(
        tokens=10**9, gpus=gpus, mfu=Fraction(1, 100), context=int(row["context"]), plan=plan,
        batch=Batch(int(row["batch"]), int(row["micro_batch"])),
    )  # fmt: skip
    data = train_data(
        answered(spec, find_hardware(row.get("gpu", "a100-sxm-80gb")), ask)
    )  # of no tables and derivations
    assert isinstance(data, dict)
    found = data["plan"]
    assert isinstance(found, dict)
    return found


@cache
def vtrain() -> list[tuple[dict[str, str], dict[str, Any], float]]:
    """Each row of vTrain, what its layout says, and the seconds that a step took."""
    found = []
    for row in rows("vtrain.csv"):
        spec = gpt(*(int(row[key]) for key in ("layers", "d_model", "heads")), 51_200, int(row["context"]))
        plan = plan_of(spec, row, Ask(dtype="fp16", recompute="full", plan=Parallelism()))
        assert plan["data"] == int(row["data"])
        found.append((row, plan, float(row["step_ms"]) / 1000))
    return found


@cache
def published() -> list[tuple[dict[str, str], dict[str, Any], float]]:
    """The same of each published layout."""
    found = []
    for row in rows("published_layouts.csv"):
        shape = [int(row[key]) for key in ("layers", "d_model", "heads") if row[key]]
        spec = gpt(*shape, 50_368, int(row["context"])) if shape else tscale.load(row["model"])
        recompute = cast("Recompute", row["recompute"] or "none")
        plan = Parallelism(
            interleave=int(row["interleave"]), zero=ZERO[row["sharding"]], expert=int(row["expert"]),
            sequence=int(row["tensor"]) > 1,
        )  # fmt: skip
        data = plan_of(spec, row, Ask(dtype=row["precision"], recompute=recompute, plan=plan))
        tokens = int(row["batch"]) * int(row["context"])
        found.append((row, data, tokens / (float(row["tokens_per_second_per_gpu"]) * int(row["gpus"]))))
    return found


SOURCES: Final = {"vtrain": vtrain, "published": published}
Measured = Callable[[], list[tuple[dict[str, str], dict[str, Any], float]]]


def ratios(measured: Measured, key: str) -> list[float]:
    """The time that a plan says over the time that was measured."""
    return [float(plan[key].value) / seconds for _, plan, seconds in measured()]


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_no_measured_step_beats_its_bound(source: str) -> None:
    beaten = [row for (row, _, _), ratio in zip(SOURCES[source](), ratios(SOURCES[source], "step_seconds_at_least"), strict=True) if ratio > 1]  # fmt: skip
    assert not beaten


@pytest.mark.parametrize(
    ("source", "count", "largest", "middle"),
    [pytest.param("vtrain", 358, 0.629, 0.249, marks=pytest.mark.slow), ("published", 62, 0.638, 0.354)],
)
def test_how_near_the_nearest_measured_step_comes_to_its_bound(
    source: str, count: int, largest: float, middle: float
) -> None:
    """The least and the median distance, so that a bound that has become slack is seen as well."""
    found = ratios(SOURCES[source], "step_seconds_at_least")
    assert len(found) == count
    assert (round(max(found), 3), round(median(found), 3)) == (largest, middle)


@pytest.mark.parametrize("source", [pytest.param("vtrain", marks=pytest.mark.slow), "published"])
def test_no_measured_step_takes_less_than_its_parts_one_after_the_other(source: str) -> None:
    """None of these runs overlapped so much that it would: the sum of all parts is no bound, but near one here."""
    assert max(ratios(SOURCES[source], "step_seconds_in_turn")) < 0.75


def test_published_layouts_of_experts_have_a_bound() -> None:
    """Experts over the ranks of a stage, uneven and interleaved stages: those of Megatron-Bridge and Automodel."""
    found = [
        (row["model"], data["step_seconds_at_least"].value) for row, data, _ in published() if int(row["expert"]) > 1
    ]
    assert len(found) == 27
    assert all(least > 0 for _, least in found)
    assert {model for model, _ in found} == {
        "deepseek-v3",
        "kimi-k2",
        "qwen3-30b-a3b",
        "qwen3-235b-a22b",
        "gpt-oss-120b",
    }


def test_a_measured_utilisation_is_not_scolded() -> None:
    """llm-foundry's README: MPT-13B on 64 H100, 4,800 tokens/s per GPU in full shards, 39.86% of the peak."""
    changes = {"layers": 40, "d_model": 5120, "attention.heads": 40, "d_ff": 20480, "vocabulary": 50368}
    sets = [arg for key, value in changes.items() for arg in ("--set", f"{key}={value}")]
    args = ["gpt3", *sets, "--gpu", "h100", "--gpus", "64", "--batch", "128", "--micro-batch", "2", "--zero", "3"]
    said = " ".join(run("train", *args, "--tokens", "1e9", "--mfu", "0.3986").out.split())
    assert "The plan is bound by computing." in said
    assert "is more than the plan allows" not in said
