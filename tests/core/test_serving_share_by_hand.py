"""What a device of a deployment has of a few small matrices, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.deployed import deployed
from tscale.core.costs.roofline import Dtypes
from tscale.core.costs.serving_share import MatrixLine, StateLine, Structure
from tscale.core.dtypes import DTYPES
from tscale.core.layers import Every, Places
from tscale.core.ledger import Block, Buffer, Cache, Conv, Cut, Group, Ledger, Lookup, Matmul, Scan, Scores, Vector

FEED, MIXER = Block("decoder", "feed-forward"), Block("decoder", "mixer")
UP = Matmul("up", "up", "feed_forward", "target", 10, 24, cut=Cut(24), stored=2, used=2, block=FEED)
Q = Matmul("q", "q", "attention", "target", 10, 12, cut=Cut(6), stored=2, used=2, block=MIXER)
HEAD = Matmul("head", "head", "head", "target", 10, 100, cut=Cut(100, otherwise="padded"))
BF16 = Dtypes(DTYPES["bf16"], DTYPES["bf16"], {"": 1000})


def of(*entries: Any, dtypes: Dtypes = BF16, tensor: int = 1, **how: Any) -> Any:
    return deployed(Ledger.of("x", entries), dtypes, tensor, **how)


def test_matrices_by_where_they_stand() -> None:
    """Two FLOPs a weight and token, and two bytes a weight, of half of them on two devices; keys and values of latents once more."""
    one = of(UP, Q, Q._replace(name="kv_up", role="kv_up"), HEAD, tensor=2)
    assert one.dense == (MatrixLine(2 * 2 * 120, 1000, 2 * 2 * 120),)
    assert one.attention == (MatrixLine(2 * 2 * (60 + 60), 1000, 2 * 2 * (60 + 60)),)
    assert one.head == (MatrixLine(2 * 500, 1000, 2 * 500),)
    assert (one.spread, one.experts, one.tables) == (2 * 2 * 60, (), 0)
    assert (one.experts_of_layer, one.chosen, one.groups, one.devices) == (1, 1, None, 2)
    assert one.weight_bytes == 2 * (240 + 240 + 500)


@pytest.mark.parametrize(
    ("experts", "how", "flops", "held"),
    [
        (8, {}, 1, 1), (8, {"tensor": 2}, 1, 1), (2, {"tensor": 2}, 1, 1), (8, {"tensor": 2, "copies": 4, "expert": 8}, 1 / 8, 1 / 8), (8, {"expert": 4, "expert_tensor": 2}, 1 / 8, 1 / 8),
        (8, {"expert": 3}, 1 / 3, 3 / 8), (2, {"tensor": 2, "expert": 2}, 1 / 2, 1 / 2),
    ],
)  # fmt: skip
def test_experts_are_spread_and_cut_whatever_attention_is(
    experts: int, how: dict[str, Any], flops: float, held: float
) -> None:
    """Two layers of them, of which a token meets one each; over three devices one has three of eight, and a third of the work."""
    entry = UP._replace(experts=experts, stored=2 * experts, used=2, groups=(4, 2))
    one = of(entry, **how)
    ((found,)) = one.experts
    assert (found.flops, found.bytes) == pytest.approx((2 * 2 * 240 * flops, 2 * 2 * experts * 240 * held))
    assert (one.experts_of_layer, one.chosen, one.groups) == (experts, 1, (4, 2))


@pytest.mark.parametrize(
    ("role", "format", "whole"), [("down", "bf16", 2 * 24), ("down", "int8", (2 + 4) * 24), ("up", "int8", 0)]
)
def test_devices_that_cut_an_expert_each_have_the_biases_of_its_sums(role: Any, format: str, whole: int) -> None:
    """And the scales of its rows, of 4 bytes; of a matrix whose rows are cut, each has its part."""
    entry = UP._replace(role=role, bias=True, experts=8, stored=16, used=2)
    dtypes = BF16._replace(weights=DTYPES[format])
    alone, cut = (of(entry, dtypes=dtypes, tensor=4, expert_tensor=devices).weight_bytes for devices in (1, 4))
    assert cut == pytest.approx(alone / 4 + 16 * whole * 3 / 4)


def test_tables_vectors_and_buffers_are_hardly_read_and_convolutions_are() -> None:
    table, norm, bias = (
        Lookup("t", "embedding", "embedding", 100, 10),
        Vector("n", "norm", "norm", 10),
        Buffer("b", "bias", "norm", 8),
    )
    conv = Conv("c", "conv", "mixer", "target", 6, 4, used=2, stored=2, block=MIXER)
    one = of(table, norm, bias, conv, UP)
    assert one.tables == 2 * (1000 + 10 + 8)
    assert one.attention == (MatrixLine(2 * 2 * 24, 1000, 2 * 2 * 24),)
    assert one.weight_bytes == 2 * (1018 + 48 + 480)
    assert one.d_model == 10


@pytest.mark.parametrize(("format", "bits"), [("bf16", 16), ("fp8", 16), ("fp32", 32)])
def test_states_are_kept_in_16_bits_at_the_least(format: str, bits: int) -> None:
    """Three layers of 20 numbers, and keys and values of 24 in the format of the cache."""
    scan = Scan("r", "target", per_position=3, chunk=4, used=3, block=MIXER)
    state = Cache("state", "state", "once", 20, stored=3, block=MIXER)
    scores = Scores("s", "target", "target", 2, 3, 4, True, used=2, cache=0, block=MIXER)
    kv = Cache("kv", "kv", "target", 24, stored=2, block=MIXER)
    one = of(scan, state, scores, kv, UP, dtypes=BF16._replace(cache=DTYPES[format]))
    assert one.state == StateLine(3 * 20 * bits / 8, (scan,))
    assert [line.key_bytes for line in one.attended] == [24 * DTYPES[format].bits / 8]


def test_layers_are_counted_by_what_they_have() -> None:
    """Six layers: each with scores, every second one with a router and with latents, one with a recurrence instead; tables are none."""
    scores = Scores("s", "target", "target", 2, 3, 4, True, block=MIXER)
    router = Matmul("router", "router", "feed_forward", "target", 10, 8, block=FEED)
    spread = Matmul("kv_up", "kv_up", "attention", "target", 5, 12, block=MIXER)
    scan = Scan("r", "target", per_position=3, chunk=4, block=MIXER)
    odd = Places(Every(), (1,), 2)
    groups = (
        Group("start", "none", 1, None, (Lookup("t", "embedding", "embedding", 100, 10), router)),
        Group(Every(), "decoder", 6, None, (scores, scores)), Group(odd, "decoder", 3, None, (router, spread, router)), Group(Every(), "decoder", 1, None, (scan,)),
    )  # fmt: skip
    assert deployed(Ledger("x", groups), BF16, 1).structure == Structure(
        layers=7, routed=3, latent=3, linear=1, indexed=0
    )
