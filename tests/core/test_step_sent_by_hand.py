"""What a micro-batch of a few small matrices sends, over links of 100 bytes a second and NICs of 50 for each of eight devices."""

from __future__ import annotations

from itertools import combinations
from math import prod
from typing import Any

import numpy as np
import pytest

from tscale.core.costs.collectives import nodes_in_a_row
from tscale.core.costs.step_products import REPEATED, Case
from tscale.core.costs.step_sent import (
    Sent,
    copies_of,
    dispatches_of,
    handed_of,
    handed_tokens,
    hidden_slots,
    keys_of,
    link_share,
    sums_of,
)
from tscale.core.costs.step_work import stage_work
from tscale.core.device import Cluster, Device
from tscale.core.layers import Every
from tscale.core.ledger import Block, Cache, Cut, Group, Ledger, Matmul, Scores
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths

NODES = Cluster(Device("card", {}, 0, 0, 100, None), 8, 50)
FEED, MIXER = Block("decoder", "feed-forward"), Block("decoder", "mixer")
DOWN = Matmul("down", "down", "feed_forward", "target", 24, 10, cut=Cut(24, "in"), stored=2, used=2, block=FEED)
OUT = DOWN._replace(name="o", role="o", part="attention", block=MIXER)
EXPERT = Matmul("up", "up", "feed_forward", "target", 10, 24, experts=8, stored=16, used=4, block=FEED)
STARTS, A_RANK = 36e-6, 6e-6
DISPATCHES, OF_A_RANK = 121e-6, 5.5e-6


def case(again: Any = "none", *, fused: bool = False, **more: Any) -> Case:
    """Three sequences of 7 tokens and 5 of a source, with a width of 10."""
    plain = Case(SequenceLengths(7, 5), 3, 4, 10, REPEATED[again], 1, 1, False, fused, None, recent=fused)
    return plain._replace(**more)


def ledger(*entries: Any) -> Ledger:
    return Ledger.of("x", entries)


def test_nccl_s_share_of_a_link_by_ranks() -> None:
    """Tables that vTrain profiled on A100: 64, 73 and 76% on 2, 4 and 8 ranks."""
    assert [link_share(ranks) for ranks in (1, 2, 3, 4, 5, 8)] == [0.64, 0.64, 0.73, 0.73, 0.76, 0.76]
    assert Sent(1, 2, 3).times(4) == Sent(4, 8, 12)


SUMMED = 2 * 3 * 7 * 2 * 10 * 2
"""Of two matrices in two layers: 21 tokens of 10 numbers of 2 bytes."""


@pytest.mark.parametrize(
    ("plan", "link", "network"),
    [
        (Parallelism(), 0, 0), (Parallelism(tensor=2), 2 * SUMMED / 2 / 100 / 0.64, 0), (Parallelism(tensor=4), 2 * SUMMED * 3 / 4 / 100 / 0.73, 0),
        (Parallelism(tensor=4, context=3), 2 * SUMMED / 3 * 3 / 4 / 100 / 0.73, 0),
        (Parallelism(tensor=16), 2 * SUMMED * 7 / 8 / 100 / 0.76, 2 * SUMMED / 2 / 400), (Parallelism(tensor=16, sequence=True), 2 * SUMMED * 7 / 8 / 100 / 0.76, 2 * SUMMED * 15 / 16 / 400),
    ],
)  # fmt: skip
def test_sums_of_sub_layers(plan: Parallelism, link: float, network: float) -> None:
    """Four of them, each started once; along the sequence over two nodes a ring sends 15/16 where 1/2 is the least."""
    found = sums_of(ledger(DOWN, OUT), plan, case(), NODES)
    start = 0 if plan.tensor == 1 else 4 * (STARTS + A_RANK * plan.tensor)
    assert found == pytest.approx((start, link, network))
    by_sharp = sums_of(ledger(DOWN, OUT), plan._replace(sequence=True), case(), NODES._replace(network_reduces=True))
    assert by_sharp == pytest.approx(
        sums_of(ledger(DOWN, OUT), plan._replace(sequence=False), case(), NODES._replace(network_reduces=True))
    )


def test_sums_of_several_layouts_at_once_divide_by_nothing() -> None:
    """Four ranks are in a node, where a flat ring sends what the least is, and 16 on two nodes: 15/16 over the NICs."""
    plan = Parallelism(tensor=np.array([4, 16]), sequence=True)  # type: ignore[arg-type]
    with np.errstate(all="raise"):
        network: Any = sums_of(ledger(DOWN, OUT), plan, case(), NODES).network
    assert network.tolist() == pytest.approx([0, 2 * SUMMED * 15 / 16 / 400])


def test_sums_are_not_started_for_experts_and_adapters() -> None:
    """What they sum is added up before; one sum for both halves of a block halves what is sent."""
    expert = DOWN._replace(name="expert", experts=8, stored=16, used=4)
    lora = DOWN._replace(name="lora", role="lora_a")
    plan = Parallelism(tensor=2)
    with_them, plain = (sums_of(ledger(*entries), plan, case(), NODES) for entries in ((expert, lora, OUT), (OUT,)))
    assert with_them.start == plain.start == 2 * (STARTS + 2 * A_RANK)
    assert with_them.link == pytest.approx(2 * plain.link)
    assert sums_of(ledger(DOWN, OUT), plan, case(parallel_block=True), NODES).link == pytest.approx(plain.link)


def test_several_plans_at_once_are_each_as_they_are_alone() -> None:
    tensors = np.array([1, 2, 4, 8, 16])
    many: Any = sums_of(ledger(DOWN, OUT), Parallelism(tensor=tensors, sequence=tensors > 1), case(), NODES)  # type: ignore[arg-type]
    for place, tensor in enumerate(tensors.tolist()):
        alone = sums_of(ledger(DOWN, OUT), Parallelism(tensor=tensor, sequence=tensor > 1), case(), NODES)
        assert tuple(np.broadcast_to(part, 5)[place] for part in many) == pytest.approx(alone)


SCORES = Scores("scores", "target", "target", 2, 3, 4, True, used=2, cache=0, block=MIXER)
KV = Cache("kv", "kv", "target", 24, block=MIXER)


@pytest.mark.parametrize(
    ("change", "width", "keys"),
    [({}, 24, 7), ({"cache": None}, 24, 7), ({"cache": 1}, 14, 7), ({"decoded": (9, 9)}, 14, 7), ({"stride": 2}, 24, 3), ({"keys": "source"}, 24, 5)],
)  # fmt: skip
@pytest.mark.parametrize(("again", "forward"), [("none", 1), ("full", 2)])
def test_keys_go_round_a_ring(change: dict[str, Any], width: int, keys: int, again: str, forward: int) -> None:
    """Of two devices each meets the other's half: once forward, again where layers are computed again, and back with its gradient.

    As wide as the cache, or as what latents are spread out to: 2 heads of 3 and 4.
    """
    size = 2 * 3 * keys * width * 2
    found = keys_of(ledger(SCORES._replace(**change), KV), Parallelism(context=2), case(again), NODES)
    start = (forward + 2) * 2 * (STARTS + 2 * A_RANK)
    assert found == pytest.approx((start, (size + (forward + 1) * size) / 2 / 100 / 0.64, 0))
    assert keys_of(ledger(SCORES, KV), Parallelism(), case(again), NODES) == Sent()


ONCE = 4 * 2 * 21 * 10 * 2
"""Bytes of 21 tokens in two layers of experts, there and back, forward and backward."""


def met(parts: int, experts: int) -> float:
    """Parts that have one of two different experts: over all pairs."""
    pairs = list(combinations([expert * parts // experts for expert in range(experts)], 2))
    return sum(len(set(pair)) for pair in pairs) / len(pairs)


@pytest.mark.parametrize(
    ("plan", "link", "network"),
    [
        (Parallelism(data=4), 0, 0), (Parallelism(data=4, expert=4, expert_tensor=1), ONCE * 3 / 4 * met(4, 32) / 100 / 0.73, 0),
        (Parallelism(2, data=4, expert=4, expert_tensor=1), ONCE / 2 * 7 / 8 * met(8, 32) / 100 / 0.76, 0),
        (Parallelism(2, data=8, expert=8, expert_tensor=1), ONCE / 2 * 15 / 16 * met(16, 64) / 100 / 0.76, ONCE / 2 / 2 * met(2, 64) * 8 / 400),
        (Parallelism(2, data=8, expert=8, expert_tensor=1, context=3), ONCE / 6 * 15 / 16 * met(16, 64) / 100 / 0.76, ONCE / 6 / 2 * met(2, 64) * 8 / 400),
    ],
)  # fmt: skip
def test_tokens_go_to_their_experts(plan: Parallelism, link: float, network: float) -> None:
    """To each other device, of n, that has one of two different experts of which each device of a cut has eight in part."""
    found = dispatches_of(ledger(EXPERT, EXPERT._replace(role="down")), plan, case(), NODES)
    start = 0 if plan.expert == 1 else 8 * (DISPATCHES + OF_A_RANK * plan.expert * plan.tensor)
    assert found == pytest.approx((start, link, network))
    copied = dispatches_of(ledger(EXPERT, EXPERT._replace(role="down")), plan, case(copied=True), NODES)
    assert copied.start == pytest.approx(0 if plan.expert == 1 else 8 * (STARTS + A_RANK * plan.expert * plan.tensor))
    assert dispatches_of(ledger(DOWN), plan, case(), NODES) == Sent()


# Ranks, GB/s of dispatch and of combine: deepseek-ai/DeepEP, branch hybrid-ep, docs/README_Hybrid-EP.md, GB200, 32 multiprocessors, Torch API.
HYBRID_EP = (
    (8, 545.71, 568.94),
    (16, 523.48, 521.55),
    (24, 507.32, 483.76),
    (32, 484.22, 464.54),
    (36, 479.02, 447.89),
)


@pytest.mark.parametrize(("ranks", "dispatch", "combine"), HYBRID_EP)
def test_tokens_are_sent_as_hybrid_ep_was_timed(ranks: int, dispatch: float, combine: float) -> None:
    """4,096 tokens of 7,168 numbers, eight of eight experts a rank: bytes are those that a rank receives, its own among them."""
    missed = prod((8 * ranks - 8 - one) / (8 * ranks - one) for one in range(8))
    seconds = 4096 * 7168 * 2 * ranks * (1 - missed) * (1 / dispatch + 1 / combine) / 2 / 1e9
    expert = EXPERT._replace(d_in=7168, stored=8, used=8)
    how = case(run=SequenceLengths(4096, 0), micro=1)
    gb200 = Cluster(Device("card", {}, 0, 0, 900 * 10**9, None), 72, 50)
    found = dispatches_of(ledger(expert), Parallelism(data=ranks, expert=ranks), how, gb200)
    assert (found.start + found.link) / 4 == pytest.approx(seconds, rel=0.003)


def test_devices_that_cut_an_expert_do_not_start_its_collectives_for_one_another() -> None:
    """Experts in 8 parts, each cut over 4 devices: 32 devices have them, and each starts with the 8 that hold the same cut."""
    up = ledger(EXPERT._replace(experts=32, stored=32, used=2))
    cut, apart = (
        dispatches_of(up, Parallelism(tensor=4, data=8, expert=8), case(expert_tensor=n), NODES) for n in (4, 1)
    )
    assert (cut.start, apart.start) == pytest.approx(
        (4 * (DISPATCHES + OF_A_RANK * 8), 4 * (DISPATCHES + OF_A_RANK * 32))
    )
    assert cut[1:] == apart[1:]


@pytest.mark.parametrize(
    ("how", "link", "network"), [({}, 15 / 16 * met(16, 128), met(2, 128) / 2), ({"copied": True}, 2 * 15 / 16, 2 / 2), ({"in_a_row": True}, 15 / 16, 1 / 2)]
)  # fmt: skip
def test_tokens_go_to_their_experts_in_several_ways(how: dict[str, bool], link: float, network: float) -> None:
    """Once to each device and node, once for each expert, or, eight experts being on a device, to one whose two follow one another."""
    plan = Parallelism(data=16, expert=16, expert_tensor=1)
    found = dispatches_of(ledger(EXPERT), plan, case(**how), NODES)
    assert found.link == pytest.approx(ONCE * link / 100 / 0.76)
    assert found.network == pytest.approx(ONCE * network * 8 / 400)


def test_tokens_go_to_experts_again_where_a_layer_is_computed_again() -> None:
    """What goes there goes twice, what comes back does not; of two layers, one of which is, half as much more."""
    plan = Parallelism(data=16, expert=16, expert_tensor=1)
    share = ledger(EXPERT, EXPERT._replace(role="down"))
    one = ledger(EXPERT._replace(stored=8, used=2), EXPERT._replace(role="down", stored=8, used=2))
    sent = dispatches_of(share, plan, case(), NODES)
    for again, redone, times in (("none", share, 1), ("full", share, 5 / 4), ("full", one, 9 / 8), ("op", share, 1)):
        cluster = NODES._replace(device=NODES.device._replace(memory_bytes_per_second=1))
        found = stage_work(share, plan, case(again), cluster, redone).dispatches
        assert found == pytest.approx(sent.times(times))


@pytest.mark.parametrize(("held", "chosen"), [(4, 8), (16, 8), (2, 4), (12, 8), (7, 3), (1, 6), (96, 8), (32, 6)])
def test_experts_that_follow_one_another_are_on_few_devices(held: int, chosen: int) -> None:
    """Token after token takes the next experts: counted over as many tokens as there are beginnings, alone and in arrays."""
    tokens = [range(chosen * token, chosen * (token + 1)) for token in range(held)]
    met = sum(len({expert // held for expert in experts}) for experts in tokens) / held
    assert nodes_in_a_row(held, chosen) == pytest.approx(met)
    several: Any = nodes_in_a_row(np.array([held, chosen]), float(chosen))  # type: ignore[arg-type]
    assert several.tolist() == pytest.approx([met, 1])


@pytest.mark.parametrize(
    ("plan", "fused", "link", "network"),
    [
        (Parallelism(tensor=4), False, 0, 0), (Parallelism(tensor=4, pipeline=2), False, 2 * 36 * 10 * 2 / 4 / 64, 0), (Parallelism(tensor=4, pipeline=2), True, 2 * 36 * 10 * 2 / 4 / 64, 0),
        (Parallelism(tensor=4, pipeline=2, interleave=3), False, 3 * 2 * 36 * 10 * 2 / 4 / 64, 0), (Parallelism(tensor=4, pipeline=2, interleave=3), True, 6 / 12 * 3 * 2 * 36 * 10 * 2 / 4 / 64, 0),
        (Parallelism(tensor=8, pipeline=2), False, 0, 8 * 2 * 36 * 10 * 2 / 8 / 400), (Parallelism(tensor=2, context=3, pipeline=2), False, 2 * 12 * 10 * 2 / 2 / 64, 0),
    ],
)  # fmt: skip
def test_stages_hand_on(plan: Parallelism, fused: bool, link: float, network: float) -> None:
    """21 tokens and 15 of the source, of 10 numbers, forward and back, by each device its part.

    Of three pieces of four micro-batches six of the twelve fill the pipeline (Megatron-LM: twice the stages behind, and all pieces but one
    of as many micro-batches as stages); the others are handed on behind computing.
    """
    assert handed_of(ledger(DOWN), plan, case(fused=fused), NODES) == pytest.approx((0, link, network))


def test_a_stage_with_an_encoder_hands_on_its_source() -> None:
    run = SequenceLengths(7, 5)
    encoder = Ledger("x", (Group(Every(), "encoder", 2, None, (DOWN,)),))
    table = Ledger("x", (Group("start", "encoder", 1, None, (DOWN,)),))
    assert [handed_tokens(one, run) for one in (encoder, table, ledger(DOWN))] == [5, 12, 12]


@pytest.mark.parametrize(
    ("plan", "gradients", "weights", "gathers"),
    [
        (Parallelism(), (0, 0), (0, 0), (0, 0)), (Parallelism(data=4), (2 * 960 * 3 / 4 / 100 / 0.73, 0), (0, 0), (0, 0)),
        (Parallelism(data=2, context=2), (2 * 960 * 3 / 4 / 100 / 0.73, 0), (0, 0), (0, 0)),
        (Parallelism(data=16), (2 * 960 * 7 / 8 / 100 / 0.76, 2 * 960 / 2 / 400), (0, 0), (0, 0)),
        (Parallelism(data=16, zero=1), *[(960 * 7 / 8 / 100 / 0.76, 960 * 15 / 16 / 400)] * 2, (0, 0)),
        (Parallelism(data=4, zero=3), (0, 0), (0, 0), ((4 * 960 + 4 * 2 * 720) * 3 / 4 / 100 / 0.73, 0)),
    ],
)  # fmt: skip
def test_copies_exchange_gradients_and_weights(
    plan: Parallelism, gradients: tuple[float, ...], weights: tuple[float, ...], gathers: tuple[float, ...]
) -> None:
    """480 weights of 2 bytes; of ZeRO's third stage gradients of each of 4 micro-batches, and weights twice but for one of two layers.

    An all-reduce is all of gradients; of shards, half of it gathers weights.
    """
    found = copies_of(ledger(DOWN), plan, case(), NODES)
    for sent, expected in zip(found, (gradients, weights, (0, 0), gathers), strict=True):
        assert sent == pytest.approx((0, *expected))


@pytest.mark.parametrize(("tensor", "copies", "times"), [(1, 16, 1), (2, 16, 2), (4, 16, 2), (8, 16, 1), (4, 2, 1)])
def test_copies_that_are_no_neighbours_send_through_their_hosts(tensor: int, copies: int, times: int) -> None:
    """Of eight devices a node has as many copies as tensor parallelism leaves: all eight, four, two, or one. On one node nothing is sent."""
    by_host, plain = (
        copies_of(ledger(DOWN), Parallelism(tensor=tensor, data=copies), case(by_host=by), NODES).gradients
        for by in (True, False)
    )
    assert by_host == pytest.approx((0, plain.link, times * plain.network))
    assert (plain.network > 0) is (tensor * copies > 8)


@pytest.mark.parametrize(
    ("plan", "times"),
    [
        ({"pipeline": 4}, 3), ({"pipeline": 4, "schedule": "zero-bubble"}, 0),
        ({"pipeline": 4, "zero": 2}, 0), ({"pipeline": 4, "zero": 0}, 0),
    ],
)  # fmt: skip
def test_stages_gather_weights_when_their_first_micro_batch_arrives(plan: dict[str, Any], times: int) -> None:
    """One after the other but for the first, where a stage is of one piece and each device keeps shards of the optimizer alone."""
    layout = Parallelism(**{"data": 16, "zero": 1, **plan})
    found = copies_of(ledger(DOWN), layout, case(fused=True), NODES)
    assert found.waited == pytest.approx(found.weights.times(times))
    assert copies_of(ledger(DOWN), layout, case(fused=False), NODES).waited == Sent()


def _after_computing(pieces: int, in_turn: float, each: float) -> float:
    """Seconds that gradients of all pieces end after the computing: each piece's are sent when its last micro-batch has gone back."""
    clock = sent = 0.0
    for _ in range(pieces):
        clock += in_turn
        sent = max(sent, clock) + each
    return sent - clock


def _before_computing(pieces: int, in_turn: float, each: float) -> float:
    """Seconds that computing waits for weights: the first two pieces' are gathered at once, the others' when the piece before begins."""
    gathered, clock = [each, 2 * each], 0.0
    for piece in range(pieces):
        clock = max(clock, gathered[piece])
        if piece:
            gathered.append(max(clock, gathered[-1]) + each)
        clock += in_turn
    return clock - pieces * in_turn


@pytest.mark.parametrize("slot", [0.01, 0.3, 1.0, 5.0])
@pytest.mark.parametrize(("stages", "pieces", "micro_batches"), [(4, 2, 8), (2, 5, 4), (8, 3, 16), (4, 4, 2)])
def test_pieces_exchange_while_others_are_computed(stages: int, pieces: int, micro_batches: int, slot: float) -> None:
    """As in a loop over the pieces of a stage, each of which as many micro-batches run in turn as there are stages, or are."""
    plan = Parallelism(data=16, zero=1, pipeline=stages, interleave=pieces)
    how = case(fused=True, micro_batches=micro_batches)
    gradients, weights, waited, _ = copies_of(ledger(DOWN), plan, how, NODES)
    whole = copies_of(ledger(DOWN), plan._replace(interleave=1, schedule="zero-bubble"), how, NODES)
    hidden = hidden_slots(plan, how)
    backward, forward = slot * 2 / 3, slot / 3
    seen = max(gradients.network - hidden * backward, 0) + max(weights.network - hidden * forward, 0) + waited.network
    turns = min(stages, micro_batches)
    after = _after_computing(pieces, turns * backward / pieces, whole.gradients.network / pieces)
    before = _before_computing(pieces, turns * forward / pieces, whole.weights.network / pieces)
    assert seen == pytest.approx(after + before)


@pytest.mark.parametrize(
    ("plan", "how", "slots"),
    [
        (Parallelism(data=2), {"fused": True}, 1), (Parallelism(data=2), {}, 0), (Parallelism(data=2, pipeline=4, interleave=2), {}, 0),
        (Parallelism(data=2, pipeline=4), {"fused": True, "waits": True}, 0), (Parallelism(data=2), {"fused": True, "waits": True}, 1),
        (Parallelism(data=2, pipeline=4, schedule="zero-bubble"), {"fused": True}, 1),
    ],
)  # fmt: skip
def test_passes_that_hide_what_copies_exchange(plan: Parallelism, how: dict[str, bool], slots: int) -> None:
    assert hidden_slots(plan, case(**how)) == slots


UP = Matmul("up", "up", "feed_forward", "target", 10, 24, cut=Cut(24, "out"), stored=2, used=2, block=FEED)


@pytest.mark.parametrize(
    ("entries", "plan", "passes"),
    [
        ((UP, DOWN), {"sequence": True}, 2.5), ((UP, DOWN), {}, 2), ((UP, DOWN), {"sequence": True, "zero": 3}, 2),
        ((UP._replace(trained=False), DOWN), {"sequence": True}, 2), ((UP._replace(role="lora_b"), DOWN), {"sequence": True}, 2), ((DOWN,), {"sequence": True}, 2),
    ],
)  # fmt: skip
def test_what_devices_keep_a_part_of_is_gathered_again_for_gradients(
    entries: tuple[Matmul, ...], plan: dict[str, Any], passes: float
) -> None:
    """Forward an all-gather and a reduce-scatter, backward as much, and one all-gather more where trained weights multiplied it."""
    layout, share = Parallelism(tensor=4, data=2, **plan), ledger(*entries)
    cluster = NODES._replace(device=NODES.device._replace(memory_bytes_per_second=1))
    once = sums_of(share, layout, case(), cluster)
    assert stage_work(share, layout, case(), cluster, share).sums == pytest.approx(once.times(passes))
