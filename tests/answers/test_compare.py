"""Models side by side: the same figures as the other commands give, at the lengths that are said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import answer, run


def rows(*args: str) -> dict[str, list[Any]]:
    return {row["quantity"]: row["values"] for row in answer("compare", *args)["rows"]}


def shown(name: str, *args: str) -> str:
    """The row of that name, as people read it."""
    return next(line for line in run("compare", *args).out.splitlines() if line.startswith(name))


@pytest.mark.parametrize("context", ["32768", "131072"])
@pytest.mark.parametrize(
    "name", ["gemma-3-27b", "gpt-oss-20b", "mistral-7b", "recurrentgemma-2b", "zamba2-7b", "deepseek-v3", "t5-11b"]
)
def test_the_cache_of_a_token_is_memorys_cache_over_the_length(name: str, context: str) -> None:
    kept = answer("memory", name, "--context", context)["per_device_bytes"]["kv_cache"]
    assert rows(name, "gpt2", "--context", context)["kv_bytes_per_token"][0] == -(-kept // int(context))


def test_without_a_length_the_cache_is_at_the_length_trained_at() -> None:
    """Gemma 3 27B at 32,768: 10 layers keep all of it and 52 keep 1,024, 2 * 16 * 128 numbers of 2 bytes a token."""
    per_layer = 2 * 16 * 128 * 2
    assert rows("gemma-3-27b", "gpt2")["kv_bytes_per_token"][0] == 10 * per_layer + 52 * per_layer * 1024 // 32_768


def test_a_length_that_is_asked_for_stands_in_the_title_and_not_among_those_trained_at() -> None:
    args = ("gpt3", "llama-3.1-405b", "--context", "128k")
    title = run("compare", *args).out.splitlines()[0]
    assert title.startswith("Llama 3.1 405B has 2.324 times the parameters of GPT-3 175B; at 131,072 tokens, ")
    assert "8,192, then 131,072" in shown("sequences in training", *args)
    assert rows(*args)["training_context"] == [2048, 8192]
    data = answer("compare", *args)
    assert data["context"] == 131_072
    assert data["stages"][1] == [
        {"tokens": 15_600 * 10**9, "context": 8192, "up_to": False},
        {"tokens": 800 * 10**9, "context": 131_072, "up_to": True},
    ]


def test_lengths_whose_tokens_were_not_published_are_among_those_trained_at() -> None:
    assert "32,768, then 131,072" in shown("sequences in training", "gemma-3-27b", "gpt3")


def test_one_length_each_is_compared() -> None:
    assert shown("sequences in training", "gpt2", "gpt3").split()[3:] == ["1,024*", "2,048*", "(×2)"]


def test_an_estimate_of_training_flops_is_called_one_next_to_the_gap() -> None:
    note = (
        "Transformer (base): its published training FLOPs are an estimate, not a count: 12 hours on 8 P100 times a "
        "sustained 9.5 TFLOP/s of each; the count is 1.228e18 (-62.8%)."
    )
    assert note in run("compare", "transformer", "gpt3").out
    assert "-62.8%" not in run("compare", "transformer", "gpt3", "--context", "128").out  # another count


def test_flops_says_so_too() -> None:
    lines = run("flops", "transformer").out.splitlines()
    assert "−62.8%" in next(line for line in lines if "an estimate, not a count" in line)
