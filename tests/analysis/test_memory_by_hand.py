"""What is read of a tower without a text model, and what is refused as being of language models."""

from __future__ import annotations

from typing import Any

import pytest

import tscale
from tscale.errors import TscaleError

TOWER = {
    "model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 16, "image_size": 8, "patch_size": 4, "num_labels": 5,
}  # fmt: skip


def _held(**given: Any) -> dict[str, Any]:
    held: dict[str, Any] = tscale.memory(TOWER, **given).to_dict()["per_device_bytes"]
    return held


def test_options_of_language_models_are_refused_of_a_tower_unless_they_say_no() -> None:
    plain = _held(train=True, images=2)
    assert _held(train=True, images=2, sequence=False) == plain
    for name, value in (("sequence", True), ("context", 8), ("batch", 2), ("tensor", 2), ("loss", "plain")):
        with pytest.raises(TscaleError, match=f"{name} is of language models, and .* is none: drop it"):
            _held(train=True, images=2, **{name: value})


def test_a_tower_is_computed_again_as_a_whole() -> None:
    """Each of 3 layers then keeps its input alone, of 2 images of 4 patches and a class token, 8 numbers of 2 bytes each."""
    none, selective, full = (_held(train=True, images=2, attention="naive", recompute=one) for one in ("none", "selective", "full"))  # fmt: skip
    assert none["activations"] > selective["activations"] > full["activations"]
    more = _held(train=True, images=4, attention="naive", recompute="full")["activations"]
    assert more == 2 * full["activations"]
    deeper: dict[str, Any] = tscale.memory({**TOWER, "num_hidden_layers": 4}, train=True, images=2, recompute="full").to_dict()  # fmt: skip
    assert deeper["per_device_bytes"]["activations"] - full["activations"] == 2 * 5 * 8 * 2
    for some in ("full:2", "op"):
        with pytest.raises(TscaleError, match="of some layers, and op, are of language models"):
            _held(train=True, images=2, recompute=some)
