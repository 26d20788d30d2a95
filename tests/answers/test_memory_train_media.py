"""Images and sounds in the memory of training: what towers keep of them, by hand, and how devices share it."""

from __future__ import annotations

from typing import Any

import pytest

import tscale
from tests.helpers import answer, run
from tests.importer.recorded import recorded
from tscale.errors import TscaleError

GEMMA = ("memory", "gemma-3-4b", "--train", "--context", "4096")
PATCHES, D, D_FF, HEADS, LAYERS, TOKENS = 4096, 1152, 4304, 16, 27, 256
ENDS = PATCHES * 588 * 2 + PATCHES * (2 * D + 2 * 4) + TOKENS * (2 * D + 4 + 2 * D)
"""Gemma 3's patches of 14 by 14 by 3, its last norm, and behind an average the norm and the matrix of its projector."""


def towers(*more: str) -> int:
    return int(answer(*GEMMA, *more)["tower_activations"])


def test_an_image_keeps_what_the_layers_of_its_tower_do() -> None:
    """A layer's matrices read 1 + 1 + 1 arrays of the width and 1 of the feed-forward's; queries, keys and values are three more;
    norms read two, with a mean and a deviation in fp32 each; GELU reads one of the feed-forward's; and one sum a head."""
    layer = PATCHES * (2 * (8 * D + 2 * D_FF) + 4 * HEADS + 2 * 2 * 4)
    assert towers("--images", "1") == LAYERS * layer + ENDS
    assert towers("--images", "3") == 3 * (LAYERS * layer + ENDS)


def test_a_layer_that_is_recomputed_keeps_its_input() -> None:
    assert towers("--images", "1", "--recompute", "full") == LAYERS * PATCHES * 2 * D + ENDS


def test_attention_step_by_step_keeps_a_probability_of_each_pair() -> None:
    flash, naive = (towers("--images", "1", "--attention", attention) for attention in ("flash", "naive"))
    assert naive - flash == LAYERS * PATCHES * HEADS * (2 * PATCHES - 4)
    assert (
        towers("--images", "1", "--attention", "naive", "--recompute", "selective")
        == flash - LAYERS * PATCHES * HEADS * 4
    )


@pytest.mark.parametrize("policy", ["op", "full:4"])
def test_a_policy_of_the_language_model_s_layers_recomputes_nothing_of_a_tower(policy: str) -> None:
    done = run(*GEMMA, "--images", "1", "--recompute", policy)
    assert "of their layers nothing is recomputed" in done.out
    assert towers("--images", "1", "--recompute", policy) == towers("--images", "1")


def test_images_add_what_towers_keep_and_no_tokens() -> None:
    """A sequence is as long as before: its images are some of its tokens."""
    text, seen = (answer(*GEMMA, *more)["per_device_bytes"] for more in ((), ("--images", "2")))
    assert seen["activations"] - text["activations"] == towers("--images", "2")
    assert {key: seen[key] for key in ("weights", "gradients", "logits", "temporary")} == {
        key: text[key] for key in ("weights", "gradients", "logits", "temporary")
    }


def test_every_sequence_of_a_micro_batch_has_its_images() -> None:
    assert towers("--images", "1", "--micro-batch", "4") == 4 * towers("--images", "1")


def test_a_tower_is_whole_on_each_device_and_runs_in_the_first_stage() -> None:
    whole = towers("--images", "1")
    assert towers("--images", "1", "--tensor", "4", "--sequence") == whole
    assert towers("--images", "1", "--context-parallel", "4") == whole
    stages = answer(*GEMMA, "--images", "1", "--pipeline", "2")["stages"]
    without = answer(*GEMMA, "--pipeline", "2")["stages"]
    assert stages[0] - without[0] == 2 * whole
    assert stages[1] == without[1]


def test_adapters_of_a_tower_keep_what_lies_between_their_matrices() -> None:
    """Six matrices a layer, the patches' and the projector's, at a rank of 8; the frozen tower keeps what it kept."""
    with_lora = towers("--images", "1", "--lora-rank", "8")
    more = 2 * 8 * (PATCHES * (6 * LAYERS + 1) + TOKENS)
    assert with_lora >= towers("--images", "1")
    assert with_lora - towers("--images", "1") == more


def test_images_that_a_sequence_does_not_hold_are_refused() -> None:
    done = run(*GEMMA, "--images", "17")
    assert done.code == 2
    assert "17" not in done.out
    assert "images and sounds take 4,352 tokens, and sequences of 4,096 hold no more" in done.err


def test_a_model_without_a_tower_is_refused_its_images() -> None:
    done = run("memory", "llama-3.1-8b", "--train", "--images", "1")
    assert done.code == 2
    assert "has no tower that reads images" in done.err


def test_what_was_not_recorded_is_refused_by_its_name() -> None:
    """What ends an image of Phi-4."""
    files = (line["config"] for line in recorded("towers.jsonl"))
    config: dict[str, Any] = next(file for file in files if file["model_type"] == "phi4_multimodal")
    with pytest.raises(TscaleError, match=r"does not know what projector\.\w+ keeps for the backward pass"):
        tscale.memory(config, train=True, images=1, context=4096)
    assert tscale.memory(config, train=True, context=4096).to_dict()["per_device_bytes"]["total"]
