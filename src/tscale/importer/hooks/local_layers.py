"""Flint, Beam, MiMo and Laguna, whose local layers stand at places or have shapes of their own."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Attention
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import AttentionMask, a_layer_each, by_layer_types, layers_told_apart, no_window
from tscale.importer.mixed_layers import GLOBAL, LOCAL, by_kind, layer_types, window_of


def flint_window(config: Config) -> AttentionMask:
    """Global are the first two layers, every fourth from the second on, and the last."""
    last = layers_told_apart(config) - 1
    return by_layer_types(
        config,
        config.optional("sliding_window"),
        lambda layer: not (layer < 2 or layer % 4 == 1 or layer == last),
    )


def beam_window(config: Config) -> AttentionMask:
    """Global are every sixth layer, and the last."""
    last, window = layers_told_apart(config) - 1, config.optional("sliding_window")
    return by_layer_types(config, window, lambda layer: (layer + 1) % 6 != 0 and layer != last)


def flint_experts(config: Config) -> list[bool]:
    """The last of every `decoder_sparse_step` layers, but for those in `mlp_only_layers`: the first two where absent."""
    step, listed = config.size("decoder_sparse_step"), config.listed("mlp_only_layers", int)
    dense = [0, 1] if listed is None else listed
    some = config.whole("num_experts") > 0
    return [some and layer not in dense and (layer + 1) % step == 0 for layer in range(layers_told_apart(config))]


def mimo(config: Config) -> Attention | tuple[Attention, ...]:
    """Local layers have twice the heads of keys and values, and sinks; global are the first and every sixth."""
    depth, kv_heads = layers_told_apart(config), config.size("num_key_value_heads")
    usual = [GLOBAL if layer == 0 or (layer + 1) % 6 == 0 else LOCAL for layer in range(depth)]
    before = config.optional("sliding_window_size")
    window = config.optional("sliding_window") if before is None else before + 1
    kinds = layer_types(config, usual, LOCAL, GLOBAL)
    if LOCAL in kinds and window is None:
        raise no_window(config)
    everywhere = Attention(
        heads=config.size("num_attention_heads"),
        kv_heads=kv_heads,
        head_dim=config.size("head_dim"),
        v_dim=config.size("v_head_dim"),
        bias=("q", "k", "v") if config.flag("attention_bias") else False,
    )
    nearby = replace(everywhere, kv_heads=2 * kv_heads, sinks=True, window=window)
    return by_kind(config, kinds, {GLOBAL: everywhere, LOCAL: nearby})


def laguna(config: Config) -> Attention | tuple[Attention, ...]:
    """Each layer says how many heads it has, and whether it slides; heads are gated as `gating` says."""
    depth = layers_told_apart(config)
    heads = a_layer_each(config, "num_attention_heads_per_layer", int) or [config.size("num_attention_heads")] * depth
    kinds = list(zip(layer_types(config, [GLOBAL] * depth, LOCAL, GLOBAL), heads, strict=True))
    by_head = config.value("gating") in (True, "per-head")
    biased = config.flag("attention_bias")
    if biased and not by_head:
        raise config.wrong("attention_bias: true is not known yet with a gate for each channel: only false is")
    window = window_of(config, [kind for kind, _ in kinds])
    blocks = {
        (kind, many): Attention(
            heads=many,
            kv_heads=config.size("num_key_value_heads"),
            head_dim=config.size("head_dim"),
            bias=biased,
            gated=not by_head,
            head_gates=by_head,
            qk_norm="head",
            window=window if kind == LOCAL else None,
        )
        for kind, many in kinds
    }
    return by_kind(config, kinds, blocks)
