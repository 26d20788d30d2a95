"""What a device of a deployment does in a pass, redone by hand and by brute force."""

from __future__ import annotations

from dataclasses import fields
from random import Random

import pytest

from tests.core.deployed import deployed
from tscale.core.costs.roofline import Dtypes
from tscale.core.costs.serving_prediction import Chip, Load, ServingConstants, least_seconds, step_curve, step_seconds
from tscale.core.costs.serving_share import Deployed
from tscale.core.costs.serving_work import decoding, prefilling
from tscale.core.dtypes import DTYPES
from tscale.models.lower import lower
from tscale.models.resolve import resolve

PEAK = 10**15
BF16 = Dtypes(DTYPES["bf16"], DTYPES["bf16"], {"": PEAK})


def on(model: str, tensor: int = 1, copies: int = 1, expert: int = 1, expert_tensor: int | None = None) -> Deployed:
    cut = tensor * copies // expert if expert_tensor is None else expert_tensor
    return deployed(lower(resolve(model)), BF16, tensor, copies, expert, cut)


def test_a_dense_step_is_its_matrices_and_its_cache() -> None:
    """Llama 3.1 8B: 32 layers of q, k, v, o and three matrices of the feed-forward, and an untied head, over 2 devices."""
    work = decoding(on("llama-3.1-8b", 2), batch=3, keys=1000)
    d, kv, d_ff = 4096, 1024, 14336
    assert work.attention.bytes == 2 * 32 * (2 * d * d + 2 * d * kv) / 2
    assert work.dense.flops == 2 * 3 * 32 * 3 * d * d_ff / 2
    assert work.head.bytes == 2 * d * 128256 / 2
    assert work.scores.bytes == 3 * 1000 * 32 * 2 * kv * 2 / 2
    assert work.sent.link == 2 * 32 * 3 * d * 2  # two all-reduces a layer, of which a ring of 2 sends all once
    assert work.sent.away == 0


def test_a_prompt_scores_each_pair_once() -> None:
    work = prefilling(on("llama-3.1-8b"), 100)
    assert work.scores.flops == 2 * 32 * 32 * 2 * 128 * (100 * 101 // 2)
    assert work.scores.bytes == 100 * 32 * 2 * 8 * 128 * 2  # keys and values of 8 heads of 128, in 16 bits
    later = prefilling(on("llama-3.1-8b"), 100, 40)
    assert later.scores.flops == 2 * 32 * 32 * 2 * 128 * sum(range(41, 101))
    assert later.dense.flops == 0.6 * work.dense.flops


def test_a_recurrence_reads_and_writes_its_state_once_a_pass() -> None:
    """Mamba 2.8B: in each of 64 layers 5,120 channels with a state of 16 and the 4 inputs of a convolution, in 16 bits."""
    state = 64 * 5120 * (16 + 4) * 2
    assert prefilling(on("mamba-2.8b"), 100).states.bytes == 2 * state
    assert decoding(on("mamba-2.8b"), 3, 100).states.bytes == 3 * 2 * state


def test_experts_that_are_read_are_those_that_are_met() -> None:
    """Mixtral: 8 experts, 2 a token; the mean of draws against the expectation."""
    draw = Random(7)  # noqa: S311 (a simulation)
    for tokens in (1, 3, 8):
        met = sum(len({e for _ in range(tokens) for e in draw.sample(range(8), 2)}) for _ in range(4000)) / 4000
        work = decoding(on("mixtral-8x7b"), batch=tokens, keys=10)
        assert work.experts.bytes == pytest.approx(met * 32 * 3 * 4096 * 14336 * 2, rel=0.02)


def test_copies_of_attention_keep_their_weights_and_divide_the_cache() -> None:
    cut, copied = on("deepseek-v3", 8, expert=8), on("deepseek-v3", 1, 8, expert=8)
    all_of_it = decoding(on("deepseek-v3"), 64, 1000)
    one, other = decoding(cut, 64, 1000), decoding(copied, 8, 1000)
    assert other.attention.bytes == all_of_it.attention.bytes > 7 * one.attention.bytes / 2
    assert one.scores.bytes == all_of_it.scores.bytes  # a latent is one for all heads: every device keeps all of it
    assert other.scores.bytes == all_of_it.scores.bytes / 8
    assert one.experts.bytes == pytest.approx(other.experts.bytes) == pytest.approx(all_of_it.experts.bytes / 8)


def test_exchanges_between_nodes_go_over_the_network() -> None:
    """Of n devices in nodes of 8, (n - 8)/n of what goes to experts leaves the node: a byte there and two back."""
    near, far = (
        decoding(on("deepseek-v3", 1, 8, expert=8), 16, 100),
        decoding(on("deepseek-v3", 1, 32, expert=32), 16, 100),
    )
    each = 58 * 16 * 7168 * 8 * 3
    assert near.sent.away == 0 and near.sent.link <= each
    assert far.sent.link == pytest.approx(each * 7 / 32)
    assert far.sent.away == pytest.approx(each * 24 / 32)


@pytest.mark.parametrize("nodes", [2, 4, 8])
def test_a_prompt_is_sent_once_to_each_node_of_its_experts(nodes: int) -> None:
    """DeepSeek-V3 draws 4 of 8 groups and then 8 of their experts: brute force over draws, against what is counted.

    A copy is sent on to its device in the node, 7 of 8 of them; a step of decoding sends each copy for itself, and no bound does.
    """
    draw, tokens = Random(3), 4000  # noqa: S311 (a simulation)
    reached = 0
    for _ in range(tokens):
        experts = [32 * group + expert for group in draw.sample(range(8), 4) for expert in range(32)]
        own = draw.randrange(nodes)
        reached += len({expert * nodes // 256 for expert in draw.sample(experts, 8)} - {own})
    one = on("deepseek-v3", 1, 8 * nodes, expert=8 * nodes)
    sent, each = prefilling(one, 100).sent, 58 * 100 * 7168 * 3
    assert sent.away == pytest.approx(each * reached / tokens, rel=0.03)
    assert sent.link == pytest.approx(each * 8 * 7 / 8)
    step = decoding(one, 100, 100).sent
    assert step.least_away == sent.least_away == sent.away < step.away
    assert step.least_link == sent.least_link == step.link <= sent.link


def test_places_that_experts_leave_hold_copies() -> None:
    """256 experts over 72 groups: four on each device, 288 in all."""
    spread, even = on("deepseek-v3", 1, 72, expert=72), on("deepseek-v3", 1, 64, expert=64)
    assert spread.experts[0].bytes == pytest.approx(even.experts[0].bytes)
    assert spread.experts[0].flops == pytest.approx(even.experts[0].flops * 64 / 72)


def test_a_bound_overlaps_all_of_it() -> None:
    work = decoding(on("llama-3.1-8b"), 1, 1000)
    bytes_read = sum(part.bytes for part in (work.attention, work.dense, work.scores, work.head))
    assert least_seconds(work, Chip(10**12, 10**11, 10**10)) == pytest.approx(bytes_read / 10**12)


def test_experts_of_a_prompt_that_is_alone_have_no_tokens_of_others() -> None:
    """Copies of attention with one prompt among them: the experts do an eighth of what they do with one on each of 8."""
    one = on("deepseek-v3", 1, 8, expert=8)
    alone, full = prefilling(one, 1000, together=1), prefilling(one, 1000)
    assert 8 * alone.experts.flops == pytest.approx(full.experts.flops)
    assert alone.attention == full.attention and alone.dense == full.dense
    assert prefilling(one, 1000, together=8) == full


@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v3", "mamba-2.8b"])
@pytest.mark.parametrize("stages", [1, 3])
def test_a_curve_of_steps_is_one_step_after_the_other(model: str, stages: int) -> None:
    """Products and caches by the sequences, weights once, experts by those that are met: as each batch asked by itself."""
    one = on(model, 1, 8, expert=8)
    drawn = Random(1)  # noqa: S311 (no secret)
    c = ServingConstants(**{each.name: drawn.uniform(0.1, 1.0) for each in fields(ServingConstants)})
    chip, load = Chip(3e12, 4e11, 4e10), Load(1, 1, 100, 3, 1)
    curve = step_curve(one, 1000, 2, chip, load, c, stages)
    batches = [1.0, 1.3, 7.0, 64.0, 900.0, 5000.0]
    each = [step_seconds(decoding(one, batch, 1000, 2), one.structure, chip, load, c, stages, 2) for batch in batches]
    assert [curve.at(batch) for batch in batches] == pytest.approx(each, rel=1e-12)
