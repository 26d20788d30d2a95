"""What a device has room for: capacities against what devices report, the reserve against what was measured, the verdict."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

from tests.helpers import answer, of_each, run
from tscale.catalogue.hardware import find_hardware, listed_hardware
from tscale.core.device import Device
from tscale.core.parallelism import Parallelism
from tscale.estimates.capacity import Capacity, groups_of, serving_capacity, training_capacity

MIB, GIB = 2**20, 2**30


def memory(args: str) -> Any:
    done = run("memory", *args.split(), "--format", "json")
    assert done.code in (0, 3), done.err
    found = json.loads(done.out)
    assert done.code == (3 if found["verdict"] == "does_not_fit" else 0)
    return found


GPT_OF_VTRAIN = "--set context=2048 --train --attention naive --recompute full --precision fp16 --gpu a100"
MEASURED = [
    ("llama-3.1-8b --gpu rtx-3090 --context 45000", "vllm-project/vllm#10517: 45,000 tokens on one"),
    ("mpt-30b --train --zero 3 --recompute full --gpus 8 --gpu h100 --context 8192",
     "mosaicml/llm-foundry scripts/train/benchmarking/README.md: 1,384 tokens/s a GPU"),
    ("llama-3.1-8b --train --precision pure-bf16 --lora-rank 8 --micro-batch 2 --context 2048 --gpu l40s",
     "pytorch/torchtune README: a peak of 30.3 GiB of 48"),
    ("llama-3.1-8b --train --precision pure-bf16 --lora-rank 8 --micro-batch 2 --context 2048 --recompute full --gpu rtx-4090",
     "pytorch/torchtune README: a peak of 16.2 GiB of 24"),
    ("llama-3.1-70b --train --lora-rank 16 --micro-batch 2 --context 2048 --recompute full --zero 3 --gpus 8 --gpu a100",
     "pytorch/torchtune README: a peak of 27.6 GiB of 80"),
    (f"gpt3 --set layers=30 --set d_model=3072 --set attention.heads=32 --set feed_forward.d_ff=12288 {GPT_OF_VTRAIN} "
     "--micro-batch 8 --data 64", "VIA-Research/vTrain data/ground_truth_multi.csv: 3,566.5 ms a step"),
    (f"gpt3 --set layers=48 --set d_model=8192 --set attention.heads=64 --set feed_forward.d_ff=32768 {GPT_OF_VTRAIN} "
     "--micro-batch 12 --tensor 8 --data 32 --pipeline 2", "VIA-Research/vTrain data/ground_truth_multi.csv"),
    ("llama-3.1-8b --gpu h100 --context 8192", "vllm-project/vllm#10511: with 53.29 GiB for the cache"),
    ("llama-3.1-405b --gpu h100 --gpus 8 --dtype fp8 --context 8192", "vllm-project/vllm#6746: weights of 57.752 GiB a device"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "source"), MEASURED, ids=[source for _, source in MEASURED])
def test_no_run_that_was_measured_is_called_impossible(args: str, source: str) -> None:
    assert memory(args)["verdict"] in ("fits", "may_fit"), source


REPORTED = [  # MiB that nvidia-smi or rocm-smi printed, and by whom it was kept
    ("h100", 81559, 80, "modal-labs/modal-client#2797, vllm-project/vllm#55169"),
    ("a100", 81920, 80, "modal-labs/modal-client#2797"),
    ("a100-40gb", 40960, 40, "modal-labs/modal-client#2797"),
    ("a10", 23028, 24, "modal-labs/modal-client#2797; 24,146,608,128 bytes (mayooot/detect-gpu#3) are 23,028 MiB"),
    ("a10g", 23028, 24, "NVIDIA/DCGM#232"),
    ("l40s", 46068, 48, "modal-labs/modal-client#2797"),
    ("l4", 23034, 24, "modal-labs/modal-client#2797"),
    ("t4", 15360, 16, "modal-labs/modal-client#2797, robbyant-research/MagicQuill#57"),
    ("h100-nvl", 95830, 94, "NVIDIA/gpu-admin-tools#4"),
    ("rtx-3090", 24576, 24, "noonghunna/club-3090#390"),
    ("rtx-4090", 24564, 24, "vllm-project/vllm#7553"),
    ("rtx-5090", 32607, 32, "noonghunna/club-3090#1229"),
    ("rtx-pro-6000-server", 97887, 96, "ai-dynamo/aiconfigurator systems/rtx_pro_6000_server.yaml"),
    ("b200", 183359, 180, "NVIDIA/TensorRT-LLM#10278"),
    ("gb200", 189471, 186, "ai-dynamo/aiconfigurator systems/gb200.yaml"),
    ("b300", 275040, 288, "ai-dynamo/aiconfigurator systems/b300_sxm.yaml"),
    ("gb300", 284208, 288, "ai-dynamo/aiconfigurator systems/gb300.yaml"),
    ("mi300x", 206_141_652_992 // MIB, 192, "ROCm/legacy-rocm-build#4750"),
    ("mi250x", 2 * 67_092_480 // 1024, 128, "ROCm/rocm_smi_lib#160"),
    ("trainium2", 96 * 1024, 96, "AWS Neuron documentation, Trainium2"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "mib", "vendor_gb", "source"), REPORTED)
def test_a_device_has_what_it_reports_and_its_vendor_writes_less(
    name: str, mib: int, vendor_gb: int, source: str
) -> None:
    found = memory(f"gpt2 --gpu {name}")
    assert found["device_bytes"] == mib * MIB, source
    assert found["memory_bytes"] == vendor_gb * 10**9
    assert found["figures"]["device_bytes"]["source"] == find_hardware(name).reported_source


UNREPORTED = (
    "arc-pro-b60", "ascend-910b", "ascend-910c", "cerebras-wse3", "groq-lpu", "jetson-agx-orin-64gb", "jetson-thor", "mi300a", "mi455x",
    "rubin", "tpu-v2",
)  # fmt: skip
"""Of which no report was found: they are taken to have what their vendors write, which is said."""


@of_each(listed_hardware())
def test_what_every_device_reports_has_its_source(hardware: Any) -> None:
    if hardware.name in UNREPORTED:
        assert hardware.reported_mib is hardware.reported_source is None
        return
    assert hardware.reported_mib is not None and hardware.reported_source
    derived = hardware.reported_source.startswith("derived")
    assert derived == (hardware.evidence.reported == "derived")


CUDA = [  # GiB that CUDA has, as PyTorch prints them, of what nvidia-smi reports
    ("h100", 79.10, "pixeli99/SVD_Xtend#39"),
    ("h100", 79.22, "vllm-project/vllm#10511"),
    ("a100", 79.15, "Kunhao-Liu/StyleGaussian#11"),
    ("a100", 79.25, "wbfwonderful/Vad-R1#11"),
    ("a100-40gb", 39.50, "TianheWu/CoSeR#10"),
    ("h200", 139.72, "simplescaling/s1#106, sgl-project/sglang#2895"),
    ("b200", 178.35, "pytorch/ao#4002, unslothai/unsloth#3411"),
    ("rtx-3090", 23.58, "vllm-project/vllm#10517"),
    ("rtx-3090", 23.68, "wutong16/HyperDreamer#11"),
    ("rtx-5090", 31.37, "vllm-project/vllm#14452"),
    ("a10", 22.20, "h2oai/h2ogpt#48"),
    ("v100", 31.74, "liucongg/ChatGLM-Finetuning#73"),
    ("t4", 14.76, "Morizeyao/GPT2-Chinese#215"),
]


@pytest.mark.parametrize(("name", "gib", "source"), CUDA)
def test_what_the_driver_keeps_is_within_its_range(name: str, gib: float, source: str) -> None:
    """Two decimals are printed: within half of the last."""
    capacity = serving_capacity(find_hardware(name).device(), 1)
    driver = next(part for part in capacity.reserve.parts if part.name == "driver")
    kept = capacity.device.device_bytes - gib * GIB
    assert driver.low - 0.005 * GIB <= kept <= driver.high + 0.005 * GIB, source


@pytest.mark.parametrize(
    ("name", "gb", "mib"),
    [  # recommendedMaxWorkingSetSize: llama-cpp-python#687, ollama#434, llama.cpp#1870, llama.cpp#3213
        ("m1", 16 * GIB / 1e9, 10922.67),
        ("m2-max", 32 * GIB / 1e9, 21845.34),
        ("m2-max", 64 * GIB / 1e9, 49152.0),
        ("m2-max", 96 * GIB / 1e9, 73728.0),
    ],
)
def test_a_mac_offers_its_gpu_what_metal_says(name: str, gb: float, mib: float) -> None:
    found = memory(f"gpt2 --gpu {name} --gpu-set memory_gb={gb!r}")
    assert found["usable_bytes"] == pytest.approx(mib * MIB, abs=0.02 * MIB)
    assert found["reserve_bytes"]["low"] == 0


@pytest.mark.parametrize(
    ("name", "gib"),
    [  # what XLA offers a program: EasyDeL#166, kubernetes-engine-samples#1467, vllm#16211; v3 has two cores: LWM#60
        ("tpu-v4", 30.75), ("tpu-v5e", 15.75), ("tpu-v6e", 33_550_237_696 / GIB), ("tpu-v3", 2 * 15.48),
    ],
)  # fmt: skip
def test_a_tpu_offers_what_xla_says(name: str, gib: float) -> None:
    capacity = serving_capacity(find_hardware(name).device(), 1)
    assert capacity.usable <= gib * GIB <= capacity.most


def test_the_reserve_is_the_sum_of_its_lines() -> None:
    """In MiB: a driver of 240 to 880 and a context of 286 to 551; then graphs of 2,464, or fragments of a tenth; buffers."""
    one, two = memory("gpt2 --gpu h100"), memory("gpt2 --gpu h100 --gpus 2")
    assert one["reserve_bytes"] == {"low": (240 + 286) * MIB, "high": (880 + 551 + 2464) * MIB}
    assert two["reserve_bytes"] == {"low": (240 + 286 + 205) * MIB, "high": (880 + 551 + 2464 + 1833) * MIB}
    plan = memory("gpt3 --train --gpu h100 --gpus 64 --tensor 8 --pipeline 4")
    assert plan["reserve_bytes"] == {
        "low": (240 + 286 + 205) * MIB,
        "high": (880 + 551 + 3 * 1833) * MIB + 81559 * MIB // 10,
    }
    for found in (one, two, plan):
        assert sum(line["low"] for line in found["reserve"]) == found["reserve_bytes"]["low"]
        assert sum(line["high"] for line in found["reserve"]) == found["reserve_bytes"]["high"]
        assert found["usable_bytes"] == found["device_bytes"] - found["reserve_bytes"]["high"]
        assert all(how["source"] for path, how in found["figures"].items() if path.startswith("reserve[]"))


@pytest.mark.parametrize(
    ("plan", "groups"),
    [
        (Parallelism(), 0),
        (Parallelism(data=8), 1),
        (Parallelism(tensor=8, data=2), 2),
        (Parallelism(tensor=2, pipeline=2, data=2, context=2, expert=4), 5),
    ],
)
def test_each_way_of_sharing_is_a_group_with_buffers(plan: Parallelism, groups: int) -> None:
    assert groups_of(plan) == groups == training_capacity(find_hardware("h100").device(), plan).groups


CARD = Device("mine", {}, 10 * 10**9, 10**12, None, None)


@pytest.mark.parametrize("capacity", [Capacity(CARD), Capacity(CARD, 2), Capacity(CARD, 3, training=True)])
def test_a_verdict_changes_at_the_ends_of_the_reserve(capacity: Capacity) -> None:
    memory, reserve = 10 * 10**9, capacity.reserve
    assert 0 < reserve.low < reserve.high < memory
    for total, verdict in (
        (memory - reserve.high, "fits"),
        (memory - reserve.high + 1, "may_fit"),
        (memory - reserve.low, "may_fit"),
        (memory - reserve.low + 1, "does_not_fit"),
    ):
        assert capacity.verdict(total) == verdict


def test_a_share_stands_in_the_place_of_the_reserve() -> None:
    """All of a card is 10^10 bytes; 0.9 of it 9 * 10^9: there is no between."""
    for share, most in ((Fraction(1), 10**10), (Fraction(9, 10), 9 * 10**9)):
        capacity = Capacity(CARD, 4, training=True, share=share)
        assert capacity.usable == capacity.most == most
        assert (capacity.verdict(most), capacity.verdict(most + 1)) == ("fits", "does_not_fit")
    found = memory("gpt2 --gpu h100 --memory-share 1")
    assert found["usable_bytes"] == found["device_bytes"] and found["reserve_bytes"] == {"low": 0, "high": 0}
    shown = run("memory", "gpt2", "--gpu", "h100", "--memory-share", "90%").out
    assert "what fits in the share that may be used" in shown and "reserve, at" not in shown


def test_a_reserve_larger_than_a_device_leaves_nothing() -> None:
    found = memory("gpt2 --gpu h100 --gpu-set memory_gb=0.1")
    assert (found["usable_bytes"], found["max_batch"], found["verdict"]) == (0, 0, "does_not_fit")


def test_memory_that_is_set_is_the_memory_that_is_used() -> None:
    """Whoever sets memory_gb means another device than the one whose memory was reported."""
    found = memory("llama-3.1-8b --train --qlora --gpu h100 --gpu-set memory_gb=25.77 --memory-share 1 --context 500")
    assert found["memory_bytes"] == found["device_bytes"] == found["usable_bytes"] == 25_770_000_000
    assert "is assumed to be 25.77 GB" in " ".join(found["notes"])
    both = memory("gpt2 --gpu h100 --gpu-set reported_mib=97887 --gpu-set memory_gb=96")
    assert (both["memory_bytes"], both["device_bytes"]) == (96 * 10**9, 97887 * MIB)


MAY_FIT = [
    "llama-3.1-8b --gpu rtx-3090 --context 45000",
    "qwen2.5-14b --gpu a100-40gb --gpus 2 --context 8k --batch 30",
    "phi-4 --train --gpu h100 --gpus 3 --zero 3 --recompute full --context 512",
]


@pytest.mark.slow
@pytest.mark.parametrize("case", MAY_FIT)
def test_what_may_fit_is_neither_yes_nor_no_and_each_change_makes_it_fit(case: str) -> None:
    found = memory(case)
    assert (found["verdict"], found["fits"]) == ("may_fit", None)
    total, reserve = found["per_device_bytes"]["total"], found["reserve_bytes"]
    assert found["device_bytes"] - reserve["high"] < total <= found["device_bytes"] - reserve["low"]
    assert found["missing_bytes"] == total - found["usable_bytes"] > 0
    assert found["changes"]
    for change in found["changes"]:
        again = memory(f"{case} {change['option']}")
        assert (again["verdict"], again["fits"]) == ("fits", True), change
        assert again["per_device_bytes"]["total"] == change["per_device_bytes"]


def test_where_no_single_change_on_the_same_devices_is_enough_two_together_are_named() -> None:
    """Adapters of 70B on 4 GPUs of 80 GB: a quarter of the 141 GB of weights on each, and layers computed again."""
    case = "llama-3.1-70b --train --lora-rank 16 --gpu h100 --gpus 4"
    first = memory(case)["changes"][0]
    assert first["option"] == "--recompute full --zero 3"
    for alone in ("--recompute full", "--zero 3"):
        assert memory(f"{case} {alone}")["verdict"] == "does_not_fit"
    both = memory(f"{case} {first['option']}")
    assert (both["verdict"], both["per_device_bytes"]["total"]) == ("fits", first["per_device_bytes"])


def test_where_not_even_two_changes_are_enough_it_says_so() -> None:
    case = "llama-3.1-70b --train --gpu h100 --gpus 8 --micro-batch 4"
    assert "No single change that is known here, nor two together, makes it fit." in run("memory", *case.split()).out


@pytest.mark.parametrize(
    ("case", "title", "why"),
    [
        ("gpt2 --gpu h100", "fits", "It fits: "),
        (
            "llama-3.1-8b --gpu rtx-3090 --context 45000",
            "may fit, depending on the reserve",
            "It may fit: 22.19 GB and the least reserve, 0.5516 GB, are within 25.77 GB; with the largest, 4.084 GB, they are not.",
        ),
        (
            "llama-3.1-70b --gpu h100 --context 1k",
            "does not fit",
            "It does not fit: 141.7 GB and the least reserve, 0.5516 GB, are more than 85.52 GB.",
        ),
        (
            "llama-3.1-70b --gpu h100 --context 1k --memory-share 0.9",
            "does not fit",
            "It does not fit: 141.7 GB are more than the 76.97 GB that may be used.",
        ),
    ],
)
def test_the_verdict_is_said_with_why(case: str, title: str, why: str) -> None:
    done = run("memory", *case.split())
    assert done.out.splitlines()[0].endswith(f": {title}")
    assert why in done.out


@pytest.mark.parametrize(
    "case",
    [
        "llama-3.1-8b --gpu rtx-3090 --context 45000",
        "mpt-30b --train --zero 3 --recompute full --gpus 8 --gpu h100 --context 8192",
    ],
)
def test_what_may_fit_is_not_denied_below_the_title(case: str) -> None:
    """Neither said to be missing for certain, nor that not even one sequence fits."""
    done = run("memory", *case.split())
    out = " ".join(done.out.split())
    assert done.code == 0
    assert "may fit" in done.out.splitlines()[0]
    assert (
        "missing, at most" in out and "none for certain; one may fit" in out and "one of these fits for certain" in out
    )
    assert "not even one" not in out


def test_what_does_not_fit_is_denied_in_every_table() -> None:
    out = " ".join(run("memory", "llama-3.1-70b", "--gpu", "h100", "--context", "1k").out.split())
    assert "none: not even one sequence fits" in out and "none: not even one token fits" in out
    assert "missing, at most" not in out and "for certain" not in out


LEFT_OUT = [
    ("gpt2", "what software takes (driver, context, kernels, captured graphs, communication buffers), fragmentation, and what sampling"),
    ("gpt2 --gpu h100 --memory-share 0.9", "what software takes (driver, context, kernels, captured graphs, communication buffers), fragmentation, and what sampling"),
    ("gpt2 --gpu h100", "fragmentation and what sampling"),
    ("gpt2 --gpu tpu-v5e", "fragmentation and what sampling"),
    ("gpt2 --gpu m1", "what software takes, fragmentation and what sampling"),
    ("gpt2 --train", "what software takes (driver, context, kernels, captured graphs, communication buffers), fragmentation, and what an optimizer"),
    ("gpt2 --train --gpu h100", "what an optimizer that is not fused"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "left_out"), LEFT_OUT, ids=[case for case, _ in LEFT_OUT])
def test_what_the_reserve_counts_is_not_said_to_be_left_out(case: str, left_out: str) -> None:
    note = memory(case)["notes"][-1]
    reserved = memory(case)["reserve"] is not None and "--memory-share" not in case
    assert note.startswith(f"Not counted{', in the total or the reserve' if reserved else ''}: {left_out}")


def test_nothing_is_said_without_a_device() -> None:
    for args in ("gpt2", "gpt2 --train"):
        found = memory(args)
        keys = ("memory_bytes", "device_bytes", "reserve_bytes", "reserve", "usable_bytes", "verdict", "fits")
        assert [found[key] for key in keys] == [None] * len(keys)


def test_serve_has_the_same_verdict() -> None:
    for context, verdict, fits, code in ((1000, "fits", True, 0), (44744, "may_fit", None, 0), (10**6, "does_not_fit", False, 3)):  # fmt: skip
        done = run("serve", "llama-3.1-8b", "--gpu", "rtx-3090", "--context", str(context), "--format", "json")
        found = json.loads(done.out)
        assert (found["verdict"], found["fits"], done.code) == (verdict, fits, code)
        assert found["device_bytes"] == 24576 * MIB
        assert found["reserve_bytes"] == {"low": 526 * MIB, "high": 3895 * MIB}


def test_what_is_reported_is_listed() -> None:
    listed = {one["name"]: one["device_bytes"] for one in answer("list", "hardware")["hardware"]}
    assert listed["h100-sxm"] == 81559 * MIB
