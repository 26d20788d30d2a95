"""GPT-Neo and the Japanese GPT-NeoX."""

from __future__ import annotations

from tscale.blocks import Attention, FeedForward
from tscale.blocks.fields import LayerSelector
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import AttentionMask, Reach, layers_told_apart, mask_of, refuse_unknown


def gpt_neo_window(config: Config) -> AttentionMask:
    """Each item of `attention_types` is a pattern and how often it is repeated."""
    layers = layers_told_apart(config)
    found = _expanded(config, config.value("attention_types"))
    listed = config.listed("attention_layers", str)
    if listed is not None and listed != found:
        raise config.wrong("attention_layers and attention_types differ")
    if len(found) != layers:
        raise config.wrong(f"attention_types has {len(found)} layers, and num_layers is {layers}")
    legal: dict[str, Reach] = {"local": "local", "global": "global"}
    refuse_unknown(config, "attention_types", found, *legal)
    return mask_of([legal[name] for name in found], config.size("window_size"))


def _expanded(config: Config, items: object) -> list[str]:
    found: list[str] = []
    for item in items if isinstance(items, list) else [None]:
        match item:
            case [list() as pattern, int(times)] if not isinstance(times, bool) and 0 < times <= config.size(
                "num_layers"
            ):
                found += [str(name) for name in pattern] * times
            case _:
                raise config.wrong("attention_types must be a list of patterns and how often each is repeated")
    return found


def last_biased(config: Config) -> tuple[Attention, Attention]:
    """Attention without biases, but for one behind the last layer's."""
    heads, last = config.size("num_attention_heads"), layers_told_apart(config) - 1
    return Attention(heads=heads), Attention(heads=heads, bias=("o",), on=LayerSelector(layers=(last,)))


def multiple_of_width(config: Config) -> FeedForward:
    """So many times d_model wide."""
    return FeedForward(d_ff=config.size("intermediate_multiple_size") * config.size("hidden_size"))
