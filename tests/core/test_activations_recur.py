"""What recurrences keep: RWKV, RecurrentGemma and xLSTM as autograd keeps them with their kernels, every difference named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import tscale
from tests.helpers import of_each, saves
from tests.importer.recorded import recorded
from tscale.blocks import Attention, Mlstm, RgLru, Rwkv
from tscale.blocks.fields import LayerContext
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.workload import SequenceLengths
from tscale.importer.reader import imported
from tscale.models.lower import run_of
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec

RECORDED = recorded("activations_recur.jsonl")


def test_the_recording_holds_what_is_asked_of_it() -> None:
    """Two formats, two batches and lengths, of each family."""
    runs = {tuple(record[key] for key in ("dtype", "batch", "length")) for record in RECORDED}
    assert runs == {(dtype, *shape) for dtype in ("fp32", "bf16") for shape in ((1, 16), (2, 70), (1, 64), (2, 192))}
    families = [record.get("config", {"model_type": "layer"})["model_type"] for record in RECORDED]
    counts = {"rwkv": 16, "recurrent_gemma": 24, "xlstm": 24, "layer": 8}
    assert {family: families.count(family) for family in families} == counts


@pytest.mark.parametrize("record", [record for record in RECORDED if "layer" in record])
def test_the_authors_layer_keeps_what_is_counted(record: dict[str, Any]) -> None:
    """RG-LRU itself, between the convolution and the gate on its output, whose lines are left out."""
    number, batch, length = 2 if record["dtype"] == "bf16" else 4, record["batch"], record["length"]
    mixer = RgLru(kind="rg-lru", **record["layer"])
    site = LayerContext("rg_lru", mixer.width or 0, 1, "target", "target", causal=True)
    around = {"rg_lru.x", "rg_lru.y", "rg_lru.activation", "rg_lru.product"}
    inside = [saved for saved in mixer.saves(site) if saved.name not in around]
    counted = activation_bytes(inside, SequenceLengths(target=length), Passes(batch, "flash", number)).total
    named = {
        "the parameter of the decays, made positive": (mixer.width or 0) * number,
        "where no document begins, twice": 2 * batch * length,
    }
    assert record["bytes"] - counted == sum(named.values()), named


@of_each([record for record in RECORDED if "config" in record])
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
    by_family = {"rwkv": rwkv_differences, "recurrent_gemma": griffin_differences, "xlstm": xlstm_differences}
    yield from by_family[record["config"]["model_type"]](record, spec, number)


def rwkv_differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """The statistics of layernorms, and what is made of weights."""
    positions = record["batch"] * record["length"]
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


def griffin_differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """Norms in steps, a convolution that is longer than what is used of it, and what one sequence or the weights say."""
    batch, length, wide = record["batch"], record["length"], number == 2
    positions, d = batch * length, spec.d_model
    mixer, attention = spec.mixers
    assert isinstance(mixer, RgLru)
    assert isinstance(attention, Attention)
    attentions = spec.layers // 3
    recurrent, norms = spec.layers - attentions, 2 * spec.layers + 1
    width = d if mixer.width is None else mixer.width
    yield (
        "an rmsnorm in steps keeps its input and the normalised input in fp32",
        norms * positions * d * (6 if wide else 4),
    )
    yield "each gain, plus 1, in fp32", norms * d * 4
    yield "the logits before they are clipped", positions * spec.vocabulary * number
    rotated = attention.widths(d).head_dim // 2
    yield "sines and cosines of half a head, of one sequence, in each layer", attentions * 2 * length * rotated * number
    yield (
        "attention's output is laid out by heads, since a part of each is rotated, and copied for the projection",
        attentions * positions * attention.heads * 2 * rotated * number,
    )
    yield "the convolution reaches past the end", recurrent * batch * (mixer.d_conv - 1) * width * number
    if batch > 1:
        yield "its output is laid out by channels, and copied for the gates", recurrent * positions * width * number
    yield "the parameter of the decays, made positive", recurrent * width * number
    yield "where no document begins, of one sequence, twice", recurrent * 2 * length
    if record.get("scan") == "steps":
        yield "the state before each step, in fp32", recurrent * positions * width * 4
        if wide:
            copies = (length - 1) * batch * width * 4
            yield (
                "a copy of each decay but the first in fp32, in place of the array",
                recurrent * (copies - positions * width * 2),
            )


def xlstm_differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """Norms in steps, clipped logits, and the settings that the kernel keeps as arrays."""
    positions, d, wide = record["batch"] * record["length"], spec.d_model, number == 2
    (mixer,) = spec.mixers
    assert isinstance(mixer, Mlstm)
    yield (
        "an rmsnorm in steps keeps its input in fp32 and the normalised input",
        (2 * spec.layers + 1) * positions * d * (number + (2 if wide else 0)),
    )
    heads = spec.layers * positions * mixer.heads
    yield (
        "the heads' layernorm in steps keeps its input, centred and not, in fp32; the normalised one in place of the other",
        heads * mixer.v_dim * (4 + 4),
    )
    yield "and of the mean and the deviation, the latter alone", -heads * 4
    yield "the logits before they are clipped, in fp32", positions * spec.vocabulary * 4
    yield "the length of a chunk and the least that is divided by, as arrays", spec.layers * (8 + 4)
    if record["config"]["chunkwise_kernel"].endswith("limit_chunk"):
        yield "this kernel keeps the normaliser and the greatest exponent in fp32", 2 * heads * (4 - number)
    else:
        yield "the scale of the scores, as an array", spec.layers * 4


@pytest.mark.parametrize("name", ["rwkv-4-3b", "xlstm-7b"])
def test_a_recurrence_has_no_scores_to_compute_again(name: str) -> None:
    """It keeps the same however scores are kept; computed again whole, a layer keeps its input alone."""
    spec = tscale.load(name)
    for model in (spec, traced(spec)):
        run = run_of(model, 1000)
        totals = [
            activation_bytes(saves(model), run, Passes(keeping=how)).total for how in ("naive", "selective", "flash")
        ]
        assert len(set(totals)) == 1
        layers = [kept for kept in saves(model) if kept.keeping == ("full",)]
        assert activation_bytes(layers, run, Passes(keeping="full")).total == spec.layers * 1000 * spec.d_model * 2
