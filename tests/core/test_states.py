"""Bytes of a parameter in training: as ZeRO's table, Megatron's figure and real optimizers have them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import tscale
from tests.core.test_activations import TABLE_3, paper_model
from tests.helpers import disclosed, of_each
from tests.importer.recorded import recorded
from tscale.core.costs.communication import gradients
from tscale.core.costs.params import params
from tscale.core.costs.states import adapters, find_targets, in_backward, on_device, training_states
from tscale.core.ledger import Buffer, Conv, Ledger, Lookup, Matmul, Vector
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS, state_bytes
from tscale.core.sharding import shard
from tscale.errors import RequestError
from tscale.estimates.memory.peak import products_of
from tscale.importer.reader import imported
from tscale.models.lower import lower

MIXED = PRECISIONS["bf16"]
RECORDED = recorded("optimizers.jsonl")

OURS = {
    "torch.optim.AdamW": "adamw",
    "torch.optim.SGD": "sgd",
    "torch.optim.Adafactor": "adafactor",
    "transformers.Adafactor": "adafactor",
    "torch.optim.Muon": "muon",
    "bitsandbytes.optim.Lion": "lion",
    "bitsandbytes.optim.AdamW8bit": "adam-8bit",
}


@pytest.mark.parametrize("record", RECORDED)
def test_states_are_those_of_real_optimizers(record: dict[str, Any]) -> None:
    """All but single numbers of a tensor (a step, a norm) and the one table of what the 256 codes of 8 bits mean."""
    recorded = 0
    for parameter in record["parameters"]:
        for name, (_, _, kept) in parameter["state"].items():
            if name in ("step", "RMS"):
                assert kept == 4
            elif name in ("qmap1", "qmap2"):
                assert kept == 256 * 4
            else:
                recorded += kept
    keeps_fp32 = record["optimizer"].startswith(("transformers", "bitsandbytes"))
    number = 4 if keeps_fp32 or record["dtype"] == "fp32" else 2
    optimizer = OPTIMIZERS[OURS[record["optimizer"]]]
    ledger = lower(imported(record["config"], name="recorded", where="recorded"))
    owners = [entry for entry in ledger.entries if isinstance(entry, (Matmul, Lookup, Vector, Conv))]
    assert sum(entry.stored * state_bytes(entry, optimizer, number) for entry in owners) == recorded


FROZEN = [
    case
    for path in sorted((Path(__file__).parents[1] / "oracle").glob("cases*.jsonl"))
    for case in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    if case.get("params", case).get("frozen")
]
"""Models of which the framework marks some parameters as not trained: tables of sines, and a router's selection bias."""


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in FROZEN])
def test_what_is_not_trained_has_no_gradient(case: dict[str, Any]) -> None:
    ledger, counts = lower(imported(case["config"], name="case", where="case")), case.get("params", case)
    states = training_states(ledger, PRECISIONS["fp32"], OPTIMIZERS["adamw"], Parallelism())
    assert states.weights.total == 4 * counts["total"]
    assert states.gradients.total == 4 * (counts["total"] - counts["frozen"])
    assert states.optimizer.total == 2 * states.gradients.total


ZERO_TABLE_1 = """
7.5  1    120 120 120
7.5  4    52.5 41.3 30
7.5  16   35.6 21.6 7.5
7.5  64   31.4 16.6 1.88
7.5  256  30.4 15.4 0.47
7.5  1024 30.1 15.1 0.12
128  1    2048 2048 2048
128  4    896 704 512
128  16   608 368 128
128  64   536 284 32
128  256  518 263 8
128  1024 513 257 2
1000 1    16000 16000 16000
1000 4    7000 5500 4000
1000 16   4750 2875 1000
1000 64   4187 2218 250
1000 256  4046 2054 62.5
1000 1024 4011 2013 15.6
"""
"""Billions of parameters, devices, and gigabytes on each at ZeRO's stages 1, 2 and 3 (Rajbhandari 2019, Table 1)."""


@pytest.mark.parametrize("row", ZERO_TABLE_1.split("\n")[1:-1])
def test_table_1_of_zero(row: str) -> None:
    """To the printed digits, of which the paper cuts some and rounds others."""
    billions, devices, *printed = row.split()
    ledger = Ledger.of("a model", (Vector("all", "norm", "norm", int(float(billions) * 10**9)),))
    for stage, text in enumerate(printed, 1):
        plan = Parallelism(data=int(devices), zero=stage)
        states = training_states(ledger, PRECISIONS["fp16"], OPTIMIZERS["adamw"], plan)
        gigabytes = sum(quantity.total for quantity in states) / 10**9
        last_digit = 10.0 ** -len(text.partition(".")[2])
        assert abs(gigabytes - float(text)) < last_digit


@pytest.mark.parametrize(
    ("zero", "gigabytes"),
    [(0, "120.0"), (1, "31.4"), (2, "16.6"), (3, "1.9")],
)
def test_figure_1_of_zero(zero: int, gigabytes: str) -> None:
    ledger = Ledger.of("a model", (Vector("all", "norm", "norm", 7_500_000_000),))
    states = training_states(ledger, PRECISIONS["fp16"], OPTIMIZERS["adamw"], Parallelism(data=64, zero=zero))
    assert f"{sum(quantity.total for quantity in states) / 10**9:.1f}" == gigabytes


@pytest.mark.parametrize(
    ("model", "pipeline", "gibibytes"),
    [("22B", 1, 45.5625), ("175B", 8, 45.5625), ("530B", 35, 31.640625), ("1T", 64, 32.958984375)],
)
def test_figure_1_of_korthikanti(model: str, pipeline: int, gibibytes: float) -> None:
    """18 bytes for each of 12·L·h² weights, over t·p devices; biases, norms and tables are not in the figure."""
    _, width, layers, _ = TABLE_3[model]
    ledger = shard(lower(paper_model(model)), Parallelism(tensor=8))
    matrices = [
        entry._replace(bias=False)
        for entry in ledger.entries
        if isinstance(entry, Matmul) and entry.part in ("attention", "feed_forward")
    ]
    states = training_states(
        Ledger.of("layers", matrices), PRECISIONS["bf16-fp32-gradients"], OPTIMIZERS["adamw"], Parallelism()
    )
    assert sum(quantity.total for quantity in states) / pipeline == gibibytes * 2**30
    assert gibibytes * 2**30 == 18 * 12 * layers * width**2 / (8 * pipeline)


@of_each(disclosed()[::3])
def test_devices_of_zero_share_the_whole(name: str) -> None:
    """By any optimizer, in any format: each line's shares add up to the line, rounded up by less than a byte a device."""
    ledger = lower(tscale.load(name))
    for optimizer, (recipe, precision) in product(OPTIMIZERS, PRECISIONS.items()):
        whole = training_states(ledger, precision, OPTIMIZERS[optimizer], Parallelism())
        assert whole == training_states(ledger, precision, OPTIMIZERS[optimizer], Parallelism(zero=3))
        part = training_states(ledger, precision, OPTIMIZERS[optimizer], Parallelism(data=8, zero=3))
        for one, all_of_it in list(zip(part, whole, strict=True))[
            precision.gathered :
        ]:  # weights are there while in use
            for line, total in zip(one.lines, all_of_it.lines, strict=True):
                buffer = 7 * total.value if line.value == total.value else 0
                assert 0 <= 8 * line.value - total.value <= max(7, buffer), (optimizer, recipe, line.name)


def test_experts_are_shared_by_those_that_hold_them() -> None:
    """Of 64 devices with experts dealt to 32, two hold the same expert: ZeRO divides it by 2."""
    ledger = lower(tscale.load("deepseek-v3"))
    plan = Parallelism(data=64, expert=32, zero=1)
    states = training_states(shard(ledger, plan), PRECISIONS["bf16"], OPTIMIZERS["adamw"], plan)
    lines = {line.name: line.value for line in states.master.lines}
    assert lines["experts.up"] == 58 * 256 * 7168 * 2048 * 4 // 64
    assert lines["head"] == 129_280 * 7168 * 4 // 64


def test_fp8_keeps_the_matrices_of_layers_in_8_bits() -> None:
    """DeepSeek-V3 keeps embedding, head and norms in higher precision (section 3.3)."""
    ledger = lower(tscale.load("deepseek-v3"))
    states = training_states(ledger, PRECISIONS["fp8"], OPTIMIZERS["adamw"], Parallelism())
    lines = {line.name: line.value for line in states.weights.lines}
    assert lines["head"] == 2 * 129_280 * 7168
    assert lines["experts.up"] == 58 * 256 * 7168 * 2048
    assert states.optimizer.total == 4 * params(ledger).total


def test_fp8_as_megatron_bridge_has_it() -> None:
    """Matrices of layers by rows and by columns, a byte each; gradients of 2 bytes (grad_reduce_in_fp32=False), all else in fp32."""
    ledger = lower(tscale.load("llama-3-8b"))
    states = training_states(ledger, PRECISIONS["fp8-bf16-gradients"], OPTIMIZERS["adamw"], Parallelism())
    numbers = params(ledger).total
    assert [one.total for one in states] == [2 * numbers, 2 * numbers, 4 * numbers, 8 * numbers]
    assert products_of("fp8-bf16-gradients") == "fp8"
    assert products_of("bf16-fp32-gradients") is None


def test_adapters_of_llama_7b() -> None:
    """PEFT's count for rank 8 on all seven matrices of LLaMA 7B's layers: 19,988,480."""
    ledger = lower(tscale.load("llama-7b"))
    d, f, r = 4096, 11_008, 8
    assert params(adapters(ledger, r)).total == 32 * (4 * 2 * d * r + 3 * (d + f) * r) == 19_988_480


def test_a_pipeline_keeps_gradients_whole_until_its_last_micro_batch() -> None:
    """ZeRO's second stage scatters them once a step then: torchtitan's FSDP with pipeline stages."""
    ledger = Ledger.of("a model", (Vector("all", "norm", "norm", 1000),))
    both = [
        training_states(ledger, PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism(zero=2, data=4, pipeline=stages))
        for stages in (1, 2)
    ]
    assert [states.gradients.total for states in both] == [2 * 1000 // 4, 2 * 1000]
    assert both[0].optimizer.total == both[1].optimizer.total


def test_paged_and_fp32_optimizers() -> None:
    """Paged states take no memory that a device could not do without; fp32 ones are 8 bytes a parameter in any recipe."""
    ledger = lower(tscale.load("llama-7b"))
    size = params(ledger).total
    for name, expected in (("paged-adamw", 0), ("paged-adam-8bit", 0), ("adamw-fp32", 8 * size)):
        states = training_states(ledger, PRECISIONS["pure-bf16"], OPTIMIZERS[name], Parallelism())
        assert states.optimizer.total == expected


def test_fsdp2_keeps_16_bytes_a_parameter_in_shards() -> None:
    """torchtitan's Llama 3.1 8B with 8 and with 128 shards differ by 15.0 GiB, of which these are 14.0 (benchmarks/llama3_h100_202412_torchtitan.md, Tables 1 and 3)."""
    ledger = lower(tscale.load("llama-3.1-8b"))
    totals = [
        sum(part.total for part in training_states(ledger, PRECISIONS["fp32-master"], OPTIMIZERS["adamw"], plan))
        for plan in (Parallelism(data=8, zero=3), Parallelism(data=128, zero=3))
    ]
    assert totals[0] == 2 * params(ledger).total
    assert (totals[0] - totals[1]) / 2**30 == pytest.approx(77.0 - 62.0, rel=0.07)


def test_the_largest_gradient_alone() -> None:
    """Llama 7B: the embedding's, 32,000 by 4,096 in 16 bits; of Mixtral the routed experts of a layer, which are one parameter."""
    for name, numbers in (("llama-7b", 32_000 * 4096), ("mixtral-8x7b", 8 * 4096 * 14_336)):
        ledger, precision = lower(tscale.load(name)), PRECISIONS["pure-bf16"]
        states = training_states(ledger, precision, OPTIMIZERS["adamw"], Parallelism())
        assert in_backward(states, ledger, precision, Parallelism()).gradients.total == 2 * numbers


def test_adapters_on_named_matrices() -> None:
    """LLaMA 7B, rank 8 on queries and values (Hu 2021, section 4.2): 32 layers of 2 matrices of 2·8·4096 numbers."""
    ledger = lower(tscale.load("llama-7b"))
    assert params(adapters(ledger, 8, find_targets("q_proj, v_proj"))).total == 32 * 2 * 2 * 8 * 4096
    assert (
        adapters(ledger, 8, find_targets("attention,mlp"))
        == adapters(ledger, 8, find_targets("all"))
        == adapters(ledger, 8)
    )
    with pytest.raises(RequestError, match="--lora-targets names matrices"):
        find_targets("q,knees")


def test_the_host_keeps_what_is_offloaded() -> None:
    states = training_states(lower(tscale.load("llama-7b")), PRECISIONS["bf16"], OPTIMIZERS["adamw"], Parallelism())
    size = params(lower(tscale.load("llama-7b"))).total
    left = on_device(states, frozenset({"states"}))
    assert (left.weights.total, left.gradients.total, left.master.total, left.optimizer.total) == (
        2 * size,
        2 * size,
        0,
        0,
    )
    assert on_device(states, frozenset({"weights"})).weights.total == 0


@pytest.mark.parametrize(("zero", "devices"), [(1, 1), (2, 8), (3, 8)])
def test_the_largest_gradient_alone_is_divided_where_gradients_are(zero: int, devices: int) -> None:
    """Llama 7B's embedding: whole until ZeRO's second stage, which divides it among eight devices."""
    ledger, precision, plan = lower(tscale.load("llama-7b")), PRECISIONS["pure-bf16"], Parallelism(data=8, zero=zero)
    states = training_states(ledger, precision, OPTIMIZERS["adamw"], plan)
    assert in_backward(states, ledger, precision, plan).gradients.total == 2 * 32_000 * 4096 // devices


def test_experts_are_shared_over_context_parallelism_too() -> None:
    """DeepSeek-V3 on 128 devices: of experts that are dealt to 16, whole, 128/16 hold each; the head is cut in 2 and held by 64."""
    plan = Parallelism(tensor=2, data=32, context=2, expert=16, expert_tensor=1, zero=1)
    share = shard(lower(tscale.load("deepseek-v3")), plan)
    master = {line.name: line.value for line in training_states(share, MIXED, OPTIMIZERS["adamw"], plan).master.lines}
    assert master["experts.up"] == 58 * 256 * 7168 * 2048 * 4 // (16 * 8)
    assert master["head"] == 129_280 * 7168 * 4 // (2 * 64)
    sent = {one.name: one for one in gradients(share, plan, 1, 16, 16)}
    assert (sent["experts.up"].copies, sent["experts.up"].scattered) == (8, 58 * 256 // 16 * 7168 * 2048 * 2)
    assert (sent["head"].copies, sent["head"].scattered) == (64, 129_280 // 2 * 7168 * 2)
    assert [sent[name].apart for name in ("experts.up", "head")] == [16, 2]  # those of an expert come every sixteenth
    halves = plan._replace(expert=8, expert_tensor=2)  # as many devices between two that have the same half
    (up,) = (
        one
        for one in gradients(shard(lower(tscale.load("deepseek-v3")), halves), halves, 1, 16, 16)
        if one.name == "experts.up"
    )
    assert (up.copies, up.apart) == (8, 16)


def test_experts_of_attention_are_shared_over_context_parallelism_too() -> None:
    """JetMoE's 8 experts of attention, dealt to 4 of the 8 devices that read a batch: two devices hold each."""
    plan = Parallelism(data=4, context=2, expert=4, zero=1)
    share = shard(lower(tscale.load("jetmoe-8b")), plan)
    master = {line.name: line.value for line in training_states(share, MIXED, OPTIMIZERS["adamw"], plan).master.lines}
    assert master["attention.q"] == 24 * 8 * 2048 * 2048 * 4 // (4 * 2)
    assert master["attention.k"] == 24 * 2048 * 2048 * 4 // 8
    assert master["experts.up"] == 24 * 8 * 2048 * 5632 * 4 // (4 * 2)
    (queries,) = (one for one in gradients(share, plan, 1, 16, 16) if one.name == "attention.q")
    assert (queries.copies, queries.apart) == (2, 4)


def test_weights_are_divided_by_the_third_stage_alone() -> None:
    """In fp32, 4 bytes a parameter; a table of sines (Whisper tiny's, 1,500 by 384) has no gradient, and is divided as weights are."""
    ledger = lower(tscale.load("whisper-tiny"))
    totals = [
        training_states(ledger, PRECISIONS["fp32"], OPTIMIZERS["adamw"], Parallelism(data=8, zero=zero))
        for zero in (0, 1, 2, 3)
    ]
    whole = 4 * params(ledger).total
    assert [states.weights.total for states in totals] == [whole, whole, whole, whole // 8]
    trained = whole - 4 * 1500 * 384
    assert [states.gradients.total for states in totals] == [trained, trained, trained // 8, trained // 8]


def test_buffers_are_divided_by_no_stage() -> None:
    """DeepSeek-V3's selection biases are no parameters: each device keeps all 58 of 256."""
    ledger = lower(tscale.load("deepseek-v3"))
    (name,) = (entry.name for entry in ledger.entries if isinstance(entry, Buffer))
    for zero in (2, 3):
        plan = Parallelism(data=8, zero=zero)
        lines = training_states(ledger, PRECISIONS["fp32"], OPTIMIZERS["adamw"], plan).weights.lines
        assert [line.value for line in lines if line.name == name] == [4 * 58 * 256]


@pytest.mark.parametrize(("expert", "shards"), [(2, 4), (4, 4), (2, 2), (8, 4)])
def test_hybrid_shards_of_experts_are_counted_rank_by_rank(expert: int, shards: int) -> None:
    """Eight ranks of data and context parallelism, neighbours with different experts, in groups of `shards` that share one model."""
    first_group = [rank % expert for rank in range(8)][:shards]
    plan = Parallelism(data=4, context=2, expert=expert, zero=3, shards=shards)
    assert plan.expert_shards == max(first_group.count(0), 1)
