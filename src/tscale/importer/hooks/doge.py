"""Attention with parts of its own: Doge computes its mask from its values, Beam shifts its gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.blocks import Attention
from tscale.blocks.augmented import Augmented
from tscale.importer.layer_lists import AttentionMask, by_layer_types, layers_told_apart
from tscale.importer.rules.heads import head_dim, kv_heads
from tscale.importer.towers.parts import linear, vector

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


def doge(config: Config) -> Augmented:
    """Grouped attention, a number for each key and head of what its values say, and weights on what both halves of a layer are added to."""
    d, heads = config.size("hidden_size"), config.size("num_attention_heads")
    biased = config.flag("attention_bias")
    attention = Attention(
        heads=heads, kv_heads=kv_heads(config), head_dim=head_dim(config), bias=biased, qk_norm="head"
    )
    widths = attention.widths(d)
    pieces = (
        linear("mask", widths.kv_heads * widths.head_dim, widths.kv_heads, bias=biased),
        vector("mask.decay", widths.kv_heads),
        vector("residuals", d, copies=2),
    )
    return Augmented(kind="augmented", attention=attention, pieces=pieces)


def beam_window(config: Config) -> AttentionMask:
    """Every sixth layer sees all, and so does the last one, where the file lists none."""
    last = layers_told_apart(config) - 1
    return by_layer_types(
        config, config.optional("sliding_window"), lambda layer: layer != last and (layer + 1) % _PERIOD != 0
    )


_PERIOD = 6


def beam(config: Config) -> Augmented:
    """Gated heads, each with a number that is added to its gates."""
    mask, heads = beam_window(config), config.size("num_attention_heads")
    attention = Attention(
        heads=heads,
        kv_heads=kv_heads(config),
        head_dim=head_dim(config),
        bias=config.flag("attention_bias"),
        qk_norm="head",
        gated=True,
        window=mask.window,
        pattern=mask.pattern,
    )
    return Augmented(kind="augmented", attention=attention, pieces=(vector("gate_bias", heads),))
