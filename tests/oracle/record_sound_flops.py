"""Counts the FLOPs of one sound through the towers and projectors of small models.

`python tests/oracle/record_sound_flops.py > tests/oracle/sound_flops.jsonl` needs what `record_towers.py` needs. `flops` are those of
`torch.utils.flop_counter` over `get_audio_features` of 100 frames a second (Phi-4's tower and the matrices behind it, which have no
such function); `seconds`: the sound's length.
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
from record_nested import FLAT
from record_tower_flops import SMALL
from record_towers import base
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING

SECONDS = {"qwen2_5_omni_thinker": 8, "audioflamingo3": 30, "glmasr": 30, "qwen3_asr": 21, "qwen3_omni_moe_thinker": 17,
           "granite_speech": 11, "gemma4": 7, "musicflamingo": 30, "phi4_multimodal": 48}  # fmt: skip
MASKS = dict.fromkeys(("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"), "feature_attention_mask")
MORE = {
    "qwen3_omni_moe_thinker": {
        "text_config": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16},
        "vision_config": {"deepstack_visual_indexes": [0]},
    }
}


def gemma4(model: Any, config: Any, frames: int) -> None:
    features = torch.zeros(1, frames, config.audio_config.subsampling_conv_channels[0])
    model.model.get_audio_features(features, torch.ones(1, frames, dtype=torch.bool))


def phi4(model: Any, config: Any, frames: int) -> None:
    tower = model.model.embed_tokens_extend.audio_embed
    found = tower.encoder(torch.zeros(1, frames, config.audio_config.input_size), None)
    tower.down_proj_for_speech(tower.up_proj_for_speech(found))


def music(model: Any, config: Any, frames: int) -> None:
    tokens = torch.full((1, frames // 4), config.audio_token_id)
    features = torch.zeros(1, config.audio_config.num_mel_bins, frames)
    model.model.get_audio_features(features, torch.ones(1, frames, dtype=torch.long), input_ids=tokens)


HEARD_BY = {"gemma4": gemma4, "phi4_multimodal": phi4, "musicflamingo": music}
"""Families whose classes are asked in a way of their own."""


def main() -> None:
    for family in sys.argv[1:] or SECONDS:
        seconds = SECONDS[family]
        file = base(family)
        if family in FLAT:
            file = {key: value for key, value in file.items() if key != "text_config"} | SMALL
        else:
            file["text_config"] |= SMALL
        for part, more in MORE.get(family, {}).items():
            file[part] |= more
        if family == "granite_speech":
            file["projector_config"]["encoder_hidden_size"] = file["encoder_config"]["hidden_dim"]
        if family == "qwen3_asr":
            file["audio_config"]["output_dim"] = SMALL["hidden_size"]
        if "omni" in family:
            file["audio_config"]["output_dim"] = file["vision_config"]["out_hidden_size"] = SMALL["hidden_size"]
        config = CONFIG_MAPPING[family].from_dict(json.loads(json.dumps(file)))
        config._attn_implementation = "eager"
        model = getattr(transformers, file["architectures"][0])(config).eval()
        frames = 100 * seconds
        if family in HEARD_BY:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                HEARD_BY[family](model, config, frames)
            print(json.dumps({"config": file, "seconds": seconds, "flops": counter.get_total_flops()}))
            continue
        if family == "granite_speech":
            features = torch.zeros(1, frames // 2, config.encoder_config.input_dim)
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                model.get_audio_features(input_features=features)
            print(json.dumps({"config": file, "seconds": seconds, "flops": counter.get_total_flops()}))
            continue
        mask = {MASKS.get(family, "input_features_mask"): torch.ones(1, frames, dtype=torch.long)}
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.get_audio_features(input_features=torch.zeros(1, config.audio_config.num_mel_bins, frames), **mask)
        print(json.dumps({"config": file, "seconds": seconds, "flops": counter.get_total_flops()}))


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    transformers.logging.set_verbosity_error()
    sys.exit(main())
