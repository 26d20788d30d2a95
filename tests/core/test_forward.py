"""Forward FLOPs against counts by loops, and against figures of others."""

from __future__ import annotations

from itertools import product

import pytest

import tscale
from tscale.catalogue.models import built_in
from tscale.core.costs.forward import forward_flops, pairs, score_flops
from tscale.core.ledger import Matmul, Scores
from tscale.core.workload import SequenceLengths
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec


def scores(*, causal: bool, window: int | None) -> Scores:
    return Scores("attention", "target", "target", 1, 1, 1, causal, window)


def pairs_by_loop(n: int, *, causal: bool, window: int | None) -> int:
    """Every query asked of every key whether it may see it."""
    count = 0
    for query, key in product(range(n), range(n)):
        if causal and key > query:
            continue
        if window is not None and causal and query - key >= window:
            continue
        if window is not None and not causal and abs(query - key) > window // 2:
            continue
        count += 1
    return count


@pytest.mark.parametrize("window", [None, 1, 2, 3, 4, 7, 8, 16, 31, 100])
@pytest.mark.parametrize("causal", [True, False])
def test_causal_sums_and_windows_equal_a_loop(window: int | None, *, causal: bool) -> None:
    for n in range(1, 34):
        entry = scores(causal=causal, window=window)
        assert pairs(entry, SequenceLengths(n), "causal") == pairs_by_loop(n, causal=causal, window=window), n
        assert pairs(entry, SequenceLengths(n), "full") == n * n


def test_modernberts_windows_are_those_of_its_mask() -> None:
    """transformers 5.24's mask of 600 tokens (`local_attention` 128) has 73,240 pairs: 64 keys on either side, and itself.

    Flash attention is given a window of (64, 64): 600 * 129 pairs, less 2 * (1 + ... + 64) beyond the ends.
    """
    entries = lower(tscale.load("modernbert-base")).entries
    (local,) = (entry for entry in entries if isinstance(entry, Scores) and entry.window is not None)
    assert pairs(local, SequenceLengths(0, source=600), "causal") == 600 * 129 - 64 * 65 == 73_240


def matmul_flops_by_loop(m: int, n: int, p: int) -> int:
    """Multiplies and adds of an [m, n] by [n, p] product, counted one by one as they are done."""
    count = 0
    for _row, _column in product(range(m), range(p)):
        for _ in range(n):
            count += 2
    return count


def test_a_product_takes_two_flops_a_multiply_add() -> None:
    ledger = tscale.Ledger.of("one", (Matmul("w", "up", "feed_forward", "target", 5, 7, bias=True),))
    assert forward_flops(ledger, SequenceLengths(3)).total == matmul_flops_by_loop(3, 5, 7)


def test_gpt2_forward_equals_nanogpts() -> None:
    """nanoGPT's transformer_sizing.ipynb counts 291,648,307,200 for a sequence of 1,024."""
    spec = tscale.load("gpt2")
    assert forward_flops(lower(spec), SequenceLengths(1024)).total == 291_648_307_200


def test_a_stack_of_local_and_global_layers_is_their_sum() -> None:
    """Gemma 2 alternates: 21 layers see 4,096 keys, 21 see everything."""
    spec = built_in("gemma-2-9b")
    assert isinstance(spec, ModelSpec)
    lines = {line.name: line.value for line in forward_flops(lower(spec), run_of(spec, 8192), "causal").lines}
    each = 2 * 16 * (256 + 256)
    local = sum(min(position, 4096) for position in range(1, 8193))
    full = sum(range(1, 8193))
    assert lines["attention.scores.local"] == 21 * each * local
    assert lines["attention.scores.global"] == 21 * each * full


@pytest.mark.parametrize("layers, local", [(1, 1), (2, 1), (5, 3), (6, 3), (7, 4), (26, 13)])
def test_a_pattern_is_dealt_out_from_the_first_layer(layers: int, local: int) -> None:
    """Of a single layer nothing is left for the second kind, which is then not in the ledger."""
    spec = tscale.load("gemma-2-9b", [f"layers={layers}"])
    used = [entry.used for entry in lower(spec).entries if isinstance(entry, Scores)]
    assert used == [many for many in (local, layers - local) if many]


def test_the_work_does_not_grow_with_depth() -> None:
    """A model of 10,000 layers has a ledger as long as one of 10."""
    shallow, deep = (lower(tscale.load("gpt3", [f"layers={layers}"])) for layers in (10, 10_000))
    assert len(shallow.entries) == len(deep.entries)


def test_an_encoder_decoder_runs_each_stack_over_its_own_stream() -> None:
    """Twice the source doubles the encoder's products and the cross-attention's keys, and leaves the decoder's alone."""
    spec = tscale.load("t5-small")
    one, two = (dict(forward_flops(lower(spec), SequenceLengths(target=128, source=s)).lines) for s in (256, 512))
    assert two["encoder.feed_forward.up"] == 2 * one["encoder.feed_forward.up"]
    assert two["decoder.cross_attention.k"] == 2 * one["decoder.cross_attention.k"]
    assert two["decoder.cross_attention.scores"] == 2 * one["decoder.cross_attention.scores"]
    assert two["decoder.feed_forward.up"] == one["decoder.feed_forward.up"]
    assert two["encoder.self_attention.scores"] == 4 * one["encoder.self_attention.scores"]


def test_heads_in_pairs_sum_values_of_twice_their_width() -> None:
    """Differential attention (Ye 2024, section 2.1) in GPT-2: 12 maps a layer, of queries of 64 channels and values of 128."""
    ledger = lower(tscale.load("gpt2", ["attention.differential=true"]))
    scores = sum(
        score_flops(entry, SequenceLengths(target=100), "full") for entry in ledger.entries if isinstance(entry, Scores)
    )
    assert scores == 2 * 100**2 * 12 * 12 * (64 + 128)
