"""Files that hold a configuration for each of two stacks, as one set of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.importer.harmless import is_harmless

_PAIRED: Final = ("t5gemma",)
_OF_ENCODER: Final = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "attention_bias", "sliding_window", "layer_types",
)  # fmt: skip
_OF_DECODER: Final = (*_OF_ENCODER, "max_position_embeddings")
_INSIDE: Final = ("model_type", "architectures", "is_decoder", "tie_word_embeddings", "cross_attention_hidden_size")
"""Keys of one stack that the whole decides."""


def one_set(config: dict[str, object]) -> dict[str, object]:
    """The keys of the decoder as they are, and those of the encoder behind `encoder_`; any other file as it is.

    What neither stack has a size in, and cannot change a count, is left out.
    """
    encoder, decoder = config.get("encoder"), config.get("decoder")
    if config.get("model_type") not in _PAIRED or not (isinstance(encoder, dict) and isinstance(decoder, dict)):
        return config
    whole = {key: value for key, value in config.items() if key not in ("encoder", "decoder", *_OF_DECODER)}
    own = {key: value for key, value in decoder.items() if key in _OF_DECODER or _may_matter(key, value)}
    return whole | own | {f"encoder_{key}": value for key, value in _said(encoder)}


def _said(encoder: Mapping[str, object]) -> list[tuple[str, object]]:
    return [(key, value) for key, value in encoder.items() if key in _OF_ENCODER or _may_matter(key, value)]


def _may_matter(key: str, value: object) -> bool:
    harmless = key in _INSIDE or key == "max_position_embeddings" or is_harmless(key)
    return bool(value) and not harmless
