"""Counts whole models, towers included, one change of a configuration at a time.

`python tests/oracle/record_towers.py [FAMILY ...] > tests/oracle/towers.jsonl` needs `transformers` 5.24.0 and `torch` 2.13.0 or
later. `total` is `sum(p.numel())` of the class on the meta device, `text` the part of it that stands in the language model and its
head; `d_model`: the width of a text model that is not read here. The changes: every whole number, list and flag of each configuration inside the file and of the file itself, as far as the
class can be built with it; and each of those configurations left out.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import copy
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from record_tower_defaults import BASE, TEXT, plain
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from tscale.importer.families import NESTED
from tscale.importer.towers import FAMILIES

CLASSES = {
    **modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    "shieldgemma2": "Gemma3ForConditionalGeneration",
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "siglip2": "Siglip2Model",
}
OTHERS = {
    "llava": ("siglip_vision_model", "pixtral"),
    "llava_next": ("siglip_vision_model",),
    "llava_onevision": ("clip_vision_model",),
    "lfm2_vl": ("siglip_vision_model",),
    "mistral3": ("siglip_vision_model",),
}
"""Other types of towers that files of a family name."""
TEXTS = {
    "gemma4": {"num_hidden_layers": 6, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0},
    "gemma4_unified": {"num_hidden_layers": 6, "num_kv_shared_layers": 0},
    "glm4v_moe": {"head_dim": 128},
    "glm_ocr": {"head_dim": 128},
    "minicpmv4_6": {"num_hidden_layers": 4},
    "minicpmv4_7": {"num_hidden_layers": 4},
    "lfm2_vl": {"num_hidden_layers": 4},
    "minicpm_ocr": {"num_hidden_layers": 4},
    "cohere_compass": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 50000.0}}},
    "nemotron_h_omni": {"layers_block_type": ["linear_attention", "moe"]},
    "hy_v4_vl": {"n_routed_experts": 8},
    "muse_spark": {"num_local_experts": 8, "hidden_size": 8192},
    "qwen4_exp": {"num_experts": 16, "layer_types": ["linear_attention", "linear_attention"]},
    "qwen3_omni_moe_thinker": {"num_attention_heads": 16},
}
"""What the text models of some families need to be small."""
DEEP = (
    "num_hidden_layers",
    "depth",
    "encoder_layers",
    "num_layers",
    "num_blocks",
    "conf_num_hidden_layers",
    "num_global_layers",
)
"""How towers call their layers: three of them tell as much as thirty."""
SOUNDS = {
    "model_type": "parakeet_encoder",
    "num_hidden_layers": 3,
    "projection_hidden_size": 512,
    "projection_bias": True,
}
"""What Nemotron 3 Omni's sounds are read by, where it has any."""
FEW = {"deepstack_visual_indexes": [0, 2], "fullatt_block_indexes": [1], "global_attn_indexes": [1],
       "intermediate_layers_indices": [0, 2], "resampler_depth": 2, "insert_layer_id": 1}  # fmt: skip
OWN = (
    "lm_head.",
    "text_model.",
    "text_decoder.",
    "model.text_model.",
    "model.layers.",
    "model.embed_tokens.",
    "model.norm.",
)
"""What begins the names of a text model's tensors, besides those with `language_model.` in them."""


def base(family: str) -> dict[str, Any]:
    """A file with a small text model and shallow towers, and what it says beside them."""
    usual = CONFIG_MAPPING[family]()
    text = {"num_hidden_layers": 2} | TEXTS.get(family, {})
    if family == "exaone4_5" or (family in NESTED and len(NESTED[family].text) > 1):
        text["model_type"] = NESTED[family].text[0]
    file = {"model_type": family, "architectures": [cls_name(family)]}
    if family in NESTED:
        file["text_config"] = text
    for name in usual.sub_configs or {}:
        if name in TEXT or name == "vq_config":
            continue
        inner = getattr(usual, name, None)
        if family == "nemotron_h_omni" and inner is None:
            file[name] = plain(CONFIG_MAPPING["parakeet_encoder"]()) | SOUNDS
            continue
        if inner is None and family in ("gemma4", "gemma4_unified"):
            inner = CONFIG_MAPPING[f"{family}_{name.removesuffix('_config')}"]()
        if inner is None or isinstance(inner, dict):
            continue
        given = plain(inner) | {"model_type": inner.model_type}
        given |= {key: 3 for key in DEEP if key in given and "patch_sizes" not in given}
        given |= {key: value for key, value in FEW.items() if key in given}
        if "layer_types" in given:
            given["layer_types"] = given["layer_types"][1:4]
        if given.get("num_attention_heads") == 14:
            given["num_attention_heads"] = 16
        file[name] = given
    if "insert_layer_id" in plain(usual):
        file["insert_layer_id"] = 1
    return file


def cls_name(family: str) -> str:
    name = CLASSES[family]
    return name if isinstance(name, str) else name[0]


def count(file: dict[str, Any]) -> tuple[int, int] | None:
    """Parameters of the whole and of its language model; None where the class cannot be built."""
    try:
        config = CONFIG_MAPPING[file["model_type"]].from_dict(copy.deepcopy(file))
        with torch.device("meta"):
            model = getattr(transformers, file["architectures"][0])(config)
    except Exception as error:  # noqa: BLE001 (whatever a class cannot be made of)
        print(f"{file['model_type']}: {type(error).__name__} {str(error)[:120]}", file=sys.stderr)
        return None
    whole = dict(model.named_parameters())
    text = sum(p.numel() for n, p in whole.items() if "language_model." in n or n.startswith(OWN))
    return sum(p.numel() for p in whole.values()), text


def other(key: str, value: object) -> Iterator[object]:
    """Other values that a key may have: a size that the usual heads divide, and one that says how sides round."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        if "heads" in key and value % 2 == 0:
            yield value // 2
        else:
            yield 2 * value if value < 10 else value + (value // 2 if value % 2 == 0 else 1)
    elif isinstance(value, float) and 0.2 < value < 20:
        yield value / 2
    elif isinstance(value, list) and value and all(type(item) is int for item in value):
        yield [2 * item for item in value] if "index" not in key else value[:-1]


def changes(file: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "", file
    for name in [key for key in file if key.endswith("_config") and key != "text_config"]:
        for key, value in file[name].items():
            for new in other(key, value):
                changed = copy.deepcopy(file)
                changed[name][key] = new
                yield f"{name}.{key}", changed
        changed = copy.deepcopy(file)
        del changed[name]
        yield name, changed
        changed = copy.deepcopy(file)
        changed[name] = {key: file[name][key] for key in file[name] if key in DEEP or key in FEW or key == "model_type"}
        yield f"{name}, all but its depth left out", changed
    usual = CONFIG_MAPPING[file["model_type"]]()
    for key, value in plain(usual).items():
        for new in other(key, value):
            if ("token" in key and "num" not in key) or key in BASE or key == "tie_word_embeddings":
                continue
            yield key, copy.deepcopy(file) | {key: new}
    for kind in OTHERS.get(file["model_type"], ()):
        inner = plain(CONFIG_MAPPING[kind]()) | {"model_type": kind, "num_hidden_layers": 3}
        yield f"vision_config of {kind}", copy.deepcopy(file) | {"vision_config": inner}


def main(families: list[str]) -> None:
    for family in families:
        if family not in CONFIG_MAPPING:
            continue
        file, usual = base(family), CONFIG_MAPPING[family]()
        for changed, config in changes(file):
            found = count(config)
            if found is not None:
                line = {"changed": changed, "config": config, "total": found[0], "text": found[1]}
                if family not in NESTED:
                    line["d_model"] = usual.get_text_config().hidden_size
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    transformers.logging.set_verbosity_error()
    main(sys.argv[1:] or list(FAMILIES))
