"""What recurrences keep: RWKV, RecurrentGemma and xLSTM as autograd keeps them with their kernels, every difference named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tscale.blocks import Rwkv
from tscale.core.questions.activations import Passes, activation_bytes
from tscale.spec.importer import imported
from tscale.spec.lower import run_of
from tscale.spec.model import ModelSpec
from tscale.spec.saves import saves

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "oracle" / "activations_recur.jsonl").read_text("utf-8").splitlines()
]


def test_the_recording_holds_what_is_asked_of_it() -> None:
    """Two formats, two batches and lengths, and of each model more shapes than one."""
    assert {record["dtype"] for record in RECORDED} == {"fp32", "bf16"}
    assert {(record["batch"], record["length"]) for record in RECORDED} == {(1, 16), (2, 70)}
    assert {record["config"]["model_type"] for record in RECORDED} == {"rwkv"}


@pytest.mark.parametrize("record", RECORDED)
def test_a_whole_model_keeps_what_is_counted(record: dict[str, Any]) -> None:
    number = 2 if record["dtype"] == "bf16" else 4
    spec = imported(record["config"], name="recorded", where="recorded")
    passes = Passes(record["batch"], "flash", number)
    counted = activation_bytes(saves(spec), run_of(spec, record["length"]), passes).total
    named = dict(differences(record, spec, number))
    assert record["bytes"] - counted == sum(named.values()), named


def differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """What the libraries' own code keeps beside, or less, each with its reason."""
    yield "the number that the loss is divided by", 4
    if record["batch"] == 1:
        yield "the words are a part of an array that is one longer, before they are shifted", 8
    positions = record["batch"] * record["length"]
    yield from {"rwkv": rwkv_differences}[record["config"]["model_type"]](positions, spec, number)


def rwkv_differences(positions: int, spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """The statistics of layernorms, and what is made of weights."""
    (mixer,) = spec.mixers
    assert isinstance(mixer, Rwkv)
    yield (
        "the statistics of layernorms in the activations' format",
        (number - 4) * 2 * positions * (2 * spec.layers + 2),
    )
    width = spec.d_model if mixer.width is None else mixer.width
    yield (
        "how much of the token before: 1 less each of the five mixing weights",
        spec.layers * 5 * spec.d_model * number,
    )
    yield "the decays' exponentials in fp32", spec.layers * width * 4
