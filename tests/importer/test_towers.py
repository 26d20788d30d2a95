"""Whole models: text model, towers and projectors, against what transformers 5.24.0 counts on the meta device."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import of_each
from tests.importer.recorded import recorded, spec_of
from tscale.core.costs.params import params
from tscale.core.ledger import Ledger
from tscale.errors import SpecError
from tscale.importer.families import NESTED
from tscale.importer.towers import FAMILIES, towers_of
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

WHOLE = recorded("towers.jsonl")
SHIPPED = [family for family in FAMILIES if family in NESTED]


def _differences(spec: ModelSpec, line: dict[str, Any]) -> dict[str, tuple[int, int]]:
    ledger = lower(spec)
    found = {
        "total": (int(params(ledger.whole).total), line["total"]),
        "text": (int(params(ledger).total), line["text"]),
    }
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


@of_each(SHIPPED)
def test_each_size_of_a_tower_is_counted_right_or_refused(family: str) -> None:
    """What is refused is heads that do not divide, which the class builds and cannot run."""
    lines = [line for line in WHOLE if line["config"]["model_type"] == family]
    assert lines
    for line in lines:
        try:
            assert not _differences(spec_of(line["config"]), line), line["changed"]
        except SpecError:
            assert "heads" in line["changed"]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in NESTED])
def test_towers_of_a_family_whose_text_model_is_not_read_are_counted_right(family: str) -> None:
    lines = [line for line in WHOLE if line["config"]["model_type"] == family]
    assert lines
    for line in lines:
        found = towers_of(
            line["config"], family, lambda _: 1, line["config"].get("hidden_size", line["d_model"]), "config.json"
        )
        assert found is not None
        groups = tuple(group for tower in found.towers for group in tower.groups())
        assert params(Ledger("x", groups)).total == line["total"] - line["text"], line["changed"]


@of_each(SHIPPED)
def test_towers_are_written_and_read_as_they_are(family: str) -> None:
    line = next(line for line in WHOLE if line["config"]["model_type"] == family)
    spec = spec_of(line["config"])
    assert spec.towers
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_a_tower_of_an_unknown_type_leaves_the_text_model_alone_and_says_so() -> None:
    config = next(line["config"] for line in WHOLE if line["config"]["model_type"] == "llava")
    spec = spec_of(config | {"vision_config": {"model_type": "no_such_vision"}})
    assert spec.towers is None
    assert any(note.startswith("Left out: the vision tower") for note in spec.notes)


def test_a_key_that_no_tower_reads_is_named() -> None:
    config = next(line["config"] for line in WHOLE if line["config"]["model_type"] == "qwen2_vl")
    spec = spec_of(config | {"vision_config": config["vision_config"] | {"in_chans": 4}})
    assert "Not read by this family: vision_config.in_chans." in spec.notes


def test_a_size_of_a_tower_that_is_none_is_refused_with_its_path() -> None:
    config = next(line["config"] for line in WHOLE if line["config"]["model_type"] == "qwen2_vl")
    with pytest.raises(SpecError, match=r"vision_config\.depth must be a whole number from 1 to 10\^12, not -1"):
        spec_of(config | {"vision_config": {"depth": -1}})
