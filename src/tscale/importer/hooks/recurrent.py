"""Recurrences of other kinds: RecurrentGemma, RWKV and xLSTM."""

from __future__ import annotations

from tscale.blocks import ChannelMixing, FeedForward, Mixer, Mlstm, RgLru, Rwkv
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import attention_of, dealt, ratio


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


def xlstm(config: Config) -> Mlstm:
    """Widths are the factors' parts of d_model, cut to whole numbers, and shared among the heads."""
    d_model, heads = config.size("hidden_size"), config.size("num_heads")
    config.agreed("embedding_dim", d_model, "hidden_size")
    widths = {key: int(float(ratio(config, key)) * d_model) for key in ("qk_dim_factor", "v_dim_factor")}
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
        config.size("hidden_size") * float(ratio(config, "ffn_proj_factor")),
        config.size("ffn_round_up_to_multiple_of"),
    )
    return FeedForward(d_ff=int(((wanted + multiple - 1) // multiple) * multiple), gated=True)
