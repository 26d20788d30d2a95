"""Answers about towers without a text model."""

from __future__ import annotations

from collections.abc import Callable

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


@pytest.mark.parametrize("question", [tscale.attention, tscale.memory, tscale.summary])
def test_what_is_asked_of_text_is_refused(question: Callable[..., object]) -> None:
    with pytest.raises(TscaleError, match="has no text model"):
        question(VIT)


def test_a_tower_is_not_compared_with_a_language_model() -> None:
    with pytest.raises(TscaleError, match="has no text model"):
        tscale.compare(VIT, "gpt2")


def test_a_tower_says_what_its_file_has_beyond_its_class() -> None:
    result = tscale.params({**VIT, "layer_dropper": 3})
    assert any("Not read by this family: layer_dropper." in note for note in result.notes)


def test_a_derivation_is_told_of_each_line() -> None:
    assert "= 768·768 + 768" in str(tscale.params(VIT).explain())
