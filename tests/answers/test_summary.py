"""`summary` tells what other commands tell, on one screen."""

from __future__ import annotations

import json

import pytest

from tests.helpers import answer, of_each, run, structures


@pytest.mark.parametrize(
    "name", ["gpt3", "deepseek-v3", "t5-base", "bert-base", "mamba-2.8b", "whisper-tiny", "gemma-2-9b"]
)
def test_its_figures_are_those_of_the_commands(name: str) -> None:
    data = answer("summary", name)
    counted = answer("params", name)["params"]
    assert (data["params"], data["active_params"]) == (counted["total"], counted["active"])
    compared = {row["quantity"]: row["values"][0] for row in answer("compare", name, "gpt2")["rows"]}
    for key in ("flops_per_token", "training_flops", "training_tokens", "kv_bytes_per_token"):
        told = compared[key] if isinstance(compared[key], (int, float)) else None
        assert data[key] == told, key
    for dtype in ("bf16", "q8_0"):
        served = answer("memory", name, "--dtype", dtype, "--context", "64")
        assert data["weight_bytes"][dtype] == served["per_device_bytes"]["weights"]


@pytest.mark.parametrize(
    "name, gpu, devices", [("llama-3.1-8b", "h100", 1), ("llama-3.1-70b", "h100", 2), ("tinyllama-1.1b", "t4", 1)]
)
def test_a_device_is_told_of_as_memory_serve_and_train_do(name: str, gpu: str, devices: int) -> None:
    found = answer("summary", name, "--gpu", gpu)["gpu"]
    assert found["devices"] == devices
    context = str(min(answer("summary", name)["context"], 8192))
    held = answer("memory", name, "--gpu", gpu, "--gpus", str(devices), "--context", context)
    assert held["verdict"] == "fits"
    alone = json.loads(run("memory", name, "--gpu", gpu, "--context", context, "--format", "json").out)
    assert found["verdict"] == alone["verdict"] == ("fits" if devices == 1 else "does_not_fit")
    if devices == 1:
        assert found["per_device_bytes"] == held["per_device_bytes"]["total"]
    trained = answer("train", name, "--gpu", gpu, "--days", "30")
    assert (found["gpu_hours"], found["cost_usd"]) == (trained["gpu_hours"], trained["cost_usd"])


def test_its_ranges_are_those_of_serve_and_train() -> None:
    """Alone in the middle of 8,192 tokens; hours at the best and the worst utilisation, dollars at the ends of the prices too."""
    found = answer("summary", "llama-3.1-70b", "--gpu", "h100")["gpu"]
    served = answer("serve", "llama-3.1-70b", "--gpu", "h100", "--gpus", "2", "--context", "4096")
    speeds = {end: 1 / served["tpot_seconds"][of] for end, of in (("low", "high"), ("high", "low"))}
    assert found["tokens_per_second_predicted_range"] == pytest.approx(speeds)
    assert found["tokens_per_second_predicted"] == pytest.approx(1 / served["tpot_seconds"]["middle"])
    assert found["tokens_per_second_predicted"] < found["tokens_per_second"]
    trained = answer("train", "llama-3.1-70b", "--gpu", "h100", "--days", "30")
    hours = [case["gpu_hours"] for case in trained["range"]]
    assert found["gpu_hours_range"] == {"low": min(hours), "high": max(hours)}
    assert found["cost_usd_range"] == trained["cost_usd_range"]


def test_what_depends_on_the_length_says_of_which_it_is() -> None:
    """Of a window of 4,096 tokens in 8,192 half is kept; without windows each token adds as much, at any length."""
    said = run("summary", "mistral-7b").out
    per_token = 32 * 2 * 8 * 128 * 2  # layers, keys and values, heads of 128, two bytes
    assert answer("summary", "mistral-7b")["kv_bytes_per_token"] == per_token // 2
    assert "KV cache per token at 8,192 tokens, bf16        65.54 kB" in said
    assert "whole cache of 8,192 tokens over their number; the first tokens add 131.1 kB each." in said
    plain = run("summary", "llama-3.1-8b").out
    assert "KV cache per token, bf16" in plain
    assert "over their number" not in plain
    assert "forward FLOPs per token at 8,192 tokens" in plain


def test_it_is_one_screen() -> None:
    lines = run("summary", "llama-3.1-70b", "--gpu", "h100", columns=80).out.splitlines()
    assert len([line for line in lines if line]) <= 24
    assert max(map(len, lines)) <= 80


def test_an_unstructures_model_is_told_of_as_known_and_estimated() -> None:
    done = run("summary", "gpt-4")
    assert done.code == 3
    assert "Epoch AI" in done.out


@of_each(structures())
def test_a_model_of_every_structure_has_one(name: str) -> None:
    done = run("summary", name, "--gpu", "h100")
    assert (done.code, done.err) == (0, "")
