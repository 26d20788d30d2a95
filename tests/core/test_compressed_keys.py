"""Keys that stand for several positions, against counts of every pair, and what is published of DeepSeek-V4."""

from __future__ import annotations

from itertools import product

import pytest

import tscale
from tests.core.test_roofline import alone
from tests.helpers import of_each
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import pairs
from tscale.core.costs.roofline import Pass, works
from tscale.core.ledger import Ledger, Scores
from tscale.core.workload import SequenceLengths


@of_each(product([1, 3, 4, 16], [1, 3, 4, 17, 64], [None, 1, 2, 5]), quick=True)
def test_pairs_are_those_of_a_loop(case: tuple[int, int, int | None]) -> None:
    """The query at position t, counted from 1, sees a key of m positions once the last of them is there: t // m keys, or the window."""
    stride, length, window = case
    scores = Scores("s", "target", "target", 1, 1, 1, causal=True, window=window, stride=stride)
    seen = sum(min(t // stride, t if window is None else window) for t in range(1, length + 1))
    assert pairs(scores, SequenceLengths(length), "causal") == seen
    assert pairs(scores, SequenceLengths(length), "full") == length * (length // stride)


def test_deepseek_v4_pro_keeps_what_is_published_of_a_million_tokens() -> None:
    """9.62 GiB a sequence in 16 bits (AINews, 2026-04-24), of which the states that wait for their block are left out."""
    spec = tscale.load("deepseek-v4-pro")
    kept = cache_bytes(tscale.lower(spec), SequenceLengths(1_048_576), 16)
    growing = sum(
        line.value for line in kept.lines if "state" not in line.name and not line.name.endswith(".cache.window")
    )
    assert growing / 2**30 == pytest.approx(9.62, rel=2e-3)


def test_a_compressed_key_is_read_once_it_is_there() -> None:
    """A step of decoding reads of 16 positions each the keys of the whole blocks before it and of the one that it ends."""
    ledger = Ledger.of("m", tscale.lower(tscale.load("deepseek-v4-flash")).entries)
    for before in (126, 127, 128, 300):
        lines = works(alone(ledger), Pass(1, 1, before, 1, decoding=True))
        of_heavy = next(line for line in lines if line.name == "attention_2.compressed.scores")
        assert of_heavy.cache == 2 * 20 * 512 * ((before + 1) // 128)
