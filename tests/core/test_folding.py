"""Routed experts on the devices of a stage, rank by rank as Megatron-LM numbers them (Liu 2025, parallel folding)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise, product
from typing import NamedTuple

import pytest

import tscale
from tests.helpers import of_each
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.costs.communication import copies_of, gradients
from tscale.core.costs.params import size
from tscale.core.costs.states import shards
from tscale.core.costs.step_time import Batch, Step, Workload, step_of
from tscale.core.device import Cluster, Device
from tscale.core.ledger import Ledger, Matmul
from tscale.core.parallelism import Parallelism, divisors
from tscale.core.sharding import is_routed, shard
from tscale.core.workload import SequenceLengths
from tscale.models.lower import lower
from tscale.models.stages import stages

GB = 10**9
NODES_OF_8 = Cluster(Device("h100", {}, 0, 0, 450 * GB, None), 8, 50 * GB)
MODEL = "qwen3-30b-a3b"  # 128 experts of d_ff 768 in each of 48 layers
TINY = tscale.load(MODEL, ["layers=2", "vocabulary=512"])
LEDGER = lower(TINY, saves=True)


def plans() -> Iterator[Parallelism]:
    """Every way to fold experts over the ranks of a few layouts."""
    for tensor, context, data in ((1, 1, 4), (2, 1, 4), (4, 2, 2), (8, 1, 2), (2, 2, 3)):
        ranks = tensor * context * data
        for expert_tensor in divisors(ranks):
            for expert in divisors(ranks // expert_tensor):
                if 128 % expert == 0 and 768 % expert_tensor == 0:
                    yield Parallelism(
                        tensor, tensor > 1, context=context, data=data, expert=expert, expert_tensor=expert_tensor
                    )


PLANS = list(plans())


class Held(NamedTuple):
    """What a rank holds of an expert's matrix: which expert of a layer, and which slice of it."""

    expert: int
    slice: int


def held_by(plan: Parallelism, rank: int) -> set[Held]:
    """The order of Megatron-LM's expert ranks: expert-tensor, then expert, then expert-data."""
    assert plan.expert_tensor is not None
    own = 128 // plan.expert
    place = rank // plan.expert_tensor % plan.expert
    return {Held(expert, rank % plan.expert_tensor) for expert in range(place * own, place * own + own)}


def routed(ledger: Ledger) -> list[Matmul]:
    return [entry for entry in ledger.entries if isinstance(entry, Matmul) and is_routed(entry)]


@of_each(PLANS)
def test_experts_are_held_as_a_loop_over_the_ranks_says(plan: Parallelism) -> None:
    """Numbers on each rank, how many ranks hold the same, how far apart they stand, and how many ZeRO divides among."""
    plan.check()
    assert plan.expert_tensor is not None
    ranks = plan.tensor * plan.context * plan.data
    holders: dict[Held, list[int]] = defaultdict(list)
    for rank in range(ranks):
        for one in held_by(plan, rank):
            holders[one].append(rank)
    assert len(holders) == 128 * plan.expert_tensor  # nothing is missing
    assert {len(of_one) for of_one in holders.values()} == {plan.expert_copies}
    apart = {later - first for of_one in holders.values() for first, later in pairwise(of_one)}
    for whole, part in zip(routed(LEDGER), routed(shard(LEDGER, plan)), strict=True):
        slice_size = size(whole) // plan.expert_tensor
        assert part.stored * size(part) == 2 * len(held_by(plan, 0)) * slice_size
        copies, distance = copies_of(part, plan)
        assert copies == plan.expert_copies == shards(part, plan._replace(zero=1))
        assert apart in (set(), {distance})


@of_each([plan for plan in PLANS if plan.data % 2 == 0])
def test_hybrid_sharding_of_experts_as_a_loop_over_the_ranks_says(plan: Parallelism) -> None:
    """Two halves of the ranks, each with a whole copy of what ZeRO divides: so many ranks of one half hold an expert."""
    plan = plan._replace(shards=plan.data * plan.context // 2, zero=3)
    plan.check()
    half = range(plan.tensor * plan.context * plan.data // 2)
    inside = Counter(one for rank in half for one in held_by(plan, rank))
    assert set(inside.values()) == {plan.expert_shards}


@of_each(PLANS)
def test_tokens_of_experts_are_shared_in_balance(plan: Parallelism) -> None:
    """All ranks of a copy of the batch keep, of each token's copies for its experts, as many as there are slices of each."""
    run, passes = SequenceLengths(target=1152), Passes(kernels="fused")
    by_name = {saved.name: saved for saved in LEDGER.saved}
    for name, wide in (("experts.dispatched", 8 * 2048), ("experts.up", 8 * 768), ("experts.returned", 8 * 2048)):
        kept = activation_bytes([by_name[name]], run, passes, plan).total
        assert plan.expert_tensor is not None
        slices = 1 if name == "experts.up" else plan.expert_tensor
        ranks_of_a_sequence = plan.tensor * plan.context
        assert kept * ranks_of_a_sequence == 2 * 1152 * wide * 2 * slices


def step(plan: Parallelism, *, context: int = 1024, sequences: int = 96) -> Step:
    work = Workload(SequenceLengths(context), Batch(sequences, 1), TINY.d_model, "none")
    return step_of(stages(TINY, plan), plan, work, NODES_OF_8, 10**15)


@of_each(PLANS)
def test_devices_compute_their_part_however_experts_are_folded(plan: Parallelism) -> None:
    """With routing in balance all ranks together compute what one alone does, but for norms and routers, which are on each."""
    whole = step(Parallelism(data=plan.tensor * plan.context * plan.data)).seconds_by["computing"]
    folded = step(plan._replace(expert_tensor=plan.tensor, expert=1)).seconds_by["computing"]
    assert step(plan).seconds_by["computing"] == folded
    router = 3 * 2 * 2 * 2048 * 128 * 1024 * 96  # FLOPs of two layers' routers, which every rank of a layer computes
    ranks = plan.tensor * plan.context * plan.data
    if plan.tensor <= 4:  # of eight ranks, two have the same key-value heads
        assert folded - whole == Fraction(router * (plan.tensor - 1), ranks * 10**15)


@of_each([plan for plan in PLANS if plan.expert > 1])
def test_what_is_sent_to_experts_is_counted_message_by_message(plan: Parallelism) -> None:
    """Each rank sends each rank of its expert group as many of its tokens; four times, there and back, forward and backward."""
    assert plan.expert_tensor is not None
    ranks = plan.tensor * plan.context * plan.data
    tokens = 1024 * 96 // plan.data // (plan.tensor * plan.context)
    part = Fraction(4 * 2 * tokens * 2048 * 2, plan.expert)
    within: Counter[int] = Counter()
    beyond: Counter[int] = Counter()
    for source, to in product(range(ranks), range(ranks)):
        same_slice = source % plan.expert_tensor == to % plan.expert_tensor
        width = plan.expert * plan.expert_tensor
        if source != to and same_slice and source // width == to // width:
            (within if source // 8 == to // 8 else beyond)[source if source // 8 == to // 8 else source // 8] += 1
    least = next(one.least for one in step(plan).parts if one.name.startswith("expert-parallel"))
    assert least.network.seconds <= max(beyond.values(), default=0) * part / (400 * GB)
    assert least.link.seconds <= max(within.values(), default=0) * part / (450 * GB)
    if 8 % (plan.expert * plan.expert_tensor) == 0 or plan.expert * plan.expert_tensor % 8 == 0:
        assert least.link.seconds == max(within.values(), default=0) * part / (450 * GB)
        assert least.network.seconds == max(beyond.values(), default=0) * part / (400 * GB)


def test_experts_that_are_not_cut_are_no_part_of_tensor_parallel_sums() -> None:
    """Of the two sums of a layer one is left; without sequence parallelism, each device gathers what the others made."""
    names = "tensor-parallel all-reduces"

    def sent(plan: Parallelism) -> int:
        return next(one.sent or 0 for one in step(plan).parts if one.name == names)

    cut = Parallelism(4, True, data=2, expert_tensor=4)
    one_layer_sum = sent(cut) // 2
    assert sent(cut._replace(expert_tensor=1, expert=8)) == one_layer_sum
    assert sent(cut._replace(expert_tensor=1, expert=8, sequence=False)) == one_layer_sum * 3 // 2


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_hybrid_sharding_sends_what_a_loop_over_the_ranks_sends(zero: int) -> None:
    """Eight ranks in two groups of four: a ring in each group, then a sum of each part over the two ranks that hold it."""
    plan, many = Parallelism(data=8, zero=zero, shards=4), 3
    ledger = lower(tscale.load("gpt2"))
    numbers = sum(getattr(entry, "stored", 0) * size(entry) for entry in ledger.entries)
    in_groups = [one for one in gradients(ledger, plan, many, 16, 16) if one.copies == 4]
    over_groups = [one for one in gradients(ledger, plan, many, 16, 16) if one.copies == 2]
    assert sum(one.scattered for one in in_groups) == 2 * numbers * (many if zero > 1 else 1)
    assert sum(one.scattered for one in over_groups) == sum(one.gathered for one in over_groups) == 2 * numbers // 4
    assert {one.apart for one in in_groups} == {1}
    assert {one.apart for one in over_groups} == {4}
    alone = sum(one.scattered for one in gradients(ledger, plan._replace(shards=None), many, 16, 16))
    assert sum(one.scattered for one in in_groups) == alone


def test_a_device_with_a_single_expert_still_has_an_expert() -> None:
    """128 experts over 128 devices: nobody else has the same, so that ZeRO divides nothing and no gradient is sent."""
    plan = Parallelism(data=128, expert=128, expert_tensor=1, zero=1)
    share = shard(lower(TINY), plan)
    assert {shards(entry, plan) for entry in routed(share)} == {1}
    assert not {one.name for one in gradients(share, plan, 1, 16, 16)} & {entry.name for entry in routed(share)}
    assert any(one.name.startswith("expert-parallel") and one.sent for one in step(plan, sequences=128).parts)


def test_the_ranks_of_a_known_layout_have_the_model_once() -> None:
    """DeepSeek-V3 as it was trained, 16 stages and experts over 64 ranks: 671B parameters (DeepSeek-AI 2024c), of which each
    stage's 64 ranks have the experts once, and each rank all the rest."""
    spec = tscale.load("deepseek-v3")
    plan = Parallelism(pipeline=16, data=128, expert=64, zero=1).trained
    of_experts = of_others = 0
    for stage in stages(spec, plan):
        for entry in shard(stage, plan).entries:
            numbers = getattr(entry, "stored", 0) * size(entry)
            if is_routed(entry):
                of_experts += 64 * numbers
            else:
                of_others += numbers
    assert of_experts == 58 * 256 * 3 * 7168 * 2048
    assert round((of_experts + of_others) / 1e9) == 671


@pytest.mark.parametrize(("tensor", "expert_tensor"), [(1, 2), (4, 2), (2, 4)])
def test_experts_that_are_cut_over_other_ranks_sum_over_those(tensor: int, expert_tensor: int) -> None:
    """A rank's tokens are gathered by all that have a slice of their expert, and what comes out is scattered back, in two
    layers, forward and backward: of a ring, n - 1 times what a rank has, each way."""
    plan = Parallelism(tensor, tensor > 1, data=8 // tensor, expert_tensor=expert_tensor)
    part = next(one for one in step(plan).parts if one.name == "expert-tensor all-reduces")
    tokens_of_a_rank = 1024 * 96 // plan.data // tensor
    assert part.sent == 2 * 2 * 2 * (expert_tensor - 1) * tokens_of_a_rank * 2048 * 2
    assert part.least.network.sent == 0
