"""Parameters of a ledger with one entry of each kind, by each way of counting them."""

from __future__ import annotations

from tscale.core.costs.params import active_params, buffers, embedding_params, non_embedding_params, params
from tscale.core.ledger import Buffer, Cache, Conv, Ledger, Lookup, Matmul, Scan, Scores, Vector

LEDGER = Ledger.of(
    "x",
    (
        Lookup("table", "embedding", "embedding", 100, 7),
        Lookup("positions", "positions", "positions", 20, 7),
        Matmul("experts", "up", "feed_forward", "target", 7, 11, bias=True, experts=8, stored=16, used=4),
        Matmul("shared", "q", "attention", "target", 7, 7, stored=1, used=3),
        Conv("conv", "conv", "mixer", "target", 7, 4, bias=True, stored=2, used=2),
        Vector("norm", "norm", "norm", 7, stored=5),
        Buffer("bias", "bias", "feed_forward", 8, stored=2),
        Scores("scores", "target", "target", 1, 7, 7, True),
        Scan("scan", "target"),
        Cache("cache", "kv", "target", 14),
        Matmul("head", "head", "head", "target", 7, 100),
    ),
)  # fmt: skip


def test_each_way_of_counting() -> None:
    """A matrix that three layers share counts once; of 16 experts a token meets 4; a depthwise convolution has 4 weights and a bias."""
    tables, experts, rest, head = 120 * 7, 7 * 11 + 11, 49 + 2 * (7 * 4 + 7) + 5 * 7, 700
    assert params(LEDGER).total == tables + 16 * experts + rest + head
    assert active_params(LEDGER).total == tables + 4 * experts + rest + head
    assert embedding_params(LEDGER).total == tables + head
    assert non_embedding_params(LEDGER) == 16 * experts + rest
    assert buffers(LEDGER).total == 2 * 8
