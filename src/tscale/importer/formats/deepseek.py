"""The configs of DeepSeek's own inference code: V2, V3 and V3.2.

Source: https://github.com/deepseek-ai/DeepSeek-V3, inference/model.py and inference/configs.
"""

from __future__ import annotations

from typing import Final

from tscale.importer.config_keys import Config
from tscale.importer.formats.format import Format, keys, taken_of

_NAMES: Final = {
    "vocab_size": "vocab_size", "dim": "hidden_size", "inter_dim": "intermediate_size",
    "moe_inter_dim": "moe_intermediate_size", "n_layers": "num_hidden_layers",
    "n_dense_layers": "first_k_dense_replace", "n_heads": "num_attention_heads",
    "n_routed_experts": "n_routed_experts", "n_shared_experts": "n_shared_experts",
    "n_activated_experts": "num_experts_per_tok", "kv_lora_rank": "kv_lora_rank",
    "qk_nope_head_dim": "qk_nope_head_dim", "qk_rope_head_dim": "qk_rope_head_dim", "v_head_dim": "v_head_dim",
    "index_n_heads": "index_n_heads", "index_head_dim": "index_head_dim", "index_topk": "index_topk",
}  # fmt: skip
_DEFAULTS: Final[dict[str, object]] = {
    "vocab_size": 102400, "dim": 2048, "inter_dim": 10944, "moe_inter_dim": 1408, "n_layers": 27, "n_dense_layers": 1,
    "n_heads": 16, "n_routed_experts": 64, "n_shared_experts": 2, "n_activated_experts": 6, "kv_lora_rank": 512,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "q_lora_rank": 0,
}  # fmt: skip


def _deepseek(config: Config) -> dict[str, object]:
    """V3.2 picks its keys; V2 scores experts by a softmax, and V3 by a sigmoid with a bias for each in wide models."""
    indexed = config.says("index_topk") is not None
    sigmoid = config.value("score_func") == "sigmoid"
    family = "deepseek_v32" if indexed else "deepseek_v3" if sigmoid else "deepseek_v2"
    sizes = {new: config.value(old) for old, new in _NAMES.items() if not old.startswith("index_")}
    picked = taken_of(config, {old: new for old, new in _NAMES.items() if old.startswith("index_")})
    grouped = {"n_group": config.says("n_expert_groups"), "topk_group": config.says("n_limited_groups")}
    common = grouped | {"model_type": family, "q_lora_rank": config.whole("q_lora_rank") or None} | sizes | picked
    if family != "deepseek_v2":
        common["num_nextn_predict_layers"] = 0
    if config.text("dtype") == "fp8":
        common["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    return common


DEEPSEEK: Final = Format(
    title="a config of DeepSeek's inference code",
    told_by=frozenset({"dim", "inter_dim", "n_layers", "n_heads", "kv_lora_rank"}),
    row=keys(
        {**_DEFAULTS, "score_func": "softmax", "dtype": "bf16", **dict.fromkeys(k for k in _NAMES if k.startswith("index_"))},
        harmless="max_batch_size max_seq_len scale_fmt n_expert_groups n_limited_groups route_scale original_seq_len "
        "rope_theta rope_factor beta_fast beta_slow mscale",
    ),
    translated=_deepseek,
)  # fmt: skip
