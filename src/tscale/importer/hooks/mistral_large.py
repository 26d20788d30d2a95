"""Mistral Large 4: layers that borrow a latent, and rotation at learned frequencies."""

from __future__ import annotations

from tscale.blocks import Computed, LatentAttention
from tscale.importer.config_keys import Config
from tscale.importer.indexers import indexers
from tscale.importer.layer_lists import a_layer_each, layers_told_apart
from tscale.importer.mixed_layers import by_kind


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
    picks = [kind == "full" for kind in indexers(config, depth)]
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
