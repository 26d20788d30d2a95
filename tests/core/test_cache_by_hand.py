"""What sequences keep while decoding: caches of every kind, of so few numbers that they can be counted."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tscale.core.costs.cache import (
    StateBits,
    alike,
    cache_bytes,
    check_rows,
    growing,
    has_latents,
    has_windows,
    rows_divide,
    spread_latents,
    states,
    whole_windows,
)
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Block, Cache, Cut, Ledger, Matmul, Scores
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError

BLOCK = Block("decoder", "mixer")
KV = Cache("kv", "kv", "target", 2 * 4 * 8, cut=Cut(4), stored=3, block=BLOCK)
LATENT = Cache("latent", "latent", "target", 24, slot=1, stored=2, block=BLOCK)
STATE = Cache("state", "state", "once", 50, stored=2, block=BLOCK)
CONV = STATE._replace(name="conv", role="conv_state", width=7)
SOURCE = KV._replace(name="cross", stream="source", stored=1)


def kept(
    *caches: Cache,
    tokens: int = 10,
    bits: int | Fraction = 16,
    page: int | None = None,
    states: StateBits = StateBits(),
) -> int:
    run = SequenceLengths(tokens, 6)
    return int(cache_bytes(Ledger.of("x", caches), run, bits, page, states).total)


def test_positions_of_each_kind() -> None:
    assert kept(KV) == 2 * 10 * 3 * 64
    assert kept(KV, bits=8) == 10 * 3 * 64
    assert kept(KV, bits=Fraction(9, 2)) == 10 * 3 * 64 * 9 // 16
    assert kept(SOURCE) == 2 * 6 * 64
    assert [kept(KV._replace(window=window)) for window in (1, 9, 10, 11)] == [2 * 3 * 64 * n for n in (1, 9, 10, 10)]
    assert [kept(KV._replace(stride=4), tokens=n) for n in (3, 4, 7, 8)] == [2 * 3 * 64 * n for n in (0, 1, 1, 2)]


def test_pages_are_whole() -> None:
    """Of 10 positions three pages of 4; of a window of 5 two; of states none."""
    assert kept(KV, page=4) == 2 * 12 * 3 * 64
    assert kept(KV, page=5) == 2 * 10 * 3 * 64
    assert kept(KV._replace(window=5), page=4) == 2 * 8 * 3 * 64
    assert kept(STATE, page=4) == 2 * 2 * 50


def test_states_have_16_bits_at_the_least_or_their_own() -> None:
    assert [kept(STATE, CONV, bits=bits) for bits in (8, 16, 32)] == [2 * 2 * 57, 2 * 2 * 57, 4 * 2 * 57]
    own = StateBits(state=32, conv=8)
    assert kept(STATE, CONV, bits=16, states=own) == 4 * 2 * 50 + 2 * 7
    assert own.of(KV, 8) == 8
    assert StateBits(state=32).of(CONV, 8) == 16


def test_latents_are_spread_out_to_the_keys_and_values_of_all_heads() -> None:
    """3 heads of 8 and 6 in place of 24 numbers that all share."""
    scores = Scores("s", "target", "target", 3, 8, 6, True, cache=1, cut=Cut(3), block=BLOCK)
    other = Scores("i", "target", "target", 9, 9, 9, True, block=BLOCK)
    ledger = Ledger.of("x", (LATENT, scores, other, KV))
    spread, *_, unchanged = spread_latents(ledger).entries
    assert spread == LATENT._replace(role="kv", width=3 * (8 + 6), cut=Cut(3))
    assert unchanged == KV
    assert has_latents(ledger)
    assert not has_latents(spread_latents(ledger))


def test_parts_of_a_cache() -> None:
    windowed = KV._replace(name="local", window=5)
    matrix = Matmul("m", "q", "attention", "target", 4, 4)
    ledger = Ledger.of("x", (KV, windowed, STATE, SOURCE, matrix))
    assert [entry.name for entry in alike(ledger).entries] == ["kv", "m"]
    assert [entry.name for entry in growing(ledger).entries] == ["kv", "local", "cross", "m"]
    assert [entry.name for entry in states(ledger).entries] == ["state"]
    assert has_windows(ledger)
    assert not has_windows(whole_windows(ledger))
    assert not has_windows(Ledger.of("x", (KV, matrix)))
    assert whole_windows(ledger).entries[1] == KV._replace(name="local")
    assert whole_windows(ledger).entries[-1] == matrix


@pytest.mark.parametrize(
    ("cache", "divides"),
    [(KV, False), (KV._replace(width=2 * 4 * 32), True), (LATENT, False), (LATENT._replace(width=64), True), (STATE, True)],
)  # fmt: skip
def test_blocks_of_a_format_divide_a_row_of_a_head_or_of_a_latent(cache: Cache, divides: bool) -> None:
    """q8_0 has blocks of 32: heads of 8 have none, of 32 one; keys and values are rows of their own."""
    ledger = Ledger.of("x", (cache,))
    assert rows_divide(ledger, DTYPES["q8_0"]) is divides
    assert rows_divide(Ledger.of("x", (cache, KV)), DTYPES["q8_0"]) is False
    assert rows_divide(ledger, DTYPES["fp8"])
    if divides:
        check_rows(ledger, DTYPES["q8_0"])
    else:
        with pytest.raises(RequestError, match=r"keeps rows of (8|24):"):
            check_rows(ledger, DTYPES["q8_0"])
