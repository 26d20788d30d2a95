"""MiniMax: lightning attention, and blocks of keys that an indexer picks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.blocks import Attention, IndexedAttention, Lightning, Mixer
from tscale.blocks.fields import MOST_SIZE
from tscale.errors import called, shown
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import AttentionMask, a_layer_each, layers_told_apart
from tscale.importer.mixed_layers import GLOBAL, attention_of, by_kind, dealt, layer_types, listed_attention
from tscale.importer.rules.sparse import layers


def m2_window(config: Config) -> AttentionMask:
    """Every layer is global: older files list that."""
    listed = a_layer_each(config, "attn_type_list", int)
    if listed is not None and any(kind != 1 for kind in listed):
        raise config.wrong("attn_type_list: only layers of full attention (1) are known")
    return AttentionMask()


def lightning(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Softmax attention in every other layer, beginning with the first, or where `layer_types` says so."""
    depth, heads = layers_told_apart(config), config.size("num_attention_heads")
    found = listed_attention(config, "linear_attention")
    usual = Lightning(
        kind="lightning",
        heads=heads,
        head_dim=config.optional("head_dim") or config.size("hidden_size") // heads,
        chunk=config.size("block_size"),
    )
    layers = list(range(0, depth, 2)) if found is None else found
    return dealt(config, layers, usual, attention_of(config))


_SPARSE: Final = "minimax_m3_sparse"


_FLAT: Final = {
    "sparse_num_index_heads": "index_n_heads",
    "sparse_index_dim": "index_head_dim",
    "sparse_block_size": "index_block_size",
    "sparse_topk_blocks": "index_topk_blocks",
}
"""Sizes of the indexer in `sparse_attention_config`, which stand before those of the file itself."""


_SPARSE_FREQ: Final = "sparse_attention_freq"


def _sparse_config(config: Config) -> Mapping[str, object]:
    inner = config.value("sparse_attention_config") or {}
    if not isinstance(inner, dict):
        raise config.wrong(f"sparse_attention_config must be a mapping, not {shown(inner)}")
    return inner


def m3(config: Config) -> Attention | IndexedAttention | tuple[Attention | IndexedAttention, ...]:
    """Attention to every key, or in layers that are listed as sparse to the blocks that an indexer picks."""
    everywhere = Attention(
        heads=config.size("num_attention_heads"),
        kv_heads=config.size("num_key_value_heads"),
        head_dim=config.size("head_dim"),
        qk_norm="head",
    )
    heads, width, block, blocks = _indexer_sizes(config)
    picked = IndexedAttention(
        kind="indexed",
        attention=everywhere,
        index_heads=heads,
        index_dim=width,
        index_block=block,
        index_top_blocks=blocks,
    )
    return by_kind(config, _sparse_layers(config), {GLOBAL: everywhere, _SPARSE: picked})


def _indexer_sizes(config: Config) -> tuple[int, ...]:
    """Heads, their width, keys of a block, and blocks that a query sees."""
    inner, found = _sparse_config(config), list[int]()
    for older, key in _FLAT.items():
        value = inner[older] if older in inner else config.size(key)
        if type(value) is not int or not 0 < value <= MOST_SIZE:
            raise config.wrong(f"sparse_attention_config.{older} must be a whole number above 0, not {shown(value)}")
        found.append(value)
    return tuple(found)


def _sparse_layers(config: Config) -> list[str]:
    """What each layer is, as `layer_types` or `sparse_attention_config` lists it; all see every key where both are silent."""
    depth = layers_told_apart(config)
    named, flags = config.value("layer_types"), _sparse_config(config).get(_SPARSE_FREQ)
    if named is not None or flags is None:
        return layer_types(config, [GLOBAL] * depth, GLOBAL, _SPARSE)
    return [_SPARSE if flag else GLOBAL for flag in _flags(config, f"sparse_attention_config.{_SPARSE_FREQ}", flags)]


def _flags(config: Config, key: str, listed: object) -> list[int]:
    """0 or 1 for each layer; more than there are layers are not read."""
    depth = layers_told_apart(config)
    if not isinstance(listed, list) or len(listed) < depth or not all(type(flag) is int for flag in listed):
        raise config.wrong(f"{key} must have 0 or 1 for each of {depth} layers")
    return listed[:depth]


def m3_experts(config: Config) -> list[bool]:
    """As `mlp_layer_types` or, in older files, `moe_layer_freq` lists them; all where both are absent."""
    flags = config.value("moe_layer_freq")
    if flags is None or config.value("mlp_layer_types") is not None:
        return layers(config, listed="mlp_layer_types")
    return [bool(flag) for flag in _flags(config, "moe_layer_freq", flags)]


def m3_notes(config: Config) -> tuple[str, ...]:
    """What full attention means for keys that are picked, and which of the indexer's keys the class does not read."""
    known = {*_FLAT, _SPARSE_FREQ, "sparse_local_block"}
    aside = [called(key, 60) for key, value in _sparse_config(config).items() if value and key not in known]
    unread = (f"Not read in sparse_attention_config: {', '.join(aside[:12])}.",) if aside else ()
    if _SPARSE not in _sparse_layers(config):
        return unread
    _, _, block, blocks = _indexer_sizes(config)
    picked = f"In {_SPARSE} layers each query sees {blocks} blocks of {block} keys: full attention counts all of them."
    return (picked, *unread)
