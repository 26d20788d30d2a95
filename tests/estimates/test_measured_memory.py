"""Memory of training runs that others measured, beside what is counted of them."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.answers.test_measured_steps import ZERO, gpt, rows
from tests.helpers import answer, run
from tscale.catalogue.hardware import find_hardware
from tscale.catalogue.models import built_in
from tscale.core.costs.largest import largest
from tscale.core.costs.training_setup import Training
from tscale.core.device import of_peak
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import find_again
from tscale.core.workload import SequenceLengths
from tscale.estimates.capacity import training_capacity
from tscale.estimates.memory_train.ask import train_ask
from tscale.models.spec import ModelSpec
from tscale.models.trainer import trainer

GIB: Final = 2**30

STATED: Final = [row for row in rows("published_layouts.csv") if row["recompute"]]
"""Published layouts, of which a speed was measured, that say what they compute again."""


@pytest.mark.parametrize(
    "row", STATED, ids=[f"{row['model']}-{row['gpu']}-{row['gpus']}-{row['recompute']}" for row in STATED]
)
def test_no_layout_that_ran_is_called_impossible(row: dict[str, str]) -> None:
    """Llama 3 8B to 70B and MPT 3B to 70B, in 16 and 8 bits, on A100 of 40 GB to GB300."""
    shape = [int(row[key]) for key in ("layers", "d_model", "heads") if row[key]]
    spec = gpt(*shape, 50_368, int(row["context"])) if shape else built_in(row["model"])
    assert isinstance(spec, ModelSpec)
    tensor, zero = int(row["tensor"]), ZERO[row["sharding"]]
    plan = Parallelism(tensor=tensor, sequence=tensor > 1, data=int(row["gpus"]) // tensor, zero=zero)
    precision = "fp32-master" if "torchtitan" in row["source"] else of_peak(row["precision"])
    how = Training(PRECISIONS[precision], OPTIMIZERS["adamw"], plan, SequenceLengths(target=0), int(row["micro_batch"]))
    model = trainer(spec, how._replace(recompute=find_again(row["recompute"]).policy), int(row["context"]))
    capacity = training_capacity(find_hardware(row["gpu"]).device(), plan)
    assert capacity.verdict(model.worst()[1].total, model.least_total()) in ("fits", "may_fit")


LONGEST: Final = {
    ("llama-3.1-8b", 12): 932, ("llama-3.1-8b", 16): 2551, ("llama-3.1-8b", 24): 5789, ("llama-3.1-8b", 40): 12_264,
    ("llama-3.1-8b", 48): 15_502, ("llama-3.1-8b", 80): 28_454, ("llama-3.1-70b", 80): 6916, ("llama-3.1-70b", 48): 0,
}  # fmt: skip
"""Longest context by model and GiB: Hugging Face transformers with FlashAttention 2, QLoRA of rank 32 on every linear layer, one
sequence, gradient checkpointing (unslothai/unsloth README, of Llama 3.1 8B and Llama 3.3 70B, which has Llama 3.1's shape)."""


def qlora(name: str, **given: Any) -> Training:
    return train_ask(precision="bf16", optimizer="adamw", rank=32, qlora=True, recompute="full", **given).how


@pytest.mark.parametrize(("name", "gibibytes"), LONGEST, ids=[f"{name}-{size}" for name, size in LONGEST])
def test_the_longest_context_of_qlora_by_transformers(name: str, gibibytes: int) -> None:
    """By the default loss, within 7%; 70B does not fit 48 GiB.

    A token takes 18 bytes a logit, as an allocator reserves them, and 4 bytes of each layer's input: peft keeps tables, norms and the residual stream in fp32. The device's
    own context is not counted, by which the shortest is the longest beside the measured one.
    """
    spec, measured = built_in(name), LONGEST[name, gibibytes]
    assert isinstance(spec, ModelSpec)
    model = trainer(spec, qlora(name), 1)
    assert model.training.loss_kernel == "plain-kept"
    found = largest(lambda context: model.of_length(context).worst()[1].total <= gibibytes * GIB, 10**6)
    assert found is not None
    assert 0.93 * measured <= found <= 1.07 * measured


RAN: Final = [(name, size, tokens) for (name, size), tokens in LONGEST.items() if tokens]


@pytest.mark.parametrize("share", ["", "--memory-share 1"], ids=["reserve", "share"])
@pytest.mark.parametrize(("name", "gibibytes", "tokens"), RAN, ids=[f"{name}-{size}" for name, size, _ in RAN])
def test_what_ran_is_never_called_impossible(name: str, gibibytes: int, tokens: int, share: str) -> None:
    """The total is as an allocator reserves it, which is more than the 24 GiB that 5,789 tokens took; a certain no needs the least."""
    device = f"--gpu h100 --gpu-set memory_gb={gibibytes * GIB / 1e9!r} {share}"
    how = f"--qlora --lora-rank 32 --recompute full --context {tokens}"
    found = answer("memory", name, "--train", *how.split(), *device.split())
    assert found["verdict"] in ("fits", "may_fit")
    assert found["least_total_bytes"] <= gibibytes * GIB


def test_a_range_is_in_the_verdict_its_reason_and_the_tables() -> None:
    """Llama 3.1 8B, 5,789 tokens: 18 bytes a logit are reserved and 12 live at the least; next to the rest of 24 GiB.

    The least is without a head in 16 bits, which autocast makes, and without the adapters' gradients, which come last.
    """
    how = "--qlora --lora-rank 32 --recompute full --gpu h100 --gpu-set memory_gb=25.77 --memory-share 1 --context 5789"
    found = answer("memory", "llama-3.1-8b", "--train", *how.split())
    words = 5789 * 128_256
    assert (
        found["per_device_bytes"]["total"] - found["least_total_bytes"]
        == 6 * words + 2 * 128_256 * 4096 + found["per_device_bytes"]["gradients"]
    )
    assert (found["verdict"], found["fits"]) == ("may_fit", None)
    out = run("memory", "llama-3.1-8b", "--train", *how.split()).out
    assert out.splitlines()[0].endswith(": may fit, depending on the framework")
    assert "It may fit: at the least 21.02 GB are no more than the 25.77 GB that may be used; 26.69 GB are more." in out
    for row in (
        "total, at least",
        "missing, at most",
        "none for certain; one may fit",
        "one of these fits for certain",
    ):
        assert row in out
    assert "not even one" not in out


def test_a_certain_no_stands_on_the_least() -> None:
    """At 9,000 tokens even 12 bytes a logit are more than 24 GiB has room for."""
    how = "--qlora --lora-rank 32 --recompute full --gpu h100 --gpu-set memory_gb=25.77 --memory-share 1 --context 9000"
    done = run("memory", "llama-3.1-8b", "--train", *how.split())
    assert (done.code, done.out.splitlines()[0].rpartition(": ")[2]) == (3, "does not fit")
    assert "It does not fit: at the least 27.7 GB are more than the 25.77 GB that may be used." in done.out


TORCHTITAN: Final = {1: 83.9, 2: 84.2, 4: 84.0, 8: 84.5}
"""GiB reserved at the most, by context parallelism, of 32,768 tokens a GPU: Llama 3.1 8B on 8 H100 of 96 GB with FSDP2, each layer
computed again (pytorch/torchtitan benchmarks/llama3_h100_202412_torchtitan.md, Table 2)."""


@pytest.mark.parametrize("devices", TORCHTITAN)
def test_a_long_sequence_by_torchtitan(devices: int) -> None:
    """By the default loss, within 5%: 14 bytes a logit are reserved, of 12 that are live."""
    plan = f"--zero 3 --gpus 8 --context-parallel {devices} --recompute full --context {32_768 * devices}"
    found = answer("memory", "llama-3.1-8b", "--train", *plan.split())
    assert found["loss"] == "plain"
    assert found["per_device_bytes"]["total"] / GIB == pytest.approx(TORCHTITAN[devices], rel=0.05)


def test_tensor_parallelism_by_torchtitan() -> None:
    """Llama 3.1 70B on 256 H100, FSDP 32 by tensor 8, 16 sequences: 71.9 GiB (Table 4). What NCCL takes is not counted."""
    plan = "--zero 3 --gpus 256 --tensor 8 --sequence --micro-batch 16 --context 8192 --recompute full"
    found = answer("memory", "llama-3.1-70b", "--train", *plan.split())
    assert found["loss"] == "parallel"
    assert 0.8 * 71.9 < found["per_device_bytes"]["total"] / GIB < 71.9


def test_what_a_chunked_loss_saves() -> None:
    """Llama 3 8B, 8,192 tokens, on torchtitan: 49.58 GiB with the plain loss, 42.26 with the chunked one (pytorch/torchtitan#996)."""
    plan = "--zero 3 --gpus 8 --context 8192 --recompute full"
    plain, chunked = (
        answer("memory", "llama-3-8b", "--train", *plan.split(), "--loss", loss)["per_device_bytes"]["total"] / GIB
        for loss in ("plain", "chunked")
    )
    assert plain - chunked == pytest.approx(49.58 - 42.26, rel=0.1)


def test_a_fused_loss_fits_where_it_ran() -> None:
    """Llama 3 8B by QLoRA, 65,536 tokens on an A100 of 80 GB (hiyouga/LLaMA-Factory#3638)."""
    plan = "--qlora --lora-rank 8 --context 65536 --recompute full --gpu a100 --loss fused-linear"
    assert answer("memory", "llama-3-8b", "--train", *plan.split())["fits"] is True
