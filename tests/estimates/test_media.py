"""Images, videos and sounds in a sequence: their tokens, FLOPs and cache, through every door that takes them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import tscale
from tests.helpers import run
from tests.importer.recorded import recorded, spec_of
from tscale.errors import RequestError, TscaleError
from tscale.estimates.media import Media, media_costs, tower_passes

CONFIGS = {line["config"]["model_type"]: line["config"] for line in recorded("tower_tensors.jsonl")}


def test_images_of_gemma_3_take_256_tokens_each_whatever_their_size() -> None:
    """Gemma Team 2025, section 2.1: 256 vectors an image."""
    done = json.loads(run("flops", "gemma-3-4b", "--images", "3", "--image-size", "480x640", "--format", "json").out)
    (media,) = done["media"]
    assert media["tokens"] == 3 * 256
    linear = 27 * (4 * 1152 * 1152 + 2 * 1152 * 4304) * 4096 + 588 * 1152 * 4096
    scores = 27 * 2 * 1152 * 4096**2
    assert media["flops"]["vision_tower"] == 3 * 2 * (linear + scores)
    assert media["flops"]["projector"] == 3 * 2 * 1152 * 2560 * 256


def test_the_cache_of_image_tokens_is_that_of_as_many_tokens() -> None:
    """Qwen3.6: 1,024 tokens of an image of 1,024x1,024 in the 10 layers that cache 2·2·256 numbers of 2 bytes a token."""
    done = json.loads(run("memory", "qwen3.6", "--images", "1", "--context", "8k", "--format", "json").out)
    (media,) = done["media"]
    assert (media["tokens"], media["kv_cache_bytes"]) == (1024, 1024 * 10 * 2 * 2 * 256 * 2)


def test_a_prompt_with_images_has_their_tower_before_its_prefill() -> None:
    done = json.loads(run("serve", "gemma-3-4b", "--gpu", "h100", "--images", "1", "--format", "json").out)
    (media,) = done["media"]
    assert done["tower_seconds"] == pytest.approx(
        (media["flops"]["vision_tower"] + media["flops"]["projector"]) / 989.4e12, rel=0.01
    )


def test_frames_of_a_video_go_in_pairs_where_patches_take_two() -> None:
    """Qwen2-VL: 10 frames of 784x784 are 5 pairs of 28x28 groups (Wang 2024, section 2.1)."""
    spec = spec_of(CONFIGS["qwen2_vl"])
    report = tscale.flops(spec, tokens="1e9", context=32768, video_frames=10, image_size="784x784")
    (media,) = report.to_dict()["media"]
    assert media["tokens"] == 5 * 28 * 28


def test_sounds_are_read_by_models_that_hear() -> None:
    report = tscale.memory(spec_of(CONFIGS["voxtral"]), audio_seconds=60)
    assert report.to_dict()["media"][0]["tokens"] == 750


def test_towers_add_to_the_weights_in_16_bits_whatever_the_language_model_is_in() -> None:
    """416,866,032 + 2,950,272 parameters of 2 bytes, whole on each of two devices."""
    with_towers, without = (
        json.loads(run("memory", "gemma-3-4b", "--dtype", "nf4", "--gpus", "2", *more, "--format", "json").out)
        for more in ((), ("--set", "towers=null"))
    )
    more = with_towers["per_device_bytes"]["weights"] - without["per_device_bytes"]["weights"]
    assert more == 2 * (416_866_032 + 2_950_272)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("flops gpt3 --images 1", "--images: GPT-3 175B has no tower that reads images: drop it"),
        ("memory gemma-3-4b --audio-seconds 5", "--audio-seconds: Gemma 3 4B has no tower that reads sounds: drop it"),
        ("memory gemma-3-4b --image-size 9x9", "--image-size is of images: add --images or --video-frames, or drop it"),
        ("memory gemma-3-4b --images 1 --image-size 9", '--image-size takes a height and a width in pixels, such as 768x1024, not "9"'),
        ("memory gemma-3-4b --images 33", "images and sounds take 8,448 tokens, and sequences of 8,192 hold no more: raise --context, or ask for fewer"),
        ("memory gemma-3-4b --images 17 --train --context 4096", "images and sounds take 4,352 tokens, and sequences of 4,096 hold no more: raise --context, or ask for fewer"),
        ("params gemma-3-4b --set towers.0.pieces.9.width=3", "--set towers.0.pieces.9.width: no item 9: there are 4, counted from 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(line: str, says: str) -> None:
    done = run(*line.split())
    assert done.err.strip() == f"tscale: {says}"


def test_a_tower_whose_rule_is_not_known_is_refused_and_says_what_to_write() -> None:
    spec = spec_of(CONFIGS["got_ocr2"])
    spec = replace(spec, towers=tuple(replace(tower, input=None) for tower in spec.towers or ()))
    with pytest.raises(TscaleError, match="how x reads images is not known"):
        tscale.memory(spec, images=1)


def test_a_list_is_changed_by_place() -> None:
    done = json.loads(run("params", "gemma-3-4b", "--set", "towers.0.pieces.2.layers=26", "--format", "json").out)
    layer = 4 * (1152 * 1152 + 1152) + 2 * 1152 * 4304 + 1152 + 4304 + 4 * 1152
    assert done["params"]["vision_tower"] == 416_866_032 - layer


def test_the_time_to_the_first_token_has_that_of_towers() -> None:
    """At best both prompts' towers on both devices, at half the rate; as predicted no more than the prefill's share of the peak."""
    asked = (
        "serve",
        "gemma-3-27b",
        "--gpu",
        "h100",
        "--gpus",
        "2",
        "--batch",
        "2",
        "--efficiency",
        "0.5",
        "--format",
        "json",
    )
    plain, media = (json.loads(run(*asked, *words).out) for words in ((), ("--images", "4")))
    towers = media["tower_seconds"]  # of a prompt, on both devices
    assert media["prefill_seconds"] - plain["prefill_seconds"] == pytest.approx(2 * towers / 0.5)
    assert media["seconds_per_answer"] - plain["seconds_per_answer"] == pytest.approx(2 * towers / 0.5)
    assert media["seconds_per_token"] == plain["seconds_per_token"]
    least, first = (media[key] for key in ("ttft_seconds_at_least", "ttft_seconds"))
    before = plain
    assert least - before["ttft_seconds_at_least"] == pytest.approx(towers, rel=0.01)
    assert first["middle"] - before["ttft_seconds"]["middle"] > towers


def test_the_first_token_s_derivation_has_the_towers() -> None:
    said = run("serve", "gemma-3-4b", "--gpu", "h100", "--images", "1", "--explain").out
    assert "towers, time" in said


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_images_that_are_compared_with_texts_come_one_beside_each(kind: str) -> None:
    """The losses of both pair the n-th image with the n-th text (Radford 2021, figure 3; Zhai 2023, algorithm 1)."""
    spec = spec_of(next(line["config"] for line in recorded("activations_towers.jsonl") if line["name"] == kind))
    (one,) = tower_passes(spec, Media(images=1))
    assert one.times == 1
    for media in (Media(images=2), Media(images=1, frames=1), Media(frames=1)):
        with pytest.raises(RequestError, match="trained on pairs of a text and an image"):
            tower_passes(spec, media)


def test_a_micro_batch_compares_each_of_its_images_with_each_of_its_texts() -> None:
    """CLIP in bf16: similarities and two softmaxes of them are 6 bytes a pair, of which twice as many sequences have four times as many."""
    config = next(line["config"] for line in recorded("activations_towers.jsonl") if line["name"] == "clip")

    def kept(batch: int) -> float:
        done = tscale.memory(config, train=True, images=1, micro_batch=batch)
        return float(done.to_dict()["per_device_bytes"]["activations"])

    once, twice, four = kept(100), kept(200), kept(400)
    assert (four - 2 * twice) - 2 * (twice - 2 * once) == pytest.approx(6 * (400**2 - 4 * 200**2 + 4 * 100**2), abs=64)


def test_frames_that_are_merged_behind_the_tower_are_no_images() -> None:
    """ERNIE 4.5 VL merges two frames of a video behind its tower, and doubles an image in their place (its resampler's slicing)."""
    config = next(line["config"] for line in recorded("tower_flops.jsonl") if "ernie" in line["config"]["model_type"])
    assert media_costs(spec_of(config), Media(images=1))[0].many == 1
    with pytest.raises(RequestError, match="does not read frames as images"):
        media_costs(spec_of(config), Media(frames=2))
