"""Counts what images take of a small Llama 3.2 Vision and of a small BLIP: FLOPs of its tower and projector, of its text and of a step; keys and values.

`python tests/oracle/record_image_layers.py > tests/oracle/image_layers.jsonl` needs what `record_towers.py` needs. `flops` are those of
`torch.utils.flop_counter` over sequences of `tokens` with so many `images`, `prefill` without the tower and the projector. Of the
tower's the product of a vector with itself that makes its mask is left out, 2 for each pair of positions. `kept`: numbers of the keys
and values of images in all layers, as the class caches them.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING

FAMILY = "mllama"
CLASS = "MllamaForConditionalGeneration"
TEXT = {"model_type": "mllama_text_model", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 5, "vocab_size": 512,
        "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "cross_attention_layers": [1, 3]}  # fmt: skip
VISION = {"hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 3, "num_global_layers": 2, "attention_heads": 4,
          "image_size": 70, "patch_size": 14, "max_num_tiles": 4, "intermediate_layers_indices": [0, 2], "vision_output_dim": 96}  # fmt: skip
CHANGES = (
    ({}, {}),
    ({"cross_attention_layers": [3], "num_key_value_heads": 4}, {"image_size": 84}),
    ({}, {"max_num_tiles": 2, "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]], "num_global_layers": 1}),
)
SEQUENCES = ((40, 1), (33, 2), (300, 3))


def made(file: dict[str, Any]) -> torch.nn.Module:
    """A model of a file."""
    config = CONFIG_MAPPING[FAMILY].from_dict(json.loads(json.dumps(file)))
    config._attn_implementation = "eager"
    return getattr(transformers, CLASS)(config).eval()


def flops(run: Callable[[], Any]) -> tuple[int, Any]:
    """FLOPs of a call, and what it returns."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        found = run()
    return counter.get_total_flops(), found


def counted(model: torch.nn.Module, tokens: int, images: int) -> tuple[dict[str, int], int]:
    """FLOPs of each part, and the numbers that are cached of images."""
    v = model.config.vision_config
    tiles = v.max_num_tiles
    seen = {
        "pixel_values": torch.randn(1, images, tiles, 3, v.image_size, v.image_size),
        "aspect_ratio_ids": torch.ones(1, images, dtype=torch.long),
        "aspect_ratio_mask": torch.ones(1, images, tiles, dtype=torch.long),
    }
    tower, out = flops(lambda: model.model.vision_model(**seen))
    positions = tiles * -(-(model.model.vision_model.num_patches) // 8) * 8
    tower -= images * 2 * positions**2
    projector, states = flops(lambda: model.model.multi_modal_projector(out.last_hidden_state))
    states = states.reshape(-1, states.shape[-2], model.model.hidden_size).reshape(1, -1, model.model.hidden_size)
    mask = torch.ones(1, tokens, images, tiles, dtype=torch.long)
    words = torch.randint(3, 500, (1, tokens))
    prefill, out = flops(
        lambda: model(input_ids=words, cross_attention_states=states, cross_attention_mask=mask, use_cache=True)
    )
    layers = [out.cache.layers[place] for place in model.config.text_config.cross_attention_layers]
    kept = sum(layer.keys.numel() + layer.values.numel() for layer in layers)
    step, _ = flops(
        lambda: model(input_ids=words[:, :1], cross_attention_mask=mask[:, :1], cache=out.cache, use_cache=True)
    )
    return {"tower": tower, "projector": projector, "prefill": prefill, "step": step}, kept


BLIP = {"model_type": "blip_text_model", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 512,
        "num_attention_heads": 4, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "sep_token_id": 2, "encoder_hidden_size": 48}  # fmt: skip
EYES = {"model_type": "blip_vision_model", "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
        "image_size": 56, "patch_size": 14}  # fmt: skip


def captioned(file: dict[str, Any], tokens: int) -> tuple[dict[str, int], int]:
    """The same of BLIP, all of whose layers attend to the one image of a sequence."""
    config = CONFIG_MAPPING["blip"].from_dict(json.loads(json.dumps(file)))
    config._attn_implementation = "eager"
    model = transformers.BlipForConditionalGeneration(config).eval()
    side = config.vision_config.image_size
    tower, out = flops(lambda: model.vision_model(pixel_values=torch.randn(1, 3, side, side)))
    states, words = out.last_hidden_state, torch.randint(3, 500, (1, tokens))
    prefill, out = flops(lambda: model.text_decoder(input_ids=words, encoder_hidden_states=states, use_cache=True))
    kept = sum(one.keys.numel() + one.values.numel() for one in out.cache.cross_attention_cache.layers)
    step, _ = flops(
        lambda: model.text_decoder(
            input_ids=words[:, :1], encoder_hidden_states=states, cache=out.cache, use_cache=True
        )
    )
    return {"tower": tower, "projector": 0, "prefill": prefill, "step": step}, kept


def main() -> None:
    blip = {
        "model_type": "blip",
        "architectures": ["BlipForConditionalGeneration"],
        "text_config": BLIP,
        "vision_config": EYES,
    }
    for tokens in (40, 300):
        found, kept = captioned(blip, tokens)
        print(json.dumps({"config": blip, "tokens": tokens, "images": 1, "flops": found, "kept": kept}))
    for text, vision in CHANGES:
        file = {
            "model_type": FAMILY,
            "architectures": [CLASS],
            "text_config": TEXT | text,
            "vision_config": VISION | vision,
        }
        model = made(file)
        for tokens, images in SEQUENCES:
            found, kept = counted(model, tokens, images)
            print(json.dumps({"config": file, "tokens": tokens, "images": images, "flops": found, "kept": kept}))


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    transformers.logging.set_verbosity_error()
    main()
