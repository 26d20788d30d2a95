"""What a forward pass keeps: as PyTorch's autograd keeps it, every byte of difference named, and as Korthikanti 2022 says."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

import tscale
from tests.helpers import UNRECORDED, of_each, saves, trainable
from tests.importer.recorded import recorded
from tscale.blocks import Attention, Computed, Experts, FeedForward, LatentAttention, Norm
from tscale.blocks.fields import LayerContext
from tscale.core.costs.activations import (
    Kernels,
    Passes,
    activation_bytes,
    keeping,
    korthikanti_layer_bytes,
)
from tscale.core.ledger import Saved
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.importer.reader import imported
from tscale.models.lower import run_of
from tscale.models.naming import traced
from tscale.models.spec import Head, ModelSpec

RECORDED = recorded("activations.jsonl")
KERNELS: tuple[Kernels, Kernels] = ("fused", "eager")


def test_the_recording_holds_what_is_asked_of_it() -> None:
    """Blocks and models, two formats, two batches and lengths, attention step by step and fused."""
    assert sum("block" in record for record in RECORDED) == 52
    assert sum("config" in record for record in RECORDED) == 196
    assert {record["dtype"] for record in RECORDED} == {"fp32", "bf16"}
    assert {(record["batch"], record["length"]) for record in RECORDED} == {(1, 16), (2, 48)}


# ----------------------------------------------------------------------------------------------------------------------
# Plain blocks
# ----------------------------------------------------------------------------------------------------------------------


@of_each([record for record in RECORDED if "block" in record])
def test_a_plain_block_keeps_what_is_counted(record: dict[str, Any]) -> None:
    shape, number = record["block"], 2 if record["dtype"] == "bf16" else 4
    spec = ModelSpec(
        name="block",
        layers=1,
        d_model=shape["d_model"],
        vocabulary=1,
        attention=Attention(
            heads=shape["heads"], kv_heads=shape["kv_heads"], gated=shape["out_gate"], out_norm=shape["out_norm"]
        ),
        feed_forward=FeedForward(d_ff=shape["d_ff"], gated=shape["gated"], inner_norm=shape["inner_norm"]),
        positions=Computed(kind="none"),
        norm=Norm(kind=shape["norm"]),
        head=Head(kind="none"),
    )
    passes = Passes(record["batch"], shape["attention"], number, shape["dropout"] > 0)
    block = [saved for saved in saves(spec) if saved.part not in ("embedding", "head")]
    counted = activation_bytes(block, SequenceLengths(target=record["length"]), passes).total
    assert record["bytes"] - counted == sum(block_differences(record, number).values())


@pytest.mark.parametrize("record", recorded("activations_gates.jsonl"))
def test_a_gate_in_one_kernel_keeps_three_arrays(record: dict[str, Any]) -> None:
    """Both of its inputs and the product; its activation is made again. Two kernels keep that as well."""
    site = LayerContext("ff", record["d_model"], 1, "target", "target", causal=True)
    block = [*FeedForward(d_ff=record["d_ff"], gated=True).saves(site)]
    number, run = 2 if record["dtype"] == "bf16" else 4, SequenceLengths(target=record["length"])
    fused, eager = (
        activation_bytes(block, run, Passes(record["batch"], activation_bytes=number, kernels=kernels)).total
        for kernels in KERNELS
    )
    one_array = record["batch"] * record["length"] * record["d_ff"] * number
    assert (
        record["bytes"] - fused == record["batch"] * record["length"] * record["d_model"] * number
    )  # the block's input
    assert eager - fused == one_array


def block_differences(record: dict[str, Any], number: int) -> dict[str, int]:
    """What torch on a CPU keeps beside, or less, for want of the fused kernels that a GPU has."""
    shape, positions = record["block"], record["batch"] * record["length"]
    d = shape["d_model"]
    normed = 2 * d if shape["norm"] == "rmsnorm" else 0
    normed += d * shape["out_norm"] + shape["d_ff"] * shape["inner_norm"]
    masks = 2 * d * positions + shape["heads"] * positions * record["length"]
    return {
        "the statistics of a layernorm are kept in the activations' format, not in fp32": (number - 4) * 4 * positions
        if shape["norm"] == "layernorm"
        else 0,
        "an rmsnorm in steps keeps its input and the normalised input, both in fp32": positions * normed * (8 - number),
        "the fused kernel keeps its output beside the copy in fp32 that the norm behind it keeps": positions
        * d
        * number
        if shape["out_norm"] and shape["attention"] == "flash" and number == 2
        else 0,
        "a dropout mask is kept in the activations' format, not in bytes": (number - 1) * masks
        if shape["dropout"]
        else 0,
    }


# ----------------------------------------------------------------------------------------------------------------------
# Whole models
# ----------------------------------------------------------------------------------------------------------------------


@of_each([record for record in RECORDED if "config" in record])
def test_a_whole_model_keeps_what_is_counted(record: dict[str, Any]) -> None:
    config, number = record["config"], 2 if record["dtype"] == "bf16" else 4
    spec = imported(config, name="recorded", where="recorded")
    dropout = config.get("attn_pdrop", 0.0) > 0
    passes = Passes(record["batch"], "naive" if record["attention"] == "eager" else "flash", number, dropout)
    counted = activation_bytes(saves(spec), run_of(spec, record["length"]), passes).total
    named = dict(model_differences(record, spec, number))
    assert record["bytes"] - counted == sum(named.values()), named


def model_differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """What transformers' own code keeps beside, or less, each with its reason."""
    config, length = record["config"], record["length"]
    name, wide, positions = config["model_type"], record["dtype"] == "bf16", record["batch"] * length
    d, layers = spec.d_model, spec.layers
    (mixer,) = spec.mixers
    assert isinstance(mixer, Attention | LatentAttention)
    if name == "t5":
        yield from t5_differences(positions, length, spec, number, wide=wide)
        return
    if name in ("gpt_neox", "phi"):
        yield from side_by_side_differences(record, positions, spec, number)
        return
    if spec.head.classes is not None:
        yield "a second loss, with whole numbers of 8 bytes that tell what is next", number + 8 * record["batch"]
        yield "its logarithms stay in the activations' format", (number - 4) * record["batch"] * spec.head.classes
    yield "the number that the loss is divided by", number if name == "bert" else 4
    if name != "bert" and record["batch"] == 1:
        yield "the words are a part of an array that is one longer, before they are shifted", 8
    if name in ("gpt2", "bert"):
        yield "the positions' or segments' numbers, one sequence of them", 8 * length
        norms = 2 * layers + (2 if name == "bert" else 1)
        yield "the statistics of layernorms in the activations' format", (number - 4) * 2 * positions * norms
        yield from plain_differences(config, positions, length, number, spec)
    else:
        rotated = mixer.rope_dim if isinstance(mixer, LatentAttention) else mixer.widths(d).head_dim
        yield (
            "sines and cosines, kept once",
            (2 * length * rotated * (4 if name == "olmo2" else number) // (2 if name == "gpt_oss" else 1)),
        )
        yield from norm_differences(name, wide, positions, spec, number)
        if record["attention"] == "eager" and wide and name != "gpt_oss":
            pairs = layers * mixer.heads * positions * length
            yield "the probabilities in fp32 beside those in bf16", 4 * pairs
    if isinstance(mixer, LatentAttention) and record["batch"] == 1:
        inner = layers * positions * mixer.heads * mixer.nope_dim
        yield "values are a part of an array whose rest is their keys; a larger batch copies them", inner * number
    yield from router_differences(name, positions, spec, number, wide=wide)


def t5_differences(
    positions: int, length: int, spec: ModelSpec, number: int, *, wide: bool
) -> Iterator[tuple[str, int]]:
    """T5's norms in steps, its ReLU, and the distances that its bias is looked up by."""
    d, (feed_forward,) = spec.d_model, spec.feed_forwards
    assert isinstance(feed_forward, FeedForward)
    encoder, decoder = spec.encoder_layers(), spec.layers
    norms = 2 * encoder + 1 + 3 * decoder + 1
    yield "the number that the loss is divided by", number
    yield (
        "an rmsnorm in steps keeps its normalised input, and in bf16 a copy in fp32",
        (norms * positions * d * (number + (4 if wide else 0))),
    )
    yield "a ReLU needs its output alone", -(encoder + decoder) * positions * feed_forward.d_ff * number
    yield "the distances of one sequence, for each stack", 2 * 8 * length**2
    yield (
        "the logarithms of the probabilities stay in the activations' format",
        ((number - 4) * positions * spec.vocabulary),
    )


def side_by_side_differences(
    record: dict[str, Any], positions: int, spec: ModelSpec, number: int
) -> Iterator[tuple[str, int]]:
    """GPT-NeoX and Phi: sub-layers side by side, and heads of which a part is rotated."""
    name, length, wide = record["config"]["model_type"], record["length"], record["dtype"] == "bf16"
    fused, own = record["attention"] == "sdpa", name == "gpt_neox"
    (mixer,) = spec.mixers
    assert isinstance(mixer, Attention)
    width = spec.layers * positions * spec.d_model * number
    yield "the number that the loss is divided by", 4
    if record["batch"] == 1:
        yield "the words are a part of an array that is one longer, before they are shifted", 8
    rotated = mixer.widths(spec.d_model).head_dim // (4 if own else 2)
    yield "sines and cosines of a part of a head, kept once", 2 * length * rotated * number
    norms = (2 if own else 1) * spec.layers + 1
    yield "the statistics of layernorms in the activations' format", (number - 4) * 2 * positions * norms
    if wide and not fused:
        yield "the probabilities in fp32 beside those in bf16", 4 * spec.layers * mixer.heads * positions * length
    if fused:
        yield "the kernel's output is laid out by heads, and copied for the projection", width
    if own:
        yield "both norms read one array, which tscale takes for two", -width
        if fused or record["batch"] == 1:
            yield "values are a part of an array with queries and keys", 2 * width


def plain_differences(
    config: dict[str, Any], positions: int, length: int, number: int, spec: ModelSpec
) -> Iterator[tuple[str, int]]:
    """GPT-2's activations and dropout; BERT's loss."""
    if config["model_type"] == "bert":
        yield (
            "the logarithms of the probabilities stay in the activations' format",
            ((number - 4) * positions * spec.vocabulary),
        )
        return
    inner = spec.layers * positions * 4 * spec.d_model
    yield (
        "the activation: its tanh form in four steps, or a ReLU that needs its output alone",
        (number * inner * {"gelu_new": 3, "gelu": 0, "relu": -1}[config.get("activation_function", "gelu_new")]),
    )
    if config["attn_pdrop"]:
        masks = (2 * spec.layers + 1) * positions * spec.d_model
        probabilities = spec.layers * config["n_head"] * positions * length
        yield "dropout masks in the activations' format, not in bytes", (number - 1) * (masks + probabilities)


def norm_differences(name: str, wide: bool, positions: int, spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """Norms in steps: an fp32 copy of a bf16 input, and the normalised input, each kept."""
    d, layers = spec.d_model, spec.layers
    (mixer,) = spec.mixers
    assert isinstance(mixer, Attention | LatentAttention)
    if name == "cohere":
        norms = layers + 1
        yield (
            "a layernorm in steps keeps three fp32 arrays and one statistic",
            norms * positions * (3 * 4 * d - number * d - 4),
        )
        yield "a layernorm's gain in fp32", norms * 4 * d if wide else 0
        return
    normalised = 4 if name in ("olmo2", "gpt_oss") else number
    each = normalised + (2 if wide else 0)
    if name == "gemma2":
        yield from gemma2_differences(positions, spec, number, wide=wide)
        return
    yield (
        "an rmsnorm in steps keeps its input in fp32 and the normalised input",
        ((2 * layers + 1) * positions * d * each),
    )
    if isinstance(mixer, LatentAttention):
        ranks = (mixer.q_rank or 0) + mixer.kv_rank
        yield "so do the norms of latents", layers * positions * ranks * each
        if not wide:
            yield (
                "the latent is a part of an array whose rest is the rotary key",
                (layers * positions * mixer.rope_dim * number),
            )
    elif mixer.qk_norm is not None:
        heads, kv_heads, head_dim = mixer.widths(d)
        yield "so do the norms of queries and keys", layers * positions * (heads + kv_heads) * head_dim * each


def gemma2_differences(positions: int, spec: ModelSpec, number: int, *, wide: bool) -> Iterator[tuple[str, int]]:
    """Four norms a layer in steps, their gains, and logits that are clipped."""
    norms, length = 4 * spec.layers + 1, 16 if positions == 16 else 48
    yield (
        "an rmsnorm in steps keeps its input and the normalised input in fp32",
        (norms * positions * spec.d_model * (6 if wide else 4)),
    )
    yield "each gain, plus 1", norms * spec.d_model * 4
    yield (
        "the scores before they are clipped, as a tangent",
        (spec.layers * mixer_heads(spec) * positions * length * number),
    )
    yield "the logits before they are clipped", positions * spec.vocabulary * number


def mixer_heads(spec: ModelSpec) -> int:
    (mixer,) = spec.mixers
    assert isinstance(mixer, Attention)
    return mixer.heads


def router_differences(
    name: str, positions: int, spec: ModelSpec, number: int, *, wide: bool
) -> Iterator[tuple[str, int]]:
    """What transformers' way of sorting tokens to experts keeps, in each layer that has them."""
    experts = next((block for block in spec.feed_forwards if isinstance(block, Experts)), None)
    if experts is None:
        return
    k, count = experts.top_k, experts.experts
    layers = spec.layers - 1 if name == "deepseek_v3" else spec.layers
    yield (
        "the order of the tokens' copies, three times, and where each expert's begin",
        (layers * (3 * 8 * k * positions + 4 * count)),
    )
    if name == "gpt_oss":
        yield "an activation that is clipped and scaled in steps", 3 * layers * positions * k * experts.d_ff * number
        yield "a fourth order, of the biases", layers * 8 * k * positions
        yield "the greatest logit of every query, which is taken off", layers * positions * 8 * mixer_heads(spec)
        yield (
            "the weights before and after they are dealt, and no probabilities of those not chosen",
            (layers * positions * (2 * number * k - 4 * count - 4 * k)),
        )
    elif name != "qwen2_moe":
        yield (
            "the chosen probabilities and their sum, from before they were made to add up to 1",
            (layers * positions * 4 * (k + 1)),
        )
    if name in ("qwen2_moe", "qwen3_moe") and wide:
        yield "the weights are kept in bf16", -layers * positions * 2 * k
    if name == "deepseek_v3":
        yield (
            "the choice of groups: a group's number, its two best experts, and which experts remain",
            (layers * positions * (8 + 2 * 8 + count)),
        )
        yield (
            "the router's input and its matrix in fp32",
            (layers * 4 * spec.d_model * (positions + count) if wide else 0),
        )


# ----------------------------------------------------------------------------------------------------------------------
# Korthikanti 2022
# ----------------------------------------------------------------------------------------------------------------------

TABLE_3 = {
    "22B": (64, 6144, 48, 4),
    "175B": (96, 12288, 96, 1),
    "530B": (128, 20480, 105, 1),
    "1T": (160, 25600, 128, 1),
}
"""Heads, width, layers and micro-batch of the paper's models (Table 3)."""


def layer(model: str, plan: Parallelism, how: str) -> Fraction:
    """Bytes of one layer as the paper counts them: by the spec, the statistics of norms left out ("we ignore small
    buffers", section 4.1)."""
    _, _, layers, batch = TABLE_3[model]
    spec = paper_model(model)
    inside = [
        saved
        for saved in saves(spec)
        if saved.part not in ("embedding", "head") and not saved.name.endswith(("statistics", "logsumexp"))
    ]
    passes = Passes(batch, how, 2, dropout=True)  # type: ignore[arg-type]
    return Fraction(activation_bytes(inside, SequenceLengths(target=2048), passes, plan).total, layers)


def paper_model(model: str) -> ModelSpec:
    heads, width, layers, _ = TABLE_3[model]
    changes = [f"layers={layers}", f"d_model={width}", f"attention.heads={heads}", f"feed_forward.d_ff={4 * width}"]
    return tscale.load("gpt3", [*changes, "vocabulary=51200"])


@pytest.mark.parametrize("model", TABLE_3)
def test_equations_1_to_6_of_korthikanti(model: str) -> None:
    """Each with the paper's numbers, as a reader would write them; t = 8."""
    a, h, _, b = TABLE_3[model]
    s, t = 2048, 8
    one, tensor, sequence = Parallelism(), Parallelism(tensor=t), Parallelism(tensor=t, sequence=True)
    sbh, scores = s * b * h, Fraction(5 * a * s, h)
    assert layer(model, one, "naive") == sbh * (34 + scores)  # equation 1
    assert layer(model, tensor, "naive") == sbh * (10 + Fraction(24, t) + scores / t)  # equation 2
    assert layer(model, sequence, "naive") == Fraction(sbh, t) * (34 + scores)  # equations 3 and 4
    assert layer(model, tensor, "selective") == sbh * (10 + Fraction(24, t))  # section 5
    assert layer(model, sequence, "selective") == Fraction(34 * sbh, t)  # equation 6, a layer
    assert layer(model, tensor, "full") == 2 * sbh  # Table 2
    assert layer(model, one, "flash") == 34 * sbh  # a fused kernel drops the same term


@pytest.mark.parametrize("model", TABLE_3)
@pytest.mark.parametrize("how", ["naive", "selective", "full"])
@pytest.mark.parametrize("sequence", [False, True])
def test_the_shortcut_is_the_count(model: str, how: str, sequence: bool) -> None:
    """Megatron keeps a layer's input whole where sequence parallelism would divide it."""
    a, h, _, b = TABLE_3[model]
    plan = Parallelism(tensor=8, sequence=sequence and how != "full")
    passes = Passes(b, how)  # type: ignore[arg-type]
    assert korthikanti_layer_bytes(2048, b, h, a, 8, passes, sequence=sequence) == layer(model, plan, how)


def test_what_stands_outside_of_the_layers() -> None:
    """Section 4.3: the embedding's mask s·b·h, and 4·s·b·h·(1 + v/h) of final norm, head and logits, over t."""
    s, b, h, v, t = 2048, 4, 6144, 51_200, 8
    outside = [
        saved
        for saved in saves(paper_model("22B"))
        if saved.part in ("embedding", "head") and saved.number != "index" and not saved.name.endswith("statistics")
    ]
    plan = Parallelism(tensor=t, sequence=True)
    total = activation_bytes(outside, SequenceLengths(target=s), Passes(b, "selective", 2, dropout=True), plan).total
    assert total == s * b * h // t + 4 * s * b * h // t + 4 * s * b * v // t


# ----------------------------------------------------------------------------------------------------------------------
# Any model
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(UNRECORDED))
def test_what_nobody_recorded_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="keeps for the backward pass"):
        saves(tscale.load(name))


@of_each(trainable())
def test_every_model_answers(name: str) -> None:
    kept = saves(tscale.load(name))
    run = SequenceLengths(target=128, source=128)
    totals = [activation_bytes(kept, run, Passes(keeping=how)).total for how in ("naive", "selective", "full")]
    assert totals[0] >= totals[1] > totals[2] > 0


def test_what_a_chunk_keeps_is_kept_for_the_last_one_too() -> None:
    kept = [Saved("states", "mixer", "target", 3, used=5, chunk=64)]
    for length, chunks in ((1, 1), (64, 1), (65, 2), (128, 2)):
        assert activation_bytes(kept, SequenceLengths(target=length), Passes()).total == 5 * chunks * 3 * 2


@pytest.mark.parametrize("name", ["gpt3", "llama31-8b", "deepseek-v3", "mixtral-8x7b", "t5-11b", "gemma2-9b"])
def test_one_device_and_names_change_nothing(name: str) -> None:
    spec = tscale.load(name)
    for how in ("naive", "selective", "flash", "full"):
        passes = Passes(3, how, 2, dropout=True)
        run = run_of(spec, 1000)
        plain = activation_bytes(saves(spec), run, passes).total
        assert activation_bytes(saves(spec), run, passes, Parallelism()).total == plain
        assert activation_bytes(saves(traced(spec)), run, passes).total == plain


def test_context_parallelism_divides_the_queries() -> None:
    """Ring attention (Liu 2023): each device has its queries and meets every key."""
    kept, run = saves(tscale.load("llama31-8b")), SequenceLengths(target=8192)
    for how in ("naive", "flash"):
        whole = activation_bytes(kept, run, Passes(keeping=how)).total
        assert activation_bytes(kept, run, Passes(keeping=how), Parallelism(context=8)).total * 8 == whole


def test_how_layers_are_kept() -> None:
    assert keeping("naive", "none") == "naive"
    assert keeping("naive", "selective") == "selective"
    assert keeping("flash", "none") == keeping("flash", "selective") == "flash"
    assert keeping("naive", "full") == keeping("flash", "full") == "full"
