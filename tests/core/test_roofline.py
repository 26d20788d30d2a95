"""The roofline against loops, simulations and what was published."""

from __future__ import annotations

import numpy as np
import pytest

import tscale
from tests.helpers import disclosed
from tscale.core.device import Cluster, Device
from tscale.core.formats import FORMATS
from tscale.core.ledger import Conv, Ledger, Lookup, Matmul, Scan
from tscale.core.plan import Plan
from tscale.core.questions.cache import cache_bytes
from tscale.core.questions.forward import forward_flops
from tscale.core.questions.params import active_params, buffers, params
from tscale.core.questions.roofline import Formats, Pass, decode_seconds, distinct_experts, pass_seconds, works
from tscale.core.run import Run
from tscale.core.shard import shard

H100 = Device("h100", {"bf16": 989_400_000_000_000}, 80 * 10**9, 3_350 * 10**9, 450 * 10**9, 700)
NODE = Cluster(H100, 8, None)
BF16 = Formats(FORMATS["bf16"], FORMATS["bf16"], {"": 989_400_000_000_000})
DECODERS = [name for name in disclosed() if tscale.load(name).kind == "decoder"]


def decoding(ledger: Ledger, batch: int, context: int) -> float:
    return pass_seconds(works(ledger, ledger, BF16, Pass(batch, 1, context, 1, decoding=True), NODE, 1), NODE, 1)


@pytest.mark.parametrize("name", DECODERS)
def test_the_sum_over_tokens_is_that_of_a_loop(name: str) -> None:
    """Across a window's edge and a chunk's, for every architecture."""
    ledger = tscale.lower(tscale.load(name))
    for start, steps in ((0, 1), (5, 40), (1000, 60), (4090, 12), (8185, 10)):
        summed = decode_seconds(ledger, ledger, BF16, 7, start, steps, NODE, 1)
        assert summed == pytest.approx(sum(decoding(ledger, 7, start + step) for step in range(steps)), rel=1e-9)


def only_multiplies(name: str) -> bool:
    """Whether a model has no convolutions and recurrences, which frameworks pad."""
    return not any(isinstance(entry, (Scan, Conv)) for entry in tscale.lower(tscale.load(name)).entries)


@pytest.mark.parametrize("name", [name for name in DECODERS if only_multiplies(name)])
def test_a_prefill_computes_a_forward_pass(name: str) -> None:
    """Of causal attention, with the head at every position."""
    ledger = tscale.lower(tscale.load(name))
    n = 300
    found = sum(line.flops for line in works(ledger, ledger, BF16, Pass(1, n, 0, n, decoding=False), NODE, 1))
    assert found == forward_flops(ledger, Run(target=n), "causal").total


@pytest.mark.parametrize("name", DECODERS)
def test_a_single_sequence_reads_each_active_parameter_once(name: str) -> None:
    """All of them but tables, of which it reads a row, and the routed experts that it does not meet."""
    ledger = tscale.lower(tscale.load(name))
    lines = works(ledger, ledger, BF16, Pass(1, 1, 100, 1, decoding=True), NODE, 1)
    read = sum(line.weights for line in lines)
    tables = sum(e.stored * (e.rows - 1) * e.width for e in ledger.entries if isinstance(e, Lookup))
    tied = sum(e.d_in * e.d_out for e in ledger.entries if isinstance(e, Matmul) and e.name == "head" and not e.stored)
    assert read == pytest.approx(2 * (active_params(ledger).total + buffers(ledger).total - tables + tied), rel=1e-9)
    assert sum(line.cache for line in lines if line.group == "cache") == pytest.approx(
        sum(line.value for line in cache_bytes(ledger, Run(target=101), 16).lines if "state" not in line.name), rel=1e-9
    )


def test_experts_that_a_batch_meets_are_those_of_a_simulation() -> None:
    rng = np.random.default_rng(7)
    for experts, top_k, tokens in ((8, 2, 1), (8, 2, 5), (64, 6, 16), (256, 8, 64), (128, 4, 3)):
        trials = 3000
        met = sum(len(np.unique(rng.random((tokens, experts)).argsort(axis=1)[:, :top_k])) for _ in range(trials))
        assert distinct_experts(experts, top_k, tokens) == pytest.approx(met / trials, rel=0.02)
    assert distinct_experts(8, 8, 3) == 8
    assert distinct_experts(8, 2, 1) == pytest.approx(2)


def test_one_token_s_experts_at_any_batch_are_far_too_few() -> None:
    """DeepSeek-V3 at a batch of 32: 163 of 256 experts are read in each layer, not 8."""
    ledger = tscale.lower(tscale.load("deepseek-v3"))
    lines = works(ledger, ledger, BF16, Pass(32, 1, 100, 1, decoding=True), NODE, 1)
    up = next(line for line in lines if line.name == "experts.up")
    assert up.weights == pytest.approx(58 * 256 * (1 - (1 - 8 / 256) ** 32) * 7168 * 2048 * 2)


def test_latents_are_scored_as_they_are_while_decoding() -> None:
    """DeepSeek-AI 2024b, section 2.1.2: 128 heads over a latent of 512 and a rotated key of 64, in each of 61 layers."""
    ledger = tscale.lower(tscale.load("deepseek-v3"))
    lines = works(ledger, ledger, BF16, Pass(1, 1, 999, 1, decoding=True), NODE, 1)
    scores = next(line for line in lines if line.group == "cache")
    assert scores.flops == 2 * 1000 * 61 * 128 * (512 + 64 + 512)
    assert scores.cache == 1000 * 61 * (512 + 64) * 2


def test_a_shared_layer_is_read_each_time() -> None:
    spec = tscale.load("gpt2", ["unique_layers=1"])
    lines = works(tscale.lower(spec), tscale.lower(spec), BF16, Pass(1, 1, 10, 1, decoding=True), NODE, 1)
    up = next(line for line in lines if line.name == "feed_forward.up")
    assert up.weights == pytest.approx(12 * (768 * 3072 + 3072) * 2)


def test_devices_share_the_work_and_pay_for_it() -> None:
    """Eight of them: an eighth of the products, and two all-reduces a layer of 2·7/8 of what is summed."""
    ledger = tscale.lower(tscale.load("llama31-70b"))
    share = shard(ledger, Plan(tensor=8))
    run = Pass(4, 1, 1000, 1, decoding=True)
    alone, together = works(ledger, ledger, BF16, run, NODE, 1), works(share, ledger, BF16, run, NODE, 8)
    assert sum(line.flops for line in alone) == 8 * sum(line.flops for line in together)
    assert together[-1].sent == 2 * 7 * (80 * 2 * 4 * 8192 * 2) // 8
    assert pass_seconds(together, NODE, 8) > pass_seconds(alone, NODE, 1) / 8


def test_a_verified_draft_reads_the_cache_once() -> None:
    ledger = tscale.lower(tscale.load("llama31-8b"))
    single = works(ledger, ledger, BF16, Pass(1, 1, 1000, 1, decoding=True), NODE, 1)
    five = works(ledger, ledger, BF16, Pass(1, 5, 1000, 5, decoding=True), NODE, 1)
    cache = [next(line.cache for line in lines if line.group == "cache") for lines in (single, five)]
    assert cache[1] * 1001 == cache[0] * 1005
    assert (
        sum(line.weights for line in five) - sum(line.weights for line in single) == 4 * 4096 * 2
    )  # rows of the table


def test_totals_stay_below_the_whole() -> None:
    ledger = tscale.lower(tscale.load("mixtral-8x7b"))
    lines = works(ledger, ledger, BF16, Pass(10**6, 1, 0, 1, decoding=True), NODE, 1)
    assert sum(line.weights for line in lines) <= 2 * params(ledger).total
