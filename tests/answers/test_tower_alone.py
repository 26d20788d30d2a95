"""Answers about towers without a text model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

import tscale
from tscale.errors import TscaleError

VIT = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "num_labels": 1000}
WAVES = {"model_type": "wav2vec2"}


LARGE = VIT | {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}


@pytest.mark.parametrize(("config", "total", "giga"), [(VIT, 86_567_656, "17.56"), (LARGE, 304_326_632, "61.55")])
def test_vit_with_1000_labels_is_as_torchvision_s_documentation_states(config: object, total: int, giga: str) -> None:
    """num_params and GFLOPS of vit_b_16 and vit_l_16 (pytorch.org/vision, ViT_B_16_Weights), which counts a multiply-add as one."""
    assert isinstance(config, dict)
    data = tscale.params(config).to_dict()
    assert data["params"]["total"] == sum(line["params"] for line in data["lines"]) == total
    assert data["params"]["vision_tower"] == data["params"]["active"] == data["params"]["non_embedding"] == total
    assert data["params"]["embedding"] == 0
    assert f"{tscale.flops(config).to_dict()['forward_flops'] / 2e9:.2f}" == giga


def test_an_image_is_what_is_asked_for_by_default_and_images_add_up() -> None:
    one, eight = (tscale.flops(VIT, images=images).to_dict() for images in (None, 8))
    assert eight["forward_flops"] == 8 * one["forward_flops"]
    assert one["training_flops"] == 3 * one["forward_flops"]
    assert one["media"][0]["outputs"] == 197


def test_sound_needs_its_length() -> None:
    with pytest.raises(TscaleError, match="audio_seconds says how long one is"):
        tscale.flops(WAVES)
    data = tscale.flops(WAVES, audio_seconds=10).to_dict()
    assert data["media"][0]["outputs"] == 500


@pytest.mark.parametrize(
    "question", [tscale.attention, partial(tscale.train, gpu="h100"), partial(tscale.serve, gpu="h100")]
)
def test_what_is_asked_of_text_is_refused(question: Callable[..., object]) -> None:
    with pytest.raises(TscaleError, match="has no text model"):
        question(VIT)


def test_towers_are_compared_with_one_another() -> None:
    """ViT-Base and ViT-Large, by what torchvision's documentation states of both."""
    data = tscale.compare(VIT, LARGE).to_dict()
    rows = {row["quantity"]: row for row in data["rows"]}
    assert rows["params"]["values"] == [86_567_656, 304_326_632]
    assert (rows["layers"]["values"], rows["layers"]["ratios"]) == ([12, 24], [None, 2])
    assert rows["outputs"]["values"] == [197, 197]
    assert rows["forward_flops"]["ratios"][1] == pytest.approx(61.55 / 17.56, rel=1e-3)
    with pytest.raises(TscaleError, match="is about text"):
        tscale.compare(VIT, LARGE, context=5)


def test_a_tower_and_a_sound_have_parameters_and_layers_in_common() -> None:
    rows = tscale.compare(VIT, WAVES).to_dict()["rows"]
    assert [row["quantity"] for row in rows] == ["params", "layers"]


def test_a_tower_is_not_compared_with_a_language_model() -> None:
    with pytest.raises(TscaleError, match="has no text model"):
        tscale.compare(VIT, "gpt2")


def test_a_tower_says_what_its_file_has_beyond_its_class() -> None:
    result = tscale.params({**VIT, "layer_dropper": 3})
    assert any("Not read by this family: layer_dropper." in note for note in result.notes)


def test_a_derivation_is_told_of_each_line() -> None:
    assert "= 768·768 + 768" in str(tscale.params(VIT).explain())


def test_the_summary_of_a_tower_is_what_its_other_answers_say() -> None:
    data = tscale.summary(VIT).to_dict()
    assert data["params"] == tscale.params(VIT).to_dict()["params"]["total"]
    assert data["forward_flops"] == tscale.flops(VIT).to_dict()["forward_flops"]
    assert data["weight_bytes"] == {"bf16": 2 * data["params"], "fp32": 4 * data["params"]}
    assert (data["layers"], data["outputs"]) == (12, 197)


def test_a_tower_that_runs_takes_its_weights() -> None:
    data = tscale.memory(VIT, dtype="fp32", gpu="h100").to_dict()
    assert data["per_device_bytes"]["total"] == data["per_device_bytes"]["weights"] == 4 * 86_567_656
    assert data["fits"]


def test_a_tower_that_trains_keeps_its_states_and_what_its_layers_do() -> None:
    """ViT-B/16: 16 bytes a parameter with AdamW in mixed precision. Of each of 197 positions, a layer keeps 8 arrays of 768 and two of
    3072 in 16 bits, a sum for each of 12 heads and two numbers for each of two norms in 32; patches, last norm and class token too."""
    data = tscale.memory(VIT, train=True, images=4).to_dict()["per_device_bytes"]
    states = sum(data[part] for part in ("weights", "gradients", "master_weights", "optimizer_states"))
    assert states == 16 * 86_567_656
    layer = 197 * (2 * (8 * 768 + 2 * 3072) + 4 * 12 + 4 * 4)
    assert data["activations"] == 4 * (12 * layer + 196 * 768 * 2 + 197 * (768 * 2 + 8) + 768 * 2)
    again = tscale.memory(VIT, train=True, images=4, recompute="full").to_dict()["per_device_bytes"]
    assert data["activations"] - again["activations"] == 4 * 12 * (layer - 197 * 768 * 2)


def test_zero_divides_a_tower_s_states() -> None:
    whole, divided = (
        tscale.memory(VIT, train=True, data=8, zero=zero).to_dict()["per_device_bytes"] for zero in (0, 1)
    )
    assert divided["optimizer_states"] * 8 == pytest.approx(whole["optimizer_states"], rel=1e-6)
    assert divided["weights"] == whole["weights"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"context": 5}, "context is of language models, and model is none: drop it"),
        ({"images": 3}, "what model keeps of images or sounds while it runs is not known"),
        ({"dtype": "q4_k"}, "dtype of a tower is one of fp32, bf16, fp16, not q4_k"),
        ({"train": True, "recompute": "op"}, "are of language models: give none, selective or full"),
        ({"train": True, "lora_rank": 8}, "lora_rank is of language models, and model is none: drop it"),
        ({"train": True, "audio_seconds": 8}, "has no tower that reads sounds"),
    ],
)
def test_what_a_tower_cannot_be_asked_of_its_memory(asked: dict[str, object], message: str) -> None:
    with pytest.raises(TscaleError, match=message):
        tscale.memory(VIT, **asked)  # type: ignore[arg-type]
