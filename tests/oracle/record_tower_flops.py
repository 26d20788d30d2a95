"""Counts the FLOPs of one image through the towers and projectors of small models.

`python tests/oracle/record_tower_flops.py > tests/oracle/tower_flops.jsonl` needs what `record_towers.py` needs. `flops` are those of
`torch.utils.flop_counter` over `get_image_features`, the products of matrices and of attention; `image`: the image's height and width.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys
from typing import Any

import torch
import transformers
from record_towers import base
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
BART = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "vocab_size": 512,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4}  # fmt: skip
FIXED = {"llava": 336, "gemma3": 224, "paligemma": 224, "internvl": 448, "llama4": 448, "aya_vision": 364, "aria": 224}
BOUNDED = {"idefics2": (378, 504)}
"""Families that are given images of several shapes, none of them all zeros, which stands for padding."""
NATIVE = {
    "qwen2_vl": 28,
    "qwen2_5_vl": 28,
    "qwen3_vl": 32,
    "qwen3_5": 32,
    "glm4v": 28,
    "exaone4_5": 28,
    "hyperclovax_vision_v2": 28,
    "qwen2_5_omni_thinker": 28,
    "ernie4_5_vl_moe": 28,
}
"""Families that are told the patches of an image, each with the pixels of a group's side."""
TILED = {"florence2": 768, "granite_docling": 128, "got_ocr2": 320}
"""Families that are given one tile of a side."""
PACKED = {"minicpmv4_6": (616, 336)}
"""Families that are given the patches of an image in a row."""
TOWERS = {
    "idefics2": {"image_size": 980, "patch_size": 14, "num_hidden_layers": 2},
    "granite_docling": {"image_size": 128, "out_hidden_size": 64},
    "got_ocr2": {"image_size": 320},
    "minicpmv4_6": {"patch_size": 14},
}
MORE = {
    "minicpmv4_6": {
        "text_config": {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "layer_types": ["full_attention"] * 2}
    },
    "ernie4_5_vl_moe": {"text_config": {"hidden_size": 512}},
    "llama4": {"text_config": {"num_local_experts": 2, "intermediate_size_mlp": 128, "head_dim": 16}},
    "qwen3_5": {
        "text_config": {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "layer_types": ["full_attention"] * 2}
    },
}


def features(family: str, model: Any, config: Any) -> tuple[int, tuple[int, int]]:
    """FLOPs of one image, and its size."""
    v = config.vision_config
    if family in TILED:
        side = TILED[family]
        size, inputs = (side, side), {"pixel_values": torch.zeros(1, 3, side, side)}
        if family == "granite_docling":
            inputs = {
                "pixel_values": torch.zeros(1, 1, 3, side, side),
                "pixel_attention_mask": torch.ones(1, 1, dtype=torch.bool),
            }
    elif family in PACKED:
        size, patch = PACKED[family], v.patch_size
        grid = [side // patch for side in size]
        inputs = {
            "pixel_values": torch.zeros(1, 3, patch, grid[0] * grid[1] * patch),
            "target_sizes": torch.tensor([grid]),
        }
    elif family in BOUNDED:
        size = BOUNDED[family]
        model.requires_grad_(False)  # the counter follows gradients that no_grad leaves latents without
        inputs, model = {"pixel_values": torch.ones(1, 1, 3, *size)}, model.model
    elif family in FIXED:
        side = FIXED[family]
        inputs, size = {"pixel_values": torch.zeros(1, 3, side, side)}, (side, side)
    else:
        rows, columns = 2 * 12, 2 * 16
        numbers = v.in_channels * getattr(v, "temporal_patch_size", 1) * v.patch_size**2
        inputs = {
            "pixel_values": torch.zeros(rows * columns, numbers),
            "image_grid_thw": torch.tensor([[1, rows, columns]]),
        }
        size = (12 * NATIVE[family], 16 * NATIVE[family])
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.get_image_features(**inputs)
        if family == "llama4":  # its features are those before the projector
            model.multi_modal_projector(torch.zeros(256, v.vision_output_dim))
    return counter.get_total_flops(), size


def main() -> None:
    for family in sys.argv[1:] or (*FIXED, *NATIVE, *BOUNDED, *TILED, *PACKED):
        file = base(family)
        more = MORE.get(family, {}).get("text_config", {})
        file["text_config"] = BART if family == "florence2" else file["text_config"] | SMALL | more
        file["vision_config"] = file["vision_config"] | TOWERS.get(family, {})
        if "out_hidden_size" in file["vision_config"]:
            file["vision_config"]["out_hidden_size"] = 64
        if family == "qwen2_vl":
            file["vision_config"]["hidden_size"] = 64
        if family == "aya_vision":
            file["vision_config"]["image_size"] = FIXED[family]
        if family == "aria":  # 7 by 7 patches
            file["projector_patch_to_query_dict"] = {"49": 16}
            file["max_value_projector_patch_to_query_dict"] = 16
        if family == "paligemma":
            file["projection_dim"] = 64
        if family == "gemma3":
            file["mm_tokens_per_image"] = 49
        if family == "llama4":
            file["vision_config"]["hidden_size"] = 1408
        try:
            config = CONFIG_MAPPING[family].from_dict(json.loads(json.dumps(file)))
            config._attn_implementation = "eager"
            model = getattr(transformers, file["architectures"][0])(config).eval()
            flops, size = features(family, model, config)
        except Exception as error:  # noqa: BLE001 (whatever a class cannot run)
            print(family, type(error).__name__, str(error)[:300], file=sys.stderr)
            continue
        print(json.dumps({"config": file, "image": size, "flops": flops}))


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    transformers.logging.set_verbosity_error()
    main()
