"""Calibrations of training steps: made anew by their script, intervals that hold what they say, arrays as single numbers."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tscale.calibration.fit_training import Predictor, fitted, runs_of
from tscale.calibration.interval import factors, interval
from tscale.calibration.training_case import constants_of
from tscale.calibration.training_recipes import CLUSTER, CURRENT, FROM_NODE, LATEST, NODE
from tscale.calibration.training_rows import gradient_bytes, judge
from tscale.catalogue.calibrations import TRAINING, calibration, family_of
from tscale.catalogue.models import configs
from tscale.core.costs.step_prediction import predict
from tscale.errors import RequestError

RECIPES = {recipe.name: recipe for recipe in (NODE, CLUSTER, CURRENT, LATEST)}


@pytest.mark.slow
def test_the_shipped_constants_are_those_that_the_script_fits() -> None:
    node, shipped = calibration(NODE.name), calibration(CLUSTER.name)
    held = {**CLUSTER.held, **{name: node.value(name) for name in FROM_NODE}}
    values = fitted(CLUSTER, runs_of(CLUSTER, configs()), held)
    assert values == pytest.approx({name: one.value for name, one in shipped.constants.items()}, rel=2e-3)


@pytest.mark.parametrize("name", TRAINING)
def test_runs_are_predicted_alike_alone_and_in_arrays(name: str) -> None:
    found = calibration(name)
    runs = runs_of(RECIPES[name], configs())[::7]
    values = {key: one.value for key, one in found.constants.items()}
    alone = [
        predict(run.work, constants_of(found, run.family, run.kernel, run.supply)).seconds / run.seconds for run in runs
    ]
    assert np.allclose(Predictor(runs).ratios(values), alone)


@pytest.mark.parametrize("name", TRAINING)
def test_a_calibration_says_what_it_holds(name: str) -> None:
    found = calibration(name)
    assert set(RECIPES[name].free) == {key for key, one in found.constants.items() if one.fitted}
    assert (
        max(len(RECIPES[which].free) for which in ("training-current", "training-bridge-26.06")) <= 6
    )  # few rows support no more
    for one in found.constants.values():
        assert one.range is None or one.range[0] <= one.value <= one.range[1]
    elsewhere = found.residuals["elsewhere"]
    for residual in found.residuals.values():
        assert elsewhere.low <= residual.low <= 1 <= residual.high <= elsewhere.high


@pytest.mark.parametrize("size", [9, 60])
def test_the_intervals_of_samples_hold_four_in_five_of_others(size: int) -> None:
    """A thousand samples from one distribution, and another number of it for each."""
    random = Random(1)  # noqa: S311 (no secret is made of it)
    inside = 0
    for _ in range(1000):
        low, high = factors([random.lognormvariate(0, 0.1) for _ in range(size)])
        inside += low <= random.lognormvariate(0, 0.1) <= high
    assert 760 <= inside <= 840


def test_an_interval_is_never_below_the_bound() -> None:
    assert interval(1.0, 0.8, 1.2, bound=0.9) == (0.9, 1.0, 1.2)
    assert interval(1.0, 0.8, 1.2, bound=1.5) == (1.5, 1.5, 1.5)


ROW = {
    "gpu": "a100", "gpus": "8", "batch": "64", "micro_batch": "4", "layers": "24", "d_model": "2048", "heads": "16",
    "d_ff": "8192", "vocabulary": "51200", "context": "1024", "tensor": "2", "data": "4", "pipeline": "1",
    "schedule": "1f1b", "precision": "fp16", "attention": "unfused", "recompute": "full", "stack": "megatron-deepspeed",
    "step_ms": "700",
}  # fmt: skip


def test_what_a_calibration_does_not_cover_is_said_and_has_a_wider_interval() -> None:
    (inside,) = judge(ROW)
    (outside,) = judge({**ROW, "gpu": "h100"})
    assert (inside.groups["kind"], outside.groups["kind"]) == ("tensor", "tensor, not covered")
    assert outside.high / outside.middle > inside.high / inside.middle
    assert inside.bound is not None
    assert inside.bound <= inside.low <= inside.middle <= inside.high


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gpus": "6", "tensor": "4"}, "6 GPUs are not a multiple of 4"),
        ({"batch": "65"}, "a batch of 65 is not"),
        ({"gpus": "eight"}, 'gpus: a whole number from 1 on is wanted, not "eight"'),
        ({"step_ms": "-1"}, 'step_ms: a number above 0 is wanted, not "-1"'),
        ({"recompute": "half"}, 'recompute: "half" is none of'),
        ({"attention": "flash-9", "stack": ""}, 'no attention kernel "flash-9" is known on ampere'),
        ({"layers": "", "model": "my/own"}, 'model "my/own" is no built-in one'),
        ({"precision": "fp8"}, 'has no peak in "fp8"'),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_predicted_says_why(changes: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        judge({**ROW, **changes})
    assert said in str(caught.value)


def test_a_model_is_found_by_the_name_that_it_has_on_the_hub() -> None:
    row = {
        **ROW,
        "layers": "",
        "model": "meta-llama/Llama-3.1-8B",
        "gpu": "h100-sxm",
        "precision": "bf16",
        "stack": "",
        "attention": "",
    }
    (one,) = judge({**row, "tensor": "1"})
    assert one.groups["chip"] == "h100-sxm"
    assert family_of("h100-sxm").usual == "cudnn"


def test_gradients_are_summed_as_the_recipes_of_a_source_have_it() -> None:
    """Megatron-Bridge's do in 16 bits (grad_reduce_in_fp32=False), NeMo 24.07's where grad_sync_dtype is bf16, others in 32."""
    bridge = "NVIDIA-NeMo/Megatron-Bridge docs/performance-summary.md (26.02)"
    nemo = "NVIDIA/NeMo docs/source/performance/performance_summary.md (24.07)"
    said = (
        (bridge, "deepseek-v3", 2),
        (nemo, "gpt3", 2),
        (nemo, "llama-2-7b", 4),
        ("NVIDIA-NeMo/Automodel", "kimi-k2", 4),
        ("", "", 4),
    )
    assert [gradient_bytes({"source": source, "model": model}) for source, model, _ in said] == [
        two for *_, two in said
    ]
