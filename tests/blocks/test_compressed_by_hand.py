"""Compressed keys, of small widths, by hand."""

from __future__ import annotations

import pytest

from tests.blocks.shapes import SITE, by_name, shape
from tscale.blocks.compressed import CompressedAttention


@pytest.mark.parametrize(
    ("overlapping", "made", "waiting"), [(False, 8, 2 * 3 * 8), (True, 16, 2 * 3 * 16 + 2 * 4 * 8)]
)
def test_what_waits_for_its_block_is_a_state(overlapping: bool, made: int, waiting: int) -> None:
    """Keys of 4 positions of 8 numbers, with a weight each: three wait at the most; overlapping, twice as wide, a full half beside them."""
    block = CompressedAttention(
        kind="compressed", heads=4, head_dim=8, q_rank=16, groups=2, group_rank=6, window=5, ratio=4, overlapping=overlapping, index_heads=3, index_dim=2, index_top_k=7,
    )  # fmt: skip
    entries = by_name(block.lower(SITE, caches=True))
    narrow = made // 4
    assert {name: shape(one) for name, one in entries.items()} == {
        "q_down": (32, 16), "q_norm": (16,), "q_up": (16, 32), "kv": (32, 8), "kv_norm": (8,), "sinks": (4,), "scores": (4, 8, 8), "cache": (8,),
        "compressed.kv": (32, made), "compressed.weights": (32, made), "compressed.positions": (4 * made,), "compressed.norm": (8,), "compressed.cache": (8,),
        "compressed.waiting_state": (waiting,), "compressed.scores": (4, 8, 8), "index.q": (16, 6), "index.kv": (32, narrow), "index.weights": (32, narrow),
        "index.positions": (4 * narrow,), "index.norm": (2,), "index.cache": (2,), "index.waiting_state": (waiting // 4,), "index.heads": (32, 3), "index.scores": (3, 2, 0),
        "o_down": (16, 6), "o_up": (12, 32),
    }  # fmt: skip
    seen = {
        name: (entries[name].window, entries[name].stride, entries[name].cache)
        for name in ("scores", "compressed.scores", "index.scores")
    }
    assert seen == {"scores": (5, None, 0), "compressed.scores": (7, 4, 1), "index.scores": (None, 4, 2)}
    assert [
        (entries[f"{name}cache"].slot, entries[f"{name}cache"].stride) for name in ("", "compressed.", "index.")
    ] == [(0, None), (1, 4), (2, 4)]
    assert not any("cache" in name or "state" in name for name in by_name(block.lower(SITE, caches=False)))
