"""FLOPs of single entries, by loops over queries and keys and by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.costs.forward import (
    conv_flops,
    forward_flops,
    leaves_out,
    matmul_flops,
    pairs,
    scan_flops,
    score_flops,
    untrained_flops,
)
from tscale.core.ledger import Block, Conv, Ledger, Matmul, Scan, Scores
from tscale.core.workload import SequenceLengths, TowerPass, TowerRun

SCORES = Scores("s", "target", "target", heads=2, d_qk=3, d_v=4, causal=True, used=5)


def sees(query: int, key: int, entry: Scores) -> bool:
    """Whether a query sees a key, of positions from 0 on; keys of a stride stand for the last of their positions."""
    if entry.stride is not None:
        return not entry.causal or (key + 1) * entry.stride - 1 <= query
    if entry.chunked:
        assert entry.window is not None
        return query // entry.window == key // entry.window and (key <= query or not entry.causal)
    if not entry.causal:
        return entry.window is None or abs(query - key) <= entry.window // 2
    return key <= query - entry.behind if entry.window is None else 0 <= query - key < entry.window


@pytest.mark.parametrize(
    "change",
    [
        {"chunked": True, "window": 4}, {"chunked": True, "window": 5}, {"chunked": True, "window": 4, "causal": False}, {"chunked": True, "window": 5, "causal": False},
        {"stride": 2}, {"stride": 3}, {"stride": 3, "causal": False}, {"causal": False}, {"window": 3}, {"window": 3, "causal": False},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("n", [1, 4, 5, 13])
def test_pairs_are_those_that_a_loop_counts(change: dict[str, Any], n: int) -> None:
    entry = SCORES._replace(**change)
    keys = n if entry.stride is None else n // entry.stride
    assert pairs(entry, SequenceLengths(n), "causal") == sum(
        sees(query, key, entry) for query in range(n) for key in range(keys)
    )
    assert pairs(entry, SequenceLengths(n), "full") == n * keys


@pytest.mark.parametrize(("behind", "seen"), [(0, 55), (1, 45 + 1), (3, 28 + 3), (10, 10), (12, 10)])
def test_a_query_that_is_hidden_its_last_keys_still_sees_one(behind: int, seen: int) -> None:
    """Of 10 queries each sees so many keys less, the first ones a single key."""
    assert pairs(SCORES._replace(behind=behind), SequenceLengths(10), "causal") == seen


def test_of_keys_of_a_stride_a_window_counts_the_first_ones() -> None:
    """Of 13 positions 6 keys of two; a window of 2 lets a query see two at the most: 12 queries one key, 10 a second."""
    entry = SCORES._replace(stride=2, window=2)
    assert pairs(entry, SequenceLengths(13), "causal") == 12 + 10
    assert pairs(entry._replace(window=20), SequenceLengths(13), "causal") == 12 + 10 + 8 + 6 + 4 + 2
    assert pairs(entry, SequenceLengths(13), "full") == 13 * 6


def test_no_more_keys_and_positions_are_read_than_there_may_be() -> None:
    cross = SCORES._replace(keys="source", most=6, causal=False)
    assert [pairs(cross, SequenceLengths(3, source), "causal") for source in (5, 6, 7)] == [15, 18, 18]
    matrix = Matmul("m", "up", "feed_forward", "target", 5, 7, used=2, most=6)
    assert [matmul_flops(matrix, SequenceLengths(length)) for length in (5, 7)] == [2 * 5 * 2 * 35, 2 * 6 * 2 * 35]


def test_logits_and_sums_of_values() -> None:
    """Two FLOPs for each of 55 pairs, 5 layers, 2 heads and 3 + 4 numbers."""
    assert score_flops(SCORES, SequenceLengths(10), "causal") == 2 * 55 * 5 * 2 * (3 + 4)
    assert score_flops(SCORES, SequenceLengths(10), "full") == 2 * 100 * 5 * 2 * (3 + 4)


SCAN = Scan("r", "target", per_position=3, chunk=4, per_chunk=17, per_edge_pair=7, used=5)


@pytest.mark.parametrize(
    ("padded", "positions", "chunks"), [(False, 10, 2), (True, 10, 3), (False, 12, 3), (True, 12, 3)]
)
def test_a_recurrence_by_positions_chunks_edges_and_pairs(padded: bool, positions: int, chunks: int) -> None:
    """Chunks of 4, the last padded or left out; as many edges as chunks and one more, and pairs within chunks, the last of two."""
    scan = SCAN._replace(padded=padded)
    each = positions * 3 + chunks * 17 + (chunks + 1) ** 2 * 7
    assert scan_flops(scan, SequenceLengths(positions)) == 2 * 5 * each
    pairs_of_chunks = {10: 4 * 4 + 4 * 4 + 2 * 2, 12: 3 * 4 * 4}[positions]
    assert scan_flops(scan._replace(per_pair=11), SequenceLengths(positions)) == 2 * 5 * (each + 11 * pairs_of_chunks)


CONV = Conv("c", "conv", "mixer", "target", 6, 4, used=5)


def test_a_convolution_runs_over_padded_positions() -> None:
    assert conv_flops(CONV, SequenceLengths(10)) == 2 * (10 + 3) * 5 * 6 * 4


def test_gradients_that_frozen_weights_do_not_have() -> None:
    """As many FLOPs as the frozen matrix and the frozen convolution take forward."""
    matrix = Matmul("m", "up", "feed_forward", "target", 5, 7, used=2)
    entries = (matrix, matrix._replace(trained=False), CONV, CONV._replace(trained=False), SCORES)
    assert untrained_flops(Ledger.of("x", entries), SequenceLengths(10)) == 2 * 10 * 2 * 35 + 2 * 13 * 5 * 24


def test_images_run_through_a_tower_as_often_as_there_are() -> None:
    """Three images of 9 positions and two of 4, and no tokens: scores of a window, products and a convolution."""
    block = Block("tower", "mixer")
    run = SequenceLengths(
        10,
        media=(
            TowerPass(block, 3, TowerRun(9, 2)),
            TowerPass(block, 2, TowerRun(4, 1)),
            TowerPass(Block("tower", "mixer", 1), 7, TowerRun(4, 1)),
        ),
    )
    matrix = Matmul("m", "up", "vision_tower", "tower_inputs", 5, 7, used=2, block=block)
    conv = CONV._replace(stream="tower_inputs", block=block)
    scores = SCORES._replace(stream="tower_inputs", keys="tower_inputs", block=block, causal=False)
    expected = (2 * (3 * 9 + 2 * 4) * 2 * 35, 2 * (3 * 12 + 2 * 7) * 5 * 24, 2 * (3 * 81 + 2 * 16) * 5 * 2 * 7)
    assert (matmul_flops(matrix, run), conv_flops(conv, run), score_flops(scores, run, "full")) == expected
    chunks = scores._replace(window=3, chunked=True)
    assert score_flops(chunks, run, "full") == 2 * (3 * 27 + 2 * (9 + 1)) * 5 * 2 * 7
    assert forward_flops(Ledger.of("x", (matrix, conv, scores)), run).total == sum(expected)


def test_what_is_left_out_of_recurrences_is_said_where_there_are_some() -> None:
    assert "Of recurrences" in leaves_out(Ledger.of("x", (CONV, SCAN)))
    assert "Of recurrences" not in leaves_out(Ledger.of("x", (CONV, SCORES)))
