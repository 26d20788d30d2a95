"""Qwen: its first version, and its delta nets."""

from __future__ import annotations

from tscale.blocks import Experts, FeedForward, Mixer, Mlp
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import attention_of, dealt, gated_delta_of, listed_attention


def feed_forward(config: Config) -> FeedForward:
    """The file says the width of gate and up together."""
    both = config.size("intermediate_size")
    if both % 2:
        raise config.wrong(f"intermediate_size: {both} is odd, and stands for two matrices of one width")
    return FeedForward(d_ff=both // 2, gated=True)


def delta_net(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Gated attention in every `full_attention_interval`-th layer, or where `layer_types` says so."""
    depth, interval = layers_told_apart(config), config.size("full_attention_interval")
    found = listed_attention(config, "linear_attention")
    usual = gated_delta_of(config)
    layers = list(range(interval - 1, depth, interval)) if found is None else found
    return dealt(config, layers, usual, attention_of(config, gated=True, qk_norm="head"))


def next_experts(config: Config) -> Mlp | tuple[Mlp, ...]:
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
    return dealt(config, layers, dense, routed)


def experts_everywhere(config: Config) -> Experts:
    """Experts in every layer, beside a gated shared one."""
    return Experts(
        kind="experts",
        experts=config.size("num_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("moe_intermediate_size"),
        shared_d_ff=config.size("shared_expert_intermediate_size"),
        shared_gate=True,
    )
