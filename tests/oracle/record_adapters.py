"""Counts the parameters that peft trains in low-rank adapters, on the meta device.

`python tests/oracle/record_adapters.py > tests/oracle/adapters.jsonl` needs `transformers` 5.24.0, `torch` 2.13.0 and `peft` 0.21.2;
it knows nothing of tscale. Each line holds a configuration, the file that peft saves of the adapters on it, and what they train.
"""

# mypy: ignore-errors
# transformers, torch and peft are installed only where this is run
from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model

SMALL = {
    "vocab_size": 512, "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2,
    "intermediate_size": 448,
}  # fmt: skip
ATTENTION, MLP = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
CASES = [
    ("llama", {}, 8, ["q_proj", "v_proj"]),
    ("llama", {}, 16, ATTENTION),
    ("llama", {}, 4, [*ATTENTION, *MLP]),
    ("llama", {"head_dim": 48}, 4, "all-linear"),
    ("llama", {"tie_word_embeddings": True}, 64, MLP),
    ("qwen2", {}, 8, "all-linear"),
    ("qwen3", {"head_dim": 48}, 8, ["k_proj", "down_proj"]),
    ("gemma2", {"head_dim": 48}, 8, ["q_proj", "o_proj"]),
    ("mistral", {}, 32, ["q_proj", "k_proj", "gate_proj"]),
    ("opt", {"ffn_dim": 320, "word_embed_proj_dim": 256}, 8, ["q_proj", "v_proj", "out_proj", "fc1", "fc2"]),
    ("qwen3_moe", {"head_dim": 48, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 96}, 8, ["q_proj", "v_proj"]),
]  # fmt: skip
LATENT = {
    "q_lora_rank": 48, "kv_lora_rank": 64, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 32, "n_routed_experts": 4,
    "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 96, "first_k_dense_replace": 1, "n_group": 1,
    "topk_group": 1, "num_key_value_heads": 8,
}  # fmt: skip
NEXT = {
    "num_hidden_layers": 4, "num_experts": 4, "moe_intermediate_size": 96, "shared_expert_intermediate_size": 96, "num_experts_per_tok": 2,
}  # fmt: skip
EVERY = [*ATTENTION, *MLP]
MORE = [
    ("llama", {}, 8, ["q_proj", "v_proj"], {"use_dora": True}),
    ("llama", {}, 8, EVERY, {"use_dora": True}),
    ("qwen3", {"head_dim": 48}, 16, EVERY, {"use_dora": True}),
    ("opt", {"ffn_dim": 320, "word_embed_proj_dim": 256}, 8, ["q_proj", "out_proj", "fc1", "fc2"], {"use_dora": True}),
    ("llama", {}, 8, ["q_proj", "v_proj"], {"modules_to_save": ["lm_head"]}),
    ("llama", {}, 8, ["q_proj", "v_proj"], {"modules_to_save": ["embed_tokens"]}),
    ("llama", {}, 8, EVERY, {"modules_to_save": ["embed_tokens", "lm_head"]}),
    ("llama", {}, 8, EVERY, {"modules_to_save": ["embed_tokens", "lm_head"], "use_dora": True}),
    ("qwen2", {"tie_word_embeddings": True}, 8, ["q_proj"], {"modules_to_save": ["embed_tokens"]}),
    ("qwen2", {"tie_word_embeddings": True}, 8, ["q_proj"], {"modules_to_save": ["embed_tokens", "lm_head"]}),
    ("qwen2", {"tie_word_embeddings": True}, 8, ["q_proj"], {"modules_to_save": ["lm_head"]}),
    ("deepseek_v3", LATENT, 8, ATTENTION),
    ("qwen3_next", NEXT, 8, ["q_proj", "v_proj"]),
]  # fmt: skip
"""With magnitudes (DoRA), with modules that are trained whole, and where latents or other mixers have the place of q and k."""
JOINED = [
    ("phi3", {"pad_token_id": 0}, 8, ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]),
    ("phi3", {"pad_token_id": 0}, 8, ["qkv_proj", "gate_up_proj"], {"use_dora": True}),
    ("phi3", {"pad_token_id": 0}, 8, ["qkv_proj", "gate_up_proj"], {"rank_pattern": {"qkv_proj": 24}}),
    ("glm4", {"pad_token_id": 0}, 8, ["q_proj", "gate_up_proj"]),
    ("gpt2", {"n_embd": 256, "n_layer": 3, "n_head": 8, "n_inner": 448}, 8, ["c_attn"]),
    ("gpt2", {"n_embd": 256, "n_layer": 3, "n_head": 8, "n_inner": 448}, 8, ["attn.c_proj"]),
    ("gpt2", {"n_embd": 256, "n_layer": 3, "n_head": 8, "n_inner": 448}, 8, ["c_proj", "c_fc"]),
    ("phi", {}, 8, ["q_proj", "o_proj", "dense"]),
    ("llama", {}, 8, ["out_proj", "q_proj"]),
    ("llama", {}, 8, ATTENTION, {"rank_pattern": {"q_proj": 16, "self_attn.v_proj": 4}, "alpha_pattern": {"q_proj": 32}}),
    ("llama", {}, 8, EVERY, {"rank_pattern": {"proj": 32, "o_proj": 16}, "use_dora": True}),
]  # fmt: skip
"""Where one matrix is several in other models, where the names are those of other families, and with ranks by name."""
GPT2 = {"n_embd": 256, "n_layer": 3, "n_head": 8, "n_inner": 448}
MOE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 96}
DEEP = {"num_hidden_layers": 12}
PLACES = [
    ("llama", {}, 8, ["q_proj", "v_proj"], {"layers_to_transform": [0, 2]}),
    ("llama", {}, 8, EVERY, {"layers_to_transform": 1, "layers_pattern": "layers"}),
    ("gpt2", GPT2, 8, ["c_attn"], {"layers_to_transform": [1], "layers_pattern": ["layers", "h"]}),
    ("llama", DEEP, 8, r".*layers\.(1|[5-7]|1[01])\.self_attn\.(q|v)_proj"),
    ("llama", DEEP, 8, r"^model\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:k_proj|down_proj))$"),
    ("llama", {}, 8, ["layers.0.self_attn.q_proj", "model.layers.2.mlp.up_proj", "o_proj"]),
    ("llama", DEEP, 8, ["1.self_attn.q_proj"]),
    ("llama", {}, 8, ["q_proj", "v_proj"], {"rank_pattern": {r"layers\.[01]\..*q_proj": 16, "^model.layers.2.self_attn.v_proj": 4}}),
    ("llama", {}, 8, ["q_proj", "v_proj"], {"rank_pattern": {"k_proj": 16}, "alpha_pattern": {"v_proj": 32}}),
    ("llama", {}, 8, EVERY, {"exclude_modules": ["layers.1.mlp.up_proj", "v_proj"]}),
    ("llama", {}, 8, EVERY, {"exclude_modules": r".*\.1\..*", "use_dora": True}),
    ("gemma2", {"head_dim": 48}, 8, r".*\.[02]\.self_attn\.(k|o)_proj"),
    ("qwen3_moe", MOE, 8, ["q_proj", "v_proj"], {"layers_to_transform": [0, 2]}),
    ("qwen3_moe", MOE, 8, ["layers.0.self_attn.q_proj", "o_proj"]),
    ("mixtral", MOE, 8, ["q_proj", "o_proj"], {"rank_pattern": {"layers.1.self_attn.q_proj": 16, "o_proj": 4}}),
    ("mixtral", MOE, 8, ["q_proj", "k_proj"], {"exclude_modules": ["layers.1.self_attn.k_proj"]}),
]  # fmt: skip
"""In some layers alone: by number, by a pattern, by single modules, with ranks in some, and without what is left out."""


def main() -> None:
    """Prints a line a case."""
    for family, change, rank, targets, *more in [*CASES, *MORE, *JOINED, *PLACES]:
        own = transformers.CONFIG_MAPPING[family]()
        values = {key: value for key, value in SMALL.items() if hasattr(own, key)} | change
        config = transformers.CONFIG_MAPPING[family](**values)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config)
        model = get_peft_model(
            model, LoraConfig(r=rank, target_modules=targets, task_type="CAUSAL_LM", **(more[0] if more else {}))
        )
        trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
        with tempfile.TemporaryDirectory() as folder:
            model.peft_config["default"].save_pretrained(folder)
            saved = json.loads(Path(folder, "adapter_config.json").read_text())
        if not isinstance(saved["target_modules"], str):
            saved["target_modules"] = sorted(saved["target_modules"])
        print(json.dumps({"config": json.loads(config.to_json_string()), "adapter": saved, "trained": trained}))


if __name__ == "__main__":
    main()
