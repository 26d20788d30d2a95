"""What heads score with, what blocks with gates and streams own, and keys that are borrowed: of small widths, multiplied by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tscale.blocks.attention import Attention, Widths
from tscale.blocks.fields import LayerContext
from tscale.blocks.latent import LatentAttention
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.mlstm import Mlstm
from tscale.blocks.shared import SharedBlock
from tscale.blocks.streams import HyperConnections
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
    """4 heads of 8 on 2 of keys, with values of 6: fused kernels keep 2 heads, and step by step all 4."""
    kept = {one.name: one for one in _flat(Attention(heads=4, kv_heads=2, head_dim=8, v_dim=6).saves(SITE))}
    assert [(kept[name].width, kept[name].keeping) for name in ("m.k", "m.v")] == [
        (2 * 8, ("selective", "flash")), (2 * 6, ("selective", "flash")),
    ]  # fmt: skip
    assert [(kept[f"{name}.repeated"].width, kept[f"{name}.repeated"].keeping) for name in ("m.k", "m.v")] == [
        (4 * 8, ("naive",)), (4 * 6, ("naive",)),
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
