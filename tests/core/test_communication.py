"""What devices that share a few small matrices send one another, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tscale.core.costs.communication import (
    _whole,
    all_reduce,
    copies_of,
    dense_sums,
    expert_sums,
    gradients,
    tensor_sums,
)
from tscale.core.ledger import Block, Buffer, Cut, Ledger, Lookup, Matmul, Scores
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths

FEED = Block("decoder", "feed-forward")
MIXER = Block("decoder", "mixer")
UP = Matmul("up", "up", "feed_forward", "target", 10, 24, cut=Cut(24), stored=2, used=2, block=FEED)
DOWN = Matmul("down", "down", "feed_forward", "target", 24, 10, cut=Cut(24, "in"), stored=2, used=2, block=FEED)
OUT = Matmul("o", "o", "attention", "target", 12, 10, cut=Cut(6, "in"), stored=2, used=2, block=MIXER)
EXPERT = UP._replace(name="expert", experts=8, stored=16, used=4)
EXPERT_DOWN = DOWN._replace(name="expert.down", experts=8, stored=16, used=4)

RUN = SequenceLengths(7, 5)
MODEL = Ledger.of(
    "x",
    (
        UP,
        DOWN,
        OUT,
        EXPERT,
        EXPERT_DOWN,
        DOWN._replace(name="lora", role="lora_a"),
        UP._replace(name="uncut", cut=None),
    ),
)


def test_sums_of_each_sub_layer() -> None:
    """7 positions in 2 layers of 10 numbers of 2 bytes: after attention, and once for all experts of a feed-forward."""
    each = 7 * 2 * 10 * 2
    assert [(line.name, line.value) for line in tensor_sums(MODEL, RUN, 2).lines] == [
        ("expert.down", each),
        ("o", each),
    ]
    assert [line.value for line in tensor_sums(MODEL, RUN, 2, parallel_block=True).lines] == [each // 2, each // 2]
    assert [line.name for line in dense_sums(MODEL, RUN, 2).lines] == ["down", "o"]
    assert [(line.name, line.value) for line in expert_sums(MODEL, RUN, 2).lines] == [("expert.down", each)]
    source = Ledger.of("x", (OUT._replace(stream="source"),))
    assert tensor_sums(source, RUN, 4).total == 5 * 2 * 10 * 4
    assert [all_reduce(100, devices) for devices in (1, 2, 3, 8)] == [0, 100, 134, 175]


WEIGHTS = 2 * 10 * 24
"""Of one dense matrix, in two layers."""


def exchanged(plan: Parallelism, *entries: Any, micro_batches: int = 4) -> list[tuple[int, int, int, int]]:
    found = gradients(Ledger.of("x", entries), plan, micro_batches, 16, 8)
    return [(one.copies, one.scattered, one.gathered, one.apart) for one in found]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (Parallelism(), []), (Parallelism(tensor=2), []), (Parallelism(2, data=3), [(3, 2 * WEIGHTS, WEIGHTS, 2)]), (Parallelism(data=3, context=2), [(6, 2 * WEIGHTS, WEIGHTS, 1)]),
        (Parallelism(data=3, zero=1), [(3, 2 * WEIGHTS, WEIGHTS, 1)]), (Parallelism(data=3, zero=2), [(3, 4 * 2 * WEIGHTS, WEIGHTS, 1)]),
        (Parallelism(data=3, zero=2, pipeline=2), [(3, 2 * WEIGHTS, WEIGHTS, 1)]),
        (Parallelism(data=3, zero=3), [(3, 4 * 2 * WEIGHTS, 4 * (2 * WEIGHTS - WEIGHTS // 2), 1)]),
        (Parallelism(data=3, zero=3, pipeline=2), [(3, 4 * 2 * WEIGHTS, 4 * (2 * WEIGHTS - WEIGHTS // 2), 1)]),
        (Parallelism(data=6, zero=1, shards=3), [(3, 2 * WEIGHTS, WEIGHTS, 1), (2, 2 * WEIGHTS // 3, 2 * WEIGHTS // 3, 3)]),
        (Parallelism(data=6, shards=3), [(6, 2 * WEIGHTS, WEIGHTS, 1)]), (Parallelism(data=6, zero=1, shards=1), [(6, 2 * WEIGHTS, 2 * WEIGHTS, 1)]), (Parallelism(data=6, zero=1, shards=6), [(6, 2 * WEIGHTS, WEIGHTS, 1)]),
    ],
)  # fmt: skip
def test_gradients_and_weights_that_copies_exchange(
    plan: Parallelism, expected: list[tuple[int, int, int, int]]
) -> None:
    """Gradients in 16 bits and weights in 8, of 4 micro-batches. Stage 3 gathers each weight twice but for one of two layers."""
    assert exchanged(plan, UP) == expected


def test_what_is_not_trained_is_gathered_and_has_no_gradient() -> None:
    assert exchanged(Parallelism(data=3), UP._replace(trained=False)) == [(3, 0, 0, 1)]
    assert exchanged(Parallelism(data=3, zero=3), UP._replace(trained=False)) == [
        (3, 0, 4 * (2 * WEIGHTS - WEIGHTS // 2), 1)
    ]
    assert (
        exchanged(Parallelism(data=3), Buffer("b", "bias", "norm", 12), Scores("s", "target", "target", 1, 1, 1, True))
        == []
    )
    table = Lookup("t", "embedding", "embedding", 100, 10)
    assert exchanged(Parallelism(data=3, zero=3), table) == [(3, 4 * 2000, 4 * 1000, 1)]


def test_experts_have_copies_of_their_own() -> None:
    """12 copies of the rest, and 3 of each expert that 4 devices are assigned; a single one's are as far apart as those devices."""
    plan = Parallelism(2, data=12, expert=4, expert_tensor=2)
    assert [copies_of(entry, plan) for entry in (UP, EXPERT)] == [(12, 2), (3, 8)]
    folded = plan._replace(expert_tensor=1)
    assert [copies_of(entry, folded) for entry in (UP, EXPERT)] == [(12, 2), (6, 4)]
    attention = EXPERT._replace(part="attention")
    assert copies_of(attention, plan) == (3, 8)
    found = exchanged(plan, EXPERT)
    assert found == [(3, 2 * 16 * 240, 16 * 240, 8)]
    assert exchanged(plan._replace(zero=3), EXPERT) == [(3, 4 * 2 * 16 * 240, 4 * (2 * 16 * 240 - 8 * 240), 8)]


def test_each_kind_of_an_expert_has_its_copies_also_next_to_what_has_none() -> None:
    """8 copies of what all devices hold, 2 of an expert of attention on pairs of ranks, and 2 of a routed one, which is cut in two over pairs."""
    plan = Parallelism(2, data=8, expert=4, expert_tensor=2, zero=1)
    attention = EXPERT._replace(part="attention")
    assert exchanged(plan, UP, attention, EXPERT) == [
        (8, 2 * WEIGHTS, WEIGHTS, 2),
        (2, 2 * 16 * 240, 16 * 240, 8),
        (2, 2 * 16 * 240, 16 * 240, 8),
    ]
    folded = plan._replace(expert_tensor=1)
    assert [one[0] for one in exchanged(folded, UP, attention, EXPERT)] == [8, 2, 4]


def test_a_ring_sends_all_but_its_own_part() -> None:
    (one,) = gradients(Ledger.of("x", (UP,)), Parallelism(data=3), 1, 16, 8)
    assert one.sent == 2 * 3 * WEIGHTS // 3
    both = one.more(one)
    assert (both.scattered, both.gathered, both.sent) == (4 * WEIGHTS, 2 * WEIGHTS, 4 * WEIGHTS)


def test_a_stage_without_such_layers_leaves_none_whole() -> None:
    """Of stages with 0 and 2 layers of 10·24 numbers the last layer stays whole; no number is divided by 0."""
    layers: Any = np.array([0, 2])
    with np.errstate(all="raise"):
        found: Any = _whole(UP._replace(stored=layers), layers * 10 * 24)
    assert found.tolist() == [0, 10 * 24]
