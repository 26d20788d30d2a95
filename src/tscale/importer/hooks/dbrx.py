"""DBRX, whose sizes stand in mappings of their own."""

from __future__ import annotations

from tscale.blocks import Experts, FeedForward
from tscale.importer.config_keys import Config


def kv_heads(config: Config) -> int:
    """Those of the inner mapping `attn_config`."""
    return config.inner("attn_config", {"kv_n_heads": 1}, harmless=("clip_qkv", "attn_pdrop"))["kv_n_heads"]


def experts(config: Config, dense: FeedForward) -> Experts:
    """Those of the inner mapping `ffn_config`, in every layer."""
    defaults = {"ffn_hidden_size": 3584, "moe_num_experts": 4, "moe_top_k": 1}
    harmless = ("moe_jitter_eps", "moe_loss_weight", "moe_normalize_expert_weights", "ffn_act_fn", "hidden_size")
    inner = config.inner("ffn_config", defaults, harmless=harmless)
    experts, top_k = inner["moe_num_experts"], inner["moe_top_k"]
    return Experts(kind="experts", experts=experts, top_k=top_k, d_ff=inner["ffn_hidden_size"], gated=dense.gated)
