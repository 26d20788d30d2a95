"""Which layers have an indexer that picks keys, and which see what an earlier one picked."""

from __future__ import annotations

from typing import Final

from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import a_layer_each, refuse_unknown

INDEXERS: Final = {"full": "full", "shared": "shared", "F": "full", "S": "shared"}
"""What files call a layer with an indexer of its own, and one that sees what an earlier one picked."""


def listed_indexers(config: Config) -> list[str] | None:
    """What each layer is, as `indexer_types` lists it or a pattern of letters; None where neither is there."""
    listed, pattern = a_layer_each(config, "indexer_types", str), config.value("index_topk_pattern")
    if listed is None and pattern is not None:
        listed = list(pattern) if isinstance(pattern, str) else a_layer_each(config, "index_topk_pattern", str)
    return listed


def frequent_indexers(config: Config, depth: int) -> list[str]:
    """An indexer every so many layers."""
    every, offset = max(config.whole("index_topk_freq"), 1), config.whole("index_skip_topk_offset")
    return ["shared" if max(layer - offset + 1, 0) % every else "full" for layer in range(depth)]


def indexers(config: Config, depth: int) -> list[str]:
    """Which layers have an indexer: as `indexer_types` lists them, by a pattern of letters, or every so many."""
    listed = listed_indexers(config)
    if listed is None:
        return frequent_indexers(config, depth)
    refuse_unknown(config, "indexer_types", listed, *INDEXERS)
    if len(listed) != depth:
        raise config.wrong(f"index_topk_pattern has {len(listed)} entries, and num_hidden_layers is {depth}")
    if INDEXERS[listed[0]] == "shared":
        raise config.wrong("indexer_types: the first layer has no earlier one to share an indexer with: set it to full")
    return [INDEXERS[kind] for kind in listed]
