"""ProphetNet: a decoder that predicts several tokens at once."""

from __future__ import annotations

from tscale.blocks.predicting import PredictingStreams
from tscale.importer.config_keys import Config
from tscale.importer.towers.parts import table
from tscale.models.spec import Embedding


def streams(config: Config) -> PredictingStreams:
    """A stream for each of the tokens that are predicted, next to that of the text."""
    return PredictingStreams(kind="predicting", count=config.size("ngram") + 1, buckets=config.size("num_buckets"))


def embedding(config: Config) -> Embedding:
    """One table; where it is not tied, one for each stack, and another that stands around them and none reads."""
    named = config.architectures() or ""
    if config.flag("tie_word_embeddings") or named.endswith(("Encoder", "Decoder")):
        return Embedding()
    unread = table("unread_tokens", config.size("vocab_size"), config.size("hidden_size"))
    return Embedding(shared=named.endswith("ForCausalLM"), pieces=(unread,))
