"""The roofline against loops, simulations and what was published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tscale
from tests.helpers import disclosed, of_each
from tscale.blocks.lightning import Lightning
from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, buffers, params, size
from tscale.core.costs.roofline import Dtypes, Pass, Setup, decode_seconds, distinct_experts, pass_seconds, works
from tscale.core.device import Cluster, Device
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Cache, Conv, Ledger, Lookup, Matmul, Scan
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.core.workload import SequenceLengths

H100 = Device("h100", {"bf16": 989_400_000_000_000}, 80 * 10**9, 3_350 * 10**9, 450 * 10**9, 700)
NODE = Cluster(H100, 8, None)
BF16 = Dtypes(DTYPES["bf16"], DTYPES["bf16"], {"": 989_400_000_000_000})
DECODERS = [name for name in disclosed() if tscale.load(name).kind == "decoder"]


def alone(ledger: Ledger) -> Setup:
    """A model on one device."""
    return Setup(ledger, ledger, BF16, NODE)


def shared(ledger: Ledger, devices: int) -> Setup:
    return Setup(ledger, shard(ledger, Parallelism(tensor=devices)), BF16, NODE, devices)


def decoding(ledger: Ledger, batch: int, context: int) -> float:
    return pass_seconds(alone(ledger), works(alone(ledger), Pass(batch, 1, context, 1, decoding=True)))


@of_each(DECODERS[::2])
def test_the_sum_over_tokens_is_that_of_a_loop(name: str) -> None:
    """Across a window's edge and a chunk's, for every other model."""
    ledger = tscale.lower(tscale.load(name))
    for start, steps in ((0, 1), (5, 40), (1000, 60), (4090, 12), (8185, 10)):
        summed = decode_seconds(alone(ledger), 7, start, steps)
        assert summed == pytest.approx(sum(decoding(ledger, 7, start + step) for step in range(steps)), rel=1e-9)


def only_multiplies(name: str) -> bool:
    """Whether a model has no convolutions and recurrences, which frameworks pad."""
    return not any(isinstance(entry, (Scan, Conv)) for entry in tscale.lower(tscale.load(name)).entries)


@of_each([name for name in DECODERS if only_multiplies(name)], quick=True)
def test_a_prefill_computes_a_forward_pass(name: str) -> None:
    """Of causal attention, with the head at every position."""
    ledger = tscale.lower(tscale.load(name))
    n = 300
    found = sum(line.flops for line in works(alone(ledger), Pass(1, n, 0, n, decoding=False)))
    assert found == forward_flops(ledger, SequenceLengths(target=n), "causal").total


@of_each(DECODERS, quick=True)
def test_a_single_sequence_reads_each_active_parameter_once(name: str) -> None:
    """All of them but tables, of which it reads a row, and experts that it does not meet; a shared matrix each time."""
    ledger = tscale.lower(tscale.load(name))
    lines = works(alone(ledger), Pass(1, 1, 100, 1, decoding=True))
    read = sum(line.weights for line in lines)
    tables = sum(e.stored * (e.rows - 1) * e.width for e in ledger.entries if isinstance(e, Lookup))
    again = sum(
        (e.used - e.stored) * size(e)
        for e in ledger.entries
        if isinstance(e, Matmul) and e.experts == 1 and e.used > e.stored and e.role != "stream_mix"
    )
    each = ledger.each(
        lambda e: e._replace(stored=1) if isinstance(e, Cache) else e
    )  # a borrowed cache is read each time
    assert read == pytest.approx(2 * (active_params(ledger).total + buffers(ledger).total - tables + again), rel=1e-9)
    assert sum(line.cache for line in lines if line.group == "cache") == pytest.approx(
        sum(
            line.value for line in cache_bytes(each, SequenceLengths(target=101), 16).lines if "state" not in line.name
        ),
        rel=1e-9,
    )


@pytest.mark.slow
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
    lines = works(alone(ledger), Pass(32, 1, 100, 1, decoding=True))
    up = next(line for line in lines if line.name == "experts.up")
    assert up.weights == pytest.approx(58 * 256 * (1 - (1 - 8 / 256) ** 32) * 7168 * 2048 * 2)


def test_latents_are_scored_as_they_are_while_decoding() -> None:
    """DeepSeek-AI 2024b, section 2.1.2: 128 heads over a latent of 512 and a rotated key of 64, in each of 61 layers."""
    ledger = tscale.lower(tscale.load("deepseek-v3"))
    lines = works(alone(ledger), Pass(1, 1, 999, 1, decoding=True))
    scores = next(line for line in lines if line.group == "cache")
    assert scores.flops == 2 * 1000 * 61 * 128 * (512 + 64 + 512)
    assert scores.cache == 1000 * 61 * (512 + 64) * 2


def test_cached_latents_are_spread_out_before_a_prefill_scores_them() -> None:
    """From 512 to 128 heads of a key of 128 and a value of 128, in each of 61 layers: of the prefix as of the rest."""
    ledger = tscale.lower(tscale.load("deepseek-v3"))
    for decoding, positions in ((False, 1000), (True, 24)):
        lines = works(alone(ledger), Pass(3, 24, 976, 1, decoding=decoding))
        up = next(line for line in lines if line.name == "attention.kv_up")
        assert up.flops == 2 * 3 * positions * 61 * 512 * 128 * (128 + 128)


def test_a_shared_layer_is_read_each_time() -> None:
    spec = tscale.load("gpt2", ["unique_layers=1"])
    lines = works(alone(tscale.lower(spec)), Pass(1, 1, 10, 1, decoding=True))
    up = next(line for line in lines if line.name == "feed_forward.up")
    assert up.weights == pytest.approx(12 * (768 * 3072 + 3072) * 2)


def test_devices_share_the_work_and_pay_for_it() -> None:
    """Eight of them: an eighth of the products, and two all-reduces a layer of 2·7/8 of what is summed."""
    ledger = tscale.lower(tscale.load("llama31-70b"))
    run = Pass(4, 1, 1000, 1, decoding=True)
    one, eight = works(alone(ledger), run), works(shared(ledger, 8), run)
    assert sum(line.flops for line in one) == 8 * sum(line.flops for line in eight)
    assert eight[-1].sent == 2 * 7 * (80 * 2 * 4 * 8192 * 2) // 8
    assert pass_seconds(shared(ledger, 8), eight) > pass_seconds(alone(ledger), one) / 8


def test_tensor_parallelism_over_two_nodes_shares_the_nics_of_each() -> None:
    """DeepSeek-V3 on 16 H100, 122 sums of 4,096 tokens by 7,168: S over eight NICs of 50 GB/s, S over the link of a switch
    that sums, both at once. All of 2·15/16·S through one NIC would take 15 times as long.
    """
    nodes = NODE._replace(network_bytes_per_second=50 * 10**9, switch_reduces=True)
    setup = shared(tscale.lower(tscale.load("deepseek-v3")), 16)._replace(cluster=nodes)
    sums = works(setup, Pass(1, 4096, 0, 1, decoding=False))[-1]
    summed = 2 * 61 * 4096 * 7168 * 2
    assert sums.sent == 2 * 15 * summed // 16
    assert sums.least.network.seconds == pytest.approx(summed / 400e9)
    assert sums.least.link.seconds == pytest.approx(summed / 450e9)
    assert sums.seconds(1) == pytest.approx(summed / 400e9)


def test_sub_layers_side_by_side_are_summed_at_once() -> None:
    """Pope 2022, section 3.4: half of what attention and feed-forward send one after the other."""
    setup = shared(tscale.lower(tscale.load("palm-540b", ["attention.heads=64"])), 8)
    run = Pass(4, 1, 1000, 1, decoding=True)
    in_turn, at_once = works(setup, run)[-1].sent, works(setup._replace(parallel_block=True), run)[-1].sent
    assert in_turn == 2 * at_once == 2 * 2 * 7 * (118 * 4 * 18432 * 2) // 8


@pytest.mark.parametrize("name", ["llama-3.1-70b", "deepseek-v3", "gemma-3-27b", "palm-540b"])
def test_a_cache_by_sequences_is_read_once_by_all_devices_together(name: str) -> None:
    """Pope 2022, section 3.3: an eighth of the whole each; by heads, a single key-value head is read by all of them."""
    ledger = tscale.lower(tscale.load(name))
    run = Pass(16, 1, 3000, 1, decoding=True)
    whole = works(alone(ledger), run)
    parts = works(shared(ledger, 8)._replace(by_sequences=True), run)
    for mine, all_of_it in zip(*([w for w in ws if w.group == "cache"] for ws in (parts, whole)), strict=True):
        assert 8 * mine.cache == all_of_it.cache
        assert 8 * mine.flops == all_of_it.flops
    by_heads = works(shared(ledger, 8), run)
    kept = sum(line.cache for line in by_heads) / sum(line.cache for line in parts)
    assert kept == (1 if name in {"llama-3.1-70b", "gemma-3-27b"} else 8)


def test_queries_are_sent_to_their_cache_and_outputs_back() -> None:
    """Each device has an eighth of 16 sequences' 64 heads of 128, and sends 7/8 of them; as much comes back."""
    setup = shared(tscale.lower(tscale.load("llama-3.1-70b")), 8)._replace(by_sequences=True)
    lines = {line.name: line for line in works(setup, Pass(16, 1, 3000, 1, decoding=True))}
    assert lines["all-to-alls"].sent == 2 * (16 * 80 * 64 * 128 * 2 * 7) // 64
    for name in ("all-reduces", "all-to-alls"):  # what is sent is neither computed nor read
        assert (lines[name].flops, lines[name].peak, lines[name].weights, lines[name].cache) == (0, 1, 0, 0)
    assert "all-to-alls" not in {line.name for line in works(setup, Pass(16, 100, 0, 1, decoding=False))}


def test_a_verified_draft_reads_the_cache_once() -> None:
    ledger = tscale.lower(tscale.load("llama31-8b"))
    single = works(alone(ledger), Pass(1, 1, 1000, 1, decoding=True))
    five = works(alone(ledger), Pass(1, 5, 1000, 5, decoding=True))
    cache = [next(line.cache for line in lines if line.group == "cache") for lines in (single, five)]
    assert cache[1] * 1001 == cache[0] * 1005
    assert (
        sum(line.weights for line in five) - sum(line.weights for line in single) == 4 * 4096 * 2
    )  # rows of the table


def test_totals_stay_below_the_whole() -> None:
    ledger = tscale.lower(tscale.load("mixtral-8x7b"))
    lines = works(alone(ledger), Pass(10**6, 1, 0, 1, decoding=True))
    assert sum(line.weights for line in lines) <= 2 * params(ledger).total


# ---- encoder-decoders ----

STACKS = [name for name in disclosed() if tscale.load(name).kind == "encoder-decoder"]


@of_each(STACKS, quick=True)
def test_a_prefill_and_its_steps_are_a_forward_pass_of_both_stacks(name: str) -> None:
    """The encoder runs once over the source, the decoder over each token of the answer: no product more, none fewer."""
    setup = alone(tscale.lower(tscale.load(name)))
    source, tokens = 300, 9
    passes = [Pass(1, 1, 0, 1, decoding=False, source=source)]
    passes += [Pass(1, 1, cached, 1, decoding=True, source=source) for cached in range(1, tokens)]
    computed = sum(line.flops for run in passes for line in works(setup, run))
    assert computed == forward_flops(setup.whole, SequenceLengths(target=tokens, source=source), "causal").total


@of_each(STACKS, quick=True)
def test_the_sum_over_tokens_of_an_answer_is_that_of_a_loop(name: str) -> None:
    setup = alone(tscale.lower(tscale.load(name)))

    def step(cached: int) -> float:
        return pass_seconds(setup, works(setup, Pass(5, 1, cached, 1, decoding=True, source=700)))

    assert decode_seconds(setup, 5, 1, 20, 700) == pytest.approx(sum(step(1 + n) for n in range(20)), rel=1e-9)


def test_a_step_reads_the_decoder_alone_and_the_keys_of_the_source() -> None:
    """T5 11B: 24 layers of each stack, 128 heads of 128; what a step reads is the decoder's half, and its caches."""
    setup = alone(tscale.lower(tscale.load("t5-11b")))
    lines = {line.name: line for line in works(setup, Pass(3, 1, 10, 1, decoding=True, source=512))}
    assert all(not line.weights for name, line in lines.items() if name.startswith("encoder."))
    assert lines["decoder.cross_attention.k"].weights == 0  # what was read is in the cache
    assert lines["decoder.cross_attention.q"].weights == 24 * 1024 * 128 * 128 * 2
    assert lines["decoder.cross_attention.scores"].cache == 3 * 512 * 24 * 2 * 128 * 128 * 2
    assert lines["decoder.self_attention.scores"].cache == 3 * 11 * 24 * 2 * 128 * 128 * 2


def test_states_are_read_and_written_by_each_sequence_in_each_layer() -> None:
    """Mamba 130M: 24 layers, each with 1,536 channels of 16 numbers of state and 4 inputs of a convolution, in 16 bits."""
    setup = alone(tscale.lower(tscale.load("mamba-130m")))
    for run in (Pass(3, 1, 100, 1, decoding=True), Pass(3, 500, 0, 1, decoding=False)):
        lines = {line.name: line for line in works(setup, run)}
        assert lines["mamba.state"].cache == 2 * (3 * 24 * 1536 * 16 * 2)
        assert lines["mamba.conv_state"].cache == 2 * (3 * 24 * 1536 * 4 * 2)
        assert lines["mamba.conv"].flops == 2 * (3 * run.new * 24 * 1536 * 4)


def test_a_recurrence_of_a_prefill_is_counted_by_tokens_and_by_whole_chunks() -> None:
    """Jamba's, token by token: 28 layers of 8,192 channels by 16; Codestral Mamba's, 64 layers by chunks of 256 (its scores of 128
    heads by 128 and 64, its states in and out): of 600 tokens there are two whole ones."""
    run = Pass(3, 600, 0, 1, decoding=False)
    by_token, by_chunk = (
        next(line.flops for line in works(alone(tscale.lower(tscale.load(name))), run) if line.name.endswith(".scan"))
        for name in ("jamba", "mamba-codestral-7b")
    )
    assert by_token == 2 * 3 * 600 * 28 * 8192 * 16
    assert by_chunk == 2 * 3 * 2 * 64 * (128 * 256**2 * (128 + 64) + 2 * 128 * 256 * 128 * 64)


def test_queries_of_guesses_and_of_latents_are_sent_to_their_cache() -> None:
    """DeepSeek-V3's 61 layers of 128 heads send queries as wide as a latent with its rotated key, 512 and 64, and get 512 back.

    Five tokens of 16 sequences on 8 devices: each has an eighth of them, of which 7/8 goes to others, over its link.
    """
    setup = shared(tscale.lower(tscale.load("deepseek-v3")), 8)._replace(by_sequences=True)
    line = next(w for w in works(setup, Pass(16, 5, 3000, 5, decoding=True)) if w.name == "all-to-alls")
    assert line.sent == 16 * 5 * 61 * 128 * (512 + 64 + 512) * 2 * 7 // 64
    assert line.least.link.seconds == pytest.approx(line.sent / 450e9)


def test_an_encoder_sends_nothing_while_decoding() -> None:
    """T5 11B on 8 devices: three sums in each of 24 layers of the decoder, two in each of the encoder's."""
    setup = shared(tscale.lower(tscale.load("t5-11b")), 8)
    step = works(setup, Pass(3, 1, 10, 1, decoding=True, source=512))[-1]
    prompt = works(setup, Pass(3, 1, 0, 1, decoding=False, source=512))[-1]
    assert step.sent == 2 * 7 * (3 * 3 * 24 * 1024 * 2) // 8
    assert prompt.sent == 2 * 7 * (3 * (3 + 2 * 512) * 24 * 1024 * 2) // 8


def test_a_prefill_reads_of_each_table_the_rows_of_its_own_stack() -> None:
    """BART: two sequences of 300 tokens and the one with which an answer begins, from a table that both stacks share."""
    setup = alone(tscale.lower(tscale.load("bart-large")))
    lines = {line.name: line for line in works(setup, Pass(2, 1, 0, 1, decoding=False, source=300))}
    assert lines["embedding.tokens"].weights == 2 * (300 + 1) * 1024 * 2
    assert lines["encoder.embedding.positions"].weights == 2 * 300 * 1024 * 2
    assert lines["decoder.embedding.positions"].weights == 2 * 1 * 1024 * 2
    assert lines["encoder.norm.self_attention"].weights == 12 * 2 * 1024 * 2


def test_pairs_within_a_chunk_are_counted_for_each_sequence() -> None:
    """MiniMax-Text-01's attention without softmax: 64 heads of 128, which read and add to a state of 128 by 128 at each of 600
    positions, and score and sum up the pairs of chunks of 256, 256 and 88."""
    block = Lightning(kind="lightning", heads=64, head_dim=128)
    setup = alone(tscale.lower(replace(tscale.load("llama-3-8b", ["layers=10"]), attention=block)))
    scan = next(w for w in works(setup, Pass(3, 600, 0, 1, decoding=False)) if w.name.endswith(".scan"))
    assert scan.flops == 2 * 3 * 10 * 64 * (600 * 2 * 128**2 + (2 * 256**2 + 88**2) * 2 * 128)
    step = next(w for w in works(setup, Pass(3, 1, 600, 1, decoding=True)) if w.name.endswith(".scan"))
    assert step.flops == 2 * 3 * 10 * 64 * 2 * 128**2


def test_the_sum_over_tokens_is_that_of_a_loop_where_products_take_longer_than_weights() -> None:
    """Of 2,000 sequences GPT-2's matrices and head are computed for longer than they are read, and its cache is not."""
    ledger = tscale.lower(tscale.load("gpt2"))
    step = works(alone(ledger), Pass(2000, 1, 5, 1, decoding=True))
    bound = {
        line.group: line.flops / line.peak > (line.weights + line.cache) / H100.memory_bytes_per_second for line in step
    }
    assert bound["head"] and bound["feed_forward"] and not bound["cache"]
    summed = decode_seconds(alone(ledger), 2000, 5, 9)
    assert summed == pytest.approx(sum(decoding(ledger, 2000, 5 + n) for n in range(9)), rel=1e-9)
