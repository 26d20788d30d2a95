"""The layers of a stack, one by one: together the whole model, and each of a kind that its stage is said to hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tscale
from tests.helpers import has_stages, of_each, run, shares_weights, table_of_all, trainable
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.costs.params import params, size
from tscale.core.costs.weights import is_linear
from tscale.core.ledger import ALWAYS, Ledger, Matmul, Stack
from tscale.core.parallelism import Parallelism, divisors
from tscale.core.partition import one_layer, stretches
from tscale.core.workload import SequenceLengths
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.stages import kinds_of_layers, stages

RUN = SequenceLengths(target=64, source=64)
Told = tuple[int, int]
"""Bytes that are kept in layers, and numbers in their matrices."""


def told_of(ledger: Ledger) -> Told:
    inside = [saved for saved in ledger.saved if saved.part not in ("embedding", "head") and saved.keeping != ALWAYS]
    kept = activation_bytes(inside, RUN, Passes(2, "naive", 2, dropout=True)).total
    owned = sum(
        entry.stored * size(entry)
        for entry in ledger.entries
        if isinstance(entry, Matmul) and is_linear(entry) and entry.block.sub_layer != "none"
    )
    return kept, owned


def walked(spec: ModelSpec, whole: Ledger) -> Iterator[Told]:
    """What each layer keeps and owns, layer after layer."""
    stack: Stack = "decoder" if spec.kind == "decoder" else "encoder"
    for layer in range(spec.layers):
        yield told_of(one_layer(whole, stack, layer))


ONE_STACK = [name for name in trainable() if tscale.load(name).kind != "encoder-decoder"]


@of_each(ONE_STACK)
def test_the_layers_add_up_to_the_model(name: str) -> None:
    spec = tscale.load(name)
    whole = lower(spec, saves=True)
    walk = list(walked(spec, whole))
    kept, owned = told_of(whole)
    assert sum(each[0] for each in walk) == kept
    if has_stages(spec) and not shares_weights(spec) and not table_of_all(spec):  # those own weights once
        assert sum(each[1] for each in walk) == owned


@of_each(ONE_STACK)
def test_the_kinds_of_a_model_are_those_of_a_walk(name: str) -> None:
    spec = tscale.load(name)
    whole = lower(spec, saves=True)
    assert {told_of(kind) for kind in kinds_of_layers(spec, whole, Parallelism())[0]} == set(walked(spec, whole))


@pytest.mark.parametrize("name", ["jamba", "recurrentgemma-2b", "qwen3-next-80b-a3b", "llama-4-maverick"])
def test_a_stage_has_the_kinds_of_its_own_layers(name: str) -> None:
    spec = tscale.load(name)
    whole = lower(spec, saves=True)
    walk = list(walked(spec, whole))
    for pipeline in divisors(spec.layers):
        each = spec.layers // pipeline
        for stage, kinds in enumerate(kinds_of_layers(spec, whole, Parallelism(pipeline=pipeline))):
            assert set(map(told_of, kinds)) == set(walk[stage * each : (stage + 1) * each])


@pytest.mark.parametrize("pipeline", [2, 3, 5, 7, 16])
@pytest.mark.parametrize("name", ["deepseek-v3", "llama-3.1-405b", "jamba", "gemma-2-9b"])
def test_stages_of_any_split_own_the_model_together(name: str, pipeline: int) -> None:
    spec = tscale.load(name)
    whole = lower(spec)
    tied = spec.vocabulary * spec.d_model if spec.tied else 0  # the last stage keeps a copy of a tied table
    each = [params(stage).total for stage in stages(spec, Parallelism(pipeline=pipeline), whole)]
    assert sum(each) == params(whole).total + tied


@pytest.mark.parametrize(
    "layers, pieces, sizes",
    [
        (128, 16, [8] * 16),
        (126, 16, [7, *[8] * 14, 7]),  # Llama 3.1 405B (Dubey 2024, section 3.3.2)
        (126, 8, [15, *[16] * 6, 15]),
        (61, 16, [3, *[4] * 14, 2]),
        (94, 8, [11, *[12] * 6, 11]),
        (5, 4, [2, 1, 1, 1]),  # each piece has a layer
    ],
)
def test_layers_that_do_not_divide_are_as_even_as_can_be(layers: int, pieces: int, sizes: list[int]) -> None:
    """The embedding and the head each take the place of a layer."""
    every = stretches(layers, pieces)
    assert [piece.size for piece in every] == sizes
    assert [piece.start for piece in every] == [sum(sizes[:place]) for place in range(pieces)]


def test_the_embedding_and_the_head_may_be_pieces_of_their_own() -> None:
    """Llama 3.1 405B (Dubey 2024, section 3.3.2): the first chunk has the embedding alone, the last one the output."""
    sizes = [piece.size for piece in stretches(126, 128, ends=True)]
    assert sizes == [0, *[1] * 126, 0]
    assert [sum(sizes[stage::16]) for stage in range(16)] == [7, *[8] * 14, 7]
    spec = tscale.load("llama-3.1-405b")
    plan = Parallelism(pipeline=16, interleave=8)
    each = [params(stage).total for stage in stages(spec, plan, lower(spec))]
    assert each == [params(stage).total for stage in stages(spec, plan._replace(interleave=1), lower(spec))]


@pytest.mark.slow
def test_names_of_derivations_mean_one_number() -> None:
    """Two blocks of several head widths, and an encoder with other heads than its decoder."""
    for args in (
        ("params", "whisper-tiny", "--set", "encoder.attention.heads=8", "--explain"),
        ("attention", "t5-small", "--set", "encoder.attention.heads=4", "--explain"),
        ("memory", "bart-large", "--train", "--set", "encoder={attention: {heads: 8}}", "--explain"),
    ):
        told = run(*args)
        assert told.code == 0, told.err
        assert "head_dim" in told.out
