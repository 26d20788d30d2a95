"""Gemma 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tscale.blocks import Attention, Experts, FeedForward, LayerInput, Mlp
from tscale.blocks.fields import MOST_SIZE
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import GLOBAL, LOCAL, by_kind, layer_types, window_of

_OWN: Final = ("head_dim", "num_key_value_heads")


def _borrows(config: Config, kinds: Sequence[str]) -> list[bool]:
    """Whether each layer takes the keys of an earlier one of its own kind: the last `num_kv_shared_layers` do."""
    depth, many = len(kinds), config.whole("num_kv_shared_layers")
    first = depth - many
    if first < 0 or set(kinds[:first]) != set(kinds):
        raise config.wrong(f"num_kv_shared_layers: {many} of {depth} layers would have nothing to share")
    return [layer >= first for layer in range(depth)]


def _types(config: Config) -> list[str]:
    """What each layer is; the last one is global, whatever the file says."""
    depth = layers_told_apart(config)
    usual = [LOCAL if (layer + 1) % 6 else GLOBAL for layer in range(depth)]
    return [*layer_types(config, usual, LOCAL, GLOBAL)[:-1], GLOBAL]


def attention(config: Config) -> Attention | tuple[Attention, ...]:
    """Global layers have wider heads, fewer of them and values that are keys where the file says so; the last borrow."""
    types = _types(config)
    if config.value("use_bidirectional_attention") not in (None, "vision"):
        raise config.wrong("use_bidirectional_attention: only null and vision are known")
    window, alike = window_of(config, types), config.flag("attention_k_eq_v")
    kinds = list(zip(types, _widths(config, types), _borrows(config, types), strict=True))
    blocks = {
        (kind, (head_dim, kv_heads), borrows): Attention(
            heads=config.size("num_attention_heads"),
            kv_heads=kv_heads,
            head_dim=head_dim,
            bias=config.flag("attention_bias"),
            values_are_keys=alike and kind == GLOBAL and not borrows,
            borrows_keys=borrows,
            qk_norm="head",
            v_norm=not borrows,
            window=window if kind == LOCAL else None,
        )
        for kind, (head_dim, kv_heads), borrows in kinds
    }
    return by_kind(config, kinds, blocks)


def _widths(config: Config, types: Sequence[str]) -> list[tuple[int, int]]:
    """Head width and key-value heads of each layer: by `per_layer_config`, or by the keys for global layers."""
    usual = config.size("head_dim"), config.size("num_key_value_heads")
    listed = config.value("per_layer_config")
    if listed is None:
        few = config.optional("num_global_key_value_heads") if config.flag("attention_k_eq_v") else None
        wide = config.size("global_head_dim"), few or usual[1]
        return [wide if kind == GLOBAL else usual for kind in types]
    return _widths_listed(config, listed, [usual] * len(types))


def _widths_listed(config: Config, listed: object, usual: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same, where `per_layer_config` says what is not usual."""
    own = {str(layer): dict(zip(_OWN, sizes, strict=True)) for layer, sizes in enumerate(usual)}
    for layer, changes in listed.items() if isinstance(listed, dict) else [("", None)]:
        found = own.get(str(layer).lstrip("0") or "0")
        if found is None or not isinstance(changes, dict) or not set(changes) <= set(_OWN):
            raise config.wrong(f"per_layer_config must give layers their {' and '.join(_OWN)}, and nothing else")
        found |= changes
        if not all(type(size) is int and 0 < size <= MOST_SIZE for size in found.values()):
            raise config.wrong(f"per_layer_config: {layer} must have whole numbers from 1 to 10^12")
    return [(sizes["head_dim"], sizes["num_key_value_heads"]) for sizes in own.values()]


def experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """Experts beside the dense feed-forward of every layer, or that alone, twice as wide in layers that borrow."""
    types = _types(config)
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
    return by_kind(config, wide, {False: dense, True: replace(dense, d_ff=2 * dense.d_ff)})


def layer_input(config: Config) -> LayerInput | None:
    """A vector for each layer, none where its width is 0."""
    width = config.whole("hidden_size_per_layer_input")
    return LayerInput(vocabulary=config.size("vocab_size_per_layer_input"), width=width) if width else None


def gemma4_unified_feed_forward(config: Config, dense: FeedForward) -> FeedForward | tuple[FeedForward, ...]:
    """Twice as wide in layers that borrow keys, where the file says so."""
    depth, wide = layers_told_apart(config), config.flag("use_double_wide_mlp")
    first = depth - config.whole("num_kv_shared_layers")
    each = [wide and layer >= first for layer in range(depth)]
    return by_kind(config, each, {False: dense, True: replace(dense, d_ff=2 * dense.d_ff)})
