"""A correct checkpoint of a whole model passes: names and shapes as transformers 5.24.0 has them on the meta device."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import of_each
from tests.importer.recorded import recorded, spec_of
from tscale.answers.verify import verify_report
from tscale.checkpoint.matching import compared
from tscale.checkpoint.tensors import Tensor, Weights
from tscale.importer.towers.alone import tower_spec
from tscale.models.lower import lower

RECORDED = {line["config"]["model_type"]: line for line in recorded("tower_tensors.jsonl")}


def _tensors(line: dict[str, Any]) -> list[Tensor]:
    """The tensors, each with a number of its own in place of the first `#`."""
    return [
        Tensor(name.replace("#", str(place), 1), "BF16", tuple(shape), 0)
        for name, shape, count in line["shapes"]
        for place in range(count)
    ]


@of_each(RECORDED)
def test_what_the_class_saves_agrees(family: str) -> None:
    line = RECORDED[family]
    result = compared(lower(spec_of(line["config"])), _tensors(line))
    assert result.agrees, ([piece.name for piece in result.pieces if piece.missing], result.unexpected)


ALONE = {line["config"]["architectures"][0]: line for line in recorded("tower_alone_tensors.jsonl")}


@pytest.mark.parametrize("cls", ALONE)
def test_a_tower_that_is_a_model_by_itself_agrees_with_what_its_class_saves(cls: str) -> None:
    """A tensor that holds nothing (DINOv3 without registers) is no difference."""
    line = ALONE[cls]
    spec = tower_spec(line["config"], name="it", where="config.json")
    report = verify_report(spec, Weights(tuple(_tensors(line)), 1, 0), "it")
    assert report.exit_code == 0
    less = verify_report(spec, Weights(tuple(_tensors(line)[:-1]), 1, 0), "it")
    assert less.exit_code == 3


def test_a_tower_that_lacks_a_layer_is_missing_there_and_nowhere_else() -> None:
    line = RECORDED["qwen3_vl"]
    kept = [tensor for tensor in _tensors(line) if "visual.blocks.2" not in tensor.name]
    assert len(kept) < len(_tensors(line))
    result = compared(lower(spec_of(line["config"])), kept)
    assert {piece.entry.partition(".")[0] for piece in result.pieces if piece.missing} == {"vision_tower"}


def test_towers_that_a_spec_leaves_out_are_not_expected() -> None:
    line = RECORDED["llava"]
    spec = spec_of(line["config"] | {"vision_config": {"model_type": "no_such_vision"}})
    result = compared(lower(spec), _tensors(line))
    assert result.unexpected
    assert not any(piece.missing for piece in result.pieces)
