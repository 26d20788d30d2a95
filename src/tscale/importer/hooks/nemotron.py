"""Nemotron-H, each of whose layers is a mixer or a feed-forward."""

from __future__ import annotations

from typing import Final

from tscale.blocks import Experts, FeedForward, Mamba2, Mixer, Mlp
from tscale.blocks.fields import LayerSelector
from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.experts import groups_of
from tscale.importer.layer_lists import MOST_LAYERS
from tscale.importer.mixed_layers import attention_of, on, types_of

_EACH: Final = {
    "mamba": "linear_attention",
    "linear_attention": "linear_attention",
    "attention": "full_attention",
    "full_attention": "full_attention",
    "mlp": "mlp",
    "moe": "moe",
}


_LETTERS: Final = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}


def _each(config: Config) -> list[str]:
    """What each layer is: by the letters of a pattern, or by a list."""
    listed = types_of(config, _EACH)
    if config.value("hybrid_override_pattern") is None:
        return listed or ["linear_attention", "moe", "full_attention", "mlp"]
    letters = config.text("hybrid_override_pattern")
    if not letters or not set(letters) <= set(_LETTERS):
        raise config.wrong(f"hybrid_override_pattern must be letters of {' '.join(_LETTERS)}, not {shown(letters)}")
    found = [_LETTERS[letter] for letter in letters]
    if listed not in (None, found):
        raise config.wrong("hybrid_override_pattern and layers_block_type differ")
    return found


def depth(config: Config) -> int:
    """As many as are listed."""
    found = _each(config)
    if len(found) > MOST_LAYERS:
        raise config.wrong(f"{len(found)} is too deep for layers that differ: at most {MOST_LAYERS}")
    return config.agreed("num_hidden_layers", len(found), "the list of layers")


def _at(config: Config, name: str) -> LayerSelector | None:
    found = _each(config)
    layers = [layer for layer, kind in enumerate(found) if kind == name]
    return on(layers, len(found)) if layers else None


def mixers(config: Config) -> tuple[Mixer, ...]:
    """Mamba-2 and attention, each in its own layers."""
    found: list[Mixer] = []
    if (layers := _at(config, "linear_attention")) is not None:
        heads = config.size("mamba_num_heads")
        mamba = Mamba2(
            kind="mamba2",
            heads=heads,
            d_head=config.size("mamba_head_dim"),
            d_state=config.size("ssm_state_size"),
            groups=config.size("n_groups"),
            d_conv=config.size("conv_kernel"),
            chunk=config.size("chunk_size"),
            conv_bias=config.flag("use_conv_bias"),
            bias=config.flag("use_bias"),
            on=layers,
        )
        found.append(mamba)
    if (layers := _at(config, "full_attention")) is not None:
        config.agreed("attention_head_dim", config.size("head_dim"), "head_dim")
        found.append(attention_of(config, on=layers))
    if not found:
        raise config.wrong("no layer has attention or a state space")
    return tuple(found)


def feed_forward(config: Config) -> tuple[Mlp, ...] | None:
    """Dense feed-forwards and experts, each in its own layers."""
    found: list[Mlp] = []
    biased = config.flag("mlp_bias")
    if (layers := _at(config, "mlp")) is not None:
        found.append(FeedForward(d_ff=config.size("intermediate_size"), bias=biased, on=layers))
    if (layers := _at(config, "moe")) is not None:
        if biased:
            raise config.wrong("mlp_bias: true is not known yet for layers of experts: only false is")
        experts, top_k = config.size("n_routed_experts"), config.size("num_experts_per_tok")
        groups, top_groups = groups_of(config, experts, top_k)
        routed = Experts(
            kind="experts",
            experts=experts,
            top_k=top_k,
            groups=groups,
            top_groups=top_groups,
            d_ff=config.size("moe_intermediate_size"),
            gated=False,
            latent=config.optional("moe_latent_size"),
            selection_bias="buffer",
            shared_d_ff=config.size("moe_shared_expert_intermediate_size"),
            on=layers,
        )
        found.append(routed)
    return tuple(found) or None
