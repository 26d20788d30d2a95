"""The attention of the rows in `tscale.importer.families_kinds`, one small function a family."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from tscale.blocks import (
    Attention,
    Experts,
    FeedForward,
    ImageLayer,
    IndexedAttention,
    KimiDelta,
    LatentAttention,
    LayerInput,
    Mixer,
    Mlp,
)
from tscale.blocks.fields import MOST_SIZE
from tscale.errors import called, shown
from tscale.importer import expert_rules as experts
from tscale.importer import family_mixers as mixers
from tscale.importer.family_rules import AttentionMask, a_layer_each, by_layer_types, layers_told_apart

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

B = TypeVar("B", bound=Mixer | Mlp)
Kind = TypeVar("Kind", bound=Hashable)


def _by_kind(config: Config, kinds: Sequence[Kind], blocks: Mapping[Kind, B]) -> B | tuple[B, ...]:
    """A block for the layers of each kind: the most frequent takes what the others leave."""
    there = sorted(dict.fromkeys(kinds), key=kinds.count, reverse=True)
    first, *others = there
    depth = layers_told_apart(config)
    claims = [[layer for layer, kind in enumerate(kinds) if kind == other] for other in others]
    dealt = [replace(blocks[kind], on=mixers.on(at, depth)) for kind, at in zip(others, claims, strict=True)]
    return (blocks[first], *dealt) if dealt else blocks[first]


def _layer_types(config: Config, usual: Sequence[str], *legal: str) -> list[str]:
    """What each layer is, as `layer_types` lists it."""
    listed = a_layer_each(config, "layer_types", str)
    for name in listed or ():
        if name not in legal:
            raise config.wrong(f"layer_types: {shown(name)} is not known yet: only {' and '.join(legal)} are")
    return list(usual) if listed is None else listed


# ---- keys that an indexer picks ----

_INDEXED: Final = ("indexed_attention", "deepseek_sparse_attention")


def indexed(config: Config) -> LatentAttention:
    """Latent attention to the keys that every layer's own indexer picks."""
    _layer_types(config, (), *_INDEXED)
    return replace(
        experts.latent(config),
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
    return _by_kind(config, [legal[name] for name in listed], {"full": own, "shared": shared})


def indexed_notes(config: Config) -> tuple[str, ...]:
    """What full attention means for keys that are picked, and what the class does not build."""
    picked = (
        f"Each query sees {config.size('index_topk')} keys that an indexer picks: full attention counts all of them."
    )
    return (picked, *experts.prediction_layers(config))


# ---- blocks of keys that an indexer picks ----

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


def minimax_m3(config: Config) -> Attention | IndexedAttention | tuple[Attention | IndexedAttention, ...]:
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
    return _by_kind(config, _sparse_layers(config), {_GLOBAL: everywhere, _SPARSE: picked})


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
        return _layer_types(config, [_GLOBAL] * depth, _GLOBAL, _SPARSE)
    return [_SPARSE if flag else _GLOBAL for flag in _flags(config, f"sparse_attention_config.{_SPARSE_FREQ}", flags)]


def _flags(config: Config, key: str, listed: object) -> list[int]:
    """0 or 1 for each layer; more than there are layers are not read."""
    depth = layers_told_apart(config)
    if not isinstance(listed, list) or len(listed) < depth or not all(type(flag) is int for flag in listed):
        raise config.wrong(f"{key} must have 0 or 1 for each of {depth} layers")
    return listed[:depth]


def minimax_m3_experts(config: Config) -> list[bool]:
    """As `mlp_layer_types` or, in older files, `moe_layer_freq` lists them; all where both are absent."""
    flags = config.value("moe_layer_freq")
    if flags is None or config.value("mlp_layer_types") is not None:
        return experts.all_unless_listed(config)
    return [bool(flag) for flag in _flags(config, "moe_layer_freq", flags)]


def minimax_m3_notes(config: Config) -> tuple[str, ...]:
    """What full attention means for keys that are picked, and which of the indexer's keys the class does not read."""
    known = {*_FLAT, _SPARSE_FREQ, "sparse_local_block"}
    aside = [called(key, 60) for key, value in _sparse_config(config).items() if value and key not in known]
    unread = (f"Not read in sparse_attention_config: {', '.join(aside[:12])}.",) if aside else ()
    if _SPARSE not in _sparse_layers(config):
        return unread
    _, _, block, blocks = _indexer_sizes(config)
    picked = f"In {_SPARSE} layers each query sees {blocks} blocks of {block} keys: full attention counts all of them."
    return (picked, *unread)


# ---- layers that attend to images ----


def _image_layers(config: Config) -> list[int]:
    """Those that `cross_attention_layers` names, as far as there are so many; every fifth from the fourth on where it is absent."""
    listed, depth = config.listed("cross_attention_layers", int), layers_told_apart(config)
    named = range(3, 40, 5) if listed is None else listed
    return sorted({layer for layer in named if layer < depth})


def _of_text(config: Config, at: list[int]) -> list[int]:
    found = [layer for layer in range(layers_told_apart(config)) if layer not in at]
    if not found:
        raise config.wrong("cross_attention_layers names every layer: at least one attends to text")
    return found


def mllama(config: Config) -> Attention | tuple[Mixer, ...]:
    """Attention to text in all layers but those that attend to images, which have norms on queries and keys."""
    at, heads = _image_layers(config), config.size("num_attention_heads")
    everywhere = Attention(heads=heads, kv_heads=config.size("num_key_value_heads"))
    _of_text(config, at)
    if not at:
        return everywhere
    own = ImageLayer(
        kind="image-layer", attention=replace(everywhere, qk_norm="head"), feed_forward=_gated(config),
        on=mixers.on(at, layers_told_apart(config)),
    )  # fmt: skip
    return everywhere, own


def _gated(config: Config) -> FeedForward:
    return FeedForward(d_ff=config.size("intermediate_size"), gated=True)


def mllama_feed_forward(config: Config) -> FeedForward:
    """One in each layer that attends to text; the others bring their own."""
    at, dense = _image_layers(config), _gated(config)
    return replace(dense, on=mixers.on(_of_text(config, at), layers_told_apart(config))) if at else dense


def mllama_notes(config: Config) -> tuple[str, ...]:
    """What of the layers that attend to images is counted."""
    many = len(_image_layers(config))
    if not many:
        return ()
    return (
        f"{many} of {layers_told_apart(config)} layers attend to images: stored, and skipped by sequences without one.",
    )


# ---- local layers of another shape ----

_LOCAL, _GLOBAL, _LINEAR = "sliding_attention", "full_attention", "linear_attention"


def flint_sight(config: Config) -> AttentionMask:
    """Global are the first two layers, every fourth from the second on, and the last."""
    last = layers_told_apart(config) - 1
    return by_layer_types(
        config,
        config.optional("sliding_window"),
        lambda layer: not (layer < 2 or layer % 4 == 1 or layer == last),
    )


def flint_experts(config: Config) -> list[bool]:
    """The last of every `decoder_sparse_step` layers, but for those in `mlp_only_layers`: the first two where absent."""
    step, listed = config.size("decoder_sparse_step"), config.listed("mlp_only_layers", int)
    dense = [0, 1] if listed is None else listed
    some = config.whole("num_experts") > 0
    return [some and layer not in dense and (layer + 1) % step == 0 for layer in range(layers_told_apart(config))]


def mimo(config: Config) -> Attention | tuple[Attention, ...]:
    """Local layers have twice the heads of keys and values, and sinks; global are the first and every sixth."""
    depth, kv_heads = layers_told_apart(config), config.size("num_key_value_heads")
    usual = [_GLOBAL if layer == 0 or (layer + 1) % 6 == 0 else _LOCAL for layer in range(depth)]
    before = config.optional("sliding_window_size")
    window = config.optional("sliding_window") if before is None else before + 1
    kinds = _layer_types(config, usual, _LOCAL, _GLOBAL)
    if _LOCAL in kinds and window is None:
        raise config.wrong(
            "some layers slide, but there is no sliding_window: set it, or layer_types to full_attention"
        )
    everywhere = Attention(
        heads=config.size("num_attention_heads"),
        kv_heads=kv_heads,
        head_dim=config.size("head_dim"),
        v_dim=config.size("v_head_dim"),
        bias=("q", "k", "v") if config.flag("attention_bias") else False,
    )
    nearby = replace(everywhere, kv_heads=2 * kv_heads, sinks=True, window=window)
    return _by_kind(config, kinds, {_GLOBAL: everywhere, _LOCAL: nearby})


def laguna(config: Config) -> Attention | tuple[Attention, ...]:
    """Each layer says how many heads it has, and whether it slides; heads are gated as `gating` says."""
    depth = layers_told_apart(config)
    heads = a_layer_each(config, "num_attention_heads_per_layer", int) or [config.size("num_attention_heads")] * depth
    kinds = list(zip(_layer_types(config, [_GLOBAL] * depth, _LOCAL, _GLOBAL), heads, strict=True))
    by_head = config.value("gating") in (True, "per-head")
    biased, window = config.flag("attention_bias"), config.optional("sliding_window")
    if biased and not by_head:
        raise config.wrong("attention_bias: true is not known yet with a gate for each channel: only false is")
    if any(kind == _LOCAL for kind, _ in kinds) and window is None:
        raise config.wrong(
            "some layers slide, but there is no sliding_window: set it, or layer_types to full_attention"
        )
    blocks = {
        (kind, many): Attention(
            heads=many,
            kv_heads=config.size("num_key_value_heads"),
            head_dim=config.size("head_dim"),
            bias=biased,
            gated=not by_head,
            head_gates=by_head,
            qk_norm="head",
            window=window if kind == _LOCAL else None,
        )
        for kind, many in kinds
    }
    return _by_kind(config, kinds, blocks)


# ---- Step 3.5 and 3.7 ----


def step3(config: Config) -> Attention | tuple[Attention, ...]:
    """Heads that a number each gates; layers that slide may have another number of them. Lists go on to layers that are left out."""
    depth = layers_told_apart(config)
    kinds = _cut(config, "layer_types", depth) or [_GLOBAL] * depth
    if not set(kinds) <= {_LOCAL, _GLOBAL}:
        raise config.wrong(f"layer_types: only {_LOCAL} and {_GLOBAL} are known")
    window = config.optional("sliding_window")
    if _LOCAL in kinds and window is None:
        raise config.wrong(
            "some layers slide, but there is no sliding_window: set it, or layer_types to full_attention"
        )
    everywhere = Attention(
        heads=config.size("num_attention_heads"),
        kv_heads=config.size("num_key_value_heads"),
        head_dim=config.size("head_dim"),
        bias=config.flag("attention_bias"),
        head_gates=True,
        qk_norm="head",
    )
    nearby = replace(everywhere, heads=_sliding_heads(config), window=window)
    return _by_kind(config, kinds, {_GLOBAL: everywhere, _LOCAL: nearby})


def _sliding_heads(config: Config) -> int:
    """Heads of layers that slide: by a key of their own, or by one of older files; as many as elsewhere without."""
    other, usual = config.value("attention_other_setting"), config.size("num_attention_heads")
    own = config.optional("num_sliding_attention_heads")
    if own is not None or other is None:
        return own or usual
    heads = other.get("num_attention_heads", usual) if isinstance(other, dict) else None
    if type(heads) is not int or not 0 < heads <= MOST_SIZE:
        raise config.wrong("attention_other_setting must give num_attention_heads, a whole number above 0")
    return heads


def step3_experts(config: Config) -> list[bool]:
    """As `mlp_layer_types` or, in older files, `moe_layers_enum` lists them; all but the first three where both are absent."""
    depth = layers_told_apart(config)
    listed, named = _cut(config, "mlp_layer_types", depth), config.value("moe_layers_enum")
    if listed is not None:
        return [kind == "sparse" for kind in listed]
    if named is None:
        return [layer >= 3 for layer in range(depth)]
    numbers = named.split(",") if isinstance(named, str) else named if isinstance(named, list) else []
    at = {int(text) for text in map(str, numbers) if text.strip().isdecimal()}
    return [layer in at for layer in range(depth)]


def _cut(config: Config, key: str, depth: int) -> list[str] | None:
    """A list with an entry for each layer, without those for the layers that predict further tokens."""
    listed, more = config.listed(key, str), config.whole("num_nextn_predict_layers")
    if listed is None:
        return None
    if len(listed) not in (depth, depth + more):
        raise config.wrong(f"{key} has {len(listed)} entries, and num_hidden_layers is {depth}")
    return listed[:depth]


# ---- Kimi Linear ----


def kimi_linear(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Latent attention where the file says so, in every fourth layer but the first where it is silent; or the delta rule."""
    depth = layers_told_apart(config)
    sizes, listed = _linear(config, depth)
    usual = listed or [_GLOBAL if layer and layer % 4 == 0 else _LINEAR for layer in range(depth)]
    kinds = _layer_types(config, usual, _GLOBAL, _LINEAR)
    heads, width, kernel = sizes
    recurrent = KimiDelta(kind="kimi-delta", heads=heads, head_dim=width, d_conv=kernel, gate_rank=width)
    return _by_kind(config, kinds, {_GLOBAL: experts.latent(config), _LINEAR: recurrent})


def _linear(config: Config, depth: int) -> tuple[tuple[int, int, int], list[str] | None]:
    """Heads, their width and the convolution, and what each layer is: `linear_attn_config` goes before single keys.

    Its layers count from 1.
    """
    own = tuple(config.size(key) for key in ("linear_num_heads", "linear_head_dim", "linear_conv_kernel_dim"))
    data = config.value("linear_attn_config")
    if data is None:
        return (own[0], own[1], own[2]), None
    lists = ("full_attn_layers", "kda_layers")
    if not isinstance(data, dict):
        raise config.wrong(f"linear_attn_config must be a mapping, not {shown(data)}")
    names = dict(zip(("num_heads", "head_dim", "short_conv_kernel_size"), own, strict=True))
    sizes = config.inner("linear_attn_config", names, harmless=lists)
    found = (sizes["num_heads"], sizes["head_dim"], sizes["short_conv_kernel_size"])
    full, linear = (data.get(name) for name in lists)
    if full is None and linear is None:
        return found, None
    full, linear = (listed if isinstance(listed, list) else [] for listed in (full, linear))
    named = [*full, *linear]
    if any(type(layer) is not int for layer in named) or sorted(named) != list(range(1, depth + 1)):
        raise config.wrong(f"linear_attn_config: its two lists must name each layer from 1 to {depth} once")
    return found, [_GLOBAL if layer in full else _LINEAR for layer in range(1, depth + 1)]


# ---- Gemma 4 ----

_OWN: Final = ("head_dim", "num_key_value_heads")


def _borrows(config: Config, kinds: Sequence[str]) -> list[bool]:
    """Whether each layer takes the keys of an earlier one of its own kind: the last `num_kv_shared_layers` do."""
    depth, many = len(kinds), config.whole("num_kv_shared_layers")
    first = depth - many
    if first < 0 or set(kinds[:first]) != set(kinds):
        raise config.wrong(f"num_kv_shared_layers: {many} of {depth} layers would have nothing to share")
    return [layer >= first for layer in range(depth)]


def _gemma4_types(config: Config) -> list[str]:
    """What each layer is; the last one is global, whatever the file says."""
    depth = layers_told_apart(config)
    usual = [_LOCAL if (layer + 1) % 6 else _GLOBAL for layer in range(depth)]
    return [*_layer_types(config, usual, _LOCAL, _GLOBAL)[:-1], _GLOBAL]


def gemma4(config: Config) -> Attention | tuple[Attention, ...]:
    """Global layers have wider heads, fewer of them and values that are keys where the file says so; the last borrow."""
    types, window = _gemma4_types(config), config.optional("sliding_window")
    if config.value("use_bidirectional_attention") not in (None, "vision"):
        raise config.wrong("use_bidirectional_attention: only null and vision are known")
    if _LOCAL in types and window is None:
        raise config.wrong(
            "some layers slide, but there is no sliding_window: set it, or layer_types to full_attention"
        )
    alike = config.flag("attention_k_eq_v")
    kinds = list(zip(types, _gemma4_widths(config, types), _borrows(config, types), strict=True))
    blocks = {
        (kind, (head_dim, kv_heads), borrows): Attention(
            heads=config.size("num_attention_heads"),
            kv_heads=kv_heads,
            head_dim=head_dim,
            bias=config.flag("attention_bias"),
            values_are_keys=alike and kind == _GLOBAL and not borrows,
            borrows_keys=borrows,
            qk_norm="head",
            v_norm=not borrows,
            window=window if kind == _LOCAL else None,
        )
        for kind, (head_dim, kv_heads), borrows in kinds
    }
    return _by_kind(config, kinds, blocks)


def _gemma4_widths(config: Config, types: Sequence[str]) -> list[tuple[int, int]]:
    """Head width and key-value heads of each layer: by `per_layer_config`, or by the keys for global layers."""
    usual = config.size("head_dim"), config.size("num_key_value_heads")
    listed = config.value("per_layer_config")
    if listed is None:
        few = config.optional("num_global_key_value_heads") if config.flag("attention_k_eq_v") else None
        wide = config.size("global_head_dim"), few or usual[1]
        return [wide if kind == _GLOBAL else usual for kind in types]
    own = {str(layer): dict(zip(_OWN, usual, strict=True)) for layer in range(len(types))}
    for layer, changes in listed.items() if isinstance(listed, dict) else [("", None)]:
        found = own.get(str(layer).lstrip("0") or "0")
        if found is None or not isinstance(changes, dict) or not set(changes) <= set(_OWN):
            raise config.wrong(f"per_layer_config must give layers their {' and '.join(_OWN)}, and nothing else")
        found |= changes
        if not all(type(size) is int and 0 < size <= MOST_SIZE for size in found.values()):
            raise config.wrong(f"per_layer_config: {layer} must have whole numbers from 1 to 10^12")
    return [(sizes["head_dim"], sizes["num_key_value_heads"]) for sizes in own.values()]


def gemma4_experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """Experts beside the dense feed-forward of every layer, or that alone, twice as wide in layers that borrow."""
    types = _gemma4_types(config)
    wide = [borrows and config.flag("use_double_wide_mlp") for borrows in _borrows(config, types)]
    if config.flag("enable_moe_block"):
        if any(wide):
            raise config.wrong("use_double_wide_mlp: true is not known yet with experts: only false is")
        return Experts(
            kind="experts",
            experts=config.size("num_experts"),
            top_k=config.size("top_k_experts"),
            d_ff=config.size("moe_intermediate_size"),
            scaled=True,
            norms=True,
            shared_d_ff=dense.d_ff,
        )
    return _by_kind(config, wide, {False: dense, True: replace(dense, d_ff=2 * dense.d_ff)})


def layer_input(config: Config) -> LayerInput | None:
    """A vector for each layer, none where its width is 0."""
    width = config.whole("hidden_size_per_layer_input")
    return LayerInput(vocabulary=config.size("vocab_size_per_layer_input"), width=width) if width else None
