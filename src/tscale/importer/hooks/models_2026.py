"""Models of the years since 2025: several residual streams, compressed keys, hashed routing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from tscale.blocks import (
    AltUp,
    Attention,
    CompressedAttention,
    Computed,
    Experts,
    FeedForward,
    GatedDeltaNet,
    HyperConnections,
    KimiDelta,
    LatentAttention,
    LayerInput,
    Mixer,
    Mlp,
    Norm,
    ShortConv,
)
from tscale.blocks.fields import MOST_SIZE
from tscale.errors import shown
from tscale.importer.hooks.deepseek import indexed
from tscale.importer.layer_lists import a_layer_each, layers_told_apart
from tscale.importer.mixed_layers import attention_of, by_kind
from tscale.importer.rules.attention import latent
from tscale.models.spec import Embedding

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

B = TypeVar("B", bound=Mixer | Mlp)
Kind = TypeVar("Kind", bound=Hashable)
_LOCAL, _GLOBAL = "sliding_attention", "full_attention"


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
    own = replace(indexed(config), gated=True, sinks=True)
    usual = ["full" if layer == 0 or layer % 4 == 1 else "shared" for layer in range(depth)]
    listed = a_layer_each(config, "indexer_types", str) or usual
    _legal(config, "indexer_types", listed, "full", "shared")
    if listed[0] == "shared":
        raise config.wrong("indexer_types: the first layer has no earlier one to share an indexer with: set it to full")
    return by_kind(config, listed, {"full": own, "shared": replace(own, index_heads=None, index_dim=None)})


# ---- Mistral Large 4 ----


def mistral_large4(config: Config) -> LatentAttention | tuple[LatentAttention, ...]:
    """Layers that rotate or not, own a latent or borrow one, and pick keys or see those that an earlier layer picked."""
    depth = layers_told_apart(config)
    nope, rope = config.size("qk_nope_head_dim"), config.size("qk_rope_head_dim")
    config.agreed("qk_head_dim", nope + rope, "qk_nope_head_dim + qk_rope_head_dim")
    interval = config.size("no_rope_layer_interval")
    rotates = config.listed("no_rope_layers", int) or [int((layer + 1) % interval != 0) for layer in range(depth)]
    sources = a_layer_each(config, "kv_source_layers", int) or list(range(depth))
    if len(rotates) < depth:
        raise config.wrong(f"no_rope_layers has {len(rotates)} entries, and num_hidden_layers is {depth}")
    if any(at > layer or sources[at] != at for layer, at in enumerate(sources)):
        raise config.wrong("kv_source_layers: a layer takes its own keys, or those of an earlier one that has its own")
    picks = [kind == "full" for kind in _picking(config, depth)]
    each = [(bool(rotates[layer]), sources[layer] != layer, picks[layer]) for layer in range(depth)]
    blocks = {
        (rotated, borrows, own): LatentAttention(
            kind="latent",
            heads=config.size("num_attention_heads"),
            kv_rank=config.size("kv_lora_rank"),
            nope_dim=nope if rotated else nope + rope,
            rope_dim=rope if rotated else 0,
            v_dim=config.size("v_head_dim"),
            bias=config.flag("attention_bias"),
            borrows_latent=borrows,
            position_scales=True,
            index_heads=config.size("index_n_heads") if own else None,
            index_dim=config.size("index_head_dim") if own else None,
            index_top_k=config.size("index_topk"),
        )
        for rotated, borrows, own in set(each)
    }
    return by_kind(config, each, blocks)


def learned_frequencies(config: Config) -> Computed:
    """Rotation whose frequencies are scaled by learned numbers, one for each pair of channels."""
    return Computed(kind="rotary", frequencies=max(config.size("qk_rope_head_dim") // 2, 1))


def _picking(config: Config, depth: int) -> list[str]:
    """Which layers have an indexer: as `indexer_types` lists them, by a pattern of letters, or every so many."""
    legal = {"full": "full", "shared": "shared", "F": "full", "S": "shared"}
    listed, pattern = a_layer_each(config, "indexer_types", str), config.value("index_topk_pattern")
    if listed is None and pattern is not None:
        listed = list(pattern) if isinstance(pattern, str) else a_layer_each(config, "index_topk_pattern", str)
    if listed is None:
        every, offset = max(config.whole("index_topk_freq"), 1), config.whole("index_skip_topk_offset")
        return ["shared" if max(layer - offset + 1, 0) % every else "full" for layer in range(depth)]
    _legal(config, "indexer_types", listed, *legal)
    if len(listed) != depth:
        raise config.wrong(f"index_topk_pattern has {len(listed)} entries, and num_hidden_layers is {depth}")
    if legal[listed[0]] == "shared":
        raise config.wrong("indexer_types: the first layer has no earlier one to share an indexer with: set it to full")
    return [legal[kind] for kind in listed]


# ---- GLM-5.3 and Ling 3 ----

_LINEAR = "linear_attention"


def glm5_next(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Delta rules, and latent attention without rotation to keys that are picked in pools."""
    depth = layers_told_apart(config)
    usual = [_LINEAR if layer % 4 != 3 else _GLOBAL for layer in range(depth)]
    types = a_layer_each(config, "layer_types", str) or usual
    _legal(config, "layer_types", types, _LINEAR, _GLOBAL, "indexed_attention")
    if config.whole("qk_rope_head_dim"):
        raise config.wrong("qk_rope_head_dim: only 0 is known, as in the class")
    sizes = {
        "head_dim": "linear_head_dim",
        "num_heads": "linear_num_heads",
        "short_conv_kernel_size": "linear_conv_kernel_dim",
    }
    inner = config.inner(
        "linear_attn_config",
        {name: config.size(key) for name, key in sizes.items()},
        harmless=("gate_lower_bound", "safe_gate", "full_attn_layers", "kda_layers"),
    )
    nope, width = config.size("qk_nope_head_dim"), inner["head_dim"]
    config.agreed("qk_head_dim", nope, "qk_nope_head_dim")
    picked = LatentAttention(
        kind="latent",
        heads=config.size("num_attention_heads"),
        q_rank=config.size("q_lora_rank"),
        kv_rank=config.size("kv_lora_rank"),
        nope_dim=nope,
        rope_dim=0,
        v_dim=config.size("v_head_dim"),
        bias=config.flag("attention_bias"),
        index_heads=config.size("index_n_heads"),
        index_dim=config.size("index_head_dim"),
        index_top_k=config.size("index_topk"),
        index_pool=config.size("index_kpool"),
    )
    delta = KimiDelta(
        kind="kimi-delta",
        heads=inner["num_heads"],
        head_dim=width,
        d_conv=inner["short_conv_kernel_size"],
        gate_rank=width,
    )
    seeing = replace(picked, index_heads=None, index_dim=None, index_pool=None)
    blocks: dict[str, Mixer] = {_LINEAR: delta, "full": picked, "shared": seeing}
    own = _picking(config, depth)
    return by_kind(config, [_LINEAR if kind == _LINEAR else own[layer] for layer, kind in enumerate(types)], blocks)


def glm5_sparse(config: Config) -> list[bool]:
    """As `mlp_layer_types` lists them; all but the first three where it is absent."""
    listed = a_layer_each(config, "mlp_layer_types", str)
    if listed is None:
        return [layer >= 3 for layer in range(layers_told_apart(config))]
    _legal(config, "mlp_layer_types", listed, "dense", "sparse")
    return [kind == "sparse" for kind in listed]


def streams_averaged(config: Config) -> HyperConnections:
    """Streams that are mixed, and whose mean the head reads."""
    return replace(streams_mixed(config), summed=False)


def bailing_hybrid(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Delta rules, and at the end of each group of layers latent attention whose heads a number each gates.

    A file that the class saved says the widths of delta rules under keys of their own, and the rotated width as that of a head.
    """
    depth, group = layers_told_apart(config), config.size("layer_group_size")
    usual = [_LINEAR if (layer + 1) % group else _GLOBAL for layer in range(depth)]
    types = a_layer_each(config, "layer_types", str) or usual
    _legal(config, "layer_types", types, _LINEAR, _GLOBAL)
    delta = KimiDelta(
        kind="kimi-delta",
        heads=config.optional("linear_num_heads") or config.size("num_attention_heads"),
        head_dim=config.optional("linear_head_dim") or config.size("head_dim"),
        d_conv=config.optional("linear_conv_kernel_dim") or config.size("short_conv_kernel_size"),
    )
    blocks: dict[str, Mixer] = {_LINEAR: delta, _GLOBAL: replace(latent(config), head_gates=True)}
    return by_kind(config, types, blocks)


# ---- LFM 3 and Lara ----


def lfm3(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Short convolutions between layers of local and of global attention, whose heads a number each gates."""
    depth = layers_told_apart(config)
    kinds_of_four = ("conv", "conv", _GLOBAL, "conv")
    usual = [_LOCAL if layer and layer % 4 == 0 else kinds_of_four[layer % 4] for layer in range(depth)]
    types = a_layer_each(config, "layer_types", str) or usual
    _legal(config, "layer_types", types, "conv", _LOCAL, _GLOBAL)
    seeing = attention_of(config, qk_norm="head", head_gates=config.flag("use_attention_gate"))
    seeing = replace(seeing, bias=config.flag("attention_bias"))
    blocks: dict[str, Mixer] = {
        "conv": ShortConv(kind="short-conv", d_conv=config.size("conv_L_cache"), bias=config.flag("conv_bias")),
        _GLOBAL: seeing,
        _LOCAL: replace(seeing, window=_window(config, types)),
    }
    return by_kind(config, types, blocks)


def lfm3_norm(config: Config) -> Norm:
    """Norms on both sides of sub-layers, or before them alone."""
    return Norm(kind="rmsnorm", place="sandwich" if config.flag("use_sandwich_norm") else "pre")


def lara_mini(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Gated delta rules between layers of local and of global attention."""
    depth = layers_told_apart(config)
    period = (_LINEAR, _LOCAL, _LINEAR, _GLOBAL, _LOCAL)
    types = a_layer_each(config, "layer_types", str) or [period[layer % len(period)] for layer in range(depth)]
    _legal(config, "layer_types", types, *set(period))
    delta = GatedDeltaNet(
        kind="gated-delta-net",
        key_heads=config.size("linear_num_key_heads"),
        value_heads=config.size("linear_num_value_heads"),
        key_dim=config.size("linear_key_head_dim"),
        value_dim=config.size("linear_value_head_dim"),
        d_conv=config.size("linear_conv_kernel_dim"),
    )
    seeing = replace(attention_of(config, qk_norm="head"), bias=config.flag("attention_bias"))
    blocks: dict[str, Mixer] = {_LINEAR: delta, _GLOBAL: seeing, _LOCAL: replace(seeing, window=_window(config, types))}
    return by_kind(config, types, blocks)


def _window(config: Config, types: Sequence[str]) -> int | None:
    """The window of layers that slide. Raises `SpecError` where some do and there is none."""
    window = config.optional("sliding_window")
    if window is None and _LOCAL in types:
        raise config.wrong(
            "some layers slide, but there is no sliding_window: set it, or layer_types to full_attention"
        )
    return window


# ---- encoders ----


def layoutlm_embedding(config: Config) -> Embedding:
    """Tables of segments, and of where on a page a word begins, how wide and how high it is."""
    return Embedding(segments=config.size("type_vocab_size") + 4 * config.size("max_2d_position_embeddings"))


def xlm_embedding(config: Config) -> Embedding:
    """A table of languages, where there are several."""
    several = config.size("n_langs") > 1 and config.flag("use_lang_emb")
    return Embedding(segments=config.size("n_langs") if several else None)


# ---- Gemma ----


def gemma4_unified_feed_forward(config: Config, dense: FeedForward) -> FeedForward | tuple[FeedForward, ...]:
    """Twice as wide in layers that borrow keys, where the file says so."""
    depth, wide = layers_told_apart(config), config.flag("use_double_wide_mlp")
    first = depth - config.whole("num_kv_shared_layers")
    each = [wide and layer >= first for layer in range(depth)]
    return by_kind(config, each, {False: dense, True: replace(dense, d_ff=2 * dense.d_ff)})


def gemma3n(config: Config) -> Attention | tuple[Attention, ...]:
    """Local and global layers, the last of which borrow the keys of the last layers of their kind before."""
    depth = layers_told_apart(config)
    usual = [_LOCAL if (layer + 1) % 5 else _GLOBAL for layer in range(depth)]
    types = a_layer_each(config, "layer_types", str) or usual
    _legal(config, "layer_types", types, _LOCAL, _GLOBAL)
    first = depth - config.whole("num_kv_shared_layers")
    if first < depth and not (first > 0 and set(types[:first]) == set(types)):
        raise config.wrong(
            "num_kv_shared_layers: some layers would borrow keys of a kind that no layer before them has"
        )
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
    widths = [d_ff for d_ff in listed if isinstance(d_ff, int) and not isinstance(d_ff, bool) and 0 < d_ff <= MOST_SIZE]
    if not len(widths) == len(listed) == depth:
        raise config.wrong(f"intermediate_size must be a whole number above 0, or one for each of {depth} layers")
    return by_kind(config, widths, {d_ff: FeedForward(d_ff=d_ff, gated=True) for d_ff in widths})


def gemma3n_layer_input(config: Config) -> LayerInput:
    """A vector for each layer."""
    return LayerInput(
        vocabulary=config.size("vocab_size_per_layer_input"), width=config.size("hidden_size_per_layer_input")
    )


def gemma3n_streams(config: Config) -> AltUp:
    """Streams that each layer predicts and corrects, and a low-rank path beside its attention."""
    return AltUp(kind="altup", count=config.size("altup_num_inputs"), laurel_rank=config.size("laurel_rank"))
