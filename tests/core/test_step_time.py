"""The least time of a training step against simulations: of the order of 1F1B, and of who hands on to whom."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import tscale
from tests.helpers import of_each
from tscale.core.costs.communication import gradients
from tscale.core.costs.forward import score_flops
from tscale.core.costs.schedules import pipelined
from tscale.core.costs.step_time import Batch, Step, Workload, step_of
from tscale.core.costs.wall_time import Recompute, last_products, least_recomputed_flops, recomputed_flops
from tscale.core.device import Cluster, Device
from tscale.core.ledger import Scores
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.models.lower import lower
from tscale.models.stages import stages

GB = 10**9
NODES_OF_8 = Cluster(Device("h100", {}, 0, 0, 450 * GB, None), 8, 50 * GB)


# ---- 1F1B ----


def simulated(stage_seconds: list[Fraction], many: int) -> Fraction:
    """When a pipeline has done all micro-batches: each stage in the order of 1F1B, a third of its time forward."""
    p = len(stage_seconds)
    done: dict[tuple[str, int, int], Fraction] = {}
    todo = [_order(stage, p, many) for stage in range(p)]
    free = [Fraction(0)] * p
    while any(todo):
        for stage, order in enumerate(todo):
            if not order:
                continue
            way, micro = order[0]
            other = stage - 1 if way == "forward" else stage + 1
            waits = [(way, other, micro)] if 0 <= other < p else [("forward", stage, micro)]
            if way == "forward" and stage == 0:
                waits = []
            if all(one in done for one in waits):
                start = max([free[stage], *(done[one] for one in waits)])
                share = Fraction(1 if way == "forward" else 2, 3 * many)
                free[stage] = done[way, stage, micro] = start + share * stage_seconds[stage]
                order.pop(0)
    return max(free)


def _order(stage: int, p: int, many: int) -> list[tuple[str, int]]:
    """Forward passes until the first one is back, then one forward and one backward in turn."""
    ahead = min(many, p - 1 - stage)
    order = [("forward", micro) for micro in range(ahead)]
    for micro in range(many):
        if ahead + micro < many:
            order.append(("forward", ahead + micro))
        order.append(("backward", micro))
    return order


@pytest.mark.parametrize(("p", "many"), [(2, 1), (2, 8), (4, 4), (4, 16), (8, 3), (1, 5)])
def test_even_stages_take_what_1f1b_takes(p: int, many: int) -> None:
    """Exactly 1 + (p - 1)/m of what one stage computes (Narayanan 2021, section 2.2)."""
    even = [Fraction(60)] * p
    assert pipelined(even, many) == simulated(even, many) == 60 * (1 + Fraction(p - 1, many))


@pytest.mark.parametrize("seed", range(20))
def test_uneven_stages_take_no_less_than_the_bound(seed: int) -> None:
    """A head that stands on the last stage, or stages of any length: (p - 1)/m of the longest would be too much for many."""
    rng = np.random.default_rng(seed)
    p, many = int(rng.integers(2, 7)), int(rng.integers(1, 12))
    uneven = [Fraction(int(rng.integers(1, 100))) for _ in range(p)]
    assert pipelined(uneven, many) <= simulated(uneven, many)
    with_head = [Fraction(60)] * (p - 1) + [Fraction(97)]
    assert pipelined(with_head, many) == simulated(with_head, many) == 97 + Fraction(60 * (p - 1), many)


# ---- who hands on to whom ----


def step(plan: Parallelism, *, batch: int, cluster: Cluster = NODES_OF_8, layers: int = 48) -> Step:
    spec = tscale.load("gpt3", [f"layers={layers}"])
    work = Workload(SequenceLengths(64), Batch(batch, 1), int(spec.d_model), "none")
    return step_of(stages(spec, plan), plan, work, cluster, 10**15)


PIPELINES = [
    Parallelism(tensor, pipeline=pipeline, interleave=interleave, data=data)
    for tensor, pipeline, interleave, data in product((1, 2, 4, 8, 16), (2, 4, 8), (1, 2, 3), (1, 2, 4))
]


@of_each(PIPELINES)
def test_what_stages_hand_over_is_counted_device_by_device(plan: Parallelism) -> None:
    """Each piece forward to the next one's device and back, each device its part; the busiest device and node."""
    many, per_node, block = 3, 8, plan.tensor * plan.data
    part = Fraction(many * 64 * 12288 * 2, plan.tensor)
    within: dict[int, Fraction] = defaultdict(Fraction)
    beyond: dict[int, Fraction] = defaultdict(Fraction)
    for piece in range(plan.pipeline * plan.interleave - 1):
        for offset in range(block):
            here = piece % plan.pipeline * block + offset
            there = (piece + 1) % plan.pipeline * block + offset
            for source, to in ((here, there), (there, here)):
                if source // per_node == to // per_node:
                    within[source] += part
                else:
                    beyond[source // per_node] += part
    parts = {one.name: one for one in step(plan, batch=many * plan.data).parts}
    least = parts["pipeline send/receive"].least
    assert least.seconds == max(
        max(within.values(), default=Fraction()) / (450 * GB), max(beyond.values(), default=Fraction()) / (400 * GB)
    )


@pytest.mark.parametrize("per_node", [3, 5, 6, 7])
def test_stages_that_nodes_cut_are_charged_no_more_than_they_send(per_node: int) -> None:
    """Two devices a stage: some neighbours share a node and some do not; twelve: every one is in another node."""
    cluster = NODES_OF_8._replace(devices_per_node=per_node)
    for plan in (Parallelism(2, pipeline=4), Parallelism(4, pipeline=4, data=3, interleave=2)):
        parts = {one.name: one for one in step(plan, batch=6, cluster=cluster).parts}
        least = parts["pipeline send/receive"].least
        part = Fraction(6 // plan.data * 64 * 12288 * 2, plan.tensor)
        assert least.link.sent <= 2 * plan.interleave * part
        assert least.network.sent <= per_node * 2 * plan.interleave * part


# ---- what bounds a step ----


def test_resources_are_busy_at_once_and_each_has_one_thing_at_a_time() -> None:
    """Tensor parallelism and hand-overs share the link of a device; the gradients share the NICs of a node with them."""
    found = step(Parallelism(8, pipeline=2, data=2), batch=4)
    link = sum(part.least.link.seconds for part in found.parts)
    network = sum(part.least.network.seconds for part in found.parts)
    assert 0.9 * float(link) <= float(found.seconds_by["link"]) <= float(link)
    assert 0.9 * float(network) <= float(found.seconds_by["network"]) <= float(network)
    assert found.seconds == max(found.seconds_by.values()) < found.seconds_in_turn


def test_a_link_is_busy_for_as_long_as_that_of_the_stage_that_sends_most() -> None:
    """Four stages in a node, of which the inner ones hand on twice: forward and back; each sums up as much."""
    found = step(Parallelism(2, pipeline=4), batch=4)
    parts = {part.name: part for part in found.parts}
    once = Fraction(4 * 64 * 12288 * 2, 2 * 450 * GB)
    assert found.seconds_by["link"] == parts["tensor-parallel all-reduces"].least.link.seconds + 2 * once


def test_what_is_gathered_for_products_in_8_bits_is_half_as_much() -> None:
    """Gradients are scattered in 16 bits; ZeRO's stage 3 gathers weights twice, but tables, norm and a layer of GPT-3 once."""
    plan = Parallelism(data=16, zero=3)
    spec = tscale.load("gpt3")
    found = {}
    for bits in (16, 8):
        work = Workload(SequenceLengths(64), Batch(16, 1), int(spec.d_model), "none", bits)
        found[bits] = step_of(stages(spec, plan), plan, work, NODES_OF_8, 10**15).seconds_by["network"]
    parameters = 174_604_259_328
    gathered = 2 * parameters - (50_257 + 2048) * 12_288 - 2 * 12_288 - (12 * 12_288**2 + 13 * 12_288)
    assert found[8] / found[16] == Fraction(2 * parameters + gathered, 2 * parameters + 2 * gathered)


def test_zero_3_gathers_what_stays_whole_once() -> None:
    """GPT-2, module by module as FSDP2 does: the root and the last layer stay whole from forward to backward, 11 layers do not."""
    tables, final_norm, layer = (50_257 + 1024) * 768, 2 * 768, 12 * 768**2 + 13 * 768
    plan, micro_batches = Parallelism(data=8, zero=3), 3
    gathered = 0
    for _ in range(micro_batches):
        whole: set[str] = set()
        modules = [("root", tables), ("final norm", final_norm), *((f"layer {place}", layer) for place in range(12))]
        for name, size in (*modules, *reversed(modules)):
            gathered += 0 if name in whole else size
            whole = (whole | {name}) if name in ("root", "final norm", "layer 11") else whole
    found = sum(one.gathered for one in gradients(lower(tscale.load("gpt2")), plan, micro_batches, 16, 16))
    assert found == 2 * gathered


@pytest.mark.parametrize(("recompute", "products"), [("full", 12_582_912), ("none", 0)])
def test_a_checkpoint_does_not_recompute_the_last_product_of_a_layer(recompute: Recompute, products: int) -> None:
    """torch 2.13's FlopCounterMode on transformers 5.23's Llama of three layers, use_reentrant=False: 12,582,912 more FLOPs in
    aten.mm, of 16,515,072 that the layers' forward pass has (and that use_reentrant=True does again)."""
    shape = ["layers=3", "d_model=64", "heads=4", "kv_heads=2", "d_ff=160", "vocabulary=512"]
    ledger, run = lower(tscale.load("llama-3-8b", shape)), SequenceLengths(target=64)
    scores = sum(score_flops(entry, run, "causal") for entry in ledger.entries if isinstance(entry, Scores))
    counted = least_recomputed_flops(ledger, run, recompute)
    assert counted - (scores if recompute == "full" else 0) == products
    assert recomputed_flops(ledger, run, "full", "causal") - scores == 16_515_072


def test_selective_recomputation_makes_no_sum_of_values_again() -> None:
    """Of two equal products, queries by keys and scores by values, the second is the last and is not made again."""
    ledger, run = lower(tscale.load("gpt2")), SequenceLengths(target=64)
    assert 2 * least_recomputed_flops(ledger, run, "selective") == recomputed_flops(ledger, run, "selective", "causal")


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("llama-3.1-8b", {"down"}),
        ("deepseek-v3", {"down", "shared_down"}),
        ("mamba-130m", {"out"}),
        ("t5-base", {"down"}),
    ],
)
def test_which_products_a_layer_may_end_with(name: str, roles: set[str]) -> None:
    assert {entry.role for entry in last_products(lower(tscale.load(name)))} == roles


def test_where_a_layer_is_a_mixer_alone_its_product_may_be_the_last() -> None:
    """As in Nemotron-H: each layer is one of the two."""
    spec = tscale.load("llama-3.1-8b", ["attention.on.every=2", "feed_forward.on.every=2", "feed_forward.on.at=1"])
    assert {entry.role for entry in last_products(lower(spec))} == {"down", "o"}


# ---- context and expert parallelism ----


def step_with(name: str, plan: Parallelism, context: int = 4096, sequences: int = 64, bits: int = 16) -> Step:
    spec = tscale.load(name)
    work = Workload(SequenceLengths(context), Batch(sequences, 1), spec.d_model, "none", bits)
    return step_of(stages(spec, plan), plan, work, NODES_OF_8, 10**15)


def test_devices_that_share_a_sequence_compute_a_part_of_it() -> None:
    alone = step_with("llama-3-8b", Parallelism(data=8))
    shared = step_with("llama-3-8b", Parallelism(data=2, context=4))
    assert shared.seconds_by["computing"] == alone.seconds_by["computing"]
    assert {part.name for part in shared.parts} == {"computing", "gradients"}
    tensor = [step_with("llama-3-8b", Parallelism(tensor=2, data=4 // ways, context=ways)) for ways in (1, 4)]
    sums = [next(part for part in each.parts if part.name.startswith("tensor")).sent for each in tensor]
    assert sums[0] == sums[1]


@pytest.mark.parametrize(("ranks", "per_node"), [(8, 8), (16, 8), (64, 8)])
def test_a_token_goes_to_one_device_of_its_experts_at_the_least(ranks: int, per_node: int) -> None:
    """Counted out: each token to a device picked evenly, its activations there and back, forward and backward."""
    spec = tscale.load("qwen3-30b-a3b")
    part = next(
        part
        for part in step_with("qwen3-30b-a3b", Parallelism(data=ranks, expert=ranks)).parts
        if "expert" in part.name
    )
    tokens = 4096 * 64 // ranks
    one_way = tokens * spec.d_model * 2
    within = sum(1 for other in range(1, min(per_node, ranks)))
    beyond = ranks - min(per_node, ranks)
    link = Fraction(4 * spec.layers * one_way * within, ranks * 450 * GB)
    nics = Fraction(4 * spec.layers * one_way * beyond * per_node, ranks * 8 * 50 * GB)
    assert (part.least.link.seconds, part.least.network.seconds) == (link, nics)


def test_experts_that_are_sent_in_8_bits_take_half() -> None:
    plan = Parallelism(data=16, expert=16)
    both = [step_with("qwen3-30b-a3b", plan, bits=bits).parts for bits in (16, 8)]
    sent = [next(part.sent for part in parts if "expert" in part.name) for parts in both]
    assert sent[0] is not None
    assert sent[1] == sent[0] // 2


def test_dualpipe_sends_and_computes_what_1f1b_does() -> None:
    """Half of the micro-batches go each way: a device hands on as many, and computes the mean of its two stages' times.

    48 layers of GPT-3 in four stages, the head on the last: 3·(12 layers + half of the head) on the outer two devices.
    """
    found = {
        order: step(Parallelism(2, pipeline=4, data=2, schedule=order), batch=16) for order in ("1f1b", "dualpipe")
    }
    sent = [next(part.sent for part in one.parts if part.name == "pipeline send/receive") for one in found.values()]
    assert sent[0] == sent[1]
    parts = {order: {part.name: part.seconds for part in one.parts} for order, one in found.items()}
    head = Fraction(6 * 64 * 12288 * ((50257 + 1) // 2) * 8, 10**15)
    assert parts["1f1b"]["computing"] - parts["dualpipe"]["computing"] == head / 2
    assert parts["dualpipe"]["pipeline bubble"] < parts["1f1b"]["pipeline bubble"]


def test_an_odd_number_of_micro_batches_has_no_half() -> None:
    with pytest.raises(RequestError, match="make the batch a multiple of 4") as refused:
        step(Parallelism(pipeline=4, data=2, schedule="dualpipe"), batch=6)
    assert "3 have no half" in str(refused.value)
    assert step(Parallelism(pipeline=4, data=2, schedule="dualpipe"), batch=8)


def test_how_sequences_are_taken_together_changes_no_time_of_computing_and_sending() -> None:
    """16 sequences are as many one by one as two by two; devices that read different sequences hand nothing over."""
    spec, plan = tscale.load("gpt3", ["layers=8"]), Parallelism(2, pipeline=2, data=2)
    found = []
    for micro in (1, 2):
        work = Workload(SequenceLengths(64), Batch(16, micro), int(spec.d_model), "none")
        parts = step_of(stages(spec, plan), plan, work, NODES_OF_8, 10**15).parts
        found.append({part.name: (part.computing, part.sent) for part in parts if part.name != "pipeline bubble"})
    assert found[0] == found[1]
    assert {part.name for part in step(Parallelism(2, data=2), batch=4, layers=8).parts} == {
        "computing", "tensor-parallel all-reduces", "gradients",
    }  # fmt: skip


def test_devices_that_share_a_sequence_hand_over_their_part_of_it() -> None:
    """The first of two stages hands on 4 sequences of 64 tokens, 12,288 numbers of 2 bytes, a fourth by each of its devices."""
    parts = {one.name: one for one in step(Parallelism(2, pipeline=2, context=2), batch=4, layers=8).parts}
    assert parts["pipeline send/receive"].sent == 4 * 64 * 12288 * 2 // 4
