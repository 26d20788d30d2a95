"""The first sentence of an answer is the answer: in a line or two, before any table."""

from __future__ import annotations

import re

import pytest

from tests.helpers import answer, run
from tscale.core.number_text import duration, durations
from tscale.estimates.metrics import claimable

HEADLINES = {
    # Brown 2020: 174.6B parameters (Table D.1), of 2 bytes in bf16
    "summary gpt3": "GPT-3 175B has 175B parameters and takes 349.2 GB in bf16",
    # 671e9 parameters, nearly all in fp8 with a scale for each 128 by 128: more than eight devices of 80 GB have
    "summary deepseek-v3 --gpu h100": "671B parameters (37.6B active), served in 675.9 GB on 16 devices",
    "params gpt3": "GPT-3 175B has 174,604,259,328 parameters, counted from its shape",
    # DeepSeek-AI 2024c: 671B parameters, 37B of them activated for each token (with the embedding)
    "params deepseek-v3": "671,026,404,352 parameters, 37,552,282,624 of them active per token",
    "flops gpt3 --tokens 300e9": "Training GPT-3 175B on 300B tokens takes 3.23e23 FLOPs",
    "memory gpt3 --gpu h100": "takes 359.4 GB on NVIDIA H100 SXM5 80GB: does not fit",
    "memory llama-3.1-8b": "one sequence of 8,192 tokens, takes 17.36 GB",
    "memory llama-3.1-8b --gpu h100 --gpus 2": "on each of 2 × NVIDIA H100 SXM5 80GB: fits",
    "memory llama-3.1-8b --train --gpu h100 --gpus 8 --zero 3": "on each of 8 × NVIDIA H100 SXM5 80GB: fits",
    # 3.229e23 / (1024 · 989.4e12 · 0.4) are 796,800 s
    "train gpt3 --gpu h100 --gpus 1024 --mfu 0.4": "on 1,024 × NVIDIA H100 SXM5 80GB takes 9.22 days and $",
    "train gpt3 --gpu h100 --days 30 --mfu 0.4": "Training GPT-3 175B in 30 days takes 315 × NVIDIA H100 SXM5 80GB",
    "serve gpt3 --gpu h100": "2,048 input and 256 output tokens: does not fit",
    "compare transformer gpt3": "GPT-3 175B has 2,769 times the parameters of Transformer (base)",
    "compare gpt2 gpt2": "GPT-2 small has as many parameters as GPT-2 small",
    "compare gpt2 gpt3 gpt2-xl": "GPT-2 small, GPT-3 175B and GPT-2 XL have 124M to 175B parameters",
    "compare gpt3 gpt-4": "GPT-3 175B next to GPT-4",
    "attention gpt3 --context 2k": "attention scores take 2.69% of forward FLOPs at 2,048 tokens",
    "attention mamba-2.8b": "Mamba 2.8B: no attention scores at any context",
    "optimal --flops 5.76e23 --law hoffmann2022-3": "40.4B parameters by hoffmann2022-3",
    "serve llama-3.1-8b --gpu h100 --rate 500": ", 500 requests/s, 2,048 input and 256 output tokens: over capacity",
    "serve llama-3.1-8b --gpu h100 --replicas 2": "on 2 × NVIDIA H100 SXM5 80GB, 1 concurrent request, 2,048 input",
    "design --params 7e9": "A decoder of 6,940,798,976 parameters in 33 layers, like Llama 2 7B, for 7,000,000,000",
    "check article": "audited: of 19 claims, 12 hold, 1 close, 6 do not hold",
    "loss gpt3 --law besiroglu2024": "training tokens is 2.009 nats per token",
    # 6.98e9 of Llama's parameters are no embeddings: kumar2024 alone reads bits, and its table has the same two losses
    "loss llama-3.1-8b --tokens 15e12 --bits 8": "in 8 bits: predicted loss after 15T training tokens is 2.831 nats per token by kumar2024, 2.826 in 16 bits",
    "loss llama-3.1-8b --tokens 15e12 --bits 4,8,16": "in 4, 8 and 16 bits (weights, activations, KV cache): predicted loss",
    "flops bert-base": "Training BERT base on 131,072,000,000 tokens takes 6.92e19 FLOPs",
    "memory llama-3.1-8b --train --qlora": "Training QLoRA adapters of rank 64 for Llama 3.1 8B in bf16 with adamw",
    "train llama-3.1-8b --gpu h100 --gpus 8 --qlora --tokens 1e9": "Training QLoRA adapters of rank 64 for Llama 3.1 8B on 8",
}


@pytest.mark.parametrize("line", HEADLINES)
def test_a_headline_is_the_answer(line: str) -> None:
    first = run(*line.split(), columns=400).out.splitlines()[0]
    assert HEADLINES[line] in first


def test_a_range_is_that_of_the_table() -> None:
    first, *rows = run("train", "gpt3", "--gpu", "h100", "--gpus", "1024", columns=400).out.splitlines()
    low, middle, high = next(row for row in rows if row.startswith("days ")).replace("†", "").split()[1:]
    assert f"takes {middle} days ({high} to {low} days) and $" in first


def test_a_prediction_is_that_of_the_table() -> None:
    first, *rows = run("serve", "llama-3.1-8b", "--gpu", "h100", columns=400).out.splitlines()
    at = next(place for place, row in enumerate(rows) if row.startswith("steady state"))
    ttft, tpot = (
        next(row for row in rows[at:] if row.startswith(f"time {name}")).split("ms")[1].split()[0]
        for name in ("to first", "per output")
    )
    assert first.endswith(f": {ttft} ms to the first token, then {tpot} ms per output token, as predicted")


def test_a_bound_is_said_to_be_one() -> None:
    first = run("serve", "llama-3.1-8b", "--gpu", "h100", "--bound", columns=400).out.splitlines()[0]
    assert ": at least " in first
    assert "predicted" not in first


def test_a_time_is_in_the_unit_that_people_say() -> None:
    assert [duration(seconds) for seconds in (0.0123, 0.5, 118, 150, 9000, 200_000, 0.999999, 777_600)] == [
        "12.3 ms", "500 ms", "118 s", "2.50 minutes", "2.50 hours", "2.31 days", "1.00 s", "9 days",
    ]  # fmt: skip
    assert durations(674_000, 1_037_000) == "7.80 to 12.0 days"
    assert durations(9000, 777_600) == "2.50 hours to 9 days"


@pytest.mark.parametrize(
    "label", ["forward FLOPs a token", "forward FLOPs per token", "KV cache a token", "active a token"]
)
def test_a_claim_may_be_of_a_label_as_it_was(label: str) -> None:
    assert claimable(label) is not None


@pytest.mark.parametrize(
    ("line", "last"),
    [
        ("summary deepseek-v3 --gpu h100", "training, US dollars"),
        ("params gpt3", "embedding "),
        ("flops gpt3 --tokens 300e9", "exact, causal attention"),
        ("memory gpt3 --gpu h100", "missing"),
        ("memory llama-3.1-8b --train --gpu h100", "missing"),
        ("train gpt3 --gpu h100 --gpus 1024", "energy, kWh"),
        ("serve gpt3 --gpu h100 --gpus 8", "  at the highest price"),
    ],
)
def test_headline_and_main_table_are_on_a_screen_of_24_by_80(line: str, last: str) -> None:
    screen = run(*line.split(), columns=80).out.splitlines()[:24]
    assert any(row.startswith(last) for row in screen[4:])


def test_columns_of_a_range_say_by_what_they_are_low_and_high() -> None:
    """A low utilisation has many days; where there is one case, nothing is low or high."""
    given = ("train", "gpt3", "--gpu", "a100", "--gpus", "1024")
    assert re.search(r"^by utilisation +low +middle +high$", run(*given).out, re.MULTILINE)
    assert "by utilisation" not in run(*given, "--mfu", "0.4").out


def test_what_a_context_may_be_is_told_from_tokens_of_training() -> None:
    said = " ".join(run("memory", "llama-3.1-8b", "--gpu", "h100").out.split())
    assert "was trained on contexts of up to 131,072 tokens: of longer ones the memory alone is counted." in said


def test_tokens_per_parameter_have_three_digits_as_estimates_do() -> None:
    """20.9 beside 61.8 and 0.115, and not 20.91 beside 0.1152."""
    lines = run("optimal", "--flops", "1e24").out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line.startswith(("kaplan", "hoffmann"))}
    assert (rows["kaplan2020"][3], rows["hoffmann2022-1"][3], rows["hoffmann2022-3"][3]) == ("0.115", "20.9", "61.8")


def test_what_is_predicted_stands_before_the_best_case() -> None:
    """And its dollars: those of input and output add up to what a second of the devices costs."""
    out = run("serve", "llama-3.1-8b", "--gpu", "h100", "--batch", "16", "--price", "3.6", columns=100).out
    assert out.index("steady state") < out.index("best case, one batch")
    held = answer("serve", "llama-3.1-8b", "--gpu", "h100", "--batch", "16", "--price", "3.6")
    requests = held["requests_per_second"]
    per_second = (
        requests
        / 10**6
        * (
            2048 * held["predicted_usd_per_million_input_tokens"]
            + 256 * held["predicted_usd_per_million_output_tokens"]
        )
    )
    assert per_second == pytest.approx(3.6 / 3600)
    assert "predicted_usd_per_million_input_tokens" not in answer("serve", "llama-3.1-8b", "--gpu", "h100", "--bound")
