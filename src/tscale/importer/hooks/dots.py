"""dots3: latent attention in windows, of sizes of its own, between layers whose keys an indexer picks."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tscale.blocks import Experts, FeedForward, LatentAttention, Mlp
from tscale.errors import shown
from tscale.importer.config_keys import Config, is_size
from tscale.importer.experts import groups_of, in_turn
from tscale.importer.layer_lists import a_layer_each, layers_told_apart, refuse_unknown
from tscale.importer.mixed_layers import GLOBAL, LOCAL, by_kind, layer_types

_PICKED: Final = "indexed_attention"
_SIZES: Final = {
    "heads": "num_attention_heads",
    "q_rank": "q_lora_rank",
    "kv_rank": "kv_lora_rank",
    "nope_dim": "qk_nope_head_dim",
    "rope_dim": "qk_rope_head_dim",
    "v_dim": "v_head_dim",
}


def dots3(config: Config) -> LatentAttention | tuple[LatentAttention, ...]:
    """Latent attention whose heads are gated by one number each."""
    depth, local = layers_told_apart(config), config.flag("use_sliding_window")
    usual = [_PICKED if not local or layer < 2 or layer % 4 == 1 else LOCAL for layer in range(depth)]
    types, dense = layer_types(config, usual, LOCAL, _PICKED, GLOBAL), config.value("use_dsa") is False
    if dense or (config.value("use_dsa") is None and config.value("per_layer_config") is None):
        old, new = (_PICKED, GLOBAL) if dense else (GLOBAL, _PICKED)
        types = [new if kind == old else kind for kind in types]
    own = {name: config.size(key) for name, key in _SIZES.items()}
    seeing = _latent(config, own)
    picking = replace(
        seeing,
        index_heads=config.size("index_n_heads"),
        index_dim=config.size("index_head_dim"),
        index_top_k=config.size("index_topk"),
    )
    blocks = {GLOBAL: seeing, _PICKED: picking}
    if LOCAL in types:
        window = config.optional("sliding_window") or config.size("sliding_window_size")
        blocks[LOCAL] = _latent(config, _of_windows(config, types), window)
    return by_kind(config, types, blocks)


def _latent(config: Config, sizes: dict[str, int], window: int | None = None) -> LatentAttention:
    return LatentAttention(
        kind="latent",
        heads=sizes["heads"],
        q_rank=sizes["q_rank"],
        kv_rank=sizes["kv_rank"],
        nope_dim=sizes["nope_dim"],
        rope_dim=sizes["rope_dim"],
        v_dim=sizes["v_dim"],
        bias=config.flag("attention_bias"),
        head_gates=True,
        rope_norm=True,
        window=window,
    )


def _of_windows(config: Config, types: list[str]) -> dict[str, int]:
    """Sizes of layers with a window: as a saved file lists them by layer, or under keys of their own."""
    listed = config.value("per_layer_config")
    if listed is None:
        found = {name: config.size(f"swa_{key}") for name, key in _SIZES.items() if name != "rope_dim"}
        rope = config.optional("swa_qk_rope_head_dim")
        return found | {"rope_dim": config.size("swa_head_dim") - found["nope_dim"] if rope is None else rope}
    local = [str(layer) for layer, kind in enumerate(types) if kind == LOCAL]
    sizes = listed.get(local[0]) if isinstance(listed, dict) else None
    if not isinstance(listed, dict) or not isinstance(sizes, dict) or set(listed) != set(local):
        raise config.wrong(f"per_layer_config must give sizes to the layers with {LOCAL} and to no others")
    found = {name: sizes.get(key, config.size(key)) for name, key in _SIZES.items()}
    if any(listed[layer] != sizes for layer in local) or not all(map(is_size, found.values())):
        raise config.wrong("per_layer_config must give the same sizes to all its layers, each a whole number above 0")
    return found


def dots3_experts(config: Config, dense: FeedForward) -> Mlp | tuple[Mlp, ...]:
    """Experts next to shared ones of a width of their own."""
    experts, top_k = config.size("n_routed_experts"), config.size("num_experts_per_tok")
    width = config.optional("moe_shared_expert_intermediate_size") or config.size("shared_experts_intermediate_size")
    groups, top_groups = groups_of(config, experts, top_k)
    routed = Experts(
        kind="experts",
        experts=experts,
        top_k=top_k,
        groups=groups,
        top_groups=top_groups,
        d_ff=config.size("moe_intermediate_size"),
        selection_bias="buffer",
        shared_d_ff=width * config.size("n_shared_experts"),
    )
    return in_turn(dense, routed, _sparse(config))


def _sparse(config: Config) -> list[bool]:
    """Which layers have experts: as a list says, or all from one on, every so often or where another list has a number."""
    listed, depth = a_layer_each(config, "mlp_layer_types", str), layers_told_apart(config)
    if listed is not None:
        refuse_unknown(config, "mlp_layer_types", listed, "dense", "sparse")
        return [kind == "sparse" for kind in listed]
    first, often = config.whole("first_k_dense_replace"), config.value("moe_layer_freq")
    if is_size(often):
        return [layer >= first and layer % config.size("moe_layer_freq") == 0 for layer in range(depth)]
    if not isinstance(often, list) or len(often) != depth:
        raise config.wrong(f"moe_layer_freq must be a whole number above 0 or a list of {depth}, not {shown(often)}")
    return [layer >= first and bool(often[layer]) for layer in range(depth)]
