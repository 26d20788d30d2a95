"""A.X K2: norms that narrow matrices gate, and gates that are expanded with the queries."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Experts, FeedForward, LatentAttention, Mlp
from tscale.importer.config_keys import Config
from tscale.importer.experts import dealt_out
from tscale.importer.family import Routed
from tscale.importer.hooks.deepseek import indexed
from tscale.importer.rules.sparse import layers


def axk2(config: Config) -> LatentAttention:
    """Latent attention to keys that every layer's own indexer picks."""
    return replace(indexed(config), gated_queries=True, norm_gate=config.size("gated_norm_rank"))


def axk2_experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """Experts behind a gated norm; dense feed-forwards behind a plain one."""
    row = Routed(
        experts="n_routed_experts",
        shared="n_shared_experts",
        selection_bias="buffer",
        sparse=lambda config: layers(config, listed="mlp_layer_types", first="first_k_dense_replace"),
    )
    found, rank = dealt_out(config, dense, row), config.size("gated_norm_rank")

    def gated(one: Mlp) -> Mlp:
        return replace(one, norm_gate=rank) if isinstance(one, Experts) else one

    return tuple(map(gated, found)) if isinstance(found, tuple) else gated(found)
