"""No speed that was ever measured and published beats the roofline: of products, of training, and of serving."""

from __future__ import annotations

import json
from typing import Final

import pytest

import tscale
from tests.helpers import run
from tscale.catalogue.hardware import find_hardware
from tscale.core.costs.roofline import Dtypes, Pass, Setup, pass_seconds, works
from tscale.core.dtypes import DTYPES

# ---------------------------------------------------------------------------------------------------------------------
# Products: ml-engineering's table of the speeds that matrix products reached, TFLOP/s in bf16
# ---------------------------------------------------------------------------------------------------------------------

MAMF: Final = {
    "a100-sxm-80gb": 271.2, "a100-pcie-80gb": 252.9, "h100-sxm": 794.5, "b200": 1745.0, "gb200": 1822.0, "mi325x": 784.9,
    "mi300x": 668.4, "gaudi2": 418.7, "gaudi3": 1243.0,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MAMF))
def test_no_measured_product_beats_the_peak(name: str) -> None:
    assert MAMF[name] * 1e12 < find_hardware(name).device().flops_per_second["bf16"]


# ---------------------------------------------------------------------------------------------------------------------
# Training: tokens and device-hours as published, downtime included or not
# ---------------------------------------------------------------------------------------------------------------------

RUNS: Final = [  # model, changes, context, hardware, tokens, device-hours
    # Biderman 2023 (arXiv 2304.01373), Table 5
    ("pythia-12b", "", 2048, "a100-sxm-40gb", 299_892_736_000, 72_300),
    ("pythia-6.9b", "", 2048, "a100-sxm-40gb", 299_892_736_000, 33_500),
    ("pythia-2.8b", "", 2048, "a100-sxm-40gb", 299_892_736_000, 14_240),
    ("pythia-1.4b", "", 2048, "a100-sxm-40gb", 299_892_736_000, 7_120),
    ("pythia-410m", "", 2048, "a100-sxm-40gb", 299_892_736_000, 2_540),
    # Li 2023 (arXiv 2305.06161); MosaicML 2023: 440 for 9.5 days; Hugging Face 2025: 384 for 24 days
    ("starcoder", "", 8192, "a100-sxm-80gb", 1e12, 320_256),
    ("mpt-7b", "", 2048, "a100-sxm-40gb", 1e12, 100_320),
    ("smollm3-3b", "", 4096, "h100-sxm", 11.2e12, 221_184),
    # Touvron 2023, Table 15, and section 2.4: 380 tokens a second on each device
    ("llama-7b", "", 2048, "a100-sxm-80gb", 1e12, 82_432),
    ("llama-13b", "", 2048, "a100-sxm-80gb", 1e12, 135_168),
    ("llama-33b", "", 2048, "a100-sxm-80gb", 1.4e12, 530_432),
    ("llama-65b", "", 2048, "a100-sxm-80gb", 1.4e12, 1_022_362),
    ("llama-65b", "", 2048, "a100-sxm-80gb", 380 * 3600, 1),
    # Touvron 2023b, Table 2
    ("llama-2-7b", "", 4096, "a100-sxm-80gb", 2e12, 184_320),
    ("llama-2-13b", "", 4096, "a100-sxm-80gb", 2e12, 368_640),
    ("llama-2-70b", "", 4096, "a100-sxm-80gb", 2e12, 1_720_320),
    # Meta's cards of Llama 3 and 3.1, and Dubey 2024
    ("llama-3.1-8b", "", 8192, "h100-sxm", 15e12, 1.3e6),
    ("llama-3.1-8b", "", 8192, "h100-sxm", 15e12, 1.46e6),
    ("llama-3.1-70b", "", 8192, "h100-sxm", 15e12, 6.4e6),
    ("llama-3.1-70b", "", 8192, "h100-sxm", 15e12, 7.0e6),
    ("llama-3.1-405b", "", 8192, "h100-sxm", 15.6e12, 30.84e6),
    ("llama-3.2-1b", "", 8192, "h100-sxm", 9e12, 370_000),
    ("llama-3.2-3b", "", 8192, "h100-sxm", 9e12, 460_000),
    # Le Scao 2022; Zhang 2022 by Touvron 2023, Table 15
    ("bloom-176b", "", 2048, "a100-sxm-80gb", 366e9, 1_082_990),
    ("opt-175b", "", 2048, "a100-sxm-80gb", 300e9, 809_472),
    # DeepSeek-AI 2024b and 2024c: the latter in fp8
    ("deepseek-v2", "", 4096, "h800-sxm", 1e12, 172_800),
    ("deepseek-v3", "fp8", 4096, "h800-sxm", 14.8e12, 2_664_000),
    ("falcon-180b", "", 2048, "a100-sxm-40gb", 3.5e12, 7e6),
    # Chowdhery 2022, Appendix B, and Rae 2021, Table A27
    ("palm-540b", "", 2048, "tpu-v4", 238_300 * 3600, 6144),
    ("gopher-280b", "", 2048, "tpu-v3", 300e9, 4096 * 920),
    # MT-NLG, by Chowdhery 2022, Appendix B: 65,430 tokens a second on 2,240 A100
    ("gpt3", "layers=105 d_model=20480 heads=128 d_ff=81920 vocabulary=51200", 2048, "a100-sxm-80gb", 65_430 * 3600, 2240),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "context", "gpu", "tokens", "hours"), RUNS)
def test_no_training_run_beats_its_roofline(
    name: str, changes: str, context: int, gpu: str, tokens: float, hours: float
) -> None:
    """Three forward passes at the dense peak, on devices that wait for nobody; no run did less than a twentieth of it.

    The least, a sixteenth, is Llama 3.2 1B's, which was distilled: the hours are also those of its teachers.
    """
    hardware, eight = find_hardware(gpu), changes == "fp8"
    peaks = hardware.device().flops_per_second
    peak = peaks["fp8"] if eight else max(peaks.get("bf16", 0), peaks.get("fp16", 0))
    dtypes = Dtypes(DTYPES["bf16"], DTYPES["bf16"], {"": peak})
    ledger = tscale.lower(tscale.load(name, [] if eight else changes.split()))
    setup = Setup(ledger, ledger, dtypes, hardware.cluster())
    batch = 64
    lines = works(setup, Pass(batch, context, 0, context, decoding=False))
    at_most = batch * context / (3 * pass_seconds(setup, lines))
    assert at_most / 20 < tokens / (hours * 3600) < at_most


# ---------------------------------------------------------------------------------------------------------------------
# Serving
# ---------------------------------------------------------------------------------------------------------------------

GPT_FAST: Final = [  # gpt-fast's README: 8 A100 of 80 GB at 330 W, a prompt of 5 tokens, a batch of 1; tokens a second
    ("llama-2-7b", 1, "bf16", 104.9), ("llama-2-7b", 1, "int8", 155.58), ("llama-2-7b", 1, "int4", 196.80),
    ("llama-2-7b", 2, "bf16", 168.84), ("llama-2-7b", 4, "bf16", 254.02), ("llama-2-7b", 8, "bf16", 328.43),
    ("llama-2-70b", 1, "int8", 19.13), ("llama-2-70b", 1, "int4", 25.25), ("llama-2-70b", 2, "bf16", 21.32),
    ("llama-2-70b", 4, "bf16", 38.01), ("llama-2-70b", 8, "bf16", 62.50), ("llama-2-70b", 8, "int8", 80.44),
    ("llama-2-70b", 8, "int4", 90.77), ("mixtral-8x7b", 2, "bf16", 96.67), ("mixtral-8x7b", 4, "bf16", 155.35),
    ("mixtral-8x7b", 8, "bf16", 227.82), ("mixtral-8x7b", 1, "int8", 97.92), ("mixtral-8x7b", 2, "int8", 155.03),
    ("mixtral-8x7b", 4, "int8", 216.87), ("mixtral-8x7b", 8, "int8", 279.35),
]  # fmt: skip


def served(*args: str) -> dict[str, float]:
    """The bound, whether or not the model fits."""
    done = run("serve", *args, "--format", "json")
    assert done.code in (0, 3), done.err
    found: dict[str, float] = json.loads(done.out)
    return found


@pytest.mark.parametrize(("name", "gpus", "dtype", "measured"), GPT_FAST)
def test_no_measured_decoding_beats_the_roofline(name: str, gpus: int, dtype: str, measured: float) -> None:
    """And half of it is reached where one or two devices do little but read 16-bit weights."""
    args = [name, "--gpu", "a100-sxm-80gb", "--gpus", str(gpus), "--dtype", dtype]
    at_most = served(*args, "--context", "5", "--output", "200")["tokens_per_second"]
    assert measured < at_most
    if dtype == "bf16" and gpus <= 2 and "mixtral" not in name:
        assert measured > 0.5 * at_most


@pytest.mark.parametrize(("dtype", "measured"), [("bf16", 76.33), ("int8", 101.86)])
def test_no_measured_decoding_on_half_of_a_mi250x_beats_the_roofline(dtype: str, measured: float) -> None:
    half = ["memory_gb=64", "bandwidth_gb_per_s=1638.5", "bf16=191.5", "fp16=191.5", "int8=191.5", "fp32=24"]
    args = [arg for change in half for arg in ("--gpu-set", change)]
    at_most = served("llama-2-7b", "--gpu", "mi250x", *args, "--dtype", dtype, "--context", "5", "--output", "200")
    assert measured < at_most["tokens_per_second"]


# Pope 2022, Tables 2 and 3: prompts of 2,048 tokens, answers of 64. PaLM 540B is padded from 48 to 64 heads (section 4).
POPE: Final = [  # model, chips, batch, weights, seconds of the prefill, of 64 steps; which devices split by sequences
    ("palm-540b", 64, 1, "int8", 0.29, None),
    ("palm-540b", 64, 64, "int8", None, 1.82),
    ("palm-540b", 64, 512, "bf16", 85.2, None),
    ("palm-540b", 64, 512, "bf16", None, 6.0),
    ("palm-62b", 16, 1, "int8", 0.16, None),
    ("palm-62b", 16, 32, "int8", None, 0.73),
    ("palm-62b", 32, 512, "bf16", 20.2, None),
    ("palm-62b", 8, 512, "bf16", None, 5.1),
]


@pytest.mark.parametrize(("name", "chips", "batch", "dtype", "prefill", "decoding"), POPE)
def test_no_latency_of_pope_2022_beats_the_roofline(
    name: str, chips: int, batch: int, dtype: str, prefill: float | None, decoding: float | None
) -> None:
    """On TPU v4 joined by one link; large prefills gathered weights over the links, so there what is sent is left out."""
    heads = ["--set", "attention.heads=64"] if name == "palm-540b" else []
    found = served(
        name, *heads, "--gpu", "tpu-v4", "--gpu-set", f"devices_per_node={chips}", "--gpus", str(chips),
        "--batch", str(batch), "--dtype", dtype, "--context", "2k", "--output", "65", "--split-cache", "sequences",
    )  # fmt: skip
    if decoding is not None:
        assert 0.2 * decoding < 64 * found["seconds_per_token"] < decoding
    if prefill is not None:
        sent = found["prefill_shares"]["communication"] if batch > 1 else 0  # type: ignore[index]
        assert 0.4 * prefill < found["prefill_seconds"] * (1 - sent) < prefill


@pytest.mark.parametrize(
    ("batch", "context", "split"), [(128, 660, "heads"), (128, 43_000, "sequences"), (512, 165, "heads"), (512, 10_700, "sequences")]
)  # fmt: skip
def test_the_longest_contexts_of_pope_2022_fill_what_was_reserved(batch: int, context: int, split: str) -> None:
    """Table 1: PaLM 540B on 64 chips with 30% of each one's 32 GiB for the cache; one head of keys and values for all chips."""
    found = served(
        "palm-540b", "--set", "attention.heads=64", "--gpu", "tpu-v4", "--gpu-set", "devices_per_node=64", "--gpus", "64",
        "--batch", str(batch), "--context", str(context - 1), "--output", "1", "--split-cache", split,
    )  # fmt: skip
    assert found["kv_cache_bytes"] == pytest.approx(0.3 * 32 * 2**30, rel=0.01)
