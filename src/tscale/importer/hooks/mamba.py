"""State spaces alone, and beside attention: Mamba, Bamba, Falcon H1, Granite's and Jamba."""

from __future__ import annotations

from tscale.blocks import Computed, Experts, FeedForward, HybridHeads, Mamba, Mamba2, Mixer, Mlp
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import attention_of, auto, dealt, every, listed_attention


def mamba(config: Config) -> Mamba:
    """As wide as `expand` says, whatever `intermediate_size` does."""
    inner = config.size("expand") * config.size("hidden_size")
    config.agreed("intermediate_size", inner, "expand")
    return Mamba(
        kind="mamba",
        d_inner=inner,
        d_state=config.size("state_size"),
        d_conv=config.size("conv_kernel"),
        dt_rank=auto(config, "time_step_rank"),
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
    head_dim = auto(config, "mamba_d_head") or inner // heads
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
    layers = every(config, "attn_layer_period", "attn_layer_offset")
    usual = Mamba(
        kind="mamba",
        d_inner=_expanded(config),
        d_state=config.size("mamba_d_state"),
        d_conv=config.size("mamba_d_conv"),
        dt_rank=auto(config, "mamba_dt_rank"),
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
    return dealt(config, every(config, "expert_layer_period", "expert_layer_offset"), dense, routed)
