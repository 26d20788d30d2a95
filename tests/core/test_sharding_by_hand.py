"""One device's part of a single entry, and what devices cannot share, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.layers import Every
from tscale.core.ledger import Block, Buffer, Cache, Conv, Cut, Group, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import (
    check_experts,
    check_tensor,
    cut_width,
    division,
    fits,
    is_mixture,
    serving_share,
    shard,
    share_of,
    shares_of,
    tensor_degrees,
)
from tscale.errors import RequestError

FEED = Block("decoder", "feed-forward")
MIXER = Block("decoder", "mixer")
UP = Matmul("up", "up", "feed_forward", "target", 10, 24, cut=Cut(24), stored=2, used=2, block=FEED)
DOWN = Matmul("down", "down", "feed_forward", "target", 24, 10, cut=Cut(24, "in"), stored=2, used=2, block=FEED)
OUT = Matmul("o", "o", "attention", "target", 12, 10, cut=Cut(6, "in"), stored=2, used=2, block=MIXER)
EXPERT = UP._replace(name="expert", experts=8, stored=16, used=4)
EXPERT_DOWN = DOWN._replace(name="expert.down", experts=8, stored=16, used=4)
ONE = Parallelism()


def shared(entry: Any, plan: Parallelism) -> Any:
    (found,) = share_of(Ledger.of("x", (entry,)), plan).entries
    return found


def test_each_kind_of_entry_is_cut_where_it_says() -> None:
    """Over 3 devices: columns, rows, blocks, rows of a table, heads, channels and all work of a recurrence."""
    plan, by_6 = Parallelism(tensor=3), Cut(6)
    assert shared(UP, plan) == UP._replace(d_out=8)
    assert shared(DOWN, plan) == DOWN._replace(d_in=8)
    assert shared(UP._replace(cut=Cut(6, "copies"), stored=6, used=12), plan) == UP._replace(
        cut=Cut(6, "copies"), stored=2, used=4
    )
    assert shared(UP._replace(cut=None), plan) == UP._replace(cut=None)
    assert shared(Lookup("t", "embedding", "embedding", 100, 10, cut=Cut(100, otherwise="padded")), plan).rows == 34
    assert shared(Vector("v", "norm", "norm", 12, cut=by_6), plan).width == 4
    assert shared(Cache("c", "kv", "target", 12, cut=by_6), plan).width == 4
    assert shared(Scores("s", "target", "target", 6, 1, 1, True, cut=by_6), plan).heads == 2
    assert shared(Conv("c", "conv", "mixer", "target", 12, 4, cut=by_6), plan).channels == 4
    scan = Scan("s", "target", per_position=6, chunk=2, per_chunk=12, per_edge_pair=18, per_pair=24, cut=by_6)
    assert shared(scan, plan) == scan._replace(per_position=2, per_chunk=4, per_edge_pair=6, per_pair=8)
    assert shared(scan._replace(per_pair=None), plan).per_pair is None
    assert shared(Buffer("b", "bias", "norm", 12), plan).width == 12


@pytest.mark.parametrize(
    ("cut", "devices", "width"),
    [
        (Cut(4), 1, 40), (Cut(4), 2, 20), (Cut(4, otherwise="repeated"), 2, 20), (Cut(4, otherwise="repeated"), 8, 10), (Cut(40, otherwise="padded"), 3, 14),
        (Cut(4, beside=(8, 2)), 2, 16 + 4), (Cut(4, beside=(8, 2)), 4, 8 + 4), (Cut(4, beside=(8, 4)), 2, 16 + 4),
    ],
)  # fmt: skip
def test_a_width_on_one_device(cut: Cut, devices: int, width: int) -> None:
    """Of 40 numbers in 4 pieces; 8 of them are of groups, of which a device has whole ones."""
    assert cut_width(40, cut, devices) == width


@pytest.mark.parametrize(
    ("plan", "stored", "experts", "d_out"),
    [(ONE, 16, 8, 24), (Parallelism(expert=4, data=4), 4, 2, 24), (Parallelism(tensor=3), 16, 8, 8), (Parallelism(tensor=3, expert_tensor=2), 16, 8, 12), (Parallelism(3, data=8, expert=8, expert_tensor=1), 2, 1, 24)],
)  # fmt: skip
def test_experts_are_spread_and_cut_by_degrees_of_their_own(
    plan: Parallelism, stored: int, experts: int, d_out: int
) -> None:
    found = shared(EXPERT, plan)
    assert (found.stored, found.experts, found.d_out, found.used) == (stored, experts, d_out, 4)
    assert found.one_of == (plan.expert > 1)
    assert is_mixture(Ledger.of("x", (found,)))


def test_an_engine_s_device_computes_for_the_tokens_of_all_ranks() -> None:
    """Of 4 uses over 2 ranks of data and 4 groups of experts a device has 2; without any, all 4."""
    layout = ServingLayout(tensor=2, attention_data=2, expert=4, expert_tensor=1)
    expert, dense = serving_share(Ledger.of("x", (EXPERT, UP)), layout).entries
    assert (expert.used, expert.experts, expert.stored, expert.d_out, dense.d_out) == (2, 2, 4, 24, 12)  # type: ignore[union-attr]
    alone = serving_share(Ledger.of("x", (EXPERT,)), ServingLayout(tensor=2, expert_tensor=2)).entries[0]
    assert (alone.used, alone.d_out) == (4, 12)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("entry", "plan", "said"),
    [
        (UP, ONE, "whole"), (UP, Parallelism(3), "1/3"), (UP._replace(cut=None), Parallelism(3), "whole"), (EXPERT, Parallelism(2, data=4, expert=4), "1/8"),
        (OUT._replace(cut=Cut(2, otherwise="repeated")), Parallelism(8), "1/2, 4 hold the same"), (OUT._replace(cut=Cut(1, otherwise="repeated")), Parallelism(4), "whole"),
        (Lookup("t", "embedding", "embedding", 100, 10, cut=Cut(100, otherwise="padded")), Parallelism(3), "1/3, padded"),
        (Lookup("t", "embedding", "embedding", 100, 10, cut=Cut(100, otherwise="padded")), Parallelism(4), "1/4"),
        (UP._replace(cut=Cut(24, beside=(8, 2))), Parallelism(4), "1/4, groups repeated"), (UP._replace(cut=Cut(24, beside=(8, 4))), Parallelism(4), "1/4"),
        (Buffer("b", "bias", "norm", 12), Parallelism(3), "whole"),
    ],
)  # fmt: skip
def test_how_an_entry_stands_on_a_device(entry: Any, plan: Parallelism, said: str) -> None:
    assert division(entry, plan) == said


REPEATED = OUT._replace(cut=Cut(4, "in", otherwise="repeated"))
UNCUT = Conv("conv", "conv", "mixer", "target", 12, 4)


def test_degrees_that_a_model_can_be_shared_by() -> None:
    assert tensor_degrees(Ledger.of("x", (UP, OUT))) == [1, 2, 3, 6]
    assert tensor_degrees(Ledger.of("x", (UP, REPEATED))) == [1, 2, 4, 8, 12, 24]
    assert tensor_degrees(Ledger.of("x", (EXPERT, OUT._replace(cut=Cut(5, "in"))))) == [1]
    assert tensor_degrees(Ledger.of("x", (EXPERT, OUT)), experts=False) == [1, 2, 3, 6]
    assert tensor_degrees(Ledger.of("x", (UP, UNCUT))) == [1]
    assert tensor_degrees(Ledger.of("x", (UP._replace(part="mixer", cut=None),))) == [1]
    assert tensor_degrees(Ledger.of("x", (UP._replace(part="mixer", cut=None, role="lora_a"), OUT))) == [1, 2, 3, 6]
    assert tensor_degrees(Ledger.of("x", (Vector("v", "norm", "norm", 3),))) == [1]
    assert tensor_degrees(Ledger.of("x", (UP._replace(cut=Cut(24, beside=(8, 4))),))) == [1, 2, 4, 8, 12, 24]


REFUSED: list[tuple[Any, Parallelism, str]] = [
    ((UP, OUT), Parallelism(4), "4 devices cannot share o of x, which is cut into 6 pieces: use 1, 2, 3 or 6"),
    ((UP, UNCUT), Parallelism(2), "tscale does not know how devices share conv of x: use tensor parallelism of 1"),
    ((UP,), Parallelism(data=2, expert=2), "x has no routed experts to assign to 2 devices: drop --expert"),
    ((EXPERT,), Parallelism(data=3, expert=3, expert_tensor=1), "3 devices cannot share 8 experts of x evenly: use 1"),
    ((EXPERT, UP._replace(name="other", experts=12, stored=12)), Parallelism(data=24, expert=3, expert_tensor=1), "3 devices cannot share 8 and 12 experts of x evenly: use 1, 2 or 4"),
    ((EXPERT,), Parallelism(5), "5 devices cannot share an expert of x, which is cut into 24 pieces: use 1, 2, 3, 4, 6, 8, 12 or 24"),
    ((EXPERT,), Parallelism(data=5, expert_tensor=5), "5 devices cannot share an expert of x, which is cut into 24 pieces: use --expert-tensor 1"),
    ((EXPERT._replace(part="attention", cut=None),), Parallelism(data=6, expert=4, expert_tensor=1), "x has experts of attention, which stay with their keys and values: expert parallelism by 4 is over the 6 devices of data and context parallelism, which it does not divide: use 1 or 2"),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "plan", "said"), REFUSED)
def test_what_devices_cannot_share(entries: Any, plan: Parallelism, said: str) -> None:
    ledger = Ledger.of("x", entries)
    assert not fits(ledger, plan)

    def check() -> None:
        check_tensor(ledger, plan)
        check_experts(ledger, plan)

    with pytest.raises(RequestError) as refused:
        check()
    assert str(refused.value) == said


def test_stages_that_are_alike_are_one_ledger() -> None:
    group = Group(Every(), "decoder", 2, None, (UP,))
    stages = [Ledger("x", (group._replace(layers=layers),)) for layers in (2, 3, 2)]
    first, second, third = shares_of(stages, Parallelism(3))
    assert first is third
    assert first is not second
    assert first == shard(stages[0], Parallelism(3))
