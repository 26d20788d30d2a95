"""What scores of distances, experts of queries, heads of their own and an encoder of sounds keep, as autograd keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import tscale
from tests.helpers import of_each, saves
from tests.importer.recorded import recorded
from tscale.blocks import Disentangled, ExpertAttention, Experts, FeedForward, Relative
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.ledger import Keeping
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.importer.reader import imported
from tscale.models.lower import run_of
from tscale.models.naming import traced
from tscale.models.spec import Embedding, ModelSpec

RECORDED = recorded("activations_scores.jsonl")

Differences = Iterator[tuple[str, int]]


@of_each(RECORDED)
def test_a_whole_model_keeps_what_is_counted(record: dict[str, Any]) -> None:
    config, number = record["config"], 2 if record["dtype"] == "bf16" else 4
    spec = imported(config, name="recorded", where="recorded")
    how: Keeping = "naive" if record["attention"] == "eager" else "flash"
    passes = Passes(record["batch"], how, number, dropout=dropped(record))
    counted = activation_bytes(saves(spec), run_of(spec, record["length"]), passes).total
    named = dict(DIFFERENCES[config["model_type"]](record, spec, number))
    if dropped(record):
        masks = (saved for saved in saves(spec) if saved.number == "mask")
        one = activation_bytes(masks, run_of(spec, record["length"]), passes).total
        named["dropout masks in the activations' format, not in bytes"] = (number - 1) * one
    assert record["bytes"] - counted == sum(named.values()), named


def dropped(record: dict[str, Any]) -> bool:
    """Whether the model was recorded with dropout."""
    return any(record["config"].get(key) for key in ("dropout", "hidden_dropout_prob"))


def whisper(record: dict[str, Any], spec: ModelSpec, number: int) -> Differences:
    """Two stacks of Whisper: positions, the loss, and a fused kernel's output that is copied."""
    said, audio_frames = record["batch"] * record["length"], record["batch"] * (spec.audio_frames or 0)
    encoder, decoder = spec.encoder_layers(), spec.layers
    yield "the numbers of the positions, for every sequence", 8 * said
    yield from loss(said, spec, number)
    norms = (2 * encoder + 1) * audio_frames + (3 * decoder + 1) * said
    yield "the statistics of layernorms in the activations' format", (number - 4) * 2 * norms
    if record["attention"] == "sdpa":
        copied = encoder * audio_frames + 2 * decoder * said
        yield "the kernel's output is laid out by heads, and copied for the projection", copied * spec.d_model * number


def loss(positions: int, spec: ModelSpec, number: int) -> Differences:
    """A loss over logits in the activations' format."""
    yield "the number that the loss is divided by", number
    yield "the logarithms of the probabilities stay in that format", (number - 4) * positions * spec.vocabulary


def electra(record: dict[str, Any], spec: ModelSpec, number: int) -> Differences:
    """ELECTRA, of which one loss asks for words and the other for which of them were replaced."""
    positions, masked = record["batch"] * record["length"], spec.head.kind == "masked"
    yield "the numbers of the segments, one sequence of them", 8 * record["length"]
    norms = 2 * spec.layers + 1 + masked
    yield "the statistics of layernorms in the activations' format", (number - 4) * 2 * positions * norms
    if masked:
        yield from loss(positions, spec, number)
    else:
        yield "the logits stay in the activations' format", (number - 4) * positions


def rembert(record: dict[str, Any], spec: ModelSpec, number: int) -> Differences:
    """RemBERT, whose head has a width of its own."""
    positions = record["batch"] * record["length"]
    yield "the numbers of the segments, of every sequence", 8 * positions
    yield from loss(positions, spec, number)
    norms = 2 * spec.layers + 2
    yield "the statistics of layernorms in the activations' format", (number - 4) * 2 * positions * norms


def xlnet(record: dict[str, Any], spec: ModelSpec, number: int) -> Differences:
    """XLNet, whose products are Einstein sums: each copies what does not lie as it multiplies it."""
    batch, length, d, layers = record["batch"], record["length"], spec.d_model, spec.layers
    yield from loss(batch * length, spec, number)
    yield (
        "the statistics of layernorms in the activations' format",
        (number - 4) * 2 * batch * length * 2 * layers,
    )
    yield "the matrix of each layer's output, copied", layers * d * d * number
    yield "the order that distances are picked in, in each layer", layers * 8 * length
    copies = 1 if batch == 1 else layers
    yield (
        "the sines of the distances, and a copy for each layer of several sequences, or in bf16 of what dropout yields in fp32",
        (1 if dropped(record) and number == 4 else copies) * 2 * length * batch * d * number,
    )
    if dropped(record):
        (feed_forward,) = spec.feed_forwards
        assert isinstance(feed_forward, FeedForward)
        yield (
            "dropout behind each activation and behind the stack",
            batch * length * (layers * feed_forward.d_ff + d) * number,
        )
    yield "the mask of the segments, likewise", copies * 2 * batch * length**2 * number


def jetmoe(record: dict[str, Any], spec: ModelSpec, number: int) -> Differences:
    """JetMoE: norms in steps, and tokens that are sorted to experts in steps."""
    batch, length, d, layers = record["batch"], record["length"], spec.d_model, spec.layers
    positions, wide = batch * length, number == 2
    (mixer,), (experts,) = spec.mixers, spec.feed_forwards
    assert isinstance(mixer, ExpertAttention)
    assert isinstance(experts, Experts)
    k, width, heads = mixer.top_k, mixer.heads * mixer.head_dim, mixer.top_k * mixer.heads
    yield "the number that the loss is divided by", 4
    if batch == 1:
        yield "the words are a part of an array that is one longer, before they are shifted", 8
    yield (
        "an rmsnorm in steps keeps its input in fp32 and the normalised input",
        (2 * layers + 1) * positions * d * (number + (2 if wide else 0)),
    )
    yield "sines and cosines, kept once", 2 * length * mixer.head_dim * number
    yield "which token each copy is of, and which copy, for both kinds of experts", 2 * layers * 2 * 8 * k * positions
    yield "no probabilities of the experts that are not chosen", -layers * positions * 4 * experts.experts
    yield "the weights again, as the experts' copies lie", 2 * layers * positions * k * number
    yield (
        "index_add keeps what it adds: the queries, and what both kinds of experts return",
        layers * positions * k * (width + 2 * d) * number,
    )
    if record["attention"] == "sdpa":
        yield (
            "keys and values are repeated for every expert before the fused kernel",
            layers * positions * 2 * (k - 1) * width * number,
        )
    elif wide:
        yield "the probabilities in fp32 beside those in bf16", 4 * layers * heads * positions * length


def deberta(record: dict[str, Any], spec: ModelSpec, number: int) -> Differences:
    """DeBERTa's first version: norms in steps, and one matrix that makes queries, keys and values."""
    batch, length, d, layers = record["batch"], record["length"], spec.d_model, spec.layers
    positions, terms = batch * length, spec.positions.terms if isinstance(spec.positions, Disentangled) else ()
    yield from masked(record, spec, number)
    in_steps = 2 * layers + 1
    yield (
        "a layernorm in steps keeps two arrays and a statistic in fp32, and the normalised input in place of the input",
        in_steps * positions * (2 * 4 * d + 4 - 2 * 4),
    )
    yield "the statistics of the head's layernorm in the activations' format", (number - 4) * 2 * positions
    yield "what queries are divided by", layers * number
    if "p2c" in terms:
        yield "what projected distances are divided by, in fp32", layers * 4
    if batch == 1:
        yield "keys are a part of an array with queries and values", layers * 2 * positions * d * number
    else:
        yield (
            "each term copies the queries, or the keys, to multiply them",
            len(terms) * layers * positions * d * number,
        )


def deberta_2(record: dict[str, Any], spec: ModelSpec, number: int) -> Differences:
    """DeBERTa's later versions: keys that are divided before they are scored, and a convolution."""
    positions, layers = record["batch"] * record["length"], spec.layers
    block = spec.positions
    assert isinstance(block, Disentangled)
    yield from masked(record, spec, number)
    if dropped(record):
        yield "the table without its dropout is not kept", -block.normed * 2 * block.span * spec.d_model * number
    norms = (2 * layers + 2 + (block.conv is not None)) * positions + block.normed * 2 * block.span
    yield "the statistics of layernorms in the activations' format", (number - 4) * 2 * norms
    if record["attention"] == "eager":
        yield "what keys and the scores of each term are divided by", layers * (1 + len(block.terms)) * number
    if record["attention"] == "flash":
        copied = layers * positions * spec.d_model * number
        yield "the kernel's output is laid out by heads, and copied for the projection", copied
    elif "p2c" in block.terms:
        yield (
            "keys are divided before queries score them, and kept as they were too",
            layers * positions * (spec.d_model * number),
        )
    if block.conv is not None:
        yield "which words the convolution leaves out", positions
        yield "the same in bf16, to multiply its norm's output", positions * number if number == 2 else 0


def masked(record: dict[str, Any], spec: ModelSpec, number: int) -> Differences:
    """What all versions of DeBERTa keep of masks, and of the loss."""
    positions = record["batch"] * record["length"]
    yield from loss(positions, spec, number)
    if record["attention"] == "eager":
        yield "the mask of every pair, made anew in each layer", spec.layers * positions * record["length"]
    yield "the mask that the embedding is multiplied by", positions * number


DIFFERENCES = {
    "deberta": deberta,
    "deberta-v2": deberta_2,
    "whisper": whisper,
    "electra": electra,
    "rembert": rembert,
    "xlnet": xlnet,
    "jetmoe": jetmoe,
}
"""What transformers' own code keeps beside what is counted, or less, by architecture, each with its reason."""


def test_whisper_keeps_its_spectrogram_and_both_convolutions() -> None:
    """Thirty seconds of Whisper tiny: 3,000 frames of 80 bins, two convolutions of 384 channels, in 16 bits."""
    kept = [saved for saved in saves(tscale.load("whisper-tiny")) if saved.name.startswith("encoder.embedding.")]
    counted = activation_bytes(kept, SequenceLengths(target=1, source=1500), Passes()).total
    assert counted == 2 * (3000 * 80 + 2 * 3000 * 384 + 1500 * 384)


@pytest.mark.parametrize("name", ["gopher-280b", "xlnet-large"])
def test_distances_are_kept_beside_keys(name: str) -> None:
    """As many distances as tokens where a stack looks back alone, twice as many where it sees both ways."""
    spec = tscale.load(name)
    assert isinstance(spec.positions, Relative)
    kept = {saved.name: saved for saved in saves(spec)}
    ways = 1 if spec.kind == "decoder" else 2
    assert kept["relative.key"].width == ways * kept["attention.k"].width
    assert ("relative.q" in kept) == spec.positions.biases


@pytest.mark.parametrize("name", ["xlnet-base", "gopher-280b", "jetmoe-8b", "deberta-base", "deberta-v3-large"])
def test_two_devices_keep_half_of_what_belongs_to_heads(name: str) -> None:
    spec = tscale.load(name)
    run = run_of(spec, 512)
    cut = [saved for saved in saves(spec) if saved.cut is not None and saved.cut.otherwise == "refused"]
    whole = activation_bytes(cut, run, Passes()).total
    assert 2 * activation_bytes(cut, run, Passes(), Parallelism(tensor=2)).total == whole


@pytest.mark.parametrize(
    "name", ["whisper-small", "xlnet-base", "chinchilla-70b", "jetmoe-8b", "deberta-base", "deberta-v2-xlarge"]
)
def test_remembered_numbers_keep_as_much(name: str) -> None:
    spec = tscale.load(name)
    run = run_of(spec, 500)
    for how in ("naive", "selective", "flash", "full"):
        passes = Passes(3, how, 2, dropout=True)
        plain = activation_bytes(saves(spec), run, passes).total
        assert activation_bytes(saves(traced(spec)), run, passes).total == plain


def test_a_masked_head_that_nothing_brings_to_its_width_is_refused() -> None:
    spec = tscale.load("xlnet-base")
    assert isinstance(spec, ModelSpec)
    with pytest.raises(RequestError, match="masked head without a transform"):
        saves(replace(spec, embedding=Embedding(width=128)))


def test_distances_of_a_long_sequence_are_as_many_as_the_table_tells_apart() -> None:
    """DeBERTa v1 projects two distances a token, up to its span; later versions the whole table, however short the sequence."""
    for name, lengths in (("deberta-base", (100, 512, 512)), ("deberta-v3-base", (256, 256, 256))):
        spec = tscale.load(name)
        kept = [saved for saved in saves(spec) if saved.name == "distances.c2p"]
        for length, rows in zip((100, 512, 2000), lengths, strict=True):
            counted = activation_bytes(kept, SequenceLengths(target=0, source=length), Passes(micro_batch=3)).total
            assert counted == spec.layers * 2 * rows * spec.d_model * 2  # once for all three sequences
