"""The mixers and feed-forwards that the keys of a `config.json` describe, where layers are not all alike.

One small function a family, for the columns `attention` and `feed_forward` of its row. Read from the classes of
transformers 5.23.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from tscale.blocks import (
    Attention,
    ChannelMixing,
    Computed,
    Experts,
    FeedForward,
    GatedDeltaNet,
    HybridHeads,
    Mamba,
    Mamba2,
    Mixer,
    Mlp,
    Mlstm,
    RgLru,
    Rwkv,
    ShortConv,
)
from tscale.blocks.fields import LayerSelector
from tscale.errors import shown
from tscale.importer.family_rules import a_layer_each, layers_told_apart

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config

ATTENTION: Final = frozenset({"full_attention", "attention"})


def on(layers: Sequence[int], depth: int) -> LayerSelector:
    """These layers of a stack: every n-th where they are and reach to its end, otherwise by number."""
    if len(layers) > 1:
        step = layers[1] - layers[0]
        if step > layers[0] and list(layers) == list(range(layers[0], depth, step)):
            return LayerSelector(every=step, at=layers[0])
    return LayerSelector(layers=tuple(layers))


def dealt(config: Config, attention: Sequence[int], usual: Mixer, other: Attention) -> Mixer | tuple[Mixer, ...]:
    """`other` in the layers of `attention`, `usual` in those that are left."""
    depth = config.size(config.keys.layers)
    if not attention:
        return usual
    return other if len(attention) == depth else (usual, replace(other, on=on(attention, depth)))


def listed_attention(config: Config, *names: str) -> list[int] | None:
    """The layers whose type in `layer_types` is attention; None where the file lists none."""
    listed = a_layer_each(config, "layer_types", str)
    for name in listed or ():
        if name not in ATTENTION.union(names):
            legal = " and ".join(sorted(ATTENTION.union(names)))
            raise config.wrong(f"layer_types: {shown(name)} is not known yet: only {legal} are")
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


def _ratio(config: Config, key: str) -> Fraction:
    """A number above 0 that may have a fraction, as the digits in the file say."""
    value = config.value(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 10**6:
        raise config.wrong(f"{key} must be a number above 0, not {shown(value)}")
    return Fraction(value)


def _auto(config: Config, key: str) -> int | None:
    """A whole number, or None where the file leaves it to the class."""
    return None if config.value(key) == "auto" else config.size(key)


# ---- state spaces ----


def nothing(config: Config) -> None:
    """No feed-forward."""


def mamba(config: Config) -> Mamba:
    """As wide as `expand` says, whatever `intermediate_size` does."""
    inner = config.size("expand") * config.size("hidden_size")
    config.agreed("intermediate_size", inner, "expand")
    return Mamba(
        kind="mamba",
        d_inner=inner,
        d_state=config.size("state_size"),
        d_conv=config.size("conv_kernel"),
        dt_rank=_auto(config, "time_step_rank"),
        conv_bias=config.flag("use_conv_bias"),
        bias=config.flag("use_bias"),
    )


def mamba2(config: Config) -> Mamba2:
    """Heads and their width must make what `expand` does."""
    heads, head_dim = config.size("num_heads"), config.size("head_dim")
    _widths_agree(config, "expand", config.size("expand") * config.size("hidden_size"), heads, head_dim)
    return Mamba2(
        kind="mamba2",
        heads=heads,
        d_head=head_dim,
        d_state=config.size("state_size"),
        groups=config.size("n_groups"),
        d_conv=config.size("conv_kernel"),
        chunk=config.size("chunk_size"),
        conv_bias=config.flag("use_conv_bias"),
        bias=config.flag("use_bias"),
    )


def _widths_agree(config: Config, key: str, inner: int, heads: int, head_dim: int) -> None:
    if heads * head_dim != inner:
        raise config.wrong(f"{key}: {heads} heads of {head_dim} are not the {inner} channels that it makes")


def _ssd(config: Config, inner: int, key: str, *, norm: bool = True) -> Mamba2:
    """Mamba-2 with the keys of the hybrids."""
    heads = config.size("mamba_n_heads")
    head_dim = _auto(config, "mamba_d_head") or inner // heads
    _widths_agree(config, key, inner, heads, head_dim)
    return Mamba2(
        kind="mamba2",
        heads=heads,
        d_head=head_dim,
        d_state=config.size("mamba_d_state"),
        groups=config.size("mamba_n_groups"),
        d_conv=config.size("mamba_d_conv"),
        chunk=config.size("mamba_chunk_size"),
        conv_bias=config.flag("mamba_conv_bias"),
        bias=config.flag("mamba_proj_bias"),
        norm=norm,
    )


def _expanded(config: Config) -> int:
    return config.size("mamba_expand") * config.size("hidden_size")


def bamba(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Attention in the layers of `attn_layer_indices`."""
    depth = layers_told_apart(config)
    listed = config.listed("attn_layer_indices", int) or []
    if any(isinstance(layer, bool) or not 0 <= layer < depth for layer in listed):
        raise config.wrong(f"attn_layer_indices must list layers from 0 to {depth - 1}")
    return dealt(config, sorted(set(listed)), _ssd(config, _expanded(config), "mamba_expand"), attention_of(config))


def falcon_h1(config: Config) -> HybridHeads:
    """Both in every layer; as wide as `mamba_d_ssm` says, or else `mamba_expand`."""
    inner = config.optional("mamba_d_ssm")
    projected = config.flag("projectors_bias")
    if projected != config.flag("mamba_proj_bias"):
        raise config.wrong(
            "projectors_bias and mamba_proj_bias differ: biases on one projection alone are not known yet"
        )
    state_space = _ssd(
        config,
        _expanded(config) if inner is None else inner,
        "mamba_expand" if inner is None else "mamba_d_ssm",
        norm=config.flag("mamba_rms_norm"),
    )
    return HybridHeads(kind="side-by-side", attention=attention_of(config), mamba=state_space)


def granitemoehybrid(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Attention where `layer_types` says so."""
    layers_told_apart(config)
    found = listed_attention(config, "linear_attention", "mamba") or []
    return dealt(config, found, _ssd(config, _expanded(config), "mamba_expand"), attention_of(config))


def granite_positions(config: Config) -> Computed:
    """Rotation where the key says `rope`, otherwise none."""
    return Computed(kind="rotary" if config.value("position_embedding_type") == "rope" else "none")


def granite_experts(config: Config) -> Mlp:
    """Routed experts beside a shared one, or that alone where there are no experts."""
    experts, shared = config.whole("num_local_experts"), config.size("shared_intermediate_size")
    if not experts:
        return FeedForward(d_ff=shared, gated=True)
    return Experts(
        kind="experts",
        experts=experts,
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("intermediate_size"),
        shared_d_ff=shared,
    )


def jamba(config: Config) -> Mixer | tuple[Mixer, ...]:
    """One attention layer in every `attn_layer_period`."""
    layers = _every(config, "attn_layer_period", "attn_layer_offset")
    usual = Mamba(
        kind="mamba",
        d_inner=_expanded(config),
        d_state=config.size("mamba_d_state"),
        d_conv=config.size("mamba_d_conv"),
        dt_rank=_auto(config, "mamba_dt_rank"),
        conv_bias=config.flag("mamba_conv_bias"),
        bias=config.flag("mamba_proj_bias"),
        norms=True,
    )
    return dealt(config, layers, usual, attention_of(config))


def jamba_experts(config: Config) -> Mlp | tuple[Mlp, ...]:
    """Experts in one of every `expert_layer_period` layers."""
    d_ff, experts = config.size("intermediate_size"), config.size("num_experts")
    dense = FeedForward(d_ff=d_ff, gated=True)
    if experts == 1:
        return dense
    routed = Experts(kind="experts", experts=experts, top_k=config.size("num_experts_per_tok"), d_ff=d_ff)
    return with_experts(config, dense, routed, _every(config, "expert_layer_period", "expert_layer_offset"))


def _every(config: Config, period_key: str, offset_key: str) -> list[int]:
    period, offset = config.size(period_key), config.whole(offset_key)
    if offset >= period:
        raise config.wrong(f"{offset_key} must be below {period_key} {period}, not {offset}")
    return list(range(offset, layers_told_apart(config), period))


def with_experts(config: Config, dense: FeedForward, routed: Experts, layers: Sequence[int]) -> Mlp | tuple[Mlp, ...]:
    """Experts in these layers, the dense feed-forward in those that are left."""
    depth = config.size(config.keys.layers)
    if not layers:
        return dense
    return routed if len(layers) == depth else (dense, replace(routed, on=on(layers, depth)))


# ---- delta nets ----


def qwen3_next(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Gated attention in every `full_attention_interval`-th layer, or where `layer_types` says so."""
    depth, interval = layers_told_apart(config), config.size("full_attention_interval")
    found = listed_attention(config, "linear_attention")
    usual = GatedDeltaNet(
        kind="gated-delta-net",
        key_heads=config.size("linear_num_key_heads"),
        value_heads=config.size("linear_num_value_heads"),
        key_dim=config.size("linear_key_head_dim"),
        value_dim=config.size("linear_value_head_dim"),
        d_conv=config.size("linear_conv_kernel_dim"),
    )
    layers = list(range(interval - 1, depth, interval)) if found is None else found
    return dealt(config, layers, usual, attention_of(config, gated=True, qk_norm="head"))


def qwen3_next_experts(config: Config) -> Mlp | tuple[Mlp, ...]:
    """Experts in every `decoder_sparse_step`-th layer but those of `mlp_only_layers`."""
    dense = FeedForward(d_ff=config.size("intermediate_size"), gated=True)
    experts, step = config.whole("num_experts"), config.size("decoder_sparse_step")
    if not experts:
        return dense
    spared = config.listed("mlp_only_layers", int) or []
    layers = [layer for layer in range(step - 1, layers_told_apart(config), step) if layer not in spared]
    routed = Experts(
        kind="experts",
        experts=experts,
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("moe_intermediate_size"),
        shared_d_ff=config.size("shared_expert_intermediate_size"),
        shared_gate=True,
    )
    return with_experts(config, dense, routed, layers)


# ---- others ----


def lfm2(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Attention where `layer_types` says so, or else in the layers of `full_attn_idxs`, or else everywhere."""
    depth = layers_told_apart(config)
    found, indices = listed_attention(config, "conv"), config.listed("full_attn_idxs", int)
    if found is None:
        found = [layer for layer in range(depth) if indices is None or layer in indices]
    return with_short_convolutions(config, found)


def with_short_convolutions(config: Config, attention: Sequence[int]) -> Mixer | tuple[Mixer, ...]:
    """Normalised attention in these layers, short convolutions in those that are left."""
    usual = ShortConv(kind="short-conv", d_conv=config.size("conv_L_cache"), bias=config.flag("conv_bias"))
    return dealt(config, attention, usual, attention_of(config, qk_norm="head"))


def lfm2_feed_forward(config: Config) -> FeedForward:
    """Two thirds of the width in the file, times a factor, rounded up to a multiple, unless told to take it as it is."""
    d_ff = config.size("intermediate_size")
    if config.flag("block_auto_adjust_ff_dim"):
        d_ff = 2 * d_ff // 3
        if config.value("block_ffn_dim_multiplier") is not None:
            d_ff = int(float(_ratio(config, "block_ffn_dim_multiplier")) * d_ff)
            multiple = config.size("block_multiple_of")
            d_ff = -(-d_ff // multiple) * multiple
    return FeedForward(d_ff=d_ff, gated=True)


def recurrent_gemma(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Windowed attention where `block_types`, repeated down the stack, says so."""
    depth, types = layers_told_apart(config), config.listed("block_types", str)
    heads, d_model = config.size("num_attention_heads"), config.size("hidden_size")
    if not types or not set(types) <= {"recurrent", "attention"}:
        raise config.wrong("block_types must list recurrent and attention")
    found = [layer for layer in range(depth) if types[layer % len(types)] == "attention"]
    config.agreed("head_dim", d_model // heads, "num_attention_heads")
    usual = RgLru(
        kind="rg-lru", width=config.optional("lru_width") or d_model, blocks=heads, d_conv=config.size("conv1d_width")
    )
    bias = True if config.flag("attention_bias") else ("o",)
    window = config.size("attention_window_size")
    return dealt(config, found, usual, attention_of(config, head_dim=d_model // heads, bias=bias, window=window))


def halved(config: Config) -> FeedForward:
    """Half of the width in the file."""
    return FeedForward(d_ff=config.size("intermediate_size") // 2, gated=True, bias=True)


def rwkv(config: Config) -> Rwkv:
    """As wide as the model where the file is silent."""
    return Rwkv(kind="rwkv", width=config.optional("attention_hidden_size"))


def channel_mixing(config: Config) -> ChannelMixing:
    """Four times as wide as the model where the file is silent."""
    return ChannelMixing(kind="rwkv", d_ff=config.optional("intermediate_size") or 4 * config.size("hidden_size"))


def xlstm_layers(config: Config) -> int:
    """`num_blocks`, which `num_hidden_layers` repeats."""
    layers = config.size("num_hidden_layers")
    return config.agreed("num_blocks", layers, "num_hidden_layers")


def xlstm(config: Config) -> Mlstm:
    """Widths are the factors' parts of d_model, cut to whole numbers, and shared among the heads."""
    d_model, heads = config.size("hidden_size"), config.size("num_heads")
    config.agreed("embedding_dim", d_model, "hidden_size")
    widths = {key: int(float(_ratio(config, key)) * d_model) for key in ("qk_dim_factor", "v_dim_factor")}
    for key, width in widths.items():
        if width % heads or width % 64:
            raise config.wrong(f"{key}: {heads} heads and 64 must divide the width that it makes, {width}")
    return Mlstm(
        kind="mlstm",
        heads=heads,
        qk_dim=widths["qk_dim_factor"] // heads,
        v_dim=widths["v_dim_factor"] // heads,
        chunk=config.size("chunk_size"),
    )


def xlstm_feed_forward(config: Config) -> FeedForward:
    """d_model times a factor, rounded up to a multiple."""
    wanted, multiple = (
        config.size("hidden_size") * float(_ratio(config, "ffn_proj_factor")),
        config.size("ffn_round_up_to_multiple_of"),
    )
    return FeedForward(d_ff=int(((wanted + multiple - 1) // multiple) * multiple), gated=True)
