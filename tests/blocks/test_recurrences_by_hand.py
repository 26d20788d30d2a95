"""Recurrences, entry by entry: what they own, compute and keep, of widths that are primes, so that no other formula comes to the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.blocks.shapes import SITE, by_name, shapes
from tscale.blocks.attention import Attention
from tscale.blocks.delta import GatedDeltaNet
from tscale.blocks.kimi_delta import KimiDelta
from tscale.blocks.mamba import Mamba
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.rg_lru import RgLru
from tscale.blocks.rwkv import ChannelMixing, Rwkv
from tscale.core.ledger import Cut
from tscale.errors import RequestError

D = 32
"""The width of the stream."""


def _biased(entries: dict[str, Any]) -> set[str]:
    return {name for name, one in entries.items() if getattr(one, "bias", False)}


def _kept(block: Any) -> dict[str, tuple[int, str]]:
    """Numbers of a position that are kept, and what they are."""
    return {name: (one.width, one.number) for name, one in by_name(block.saves(SITE)).items()}


def _of(number: str, **widths: int) -> dict[str, tuple[int, str]]:
    return {name.replace("__", "."): (width, number) for name, width in widths.items()}


def test_a_state_space_of_heads() -> None:
    """3 heads of 5 channels, states of 7 numbers in 3 groups, filters of 2, chunks of 11 (Dao & Gu 2024, section 7).

    What is projected in: the gate's 15 channels, 15 to convolve with 2·3·7 numbers in and out of states, and a step for each head.
    """
    inner, groups = 3 * 5, 2 * 3 * 7
    block = Mamba2(kind="mamba2", heads=3, d_head=5, d_state=7, groups=3, d_conv=2, chunk=11)
    entries = by_name(block.lower(SITE, caches=True))
    within, states = 3 * 11 * 11 * (7 + 5), 2 * 3 * 11 * 7 * 5
    assert shapes(entries.values()) == {
        "in": (D, inner + inner + groups + 3), "conv": (inner + groups, 2), "A_D_dt": (3 * 3,), "scan": (11, 0, within + states, 0),
        "conv_state": ((inner + groups) * 2,), "state": (inner * 7,), "norm": (inner,), "out": (inner, D),
    }  # fmt: skip
    assert entries["scan"].per_edge_pair == 3 * 5 * 7
    assert _biased(entries) == {"conv"}
    beside = {name: one.cut.beside for name, one in entries.items() if one.cut.beside}
    assert beside == {"in": (groups, 3), "conv": (groups, 3), "conv_state": (groups * 2, 3)}
    assert {one.cut.pieces for one in entries.values()} == {3}
    assert entries["out"].cut == Cut(3, "in")
    assert set(by_name(block.lower(SITE, caches=False))) == set(entries) - {"conv_state", "state"}
    plain = Mamba2(kind="mamba2", heads=3, d_head=5, d_state=7, norm=False, bias=True, conv_bias=False)
    assert _biased(by_name(plain.lower(SITE, caches=True))) == {"in", "out"}
    assert "norm" not in by_name(plain.lower(SITE, caches=True))
    kept = _of("activation", gate=inner, conv__input=inner + groups, dt=3, scan__output=inner)
    assert _kept(block) == kept | _of("fp32", norm__statistics=3)
    assert by_name(block.saves(SITE))["norm.statistics"].cut == Cut(3, otherwise="repeated")
    assert by_name(block.saves(SITE))["conv.input"].cut.beside == (groups, 3)
    assert set(_kept(plain)) == set(kept)


@pytest.mark.parametrize(("heads", "norms"), [(1, False), (1, True), (3, False)])
def test_a_state_space_of_channels(heads: int, norms: bool) -> None:
    """15 channels of states of 7, steps from a rank of 2, filters of 5 (Gu & Dao 2023, section 3.4)."""
    block = Mamba(kind="mamba", d_inner=15, d_state=7, dt_rank=2, d_conv=5, heads=heads, norms=norms)
    entries = by_name(block.lower(SITE, caches=True))
    own = 15 // heads
    assert shapes(entries.values()) == {
        "in": (D, 30), "conv": (15, 5), "x": (own, 2 + 2 * 7), "dt": (2, own), **({"norms": (2 + 2 * 7,)} if norms else {}),
        "A": (15 * 7,), "D": (15,), "scan": (1, 15 * 7, 0, 0), "conv_state": (15 * 5,), "state": (15 * 7,), "out": (15, D),
    }  # fmt: skip
    assert {(entries[name].stored, entries[name].used) for name in ("x", "dt")} == {(heads, heads)}
    assert (entries["x"].cut, entries["dt"].cut, entries["out"].cut) == (Cut(own, "in"), Cut(own), Cut(15, "in"))
    kept = _of("activation", conv__input=15, gate=15, x=heads * (2 + 2 * 7), scan__output=15)
    kept |= _of("activation", B=7, C=7) if heads == 1 else {}
    kept |= _of("fp32", scan__states=2 * 15 * 7)
    kept |= _of("fp32", norms__statistics=3) | _of("activation", dt__input=2) if norms else {}
    kept |= _of("activation", conv__output=15, dt=15, gated=15) if norms or heads > 1 else {}
    assert _kept(block) == kept


def test_norms_of_several_heads_of_a_state_space_are_not_known() -> None:
    with pytest.raises(RequestError, match="with norms and several heads"):
        list(Mamba(kind="mamba", heads=2, norms=True).saves(SITE))


@pytest.mark.parametrize(("d", "rank"), [(32, 2), (33, 3), (16, 1), (15, 1)])
def test_steps_of_a_state_space_are_expanded_from_a_sixteenth_of_the_width_that_begins(d: int, rank: int) -> None:
    """Of twice as many channels as the stream is wide."""
    found = shapes(Mamba(kind="mamba", d_state=7).lower(SITE._replace(d_model=d), caches=False))
    assert (found["x"], found["dt"]) == ((2 * d, rank + 2 * 7), (rank, 2 * d))


def test_a_gated_recurrence_of_channels() -> None:
    """De 2024: 15 channels in 3 blocks, for two gates of 5 by 5 each; the filter of 4 keeps the three inputs before the present one."""
    entries = by_name(RgLru(kind="rg-lru", width=15, blocks=3).lower(SITE, caches=True))
    assert shapes(entries.values()) == {
        "x": (D, 15), "y": (D, 15), "conv": (15, 4), "gates": (5, 5), "decay": (15,), "scan": (1, 0, 0, 0), "conv_state": (15 * 3,),
        "state": (15,), "out": (15, D),
    }  # fmt: skip
    assert (entries["gates"].stored, entries["gates"].used, entries["gates"].cut) == (6, 6, Cut(3, "copies"))
    assert _biased(entries) == {"x", "y", "conv", "gates", "out"}
    assert entries["out"].cut == Cut(3, "in")
    for width, wide in ((15, 15), (None, D)):
        kept = list(RgLru(kind="rg-lru", width=width, blocks=1).saves(SITE))
        assert [one.width for one in kept] == [wide] * 15


def test_mixing_of_time_and_of_channels() -> None:
    """RWKV-4 (Peng 2023, section 3.1): three mixed inputs; 20 channels with a numerator, a denominator and an exponent each."""
    entries = by_name(Rwkv(kind="rwkv", width=20).lower(SITE, caches=True))
    assert shapes(entries.values()) == {
        "shift": (3 * D,), "decay": (2 * 20,), "receptance": (D, 20), "key": (D, 20), "value": (D, 20), "scan": (1, 0, 0, 0),
        "shift_state": (D,), "state": (3 * 20,), "output": (20, D),
    }  # fmt: skip
    inputs = dict.fromkeys(("shifted", "receptance.input", "key.input", "value.input"), D)
    steps = ("receptance", "key", "value", "wkv", "product")
    for width, wide in ((20, 20), (None, D)):
        kept = {name: size for name, (size,) in shapes(Rwkv(kind="rwkv", width=width).saves(SITE)).items()}
        assert kept == inputs | dict.fromkeys(steps, wide)
    assert shapes(Rwkv(kind="rwkv").lower(SITE, caches=False))["decay"] == (2 * D,)
    mixing = ChannelMixing(kind="rwkv", d_ff=44)
    assert shapes(mixing.lower(SITE)) == {
        "shift": (2 * D,), "key": (D, 44), "receptance": (D, D), "shift_state": (D,), "value": (44, D),
    }  # fmt: skip
    assert "shift_state" not in shapes(mixing.lower(SITE._replace(causal=False)))
    assert shapes(mixing.saves(SITE)) == {
        "shifted": (D,), "key.input": (D,), "receptance.input": (D,), "relu": (44,), "squared": (44,), "value": (D,), "receptance": (D,),
    }  # fmt: skip


@pytest.mark.parametrize("rank", [None, 6])
def test_a_delta_rule_with_decays_of_channels(rank: int | None) -> None:
    """3 heads of 5 in chunks of 32 (Kimi Team 2025, section 3.2); gates by one matrix, or by two with a middle of 6."""
    width = 3 * 5
    block = KimiDelta(kind="kimi-delta", heads=3, head_dim=5, d_conv=2, chunk=32, gate_rank=rank)
    entries = by_name(block.lower(SITE, caches=True))
    if rank is None:
        gates = {"decay": (D, width), "gate": (D, width)}
    else:
        gates = {
            f"{name}{end}": size
            for name in ("decay", "gate")
            for end, size in (("_down", (D, rank)), ("_up", (rank, width)))
        }
    assert shapes(entries.values()) == {
        "q": (D, width), "k": (D, width), "v": (D, width), "conv": (3 * width, 2), **gates, "beta": (D, 3), "A_dt": (3 + width,),
        "scan": (32, 0, 3 * (3 * 32 * 32 * 5 + 3 * 32 * 5 * 5), 0), "conv_state": (3 * width * 2,), "state": (3 * 5 * 5,), "norm": (5,), "out": (width, D),
    }  # fmt: skip
    kept = _of(
        "activation", conv__input=3 * width, q__normed=width, k__normed=width, v=width, decay=width, beta__input=3
    )
    kept |= _of("activation", scores=3 * 32, solved=3 * 32, norm__input=width, norm__gate=width, out=width)
    kept |= _of("fp32", q__statistics=3, k__statistics=3, beta=3, norm__statistics=3)
    kept |= {} if rank is None else _of("activation", decay__down=rank, gate__down=rank)
    assert _kept(block) == kept


def test_a_delta_rule_of_heads() -> None:
    """2 heads of keys of 3, 6 of values of 5, in chunks of 16 (Yang 2024, section 3.3)."""
    block = GatedDeltaNet(
        kind="gated-delta-net", key_heads=2, value_heads=6, key_dim=3, value_dim=5, d_conv=2, chunk=16
    )
    keys, values = 2 * 3, 6 * 5
    entries = by_name(block.lower(SITE, caches=True))
    work = 2 * 16 * 16 * 3 + 16 * 16 * 5 + 3 * 16 * 3 * 5
    assert shapes(entries.values()) == {
        "qkvz": (D, 2 * keys + 2 * values), "ba": (D, 2 * 6), "conv": (2 * keys + values, 2), "A_dt": (2 * 6,), "scan": (16, 0, 6 * work, 0),
        "conv_state": ((2 * keys + values) * 2,), "state": (6 * 3 * 5,), "norm": (5,), "out": (values, D),
    }  # fmt: skip
    assert {one.cut.pieces for one in entries.values() if getattr(one, "cut", None)} == {2}
    kept = _of("activation", conv__input=2 * keys + values, q__normed=keys, k__normed=keys, v=values, beta=6)
    kept |= _of("activation", solved=6 * 16, norm__input=values, norm__gate=values, out=values)
    kept |= _of("fp32", q__statistics=2, k__statistics=2, decay__input=6, decay=6, decay__sums=6, norm__statistics=6)
    assert _kept(block) == kept


@pytest.mark.parametrize("chunk", [8, 16, 32, 64, 128])
def test_kernels_of_delta_rules_take_chunks_of_few_lengths(chunk: int) -> None:
    """Those of heads 16, 32 and 64 positions, those of channels the last two."""
    heads = GatedDeltaNet(kind="gated-delta-net", key_heads=2, value_heads=6, key_dim=3, value_dim=5, chunk=chunk)
    channels = KimiDelta(kind="kimi-delta", heads=3, head_dim=5, chunk=chunk)
    taken: tuple[tuple[Any, tuple[int, ...]], ...] = ((heads, (16, 32, 64)), (channels, (32, 64)))
    for block, lengths in taken:
        if chunk in lengths:
            assert list(block.saves(SITE))
        else:
            with pytest.raises(RequestError, match=f"in chunks of other than {', '.join(map(str, lengths))} positions"):
                list(block.saves(SITE))


def test_what_borrows_its_keys_reads_a_cache_and_keeps_none() -> None:
    for borrows in (True, False):
        caches = [
            one
            for one in by_name(
                Attention(heads=4, window=8, pattern=("local", "global"), borrows_keys=borrows).lower(SITE, caches=True)
            ).values()
            if hasattr(one, "slot")
        ]
        assert [(one.slot, one.window, one.stored) for one in caches] == [(0, 8, 1 - borrows), (1, None, 1 - borrows)]
