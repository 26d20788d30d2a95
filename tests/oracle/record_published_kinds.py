"""Counts small models whose files are like published ones: keys that repeat, or that nothing reads, and text models of other makers.

`python tests/oracle/record_published_kinds.py > tests/oracle/published_kinds.jsonl` needs `transformers` 5.24.0 and `torch`, and
knows nothing of tscale. `total` is of the whole model, its towers included.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging

import torch
import transformers

SMALL = {
    "vocab_size": 512, "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2,
    "intermediate_size": 448,
}  # fmt: skip
OF_CLIP = {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
VISION = {
    "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192, "image_size": 56, "patch_size": 14,
}  # fmt: skip
LATENT = {
    "model_type": "mistral4", **SMALL, "q_lora_rank": 64, "kv_lora_rank": 48, "qk_rope_head_dim": 16, "qk_nope_head_dim": 24,
    "v_head_dim": 40, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 96,
    "first_k_dense_replace": 0, "num_key_value_heads": 8,
}  # fmt: skip
RUN = {
    "name_or_path": "a/b", "device_map": "auto", "batch_size": 8, "base_model": "a/b", "is_causal": True, "loss_type": "ForCausalLM",
    "dtype": "bfloat16", "transformers_version": "5.24.0", "use_cache": False, "unsloth_fixed": True,
}  # fmt: skip
"""What trainers and older releases leave in files, and what changes no weight."""
PLAIN, YARN = (
    {"rope_type": "default", "rope_theta": 10000.0},
    {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 512},
)
RUNS = [
    {"model_type": "llama", "rope_parameters": YARN, "architectures": ["LlamaForCausalLM"]},
    {"model_type": "qwen2", "use_sliding_window": False, "max_window_layers": 2, "rope_parameters": PLAIN, "architectures": ["Qwen2ForCausalLM"]},
    {"model_type": "qwen3", "head_dim": 48, "layer_types": ["full_attention"] * 3, "architectures": ["Qwen3ForCausalLM"]},
    {"model_type": "gemma3_text", "rope_parameters": {"full_attention": YARN, "sliding_attention": PLAIN}, "head_dim": 48,
     "architectures": ["Gemma3ForCausalLM"]},
    {"model_type": "mixtral", "num_local_experts": 4, "rope_parameters": PLAIN, "architectures": ["MixtralForCausalLM"]},
    {"model_type": "phi3", "pad_token_id": 0, "rope_parameters": {**PLAIN, "partial_rotary_factor": 0.5}, "architectures": ["Phi3ForCausalLM"]},
    {"model_type": "olmo2", "rope_scaling": None, "architectures": ["Olmo2ForCausalLM"]},
    {"model_type": "gpt_oss", "head_dim": 32, "num_local_experts": 4, "layer_types": ["sliding_attention", "full_attention", "full_attention"],
     "architectures": ["GptOssForCausalLM"]},
    {"model_type": "modernbert", "pad_token_id": 0, "architectures": ["ModernBertForMaskedLM"]},
    {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
]  # fmt: skip
PIXTRAL = {"model_type": "pixtral", **VISION, "head_dim": 32}
CASES = [
    {"model_type": "mistral3", "text_config": LATENT, "vision_config": PIXTRAL, "architectures": ["Mistral3ForConditionalGeneration"]},
    {"model_type": "mistral3", "text_config": LATENT | {"first_k_dense_replace": 1}, "vision_config": PIXTRAL,
     "tie_word_embeddings": False, "architectures": ["Mistral3ForConditionalGeneration"]},
    {"model_type": "mistral3", "text_config": {"model_type": "qwen3", "head_dim": 48, **SMALL}, "vision_config": PIXTRAL,
     "tie_word_embeddings": False, "architectures": ["Mistral3ForConditionalGeneration"]},
    *({"model_type": kind, "text_config": {**OF_CLIP, "tie_word_embeddings": tied}, "vision_config": VISION,
       "tie_word_embeddings": not tied, "architectures": [cls]}
      for kind, cls in (("clip", "CLIPModel"), ("siglip", "SiglipModel")) for tied in (True, False)),
    *({"model_type": kind, "text_config": {**SMALL, "tie_word_embeddings": tied}, "tie_word_embeddings": True, "architectures": [cls]}
      for kind, cls in (("voxtral", "VoxtralForConditionalGeneration"), ("qwen2_audio", "Qwen2AudioForConditionalGeneration"))
      for tied in (True, False)),
    *({"model_type": "clip_text_model", **OF_CLIP, "projection_dim": width, "architectures": [cls]}
      for cls in ("CLIPTextModel", "CLIPTextModelWithProjection") for width in (64, 512)),
    {"model_type": "lfm2", **SMALL, "num_heads": 32, "block_dim": 2048, "conv_dim": 2048, "full_attn_idxs": [2],
     "architectures": ["Lfm2ForCausalLM"]},
    {"model_type": "exaone4_5", "text_config": {"model_type": "exaone4_5_text", **SMALL, "sliding_window_pattern": "LLG",
     "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}, "vision_config": {
     "depth": 2, "hidden_size": 128, "intermediate_size": 192, "num_heads": 4, "num_key_value_heads": 2, "out_hidden_size": 256},
     "architectures": ["Exaone4_5_ForConditionalGeneration"]},
    {**LATENT, "model_type": "glm4_moe_lite", "first_k_dense_replace": 1, "architectures": ["Glm4MoeLiteForCausalLM"]},
    {"model_type": "qwen3_5_moe_text", **SMALL, "intermediate_size": 100, "num_experts": 4, "num_experts_per_tok": 2,
     "moe_intermediate_size": 96, "shared_expert_intermediate_size": 64, "architectures": ["Qwen3_5MoeForCausalLM"]},
    *({**(OF_CLIP if "bert" in own["model_type"] else SMALL), **RUN, **own} for own in RUNS),
]  # fmt: skip


def main() -> None:
    """Prints a line a case."""
    logging.disable(logging.WARNING)
    for case in CASES:
        config = transformers.CONFIG_MAPPING[case["model_type"]].from_dict(json.loads(json.dumps(case)))
        with torch.device("meta"):
            model = getattr(transformers, case["architectures"][0])(config)
        model.tie_weights()
        print(json.dumps({"config": case, "total": sum(value.numel() for value in model.parameters())}))


if __name__ == "__main__":
    main()
