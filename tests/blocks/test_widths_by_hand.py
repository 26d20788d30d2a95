"""What heads score with, what blocks with gates and streams own, and keys that are borrowed: of small widths, multiplied by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tscale.blocks.attention import Attention, Widths
from tscale.blocks.bottleneck import Bottleneck
from tscale.blocks.compressed import CompressedAttention
from tscale.blocks.fields import LayerContext
from tscale.blocks.latent import LatentAttention
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.mlstm import Mlstm
from tscale.blocks.shared import SharedBlock
from tscale.blocks.streams import HyperConnections
from tscale.core.costs.params import size
from tscale.core.ledger import Cache, Matmul, Scan, Scores, Subset, Vector

SITE = LayerContext("m", 32, 5, "target", "target", True)


def _flat(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        yield from _flat(item.items) if isinstance(item, Subset) else (item,)


def _sizes(items: Iterable[Any]) -> dict[str, tuple[int, ...]]:
    """Rows and columns of matrices, widths of vectors and caches, by the ends of their names."""
    return {
        one.name.removeprefix("m").lstrip("."): (one.d_in, one.d_out) if isinstance(one, Matmul) else (one.width,)
        for one in _flat(items)
        if isinstance(one, Matmul | Vector | Cache)
    }


def test_a_latent_head_scores_with_both_of_its_parts() -> None:
    """DeepSeek-V3's: 128 numbers without positions and 64 with them, of each of 128 heads."""
    block = LatentAttention(kind="latent", heads=128, kv_rank=512, nope_dim=128, rope_dim=64, v_dim=128)
    assert block.widths(7168) == Widths(128, 128, 192)


def test_a_shared_block_is_twice_as_wide() -> None:
    """Its 8 heads share 2·32 numbers, unless their width is said; it scores against the cache that it keeps."""
    state = Mamba2(kind="mamba2", heads=4, d_head=16, d_state=8)
    block = SharedBlock(kind="shared-block", heads=8, d_ff=48, mamba=state)
    assert block.widths(32) == Widths(8, 8, 8)
    wide = SharedBlock(kind="shared-block", heads=8, kv_heads=2, head_dim=5, d_ff=48, mamba=state)
    assert wide.widths(32) == Widths(8, 2, 5)
    entries = list(_flat(block.lower(SITE, caches=True)))
    (scores,) = (one for one in entries if isinstance(one, Scores))
    assert [
        one.width for one in entries if isinstance(one, Cache) and one.slot == scores.cache and one.role == "kv"
    ] == [2 * 8 * 8]


@pytest.mark.parametrize(("kv_heads", "repeated"), [(1, 8 * 16), (2, 8 * 16), (4, 8 * 16), (8, 0), (None, None)])
def test_borrowed_keys_are_repeated_for_heads_that_share_them(kv_heads: int | None, repeated: int | None) -> None:
    """8 heads of 16 step by step: keys of fewer heads are copied for all; with a key for each head there is nothing to copy."""
    block = Attention(heads=8, kv_heads=kv_heads, head_dim=16, borrows_keys=True)
    kept = {one.name: one for one in _flat(block.saves(SITE))}
    for name in ("m.k", "m.v"):
        copies = kept.get(f"{name}.repeated")
        assert (None if copies is None else copies.width) == repeated
        assert kept[name.replace("m.", "m.borrowed.")].width == (kv_heads or 8) * 16
        assert name not in kept


def test_own_keys_are_kept_as_they_are_or_repeated() -> None:
    """4 heads of 8 on 2 of keys, with values of 6: fused kernels keep 2 heads, or all 4 of copies, as step by step."""
    kept = list(_flat(Attention(heads=4, kv_heads=2, head_dim=8, v_dim=6).saves(SITE)))
    found = [(one.name, one.width, one.keeping, one.repeated) for one in kept if one.name[:3] in ("m.k", "m.v")]
    fused = ("selective", "flash")
    assert found == [
        ("m.k", 2 * 8, fused, False), ("m.k.repeated", 4 * 8, ("naive",), None), ("m.k.repeated", 4 * 8, fused, True),
        ("m.v", 2 * 6, fused, False), ("m.v.repeated", 4 * 6, ("naive",), None), ("m.v.repeated", 4 * 6, fused, True),
    ]  # fmt: skip


def test_a_matrix_memory() -> None:
    """4 heads with keys of 8 and values of 16, in chunks of 64; the memory has a normaliser of 8 and a number for its range."""
    block = Mlstm(kind="mlstm", heads=4, qk_dim=8, v_dim=16, chunk=64)
    entries = list(_flat(block.lower(SITE, caches=True)))
    assert _sizes(entries) == {
        "q": (32, 4 * 8), "k": (32, 4 * 8), "v": (32, 4 * 16), "output_gate": (32, 4 * 16), "gates": (32, 2 * 4),
        "state": (4 * (8 * 16 + 8 + 1),), "norm": (4 * 16,), "out": (4 * 16, 32),
    }  # fmt: skip
    (scan,) = (one for one in entries if isinstance(one, Scan))
    assert (scan.per_position, scan.per_chunk, scan.chunk) == (4 * (2 * 8 * 16 + 8), 4 * 64 * 64 * (8 + 16), 64)
    assert not scan.padded
    biased = [one.name for one in entries if isinstance(one, Matmul) and one.bias]
    assert biased == ["m.gates"]


def test_streams_are_weighed_in_and_out_and_mixed() -> None:
    """4 streams of 32: one weight in, one out, and 4 to mix with, of each stream; without mixing two of each, and two scales."""
    mixed, apart = (
        HyperConnections(kind="hyper-connections", count=4),
        HyperConnections(kind="hyper-connections", count=4, mixed=False),
    )
    entries = list(mixed.lower(SITE, "attention", "attention"))
    assert _sizes(entries) == {
        "streams.attention": (4 * 32, 4 + 4 + 4 * 4), "streams.attention.bias": (24,), "streams.attention.scale": (3,),
        "streams.attention.mix": (4, 4 * 32),
    }  # fmt: skip
    assert [one.stored for one in entries if isinstance(one, Matmul) and one.name.endswith(".mix")] == [0]
    assert _sizes(apart.lower(SITE, "attention", "attention")) == {
        "streams.attention": (4 * 32, 8), "streams.attention.bias": (8,), "streams.attention.scale": (2,),
    }  # fmt: skip
    assert _sizes(mixed.lower_end(SITE)) == {
        "streams.end": (4 * 32, 4),
        "streams.end.bias": (4,),
        "streams.end.scale": (1,),
    }


def test_a_layer_of_mobilebert_has_as_many_weights_as_its_modules() -> None:
    """Sun 2020, table 1, as transformers' modules have it, a bias in each: two projections into 8 of 32, queries and keys of 8, values
    of 32, four feed-forwards of 16, one out; and seven gains and biases of 8 that stand for norms.
    """
    block = Bottleneck(kind="bottleneck", heads=2, width=8, d_ff=16)
    assert block.widths(32) == Widths(2, 2, 4)
    assert not list(block.problems(32))
    assert len(list(Bottleneck(kind="bottleneck", heads=3, width=8, d_ff=16).problems(32))) == 1
    lowered = list(block.lower(SITE, caches=True))
    matrices = {one.name.removeprefix("m."): one for one in lowered if isinstance(one, Matmul)}
    into, narrow, out = 32 * 8 + 8, 8 * 8 + 8, 8 * 32 + 32
    weights = {
        "in": into, "shared": into, "q": narrow, "k": narrow, "v": into, "o": narrow,
        "up": 8 * 16 + 16, "down": 16 * 8 + 8, "out": out,
    }  # fmt: skip
    assert {name: size(one) for name, one in matrices.items()} == weights
    four = {name for name, one in matrices.items() if one.stored == one.used == 4}
    assert four == {"up", "down"} == {name for name, one in matrices.items() if (one.stored, one.used) != (1, 1)}
    assert [(one.cut.pieces, one.cut.axis) for one in matrices.values() if one.cut] == [
        *[(2, "out")] * 3, (2, "in"), (16, "out"), (16, "in"),
    ]  # fmt: skip
    assert [one.width for one in lowered if isinstance(one, Vector)] == [7 * 2 * 8]
    (scores,) = (one for one in lowered if isinstance(one, Scores))
    assert (scores.heads, scores.d_qk, scores.d_v) == (2, 4, 4)


def _compressed(**given: Any) -> CompressedAttention:
    sizes = {"heads": 4, "head_dim": 8, "q_rank": 16, "groups": 2, "group_rank": 6, "window": 4}
    return CompressedAttention(kind="compressed", **sizes | given)


def test_heads_of_compressed_attention_come_back_in_groups() -> None:
    """Four heads of 8 in two groups: 16 numbers of each are brought to 6, and twice 6 back to 32."""
    found = _sizes(_flat(_compressed().lower(SITE, caches=True)))
    expected = {"q_down": (32, 16), "q_up": (16, 32), "kv": (32, 8), "o_down": (16, 6), "o_up": (12, 32), "cache": (8,)}
    assert {name: sizes for name, sizes in found.items() if name in expected} == expected


def test_what_is_picked_is_compressed_first() -> None:
    index = {"index_heads": 2, "index_dim": 4, "index_top_k": 8}
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, []), ({"ratio": 4}, []), ({"ratio": 4, "overlapping": True}, []), ({"ratio": 4, **index}, []),
        ({"overlapping": True}, ["ratio"]), (index, ["ratio"]), ({"groups": 3}, ["groups"]),
        ({"ratio": 4, "index_dim": 4}, ["index_heads"]), ({"ratio": 4, "index_heads": 2}, ["index_heads"]),
    ]  # fmt: skip
    for given, wrong in cases:
        assert [where for (where,), _ in _compressed(**given).problems(32)] == wrong, given
