"""A step's predicted time: its parts against counts made another way, and against a published table."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from math import comb
from typing import Any

import pytest

import tscale
from tests.helpers import run
from tscale.calibration.training_case import constants_from
from tscale.catalogue.calibrations import calibration, family_of
from tscale.catalogue.hardware import find_hardware
from tscale.core.costs.schedules import predicted_fill
from tscale.core.costs.step_prediction import TrainingConstants, predict
from tscale.core.costs.step_products import REPEATED, TILE, Again, Case, Products, Repeated, shape_of, tokens_of
from tscale.core.costs.step_sent import (
    Sent,
    copies_of,
    dispatches_of,
    handed_of,
    link_share,
    sums_of,
)
from tscale.core.costs.step_work import StageWork, StepWork, step_work
from tscale.core.ledger import Ledger, Matmul
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.core.workload import SequenceLengths
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

A100 = find_hardware("a100").cluster()
PEAK = 312 * 10**12


def gpt(layers: int, d_model: int, heads: int) -> ModelSpec:
    sizes = {"layers": layers, "d_model": d_model, "attention.heads": heads, "d_ff": 4 * d_model, "vocabulary": 51200}
    return tscale.load("gpt3", [f"{name}={value}" for name, value in sizes.items()])


def case(micro: int = 1, again: Again = "none", *, fused: bool = False, **more: Any) -> Case:
    plain = Case(
        SequenceLengths(target=2048), micro, 1, 1024, REPEATED[again], PEAK, PEAK, False, fused, 108, recent=fused
    )
    return plain._replace(**more)


@pytest.mark.parametrize(("m", "n", "batch"), [(1024, 1024, 1), (1024, 3072, 1), (8192, 4096, 1), (100, 100, 7)])
def test_a_product_takes_as_many_waves_as_its_tiles_are_dealt_in(m: int, n: int, batch: int) -> None:
    """Tiles are handed to the multiprocessors one by one; a wave ends when each has had one."""
    waves, free = 0, 0
    for _ in product(range(batch), range(0, m, TILE[0]), range(0, n, TILE[1])):
        waves, free = (waves, free - 1) if free else (waves + 1, 107)
    computed = waves * 108 * TILE[0] * TILE[1] / (m * n * batch)
    assert Products(case(), A100).waves(m, n, batch) == pytest.approx(computed)


@pytest.mark.parametrize(
    ("m", "n", "batch", "sides"),
    [(4096, 8, 1, (128, 64)), (16, 4096, 1, (64, 256)), (64, 64, 1, (64, 64)), (512, 64, 9, (128, 256))],
)
def test_a_narrow_result_is_of_narrow_tiles(m: int, n: int, batch: int, sides: tuple[int, int]) -> None:
    """Of adapters of rank 8, 32 tiles of 128x64 are a wave of 108; batches keep the wide tile."""
    tiles = -(-m // sides[0]) * -(-n // sides[1]) * batch
    computed = -(-tiles // 108) * 108 * sides[0] * sides[1] / (m * n * batch)
    assert Products(case(), A100).waves(m, n, batch) == pytest.approx(computed)


@pytest.mark.parametrize("tensor", [1, 2, 8])
def test_a_layer_of_gpt_reads_and_writes_as_much_as_its_kernels_do(tensor: int) -> None:
    """Two norms, dropouts and residuals of 22·d bytes a token; 28·d/t of bias, activation and transposes; thrice in all.

    Where kernels are not fused, 27 bytes a score and 8 a weight, for its gradient's sum over micro-batches; else the products write
    and read that sum in 32 bits, 6 bytes more than the gradient in 16.
    """
    d, layers, tokens = 1024, 6, 2048
    plan, bandwidth = Parallelism(tensor), A100.device.memory_bytes_per_second
    share = shard(lower(gpt(layers, d, 16)), plan)
    fused, eager = (step_work([share], plan, case(fused=one), A100).stages[0] for one in (True, False))
    weights = (12 * d * d * layers + 51200 * d) / tensor
    scores = 16 / tensor * layers * tokens**2
    expected = 3 * tokens * layers * d * (22 + 28 / tensor)
    assert fused.traffic * bandwidth == pytest.approx(expected, rel=1e-9)
    more = 20 * 2 * scores * eager.in_steps
    assert eager.traffic * bandwidth == pytest.approx(expected + 8 * weights + 27 * scores + more, rel=1e-9)
    summed, written = (sum(one.traffic for one in (*work.products, *work.head)) for work in (fused, eager))
    assert (summed - written) * bandwidth == pytest.approx(6 * weights, rel=1e-6)


def test_scores_and_their_gradients_are_products_of_the_shapes_that_torch_multiplies() -> None:
    """Q·Kᵀ and P·V, and of each factor its gradient: dS·K, Qᵀ·dS, dO·Vᵀ, Pᵀ·dO; of 2 sequences of 2,048 with 16 heads of 64 each."""
    work = step_work([lower(gpt(6, 1024, 16))], Parallelism(), case(micro=2), A100).stages[0]
    s, h = 2048, 64
    forward = [(s, s, h), (s, h, s)]
    backward = [(s, h, s), (h, s, s), (s, s, h), (s, h, s)]
    make = Products(case(micro=2), A100)
    assert list(work.scores) == [make.of(*sizes, 6, PEAK, 32) for sizes in forward + backward]


def test_copies_of_routed_experts_are_put_in_order_and_brought_back() -> None:
    """Mixtral: of each of a token's two copies 4 bytes a number of what is between; a norm's 11 of attention alone.

    Forward and backward, each copy is written in the order of experts and read to be brought back, and the token is read and written once;
    over two devices, once on each that has an expert, 2·(1 - 4·3/(8·7)) in expectation. By all-to-alls, copies are sorted twice more.
    """
    d, kv, d_ff, layers, tokens = 4096, 1024, 14336, 32, 2048
    spec = tscale.load("mixtral-8x7b")
    work = step_work([lower(spec)], Parallelism(), case(fused=True), A100).stages[0]
    each = 4 * (d + 2 * kv) + 11 * d + 4 * 8 + 2 * (2 * 4 * d_ff)
    expected = tokens * layers * (3 * each + 2 * 4 * (2 + 1) * d)
    assert work.traffic * A100.device.memory_bytes_per_second == pytest.approx(expected, rel=1e-9)
    spread = Parallelism(data=2, expert=2)
    share = shard(lower(spec), spread)
    for copied, placed in ((False, 4 * (2 + 11 / 7)), (True, 4 * (2 + 1) + 2 * 8)):
        work = step_work([share], spread, case(fused=True, copied=copied), A100).stages[0]
        written = tokens * layers * (3 * each + 2 * placed * d)
        assert work.traffic * A100.device.memory_bytes_per_second == pytest.approx(written, rel=1e-9)


def test_biases_of_routed_experts_are_kernels_of_their_own() -> None:
    """gpt-oss-20b, 24 layers: of each of a token's four copies 18 bytes a gated number more than of experts without, and 28 a number out.

    Forward, Megatron-LM clamps both halves (read 2, write 2) and joins them again (2 and 2); backward it takes each gradient where the
    value was inside (2 and 2, write 2) and joins the halves' (2 and 2). Of what an expert gives out: bias times probability (write 2), the
    sum (2 and 2, write 2), all experts' joined (2 and 2); backward, the gradient of either factor (2, write 2, and 2 to sum it up)
    twice, and experts joined (2 and 2).
    """
    limited, biased = (2 + 2) + (2 + 2) + (2 + 2 + 2) + (2 + 2), 2 + (2 + 2 + 2) + (2 + 2) + 2 * (2 + 2 + 2) + (2 + 2)
    assert (limited, biased) == (18, 28)
    with_biases, without = (
        step_work([lower(tscale.load("gpt-oss-20b", changes))], Parallelism(), case(fused=True), A100).stages[0]
        for changes in ((), ("feed_forward.bias=false",))
    )
    more = 24 * 2048 * 4 * (limited * 2 * 2880 + biased * 2880)
    bandwidth = A100.device.memory_bytes_per_second
    assert (with_biases.traffic - without.traffic) * bandwidth == pytest.approx(more, rel=1e-9)


def test_biases_that_probabilities_in_32_bits_multiply_are_in_32_bits() -> None:
    """gpt-oss-20b: 68 bytes a number out in place of 28, as torch promotes what is multiplied by and added to 32 bits.

    Forward: bias times probability (write 4), the sum (2 and 4, write 4), all experts' joined (4 and 4), back to 16 bits (4, write 2).
    Backward: to 32 bits (2, write 4), the copies' part to 16 (4, write 2), the gradient of either factor (4, write 4, and 4 to sum it
    up), and experts joined in 16 (2 and 2).
    """
    in_32_bits = 4 + (2 + 4 + 4) + (4 + 4) + (4 + 2) + (2 + 4) + (4 + 2) + 2 * (4 + 4 + 4) + (2 + 2)
    assert in_32_bits == 68
    shares = [lower(tscale.load("gpt-oss-20b"))]
    narrow, wide = (
        step_work(shares, Parallelism(), case(fused=True, wide=is_wide), A100).stages[0] for is_wide in (False, True)
    )
    more = (wide.traffic - narrow.traffic) * A100.device.memory_bytes_per_second
    assert more == pytest.approx(24 * 2048 * 4 * (in_32_bits - 28) * 2880, rel=1e-6)


@pytest.mark.parametrize(("expert", "several"), [(8, 1), (32, 0)])
def test_copies_that_an_all_to_all_brought_are_sorted_where_a_device_has_several_experts(
    expert: int, several: int
) -> None:
    """gpt-oss-20b of 32 experts, 4 a token: by an all-to-all a copy is read and written twice more forward and twice backward, 4 bytes each.

    It is put in order once for each copy, and once for the token; otherwise once for each device that has one of its experts.
    """
    plan = Parallelism(data=expert, expert=expert)
    share = shard(lower(tscale.load("gpt-oss-20b")), plan)
    once, copied = (
        step_work([share], plan, case(fused=True, copied=one), A100).stages[0].traffic for one in (False, True)
    )
    devices = expert * (1 - comb(32 - 32 // expert, 4) / comb(32, 4))
    more = (copied - once) * A100.device.memory_bytes_per_second
    assert more == pytest.approx(24 * 2048 * 2880 * (several * 4 * 4 * 4 + 2 * 4 * (1 - devices)), rel=1e-6)


def test_computing_again_runs_forward_once_more() -> None:
    """Three products a matrix, and a fourth, of the same sizes as the first; the head is not computed again."""
    spec, plan = gpt(6, 1024, 16), Parallelism()
    full = step_work([lower(spec)], plan, case(again="full", fused=True), A100).stages[0]
    assert full.again == full.products[::3]
    assert len(full.again) == 4  # q, k and v are one, and so are o, up and down each
    assert full.attention_again == pytest.approx(full.attention / 3.5)
    half = step_work([lower(spec)], plan, case(again="op", fused=True), A100).stages[0]
    assert half.again[1:] == full.again[1::2]  # of q, k, v, o, up and down every second one: k, then o and down
    assert half.again[0].computing < full.again[0].computing
    assert half.attention_again == 0


def test_experts_are_computed_again_in_each_layer_with_their_part_of_the_tokens() -> None:
    """Mixtral, 32 layers of 8 experts of which a token has 2: an expert multiplies a fourth of 2,048 tokens, of each layer.

    Of q, k, v, o, router, gate, up and down every second one: k, o, up and down.
    """
    d, kv, d_ff = 4096, 1024, 14336
    how = case(again="op", fused=True)
    work = step_work([lower(tscale.load("mixtral-8x7b"))], Parallelism(), how, A100).stages[0]
    make = Products(how, A100)
    assert list(work.again) == [make.of(2048, width, d, 32, PEAK) for width in (kv, d)]
    assert list(work.experts_again) == [make.of(512, *sizes, 32, PEAK, 8) for sizes in ((d_ff, d), (d, d_ff))]
    of_all = 4 * (d + 2 * kv) + 11 * d + 4 * 8  # what comes of q, k, v, o and the router: of experts it is kept
    assert work.traffic_again * A100.device.memory_bytes_per_second == pytest.approx(2048 * 32 * of_all)


def test_layers_and_second_products_are_run_again_as_often_as_is_said() -> None:
    """A half and a quarter of the time: of GPT's 22 + 28 bytes a number three quarters; of its products, each as often."""
    often = case(fused=True)._replace(repeated=Repeated(layers=0.5, second=0.25))
    work, full = (
        step_work([lower(gpt(6, 1024, 16))], Parallelism(), how, A100).stages[0]
        for how in (often, case(again="full", fused=True))
    )
    make = Products(often, A100)
    seconds = [make.of(2048, n, k, 6 / 4, PEAK) for n, k in ((1024, 1024), (1024, 1024), (1024, 4096))]
    assert list(work.again) == [*(one.times(0.5) for one in full.again), *seconds]
    assert work.traffic_again * A100.device.memory_bytes_per_second == pytest.approx(0.75 * 2048 * 6 * 1024 * 50, 1e-10)


def test_what_is_computed_again_is_of_the_layers_that_are() -> None:
    """Three of six layers: half of the scores, and half of the kernel's time."""
    six, three = (lower(gpt(layers, 1024, 16)) for layers in (6, 3))
    layers = replace(three, groups=tuple(group for group in three.groups if group.stack == "decoder"))
    for how in (case(again="selective"), case(again="full", fused=True)):
        all_of_them = step_work([six], Parallelism(), how, A100).stages[0]
        some = step_work([six], Parallelism(), how, A100, [layers]).stages[0]
        assert some.attention == all_of_them.attention
        assert some.attention_again == all_of_them.attention_again / 2
        assert [one.times(2) for one in some.scores_again] == list(all_of_them.scores_again)


def test_copies_exchange_gradients_once_or_gather_weights() -> None:
    """2 bytes a parameter around a ring of 8, at what NCCL uses of 300 GB/s; in ZeRO's third stage all is of weights in use."""
    ledger = lower(gpt(6, 1024, 16))
    size = 2 * tscale.params(ledger).total
    sums, *_, gathers = copies_of(ledger, Parallelism(data=8), case(), A100)
    assert gathers == Sent(0, 0, 0)
    assert (sums.start, sums.network) == (0, 0)
    assert sums.link == pytest.approx(2 * 7 / 8 * size / (300e9 * link_share(8)))
    sums, weights, waited, gathers = copies_of(ledger, Parallelism(data=8, zero=3), case(), A100)
    assert sums == weights == waited == Sent(0, 0, 0)
    assert gathers.link > 2 * 7 / 8 * size / (300e9 * link_share(8))


def test_weights_of_experts_are_waited_for_but_those_of_the_first_bucket() -> None:
    """gpt-oss-120b over 8 of 64 devices: 16 experts of a device, and 8 copies of each on as many nodes.

    A bucket has 64 million numbers: four experts of 2·2,880² up, eight of 2,880² down. Of 16·3 parts 4·2 + 8 are in the first ones. Beside them the
    table of 201,088 tokens is waited for, and its gradients in 4 bytes, round a ring of 64.
    """
    cluster = A100._replace(network_bytes_per_second=25 * 10**9)
    plan = Parallelism(data=64, expert=8, zero=1)
    found = copies_of(shard(lower(tscale.load("gpt-oss-120b")), plan), plan, case(fused=True), cluster)
    experts, table = 36 * 2880**2 * 2 * (48 - 16) * 7 / 8, 201_088 * 2880 * (2 + 4) * 63 / 64 / 8
    assert found.waited.network * 25e9 == pytest.approx(experts + table, rel=0.001)
    assert found.weights.network > experts / 25e9 * 16 / 32


@pytest.mark.parametrize(("layers", "d_model", "outer"), [(6, 1024, (51_200 + 2048) * 1024), (40, 512, 40_000_000)])
def test_no_pass_hides_what_is_in_the_outer_buckets(layers: int, d_model: int, outer: int) -> None:
    """The tables of tokens and positions, but at least 40 million numbers, gathered in 2 bytes and scattered in 4 around a ring of 8."""
    ledger = lower(gpt(layers, d_model, 16))
    inner = tscale.params(ledger).total - outer
    found = copies_of(ledger, Parallelism(data=8, zero=1), case(fused=True), A100)
    bytes_of = [one.link * 300e9 * link_share(8) * 8 / 7 for one in (found.gradients, found.weights, found.waited)]
    assert bytes_of == pytest.approx([4 * inner, 2 * inner, (4 + 2) * outer])
    in_stages = copies_of(ledger, Parallelism(data=8, pipeline=2, interleave=2, zero=1), case(fused=True), A100)
    assert in_stages.waited.link * 2 == pytest.approx(in_stages.gradients.link * 2 + in_stages.weights.link * 2)


def test_tokens_go_to_their_experts_over_links_and_once_to_each_node() -> None:
    """Qwen3 30B-A3B, 48 layers of 128 experts of which a token has 8, on 32 devices in 4 nodes; two devices share 2,048 tokens.

    There and back, forward and backward: over the link to each of 31 other devices that has one of the eight, which it has not with
    C(124, 8)/C(128, 8); over the NICs, to each of three other nodes, C(96, 8)/C(128, 8).
    """
    cluster = A100._replace(network_bytes_per_second=25 * 10**9)
    plan = Parallelism(tensor=2, data=16, expert=16, expert_tensor=1)
    found = dispatches_of(shard(lower(tscale.load("qwen3-30b-a3b")), plan), plan, case(), cluster)
    token_bytes = 4 * 48 * 2048 * 2048 * 2 / 2
    assert found.link == pytest.approx(token_bytes * 31 * (1 - comb(124, 8) / comb(128, 8)) / (300e9 * link_share(8)))
    assert found.network == pytest.approx(token_bytes * 3 * (1 - comb(96, 8) / comb(128, 8)) / 25e9)
    assert found.start == pytest.approx(4 * 48 * (121e-6 + 5.5e-6 * 32))


def test_a_fused_kernel_computes_the_pairs_that_are_seen_by_each_sequence() -> None:
    """GPT of 6 layers of 16 heads of 64: logits and values of 2,048·2,049/2 pairs, once forward and two and a half times backward."""
    work = step_work([lower(gpt(6, 1024, 16))], Parallelism(), case(micro=4, fused=True), A100).stages[0]
    assert work.attention == pytest.approx(3.5 * 4 * 6 * 16 * (2048 * 2049 / 2) * 2 * (64 + 64) / PEAK)


@pytest.mark.parametrize(("again", "times"), [("none", 0), ("op", 1), ("full", 1)])
def test_what_is_computed_again_is_written_again(again: Again, times: int) -> None:
    """A layer's 22 + 28 bytes for each number of its width, as its kernels write them forward; half of the products write as much."""
    work = step_work([lower(gpt(6, 1024, 16))], Parallelism(), case(again=again, fused=True), A100).stages[0]
    assert work.traffic_again * A100.device.memory_bytes_per_second == pytest.approx(times * 2048 * 6 * 1024 * 50)


def test_a_stage_hands_on_what_its_devices_have_of_a_micro_batch() -> None:
    """Forward and back 3 sequences of 2,048 tokens of 1,024 numbers of 2 bytes: a fourth by each of four devices in a node of eight,
    an eighth by each of eight, which fill one and share its NICs."""
    cluster, whole_of = A100._replace(network_bytes_per_second=25 * 10**9), Ledger.of("any", ())
    whole = 2 * 3 * 2048 * 1024 * 2
    near = handed_of(whole_of, Parallelism(2, pipeline=2, context=2), case(micro=3), cluster)
    far = handed_of(whole_of, Parallelism(8, pipeline=2), case(micro=3), cluster)
    assert (near.start, near.network, far.start, far.link) == (0, 0, 0, 0)
    assert near.link == pytest.approx(whole / 4 / (300e9 * 0.64))
    assert far.network == pytest.approx(8 * whole / 8 / (8 * 25e9))
    assert handed_of(whole_of, Parallelism(8), case(micro=3), cluster) == (0, 0, 0)


def test_what_comes_once_a_step_is_told_by_degrees() -> None:
    """The optimizer updates 12·d² weights of each of 6 layers and two tables, an eighth where ZeRO divides them over 8; layers are cut
    over several devices, or over a whole node."""
    spec, bandwidth = gpt(6, 1024, 16), A100.device.memory_bytes_per_second
    numbers = 6 * 12 * 1024**2 + (51_200 + 2048) * 1024
    for plan, shares, flags in (
        (Parallelism(), 1, (0, 0)),
        (Parallelism(data=8), 1, (0, 0)),
        (Parallelism(data=8, zero=1), 8, (0, 0)),
        (Parallelism(tensor=2), 2, (1, 0)),
        (Parallelism(tensor=8), 8, (1, 1)),
    ):
        work = step_work([shard(lower(spec), plan)], plan, case(), A100)
        held = (
            numbers if plan.tensor == 1 else numbers + (plan.tensor - 1) * 2048 * 1024
        )  # positions are whole on each device
        assert work.states == pytest.approx(held / shares / bandwidth)
        assert (work.cut, work.wide) == flags


def test_sums_over_tensors_are_of_a_part_of_the_sequence() -> None:
    """Twice in each of 6 layers 2,048 tokens of 1,024 numbers of 2 bytes, a half where two devices share the sequence."""
    spec = gpt(6, 1024, 16)
    for context in (1, 2):
        plan = Parallelism(2, context=context)
        sums = sums_of(shard(lower(spec), plan), plan, case(micro=3), A100)
        sent = 2 * 1 / 2 * (2 * 6 * 3 * 2048 // context * 1024 * 2)
        assert sums.link == pytest.approx(sent / (300e9 * 0.64))
        assert sums.start == pytest.approx(2 * 6 * (36e-6 + 2 * 6e-6))


def test_recurrences_take_three_times_their_forward_pass() -> None:
    """Mamba 130M, 24 layers of 1,536 channels: scans of 16 numbers each, convolutions of 4 over 2,048 positions and 3 padded ones;
    four sequences, each over two devices."""
    work = step_work([lower(tscale.load("mamba-130m"))], Parallelism(context=2), case(micro=4), A100).stages[0]
    found = [product for product in work.products if product.traffic == 0]
    convolved, scanned = 2 * 24 * 1536 * 4 * (2048 + 3), 2 * 24 * 1536 * 16 * 2048
    assert sorted(product.computing * PEAK for product in found) == pytest.approx(
        sorted(3 * 4 * flops / 2 for flops in (convolved, scanned))
    )


def test_without_expert_parallelism_or_experts_nothing_is_dispatched() -> None:
    for name, plan in (
        ("qwen3-30b-a3b", Parallelism(2, data=4, expert_tensor=1)),
        ("gpt2", Parallelism(data=4, expert=4)),
    ):
        assert dispatches_of(lower(tscale.load(name)), plan, case(), A100) == (0, 0, 0)


def test_experts_have_no_sums_over_tensors_and_selection_biases_none() -> None:
    """DeepSeek-V3: a sum behind the attention of 61 layers, 3 dense feed-forwards and 58 shared experts, 36 and 2·6 µs each."""
    plan = Parallelism(2, data=8, expert=16, expert_tensor=1)
    sums = sums_of(shard(lower(tscale.load("deepseek-v3")), plan), plan, case(), A100)
    assert sums.start == pytest.approx((61 + 3 + 58) * (36e-6 + 2 * 6e-6))


def test_a_device_multiplies_its_part_of_the_sequences() -> None:
    entry = next(entry for entry in lower(gpt(6, 1024, 16)).entries if isinstance(entry, Matmul))
    assert tokens_of(entry, Parallelism(context=4), case(micro=3)) == 3 * 2048 / 4
    assert tokens_of(entry._replace(most=100), Parallelism(context=4), case(micro=3)) == 3 * 100 / 4


def test_a_product_on_a_device_of_unknown_multiprocessors_has_no_waves() -> None:
    made = Products(case()._replace(multiprocessors=None), A100).of(100, 300, 500, 2, PEAK, 7)
    assert made.computing == pytest.approx(2 * 7 * 2 * 100 * 300 * 500 / PEAK)
    read_and_written = 2 * 7 * 2 * (100 * 500 + 500 * 300 + 100 * 300)
    assert made.traffic == pytest.approx(read_and_written / A100.device.memory_bytes_per_second)


def test_experts_of_a_layer_run_at_once_with_their_parts_of_the_tokens() -> None:
    """Qwen3 30B-A3B: of 2,048 tokens by 8 choices, 128 experts have 128 each, in 48 layers; a lone token is one of each."""
    entry = next(entry for entry in lower(tscale.load("qwen3-30b-a3b")).entries if entry.name == "experts.down")
    assert isinstance(entry, Matmul)
    assert shape_of(entry, 2048.0) == ((2048 * 8 / 128, 2048, 768), 48, 128)
    assert shape_of(entry, 1.0).sizes[0] == 1


def test_what_nccl_moves_of_a_link_is_of_the_tables_of_vtrain() -> None:
    """64%, 73% and 76% of it on 2, 4 and 8 ranks."""
    assert [link_share(ranks) for ranks in (2, 3, 4, 5, 8)] == [0.64, 0.73, 0.73, 0.76, 0.76]


def stage(seconds: float, stages: int = 1) -> StageWork:
    nothing: tuple[()] = ()
    return StageWork(
        stages, 1.0, 0.0, 0.0, nothing, nothing, nothing, nothing, nothing, nothing, nothing, seconds, 0.0, 0.0, 0.0, 0.0,
        Sent(), Sent(), Sent(), Sent(),
    )  # fmt: skip


def one_f_one_b(slots: list[float], many: int) -> float:
    """When the last of many micro-batches has left the pipeline, each stage taking one after the other, each in its turn."""
    done = [[0.0] * len(slots) for _ in range(many)]
    for micro in range(many):
        for place, slot in enumerate(slots):
            before = done[micro][place - 1] if place else 0.0
            done[micro][place] = max(before, done[micro - 1][place] if micro else 0.0) + slot
    return done[-1][-1]


@pytest.mark.parametrize("slots", [[1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 2.5], [3.0, 1.0, 1.0, 1.5]])
@pytest.mark.parametrize("many", [1, 2, 8])
def test_a_pipeline_takes_as_long_as_a_walk_through_it(slots: list[float], many: int) -> None:
    nothing = Sent()
    work = StepWork(tuple(map(stage, slots)), many, 1.0, False, 0.0, 0.0, nothing, nothing, 0.0)
    predicted = predict(work, TrainingConstants(attention=1.0)).seconds
    assert predicted == pytest.approx(one_f_one_b(slots, many))


def test_a_kernel_is_named_and_changes_the_time_of_attention_alone() -> None:
    spec, plan = gpt(6, 1024, 16), Parallelism()
    work = step_work([lower(spec)], plan, case(fused=True), A100)
    values = {name: one.value for name, one in calibration("training-current").constants.items()}
    constants = [
        constants_from(values, family_of("a100-sxm-80gb"), kernel, "a100-sxm-80gb") for kernel in ("flash-1", "flash-2")
    ]
    slow, fast = (predict(work, one) for one in constants)
    assert slow.attention / fast.attention == pytest.approx(0.5 / 0.35)
    assert slow._replace(attention=0.0) == pytest.approx(fast._replace(attention=0.0))


@pytest.mark.parametrize(("tensor", "ring", "again"), [(1, 2, "none"), (1, 8, "none"), (4, 2, "full"), (8, 4, "none")])
def test_keys_go_round_a_ring(tensor: int, ring: int, again: Again) -> None:
    """A walk: at each turn every device hands on the part that it has, keys and values, until it has met those of all."""
    spec, length = tscale.load("llama-3.1-8b"), 8192
    plan = Parallelism(tensor, context=ring)
    asked = Case(SequenceLengths(target=length), 1, 1, 4096, REPEATED[again], PEAK, PEAK, False, True, 108)
    work = step_work([shard(lower(spec), plan)], plan, asked, A100).stages[0]
    part = 2 * 8 * 128 // tensor * (length // ring) * 2  # keys and values of 8 heads of 128, in 16 bits
    passed = sum(part for _ in range(ring - 1))
    passes = 32 * (
        3 + (again == "full")
    )  # forward, backward again with their gradients, and once more of a layer again
    if tensor == 8:  # each device has a NIC of its own, and its neighbours in the ring in other nodes
        assert A100.network_bytes_per_second is not None
        assert work.keys.network == pytest.approx(passes * passed / A100.network_bytes_per_second)
    else:
        assert A100.device.link_bytes_per_second is not None
        rate = A100.device.link_bytes_per_second * link_share(ring)
        assert work.keys.link == pytest.approx(passes * passed / rate)
    assert work.keys.start == pytest.approx(passes * (36e-6 + 6e-6 * ring))


def test_keys_that_are_sent_while_attention_is_computed_take_no_time() -> None:
    whole = stage(1.0)
    hidden, seen = (whole._replace(keys=Sent(0.0, seconds)) for seconds in (0.9, 1.5))
    for one, waiting in ((hidden, 0.0), (seen, 0.5)):
        work = StepWork((one,), 4, 1.0, False, 0.0, 0.0, Sent(), Sent(), 0.0)
        found = predict(work, TrainingConstants(attention=1.0))
        assert (found.keys, found.seconds) == pytest.approx((4 * waiting, 4 * (1.0 + waiting)))


@pytest.mark.parametrize(("dtype", "middle"), [("fp8", 0.862), ("fp8-block", 0.907)])
def test_deepseek_v3_s_own_run_is_in_the_interval(dtype: str, middle: float) -> None:
    """2.664e6 H800-hours for 14.8e12 tokens in steps of 15,360 sequences of 4,096 (DeepSeek-AI 2024c, table 1, sections 3.1 and 4.2).

    That is the step that it reports too, 19.926 s (arXiv 2505.09343, table 4). Without what DualPipe hides, and with both stages of a
    device counted for all micro-batches, it was three times as long. It computed norms and the products up from latents again (section
    3.2.3), and had a layer and a head more, to predict a second token (section 2.2): none of these is counted.
    """
    measured = 2.664e6 * 3600 / 2048 * 15_360 * 4096 / 14.8e12
    assert measured == pytest.approx(19.926, rel=0.001)
    of = "train deepseek-v3 --gpu h800 --gpus 2048 --batch 15360 --pipeline 16 --expert 64 --zero 1 --precision fp8"
    done = run(*of.split(), "--schedule", "dualpipe", "--dtype", dtype, "--format", "json")
    found = json.loads(done.out)["plan"]["step_seconds"]
    assert found["low"] < measured < found["high"]
    assert found["middle"] / measured == pytest.approx(middle, abs=0.01)


@pytest.mark.parametrize("stages", [4, 16])
def test_other_orders_idle_as_their_papers_say(stages: int) -> None:
    """F = B = W = 1: 1F1B (p - 1)·3, ZB1P (p - 1)·(1 + 2 - 2), DualPipe (p/2 - 1)·(2 + 1 + 2 - 3) of a stage; its device has two."""
    one = {"1f1b": (stages - 1) * 3, "zero-bubble": stages - 1, "dualpipe": (stages / 2 - 1) * 2}
    for order, idle in one.items():
        device = 3 * (2 if order == "dualpipe" else 1)
        plan = Parallelism(pipeline=stages, schedule=order)  # type: ignore[arg-type]
        assert float(predicted_fill(plan)) * (stages - 1) * device == pytest.approx(idle)


def test_tokens_are_sent_to_a_single_expert_as_to_several() -> None:
    """A device that has one expert of Mixtral's eight computes and sends as much as one that has two, waves apart."""
    from tscale.models.resolve import resolve

    whole = lower(resolve("mixtral-8x7b"))
    found = []
    for expert in (4, 8):
        plan = Parallelism(data=8, expert=expert)
        found.append(step_work([shard(whole, plan)], plan, case(fused=True), A100).stages[0])
    two, one = found
    assert len(one.experts) == len(two.experts) > 0
    assert len(one.products) == len(two.products)
    assert one.dispatches.link > two.dispatches.link > 0  # 7 of 8 tokens leave a device, and 3 of 4


@pytest.mark.parametrize("expert", [8, 64, 256])
def test_tokens_are_sent_to_experts_also_where_a_device_has_one_alone(expert: int) -> None:
    """DeepSeek-V3's 256 experts, 8 a token: forward and backward, there and back, once to each node but its own that has one of them.

    They are in 4 of its 8 groups: on 4 of 8 nodes, on 16 of 32.
    """
    spec, length = tscale.load("deepseek-v3"), 4096
    plan = Parallelism(data=expert, expert=expert)
    asked = Case(SequenceLengths(target=length), 1, 1, 7168, REPEATED["none"], PEAK, PEAK, False, True, 108)
    share = shard(lower(spec), plan)
    work = step_work([share], plan, asked, A100).stages[0]
    nodes = expert // 8
    assert A100.network_bytes_per_second is not None
    within = max(nodes // 2, 1)
    met = (nodes - 1) / nodes * within * (1 - comb(128 - 128 // within, 8) / comb(128, 8))
    expected = 4 * 58 * length * 7168 * 2 * met / A100.network_bytes_per_second
    assert work.dispatches.network == pytest.approx(expected)
    assert work.dispatches.link > 0
    # of a token's eight experts the products are as many wherever these are, but for their last waves
    routed = sum(product.computing for product in work.experts)
    assert 1 <= routed / (3 * 58 * 3 * 2 * length * 8 * 7168 * 2048 / PEAK) < 1.05


@pytest.mark.parametrize("tensor", [8, 16])
def test_gathers_over_two_nodes_go_round_flat_rings(tensor: int) -> None:
    """A walk: each of 16 ranks hands on 15 of 16 parts, through the NIC where its neighbour is in the other node, as 2 of 16 are.

    All-reduces may be trees, which send each half once; sequence parallelism gathers and scatters (NVIDIA/nccl issue 1473).
    """
    spec = gpt(6, 4096, 32)
    seconds = []
    for sequence in (False, True):
        plan = Parallelism(tensor, sequence=sequence)
        seconds.append(step_work([shard(lower(spec), plan)], plan, case(fused=True), A100).stages[0].sums.network)
    if tensor == 8:
        assert seconds == [0.0, 0.0]
        return
    nics = A100.network_bytes_per_second * 8 if A100.network_bytes_per_second else 0
    part = 2048 * 4096 * 2 / 16
    crossed = sum(
        part for _ in range(15)
    )  # from the last rank of a node to the first of the other, rings over all NICs
    collectives = 6 * 2 * 2 * 2  # layers, sub-layers, forward and backward, a gather and a scatter
    again = 6 * 2  # a gather for the gradients of weights
    assert seconds[1] == pytest.approx((collectives + again) * crossed / nics)
    assert seconds[0] == pytest.approx(collectives * 2048 * 4096 * 2 / 2 / nics)


@pytest.mark.parametrize(("shards", "link", "network"), [(8, 7 / 8, 0.0), (2, 1 / 2, 0.0), (32, 7 / 8, 31 / 32)])
def test_hybrid_shards_of_a_node_are_gathered_within_it(shards: int, link: float, network: float) -> None:
    """Of 64 copies those that share shards are neighbours: over the NICs go the sums of parts alone, to the same parts of other nodes.

    Tables are waited for (`test_no_pass_hides_what_is_in_the_outer_buckets`).
    """
    spec = gpt(6, 4096, 32)
    weights = 2 * 6 * 12 * 4096**2
    found = step_work([lower(spec)], Parallelism(data=64, zero=1, shards=shards), case(fused=True), A100)
    rate = A100.device.link_bytes_per_second or 0
    per_second = rate * link_share(min(shards, 8)), 8 * (A100.network_bytes_per_second or 0)
    assert found.weights.link * per_second[0] == pytest.approx(weights * link, rel=0.001)
    assert found.weights.network * per_second[1] == pytest.approx(weights * network, rel=0.001)


def _of_copies(work: StepWork) -> float:
    return work.gathers.network + work.gradients.network + work.weights.network + work.waited.network


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_shards_over_two_nodes_are_gathered_in_flat_rings(zero: int) -> None:
    """Of 16 ranks, 15 of 16 parts of all weights leave a node to be gathered, and of gradients in 32 bits twice as much; a tree sums by halves, in 32 bits there and back.

    NCCL has trees for all-reduces alone: its tuning.cc passes over all but rings for what gathers and reduce-scatters.
    """
    spec = gpt(6, 4096, 32)
    weights = 6 * 12 * 4096**2 + (51200 + 2048) * 4096
    plan = Parallelism(data=16, zero=zero)
    work = step_work([lower(spec)], plan, case(fused=True), A100)
    nics = 8 * (A100.network_bytes_per_second or 0)
    found = _of_copies(work) * nics
    once = 2 * weights
    of_all = once / 2 if zero == 0 else once * 15 / 16
    if zero < 3:
        bytes_each = 4 if zero == 0 else 3  # an all-reduce is in 32 bits both ways
        assert found == pytest.approx(bytes_each * of_all, rel=0.001)  # gains and biases are thousandths more
    else:  # gathered forward and backward, but for the last layer and what is in none, and scattered once
        assert 3.5 * of_all < found < 4.1 * of_all
    in_16_bits = step_work([lower(spec)], plan, case(fused=True, gradient_bytes=2.0), A100)
    sent = _of_copies(in_16_bits) * nics
    assert found - sent == pytest.approx((2 if zero == 0 else 1) * of_all, rel=0.001)
