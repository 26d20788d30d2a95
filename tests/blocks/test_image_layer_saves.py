"""What a layer that attends to images keeps for the backward pass: as autograd keeps it of Llama 3.2 Vision's, every byte named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.importer.recorded import recorded
from tscale.blocks.attention import Attention
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.fields import LayerContext
from tscale.blocks.image_layer import ImageLayer
from tscale.blocks.norm import Norm
from tscale.blocks.sub_layer import sub_layer_saves
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.ledger import Saved, Subset
from tscale.core.workload import SequenceLengths

RECORDED = recorded("activations_images.jsonl")


def kept_by(record: dict[str, Any]) -> list[Saved]:
    """What the layer and the norm before it say."""
    attention = Attention(heads=record["num_attention_heads"], kv_heads=record["num_key_value_heads"], qk_norm="head")
    feed_forward = FeedForward(d_ff=record["intermediate_size"], gated=True)
    block = ImageLayer(kind="image-layer", attention=attention, feed_forward=feed_forward, images=record["images"])
    site = LayerContext("image_layer", record["hidden_size"], 1, "target", "target", causal=True)
    found: list[Saved] = []
    for one in sub_layer_saves(block, site, "attention"):
        items = one.items if isinstance(one, Subset) else (one,)
        found += [item for item in items if isinstance(item, Saved)]
    return [*found, *Norm(kind="rmsnorm").saves(site._replace(name=""), "image_layer")]


def differences(record: dict[str, Any], counted: dict[str, int]) -> Iterator[tuple[str, int]]:
    """What transformers' own code keeps beside, each with its reason."""
    number = 2 if record["dtype"] == "bf16" else 4
    inputs = sum(
        size
        for name, size in counted.items()
        if ".statistics" not in name and ("norm.input" in name or name.startswith("norm."))
    )
    inputs += counted["image_layer.norm.feed_forward.input"]
    yield "RMS norms in steps: the normalised input, and the input in fp32", inputs * 4 // number
    yield "two gates, as factors", 2 * number
    yield "which tokens see no image", record["batch"] * record["tokens"] * number
    if record["attention"] == "sdpa":
        others = record["num_attention_heads"] // record["num_key_value_heads"] - 1
        yield "keys and values for each head", others * (counted["image_layer.k"] + counted["image_layer.v"])
    elif number == 2:
        yield "the probabilities in fp32 beside those in bf16", 2 * counted["image_layer.scores.probabilities"]


def test_the_recording_holds_two_layers_of_two_shapes() -> None:
    """Two formats and two kinds of attention of each."""
    assert len(RECORDED) == 2 * 2 * 2 * 2


@pytest.mark.parametrize("record", RECORDED)
def test_a_layer_keeps_what_is_counted(record: dict[str, Any]) -> None:
    number, keeping = 2 if record["dtype"] == "bf16" else 4, "naive" if record["attention"] == "eager" else "flash"
    run = SequenceLengths(target=record["tokens"], images=record["images"])
    lines = activation_bytes(kept_by(record), run, Passes(record["batch"], keeping, number)).lines  # type: ignore[arg-type]
    counted = {line.name: int(line.value) for line in lines}
    named = list(differences(record, counted))
    assert record["bytes"] - sum(counted.values()) == sum(size for _, size in named), named
