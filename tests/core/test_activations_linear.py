"""What delta rules, lightning attention and short convolutions keep: as autograd keeps it with their kernels, every byte named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import tscale
from tests.helpers import of_each, one_layer, saves
from tests.importer.recorded import recorded
from tscale.blocks import (
    Attention,
    Experts,
    GatedDeltaNet,
    KimiDelta,
    LatentAttention,
    Lightning,
)
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.importer.reader import imported
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec

RECORDED = recorded("activations_linear.jsonl")

CENTRED = ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")
"""Families whose norms multiply by 1 and a gain."""
DELTAS = (*CENTRED, "olmo_hybrid")


def test_the_recording_holds_what_is_asked_of_it() -> None:
    """Two formats, two batches and lengths, and of each family and layer what its line in the recorder asks."""
    assert {record["dtype"] for record in RECORDED} == {"fp32", "bf16"}
    assert {(record["batch"], record["length"]) for record in RECORDED} == {(1, 16), (2, 150)}
    families = {record["config"]["model_type"] for record in RECORDED if "config" in record}
    assert families == {*DELTAS, "lfm2", "lfm2_moe", "minimax", "kimi_linear"}
    assert {record["layer"] for record in RECORDED if "layer" in record} == {"GatedDeltaNet", "KimiDeltaAttention"}


# ----------------------------------------------------------------------------------------------------------------------
# Whole models
# ----------------------------------------------------------------------------------------------------------------------


@of_each([record for record in RECORDED if "config" in record])
def test_a_whole_model_keeps_what_is_counted(record: dict[str, Any]) -> None:
    number = 2 if record["dtype"] == "bf16" else 4
    spec = imported(record["config"], name="recorded", where="recorded")
    # latent attention has values of another width than keys, for which a CPU has no fused kernel
    passes = Passes(record["batch"], "naive" if record["config"]["model_type"] == "kimi_linear" else "flash", number)
    counted = activation_bytes(saves(spec), run_of(spec, record["length"]), passes).total
    named = dict(model_differences(record, spec, number))
    assert record["bytes"] - counted == sum(named.values()), named


def model_differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """What transformers' own code keeps beside, or less, each with its reason."""
    name, length, positions = record["config"]["model_type"], record["length"], record["batch"] * record["length"]
    wide = record["dtype"] == "bf16"
    yield "the number that the loss is divided by", 4
    if record["batch"] == 1:
        yield "the words are a part of an array that is one longer, before they are shifted", 8
    attention = next(block for block in spec.mixers if isinstance(block, Attention | LatentAttention))
    if isinstance(attention, Attention):
        rotated = attention.widths(spec.d_model).head_dim // (4 if name in CENTRED else 1)
        own = record["batch"] if name.startswith("qwen3_5") else 1
        yield (
            "sines and cosines, once or for each sequence",
            2 * own * length * rotated * (4 if name == "olmo_hybrid" else number),
        )
    yield from norm_differences(name, positions, spec, number, wide=wide)
    yield from router_differences(name, positions, spec, wide=wide)
    if name in DELTAS:
        yield from delta_differences(record, spec, number)
    if name in CENTRED:
        assert isinstance(attention, Attention)
        width = positions * attention.heads * attention.widths(spec.d_model).head_dim * number
        yield "the kernel's output is laid out by heads, and copied for the gate", width
        if not wide:
            yield "the queries before their norm are a part of an array whose rest is the gate", width
    if name == "minimax":
        mixer = next(block for block in spec.mixers if isinstance(block, Lightning))
        each = layers_of(spec, Lightning) * positions * mixer.heads * mixer.head_dim
        yield "so does the norm behind lightning attention", each * (number + (2 if wide else 0))
    if isinstance(attention, LatentAttention):
        yield from kimi_differences(record, attention, spec, number)


def layers_of(spec: ModelSpec, kind: type[GatedDeltaNet | KimiDelta | Lightning | Experts]) -> int:
    """How many of the recorded layers have a block of this kind."""
    (layers,) = (saved.used for saved in saves(spec) if saved.name == f"{kind.label}.input")
    return layers


def norm_differences(
    name: str, positions: int, spec: ModelSpec, number: int, *, wide: bool
) -> Iterator[tuple[str, int]]:
    """Norms in steps: a copy of a bf16 input in fp32, and the normalised input, each kept."""
    d, norms = spec.d_model, 2 * spec.layers + 1
    normalised = number if name in ("lfm2", "lfm2_moe", "minimax", "kimi_linear") else 4
    each = normalised + (2 if wide else 0)
    yield "an rmsnorm in steps keeps its input in fp32 and the normalised input", norms * positions * d * each
    if name in CENTRED:
        yield "each gain, plus 1", norms * d * 4
    attention = next(block for block in spec.mixers if isinstance(block, Attention | LatentAttention))
    if isinstance(attention, Attention) and attention.qk_norm is not None:
        heads, kv_heads, head_dim = attention.widths(d)
        yield "so do the norms of queries and keys", positions * (heads + kv_heads) * head_dim * each
        if name in CENTRED:
            yield "their gains, plus 1", 2 * head_dim * 4


def delta_differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """What is made of a delta rule's weights, and a doubled beta."""
    layers = layers_of(spec, GatedDeltaNet)
    mixer = next(block for block in spec.mixers if isinstance(block, GatedDeltaNet))
    yield "the decays' exponentials, and these negated, in fp32", layers * 2 * 4 * mixer.value_heads
    if record["config"].get("linear_allow_neg_eigval"):
        positions = record["batch"] * record["length"]
        yield "the beta before it is doubled", layers * positions * mixer.value_heads * number


def kimi_differences(
    record: dict[str, Any], attention: LatentAttention, spec: ModelSpec, number: int
) -> Iterator[tuple[str, int]]:
    """Latent attention without positions, step by step; and the decays of Kimi's delta rule, made outside of its kernel."""
    wide, length, positions = record["dtype"] == "bf16", record["length"], record["batch"] * record["length"]
    yield "so does the norm of the latent", positions * attention.kv_rank * (number + (2 if wide else 0))
    if not wide:
        yield "the latent is a part of an array whose rest is a key", positions * attention.rope_dim * number
    else:
        yield "the probabilities in fp32 beside those in bf16", 4 * attention.heads * positions * length
    if record["batch"] == 1:
        inner = positions * attention.heads * attention.nope_dim * number
        yield "values are a part of an array whose rest is their keys; a larger batch copies them", inner
    mixer = next(block for block in spec.mixers if isinstance(block, KimiDelta))
    layers, width = layers_of(spec, KimiDelta), mixer.heads * mixer.head_dim
    yield (
        "decays in steps: an exponential, this plus 1, its logarithm, the decays and their sums, all in fp32, and a choice",
        layers * positions * width * (5 * 4 + 1 - number),
    )
    yield "the exponentials of the heads' decays, and these negated, in fp32", layers * 2 * 4 * mixer.heads
    yield "one beta, in the activations' format", -layers * positions * 4 * mixer.heads


def router_differences(name: str, positions: int, spec: ModelSpec, *, wide: bool) -> Iterator[tuple[str, int]]:
    """What transformers' way of sorting tokens to experts keeps, in each layer that has them."""
    experts = next((block for block in spec.feed_forwards if isinstance(block, Experts)), None)
    if experts is None:
        return
    k, count, layers = experts.top_k, experts.experts, layers_of(spec, Experts)
    yield (
        "the order of the tokens' copies, three times, and where each expert's begin",
        layers * (3 * 8 * k * positions + 4 * count),
    )
    yield (
        "the chosen probabilities and their sum, from before they were made to add up to 1",
        layers * positions * 4 * (k + 1),
    )
    if name in CENTRED and wide:
        yield "the weights are kept in bf16", -layers * positions * 2 * k
    if name == "lfm2_moe" and wide:
        yield "its router stays in the activations' format", -layers * positions * 2 * (count + k + k + 1)
    if name == "kimi_linear":
        yield (
            "the choice of groups: a group's number, its two best experts, and which experts remain",
            layers * positions * (8 + 2 * 8 + count),
        )
        yield (
            "the router's input and its matrix in fp32",
            layers * 4 * spec.d_model * (positions + count) if wide else 0,
        )


# ----------------------------------------------------------------------------------------------------------------------
# The kernels' own layers
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", [record for record in RECORDED if "layer" in record])
def test_a_layer_of_the_kernels_library_keeps_what_is_counted(record: dict[str, Any]) -> None:
    shape, number = record["shape"], 2 if record["dtype"] == "bf16" else 4
    passes, positions = Passes(record["batch"], "flash", number), record["batch"] * record["length"]
    block: GatedDeltaNet | KimiDelta
    if record["layer"] == "KimiDeltaAttention":
        block = KimiDelta(
            kind="kimi-delta", heads=shape["num_heads"], head_dim=shape["head_dim"], gate_rank=shape["head_dim"]
        )
    else:
        block = GatedDeltaNet(
            kind="gated-delta-net",
            key_heads=shape["num_heads"],
            value_heads=shape["num_v_heads"],
            key_dim=shape["head_dim"],
            value_dim=shape["expand_v"] * shape["head_dim"],
        )
    kept = [saved for saved in saves(one_layer(block, shape["hidden_size"])) if saved.name.startswith("delta_net.")]
    counted = activation_bytes(kept, SequenceLengths(target=record["length"]), passes).total
    named = dict(layer_differences(block, positions, number))
    assert record["bytes"] - counted == sum(named.values()), named


def layer_differences(block: GatedDeltaNet | KimiDelta, positions: int, number: int) -> Iterator[tuple[str, int]]:
    """A kernel that makes decays and betas itself, where Qwen3-Next makes them in steps."""
    if isinstance(block, GatedDeltaNet):
        heads, channels = block.value_heads, 2 * block.key_heads * block.key_dim + block.value_heads * block.value_dim
        yield "the decay's input alone, in the activations' format", positions * heads * (number - 2 * 4)
        yield "the beta in fp32, beside its input", positions * heads * 4
        yield "the weights of three convolutions, side by side", channels * block.d_conv * number


@pytest.mark.parametrize("record", [record for record in RECORDED if "kernel" in record])
def test_a_delta_rule_keeps_a_row_of_its_chunk_for_each_position(record: dict[str, Any]) -> None:
    """The kernel alone; it makes no copy of values, nor of a beta, and Kimi's is given its decays as they are."""
    number, positions = 2 if record["dtype"] == "bf16" else 4, record["batch"] * record["length"]
    block: GatedDeltaNet | KimiDelta
    if record["kernel"] == "chunk_kda":
        block = KimiDelta(kind="kimi-delta", heads=4, head_dim=16, chunk=record["chunk"])
        names, more = (
            "q. k. v decay scores solved",
            {
                "decays and their sums, in fp32": positions * 4 * 16 * (2 * 4 - number),
                "betas": positions * 4 * number,
            },
        )
    else:
        block = GatedDeltaNet(
            kind="gated-delta-net", key_heads=2, value_heads=4, key_dim=16, value_dim=24, chunk=record["chunk"]
        )
        names, more = "q. k. v beta decay.sums solved", {}
    starts = tuple(f"delta_net.{name}" for name in names.split())
    kept = [saved for saved in saves(one_layer(block, 64)) if saved.name in starts or saved.name.startswith(starts[:2])]
    counted = activation_bytes(
        kept, SequenceLengths(target=record["length"]), Passes(record["batch"], "flash", number)
    ).total
    assert record["bytes"] - counted == sum(more.values()), more


# ----------------------------------------------------------------------------------------------------------------------
# Any model
# ----------------------------------------------------------------------------------------------------------------------


def test_a_recurrence_is_kept_alike_however_scores_are() -> None:
    """The delta rule has no scores; whole layers computed again keep their input alone."""
    kept = [saved for saved in saves(tscale.load("qwen3-next-80b-a3b")) if saved.name.startswith("delta_net.")]
    totals = {
        how: activation_bytes(kept, SequenceLengths(target=1000), Passes(keeping=how)).total
        for how in ("naive", "selective", "flash", "full")
    }
    assert totals["naive"] == totals["selective"] == totals["flash"] > totals["full"] == 0


@pytest.mark.parametrize("devices", [2, 4, 16])
def test_tensor_parallelism_divides_heads(devices: int) -> None:
    """What it does not divide, sequence parallelism does: nothing of a delta rule is left whole."""
    kept, run = saves(tscale.load("qwen3-next-80b-a3b")), SequenceLengths(target=1024)
    mixer = [saved for saved in kept if saved.name.startswith("delta_net.")]
    plan = Parallelism(tensor=devices, sequence=True)
    whole = activation_bytes(mixer, run, Passes()).total
    assert activation_bytes(mixer, run, Passes(), plan).total * devices == whole


def test_heads_that_the_lightning_kernel_does_not_take_are_refused() -> None:
    block = Lightning(kind="lightning", heads=4, head_dim=48)
    with pytest.raises(RequestError, match="lightning with heads of a width other than 32, 64, 128 keeps"):
        saves(one_layer(block, 64))


@pytest.mark.parametrize(
    ("block", "chunks"),
    [
        (
            GatedDeltaNet(kind="gated-delta-net", key_heads=2, value_heads=4, key_dim=8, value_dim=8, chunk=128),
            "16, 32, 64",
        ),
        (KimiDelta(kind="kimi-delta", heads=4, head_dim=8, chunk=16), "32, 64"),
    ],
)
def test_chunks_that_a_kernel_does_not_take_are_refused(block: GatedDeltaNet | KimiDelta, chunks: str) -> None:
    with pytest.raises(RequestError, match=f"delta_net in chunks of other than {chunks} positions keeps"):
        saves(one_layer(block, 64))
