"""Whose `tie_word_embeddings` decides in files that describe more than a text model: held to the classes of transformers 5.24.0."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.recorded import recorded, spec_of
from tscale.core.costs.params import params
from tscale.errors import SpecError
from tscale.models.lower import lower

TIES = recorded("ties.jsonl")


def test_the_recording_holds_every_way_to_say_it() -> None:
    """Nine ways of each pair of a whole and a text model."""
    pairs = {(line["config"]["model_type"], line["config"]["text_config"]["model_type"]) for line in TIES}
    assert len(TIES) == 9 * len(pairs)
    assert {line["tied"] for line in TIES} == {True, False}


@pytest.mark.parametrize("family", dict.fromkeys(line["config"]["model_type"] for line in TIES))
def test_the_head_is_tied_as_the_class_ties_it(family: str) -> None:
    for line in TIES:
        if line["config"]["model_type"] == family:
            assert spec_of(line["config"]).tied == line["tied"], line


def _said(family: str, outer: bool | None, inner: bool | None) -> dict[str, Any]:
    return next(
        line["config"]
        for line in TIES
        if line["config"]["model_type"] == family
        and line["config"].get("tie_word_embeddings") is outer
        and line["config"]["text_config"].get("tie_word_embeddings") is inner
    )


def test_what_differs_is_said() -> None:
    """The whole's decides in Gemma 3, the text model's in Llama 4."""
    (note,) = (note for note in spec_of(_said("gemma3", False, True)).notes if "differ" in note)
    assert "(false) and text_config.tie_word_embeddings (true) differ: not tied" in note
    (note,) = (note for note in spec_of(_said("llama4", False, True)).notes if "differ" in note)
    assert "differ: tied" in note


@pytest.mark.parametrize("at", ["whole", "text"])
def test_what_is_neither_true_nor_false_is_refused(at: str) -> None:
    config = _said("gemma3", None, None)
    text = config["text_config"] | ({"tie_word_embeddings": "yes"} if at == "text" else {})
    with pytest.raises(SpecError, match="tie_word_embeddings must be true or false"):
        spec_of(config | {"text_config": text} | ({"tie_word_embeddings": 1} if at == "whole" else {}))


@pytest.mark.parametrize(("tied", "total"), [(True, 998_912), (False, 998_912 + 3 * 64 * 1000)])
def test_florence_2_has_a_table_for_each_stack_and_one_for_none_where_it_is_not_tied(tied: bool, total: int) -> None:
    """What transformers 5.24.0 counts on the meta device: the head and two stacks have tables beside the one that stands around them."""
    text = {"model_type": "bart", "d_model": 64, "vocab_size": 1000, "tie_word_embeddings": tied}
    for stack in ("encoder", "decoder"):
        text |= {f"{stack}_layers": 2, f"{stack}_attention_heads": 4, f"{stack}_ffn_dim": 96}
    vision = {"embed_dim": [16, 32, 64, 128], "depths": [1, 1, 1, 1], "projection_dim": 64}
    vision |= {key: [2, 4, 8, 16] for key in ("num_heads", "num_groups")}
    config = {"model_type": "florence2", "text_config": text, "vision_config": vision, "tie_word_embeddings": tied}
    assert params(lower(spec_of(config)).whole).total == total
