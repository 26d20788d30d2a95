"""Blocks of several kinds, dealt to the layers of a stack: what hooks share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final, TypeVar

from tscale.blocks import Attention, GatedDeltaNet, Mixer, Mlp
from tscale.blocks.fields import LayerSelector
from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import a_layer_each, layers_told_apart, no_window, refuse_unknown

B = TypeVar("B", bound=Mixer | Mlp)
Kind = TypeVar("Kind", bound=Hashable)
ATTENTION: Final = frozenset({"full_attention", "attention"})
LOCAL, GLOBAL, LINEAR = "sliding_attention", "full_attention", "linear_attention"


def on(layers: Sequence[int], depth: int) -> LayerSelector:
    """These layers of a stack: every n-th where they are and reach to its end, otherwise by number."""
    if len(layers) > 1:
        step = layers[1] - layers[0]
        if step > layers[0] and list(layers) == list(range(layers[0], depth, step)):
            return LayerSelector(every=step, at=layers[0])
    return LayerSelector(layers=tuple(layers))


def dealt(config: Config, layers: Sequence[int], usual: B, other: B) -> B | tuple[B, ...]:
    """`other` in these layers, `usual` in those that are left."""
    depth = config.size(config.keys.layers)
    if not layers:
        return usual
    return other if len(layers) == depth else (usual, replace(other, on=on(layers, depth)))


def by_kind(config: Config, kinds: Sequence[Kind], blocks: Mapping[Kind, B]) -> B | tuple[B, ...]:
    """A block for the layers of each kind: the most frequent takes what the others leave."""
    there = sorted(dict.fromkeys(kinds), key=kinds.count, reverse=True)
    first, *others = there
    depth = layers_told_apart(config)
    claims = [[layer for layer, kind in enumerate(kinds) if kind == other] for other in others]
    dealt = [replace(blocks[kind], on=on(at, depth)) for kind, at in zip(others, claims, strict=True)]
    return (blocks[first], *dealt) if dealt else blocks[first]


def layer_types(config: Config, usual: Sequence[str], *legal: str) -> list[str]:
    """What each layer is, as `layer_types` lists it."""
    listed = a_layer_each(config, "layer_types", str)
    refuse_unknown(config, "layer_types", listed or (), *legal)
    return list(usual) if listed is None else listed


def listed_attention(config: Config, *names: str) -> list[int] | None:
    """The layers whose type in `layer_types` is attention; None where the file lists none."""
    listed = a_layer_each(config, "layer_types", str)
    refuse_unknown(config, "layer_types", listed or (), *sorted(ATTENTION.union(names)))
    return None if listed is None else [layer for layer, name in enumerate(listed) if name in ATTENTION]


def attention_of(config: Config, **columns: object) -> Attention:
    """Softmax attention, with biases where `attention_bias` says so."""
    usual: dict[str, object] = {
        "heads": config.size("num_attention_heads"),
        "kv_heads": config.optional("num_key_value_heads"),
        "head_dim": config.optional("head_dim"),
        "bias": config.reads("attention_bias") and config.flag("attention_bias"),
    }
    return Attention(**(usual | columns))  # type: ignore[arg-type]


def gated_delta_of(config: Config) -> GatedDeltaNet:
    """The gated delta rule of linear attention, by the keys that Qwen3-Next's file has."""
    return GatedDeltaNet(
        kind="gated-delta-net",
        key_heads=config.size("linear_num_key_heads"),
        value_heads=config.size("linear_num_value_heads"),
        key_dim=config.size("linear_key_head_dim"),
        value_dim=config.size("linear_value_head_dim"),
        d_conv=config.size("linear_conv_kernel_dim"),
    )


def every(config: Config, period_key: str, offset_key: str) -> list[int]:
    """The layers at an offset in every period."""
    period, offset = config.size(period_key), config.whole(offset_key)
    if offset >= period:
        raise config.wrong(f"{offset_key} must be below {period_key} {period}, not {offset}")
    return list(range(offset, layers_told_apart(config), period))


def ratio(config: Config, key: str) -> Fraction:
    """A number above 0 that may have a fraction, as the digits in the file say."""
    value = config.value(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 10**6:
        raise config.wrong(f"{key} must be a number above 0, not {shown(value)}")
    return Fraction(value)


def auto(config: Config, key: str) -> int | None:
    """A whole number, or None where the file leaves it to the class."""
    return None if config.value(key) == "auto" else config.size(key)


def types_of(config: Config, legal: dict[str, str]) -> list[str] | None:
    """What each layer is, older names put into the newer."""
    listed = config.listed("layers_block_type", str)
    refuse_unknown(config, "layers_block_type", listed or (), *sorted(legal))
    return None if listed is None else [legal[name] for name in listed]


def window_of(config: Config, types: Sequence[str]) -> int | None:
    """The window of layers that slide. Raises `SpecError` where some do and there is none."""
    window = config.optional("sliding_window")
    if window is None and LOCAL in types:
        raise no_window(config)
    return window
