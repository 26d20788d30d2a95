"""Lengths and tokens in a spec, written as on the command line."""

from __future__ import annotations

from typing import Any

import pytest

import tscale
from tscale.errors import SpecErrors
from tscale.models.spec import ModelSpec
from tscale.models.validation import schema, validated
from tscale.models.yaml_file import parse_document

SPEC = """
name: counts
layers: 4
d_model: 512
vocabulary: 1000
context: CONTEXT
tied: true
attention: {heads: 8, window: WINDOW}
feed_forward: {d_ff: 2048}
positions: {kind: rotary}
norm: {kind: rmsnorm}
training: {tokens: TOKENS, source: a test}
"""


def _read(context: str = "4096", window: str = "512", tokens: str = "1000") -> ModelSpec:
    text = SPEC.replace("CONTEXT", context).replace("WINDOW", window).replace("TOKENS", tokens)
    spec = validated(parse_document(text, "x.yaml"))
    assert isinstance(spec, ModelSpec)
    return spec


def test_k_is_1024_in_lengths_and_1000_in_tokens() -> None:
    """As `--context 4k` and `--tokens 1.5T` are read."""
    assert _read(context="4k") == _read(context="4096")
    assert _read(window="1.5K") == _read(window="1536")
    assert _read(tokens="1.5T") == _read(tokens="1_500_000_000_000")
    assert _read(tokens="3 k") == _read(tokens="3000")


@pytest.mark.parametrize("text", ["4kk", "0k", "4.0001k", "-4k", "k", "'4096'"])
def test_other_texts_are_no_counts(text: str) -> None:
    with pytest.raises(SpecErrors, match="context must be a whole number from 1 to"):
        _read(context=text)


def test_the_schema_lets_editors_take_both() -> None:
    context = schema()["$defs"]["ModelSpec"]["properties"]["context"]["anyOf"]
    assert {"type": "string", "pattern": r"^[\d_.]+ ?[kKMGBT]$"} in context


def test_sizes_of_heads_and_of_their_pieces_have_names_in_formulas() -> None:
    """No size of a spec is a bare number in a derivation but how many layers have a block."""
    words = tscale.params("gpt2", set={"head.words": 1000, "tied": "false"})
    assert formula(words, "head") == "d_model·head_words"
    labels = {"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"], "num_labels": 7}
    assert formula(tscale.params(labels), "head.classes") == "d_model·head_classes + head_classes"
    entities = {"model_type": "luke", "architectures": ["LukeModel"], "entity_vocab_size": 77}
    assert formula(tscale.params(entities), "embedding.entities") == "entities_rows·entities_width"


def formula(report: Any, part: str) -> Any:
    """The formula of a line of parameters."""
    return next(line["formula"] for line in report.to_dict()["lines"] if line["name"] == part)
