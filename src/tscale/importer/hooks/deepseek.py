"""DeepSeek 3.2 and GLM's like it: latent attention to keys that an indexer picks."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tscale.blocks import LatentAttention
from tscale.importer.config_keys import Config
from tscale.importer.indexers import INDEXERS, frequent_indexers, listed_indexers
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import by_kind, layer_types
from tscale.importer.rules.attention import latent
from tscale.importer.rules.notes import prediction_layers

_INDEXED: Final = ("indexed_attention", "deepseek_sparse_attention")


def indexed(config: Config) -> LatentAttention:
    """Latent attention to the keys that every layer's own indexer picks."""
    layer_types(config, (), *_INDEXED)
    return replace(
        latent(config),
        index_heads=config.size("index_n_heads"),
        index_dim=config.size("index_head_dim"),
        index_top_k=config.size("index_topk"),
    )


def indexed_at_times(config: Config) -> LatentAttention | tuple[LatentAttention, ...]:
    """The same, but layers that are listed as `shared` see what an earlier layer's indexer picked."""
    own = indexed(config)
    listed, depth = listed_indexers(config), layers_told_apart(config)
    if listed is None:
        listed = frequent_indexers(config, depth)
    if len(listed) != depth or not set(listed) <= set(INDEXERS) or INDEXERS[listed[0]] != "full":
        raise config.wrong(f"indexer_types must be full or shared for each of {depth} layers, the first full")
    shared = replace(own, index_heads=None, index_dim=None)
    return by_kind(config, [INDEXERS[name] for name in listed], {"full": own, "shared": shared})


def indexed_notes(config: Config) -> tuple[str, ...]:
    """What full attention means for keys that are picked, and what the class does not build."""
    picked = (
        f"Each query sees {config.size('index_topk')} keys that an indexer picks: full attention counts all of them."
    )
    return (picked, *prediction_layers(config))
