"""ModernBERT and its decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tscale.importer.layer_lists import AttentionMask, by_layer_types
from tscale.importer.towers.parts import linear
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


def on_either_side(config: Config) -> AttentionMask:
    """Layers that see so many tokens before and behind, as the list says."""
    side = config.optional("sliding_window")
    return by_layer_types(config, None if side is None else 2 * side, lambda layer: (layer + 1) % _PERIOD != 0)


def always_on_either_side(config: Config) -> AttentionMask:
    """The same in every layer."""
    return AttentionMask(2 * config.size("sliding_window"))


_PERIOD = 3


def ultrabert_head(config: Config, head: Head) -> Head:
    """Two matrices before the words', the first of them narrow; a sequence's classes right on the last layer."""
    if head.kind != "masked":
        return head if head.classes is None else replace(head, classes=config.labels())
    d, narrow = config.size("hidden_size"), config.size("prediction_head_size")
    pieces = (linear("down", d, narrow, bias=False), linear("up", narrow, d, bias=False))
    return replace(head, pieces=pieces)


def privacy_head(config: Config, head: Head) -> Head:
    """As many classes of words as the file has labels, 33 where it names none."""
    named = config.says("id2label") is not None or config.says("num_labels") is not None
    return replace(head, classes=config.labels() if named else 33) if head.per_token else head
