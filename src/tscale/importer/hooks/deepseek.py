"""DeepSeek 3.2 and GLM's like it: latent attention to keys that an indexer picks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tscale.blocks import LatentAttention
from tscale.importer.layer_lists import a_layer_each, layers_told_apart
from tscale.importer.mixed_layers import by_kind, layer_types
from tscale.importer.rules.attention import latent
from tscale.importer.rules.notes import prediction_layers

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

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
    legal = {"full": "full", "shared": "shared", "F": "full", "S": "shared"}
    listed, pattern = a_layer_each(config, "indexer_types", str), config.value("index_topk_pattern")
    if listed is None and isinstance(pattern, str):
        listed = list(pattern)
    elif listed is None and pattern is not None:
        listed = a_layer_each(config, "index_topk_pattern", str)
    depth = layers_told_apart(config)
    if listed is None:
        every, offset = max(config.whole("index_topk_freq"), 1), config.whole("index_skip_topk_offset")
        listed = ["full" if max(layer - offset + 1, 0) % every == 0 else "shared" for layer in range(depth)]
    if len(listed) != depth or not set(listed) <= set(legal) or legal[listed[0]] != "full":
        raise config.wrong(f"indexer_types must be full or shared for each of {depth} layers, the first full")
    shared = replace(own, index_heads=None, index_dim=None)
    return by_kind(config, [legal[name] for name in listed], {"full": own, "shared": shared})


def indexed_notes(config: Config) -> tuple[str, ...]:
    """What full attention means for keys that are picked, and what the class does not build."""
    picked = (
        f"Each query sees {config.size('index_topk')} keys that an indexer picks: full attention counts all of them."
    )
    return (picked, *prediction_layers(config))
