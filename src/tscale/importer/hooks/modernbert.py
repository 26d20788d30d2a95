"""ModernBERT, its decoder, and UltraBERT."""

from __future__ import annotations

from dataclasses import replace

from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import AttentionMask, a_layer_each, by_layer_types, layers_told_apart
from tscale.importer.towers.parts import linear
from tscale.models.spec import Head


def head(config: Config, head: Head) -> Head:
    """A masked head's square layer has a bias where the file says so."""
    biased = head.kind == "masked" and config.flag("classifier_bias")
    return replace(head, transform="biased") if biased else head


def decoder_window(config: Config) -> AttentionMask:
    """As ModernBERT's, but a query sees half of the window: what came before it."""
    period = config.size("global_attn_every_n_layers")
    half = config.optional("sliding_window") or config.size("local_attention") // 2
    return by_layer_types(config, half, lambda layer: layer % period != 0)


def ultrabert_window(config: Config) -> AttentionMask:
    """Every third layer sees everything, the others so many tokens to either side; older files list the distance of each layer."""
    listed, distance = a_layer_each(config, "attention_windows", int), config.size("sliding_window")
    if listed is not None:
        lengths = {one for one in listed if one}
        if len(lengths) > 1:
            raise config.wrong("attention_windows: windows of several lengths are not known: the class takes the first")
        distance = next(iter(lengths), distance)
    usual = [(layer + 1) % 3 != 0 for layer in range(layers_told_apart(config))]
    local = usual if listed is None else [one > 0 for one in listed]
    return by_layer_types(config, 2 * distance + 1, lambda layer: local[layer])


def ultrabert_head(config: Config, head: Head) -> Head:
    """Two matrices stand before the table of a masked head, of a width of their own between them; a classifier is one matrix."""
    if head.kind != "masked":
        return head if head.classes is None else replace(head, classes=config.labels())
    d, width = config.size("hidden_size"), config.size("prediction_head_size")
    pieces = (linear("transform.down", d, width, bias=False), linear("transform.up", width, d, bias=False))
    return replace(head, pieces=pieces)
