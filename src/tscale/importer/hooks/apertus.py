"""Apertus 1.5, whose head may answer with some words alone."""

from __future__ import annotations

from dataclasses import replace

from tscale.importer.config_keys import Config
from tscale.models.spec import Head


def fewer_words(config: Config, head: Head) -> Head:
    """The first words of the vocabulary, where `output_vocab_size` says how many: no image and no sound is answered with."""
    words, vocabulary = config.optional("output_vocab_size"), config.size("vocab_size")
    if words is None or words == vocabulary or head.kind == "none":
        return head
    if words > vocabulary:
        raise config.wrong(f"output_vocab_size: {words:,} words are more than vocab_size {vocabulary:,}")
    if config.flag("tie_word_embeddings"):
        raise config.wrong("tie_word_embeddings: true is not known with a head of fewer words than the embedding has")
    return replace(head, words=words)
