"""Measures the caches that Hugging Face transformers keeps after it has read a batch, and the weights beside them.

`python tests/oracle/record_caches.py > tests/oracle/caches.jsonl` needs `transformers` 5.23.0 and `torch` 2.13.0; it knows
nothing of tscale. Small models of several families read a batch of random tokens on the CPU; the bytes of every tensor in
the cache that comes back are added up, and those of the parameters.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

COMMON = {"vocab_size": 128, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 4}
HEADS = {"num_attention_heads": 6, "num_key_value_heads": 2}
LATENT = {
    "q_lora_rank": 48, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
    "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}  # fmt: skip
MODELS = {
    "gpt2": {"vocab_size": 128, "n_embd": 96, "n_head": 6, "n_layer": 4, "n_positions": 128},
    "llama": {**COMMON, **HEADS},
    "qwen2": {**COMMON, **HEADS},
    "mistral": {**COMMON, **HEADS, "sliding_window": 32},
    "gemma2": {**COMMON, **HEADS, "head_dim": 16, "sliding_window": 32},
    "gemma3_text": {**COMMON, **HEADS, "num_hidden_layers": 6, "head_dim": 16, "sliding_window": 32},
    "gpt_oss": {**COMMON, **HEADS, "head_dim": 16, "sliding_window": 32, "num_local_experts": 4},
    "mixtral": {**COMMON, **HEADS, "num_local_experts": 4},
    "deepseek_v3": {**COMMON, **LATENT, "num_attention_heads": 6, "num_key_value_heads": 6},
}


def main() -> None:
    """Writes a line for each model, batch, length and dtype."""
    logging.disable(logging.WARNING)
    for family, fields in MODELS.items():
        config = CONFIG_MAPPING[family](**fields)
        for dtype in (torch.bfloat16, torch.float32):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
            for batch, length in ((1, 20), (3, 100)):
                with torch.no_grad():
                    cache = model(torch.randint(0, 128, (batch, length)), use_cache=True).past_key_values
                tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
                line = {
                    "config": {**config.to_dict(), "architectures": [type(model).__name__]},
                    "bits": 16 if dtype is torch.bfloat16 else 32,
                    "batch": batch,
                    "context": length,
                    "cache_bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
                    "weight_bytes": sum(one.numel() * one.element_size() for one in model.parameters()),
                    "windowed_layers": sum(bool(getattr(layer, "is_sliding", False)) for layer in cache.layers),
                }
                sys.stdout.write(json.dumps(line, default=str) + "\n")


if __name__ == "__main__":
    main()
