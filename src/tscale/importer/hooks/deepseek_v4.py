"""DeepSeek-V4: several residual streams, compressed keys, hashed routing."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tscale.blocks import CompressedAttention, Experts, HyperConnections
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart, refuse_unknown
from tscale.importer.mixed_layers import LOCAL, by_kind


def _long_enough(config: Config, key: str, depth: int) -> list[str] | None:
    """A list with an entry for each layer, and maybe more, which the class drops."""
    listed = config.listed(key, str)
    if listed is not None and len(listed) < depth:
        raise config.wrong(f"{key} has {len(listed)} entries, and {config.keys.layers} is {depth}")
    return None if listed is None else listed[:depth]


_SPARSE, _HEAVY = "compressed_sparse_attention", "heavily_compressed_attention"
_BY_RATIO: Final = {0: LOCAL, 4: _SPARSE, 128: _HEAVY}


def _compressed_layers(config: Config) -> list[str]:
    """What each layer is: as `layer_types` lists it, or by the ratios of older files; two heavy ones and turns without both."""
    depth = layers_told_apart(config)
    listed, ratios = _long_enough(config, "layer_types", depth), config.listed("compress_ratios", int)
    if listed is not None:
        refuse_unknown(config, "layer_types", listed, *_BY_RATIO.values())
        return listed
    if ratios is not None:
        if len(ratios) < depth or not set(ratios) <= set(_BY_RATIO):
            raise config.wrong(f"compress_ratios must list 0, 4 or 128 for each of {depth} layers")
        return [_BY_RATIO[ratio] for ratio in ratios[:depth]]
    return [_HEAVY if layer < 2 or layer % 2 == 0 else _SPARSE for layer in range(depth)]


def _ratios(config: Config) -> dict[str, int]:
    """Positions that a key stands for, in each kind of layer."""
    found = config.inner("compress_rates", {_SPARSE: 4, _HEAVY: 128})
    own = {_SPARSE: config.optional("compress_rate_csa"), _HEAVY: config.optional("compress_rate_hca")}
    return found | {kind: ratio for kind, ratio in own.items() if ratio is not None}


def deepseek_v4(config: Config) -> CompressedAttention | tuple[CompressedAttention, ...]:
    """A window alone, with keys that an indexer picks of overlapping blocks, or with all keys of long blocks."""
    ratios = _ratios(config)
    near = CompressedAttention(
        kind="compressed",
        heads=config.size("num_attention_heads"),
        head_dim=config.size("head_dim"),
        q_rank=config.size("q_lora_rank"),
        groups=config.size("o_groups"),
        group_rank=config.size("o_lora_rank"),
        window=config.size("sliding_window"),
    )
    picked = replace(
        near,
        ratio=ratios[_SPARSE],
        overlapping=True,
        index_heads=config.size("index_n_heads"),
        index_dim=config.size("index_head_dim"),
        index_top_k=config.size("index_topk"),
    )
    blocks = {LOCAL: near, _SPARSE: picked, _HEAVY: replace(near, ratio=ratios[_HEAVY])}
    return by_kind(config, _compressed_layers(config), blocks)


def deepseek_v4_experts(config: Config) -> Experts | tuple[Experts, ...]:
    """Experts everywhere; in the first layers a table says which of them a word is sent to."""
    depth = layers_told_apart(config)
    d_ff, shared = config.size("moe_intermediate_size"), config.size("n_shared_experts")
    listed, first = _long_enough(config, "mlp_layer_types", depth), config.optional_whole("num_hash_layers")
    if listed is not None:
        refuse_unknown(config, "mlp_layer_types", listed, "hash_moe", "moe")
    hashed = [layer < (3 if first is None else first) for layer in range(depth)]
    chosen = Experts(
        kind="experts",
        experts=config.size("n_routed_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=d_ff,
        selection_bias="buffer",
        shared_d_ff=d_ff * min(shared, 1),  # the class builds one, however many the file says
    )
    looked_up = replace(chosen, selection_bias=None, routes=config.size("vocab_size"))
    each = hashed if listed is None else [kind == "hash_moe" for kind in listed]
    return by_kind(config, each, {True: looked_up, False: chosen})


def streams_mixed(config: Config) -> HyperConnections:
    """Streams that are mixed with one another."""
    return HyperConnections(kind="hyper-connections", count=config.size("hc_mult"))
