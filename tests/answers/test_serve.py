"""`serve`: a contract for programs, what options change, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import answer, run
from tscale.spec.hardware import find_hardware

KEYS = {
    "model", "gpu", "gpus", "batch", "context", "prefill_seconds", "seconds_per_token", "tokens_per_second", "bound",
    "weight_bytes", "kv_cache_bytes",
}  # fmt: skip
LLAMA = ["llama31-8b", "--gpu", "h100"]


def served(*args: str) -> Any:
    return answer("serve", *args)


def test_json_has_what_programs_read() -> None:
    data = served(*LLAMA, "--batch", "4", "--context", "2k", "--output", "128")
    assert set(data) >= KEYS
    assert data["weight_bytes"] == 2 * 8_030_261_248
    assert data["kv_cache_bytes"] == 4 * (2048 + 128) * 131_072
    assert data["tokens_per_second"] == pytest.approx(4 / data["seconds_per_token"])
    assert data["bound"] == "memory"
    assert sum(line["seconds"] for line in data["prefill"]) == pytest.approx(data["prefill_seconds"])


def test_a_single_token_takes_as_long_as_its_weights() -> None:
    """At a batch of 1 and no context to speak of, 16 GB at 3.35 TB/s: 4.5 ms; in 4.5 bits, a quarter of it."""
    alone = served(*LLAMA, "--context", "1", "--output", "2")
    without_table = 2 * (8_030_261_248 - 128_256 * 4096)
    assert alone["seconds_per_token"] == pytest.approx(without_table / 3.35e12, rel=0.001)
    small = served(*LLAMA, "--context", "1", "--output", "2", "--dtype", "q4_k")
    assert small["seconds_per_token"] == pytest.approx(without_table / 3.35e12 * 4.5 / 16, rel=0.01)


def test_efficiency_and_price_scale() -> None:
    bound = served(*LLAMA, "--price", "2")
    half = served(*LLAMA, "--price", "2", "--efficiency", "50%")
    for key in ("prefill_seconds", "seconds_per_token", "usd_per_million_output_tokens"):
        assert half[key] == pytest.approx(2 * bound[key])
    assert bound["usd_per_million_output_tokens"] == pytest.approx(bound["seconds_per_token"] / 3600 * 2 * 1e6)


def test_a_cached_prefix_shortens_the_prefill_alone() -> None:
    whole, rest = served(*LLAMA, "--context", "8k"), served(*LLAMA, "--context", "8k", "--prefix", "6k")
    assert rest["prefill_seconds"] < 0.3 * whole["prefill_seconds"]
    assert rest["seconds_per_token"] == whole["seconds_per_token"]
    flops = [sum(line["flops"] for line in data["prefill"] if line["part"] == "cache") for data in (whole, rest)]
    before = sum(line["flops"] for line in served(*LLAMA, "--context", "6k")["prefill"] if line["part"] == "cache")
    assert flops[0] == flops[1] + before


def test_speculation_pays_by_what_is_accepted() -> None:
    """Leviathan 2023, equation 1: 4 guesses at a chance of 0.8 yield 3.36 tokens a round."""
    args = ["llama31-70b", "--gpu", "h100", "--gpus", "8"]
    plain = served(*args)
    guessed = served(*args, "--draft", "llama31-8b", "--acceptance", "0.8")
    assert guessed["seconds_per_token"] < plain["seconds_per_token"]
    assert "3.36 tokens a round" in " ".join(
        run("serve", *args, "--draft", "llama31-8b", "--acceptance", "0.8").out.split()
    )
    assert (
        served(*args, "--draft", "llama31-8b", "--acceptance", "0.1")["seconds_per_token"] > plain["seconds_per_token"]
    )


def test_a_batch_at_which_computing_takes_over() -> None:
    """GPT-2 in a short context: the ridge of an H100 is 295 FLOPs a byte, so that about as many tokens share the weights."""
    found = served("llama31-8b", "--gpu", "h100", "--context", "1", "--output", "2")["compute_bound_from_batch"]
    assert 295 <= found <= 330
    at, below = (
        served("llama31-8b", "--gpu", "h100", "--context", "1", "--output", "2", "--batch", str(n))
        for n in (found, found - 1)
    )
    for data, computes in ((at, True), (below, False)):
        computing = sum(line["flops"] for line in data["decode"]) / 989.4e12
        moving = sum(line["weight_bytes"] + line["cache_bytes"] for line in data["decode"]) / 3.35e12
        assert (computing >= moving) is computes


def test_what_does_not_fit_says_so_and_is_answered() -> None:
    done = run("serve", "gpt3", "--gpu", "h100")
    assert done.code == 3
    assert "It does not fit: 360.1 GB of weights and cache on a device of 80.0 GB" in " ".join(done.out.split())


def test_a_format_that_a_device_does_not_multiply_by() -> None:
    a100, h100 = (served("llama31-8b", "--gpu", gpu, "--dtype", "fp8", "--context", "8k") for gpu in ("a100", "h100"))
    assert a100["prefill_seconds"] / h100["prefill_seconds"] == pytest.approx(1978.9 / 312, rel=0.25)
    said = " ".join(run("serve", "llama31-8b", "--gpu", "a100", "--dtype", "fp8").out.split())
    assert "does not multiply by fp8: weights are made 16 bits first" in said


@pytest.mark.parametrize("name", ["mamba-2.8b", "qwen3-next-80b-a3b", "deepseek-v2", "gemma3-27b", "llama-4-scout", "recurrentgemma-2b", "rwkv-4-169m"])  # fmt: skip
def test_every_kind_of_mixer_is_served(name: str) -> None:
    data = run("serve", name, "--gpu", "mi300x", "--explain")
    assert data.code in (0, 3)
    assert "How each number was made" in data.out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["bert-base", "--gpu", "h100"], "serve reckons decoders"),
        (["t5-small", "--gpu", "h100"], "serve reckons decoders"),
        ([*LLAMA, "--batch", "0"], "--batch must be a whole number above 0"),
        ([*LLAMA, "--gpus", "3"], "3 devices cannot share attention.q"),
        ([*LLAMA, "--dtype", "fp9"], "no number format"),
        ([*LLAMA, "--cache-dtype", "nf4"], "a cache is not kept in nf4"),
        ([*LLAMA, "--efficiency", "40"], "write 40% if per cent is meant"),
        ([*LLAMA, "--context", "2k", "--prefix", "2k"], "leaves nothing of a prompt"),
        ([*LLAMA, "--acceptance", "0.5"], "read with --draft only"),
        ([*LLAMA, "--draft", "gpt2"], "--draft needs --acceptance"),
        (["gpt2", "--gpu", "l4", "--gpus", "2"], "--gpu-set network_gb_per_s=N gives it"),
    ],
)
def test_what_makes_no_sense_is_refused(args: list[str], says: str) -> None:
    done = run("serve", *args)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1


MAMF = {  # ml-engineering's table of the matmul speeds that were reached, TFLOP/s in bf16
    "a100-sxm-80gb": 271.2, "a100-pcie-80gb": 252.9, "h100-sxm": 794.5, "b200": 1745.0, "gb200": 1822.0, "mi325x": 784.9,
    "mi300x": 668.4, "gaudi2": 418.7, "gaudi3": 1243.0,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MAMF))
def test_no_measured_product_beats_the_peak(name: str) -> None:
    assert MAMF[name] * 1e12 < find_hardware(name).device().flops_per_second["bf16"]
