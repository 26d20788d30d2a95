"""Lara mini: gated delta rules between layers of local and of global attention."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Mixer
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import (
    GLOBAL,
    LINEAR,
    LOCAL,
    attention_of,
    by_kind,
    gated_delta_of,
    layer_types,
    window_of,
)


def lara_mini(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Gated delta rules between layers of local and of global attention."""
    depth = layers_told_apart(config)
    period = (LINEAR, LOCAL, LINEAR, GLOBAL, LOCAL)
    types = layer_types(config, [period[layer % len(period)] for layer in range(depth)], *dict.fromkeys(period))
    delta = gated_delta_of(config)
    seeing = replace(attention_of(config, qk_norm="head"), bias=config.flag("attention_bias"))
    blocks: dict[str, Mixer] = {LINEAR: delta, GLOBAL: seeing, LOCAL: replace(seeing, window=window_of(config, types))}
    return by_kind(config, types, blocks)
