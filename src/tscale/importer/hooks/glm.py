"""GLM-5.3: delta rules, and latent attention to keys that are picked in pools."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tscale.blocks import HyperConnections, KimiDelta, LatentAttention, Mixer
from tscale.importer.config_keys import Config
from tscale.importer.hooks.deepseek_v4 import streams_mixed
from tscale.importer.indexers import indexers
from tscale.importer.layer_lists import a_layer_each, layers_told_apart, refuse_unknown
from tscale.importer.mixed_layers import GLOBAL, LINEAR, by_kind, layer_types

_LINEAR_SIZES: Final = {
    "head_dim": "linear_head_dim",
    "num_heads": "linear_num_heads",
    "short_conv_kernel_size": "linear_conv_kernel_dim",
}


def glm5_next(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Delta rules, and latent attention without rotation to keys that are picked in pools."""
    depth = layers_told_apart(config)
    usual = [LINEAR if layer % 4 != 3 else GLOBAL for layer in range(depth)]
    types = layer_types(config, usual, LINEAR, GLOBAL, "indexed_attention")
    if config.whole("qk_rope_head_dim"):
        raise config.wrong("qk_rope_head_dim: only 0 is known, as in the class")
    inner = config.inner(
        "linear_attn_config",
        {name: config.size(key) for name, key in _LINEAR_SIZES.items()},
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
    blocks: dict[str, Mixer] = {LINEAR: delta, "full": picked, "shared": seeing}
    own = indexers(config, depth)
    return by_kind(config, [LINEAR if kind == LINEAR else own[layer] for layer, kind in enumerate(types)], blocks)


def glm5_sparse(config: Config) -> list[bool]:
    """As `mlp_layer_types` lists them; all but the first three where it is absent."""
    listed = a_layer_each(config, "mlp_layer_types", str)
    if listed is None:
        return [layer >= 3 for layer in range(layers_told_apart(config))]
    refuse_unknown(config, "mlp_layer_types", listed, "dense", "sparse")
    return [kind == "sparse" for kind in listed]


def streams_averaged(config: Config) -> HyperConnections:
    """Streams that are mixed, and whose mean the head reads."""
    return replace(streams_mixed(config), summed=False)
