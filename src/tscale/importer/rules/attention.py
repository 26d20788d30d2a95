"""Attention of other kinds than softmax over heads, where no layer is unlike the others."""

from __future__ import annotations

from tscale.blocks import LatentAttention
from tscale.importer.config_keys import Config


def latent(config: Config) -> LatentAttention:
    """Latent attention; it has no heads of keys and values of its own."""
    nope, rope = config.size("qk_nope_head_dim"), config.size("qk_rope_head_dim")
    config.agreed("qk_head_dim", nope + rope, "qk_nope_head_dim + qk_rope_head_dim")
    return LatentAttention(
        kind="latent",
        heads=config.size(config.keys.heads),
        q_rank=config.optional("q_lora_rank"),
        kv_rank=config.size("kv_lora_rank"),
        nope_dim=nope,
        rope_dim=rope,
        v_dim=config.optional("v_head_dim") or config.size(config.keys.d_model) // config.size(config.keys.heads),
        bias=config.flag("attention_bias"),
    )
