"""Muse Spark: gates on residual connections, and experts at a width of their own."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Augmented, Experts, FeedForward, Mlp
from tscale.blocks.tower_pieces import Gains
from tscale.importer.config_keys import Config
from tscale.importer.experts import dealt_out
from tscale.importer.family import Routed
from tscale.importer.mixed_layers import attention_of
from tscale.importer.rules.sparse import layers
from tscale.importer.rules.windows import windows


def spark(config: Config) -> Augmented:
    """Gated attention, most layers in a window; the norm behind the feed-forward, and the gate of each residual connection."""
    d = config.size("hidden_size")
    mask = windows(config, listed="layer_types", period=4, global_at="counted from the end")
    attention = replace(attention_of(config, gated=True), window=mask.window, pattern=mask.pattern)
    names = ("norm.after_feed_forward", "residual_gate.attention", "residual_gate.feed_forward")
    pieces = tuple(Gains(kind="vector", name=name, width=d) for name in names)
    return Augmented(kind="augmented", attention=attention, pieces=pieces)


def spark_experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """Experts at a width of their own, with norms before and behind them."""
    row = Routed(selection_bias="buffer", sparse=lambda config: layers(config, listed="mlp_layer_types"))
    found, latent = dealt_out(config, dense, row), config.size("moe_hidden_size")

    def at_latent(one: Mlp) -> Mlp:
        return replace(one, latent=latent, latent_norms=True) if isinstance(one, Experts) else one

    return tuple(map(at_latent, found)) if isinstance(found, tuple) else at_latent(found)
