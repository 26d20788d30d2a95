"""Ling 3: delta rules, and latent attention at the end of each group of layers."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import KimiDelta, Mixer
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import GLOBAL, LINEAR, by_kind, layer_types
from tscale.importer.rules.attention import latent


def bailing_hybrid(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Delta rules, and at the end of each group of layers latent attention whose heads a number each gates.

    A file that the class saved says the widths of delta rules under keys of their own, and the rotated width as that of a head.
    """
    depth, group = layers_told_apart(config), config.size("layer_group_size")
    usual = [LINEAR if (layer + 1) % group else GLOBAL for layer in range(depth)]
    types = layer_types(config, usual, LINEAR, GLOBAL)
    delta = KimiDelta(
        kind="kimi-delta",
        heads=config.optional("linear_num_heads") or config.size("num_attention_heads"),
        head_dim=config.optional("linear_head_dim") or config.size("head_dim"),
        d_conv=config.optional("linear_conv_kernel_dim") or config.size("short_conv_kernel_size"),
    )
    blocks: dict[str, Mixer] = {LINEAR: delta, GLOBAL: replace(latent(config), head_gates=True)}
    return by_kind(config, types, blocks)
