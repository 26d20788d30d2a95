"""`tscale memory`: what fits and what does not, found again by brute force."""

from __future__ import annotations

import json
from typing import Any

import pytest

import tscale
from tests.helpers import answer, of_each, run, structures
from tscale.answers.memory.answer import memory_report
from tscale.catalogue.models import built_in
from tscale.core.dtypes import DTYPES
from tscale.estimates.memory.serving import Ask
from tscale.models.spec import ModelSpec

CASES = [
    "llama-3.1-8b --gpu l4 --context 2k",
    "llama-3.1-8b --gpu l4 --batch 4 --dtype q4_k --cache-dtype q8_0 --page 16",
    "llama-3.1-70b --gpu h100 --gpus 4 --batch 16 --context 8k",
    "gpt-oss-120b --gpu h100 --dtype mxfp4 --cache-dtype fp8 --page 32 --context 4k",
    "deepseek-v3 --gpu h200 --gpus 8 --dtype fp8 --context 16k --batch 8",
    "gemma-3-27b --gpu a100 --batch 3 --context 5000 --chunk 512",
    "jamba --gpu h200 --gpus 1 --dtype int4-g128 --context 1000",
    "bert-base --gpu t4 --batch 7",
    "t5-3b --gpu t4 --context 700 --batch 5",
]


def memory(args: str) -> Any:
    done = run("memory", *args.split(), "--format", "json")
    assert done.code in (0, 3), done.err
    return json.loads(done.out)


def total(args: str, **changed: int) -> int:
    """What a device holds with a batch or a context in the place of the one that is asked about."""
    more = [text for name, value in changed.items() for text in (f"--{name}", str(value))]
    return int(memory(f"{args} {' '.join(more)}")["per_device_bytes"]["total"])


@pytest.mark.parametrize("case", CASES)
def test_the_largest_batch_and_the_longest_context_are_that(case: str) -> None:
    """What fits does, and one more does not."""
    found = memory(case)
    usable = found["usable_bytes"]
    assert (found["fits"] is True) == (found["per_device_bytes"]["total"] <= usable)
    for what, most in (("batch", found["max_batch"]), ("context", found["max_context"])):
        assert most is not None
        assert most == 0 or total(case, **{what: most}) <= usable
        assert total(case, **{what: most + 1}) > usable


@of_each(structures())
def test_parts_add_up_for_a_model_of_every_structure(name: str) -> None:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    for dtype in ("bf16", "q4_k", "int8"):
        data: Any = memory_report(spec, Ask(DTYPES[dtype], batch=3, context=1000, page=16)).data
        *parts, whole = (int(figure.value) for figure in data["per_device_bytes"].values())
        assert sum(parts) == whole == sum(int(line["bytes"].value) for line in data["lines"])


TOO_LARGE = [
    "llama-3.1-70b --gpu h100 --gpus 2 --batch 16 --context 8k",
    "llama-3.1-8b --gpu l4 --batch 64 --context 8k",
    "llama-3.1-8b --gpu rtx-3090 --dtype q8_0 --batch 40 --context 8k",
    "qwen2.5-32b --gpu h100 --context 80k",
]


@pytest.mark.parametrize("case", TOO_LARGE)
def test_each_change_alone_makes_it_fit(case: str) -> None:
    """The option is taken at its word: given to the command, the last one of its kind counts, and it fits."""
    done = run("memory", *case.split(), "--format", "json")
    found = json.loads(done.out)
    assert (done.code, found["fits"]) == (3, False)
    assert found["missing_bytes"] == found["per_device_bytes"]["total"] - found["usable_bytes"] > 0
    assert found["changes"]
    for change in found["changes"]:
        again = run("memory", *case.split(), *change["option"].split(), "--format", "json")
        assert again.code == 0, change
        assert json.loads(again.out)["per_device_bytes"]["total"] == change["per_device_bytes"]


def test_a_smaller_model_than_the_smallest_change_is_told_so() -> None:
    done = run("memory", "llama-3.1-405b", "--gpu", "t4", "--format", "json")
    assert done.code == 3
    assert json.loads(done.out)["max_batch"] == json.loads(done.out)["max_context"] == 0


def test_the_json_is_a_contract() -> None:
    found = memory("llama-3.1-8b --gpu h100 --batch 8 --context 8k --gpus 2")
    assert set(found) >= {"model", "mode", "per_device_bytes", "devices", "fits", "max_batch", "max_context", "changes"}
    assert (found["model"], found["mode"], found["devices"], found["fits"]) == ("llama-3.1-8b", "serve", 2, True)
    assert list(found["per_device_bytes"]) == [
        "weights", "gradients", "optimizer", "activations", "logits", "kv_cache", "total",
    ]  # fmt: skip
    assert found["per_device_bytes"]["kv_cache"] == 8 * 8192 * 2 * 32 * 8 * 128 * 2 // 2
    norms = 65 * 4096
    assert found["per_device_bytes"]["weights"] == 2 * ((8_030_261_248 - norms) // 2 + norms)
    taken = 880 + 551 + 2464 + 1833  # MiB of a driver, a context, graphs and collectives, each at most
    assert found["usable_bytes"] == (81559 - taken) * 2**20
    assert (found["verdict"], found["memory_bytes"]) == ("fits", 80 * 10**9)
    without = memory("llama-3.1-8b")
    assert without["fits"] is without["max_batch"] is without["max_context"] is without["gpu"] is None


def test_more_devices_than_key_value_heads_repeat_them() -> None:
    of_8, of_16 = (memory(f"llama-3.1-70b --gpus {gpus} --context 8k") for gpus in (8, 16))
    assert of_8["per_device_bytes"]["kv_cache"] == of_16["per_device_bytes"]["kv_cache"]
    lines = {line["name"]: line["division"] for line in of_16["lines"]}
    assert (lines["attention.k"], lines["norm.final"], lines["head"]) == ("1/8, 2 hold the same", "whole", "1/16")
    latent = [memory(f"deepseek-v3 --gpus {gpus}")["per_device_bytes"]["kv_cache"] for gpus in (1, 8)]
    assert latent[0] == latent[1]


def test_what_does_not_grow_has_no_longest_context() -> None:
    found = memory("mamba-2.8b --gpu t4")
    assert found["max_context"] is None and found["max_batch"] > 1
    shown = run("memory", "mamba-2.8b", "--gpu", "t4").out
    assert "no limit: what it keeps does not grow" in shown
    assert "\nstates " in shown and "KV cache" not in shown
    assert "KV cache and states" in run("memory", "bamba-9b").out and "cache" not in run("memory", "bert-base").out


def test_a_vendor_s_memory_can_be_changed() -> None:
    assert memory("gpt2 --gpu h100 --gpu-set memory_gb=96")["memory_bytes"] == 96 * 10**9


def test_a_device_need_not_compute_in_what_it_stores() -> None:
    assert "does not compute in fp8: it stores weights so" in run(
        "memory", "llama-3.1-8b", "--gpu", "a100", "--dtype", "fp8"
    ).out.replace("\n", " ")


def test_bars_are_drawn_in_a_terminal_only() -> None:
    shown = run("memory", "llama-3.1-70b", "--gpu", "h100", columns=80).out
    assert "█" * 30 in shown
    for format in ("json", "csv", "markdown"):
        assert "█" not in run("memory", "llama-3.1-70b", "--gpu", "h100", "--format", format).out


def test_pages_round_up() -> None:
    """17 tokens of Llama 3.1 8B are two pages of 16: 2 * 16 * 131,072 bytes."""
    assert memory("llama-3.1-8b --context 17 --page 16")["per_device_bytes"]["kv_cache"] == 32 * 131_072
    assert answer("memory", "llama-3.1-8b", "--context", "17")["per_device_bytes"]["kv_cache"] == 17 * 131_072


def test_formats_are_listed_with_their_bits() -> None:
    listed = {one["name"]: one for one in answer("list", "formats")["formats"]}
    assert set(listed) == set(DTYPES)
    assert (listed["q4_k"]["bits"], listed["q4_k"]["block"], listed["q4_k"]["caches"]) == (4.5, 256, False)
    assert (listed["nf4"]["bits"], listed["bf16"]["bits"]) == (4 + 0.126953125, 16)


# ---- built-ins that were released in few bits ----

RELEASED = [
    # bytes of all weights: `metadata.total_size` of model.safetensors.index.json in openai/gpt-oss-20b and -120b
    ("gpt-oss-20b", "mxfp4", 13_761_264_768, 41_829_514_368),
    ("gpt-oss-120b", "mxfp4", 65_248_815_744, 233_658_313_344),
    # a byte a number of the layers' matrices and 4 for each block of 128 x 128, without the module that predicts further tokens
    ("deepseek-v3", "fp8-128x128", 673_150_582_112, 1_342_052_838_400),
    ("kimi-k2", "fp8-128x128", 1_029_173_203_808, 2_052_816_464_896),
]


@pytest.mark.parametrize(("name", "format", "size", "in_bf16"), RELEASED, ids=[name for name, *_ in RELEASED])
def test_a_built_in_is_answered_in_the_format_of_its_release(name: str, format: str, size: int, in_bf16: int) -> None:
    """Said first, and overridden by --dtype; training is counted as --precision says."""
    found = memory(f"{name} --context 1k")
    assert (found["dtype"], found["dtype_source"], found["per_device_bytes"]["weights"]) == (format, "release", size)
    asked = memory(f"{name} --context 1k --dtype bf16")
    assert (asked["dtype"], asked["dtype_source"], asked["per_device_bytes"]["weights"]) == ("bf16", "asked", in_bf16)
    assert run("memory", name).out.splitlines()[1].startswith("Weights as released")
    assert (
        f"--dtype bf16 overrides the release, whose weights are in {format}."
        in run("memory", name, "--dtype", "bf16").out
    )
    trained = answer("memory", name, "--train", "--context", "1k")["per_device_bytes"]
    assert abs(trained["weights"] - in_bf16) < 10**6  # selection biases are buffers


def test_deepseek_v3_and_its_module_for_further_tokens_are_as_large_as_its_files() -> None:
    """688.6 GB (model.safetensors.index.json in deepseek-ai/DeepSeek-V3): a 62nd layer, and embedding and head once more."""

    def fp8(rows: int, columns: int) -> int:
        return rows * columns + 4 * -(-rows // 128) * -(-columns // 128)

    d = 7168
    attention = fp8(1536, d) + fp8(128 * 192, 1536) + fp8(576, d) + fp8(128 * 256, 512) + fp8(d, 128 * 128) + 2 * 2048
    experts = 257 * (2 * fp8(2048, d) + fp8(d, 2048)) + 2 * 256 * d + 4 * 256
    module = attention + experts + 2 * (2 * d * d + 5 * d) + 2 * 2 * 129_280 * d
    whole = memory("deepseek-v3 --context 1k")["per_device_bytes"]["weights"] + module
    assert round(whole / 1e9, 1) == 688.6


def test_gpt_oss_120b_fits_one_h100_as_it_is_served() -> None:
    """vLLM loads 65.97 GiB with its padding (vllm-project/vllm on one device): 60.77 without."""
    found = memory("gpt-oss-120b --gpu h100")
    assert found["fits"] is True
    assert answer("serve", "gpt-oss-120b", "--gpu", "h100")["dtype"] == "mxfp4"


# ---- help ----


def test_help_lists_options_of_serving_and_of_training_under_headings() -> None:
    lines = run("memory", "--help").out.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Arguments:", "Options:", "Reading a model's file:", "Images, video and audio:", "Training:", "Parallelism:", "After pre-training:", "Serving:",
    ]  # fmt: skip
    under: dict[str, str] = {}
    heading = ""
    for line in lines:
        heading = line if line in headings else heading
        under[line.split()[0] if line.split() else ""] = heading
    assert under["--gpu"] == under["--context"] == "Options:"
    assert under["--dtype"] == under["--chunk"] == "Serving:"
    assert under["--precision"] == under["--micro-batch"] == under["--qlora"] == "Training:"
    assert under["--tensor"] == under["--shards"] == "Parallelism:"


def test_notes_of_how_a_model_was_trained_are_not_of_serving_it() -> None:
    """GPT-3's notes: on its attention, which bears on both, and on the cluster that trained it."""
    served = " ".join(memory_report(tscale.load("gpt3"), Ask()).notes)
    assert "locally banded sparse attention" in served
    assert "cluster of V100" not in served
    assert "cluster of V100" in run("memory", "gpt3", "--train").out


@pytest.mark.parametrize(("gpu", "chunk"), [("rtx-3090", 2048), ("a100", 2048), ("h100", 8192), ("b200", 8192)])
def test_a_step_is_as_long_as_serve_predicts_it(gpu: str, chunk: int) -> None:
    """vLLM, `get_batch_defaults`: 8,192 tokens where a device has 70 GiB and is no A100, else 2,048."""
    found, served = (
        json.loads(run(command, "llama-3.1-8b", "--gpu", gpu, *asked, "--format", "json").out)
        for command, asked in (("memory", ["--context", "16k"]), ("serve", ["--context", "16383", "--output", "1"]))
    )
    held = found["per_device_bytes"]
    assert found["chunk"] == served["chunk"] == chunk
    assert held["activations"] == (1 + chunk) * (2 * 4096 + 3 * 14_336 + 4096) * 2
    assert held["activations"] + held["logits"] == served["workspace_bytes"]


def test_a_step_of_no_known_device_is_vllms_least() -> None:
    assert json.loads(run("memory", "gpt2", "--format", "json").out)["chunk"] == 2048
