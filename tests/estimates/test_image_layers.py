"""Layers that attend to images (Llama 3.2 Vision, BLIP), against what transformers computes and caches, and through every door."""

from __future__ import annotations

import json
from typing import Any

import pytest

import tscale
from tests.core.test_roofline import alone
from tests.helpers import run
from tests.importer.recorded import recorded, spec_of
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.roofline import Pass, decode_seconds, pass_seconds, works
from tscale.core.ledger import Cache
from tscale.errors import RequestError
from tscale.estimates.media import Media, media_costs, with_images
from tscale.models.lower import lower, run_of

LINES = recorded("image_layers.jsonl")
CONFIG, CAPTIONS = (
    next(line["config"] for line in LINES if line["config"]["model_type"] == name) for name in ("mllama", "blip")
)


@pytest.mark.parametrize("line", LINES, ids=[f"{n}-{line['images']}" for n, line in enumerate(LINES)])
def test_images_take_what_the_framework_computes_and_caches(line: dict[str, Any]) -> None:
    """Tower, projector, a sequence with the head at every position, one step behind it, and keys and values of the images."""
    media = Media(images=line["images"])
    spec = with_images(spec_of(line["config"]), media)
    (cost,), ledger, tokens = media_costs(spec, media), lower(spec), line["tokens"]
    step = Pass(1, 1, tokens, 1, decoding=True, images=spec.image_positions)
    assert {
        "tower": cost.flops.vision_tower,
        "projector": cost.flops.projector,
        "prefill": forward_flops(ledger, run_of(spec, tokens)).total,
        "step": sum(work.flops for work in works(alone(ledger), step)),
    } == line["flops"]
    own = {entry.name for entry in ledger.entries if isinstance(entry, Cache) and entry.stream == "images"}
    kept = {one.name: one.value for one in cache_bytes(ledger, run_of(spec, tokens), 8).lines}
    assert sum(kept[name] for name in own) == line["kept"]


def test_a_prefill_and_its_steps_are_one_pass_over_all_tokens() -> None:
    """Keys and values of images are made once, and every token is scored with them, those of an answer too."""
    spec = with_images(spec_of(CONFIG), Media(images=2))
    setup, positions = alone(lower(spec)), spec.image_positions
    passes = [Pass(1, 30, 0, 30, decoding=False, images=positions)]
    passes += [Pass(1, 1, cached, 1, decoding=True, images=positions) for cached in range(30, 36)]
    assert (
        sum(work.flops for one in passes for work in works(setup, one))
        == forward_flops(setup.whole, run_of(spec, 36), "causal").total
    )
    steps = sum(pass_seconds(setup, works(setup, one)) for one in passes[1:])
    assert decode_seconds(setup, 1, 30, 6, images=positions) == pytest.approx(steps, rel=1e-9)


def test_a_plain_text_skips_the_layers() -> None:
    """Two layers of five, whose weights are stored all the same: 3·64·96 and 2·(64·64 + 64·32) in a layer."""
    spec = spec_of(CONFIG)
    plain, seen = (
        forward_flops(lower(one), run_of(one, 10)).total for one in (spec, with_images(spec, Media(images=1)))
    )
    positions, layer = 4 * 26, 3 * 64 * 96 + 2 * 64 * 64
    added = 10 * layer + positions * 2 * 64 * 32 + 10 * positions * 2 * 64
    assert seen - plain == 2 * 2 * added
    assert tscale.params(lower(spec)).total == tscale.params(lower(with_images(spec, Media(images=1)))).total


def test_an_image_is_one_token_and_holds_the_keys_of_its_tiles() -> None:
    """4 tiles of 26 positions, keys and values of 2·16 numbers in 2 layers; its one token has the keys and values of 3 more."""
    done = tscale.memory(CONFIG, context=128, images=3, batch=2, dtype="bf16").to_dict()
    (media,) = done["media"]
    each = 4 * 26 * 2 * 2 * 2 * 16 * 2 + 3 * 2 * 2 * 16 * 2
    assert (media["tokens"], media["kv_cache_bytes"]) == (3, 2 * 3 * each)
    assert done["per_device_bytes"]["kv_cache"] == 2 * (128 * 3 * 128 + 3 * 4 * 26 * 2 * 128)


def test_flops_say_what_images_add_to_the_language_model() -> None:
    """The same with images and without, and the average of the one token that an image is."""
    said = tscale.flops(CONFIG, tokens="1e6", context=100, images=2).to_dict()["media"][0]["flops"]
    spec = spec_of(CONFIG)
    plain, seen = (
        forward_flops(lower(one), run_of(one, 100)).total for one in (spec, with_images(spec, Media(images=2)))
    )
    assert said["language_model"] == seen - plain + -(-2 * plain // 100)


def test_a_prompt_reads_its_images_before_its_first_token(tmp_path: Any) -> None:
    """At best, the keys of 4 tiles are read by each further token: 2 layers of 2·2·16 numbers of 2 bytes, at 3.35e12 bytes/s."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    asked = ("serve", str(tmp_path), "--gpu", "h100", "--context", "64", "--output", "8", "--format", "json")
    plain, seen = (json.loads(run(*asked, *more).out) for more in ((), ("--images", "4")))
    weights = 2 * (2 * 64 * 64 + 3 * 64 * 96 + 2 * 16 + 64 + 2) * 2  # of the layers that a plain text skips
    assert seen["tower_seconds"] > 0
    assert seen["seconds_per_token"] - plain["seconds_per_token"] == pytest.approx(
        (weights + 16 * 26 * 2 * 64 * 2) / 3.35e12, rel=0.01
    )


def test_a_step_has_three_times_the_products_of_its_sequences_and_their_images() -> None:
    """Forward once and backward twice, towers, projector and layers that attend to images included."""
    done = tscale.train(CONFIG, gpu="h100", gpus=8, tokens=64 * 10**6, context=64, images=2).to_dict()
    media = Media(images=2)
    spec = with_images(spec_of(CONFIG), media)
    (cost,) = media_costs(spec, media)
    sequence = forward_flops(lower(spec), run_of(spec, 64)).total + cost.flops.total
    assert done["training_flops"] == 3 * sequence * 10**6


def test_images_are_trained_on_and_a_plain_text_gives_the_layers_no_gradients() -> None:
    held = tscale.memory(CONFIG, train=True, context=64, images=1).to_dict()
    assert 0 < held["tower_activations"] < held["per_device_bytes"]["activations"]
    with pytest.raises(RequestError, match="keeps for the backward pass"):
        tscale.memory(CONFIG, train=True, context=64)


def test_blip_is_given_one_image_which_takes_no_token() -> None:
    """17 positions of keys and values of 64 numbers each, in 3 layers and 2 bytes."""
    (media,) = tscale.memory(CAPTIONS, context=40, images=1, dtype="bf16").to_dict()["media"]
    assert (media["tokens"], media["kv_cache_bytes"]) == (0, 17 * 2 * 64 * 3 * 2)
    with pytest.raises(RequestError, match="is given one image in a sequence: ask for 1"):
        media_costs(spec_of(CAPTIONS), Media(images=2))
