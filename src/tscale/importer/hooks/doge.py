"""Doge: attention whose mask each layer computes from its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscale.blocks import Attention
from tscale.blocks.augmented import Augmented
from tscale.importer.rules.heads import head_dim, kv_heads
from tscale.importer.towers.parts import linear, vector

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


def doge(config: Config) -> Augmented:
    """Grouped attention, a number for each key and head of what its values say, and weights on what both halves of a layer are added to."""
    d, heads = config.size("hidden_size"), config.size("num_attention_heads")
    biased = config.flag("attention_bias")
    attention = Attention(heads=heads, kv_heads=kv_heads(config), head_dim=head_dim(config), bias=biased, qk_norm="head")
    widths = attention.widths(d)
    pieces = (
        linear("mask", widths.kv_heads * widths.head_dim, widths.kv_heads, bias=biased),
        vector("mask.decay", widths.kv_heads),
        vector("residuals", d, copies=2),
    )
    return Augmented(kind="augmented", attention=attention, pieces=pieces)
