"""Llama 3.2 Vision, some of whose layers attend to images."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Attention, FeedForward, ImageLayer, Mixer
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import on


def _image_layers(config: Config) -> list[int]:
    """Those that `cross_attention_layers` names, as far as there are so many; every fifth from the fourth on where it is absent."""
    listed, depth = config.listed("cross_attention_layers", int), layers_told_apart(config)
    named = range(3, 40, 5) if listed is None else listed
    return sorted({layer for layer in named if layer < depth})


def _of_text(config: Config, at: list[int]) -> list[int]:
    found = [layer for layer in range(layers_told_apart(config)) if layer not in at]
    if not found:
        raise config.wrong("cross_attention_layers names every layer: at least one attends to text")
    return found


def mllama(config: Config) -> Attention | tuple[Mixer, ...]:
    """Attention to text in all layers but those that attend to images, which have norms on queries and keys."""
    at, heads = _image_layers(config), config.size("num_attention_heads")
    everywhere = Attention(heads=heads, kv_heads=config.size("num_key_value_heads"))
    _of_text(config, at)
    if not at:
        return everywhere
    own = ImageLayer(
        kind="image-layer", attention=replace(everywhere, qk_norm="head"), feed_forward=_gated(config),
        on=on(at, layers_told_apart(config)),
    )  # fmt: skip
    return everywhere, own


def _gated(config: Config) -> FeedForward:
    return FeedForward(d_ff=config.size("intermediate_size"), gated=True)


def mllama_feed_forward(config: Config) -> FeedForward:
    """One in each layer that attends to text; the others bring their own."""
    at, dense = _image_layers(config), _gated(config)
    return replace(dense, on=on(_of_text(config, at), layers_told_apart(config))) if at else dense


def mllama_notes(config: Config) -> tuple[str, ...]:
    """What of the layers that attend to images is counted."""
    many = len(_image_layers(config))
    if not many:
        return ()
    return (
        f"{many} of {layers_told_apart(config)} layers attend to images: stored, and skipped by sequences without one. An image is one "
        "token; they attend to all tiles that its tower runs, padding included.",
    )
