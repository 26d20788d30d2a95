"""Decoders and hybrids recorded with their caches, and text models inside other files, against transformers 5.23.0."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tscale.core.ledger import Cache, Ledger
from tscale.core.questions.cache import cache_bytes, growing, states
from tscale.core.questions.forward import forward_flops
from tscale.core.questions.params import active_params, params
from tscale.core.run import Run
from tscale.errors import SpecError
from tscale.spec.families import MORE, NESTED
from tscale.spec.families_nested import HEARING, SEEING
from tscale.spec.importer import imported
from tscale.spec.lower import lower
from tscale.spec.model import ModelSpec
from tscale.spec.validation import validated
from tscale.spec.writing import to_yaml
from tscale.spec.yaml_file import parse_document

ORACLE = Path(__file__).parents[1] / "oracle"
LENGTH = 70

SCORES_TWICE = {"diffllama"}
"""The framework sums each half of the values by scores that it makes anew; the architecture needs them once."""

SAVED_AS_ANOTHER = {"gpt-sw3"}
"""Its class is GPT-2's, and writes that name into the file."""


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ORACLE / name).read_text(encoding="utf-8").splitlines()]


VARIATIONS, INSIDE = _lines("variations_more.jsonl"), _lines("nested.jsonl")


def _imported(config: dict[str, Any]) -> ModelSpec:
    return imported(config, name="x", where="config.json")


def _variations(family: str) -> Iterator[dict[str, Any]]:
    return (line for line in VARIATIONS if line["config"]["model_type"] == family)


def _differences(spec: ModelSpec, line: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """What tscale and the framework count differently: parameters, FLOPs, and numbers in the cache."""
    ledger, family = lower(spec), line["config"]["model_type"]
    pairs = {"total": (params(ledger).total, line["total"])}
    if line["flops"] is not None and family not in SCORES_TWICE:
        pairs["flops"] = (forward_flops(ledger, Run(LENGTH)).total, line["flops"])
    if line["active"] is not None:
        pairs["active"] = (active_params(ledger).total, line["active"])
    if line["cache"] is not None:
        pairs["per token"] = (_grown(ledger), line["cache"]["per_token"])
        if not _slides_early(ledger):
            pairs["constant"] = (cache_bytes(states(ledger), Run(1), 16).total // 2, line["cache"]["constant"])
    return {name: (int(ours), theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}


def _grown(ledger: Ledger) -> int:
    """Numbers that one token adds between 64 and 96 tokens."""
    short, long = (cache_bytes(growing(ledger), Run(length), 16).total // 2 for length in (64, 96))
    return int(long - short) // 32


def _slides_early(ledger: Ledger) -> bool:
    """Whether some window is full before the cache was measured: the framework keeps one token less than it sees."""
    windows = (entry.window for entry in ledger.entries if isinstance(entry, Cache))
    return any(window is not None and window <= 96 for window in windows)


@pytest.mark.parametrize("family", MORE)
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


@pytest.mark.parametrize("family", MORE)
def test_the_defaults_of_a_class_are_read_and_not_refused(family: str) -> None:
    usual = ("nothing", "nothing, saved", "architectures")
    lines = [line for line in _variations(family) if line["changed"] in usual]
    found = {line["changed"] for line in lines}
    assert "nothing" in found
    assert ("nothing, saved" in found) == (family not in SAVED_AS_ANOTHER)
    for line in lines:
        spec = _imported(line["config"])
        assert not _differences(spec, line)
        assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_most_changes_are_counted() -> None:
    """A refusal is always right, so that it is rare is a promise of its own."""
    refused = sum(_refused(line["config"]) for line in VARIATIONS)
    assert 10 * refused < len(VARIATIONS)


def _refused(config: dict[str, Any]) -> bool:
    try:
        _imported(config)
    except SpecError:
        return True
    return False


def test_differential_attention_scores_once_and_sums_values_of_twice_the_width() -> None:
    """Per layer and pair of positions 2·heads·(d + 2·d) FLOPs, where the framework takes 2·2·heads·(d + d)."""
    (line,) = (line for line in _variations("diffllama") if line["changed"] == "nothing")
    spec = _imported(line["config"])
    more = line["flops"] - forward_flops(lower(spec), Run(LENGTH)).total
    assert more == 2 * 16 * 32 * 64 * LENGTH**2


# ---- text models inside others ----


@pytest.mark.parametrize("family", SEEING | HEARING)
def test_the_text_model_inside_is_counted_right_or_refused(family: str) -> None:
    lines = [line for line in INSIDE if line["config"]["model_type"] == family]
    counted = 0
    for line in lines:
        try:
            spec = _imported(line["config"])
        except SpecError:
            continue
        counted += 1
        assert params(lower(spec)).total == line["total"], line
        assert line["flops"] is None or forward_flops(lower(spec), Run(LENGTH)).total == line["flops"], line
        assert spec.notes[0] == NESTED[family].left_out
    assert counted > 3 < len(lines)


@pytest.mark.parametrize("family", SEEING | HEARING)
def test_a_file_as_the_class_saves_it_is_read(family: str) -> None:
    (saved,) = (
        line for line in INSIDE if line["changed"] == "nothing, saved" and line["config"]["model_type"] == family
    )
    config = saved["config"]
    tied = config.get("tie_word_embeddings")
    text = {**config["text_config"], "tie_word_embeddings": tied} if tied is not None else config["text_config"]
    assert params(lower(_imported({**config, "text_config": text}))).total == saved["total"]
