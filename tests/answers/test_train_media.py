"""Images and sounds in training steps: FLOPs of towers as the framework counts them, bounds and predictions by hand, plans."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import answer, run
from tests.importer.recorded import recorded

LLAVA = next(line for line in recorded("tower_flops.jsonl") if line["config"]["model_type"] == "llava")
"""Forward FLOPs of one image, as `torch.utils.flop_counter` counts them."""
CONTEXT, SEQUENCES = 2048, 64


@pytest.fixture
def llava(tmp_path: Path) -> str:
    """The small model whose image was counted."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAVA["config"]))
    return str(path)


def trained(model: str, *more: str) -> Any:
    fixed = ("--gpu", "h100", "--tokens", str(CONTEXT * SEQUENCES), "--context", str(CONTEXT))
    return answer("train", model, *fixed, *more)


H100 = ("--gpu", "h100", "--tokens", "1e9", "--context", "4096")
ONE = ("--images", "1", "--image-size", "336x336")
STEP = ("--gpus", "8", "--batch", str(SEQUENCES))


def test_training_takes_three_times_the_flops_that_the_framework_counts_of_each_image(llava: str) -> None:
    text, one = (trained(llava, "--gpus", "8", *more)["training_flops"] for more in ((), ONE))
    three = trained(llava, "--gpus", "8", "--images", "3", "--image-size", "336x336")["training_flops"]
    assert one - text == 3 * LLAVA["flops"] * SEQUENCES
    assert three - text == 3 * (one - text)


@pytest.mark.parametrize("plan", [(), ("--tensor", "2"), ("--tensor", "2", "--data", "4", "--zero", "1")])
def test_a_bound_has_the_tower_s_flops_on_all_devices_at_their_peak(llava: str, plan: tuple[str, ...]) -> None:
    """H100's 989.4 TFLOP/s; devices of tensor parallelism could share the images, so that no run is better than that."""
    text, seen = (trained(llava, *STEP, *plan, *more)["plan"]["computing_seconds"] for more in ((), ONE))
    assert (seen - text) * 989.4e12 * 8 == pytest.approx(3 * LLAVA["flops"] * SEQUENCES, rel=1e-9)


def test_a_bound_of_full_recomputation_recomputes_no_tower(llava: str) -> None:
    bounds = [
        trained(llava, *STEP, "--recompute", policy, *ONE)["plan"]["computing_seconds"]
        - trained(llava, *STEP, "--recompute", policy)["plan"]["computing_seconds"]
        for policy in ("none", "full")
    ]
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-9)


def test_a_bound_goes_back_through_a_tower_s_layers_that_have_adapters() -> None:
    """Gemma 3's tower: 27 layers of 1,152 and 4,304 on 4,096 patches, 256 tokens of them. Each matrix has two more of rank 8: all
    products go forward, and of 26 layers two backward of each adapter and of each pair of patches, one of each frozen matrix."""
    many, d, d_ff = 4096, 1152, 4304
    frozen = 2 * many * (4 * d * d + 2 * d * d_ff)
    adapters = 2 * many * 8 * (4 * 2 * d + 2 * (d + d_ff))
    pairs = 4 * many * many * d
    ends = 2 * many * (588 * d + 8 * (588 + d)) + 2 * 256 * (d * 2560 + 8 * (d + 2560))
    least = 27 * (frozen + adapters + pairs) + ends + 26 * (frozen + 2 * adapters + 2 * pairs)
    ask = ("gemma-3-4b", *H100, *STEP, "--lora-rank", "8")
    images = ("--images", "2", "--image-size", "896x896")
    text, seen = (answer("train", *ask, *more)["plan"]["computing_seconds"] for more in ((), images))
    assert (seen - text) * 989.4e12 * 8 == pytest.approx(2 * SEQUENCES * least, rel=1e-9)


def test_a_prediction_scores_the_pairs_of_each_image_on_every_device_that_has_it() -> None:
    """Gemma 3's tower: 27 layers of 16 heads of 72 score 4,096 patches with one another: 2 products forward and 5 backward of
    2·n·n·72 FLOPs a head. Of 64 sequences on 8 devices each has 8; of tensor parallelism by 2 each has 16, and all of their images."""

    def attention(*more: str) -> float:
        one = answer("train", "gemma-3-4b", *H100, *STEP, "--zero", "3", *more)
        return float(one["plan"]["prediction"]["parts"]["attention"])

    each = 27 * 16 * 3.5 * 2 * (2 * 4096 * 4096 * 72)
    images = ("--images", "2", "--image-size", "896x896")
    alone = attention(*images) - attention()
    again = attention("--images", "4", "--image-size", "896x896") - attention()
    shared = attention("--tensor", "2", *images) - attention("--tensor", "2")
    assert again == pytest.approx(2 * alone, rel=1e-9)
    assert shared == pytest.approx(2 * alone, rel=1e-9)
    assert 0.3 < each * 2 * 8 / 989.4e12 / alone < 1  # a kernel's share of the peak


def test_a_plan_holds_what_memory_says_of_the_same_images() -> None:
    ask = ("gemma-3-4b", "--gpu", "h100", *STEP, "--context", "4096", "--zero", "3", "--images", "3")
    plan = answer("train", *ask, "--tokens", "1e9")["plan"]["memory"]
    assert plan["per_device_bytes"] == answer("memory", *ask, "--train")["per_device_bytes"]
    assert "--images 3" in plan["command"]


@pytest.mark.parametrize("layout", [("1", "1", "none"), ("2", "2", "full"), ("1", "2", "op")])
@pytest.mark.parametrize("images", [(), ("--images", "2", "--image-size", "448x448")])
def test_a_layout_of_a_search_comes_to_what_train_says_of_it(
    layout: tuple[str, str, str], images: tuple[str, ...]
) -> None:
    """With images and without them, a whole model's towers are held, and run through where there is something to."""
    tensor, pipeline, policy = layout
    fixed = (
        "--tensor",
        tensor,
        "--pipeline",
        pipeline,
        "--recompute",
        policy,
        "--micro-batch",
        "1",
        "--context",
        "4096",
    )
    found = answer("plan", "gemma-3-4b", "--train", "--gpu", "h100", "--gpus", "8", "--batch", "64", *fixed, *images)
    row = found["rows"][0]
    plan = answer(*shlex.split(found["command"])[1:])["plan"]
    assert row["step_seconds"]["middle"] == pytest.approx(plan["step_seconds"]["middle"], rel=1e-9)
    assert row["per_device_bytes"] == plan["memory"]["per_device_bytes"]["total"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--images", "2", "--count", "6nd"), "no tower's"),
        (("--images", "40"), "take 10,240 tokens"),
        (("--audio-seconds", "3"), "no tower that reads sounds"),
        (("--image-size", "448x448"), "is of images"),
        (("--images", "2", "--method", "sft"), "--images is not read with --method"),
    ],
)
def test_what_no_sequence_of_a_run_has_is_refused(more: tuple[str, ...], said: str) -> None:
    tokens = () if "--method" in more else ("--tokens", "1e9")
    done = run("train", "gemma-3-4b", "--gpu", "h100", *STEP, "--context", "4096", *tokens, *more)
    assert done.code in (1, 2)
    assert said in done.err
