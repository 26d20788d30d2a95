"""Published GPU-hours and training FLOPs of the built-in models, against what `train` and `flops` say of them.

The hours are copied, each with its source, in tests/measured/training_hours.yaml.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import answer, disclosed, run
from tscale.catalogue.models import built_in
from tscale.models.spec import ModelSpec

HOURS = Path(__file__).parent / "measured" / "training_hours.yaml"
ROWS: list[dict[str, Any]] = [
    row for row in yaml.safe_load(HOURS.read_text(encoding="utf-8"))["rows"] if row["gpu"] and row["tokens"]
]
STATED = [row for row in ROWS if row["mfu"]]
UNLIKELY = {"phi-2": "its card's 14 days on 96 A100 make 69% of the peak: more than any other run here"}
NOT_OF_A_RUN = {"extension of the context": "tokens in sequences of 32,768 and 131,072, which `--tokens` puts at 4,096"}


def name_of(row: dict[str, Any]) -> str:
    return f"{row['model']}, {row['hours']}" if row.get("hours") else str(row["model"])


def asked(row: dict[str, Any], *more: str) -> Any:
    gpus = row["gpus"] or 1024
    tokens = str(float(row["tokens"]))
    return answer("train", row["model"], "--gpu", row["gpu"], "--gpus", str(gpus), "--tokens", tokens, *more)


def implied_mfu(row: dict[str, Any]) -> float:
    days = float(row["gpu_hours"]) / (row["gpus"] or 1024) / 24
    mfu: float = asked(row, "--days", repr(days))["mfu"]
    return mfu


@pytest.mark.parametrize("row", STATED, ids=name_of)
def test_hours_at_the_stated_utilisation_are_those_published(row: dict[str, Any]) -> None:
    """Within 6%: Gopher's and GPT-3's utilisation are Chowdhery's estimates, of steps without restarts."""
    hours = asked(row, "--mfu", str(row["mfu"]))["gpu_hours"]
    assert hours == pytest.approx(float(row["gpu_hours"]), rel=0.06)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_published_hours_imply_a_utilisation_that_runs_have(row: dict[str, Any]) -> None:
    """Between 5% and 58%: the lowest are small models on many devices, the highest TinyLlama's stated 56%."""
    if row["model"] in UNLIKELY or row.get("hours") in NOT_OF_A_RUN:
        pytest.skip(UNLIKELY.get(row["model"]) or NOT_OF_A_RUN[row["hours"]])
    assert 0.05 < implied_mfu(row) < 0.58


def test_deepseek_v3_took_the_hours_of_its_report() -> None:
    """2.664M hours of pre-training on 2,048 H800, which are 54.2 days: the run is not beyond the peak."""
    data = answer("train", "deepseek-v3", "--gpu", "h800", "--gpus", "2048", "--tokens", "14.8e12", "--days", "54.2")
    assert 0.43 < data["mfu"] < 0.45
    assert data["gpu_hours"] == pytest.approx(2.664e6, rel=1e-3)


FAR = {
    "bert-base": "Brown takes 250e9 tokens, Devlin's steps make 131e9",
    "bert-large": "Brown takes 250e9 tokens, Devlin's steps make 131e9",
    "transformer": "Vaswani takes what the devices could do at their peak",
    "transformer-big": "Vaswani takes what the devices could do at their peak",
}
WITH_FLOPS = [
    name
    for name in disclosed()
    if isinstance(spec := built_in(name), ModelSpec)
    and spec.figures("training_flops")
    and spec.training is not None
    and spec.training.total_tokens is not None
]


@pytest.mark.parametrize("name", [name for name in WITH_FLOPS if name not in FAR])
def test_published_training_flops_are_those_of_a_convention(name: str) -> None:
    """Within 15%, by one of the conventions: T5's 3·N·D of a published N is the farthest, our 405B has its extension."""
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    published = float(spec.figures("training_flops")[0].value)
    told = [value for value in answer("flops", name)["training_flops"].values() if isinstance(value, int)]
    assert min(abs(value / published - 1) for value in told) < 0.15


def test_compute_of_an_extended_model_is_not_that_of_its_longest_context() -> None:
    rows = {row["quantity"]: row for row in answer("compare", "llama-3.1-405b", "deepseek-v3")["rows"]}
    assert rows["training_flops"]["ratios"][1] == pytest.approx(0.095, rel=0.1)


def test_the_main_job_names_the_length() -> None:
    assert "in sequences of 8,192 tokens, then 131,072" in run("flops", "llama-3.1-405b").out
