"""ModernBERT and its decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tscale.importer.layer_lists import AttentionMask, by_layer_types
from tscale.models.spec import Head

if TYPE_CHECKING:
    from tscale.importer.config_keys import Config


def head(config: Config, head: Head) -> Head:
    """A masked head's square layer has a bias where the file says so."""
    biased = head.kind == "masked" and config.flag("classifier_bias")
    return replace(head, transform="biased") if biased else head


def decoder_window(config: Config) -> AttentionMask:
    """As ModernBERT's, but a query sees half of the window: what came before it."""
    period = config.size("global_attn_every_n_layers")
    half = config.optional("sliding_window") or config.size("local_attention") // 2
    return by_layer_types(config, half, lambda layer: layer % period != 0)
