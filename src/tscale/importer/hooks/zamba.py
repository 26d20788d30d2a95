"""Zamba and Zamba 2: state spaces, and blocks that layers share."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tscale.blocks import Mamba, Mamba2, Mixer, SharedBlock
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import on, types_of

_SHARING: Final = {"mamba": "linear_attention", "linear_attention": "linear_attention", "hybrid": "hybrid"}


def zamba(config: Config) -> tuple[Mixer, ...]:
    """Mamba in every layer, and before some of them the one block that they share."""
    depth, d_model = layers_told_apart(config), config.size("hidden_size")
    period, offset = config.size("attn_layer_period"), config.whole("attn_layer_offset")
    listed = types_of(config, _SHARING)
    if listed is None:
        tail = ["hybrid" if i % period == offset else "linear_attention" for i in range(depth - 3)]
        listed = ["linear_attention", "linear_attention", "hybrid", *tail]
    config.agreed("attention_hidden_size", 2 * d_model, "hidden_size")
    rank = config.value("mamba_dt_rank")
    state_space = Mamba(
        kind="mamba",
        d_inner=config.size("mamba_expand") * d_model,
        d_state=config.size("mamba_d_state"),
        d_conv=config.size("mamba_d_conv"),
        dt_rank=None if rank == "auto" else config.size("mamba_dt_rank"),
        heads=config.size("n_mamba_heads"),
        conv_bias=config.flag("mamba_conv_bias"),
        bias=config.flag("mamba_proj_bias"),
    )
    shared = SharedBlock(
        kind="shared-block",
        heads=config.size("num_attention_heads"),
        kv_heads=config.size("num_key_value_heads"),
        head_dim=config.optional("attention_head_dim"),
        d_ff=config.size("intermediate_size"),
        mamba=state_space,
    )
    return _sharing(config, listed, state_space, shared)


def zamba2(config: Config) -> tuple[Mixer, ...]:
    """Mamba-2 in every layer, and before some of them one of the blocks that they share in turn."""
    layers_told_apart(config)
    d_model, heads, width = config.size("hidden_size"), config.size("num_attention_heads"), 2
    inner, own = config.size("mamba_expand") * d_model, config.size("n_mamba_heads")
    biased, adapted = config.flag("add_bias_linear"), config.flag("use_shared_attention_adapter")
    config.agreed("attention_hidden_size", width * d_model, "hidden_size")
    config.agreed("attention_head_dim", width * d_model // heads, "num_attention_heads")
    config.agreed("mamba_headdim", inner // own, "n_mamba_heads")
    kv_heads = config.optional("num_key_value_heads")
    if adapted and kv_heads not in (None, heads):
        raise config.wrong(f"num_key_value_heads: adapters of attention are known for {heads} alone, not {kv_heads}")
    state_space = Mamba2(
        kind="mamba2",
        heads=own,
        d_head=inner // own,
        d_state=config.size("mamba_d_state"),
        groups=config.size("mamba_ngroups"),
        d_conv=config.size("mamba_d_conv"),
        chunk=config.size("chunk_size"),
        bias=biased,
    )
    shared = SharedBlock(
        kind="shared-block",
        blocks=config.size("num_mem_blocks"),
        heads=heads,
        kv_heads=kv_heads,
        d_ff=config.optional("intermediate_size") or 4 * d_model,
        bias=biased,
        adapter_rank=config.size("adapter_rank"),
        attention_adapters=adapted,
        mamba=state_space,
    )
    return _sharing(config, types_of(config, _SHARING) or [], state_space, shared)


def _sharing(config: Config, listed: list[str], usual: Mixer, shared: SharedBlock) -> tuple[Mixer, ...]:
    at = [layer for layer, name in enumerate(listed) if name == "hybrid"]
    depth = config.size("num_hidden_layers")
    if len(listed) != depth:
        raise config.wrong(f"layers_block_type has {len(listed)} entries, and num_hidden_layers is {depth}")
    if not at:
        raise config.wrong("layers_block_type: no layer is hybrid")
    return (shared,) if len(at) == depth else (usual, replace(shared, on=on(at, depth)))
