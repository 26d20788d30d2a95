"""Experts and latent attention against transformers 5.23.0 on torch 2.13.0's meta device, and published figures."""

from __future__ import annotations

import pytest

from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.forward import forward_flops, pairs
from tscale.core.costs.params import active_params, buffers, params
from tscale.core.ledger import Cache, Scan, Scores
from tscale.core.workload import SequenceLengths
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.validation import validated
from tscale.models.yaml_file import parse_document

MIXTRAL = """
name: mixtral
layers: 32
d_model: 4096
vocabulary: 32000
context: 32768
tied: false
attention: {heads: 32, kv_heads: 8}
feed_forward: {kind: experts, experts: 8, top_k: 2, d_ff: 14336}
positions: {kind: rotary}
norm: {kind: rmsnorm}
"""

DEEPSEEK_V3 = """
name: deepseek-v3
layers: 61
d_model: 7168
vocabulary: 129280
context: 4096
tied: false
attention: {kind: latent, heads: 128, q_rank: 1536, kv_rank: 512, nope_dim: 128, rope_dim: 64, v_dim: 128}
feed_forward:
  - {d_ff: 18432, gated: true, on: {first: 3}}
  - {kind: experts, experts: 256, top_k: 8, d_ff: 2048, shared_d_ff: 2048, selection_bias: buffer}
positions: {kind: rotary}
norm: {kind: rmsnorm}
"""


def spec(text: str) -> ModelSpec:
    found = validated(parse_document(text, "test"))
    assert isinstance(found, ModelSpec)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "text, total, active, forward_512, cache",
    [
        (MIXTRAL, 46_702_792_704, 12_879_925_248, 13_191_992_049_664, 131_072),
        (DEEPSEEK_V3, 671_026_404_352, 37_552_282_624, 38_813_552_345_088, 70_272),
    ],
    ids=["Mixtral-8x7B-v0.1", "DeepSeek-V3"],
)
def test_counts_of_the_framework(text: str, total: int, active: int, forward_512: int, cache: int) -> None:
    ledger = lower(spec(text))
    assert params(ledger).total == total
    assert active_params(ledger).total == active
    assert forward_flops(ledger, SequenceLengths(512)).total == forward_512
    assert cache_bytes(ledger, SequenceLengths(1), 16).total == cache


def test_a_selection_bias_is_a_buffer_that_the_published_total_counts() -> None:
    """DeepSeek-V3's published 671,026,419,200 is the parameters and 58 layers of 256 numbers."""
    ledger = lower(spec(DEEPSEEK_V3))
    assert buffers(ledger).total == 58 * 256
    assert params(ledger).total + buffers(ledger).total == 671_026_419_200


def test_chunks_equal_a_loop() -> None:
    """A query of a chunk sees what came before it in its own chunk."""
    for n in range(1, 30):
        for w in (1, 2, 5, 8, 40):
            loop = sum(1 for q in range(n) for k in range(q + 1) if q // w == k // w)
            entry = Scores("s", "target", "target", 1, 1, 1, causal=True, window=w, chunked=True)
            assert pairs(entry, SequenceLengths(n), "causal") == loop


@pytest.mark.parametrize(
    "on, count", [("first: 3", 3), ("after: 3", 7), ("{every: 4, at: 1}", 3), ("layers: [0, 9]", 2)]
)
def test_blocks_are_dealt_out_by_layer(on: str, count: int) -> None:
    way = on if on.startswith("{") else f"{{{on}}}"
    text = MIXTRAL.replace("layers: 32", "layers: 10").replace(
        "feed_forward: {kind: experts, experts: 8, top_k: 2, d_ff: 14336}",
        f"feed_forward: [{{d_ff: 64, on: {way}}}, {{kind: experts, experts: 8, top_k: 2, d_ff: 14336}}]",
    )
    entries = [entry for entry in lower(spec(text)).entries if not isinstance(entry, (Scores, Scan, Cache))]
    stored = {entry.name: entry.stored for entry in entries}
    assert stored["feed_forward.up"] == count
    assert stored["experts.router"] == 10 - count
    assert stored["norm.feed_forward"] + stored["norm.experts"] == 10
