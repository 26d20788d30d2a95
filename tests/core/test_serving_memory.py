"""What serving keeps in memory, beside real caches and published ones."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tscale.catalogue.models import built_in
from tscale.core.costs.cache import cache_bytes, check_rows
from tscale.core.costs.largest import largest
from tscale.core.costs.params import params
from tscale.core.costs.workspace import workspace_bytes
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Block, Cache, Cut, Entry, Ledger, Matmul, Scores
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.importer.reader import imported
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

ORACLE = Path(__file__).parents[1] / "oracle" / "caches.jsonl"
MEASURED = [json.loads(line) for line in ORACLE.read_text(encoding="utf-8").splitlines()]
IDS = ["-".join(str(case[key]) for key in ("batch", "context", "bits")) for case in MEASURED]


def ledger_of(name: str) -> Ledger:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    return lower(spec)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{case['config']['model_type']}-{name}") for case, name in zip(MEASURED, IDS, strict=True)],
)
def test_a_cache_is_as_large_as_a_real_one(case: dict[str, Any]) -> None:
    """After a prompt longer than a window, transformers drops one position more: it makes room for the next token."""
    ledger = lower(imported(case["config"], name="x", where="config.json"))
    windowed = [entry for entry in ledger.entries if isinstance(entry, Cache) and entry.window is not None]
    assert sum(entry.stored for entry in windowed) == case["windowed_layers"]
    one_less = sum(
        entry.stored * entry.width * case["bits"] // 8 for entry in windowed if case["context"] >= (entry.window or 0)
    )
    mine = cache_bytes(ledger, SequenceLengths(case["context"]), case["bits"]).total
    assert case["batch"] * (mine - one_less) == case["cache_bytes"]
    assert params(ledger).total * case["bits"] // 8 == case["weight_bytes"]


@pytest.mark.parametrize(
    ("name", "size"),
    [("deepseek-v3", 70_272), ("qwen2.5-72b", 327_680), ("llama-3.1-405b", 516_096), ("deepseek-v2", 34_560 * 2)],
)
def test_published_bytes_of_a_token(name: str, size: int) -> None:
    """Zhao 2025 (arXiv 2505.09343), Table 1, in bf16; DeepSeek-V2's 34,560 numbers (2405.04434, Table 9)."""
    assert cache_bytes(ledger_of(name), SequenceLengths(1), DTYPES["bf16"].bits).total == size


def test_deepseek_v2_keeps_93_per_cent_less_than_its_predecessor() -> None:
    """Its abstract's 93.3% is of numbers in 6 bits (section 3.2.3) beside DeepSeek 67B's 95 layers of 8 heads in 16."""
    before = 2 * 95 * 8 * 128 * 16 // 8
    after = cache_bytes(ledger_of("deepseek-v2"), SequenceLengths(1), Fraction(6)).total
    assert round(1 - after / before, 3) == 0.933


def test_the_cache_of_pope_2022() -> None:
    """Section 2.1: a 500B model with multi-head attention keeps 3 TB at a batch of 512 and a context of 2048."""
    ledger = Ledger.of("500B", (Cache("attention.cache", "kv", "target", 2 * 48 * 128, stored=118),))
    assert round(512 * cache_bytes(ledger, SequenceLengths(2048), 16).total / 1e12) == 3


def test_caches_that_llama_cpp_prints() -> None:
    """Pythia 1.4B, `KV self size = 384.00 MiB` in f16 at 2048; Qwen3 30B, 816.00 MiB of keys in q8_0 at 32,768 cells."""
    assert cache_bytes(ledger_of("pythia-1.4b"), SequenceLengths(2048), DTYPES["fp16"].bits).total == 384 * 2**20
    assert (
        cache_bytes(ledger_of("qwen3-30b-a3b"), SequenceLengths(32_768), DTYPES["q8_0"].bits).total == 2 * 816 * 2**20
    )


def test_the_workspace_by_hand() -> None:
    """One layer of width 8: attention's products come to 8 + 4 + 4 + 8, its sums to 8; two experts of four to
    2*(16 + 16 + 8), and 2*16 gated numbers go into their matrices down."""
    attention, experts = Block("decoder", "mixer"), Block("decoder", "feed-forward")
    routed = Matmul("experts.up", "up", "feed_forward", "target", 8, 16, experts=4, stored=4, used=2, block=experts)
    queries = Matmul("attention.q", "q", "attention", "target", 8, 8, block=attention)
    scores = Scores("attention.scores.local", "target", "target", 2, 4, 4, causal=True, window=4, block=attention)
    entries: tuple[Entry, ...] = (
        *(
            queries._replace(name=f"attention.{name}", d_out=out)
            for name, out in (("q", 8), ("k", 4), ("v", 4), ("o", 8))
        ),
        scores,
        scores._replace(name="attention.scores.global", window=None),
        Matmul("experts.router", "router", "feed_forward", "target", 8, 4, block=experts),
        routed,
        routed._replace(name="experts.gate", role="gate"),
        routed._replace(name="experts.down", role="down", d_in=16, d_out=8, cut=Cut(16, "in")),
        Matmul("head", "head", "head", "target", 8, 100),
    )
    ledger = Ledger.of("x", entries)
    widest = 4 + 2 * (16 + 16 + 16 + 8)
    assert widest > 8 + 4 + 4 + 8 + 8
    for batch, context, tokens in ((1, 10, 10), (3, 1000, 3 + 64), (3, 5, 15)):
        lines = workspace_bytes(ledger, ledger, SequenceLengths(context), batch, 64, 8, 16).lines
        assert [line.value for line in lines] == [tokens * (2 * 8 + widest) * 2, batch * 100 * 4]


@pytest.mark.parametrize("devices", [128, 256])
def test_a_device_with_one_expert_runs_as_many_copies_of_a_token(devices: int) -> None:
    """Of DeepSeek-V3, eight a token: 2,048 gates, ups and products, and 7,168 numbers behind each, beside the residual stream."""
    whole = ledger_of("deepseek-v3")
    share = shard(whole, Parallelism(data=devices, expert=devices))
    activations = workspace_bytes(share, whole, SequenceLengths(target=4096), 1, 4096, 7168, 16).lines[0].value
    assert activations >= 4096 * 2 * (2 * 7168 + 8 * (3 * 2048 + 7168))


@pytest.mark.parametrize(("chunk", "gibibytes"), [(29_000, 17.98 - 14.99), (20_000, 17.06 - 14.99)])
def test_what_vllm_measures_of_a_prompt(chunk: int, gibibytes: float) -> None:
    """Llama 3.1 8B on an RTX 3090: the peak of vLLM's profile run less its weights (vllm-project/vllm#10517, 2024-12-02).

    It prints GiB to two digits. A token takes 2·4,096 numbers of its own, 28,672 of up and gate, 14,336 of their product and 4,096.
    """
    activations, _ = (
        line.value
        for line in workspace_bytes(
            ledger_of("llama-3.1-8b"), ledger_of("llama-3.1-8b"), SequenceLengths(chunk), 1, chunk, 4096, 16
        ).lines
    )
    assert activations == chunk * (2 * 4096 + 2 * 14_336 + 14_336 + 4096) * 2
    assert activations / 2**30 == pytest.approx(gibibytes, rel=0.01)


def test_a_quantised_cache_needs_rows_that_its_blocks_divide() -> None:
    """Phi-2 has heads of 80: q8_0's blocks of 32 would hold numbers of two heads, so llama.cpp refuses too."""
    check_rows(ledger_of("llama-3.1-8b"), DTYPES["q8_0"])
    check_rows(ledger_of("deepseek-v3"), DTYPES["q8_0"])  # a latent of 576
    with pytest.raises(RequestError, match="keeps rows of 80"):
        check_rows(ledger_of("phi-2"), DTYPES["q8_0"])


@pytest.mark.parametrize("most", [1, 2, 3, 50, 64, 1000])
def test_the_largest_that_fits(most: int) -> None:
    """Each answer from none to all, found as a loop finds it."""
    for limit in range(most + 3):
        found = largest(lambda number: number <= limit, most)  # noqa: B023 (called at once)
        assert found == (None if limit >= most else limit)
