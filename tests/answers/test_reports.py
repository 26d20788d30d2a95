"""What public reports of runs say, beside the command that a reader of them would type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers import answer

GIB = 2**30
CONFIGS = Path(__file__).parent / "reports"


def memory(*args: str) -> Any:
    return answer("memory", *" ".join(args).split())


UNSLOTH = {24: 78_475, 40: 153_977, 80: 342_733}
"""Longest context of Llama 3.1 8B by GiB: QLoRA of rank 32 on every layer, Unsloth's own kernels (unslothai/unsloth README)."""


def longest(gibibytes: int) -> int:
    device = f"--gpu h100 --gpu-set memory_gb={gibibytes * GIB / 1e9!r} --memory-share 1"
    how = "--qlora --lora-rank 32 --recompute full --loss fused-linear --offload activations --optimizer adam-8bit"
    return int(memory(f"llama-3.1-8b --train {how} {device} --context 500")["max_context"])


def test_a_token_of_a_long_context_takes_what_a_fused_loss_and_offloading_leave() -> None:
    """The slope between 24 and 80 GiB: 227.5 kB a token measured. What driver and context take is not in it."""
    measured = 56 * GIB / (UNSLOTH[80] - UNSLOTH[24])
    assert measured == pytest.approx(227.5e3, rel=0.001)
    assert 56 * GIB / (longest(80) - longest(24)) == pytest.approx(measured, rel=0.1)


def test_a_fused_loss_lets_65536_tokens_train_on_an_a100() -> None:
    """hiyouga/LlamaFactory#3638: QLoRA of Llama 3 8B on 80 GB."""
    found = memory(
        "llama-3-8b --train --qlora --lora-rank 8 --context 65536 --recompute full --gpu a100 --loss fused-linear"
    )
    assert found["verdict"] == "fits"


def test_llama_3_70b_in_fp8_without_recomputation_runs_on_64_h100() -> None:
    """NVIDIA-NeMo/Megatron-Bridge docs/performance-summary.md, LLAMA3_70B FP8-CS: 1,602 tokens/s a GPU."""
    plan = (
        "--gpus 64 --tensor 4 --sequence --pipeline 8 --interleave 5 --zero 1 --context 8192 --gpu h100 --precision fp8"
    )
    assert memory(f"llama-3-70b --train {plan}")["verdict"] in ("fits", "may_fit")


def test_latents_spread_out_take_what_llama_cpp_kept() -> None:
    """ggml-org/llama.cpp#8817: "about 43G" of 163,840 tokens; 27 layers of 16 heads, keys of 192 and values of 128, are 42.2 GiB."""
    file = str(CONFIGS / "deepseek-v2-lite.json")
    whole = memory(f"{file} --context 163840 --cache-form full")["per_device_bytes"]["kv_cache"]
    assert whole == 27 * 16 * (192 + 128) * 2 * 163_840
    assert whole / GIB == pytest.approx(43, rel=0.02)
    assert memory(f"{file} --context 163840")["per_device_bytes"]["kv_cache"] == 27 * (512 + 64) * 2 * 163_840


@pytest.mark.parametrize(("tokens", "gib"), [(29_000, 17.98 - 14.99), (20_000, 17.06 - 14.99)])
def test_what_a_prompt_needs_while_it_is_read(tokens: int, gib: float) -> None:
    """vllm-project/vllm#10517: peaks of PyTorch less what the weights take, of prompts of so many tokens at once."""
    found = memory(f"llama-3.1-8b --gpu rtx-3090 --context 29000 --chunk {tokens}")["per_device_bytes"]
    assert found["activations"] / GIB == pytest.approx(gib, abs=0.011)  # two figures of two decimals


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_kimi_linear_is_shared(devices: int) -> None:
    """vllm-project/vllm#28228 serves it on two. Heads of the delta rule are dealt out, the latents of other layers copied."""
    found = memory(f"{CONFIGS / 'kimi-linear.json'} --gpus {devices} --dtype int4-g128 --context 120000")[
        "per_device_bytes"
    ]
    heads, latents = 20 * 32 * (128 * 128 * 4 + 3 * 4 * 128 * 2), 7 * (512 + 64) * 2 * 120_000
    assert found["kv_cache"] == heads // devices + latents


def test_training_is_compared_at_the_lengths_of_training() -> None:
    """At 8,192 and 4,096 tokens x0.10 and x0.033 of Llama 3.1 405B; its 800e9 tokens of up to 131,072 make these a tenth less."""
    rows = answer("compare", "llama-3.1-405b", "deepseek-v3", "olmo-2-32b")["rows"]
    ratios = next(row["ratios"] for row in rows if row["quantity"] == "training_flops")
    for ratio, at_8192 in zip(ratios[1:], (0.106, 0.033), strict=True):
        assert 0.88 * at_8192 < ratio < 1.02 * at_8192
