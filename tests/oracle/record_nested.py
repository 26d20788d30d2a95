"""Counts the text model inside of classes that read more than text, one change of a configuration at a time.

`python tests/oracle/record_nested.py [FAMILY ...] > tests/oracle/nested.jsonl` needs `transformers` 5.23.0 and `torch`
2.13.0. `total` is what belongs to the text model and its head; `flops` are those of 70 tokens of text, null where the
class cannot run so. The changes: every way to tie the head or not, in the whole, in the text model and in neither; the
file as the class saves it; other sizes; other text models; and, where older files have no `text_config`, one of those.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import copy
import json
import logging
import sys
from collections.abc import Iterator

import torch
import transformers
from record_mixers import flops
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

FAMILIES = [
    "llava",
    "llava_next",
    "llava_next_video",
    "llava_onevision",
    "video_llava",
    "vipllava",
    "video_llama_3",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "qwen3_vl_moe",
    "qwen3_5",
    "qwen3_5_moe",
    "internvl",
    "got_ocr2",
    "glm4v",
    "glm46v",
    "glm4v_moe",
    "glm_ocr",
    "idefics2",
    "idefics3",
    "smolvlm",
    "paligemma",
    "shieldgemma2",
    "aya_vision",
    "cohere2_vision",
    "aria",
    "exaone4_5",
    "lighton_ocr",
    "qianfan_ocr",
    "kimi_k25",
    "paddleocr_vl",
    "lfm2_vl",
    "granite_docling",
    "minicpmv4_6",
    "hyperclovax_vision_v2",
    "deepseek_vl",
    "deepseek_vl_hybrid",
    "janus",
    "blip-2",
    "instructblip",
    "qwen2_audio",
    "qwen3_asr",
    "voxtral",
    "glmasr",
    "granite_speech",
    "step3p7",
    "minimax_m3_vl",
    "phi4_multimodal",
    "mllama",
    "qwen2_5_omni_thinker",
    "qwen3_omni_moe_thinker",
    "florence2",
    "fast_vlm",
    "perception_lm",
    "instructblipvideo",
    "audioflamingo3",
    "musicflamingo",
    "muse_glimmer",
    "lfm3_vl",
    "cohere_compass",
    "minicpm_ocr",
    "nemotron_h_omni",
    "hy_v4_vl",
    "molmo2",
    "cosmos3_edge",
    "hunyuan_vl",
]
CLASSES = {
    **modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
}
MORE = {
    "perception_lm": {
        "vision_config": {
            "model_type": "timm_wrapper",
            "architecture": "vit_pe_core_large_patch14_336",
            "model_args": {"embed_dim": 1024},
        }
    },
    "aya_vision": {"vision_config": {"model_type": "siglip_vision_model", "num_attention_heads": 16}},
}
ROTARY = {"rope_type": "default", "rope_theta": 50000.0}
TEXT = {
    "glm4v_moe": {"head_dim": 128},
    "hunyuan_vl": {"head_dim": 128},
    "qwen3_omni_moe_thinker": {"head_dim": 128},
    "cohere_compass": {"rope_parameters": {"full_attention": ROTARY, "sliding_attention": ROTARY}},
}
OTHERS = {
    "llava": ("mistral", "qwen2", "phi3"),
    "llava_next": ("mistral", "qwen2"),
    "llava_onevision": ("qwen3", "llama"),
    "internvl": ("llama", "qwen3"),
    "idefics3": ("smollm3",),
    "paligemma": ("gemma2",),
    "instructblip": ("llama",),
}
SLIDES, FULL = "sliding_attention", "full_attention"
SLIDING = {"layer_types": [FULL, SLIDES, SLIDES, FULL], "sliding_window": 16}
INSIDE = {
    "molmo2": ({"qk_norm_type": "olmo"}, {"norm_after": True}, {"additional_vocab_size": 64}, {"attention_bias": True}),
    "cosmos3_edge": ({"attention_bias": True}, {"mlp_bias": True}),
    "hunyuan_vl": ({"attention_bias": True}, {"head_dim": 64}),
    "hy_v4_vl": (
        {"num_attention_heads": 32},
        {"index_n_heads": 16},
        {"q_lora_rank": 1024},
        {"moe_intermediate_size": 1024},
        {"hc_mult": 2},
        {"mlp_layer_types": ["dense", "sparse", "dense", "sparse"]},
        {"indexer_types": ["full", "shared", "full", "shared"]},
    ),
    "muse_glimmer": ({"head_dim": 64}, {"attention_bias": True}, {"num_hidden_layers": 6}, {"num_key_value_heads": 4}),
    "cohere_compass": ({"num_attention_heads": 32}, {"attention_bias": True}),
    "minimax_m3_vl": (
        {"moe_layer_freq": [0, 1, 1, 1]},
        {"sparse_attention_config": {"sparse_attention_freq": [0, 1, 1, 1], "sparse_index_dim": 64}},
    ),
    "step3p7": (
        SLIDING,
        {**SLIDING, "num_sliding_attention_heads": 96},
        {**SLIDING, "attention_other_setting": {"num_attention_heads": 32}},
        {"mlp_layer_types": ["dense", "sparse", "dense", "sparse"]},
        {"moe_layers_enum": "2,3"},
        {"n_routed_experts": 16, "share_expert_dim": 96, "moe_intermediate_size": 64},
        {**SLIDING, "layer_types": [FULL, SLIDES, SLIDES, FULL, SLIDES], "num_nextn_predict_layers": 1},
        {"attention_bias": True},
    ),
}
"""Changes of the text model inside."""
FLAT = ("phi4_multimodal",)
"""Families whose files have the keys of the text model beside the others, and never inside."""
OLDER = ("qwen2_vl", "qwen2_5_vl")
OWN = ("model.language_model.", "model.text_model.", "language_model.", "lm_head.")
OF_FLAT = ("lm_head.", "model.layers.", "model.embed_tokens.", "model.norm.")
DEPTH = {"num_hidden_layers": 4}


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    for family in sys.argv[1:] or FAMILIES:
        for changed, config in changes(family):
            try:
                write(changed, config)
            except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                print(f"{family} {changed}: {error!r}"[:150], file=sys.stderr)


def changes(family: str) -> Iterator[tuple[str, dict]]:
    """The changes of one family."""
    if family in FLAT:
        yield from flat_changes(family)
        return
    inner = CONFIG_MAPPING[family]().to_dict()["text_config"]["model_type"]
    text = {"model_type": inner, **DEPTH, **TEXT.get(family, {})}
    base = {"model_type": family, "architectures": [CLASSES[family]], **MORE.get(family, {}), "text_config": text}
    for whole in ({}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False}):
        for inside in ({}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False}):
            yield "tie_word_embeddings", {**base, **whole, "text_config": {**text, **inside}}
    saved = CONFIG_MAPPING[family].from_dict(copy.deepcopy(base)).to_dict()
    yield "nothing, saved", {**saved, "architectures": [CLASSES[family]]}
    told = saved.get("tie_word_embeddings", False)
    wide = {"hidden_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 32000}
    yield "sizes", {**base, "tie_word_embeddings": told, "text_config": {**text, **wide}}
    for inside in INSIDE.get(family, ()):
        yield ", ".join(inside), {**base, "tie_word_embeddings": told, "text_config": {**text, **inside}}
    for other in OTHERS.get(family, ()):
        yield "text", {**base, "tie_word_embeddings": False, "text_config": {"model_type": other, **DEPTH}}
    if family in OLDER:
        flat = {**DEPTH, **wide, "vision_config": {"depth": 2}, "tie_word_embeddings": True}
        yield "flat", {"model_type": family, "architectures": [CLASSES[family]], **flat}


def flat_changes(family: str) -> Iterator[tuple[str, dict]]:
    """Each size of the text model changed alone, and the file as the class saves it."""
    base = {"model_type": family, "architectures": [CLASSES[family]], **DEPTH}
    yield "nothing", base
    yield "nothing, saved", {**CONFIG_MAPPING[family].from_dict(copy.deepcopy(base)).to_dict(), **base}
    for key in ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        usual = getattr(CONFIG_MAPPING[family](), key)
        for value in (usual // 2, 2 * usual):
            yield key, {**base, key: value}
    for more in (
        {"tie_word_embeddings": True},
        {"num_key_value_heads": None},
        {"sliding_window": 16},
        {"max_position_embeddings": 4096},
    ):
        yield ", ".join(more), {**base, **more}


def write(changed: str, config: dict) -> None:
    """One configuration, counted."""
    config = json.loads(json.dumps(config, default=str).replace("Infinity", "1e9"))
    with torch.device("meta"):
        (name,) = config["architectures"]
        model = getattr(transformers, name)(CONFIG_MAPPING[config["model_type"]].from_dict(copy.deepcopy(config)))
    total = sum(
        p.numel()
        for name, p in model.named_parameters()
        if name.startswith(OF_FLAT if config["model_type"] in FLAT else OWN)
    )
    line = {"changed": changed, "config": config, "total": total, "flops": flops(model.eval(), config["model_type"])}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
