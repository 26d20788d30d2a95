"""Further encoders, and Whisper and FSMT, against what transformers 5.23.0 counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tscale.core.questions.forward import forward_flops
from tscale.core.questions.params import params
from tscale.core.run import Run
from tscale.errors import SpecError
from tscale.spec.families_encoders import MORE_ENCODERS
from tscale.spec.importer import imported
from tscale.spec.lower import lower
from tscale.spec.model import ModelSpec
from tscale.spec.validation import validated
from tscale.spec.writing import to_yaml
from tscale.spec.yaml_file import parse_document

ORACLE = Path(__file__).parents[1] / "oracle"
LENGTH = 70
VARIATIONS: list[dict[str, Any]] = [
    json.loads(line) for line in (ORACLE / "variations_encoders.jsonl").read_text(encoding="utf-8").splitlines()
]


def _imported(config: dict[str, Any]) -> ModelSpec:
    return imported(config, name="x", where="config.json")


def _variations(family: str) -> Iterator[dict[str, Any]]:
    return (line for line in VARIATIONS if line["config"]["model_type"] == family)


def _differences(spec: ModelSpec, line: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """What tscale and the framework count differently."""
    ledger = lower(spec)
    pairs = {"total": (params(ledger).total, line["total"])}
    if line["flops"] is not None:
        source = line["config"].get("max_source_positions", 1500) if spec.kind == "encoder-decoder" else LENGTH
        run = Run(target=0 if spec.kind == "encoder" else LENGTH, source=source)
        pairs["flops"] = (forward_flops(ledger, run).total, line["flops"])
    return {name: (int(ours), theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}


@pytest.mark.parametrize("family", MORE_ENCODERS)
def test_each_change_of_a_field_is_counted_right_or_refused(family: str) -> None:
    wrong = []
    for line in _variations(family):
        try:
            spec = _imported(line["config"])
        except SpecError:
            continue
        if differences := _differences(spec, line):
            wrong.append((line["changed"], line["config"], differences))
    assert not wrong


NEEDS_MORE = {"deberta", "deberta-v2", "fsmt"}
"""Families whose class does, by default, what tscale does not know: no relative attention, two tables."""


@pytest.mark.parametrize("family", MORE_ENCODERS)
def test_the_defaults_of_a_class_are_read_and_not_refused(family: str) -> None:
    usual = ("nothing", "nothing, saved", "architectures")
    lines = [line for line in _variations(family) if line["changed"] in usual]
    assert {"nothing", "nothing, saved"} <= {line["changed"] for line in lines}
    for line in lines:
        if family in NEEDS_MORE and line["changed"] == "nothing":
            continue
        spec = _imported(line["config"])
        assert not _differences(spec, line)
        assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_most_changes_are_counted() -> None:
    """A refusal is always right, so that it is rare is a promise of its own; head_dim is a key of none of the classes."""
    own = [line["config"] for line in VARIATIONS if line["changed"] != "head_dim"]
    assert 10 * sum(map(_refused, own)) < len(own)


def _refused(config: dict[str, Any]) -> bool:
    try:
        _imported(config)
    except SpecError:
        return True
    return False
