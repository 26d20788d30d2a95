"""Step 3.5 and 3.7."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Attention
from tscale.blocks.fields import MOST_SIZE
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import GLOBAL, LOCAL, by_kind, window_of


def attention(config: Config) -> Attention | tuple[Attention, ...]:
    """Heads that a number each gates; layers that slide may have another number of them. Lists go on to layers that are left out."""
    depth = layers_told_apart(config)
    kinds = _cut(config, "layer_types", depth) or [GLOBAL] * depth
    if not set(kinds) <= {LOCAL, GLOBAL}:
        raise config.wrong(f"layer_types: only {LOCAL} and {GLOBAL} are known")
    window = window_of(config, kinds)
    everywhere = Attention(
        heads=config.size("num_attention_heads"),
        kv_heads=config.size("num_key_value_heads"),
        head_dim=config.size("head_dim"),
        bias=config.flag("attention_bias"),
        head_gates=True,
        qk_norm="head",
    )
    nearby = replace(everywhere, heads=_sliding_heads(config), window=window)
    return by_kind(config, kinds, {GLOBAL: everywhere, LOCAL: nearby})


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


def experts(config: Config) -> list[bool]:
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
