"""JetMoE, which chooses heads."""

from __future__ import annotations

from tscale.blocks import ExpertAttention, Experts
from tscale.importer.config_keys import Config


def attention(config: Config) -> ExpertAttention:
    """A choice of heads; how many a token queries with, the file may repeat."""
    heads, top_k = config.size("num_key_value_heads"), config.size("num_experts_per_tok")
    config.agreed("num_attention_heads", heads * top_k, "num_key_value_heads times num_experts_per_tok")
    return ExpertAttention(
        kind="expert-attention",
        experts=config.size("num_local_experts"),
        top_k=top_k,
        heads=heads,
        head_dim=config.size("kv_channels"),
    )


def experts(config: Config) -> Experts:
    """Experts in every layer, with one bias behind all of them."""
    return Experts(
        kind="experts",
        experts=config.size("num_local_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("intermediate_size"),
        out_bias=True,
    )
