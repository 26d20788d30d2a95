"""Liquid's models: short convolutions beside attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tscale.blocks import Experts, FeedForward, Mixer, Mlp, ShortConv
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import (
    GLOBAL,
    LOCAL,
    attention_of,
    by_kind,
    dealt,
    layer_types,
    listed_attention,
    ratio,
    window_of,
)


def lfm2(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Attention where `layer_types` says so, or else in the layers of `full_attn_idxs`, or else everywhere."""
    depth = layers_told_apart(config)
    found, indices = listed_attention(config, "conv"), config.listed("full_attn_idxs", int)
    if found is None:
        found = [layer for layer in range(depth) if indices is None or layer in indices]
    return _with_short_convolutions(config, found)


def _with_short_convolutions(config: Config, attention: Sequence[int]) -> Mixer | tuple[Mixer, ...]:
    """Normalised attention in these layers, short convolutions in those that are left."""
    usual = ShortConv(kind="short-conv", d_conv=config.size("conv_L_cache"), bias=config.flag("conv_bias"))
    return dealt(config, attention, usual, attention_of(config, qk_norm="head"))


def lfm2_feed_forward(config: Config) -> FeedForward:
    """Two thirds of the width in the file, times a factor, rounded up to a multiple, unless told to take it as it is."""
    d_ff = config.size("intermediate_size")
    if config.flag("block_auto_adjust_ff_dim"):
        d_ff = 2 * d_ff // 3
        if config.value("block_ffn_dim_multiplier") is not None:
            d_ff = int(float(ratio(config, "block_ffn_dim_multiplier")) * d_ff)
            multiple = config.size("block_multiple_of")
            d_ff = -(-d_ff // multiple) * multiple
    return FeedForward(d_ff=d_ff, gated=True)


def lfm2_moe(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Attention where `layer_types` says so, which the class needs."""
    if config.value("layer_types") is None:
        raise config.wrong('no "layer_types": lfm2_moe needs it')
    return _with_short_convolutions(config, listed_attention(config, "conv") or [])


def lfm2_moe_experts(config: Config) -> Mlp | tuple[Mlp, ...]:
    """Experts in all but the first `num_dense_layers`."""
    first, depth = config.whole("num_dense_layers"), layers_told_apart(config)
    routed = Experts(
        kind="experts",
        experts=config.size("num_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("moe_intermediate_size"),
        selection_bias="buffer" if config.flag("use_expert_bias") else None,
    )
    dense = FeedForward(d_ff=config.size("intermediate_size"), gated=True)
    return dealt(config, range(min(first, depth), depth), dense, routed)


def lfm3(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Short convolutions between layers of local and of global attention, whose heads a number each gates."""
    depth = layers_told_apart(config)
    kinds_of_four = ("conv", "conv", GLOBAL, "conv")
    usual = [LOCAL if layer and layer % 4 == 0 else kinds_of_four[layer % 4] for layer in range(depth)]
    types = layer_types(config, usual, "conv", LOCAL, GLOBAL)
    seeing = attention_of(config, qk_norm="head", head_gates=config.flag("use_attention_gate"))
    seeing = replace(seeing, bias=config.flag("attention_bias"))
    blocks: dict[str, Mixer] = {
        "conv": ShortConv(kind="short-conv", d_conv=config.size("conv_L_cache"), bias=config.flag("conv_bias")),
        GLOBAL: seeing,
        LOCAL: replace(seeing, window=window_of(config, types)),
    }
    return by_kind(config, types, blocks)
