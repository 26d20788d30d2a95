"""Gemma 3n: borrowed keys, inputs of each layer, and streams that are predicted and corrected (AltUp)."""

from __future__ import annotations

from tscale.blocks import AltUp, Attention, FeedForward, LayerInput
from tscale.blocks.fields import MOST_SIZE
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import GLOBAL, LOCAL, by_kind, layer_types


def gemma3n(config: Config) -> Attention | tuple[Attention, ...]:
    """Local and global layers, the last of which borrow the keys of the last layers of their kind before."""
    depth = layers_told_apart(config)
    usual = [LOCAL if (layer + 1) % 5 else GLOBAL for layer in range(depth)]
    types = layer_types(config, usual, LOCAL, GLOBAL)
    first = depth - config.whole("num_kv_shared_layers")
    if first < depth and not (first > 0 and set(types[:first]) == set(types)):
        raise config.wrong(
            "num_kv_shared_layers: some layers would borrow keys of a kind that no layer before them has"
        )
    blocks = {
        (kind, borrows): Attention(
            heads=config.size("num_attention_heads"),
            kv_heads=config.size("num_key_value_heads"),
            head_dim=config.size("head_dim"),
            bias=("q", "o") if borrows and config.flag("attention_bias") else config.flag("attention_bias"),
            borrows_keys=borrows,
            qk_norm="head",
            v_norm=not borrows,
            window=config.size("sliding_window") if kind == LOCAL else None,
        )
        for kind in (LOCAL, GLOBAL)
        for borrows in (False, True)
    }
    return by_kind(config, [(kind, layer >= first) for layer, kind in enumerate(types)], blocks)


def gemma3n_feed_forward(config: Config) -> FeedForward | tuple[FeedForward, ...]:
    """As wide everywhere, or as wide as the file lists for each layer; how many of its numbers are zero, no product knows."""
    value, depth = config.value("intermediate_size"), layers_told_apart(config)
    listed = value if isinstance(value, list) else [value] * depth
    widths = [d_ff for d_ff in listed if isinstance(d_ff, int) and not isinstance(d_ff, bool) and 0 < d_ff <= MOST_SIZE]
    if not len(widths) == len(listed) == depth:
        raise config.wrong(f"intermediate_size must be a whole number above 0, or one for each of {depth} layers")
    return by_kind(config, widths, {d_ff: FeedForward(d_ff=d_ff, gated=True) for d_ff in widths})


def gemma3n_layer_input(config: Config) -> LayerInput:
    """A vector for each layer."""
    return LayerInput(
        vocabulary=config.size("vocab_size_per_layer_input"), width=config.size("hidden_size_per_layer_input")
    )


def gemma3n_streams(config: Config) -> AltUp:
    """Streams that each layer predicts and corrects, and a low-rank path beside its attention."""
    return AltUp(kind="altup", count=config.size("altup_num_inputs"), laurel_rank=config.size("laurel_rank"))
