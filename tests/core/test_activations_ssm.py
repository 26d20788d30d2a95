"""What state spaces keep: as PyTorch's autograd keeps it with mamba_ssm's kernels, every byte of difference named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import tscale
from tests.helpers import of_each, one_layer, saves
from tests.importer.recorded import recorded
from tscale.blocks import Attention, Experts, HybridHeads, Mamba, Mamba2, SharedBlock
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.importer.reader import imported
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec

RECORDED = recorded("activations_ssm.jsonl")


def test_the_recording_holds_what_is_asked_of_it() -> None:
    """Two formats, and batches and lengths of which one is no multiple of a chunk and one longer than the scan's 2,048."""
    assert {record["dtype"] for record in RECORDED} == {"fp32", "bf16"}
    assert {(record["batch"], record["length"]) for record in RECORDED} == {(1, 16), (2, 150), (2, 2100)}
    families = {record["config"]["model_type"] for record in RECORDED if "config" in record}
    assert families == {
        "mamba",
        "falcon_mamba",
        "jamba",
        "zamba",
        "mamba2",
        "bamba",
        "falcon_h1",
        "zamba2",
        "nemotron_h",
        "granitemoehybrid",
    }
    assert {record["layer"] for record in RECORDED if "layer" in record} == {"Mamba", "Mamba2"}


# ----------------------------------------------------------------------------------------------------------------------
# The authors' own layers
# ----------------------------------------------------------------------------------------------------------------------


def mixer_of(record: dict[str, Any]) -> Mamba | Mamba2:
    """The block that is the recorded layer; what its shape leaves out has the defaults of mamba_ssm."""
    shape = record["shape"]
    if record["layer"] == "Mamba":
        inner = shape.get("expand", 2) * shape["d_model"]
        return Mamba(kind="mamba", d_inner=inner, d_state=shape.get("d_state", 16), dt_rank=shape.get("dt_rank"))
    return Mamba2(
        kind="mamba2",
        heads=2 * shape["d_model"] // shape["headdim"],
        d_head=shape["headdim"],
        d_state=shape["d_state"],
        groups=shape.get("ngroups", 1),
        norm=shape.get("rmsnorm", True),
    )


@pytest.mark.parametrize("record", [record for record in RECORDED if "layer" in record])
def test_a_layer_of_the_authors_keeps_what_is_counted(record: dict[str, Any]) -> None:
    number, mixer = 2 if record["dtype"] == "bf16" else 4, mixer_of(record)
    spec = one_layer(mixer, record["shape"]["d_model"])
    inside = [saved for saved in saves(spec) if saved.name.startswith(mixer.label)]
    counted = activation_bytes(
        inside, SequenceLengths(target=record["length"]), Passes(record["batch"], "flash", number)
    ).total
    named = dict(made_of_weights(mixer, spec.d_model, 1, wide=number == 2))
    assert record["bytes"] - counted == sum(named.values()), named


def made_of_weights(mixer: Mamba | Mamba2, d_model: int, layers: int, *, wide: bool) -> Iterator[tuple[str, int]]:
    """What is as large as some of the weights, whatever the batch, and no activation."""
    if isinstance(mixer, Mamba2):
        yield "the decays' exponentials, and these negated, in fp32", layers * 2 * 4 * mixer.heads
        return
    inner = mixer.d_inner or 2 * d_model
    yield "the decays' exponentials, and these negated, in fp32", layers * 2 * 4 * inner * mixer.d_state
    yield "D and the bias of the step sizes in fp32", layers * 2 * 4 * inner if wide else 0


# ----------------------------------------------------------------------------------------------------------------------
# Whole models
# ----------------------------------------------------------------------------------------------------------------------


@of_each([record for record in RECORDED if "config" in record])
def test_a_whole_model_keeps_what_is_counted(record: dict[str, Any]) -> None:
    number = 2 if record["dtype"] == "bf16" else 4
    spec = imported(record["config"], name="recorded", where="recorded")
    counted = activation_bytes(
        saves(spec), run_of(spec, record["length"]), Passes(record["batch"], "flash", number)
    ).total
    named = dict(model_differences(record, spec, number))
    assert record["bytes"] - counted == sum(named.values()), named


def model_differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """What transformers' own code keeps beside, or less, each with its reason."""
    name, length, positions = record["config"]["model_type"], record["length"], record["batch"] * record["length"]
    wide, d = record["dtype"] == "bf16", spec.d_model
    yield "the number that the loss is divided by", 4
    if record["batch"] == 1:
        yield "the words are a part of an array that is one longer, before they are shifted", 8
    each = (4 if name == "nemotron_h" else number) + (2 if wide else 0)
    normed = sum(saved.width * saved.used for saved in saves(spec) if is_input_of_norm(saved.name))
    yield "an rmsnorm in steps keeps its input in fp32 and the normalised input", positions * normed * each
    if name in ("mamba", "falcon_mamba", "mamba2"):
        yield "the stream is in fp32, and so is what the final norm normalised", positions * d * (4 - number)
    mixer, layers = state_space(spec)
    yield from made_of_weights(mixer, d, layers, wide=wide)
    if name == "jamba":
        assert isinstance(mixer, Mamba)
        of_norms = (mixer.dt_rank or 0) + 2 * mixer.d_state
        yield "so do the norms of step sizes, inputs and outputs of the state", layers * positions * of_norms * each
        copied = layers * positions * 2 * (mixer.d_inner or 2 * d) * number
        yield "the channels' convolution and gates, laid out by positions, are copied for the scan", copied
    if name in ("jamba", "granitemoehybrid"):
        yield from router_differences(name, spec, positions, wide=wide)
    if name == "nemotron_h":
        yield "gains in fp32", (spec.layers + 1) * d * 4 if wide else 0
    if name == "zamba":
        assert isinstance(mixer, Mamba)
        yield from zamba_differences(record, mixer, layers, d, number)
    rotated = {"bamba": 8, "falcon_h1": 16, "zamba2": 32 if record["config"].get("use_mem_rope") else 0}.get(name, 0)
    yield "sines and cosines, kept once", 2 * length * rotated * number
    if name == "bamba":
        yield (
            "the kernel's output is laid out by heads, as queries rotated in part are, and copied",
            positions * d * number,
        )


def is_input_of_norm(name: str) -> bool:
    """Whether it is the input of a norm that is computed in steps."""
    return "norm." in name and name.endswith(".input")


def state_space(spec: ModelSpec) -> tuple[Mamba | Mamba2, int]:
    """The state space of a recorded model, and how many layers have it."""
    mixers = [
        block.mamba if isinstance(block, HybridHeads | SharedBlock) else block
        for block in spec.mixers
        if not isinstance(block, Attention)
    ]
    assert isinstance(mixers[0], Mamba | Mamba2)
    return mixers[0], sum(saved.used for saved in saves(spec) if saved.name.endswith("scan.output"))


def router_differences(name: str, spec: ModelSpec, positions: int, *, wide: bool) -> Iterator[tuple[str, int]]:
    """What transformers' way of sorting tokens to experts keeps, in each layer that has them."""
    experts = next(block for block in spec.feed_forwards if isinstance(block, Experts))
    (layers,) = (saved.used for saved in saves(spec) if saved.name == "experts.input")
    order = layers * (3 * 8 * experts.top_k * positions + 4 * experts.experts)
    yield "the order of the tokens' copies, three times, and where each expert's begin", order
    yield "the weights are kept in bf16", -layers * 2 * experts.top_k * positions if wide else 0
    if name == "granitemoehybrid":
        fewer = layers * positions * 4 * (experts.experts - experts.top_k)
        yield "probabilities of those chosen alone", -fewer


def zamba_differences(
    record: dict[str, Any], mixer: Mamba, layers: int, d_model: int, number: int
) -> Iterator[tuple[str, int]]:
    """Heads of a state space, each multiplied by matrices of its own for every sequence."""
    batch, inner, rank = record["batch"], mixer.d_inner or 2 * d_model, mixer.dt_rank or 0
    if batch > 1:
        matrices = batch * inner * (2 * rank + 2 * mixer.d_state)
        yield (
            "the matrices of step sizes, inputs and outputs of the state, for each sequence",
            layers * matrices * number,
        )
        yield (
            "the convolution laid out by heads, beside the one by sequences",
            layers * batch * record["length"] * inner * number,
        )


# ----------------------------------------------------------------------------------------------------------------------
# What is published, and what devices divide
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mamba-130m", "mamba-2.8b"])
def test_a_layer_keeps_16_bytes_a_channel_as_the_paper_says(name: str) -> None:
    """Gu & Dao 2023, appendix D: "around 16 bytes of activations per token", for each channel of the stream.

    8 of what is projected in, 4 of the scan's output, 2 of the layer's input and 2 of its norm's; around, for the rest is small.
    """
    spec = tscale.load(name)
    wide = ("mamba.conv.input", "mamba.gate", "mamba.scan.output", "mamba.input", "norm.mamba.input")
    layers = [saved for saved in saves(spec) if saved.part in ("mixer", "attention", "norm")]
    s = 2048
    per_token = spec.layers * spec.d_model * s

    def each(of: list[Any]) -> float:
        return activation_bytes(of, SequenceLengths(target=s), Passes()).total / per_token

    assert each([saved for saved in layers if saved.name in wide]) == 16
    assert each(layers) == pytest.approx(16, abs=0.6)


@pytest.mark.parametrize("name", ["mamba-130m", "jamba", "mamba-codestral-7b", "zamba2-7b"])
def test_a_scan_has_every_position_on_each_device(name: str) -> None:
    """What is projected from all channels is whole there; channels, or groups of heads, are divided."""
    spec, run, passes = tscale.load(name), SequenceLengths(target=4096), Passes()
    for saved in saves(spec):
        if saved.part == "mixer" and not saved.name.endswith(".input") and "hybrid." not in saved.name:
            one = activation_bytes([saved], run, passes).total
            two = activation_bytes([saved], run, passes, Parallelism(tensor=2, sequence=True)).total
            assert two == (one if saved.name.endswith((".x", ".B", ".C")) else one // 2), saved.name


def test_norms_of_several_heads_are_refused() -> None:
    spec = one_layer(Mamba(kind="mamba", d_inner=32, heads=2, norms=True), 16)
    with pytest.raises(RequestError, match=r"what mamba with norms and several heads keeps"):
        saves(spec)
