"""Kimi Linear."""

from __future__ import annotations

from tscale.blocks import KimiDelta, Mixer
from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import GLOBAL, LINEAR, by_kind, layer_types
from tscale.importer.rules.attention import latent


def linear(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Latent attention where the file says so, in every fourth layer but the first where it is silent; or the delta rule."""
    depth = layers_told_apart(config)
    sizes, listed = _linear(config, depth)
    usual = listed or [GLOBAL if layer and layer % 4 == 0 else LINEAR for layer in range(depth)]
    kinds = layer_types(config, usual, GLOBAL, LINEAR)
    heads, width, kernel = sizes
    recurrent = KimiDelta(kind="kimi-delta", heads=heads, head_dim=width, d_conv=kernel, gate_rank=width)
    return by_kind(config, kinds, {GLOBAL: latent(config), LINEAR: recurrent})


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
    return found, [GLOBAL if layer in full else LINEAR for layer in range(1, depth + 1)]
