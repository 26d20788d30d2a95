"""What the options of blocks keep: heads in pairs, narrow values, gates of heads, borrowed keys, latent experts and more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers import of_each, one_layer, saves, saves_of_stages
from tests.importer.recorded import recorded
from tscale.blocks import Attention, Experts, LatentAttention
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.ledger import Saved
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.core.tracing import TracedInt
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.importer.reader import imported
from tscale.models.lower import lower, run_of
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec

RECORDED = recorded("activations_rest.jsonl")
MODELS = [record for record in RECORDED if "config" in record]
PAIRS = [record for record in RECORDED if "pairs" in record]


def test_the_recording_holds_what_is_asked_of_it() -> None:
    """Seven families and the authors' layers of heads in pairs, two formats, two batches and lengths."""
    assert {record["config"]["model_type"] for record in MODELS} == {
        "mimo_v2_flash", "laguna", "diffllama", "apertus", "axk1", "nemotron_h", "gemma4_text",
    }  # fmt: skip
    assert (len(MODELS), len(PAIRS)) == (116, 24)
    assert {record["dtype"] for record in RECORDED} == {"fp32", "bf16"}
    assert {(record["batch"], record["length"]) for record in RECORDED} == {(1, 16), (2, 48)}


def counted(record: dict[str, Any], spec: ModelSpec, kept: list[Saved]) -> int:
    attention = record["attention"] if "attention" in record else record["pairs"]["attention"]
    number = 2 if record["dtype"] == "bf16" else 4
    how: Any = "flash" if attention in ("sdpa", "flash") else "naive"
    return int(activation_bytes(kept, run_of(spec, record["length"]), Passes(record["batch"], how, number)).total)


@pytest.mark.parametrize("record", PAIRS)
def test_heads_in_pairs_keep_what_their_authors_layers_keep(record: dict[str, Any]) -> None:
    shape, number, positions = (
        record["pairs"],
        2 if record["dtype"] == "bf16" else 4,
        record["batch"] * record["length"],
    )
    d, heads = shape["d_model"], shape["heads"]
    block = Attention(heads=heads, kv_heads=shape["kv_heads"], differential=True)
    spec = one_layer(block, d)
    kept = [
        saved for saved in saves(spec) if saved.name.startswith("attention.") and not saved.name.endswith("dropout")
    ]
    wide = number == 2
    naive = shape["attention"] == "naive"
    named = {
        "two factors of lambda in fp32, and lambda": 2 * 4 + number,
        "the scores, before what is no number is made one": heads * positions * record["length"] * number
        if naive
        else 0,
        "a single pair of values of one sequence is spread over all without copies": -(heads - 2)
        * (d // heads)
        * positions
        * number
        if naive and shape["kv_heads"] == 2 and record["batch"] == 1
        else 0,
        "the probabilities in fp32 beside those in bf16": 4 * heads * positions * record["length"]
        if naive and wide
        else 0,
    }
    assert record["bytes"] - counted(record, spec, kept) == sum(named.values()), named


@of_each(MODELS)
def test_a_whole_model_keeps_what_is_counted(record: dict[str, Any]) -> None:
    spec, number = imported(record["config"], name="recorded", where="recorded"), 2 if record["dtype"] == "bf16" else 4
    named = list(differences(record, spec, number))
    assert record["bytes"] - counted(record, spec, list(saves(spec))) == sum(size for _, size in named), named


def blocks(spec: ModelSpec) -> tuple[list[tuple[Any, int]], list[tuple[Any, int]]]:
    """Mixers and feed-forwards, each with how many layers it stands in."""
    groups = lower(spec).groups

    def layers(sub_layer: str, number: int) -> int:
        found = (group for group in groups if group.entries and group.entries[0].block.sub_layer == sub_layer)
        return max(group.layers for group in found if group.entries[0].block.number == number)

    return tuple(  # type: ignore[return-value]
        [(block, layers(sub_layer, number)) for number, block in enumerate(every)]
        for sub_layer, every in (("mixer", spec.mixers), ("feed-forward", spec.feed_forwards))
    )


def differences(record: dict[str, Any], spec: ModelSpec, number: int) -> Iterator[tuple[str, int]]:
    """What transformers' own code keeps beside, or less, each with its reason."""
    positions, wide = record["batch"] * record["length"], number == 2
    name, (mixers, _) = record["config"]["model_type"], blocks(spec)
    yield "the number that the loss is divided by", 4
    if record["batch"] == 1:
        yield "the words are a part of an array that is one longer, before they are shifted", 8
    rotated = {
        "mimo_v2_flash": (8, 8), "laguna": (16, 8), "apertus": (16,), "axk1": (8,), "nemotron_h": (), "gemma4_text": (16, 32),
        "diffllama": (64 // record["config"]["num_attention_heads"],),
    }[name]  # fmt: skip
    yield "sines and cosines, kept once for each kind of layer", 2 * record["length"] * sum(rotated) * number
    if record["attention"] == "eager" and wide and name != "mimo_v2_flash":
        heads = sum(mixer.heads * layers for mixer, layers in mixers) * (2 if name == "diffllama" else 1)
        yield "the probabilities in fp32 beside those in bf16", 4 * heads * positions * record["length"]
    yield from {"gemma4_text": gemma4_norms}.get(name, norms)(spec, positions, number)
    if name in ("mimo_v2_flash", "laguna", "axk1", "nemotron_h"):
        yield from routers(name, spec, positions, number)
    own = {
        "mimo_v2_flash": mimo, "laguna": laguna, "diffllama": diffllama, "apertus": apertus, "axk1": axk1,
        "gemma4_text": gemma4,
    }  # fmt: skip
    if name in own:
        yield from own[name](record, spec, positions, number)


def norms(spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    """Norms in steps: an fp32 copy of a bf16 input, and the normalised input in the activations' format, or in fp32."""
    (mixers, feed_forwards), wide = blocks(spec), number == 2
    alone = spec.positions.kind == "none"
    sub_layers = sum(layers for _, layers in mixers + feed_forwards)
    width = (sub_layers + 1) * spec.d_model
    for mixer, layers in mixers:
        if isinstance(mixer, LatentAttention):
            width += layers * ((mixer.q_rank or 0) + mixer.kv_rank)
        elif mixer.qk_norm is not None:
            _, kv_heads, head_dim = mixer.widths(spec.d_model)
            width += layers * (mixer.heads + kv_heads) * head_dim
    width += sum(
        layers * spec.d_model for block, layers in feed_forwards if isinstance(block, Experts) and block.out_norm
    )
    each = (4 if alone else number) + (2 if wide else 0)
    yield "an rmsnorm in steps keeps its input in fp32 and the normalised input", positions * width * each
    if alone and wide:
        yield "its gain in fp32", 4 * width


def routers(name: str, spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    """What transformers' way of sorting tokens to experts keeps, in each layer that has them."""
    wide = number == 2
    ((experts, layers),) = [pair for pair in blocks(spec)[1] if isinstance(pair[0], Experts)]
    k, count = experts.top_k, experts.experts
    yield (
        "the order of the tokens' copies, three times, and where each expert's begin",
        layers * (3 * 8 * k * positions + 4 * count),
    )
    yield "the chosen probabilities and their sum, from before they add up to 1", layers * positions * 4 * (k + 1)
    if name == "laguna":
        yield "the weights are kept in bf16", -layers * positions * 2 * k if wide else 0
        return
    yield (
        "the choice of groups: a group's number, its two best experts, and which experts remain",
        layers * positions * (8 + 2 * 8 + count),
    )
    if wide:
        yield "the router's input and its matrix in fp32", layers * 4 * spec.d_model * (positions + count)
    if wide and experts.shared_d_ff is None:
        yield (
            "in place of an input in bf16, which shared experts would multiply",
            -layers * 2 * spec.d_model * positions,
        )


def mimo(record: dict[str, Any], spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    heads = sum(mixer.heads * layers for mixer, layers in blocks(spec)[0])
    yield "which logit of every query is the greatest, which is taken off", 8 * heads * positions


def laguna(record: dict[str, Any], spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    """Gates for each channel come of a softplus as well; and a CPU's fused kernel makes copies."""
    for mixer, layers in blocks(spec)[0]:
        assert isinstance(mixer, Attention)
        heads, _, head_dim = mixer.widths(spec.d_model)
        if mixer.gated:
            yield (
                f"the softplus of {heads} heads' gates keeps its input in fp32",
                layers * 4 * positions * heads * head_dim,
            )
        if record["attention"] == "sdpa":
            yield (
                f"the output of {heads} heads is laid out by heads, as partly rotated queries are, and copied for the gate",
                layers * positions * heads * head_dim * number,
            )
    yield from masked(record, spec, positions, number)


def masked(record: dict[str, Any], spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    """A CPU's fused kernel is given a mask where a layer slides, and then copies of grouped keys and values."""
    for mixer, layers in blocks(spec)[0] if record["attention"] == "sdpa" else ():
        assert isinstance(mixer, Attention)
        if mixer.window is not None:
            heads, kv_heads, head_dim = mixer.widths(spec.d_model)
            own = 0 if mixer.borrows_keys else kv_heads
            yield "a mask in the activations' format", layers * positions * record["length"] * number
            yield "grouped keys and values for every head", layers * 2 * (heads - own) * head_dim * positions * number


def diffllama(record: dict[str, Any], spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    """Two calls with all heads and half of the values each, where the authors' form has a call for each half of the heads."""
    ((mixer, layers),) = blocks(spec)[0]
    assert isinstance(mixer, Attention)
    heads, kv_heads, head_dim = mixer.widths(spec.d_model)
    width, kv_width = heads * head_dim, kv_heads * head_dim
    yield "two factors of lambda in fp32, and lambda", layers * (2 * 4 + number)
    yield "both calls' outputs side by side", layers * 2 * width * positions * number
    if number == 2:
        yield "the norm of differences keeps its input in fp32", layers * 2 * width * positions
    if record["attention"] == "sdpa":
        yield "values for each of two calls", layers * kv_width * positions * number
        yield "a second call's logarithms of sums", layers * 4 * heads * positions
        return
    pairs = layers * positions * record["length"] * number
    yield "probabilities of two calls, and no differences of them", pairs * (2 * heads - heads - heads // 2)
    copies = 1 + (kv_heads < heads or record["batch"] > 1) + (record["batch"] > 1)
    yield (
        "values for a second call, keys where that makes copies of them, and queries but of one sequence",
        layers * copies * width * positions * number,
    )


def apertus(record: dict[str, Any], spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    ((block, layers),) = blocks(spec)[1]
    inner = layers * positions * block.d_ff
    yield (
        "the activation in steps: alpha times x, the exponential, it less x, and where x is positive",
        inner * (3 * number + 1),
    )
    yield "its two numbers after their softplus", layers * 2 * number


def axk1(record: dict[str, Any], spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    ((mixer, layers),) = blocks(spec)[0]
    assert isinstance(mixer, LatentAttention)
    if number == 4:
        yield (
            "the latent is a part of an array whose rest is the rotary key",
            layers * positions * mixer.rope_dim * number,
        )
    if record["batch"] == 1:
        inner = layers * positions * mixer.heads * mixer.nope_dim
        yield "values are a part of an array whose rest is their keys; a larger batch copies them", inner * number


def gemma4_norms(spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    """Norms in steps, all in fp32: the input, the normalised input where there is a gain, and a second statistic."""
    (mixers, feed_forwards), d, layer_input = blocks(spec), spec.d_model, spec.layer_input
    gains = [(d, 1)] * (4 * spec.layers + 1)
    plain: list[tuple[int, int]] = []
    for mixer, layers in mixers:
        heads, kv_heads, head_dim = mixer.widths(d)
        gains += [(head_dim, heads)] * layers
        if not mixer.borrows_keys:
            gains += [(head_dim, kv_heads)] * layers
            plain += [(head_dim, kv_heads)] * layers
    if layer_input is not None:
        gains += [(d, 1)] * spec.layers + [(layer_input.width, spec.layers)]
    for block, layers in feed_forwards:
        if isinstance(block, Experts):
            gains += [(d, 1)] * 3 * layers
            plain += [(d, 1)] * layers
    yield "a norm keeps its statistic before and after the root", 4 * positions * sum(many for _, many in gains + plain)
    yield "and the normalised input in fp32", 4 * positions * sum(width * many for width, many in gains)
    if number == 2:
        yield "its input in fp32", 2 * positions * sum(width * many for width, many in gains + plain)
        yield "its gain in fp32", 4 * sum(width for width, _ in gains)


def gemma4(record: dict[str, Any], spec: ModelSpec, positions: int, number: int) -> Iterator[tuple[str, int]]:
    """What is shared in one format is kept twice where there is a copy in fp32; and what sorts tokens to experts."""
    (mixers, feed_forwards), d, wide = blocks(spec), spec.d_model, number == 2
    if spec.layer_input is not None and wide:
        yield "the first layer's input, which is projected, beside its norm's copy in fp32", 2 * positions * d
    yield from masked(record, spec, positions, number)
    for mixer, layers in mixers:
        _, kv_heads, head_dim = mixer.widths(d)
        if mixer.values_are_keys and wide:
            yield "keys that are values too have a copy for either norm", layers * 2 * positions * kv_heads * head_dim
        if kv_heads == record["batch"] == 1 and record["attention"] == "eager":
            spread = (mixer.heads - 1) * head_dim
            yield "a single head is spread over all without copies", -layers * 2 * positions * spread * number
    for block, layers in feed_forwards:
        if isinstance(block, Experts):
            k = block.top_k
            order = 3 * 8 * k * positions + 4 * block.experts
            yield "the order of the tokens' copies, three times, and where each expert's begin", layers * order
            yield (
                "the chosen probabilities and their sum, from before they add up to 1",
                layers * positions * 4 * (k + 1),
            )
            if wide:
                yield "two more copies in fp32 of what the norm before keeps", layers * 2 * 2 * positions * d


# ----------------------------------------------------------------------------------------------------------------------
# What no recording shows
# ----------------------------------------------------------------------------------------------------------------------


def borrowing() -> ModelSpec:
    config = next(record["config"] for record in MODELS if record["config"].get("num_kv_shared_layers"))
    return imported(config, name="borrowing", where="recorded")


def test_layers_computed_again_need_the_keys_that_they_borrow() -> None:
    """One local and one global layer lend theirs to later ones, which cannot make them again from their own input."""
    spec = borrowing()
    lent = [saved for saved in saves(spec) if ".borrowed." in saved.name]
    assert all(saved.keeping == ("full",) for saved in lent)
    kv_heads, length = 2, 100
    assert (
        activation_bytes(lent, SequenceLengths(target=length), Passes(keeping="full")).total
        == 2 * 2 * kv_heads * (16 + 32) * length
    )


def test_stages_tell_layers_of_two_kinds_apart() -> None:
    """Two stages keep together what one does, where experts stand in all layers but the first."""
    config = next(record["config"] for record in MODELS if record["config"]["model_type"] == "laguna") | {
        "num_hidden_layers": 4, "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
        "num_attention_heads_per_layer": [4, 6, 6, 6], "layer_types": ["full_attention", *["sliding_attention"] * 3],
    }  # fmt: skip
    spec = traced(imported(config, name="staged", where="recorded"))
    stages = [
        activation_bytes(kept, SequenceLengths(target=64), Passes())
        for kept in saves_of_stages(spec, Parallelism(pipeline=2))
    ]
    assert (
        sum(stage.total for stage in stages)
        == activation_bytes(saves(spec), SequenceLengths(target=64), Passes()).total
    )
    for stage in stages:
        told: dict[str, int] = {}
        for name, made, _ in (pair for line in stage.lines for pair in definitions(line.value)):
            assert told.setdefault(name, made) == made, name


def definitions(number: object) -> tuple[tuple[str, int, str], ...]:
    return tuple(number.definitions()) if isinstance(number, TracedInt) else ()


@pytest.mark.parametrize(
    ("layer_input", "words"), [(12, "look up an input of their own in one table"), (0, "borrow keys")]
)
def test_what_no_stage_has_alone_is_refused(layer_input: int, words: str) -> None:
    config = next(record["config"] for record in MODELS if record["config"].get("num_kv_shared_layers"))
    spec = imported(config | {"hidden_size_per_layer_input": layer_input}, name="borrowing", where="recorded")
    with pytest.raises(RequestError, match=words):
        saves_of_stages(spec, Parallelism(pipeline=2))


def test_a_pair_of_heads_stays_on_one_device() -> None:
    config = next(record["config"] for record in MODELS if record["config"]["model_type"] == "diffllama")
    ledger = lower(imported(config, name="pairs", where="recorded"))  # of 4 heads
    assert shard(ledger, Parallelism(tensor=2))
    with pytest.raises(RequestError, match="4 devices"):
        shard(ledger, Parallelism(tensor=4))
