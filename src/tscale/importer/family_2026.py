"""What several keys of a `config.json` decide together in the families of `tscale.importer.families_2026`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from tscale.blocks import (
    AltUp,
    Attention,
    CompressedAttention,
    Experts,
    FeedForward,
    HyperConnections,
    LatentAttention,
    LayerInput,
    Mixer,
    Mlp,
)
from tscale.blocks.fields import MOST_SIZE
from tscale.errors import shown
from tscale.importer import family_kinds as kinds
from tscale.importer.family_mixers import on
from tscale.importer.family_rules import a_layer_each, layers_told_apart

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

B = TypeVar("B", bound=Mixer | Mlp)
Kind = TypeVar("Kind", bound=Hashable)
_LOCAL, _GLOBAL = "sliding_attention", "full_attention"


def by_kind(config: Config, each: Sequence[Kind], blocks: Mapping[Kind, B]) -> B | tuple[B, ...]:
    """A block for the layers of each kind: the most frequent takes what the others leave."""
    first, *others = sorted(dict.fromkeys(each), key=each.count, reverse=True)
    depth = layers_told_apart(config)
    claims = [[layer for layer, kind in enumerate(each) if kind == other] for other in others]
    claimed = [replace(blocks[kind], on=on(at, depth)) for kind, at in zip(others, claims, strict=True)]
    return (blocks[first], *claimed) if claimed else blocks[first]


def _legal(config: Config, key: str, listed: Sequence[str], *legal: str) -> None:
    for name in listed:
        if name not in legal:
            raise config.wrong(f"{key}: {shown(name)} is not known yet: only {' and '.join(legal)} are")


def _long_enough(config: Config, key: str, depth: int) -> list[str] | None:
    """A list with an entry for each layer, and maybe more, which the class drops."""
    listed = config.listed(key, str)
    if listed is not None and len(listed) < depth:
        raise config.wrong(f"{key} has {len(listed)} entries, and {config.keys.layers} is {depth}")
    return None if listed is None else listed[:depth]


# ---- DeepSeek-V4 ----

_SPARSE, _HEAVY = "compressed_sparse_attention", "heavily_compressed_attention"
_BY_RATIO: Final = {0: _LOCAL, 4: _SPARSE, 128: _HEAVY}


def _compressed_layers(config: Config) -> list[str]:
    """What each layer is: as `layer_types` lists it, or by the ratios of older files; two heavy ones and turns without both."""
    depth = layers_told_apart(config)
    listed, ratios = _long_enough(config, "layer_types", depth), config.listed("compress_ratios", int)
    if listed is not None:
        _legal(config, "layer_types", listed, *_BY_RATIO.values())
        return listed
    if ratios is not None:
        if len(ratios) < depth or not set(ratios) <= set(_BY_RATIO):
            raise config.wrong(f"compress_ratios must list 0, 4 or 128 for each of {depth} layers")
        return [_BY_RATIO[ratio] for ratio in ratios[:depth]]
    return [_HEAVY if layer < 2 or layer % 2 == 0 else _SPARSE for layer in range(depth)]  # noqa: PLR2004


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
    blocks = {_LOCAL: near, _SPARSE: picked, _HEAVY: replace(near, ratio=ratios[_HEAVY])}
    return by_kind(config, _compressed_layers(config), blocks)


def deepseek_v4_experts(config: Config) -> Experts | tuple[Experts, ...]:
    """Experts everywhere; in the first layers a table says which of them a word is sent to."""
    depth = layers_told_apart(config)
    d_ff, shared = config.size("moe_intermediate_size"), config.size("n_shared_experts")
    listed, first = _long_enough(config, "mlp_layer_types", depth), config.optional_whole("num_hash_layers")
    if listed is not None:
        _legal(config, "mlp_layer_types", listed, "hash_moe", "moe")
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


# ---- Hy4 ----


def streams_apart(config: Config) -> HyperConnections:
    """Streams of which each goes on by itself."""
    return replace(streams_mixed(config), mixed=False)


def hy_v4(config: Config) -> LatentAttention | tuple[LatentAttention, ...]:
    """Latent attention with gates and sinks, whose keys are picked by an indexer of its own or by that of an earlier layer."""
    depth = layers_told_apart(config)
    own = replace(kinds.indexed(config), gated=True, sinks=True)
    usual = ["full" if layer == 0 or layer % 4 == 1 else "shared" for layer in range(depth)]
    listed = a_layer_each(config, "indexer_types", str) or usual
    _legal(config, "indexer_types", listed, "full", "shared")
    if listed[0] == "shared":
        raise config.wrong("indexer_types: the first layer has no earlier one to share an indexer with: set it to full")
    return by_kind(config, listed, {"full": own, "shared": replace(own, index_heads=None, index_dim=None)})


# ---- Gemma 3n ----


def gemma3n(config: Config) -> Attention | tuple[Attention, ...]:
    """Local and global layers, the last of which borrow the keys of the last layers of their kind before."""
    depth = layers_told_apart(config)
    usual = [_LOCAL if (layer + 1) % 5 else _GLOBAL for layer in range(depth)]
    types = a_layer_each(config, "layer_types", str) or usual
    _legal(config, "layer_types", types, _LOCAL, _GLOBAL)
    first = depth - config.whole("num_kv_shared_layers")
    if first < depth and not (first > 0 and set(types[:first]) == set(types)):
        raise config.wrong("num_kv_shared_layers: some layers would borrow keys of a kind that no layer before them has")
    blocks = {
        (kind, borrows): Attention(
            heads=config.size("num_attention_heads"),
            kv_heads=config.size("num_key_value_heads"),
            head_dim=config.size("head_dim"),
            bias=("q", "o") if borrows and config.flag("attention_bias") else config.flag("attention_bias"),
            borrows_keys=borrows,
            qk_norm="head",
            v_norm=not borrows,
            window=config.size("sliding_window") if kind == _LOCAL else None,
        )
        for kind in (_LOCAL, _GLOBAL)
        for borrows in (False, True)
    }
    return by_kind(config, [(kind, layer >= first) for layer, kind in enumerate(types)], blocks)


def gemma3n_feed_forward(config: Config) -> FeedForward | tuple[FeedForward, ...]:
    """As wide everywhere, or as wide as the file lists for each layer; how many of its numbers are zero, no product knows."""
    value, depth = config.value("intermediate_size"), layers_told_apart(config)
    listed = value if isinstance(value, list) else [value] * depth
    if len(listed) != depth or not all(type(d_ff) is int and 0 < d_ff <= MOST_SIZE for d_ff in listed):
        raise config.wrong(f"intermediate_size must be a whole number above 0, or one for each of {depth} layers")
    return by_kind(config, listed, {d_ff: FeedForward(d_ff=d_ff, gated=True) for d_ff in listed})


def gemma3n_layer_input(config: Config) -> LayerInput:
    """A vector for each layer."""
    return LayerInput(
        vocabulary=config.size("vocab_size_per_layer_input"), width=config.size("hidden_size_per_layer_input")
    )


def gemma3n_streams(config: Config) -> AltUp:
    """Streams that each layer predicts and corrects, and a low-rank path beside its attention."""
    return AltUp(kind="altup", count=config.size("altup_num_inputs"), laurel_rank=config.size("laurel_rank"))
