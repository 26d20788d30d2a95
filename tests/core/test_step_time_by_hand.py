"""The least time of a step of two layers of small matrices, over links of 100 bytes a second and NICs of 50 for each of eight devices."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tscale.core.costs.step_time import Batch, Part, Step, Workload, step_of
from tscale.core.device import Cluster, Device
from tscale.core.ledger import Block, Cut, Ledger, Matmul
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths

NODES = Cluster(Device("card", {}, 0, 0, 100, None), 8, 50)
FEED, MIXER = Block("decoder", "feed-forward"), Block("decoder", "mixer")
UP = Matmul("up", "up", "feed_forward", "target", 10, 24, cut=Cut(24), stored=2, used=2, block=FEED)
DOWN = Matmul("down", "down", "feed_forward", "target", 24, 10, cut=Cut(24, "in"), stored=2, used=2, block=FEED)
OUT = Matmul("o", "o", "attention", "target", 12, 10, cut=Cut(6, "in"), stored=2, used=2, block=MIXER)
EXPERT = UP._replace(name="expert", experts=8, stored=16, used=4)
EXPERT_DOWN = DOWN._replace(name="expert.down", experts=8, stored=16, used=4)
DENSE, SPARSE = (UP, DOWN, OUT), (EXPERT, EXPERT_DOWN, OUT)

FORWARD = 2 * 7 * 2 * (240 + 240 + 120)
"""FLOPs of a sequence of 7 tokens: of two layers of three matrices."""
SUMMED = 7 * 2 * 10 * 2
"""Bytes that one kind of sub-layer gives out for it: 7 tokens, two layers of 10 numbers of 2 bytes."""


def step(plan: Parallelism, *stages: Any, peak: int = 1000, **more: Any) -> Step:
    """Of 12 sequences, three at a time, at a peak of 1,000 FLOP/s."""
    work = Workload(SequenceLengths(7), Batch(12, 3), 10, "none")._replace(**more)
    return step_of(tuple(Ledger.of("x", entries) for entries in stages), plan, work, NODES, peak)


def parts(found: Step) -> dict[str, Part]:
    return {part.name: part for part in found.parts}


def test_one_device_computes_and_sends_nothing() -> None:
    found = step(Parallelism(), DENSE)
    assert found.seconds == found.seconds_in_turn == Fraction(3 * FORWARD * 12, 1000)
    assert [part.name for part in found.parts] == ["computing"]
    again = step(Parallelism(), DENSE, recompute="full")
    assert again.seconds - found.seconds == Fraction(2 * 7 * 2 * (240 + 120) * 12, 1000)  # all but the last product


@pytest.mark.parametrize(
    ("plan", "more", "scattered", "gathered"),
    [
        (Parallelism(2, data=2), {}, 6 * 4 * SUMMED, 6 * 4 * SUMMED), (Parallelism(2, data=2), {"bits": 8}, 6 * 4 * SUMMED, 6 * 4 * SUMMED // 2),
        (Parallelism(2, data=2), {"bits": 32}, 6 * 4 * SUMMED, 6 * 4 * SUMMED), (Parallelism(2, context=2), {}, 12 * 4 * SUMMED // 2, 12 * 4 * SUMMED // 2),
        (Parallelism(2, data=2), {"recompute": "full"}, 6 * 5 * SUMMED, 6 * 5 * SUMMED), (Parallelism(2, data=2), {"parallel_block": True}, 6 * 2 * SUMMED, 6 * 2 * SUMMED),
        (Parallelism(6, data=2), {}, 6 * 4 * SUMMED, 6 * 4 * SUMMED),
    ],
)  # fmt: skip
def test_sums_over_tensor_parallel_devices(
    plan: Parallelism, more: dict[str, Any], scattered: int, gathered: int
) -> None:
    """Of two sub-layers forward and backward, and of the attention's once more where layers are computed again; all but one's own part."""
    part, n = parts(step(plan, DENSE, **more))["tensor-parallel all-reduces"], plan.tensor
    assert part.sent == (n - 1) * (scattered + gathered) // n
    assert part.least.link.seconds == part.seconds == Fraction((n - 1) * (scattered + gathered), n * 100)
    assert part.least.network.seconds == 0


def test_sums_over_two_nodes() -> None:
    """12 devices in nodes of 8: seven eighths over the link, and half of it over 400 bytes a second of NICs."""
    part = parts(step(Parallelism(12), (UP, DOWN), batch=Batch(1, 1)))["tensor-parallel all-reduces"]
    both = 2 * 2 * SUMMED
    assert part.sent == -(-11 * both // 12)
    assert (part.least.link.seconds, part.least.network.seconds) == (
        Fraction(7 * both, 8 * 100),
        Fraction(both, 2 * 400),
    )


ROUTED, PROJECTED = 2 * 7 * 4 * (240 + 240), 2 * 7 * 2 * 120
"""FLOPs of a sequence: of two experts of 8 in each of two layers, and of their attention's matrix."""


@pytest.mark.parametrize(
    ("plan", "computed", "sums"),
    [
        (Parallelism(2, data=2), ROUTED / 2 + PROJECTED / 2, (6 * 2 * SUMMED, 6 * 4 * SUMMED)), (Parallelism(2, True, data=2), ROUTED / 2 + PROJECTED / 2, (6 * 2 * SUMMED, 6 * 2 * SUMMED)),
        (Parallelism(2, data=2, expert_tensor=2), ROUTED / 2 + PROJECTED / 2, (6 * 4 * SUMMED, 6 * 4 * SUMMED)),
        (Parallelism(2, data=2, expert=2, expert_tensor=2), ROUTED / 2 + PROJECTED / 2, (6 * 4 * SUMMED, 6 * 4 * SUMMED)),
    ],
)  # fmt: skip
def test_experts_compute_for_the_tokens_of_the_devices_that_they_are_spread_over(
    plan: Parallelism, computed: float, sums: tuple[int, int]
) -> None:
    """What whole experts give out is gathered by all that read a token, unless each has its own part of the sequence."""
    found = parts(step(plan, SPARSE))
    assert float(found["computing"].seconds) == pytest.approx(3 * computed * 6 / 1000)
    assert found["tensor-parallel all-reduces"].sent == sum(sums) // 2


def test_experts_that_are_cut_over_other_devices_sum_among_these() -> None:
    """Four copies of attention, and experts cut over pairs of them: each of a pair gathers the tokens of both, forward and backward."""
    found = parts(step(Parallelism(data=4, expert=2, expert_tensor=2), SPARSE))
    summed = 2 * SUMMED * 3 * 2
    assert found["expert-tensor all-reduces"].sent == (summed + summed) // 2
    assert found["expert-tensor all-reduces"].seconds == Fraction(summed, 100)
    assert float(found["computing"].seconds) == pytest.approx(3 * (ROUTED + PROJECTED) * 3 / 1000)
    half = parts(step(Parallelism(data=4, expert=2, expert_tensor=2), SPARSE, bits=8))["expert-tensor all-reduces"]
    assert half.sent == (summed + summed // 2) // 2
    assert "tensor-parallel all-reduces" not in found


@pytest.mark.parametrize(
    ("plan", "more", "sent"),
    [
        (Parallelism(data=4, expert=4), {}, 4 * SUMMED * 3), (Parallelism(data=4, expert=4), {"bits": 8}, 4 * SUMMED * 3 // 2),
        (Parallelism(2, data=2, expert=4, expert_tensor=1), {}, 4 * SUMMED * 6 // 2), (Parallelism(data=2, context=2, expert=4), {}, 4 * SUMMED * 6 // 2),
    ],
)  # fmt: skip
def test_tokens_are_sent_to_their_experts_and_back(plan: Parallelism, more: dict[str, Any], sent: int) -> None:
    """Each once to one device of four, there and back, forward and backward, by each device its part; a fourth stays."""
    part = parts(step(plan, SPARSE, **more))["expert-parallel all-to-alls"]
    assert part.sent == sent
    assert part.seconds == Fraction(3 * sent, 4 * 100)


@pytest.mark.parametrize(
    ("plan", "link", "network", "sent"),
    [
        (Parallelism(data=2), 2 * 2400 / 2, 0, 2 * 2400 / 2), (Parallelism(2, data=2), 2 * 1200 / 2, 0, 2 * 1200 / 2), (Parallelism(context=2), 2 * 2400 / 2, 0, 2 * 2400 / 2),
        (Parallelism(data=4, zero=1, shards=2), 2 * 2400 / 2 + 2 * 1200 / 2, 0, 2 * 2400 / 2 + 2 * 1200 / 2), (Parallelism(data=12), 2 * 2400 * 7 / 8, 2 * 2400 / 2 / 4, 2 * 2400 * 11 / 12),
    ],
)  # fmt: skip
def test_copies_sum_their_gradients_once(plan: Parallelism, link: float, network: float, sent: float) -> None:
    """1,200 weights of 2 bytes; of shards over pairs, each sums its half over the two pairs too; over nodes by NICs four times as fast."""
    part = parts(step(plan, DENSE, batch=Batch(12, 1)))["gradients"]
    assert part.sent == sent
    assert (float(part.least.link.seconds), float(part.least.network.seconds)) == pytest.approx(
        (link / 100, network / 100)
    )


def test_two_stages_hand_on_once_each_and_idle_a_micro_batch() -> None:
    """Of four micro-batches; the second stage has the attention's matrices only, and what it computes begins when the first has."""
    found = step(Parallelism(2, pipeline=2), (UP, DOWN), (OUT,))
    first, second = Fraction(3 * 2 * 7 * 2 * 240 * 12, 1000), Fraction(3 * 2 * 7 * 2 * 60 * 12, 1000)
    handed, summed = 12 * 7 * 10 * 2 // 2, 12 * 2 * SUMMED
    assert parts(found)["computing"].seconds == first
    assert found.seconds_by["computing"] == max(first, second + first / 4)
    assert parts(found)["pipeline bubble"].seconds == found.seconds_by["computing"] - first
    assert (parts(found)["pipeline send/receive"].sent, parts(found)["pipeline send/receive"].seconds) == (
        handed,
        Fraction(handed, 100),
    )
    assert found.seconds_by["link"] == Fraction(handed + summed, 100)
    assert (found.bound_by, found.seconds) == ("computing", first)
    faster = step(Parallelism(2, pipeline=2), (UP, DOWN), (OUT,), peak=10**6)
    assert (faster.bound_by, faster.seconds) == ("link", found.seconds_by["link"])
    assert found.seconds_in_turn == sum(part.seconds for part in found.parts)
