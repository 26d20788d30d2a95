"""Hy4: latent attention with gates and sinks, and streams that stay apart."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import HyperConnections, LatentAttention
from tscale.importer.config_keys import Config
from tscale.importer.hooks.deepseek import indexed
from tscale.importer.hooks.deepseek_v4 import streams_mixed
from tscale.importer.layer_lists import a_layer_each, layers_told_apart, refuse_unknown
from tscale.importer.mixed_layers import by_kind


def streams_apart(config: Config) -> HyperConnections:
    """Streams of which each goes on by itself."""
    return replace(streams_mixed(config), mixed=False)


def hy_v4(config: Config) -> LatentAttention | tuple[LatentAttention, ...]:
    """Latent attention with gates and sinks, whose keys are picked by an indexer of its own or by that of an earlier layer."""
    depth = layers_told_apart(config)
    own = replace(indexed(config), gated=True, sinks=True)
    usual = ["full" if layer == 0 or layer % 4 == 1 else "shared" for layer in range(depth)]
    listed = a_layer_each(config, "indexer_types", str) or usual
    refuse_unknown(config, "indexer_types", listed, "full", "shared")
    if listed[0] == "shared":
        raise config.wrong("indexer_types: the first layer has no earlier one to share an indexer with: set it to full")
    return by_kind(config, listed, {"full": own, "shared": replace(own, index_heads=None, index_dim=None)})
