"""OLMo's hybrid, and Molmo 2."""

from __future__ import annotations

from tscale.blocks import Attention, GatedDeltaNet, Mixer
from tscale.errors import shown
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import attention_of, dealt, listed_attention
from tscale.models.spec import Embedding


def hybrid(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Attention in every fourth layer, or in the last where there are fewer, or where `layer_types` says so."""
    depth, heads, d_model = layers_told_apart(config), config.size("num_attention_heads"), config.size("hidden_size")
    found = listed_attention(config, "linear_attention")
    key_dim = config.optional("linear_key_head_dim")
    if key_dim is None:
        key_dim = int(0.75 * d_model / (config.optional("linear_num_key_heads") or heads))
    usual = GatedDeltaNet(
        kind="gated-delta-net",
        key_heads=config.optional("linear_num_key_heads") or heads,
        value_heads=config.optional("linear_num_value_heads") or heads,
        key_dim=key_dim,
        value_dim=config.optional("linear_value_head_dim") or 2 * key_dim,
        d_conv=config.size("linear_conv_kernel_dim"),
    )
    layers = (list(range(3, depth, 4)) or [depth - 1]) if found is None else found
    if len(layers) in (0, depth):
        raise config.wrong("layer_types must list both full_attention and linear_attention")
    return dealt(config, layers, usual, attention_of(config, qk_norm="full"))


def molmo2(config: Config) -> Attention:
    """Molmo 2's: norms on each head's queries and keys, or on all of them together; no bias behind them."""
    kind = config.text("qk_norm_type")
    if kind not in ("qwen3", "olmo"):
        raise config.wrong(f"qk_norm_type: {shown(kind)} is not known yet: only qwen3 and olmo are")
    biased = config.flag("attention_bias")
    return attention_of(
        config, bias=("q", "k", "v") if biased else False, qk_norm="head" if kind == "qwen3" else "full"
    )


def more_words(config: Config) -> Embedding:
    """Rows of the table that the head does not answer with."""
    return Embedding(more_rows=config.optional_whole("additional_vocab_size") or None)
