"""ZAYA1: queries and keys that convolutions mix, and experts that a network chooses (Zyphra 2025)."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Augmented, Experts
from tscale.blocks.tower_pieces import Depthwise, Gains, Kept, Linear
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import a_layer_each, mask_of, refuse_unknown
from tscale.importer.mixed_layers import attention_of
from tscale.models.spec import Embedding


def zaya(config: Config) -> Augmented:
    """Attention whose queries and keys are filtered, single channels and then heads; half of the values are those of the last token."""
    listed = a_layer_each(config, "layer_types", str)
    refuse_unknown(config, "layer_types", listed or (), "hybrid", "hybrid_sliding")
    window = config.optional("sliding_window")
    kinds = ["local" if kind == "hybrid_sliding" else "global" for kind in listed or ()]
    if "local" in kinds and window is None:
        raise config.wrong(
            "sliding_window: layers of layer_types are hybrid_sliding, and need a whole number, not null"
        )
    mask = mask_of(["local" if kind == "local" else "global" for kind in kinds], window)
    attention = replace(attention_of(config), window=mask.window, pattern=mask.pattern)
    heads, kv_heads, width = attention.widths(config.size("hidden_size"))
    first, second = config.size("cca_time0"), config.size("cca_time1")
    every, d = (heads + kv_heads) * width, config.size("hidden_size")
    waiting = first + second - 2
    kept = (Kept(kind="kept", name="conv_state", width=every * waiting),) if waiting else ()
    return Augmented(
        kind="augmented",
        attention=attention,
        pieces=(
            Depthwise(kind="depthwise", name="conv", channels=every, kernel=first, bias=True, trimmed=False),
            Linear(name="conv.heads", d_in=second * width, d_out=width, bias=True, copies=heads + kv_heads, conv=True),
            Gains(kind="vector", name="scale.keys", width=kv_heads),
            Gains(kind="vector", name="scale.residuals", width=8 * d),
            *kept,
            Kept(kind="kept", name="value_state", width=kv_heads * width // 2),
        ),
    )


def zaya_experts(config: Config) -> Experts:
    """Experts, and one more choice that computes nothing."""
    return Experts(
        kind="experts",
        experts=config.size("num_experts"),
        top_k=config.size("num_experts_per_tok"),
        d_ff=config.size("moe_intermediate_size"),
        router_width=config.size("router_hidden_size"),
        selection_bias="buffer",
        idle=1,
    )


def zaya_embedding(config: Config) -> Embedding:
    """A scale and a bias on what the first layer reads."""
    return Embedding(pieces=(Gains(kind="vector", name="scale", width=2 * config.size("hidden_size")),))
