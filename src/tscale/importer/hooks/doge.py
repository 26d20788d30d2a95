"""Doge: a mask that is computed from the values, scaled residuals, and experts that are pairs of keys."""

from __future__ import annotations

from math import isqrt

from tscale.blocks import Experts, FeedForward, Mlp
from tscale.blocks.augmented import Augmented
from tscale.importer.config_keys import Config
from tscale.importer.mixed_layers import attention_of
from tscale.importer.towers.parts import linear, vector


def attention(config: Config) -> Augmented:
    """Each head of values yields a number a token that is added to its scores; both residuals of a layer have a gain a channel."""
    d, heads = config.size("hidden_size"), config.size("num_attention_heads")
    kv_heads = config.optional("num_key_value_heads") or heads
    width = kv_heads * (config.optional("head_dim") or d // heads)
    return Augmented(
        kind="augmented",
        attention=attention_of(config, qk_norm="head", window=config.optional("sliding_window")),
        pieces=(
            linear("mask", width, kv_heads, bias=config.flag("attention_bias")),
            vector("mask.scale", kv_heads),
            vector("residuals", d, 2),
        ),
    )


def feed_forward(config: Config, dense: FeedForward) -> Mlp:
    """A dense feed-forward, and experts of one neuron next to it where there are any: a pair of keys is one (He 2024)."""
    if not config.flag("is_moe"):
        return dense
    experts = config.size("num_experts")
    return Experts(
        kind="experts",
        experts=experts,
        top_k=config.size("num_experts_per_tok"),
        d_ff=1,
        gated=False,
        product_keys=isqrt(experts),
        shared_d_ff=dense.d_ff,
        shared_gated=True,
        shared_bias=dense.bias,
    )
