"""`train` against what others measured and published, and what it refuses."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from math import ceil
from shlex import split
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tscale
from tests.helpers import answer, run
from tscale.answers.train.answer import train_report
from tscale.catalogue.hardware import find_hardware
from tscale.catalogue.measured import training_runs
from tscale.catalogue.models import built_in
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.step_time import Batch
from tscale.core.costs.wall_time import MILLION, gpus_to_train, mfu_of, seconds_to_train
from tscale.core.parallelism import Parallelism
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError
from tscale.estimates.train import memory
from tscale.estimates.train.ask import Ask
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

KEYS = {
    "model", "tokens", "gpu", "gpus", "mfu", "hfu", "seconds", "days", "gpu_hours", "cost_usd", "energy_kwh", "co2e_kg",
}  # fmt: skip


def trained(*args: str) -> Any:
    """The JSON of `train`, of a plan that does not fit too, whose exit code is 3."""
    done = run("train", *args, "--format", "json")
    found = json.loads(done.out)
    plan = found.get("plan") or found
    assert done.code == (3 if plan["memory"] is not None and plan["memory"]["verdict"] == "does_not_fit" else 0)
    return found


# ---- published measurements ----


@pytest.mark.parametrize(
    ("args", "mfu", "hfu"),
    [
        # Korthikanti 2022, Tables 3 and 5: 64 sequences of 2,048 in 13.75 s on 64 A100, scores recomputed; 280 in 37.83
        (["gpt3", "--set", "vocabulary=51200", "--gpus", "64", "--tokens-per-second", f"{64 * 2048 / 13.75:.3f}",
          "--gpu", "a100", "--recompute", "selective"], 0.514, 0.528),
        (["gpt3", "--set", "vocabulary=51200", "--set", "layers=105", "--set", "d_model=20480", "--set", "heads=128",
          "--set", "d_ff=81920", "--gpus", "280", "--tokens-per-second", f"{280 * 2048 / 37.83:.3f}", "--gpu", "a100",
          "--recompute", "selective", "--tokens", "300e9"], 0.56, 0.57),
        # Chowdhery 2022, Appendix B: 238,300 tokens a second on 6,144 TPU v4
        (["palm-540b", "--gpu", "tpu-v4", "--gpus", "6144", "--tokens-per-second", "238300"], 0.462, 0.462),
    ],
    ids=["korthikanti-175b", "korthikanti-530b", "palm-540b"],
)  # fmt: skip
def test_a_measured_speed_is_the_utilisation_that_was_published(args: list[str], mfu: float, hfu: float) -> None:
    """To the 0.2 points within which the printed figures can be calculated again from the printed times.

    Equation 8 of Korthikanti 2022 charges the scores that are made again three times, forward and backward, where they
    are made once: its HFU is higher by two thirds of the difference to MFU.
    """
    found = trained(*args)
    assert found["mfu"] == pytest.approx(mfu, abs=0.003)
    assert found["mfu"] + 3 * (found["hfu"] - found["mfu"]) == pytest.approx(hfu, abs=0.003)


@pytest.mark.parametrize(
    ("changes", "gpus", "tflops", "tokens", "days"),
    [
        ([], 1024, 140, "300e9", 34),
        (["layers=128", "d_model=25600", "heads=160", "d_ff=102400"], 3072, 163, "450e9", 84),
    ],
    ids=["175b", "1t"],
)
def test_megatron_s_34_and_84_days(changes: list[str], gpus: int, tflops: int, tokens: str, days: int) -> None:
    """Narayanan 2021, section 5.1, by its equation 4, which is 2 to 3% low against its own equation 3: every layer twice.

    What a GPU does is given with the recomputation in it, so the model's part is 3/4 of it but for the head.
    """
    sets = [arg for change in ["vocabulary=51200", *changes] for arg in ("--set", change)]
    args = ["gpt3", *sets, "--gpu", "a100", "--gpus", str(gpus), "--tokens", tokens, "--recompute", "full"]
    ratio = Fraction(str(trained(*args, "--mfu", "0.3")["hfu"])) / Fraction(3, 10)
    mfu = float(Fraction(tflops, 312) / ratio)
    assert days <= trained(*args, "--mfu", f"{mfu:.6f}")["days"] <= 1.035 * days


# ---- price and grid ----


def test_deepseek_v3_cost_what_its_makers_reckoned() -> None:
    """DeepSeek-AI 2024c, Table 1: 2.664 million H800 hours of pre-training at 2 USD are 5.328 million."""
    days = 2_664_000 / 2048 / 24
    found = trained("deepseek-v3", "--context", "4096", "--gpu", "h800", "--gpus", "2048", "--days", f"{days:.6f}")
    assert found["cost_usd"] == pytest.approx(5.328e6, rel=1e-6)
    said = run("train", "deepseek-v3", "--gpu", "h800", "--gpus", "2048", "--mfu", "0.3").out
    assert "Price assumed: 2 USD per GPU-hour (one source, DeepSeek, estimate, 2024-12)." in said.splitlines()


def test_a_country_is_its_grid() -> None:
    """Touvron 2023a, Table 15: LLaMA-7B took 82,432 A100 hours at 400 W and a PUE of 1.1: 36 MWh, 14 t at 0.385 kg a kWh."""
    args = ["llama-7b", "--gpu", "a100", "--gpus", "2048", "--days", f"{82_432 / 2048 / 24:.6f}", "--pue", "1.1"]
    found = trained(*args, "--grid", "385")
    assert found["energy_kwh"] == pytest.approx(36_000, rel=0.01)
    assert found["co2e_kg"] == pytest.approx(14_000, rel=0.01)
    in_france = trained(*args, "--grid", "France")
    assert in_france["co2e_kg"] == pytest.approx(found["co2e_kg"] * 67.39 / 385)
    refused = run("train", *args, "--grid", "frence")
    assert (refused.code, "did you mean france?" in refused.err) == (2, True)


# ---- parallel plans ----

NARAYANAN = [  # Narayanan 2021, Table 1: heads, d_model, layers, tensor, pipeline, GPUs, batch, share of the peak
    (24, 2304, 24, 1, 1, 32, 512, 0.44),
    (32, 3072, 30, 2, 1, 64, 512, 0.44),
    (32, 4096, 36, 4, 1, 128, 512, 0.46),
    (48, 6144, 40, 8, 1, 256, 1024, 0.43),
    (64, 8192, 48, 8, 2, 512, 1536, 0.44),
    (80, 10240, 60, 8, 4, 1024, 1792, 0.45),
    (96, 12288, 80, 8, 8, 1536, 2304, 0.47),
    (128, 16384, 96, 8, 16, 1920, 2160, 0.50),
    (128, 20480, 105, 8, 35, 2520, 2520, 0.52),
    (160, 25600, 128, 8, 64, 3072, 3072, 0.52),
]


@pytest.mark.parametrize(("heads", "width", "layers", "tensor", "pipeline", "gpus", "batch", "measured"), NARAYANAN)
def test_no_measured_plan_beats_its_bound(
    heads: int, width: int, layers: int, tensor: int, pipeline: int, gpus: int, batch: int, measured: float
) -> None:
    """And what is sent is what section 3 says: 8·b·s·h·(t-1)/t numbers for a layer and a micro-batch, b·s·h each way."""
    changes = [f"heads={heads}", f"d_model={width}", f"d_ff={4 * width}", f"layers={layers}", "vocabulary=51200"]
    sets = [arg for change in changes for arg in ("--set", change)]
    found = trained(
        "gpt3", *sets, "--gpu", "a100", "--gpus", str(gpus), "--tokens", "1e9", "--recompute", "full", "--mfu", "0.3",
        "--batch", str(batch), "--tensor", str(tensor), "--pipeline", str(pipeline),
    )  # fmt: skip
    plan = found["plan"]
    assert plan["mfu_in_turn"] <= plan["mfu_at_most"]
    assert measured < plan["mfu_at_most"] * found["hfu"] / found["mfu"]
    many = batch * tensor * pipeline // gpus
    sent = {part["part"]: part["bytes"] for part in plan["parts"]}
    seconds = {part["part"]: part["seconds"] for part in plan["parts"]}
    assert plan["micro_batches"] == many
    if tensor > 1:  # two sums of four are of a forward pass; full recomputation needs the first of these two once more
        numbers = 8 * 2048 * width * (tensor - 1) // tensor * layers // pipeline * many
        assert sent["tensor-parallel all-reduces"] == numbers * 2 * 5 // 4
    if pipeline > 1:
        # of two stages each only hands on, or only hands back; each of the tensor-parallel devices a part (section 4.1)
        ways = 1 if pipeline == 2 else 2
        assert sent["pipeline send/receive"] == ways * 2048 * width * 2 * many // tensor
        # (p - 1)/m of what a stage without the head computes; of a layer, 24·s·h² + 2·s·(s + 1)·h forward, causal, four times,
        # but for the fourth of the last product, 8·s·h²
        layer = (4 * (24 * 2048 * width**2 + 2 * 2048 * 2049 * width) - 8 * 2048 * width**2) * layers // pipeline
        head = 3 * 2 * 2048 * width * 51200
        assert seconds["pipeline bubble"] / seconds["computing"] == pytest.approx(
            (pipeline - 1) / many * layer / (layer + head)
        )


def test_gradients_are_summed_once_a_step_and_weights_gathered_in_zero_3() -> None:
    """Rajbhandari 2019, section 7: 2 numbers a parameter, 3 with stage 3; (n-1)/n of it, which the paper rounds up.

    Of those 3, tables, final norm and the last layer need 2: they stay whole from the forward pass to the backward pass.
    """
    args = ["gpt3", "--gpu", "a100", "--gpus", "64", "--batch", "64", "--mfu", "0.4"]
    for zero, numbers, whole in (("0", 2, 0), ("1", 2, 0), ("2", 2, 0), ("3", 3, 1)):
        parts = {part["part"]: part for part in trained(*args, "--zero", zero)["plan"]["parts"]}
        sent = 2 * (numbers * 174_604_259_328 - whole * _WHOLE_OF_GPT_3) * 63 / 64
        assert parts["gradients"]["bytes"] == pytest.approx(sent, rel=1e-6)


_WHOLE_OF_GPT_3 = (50_257 + 2048) * 12_288 + 2 * 12_288 + 12 * 12_288**2 + 13 * 12_288
"""Parameters of its tables, its final norm and one layer."""


def test_what_zero_does_not_keep_whole_is_sent_for_each_micro_batch() -> None:
    """Eight of them: stage 2 scatters gradients 8 times and gathers weights once, stage 3 gathers them 16 times, some 8 times."""
    args = ["gpt3", "--gpu", "a100", "--gpus", "64", "--batch", "512", "--mfu", "0.1"]
    for zero, numbers, whole in (("0", 2, 0), ("1", 2, 0), ("2", 8 + 1, 0), ("3", 8 + 16, 8)):
        parts = {part["part"]: part for part in trained(*args, "--zero", zero)["plan"]["parts"]}
        sent = 2 * (numbers * 174_604_259_328 - whole * _WHOLE_OF_GPT_3) * 63 / 64
        assert parts["gradients"]["bytes"] == pytest.approx(sent, rel=1e-6)
    says = "ZeRO's stage 3 keeps no whole weights and gradients: each of 8 micro-batches sends its own."
    assert says in trained(*args, "--zero", "3")["notes"]


@pytest.mark.parametrize(
    ("gpus", "batch", "micro", "layers", "width", "heads", "tflops"),
    [  # Narayanan 2021, Table 2: ZeRO-3 on A100 without model parallelism, one micro-batch a device
        (384, 1536, 4, 96, 12288, 96, 144),
        (768, 1536, 2, 96, 12288, 96, 88),
        (1536, 1536, 1, 96, 12288, 96, 44),
        (640, 2560, 4, 105, 20480, 128, 138),
        (1120, 2240, 2, 105, 20480, 128, 98),
        (2240, 2240, 1, 105, 20480, 128, 48),
    ],
)
def test_zero_3_as_measured_is_below_its_bound(
    gpus: int, batch: int, micro: int, layers: int, width: int, heads: int, tflops: int
) -> None:
    """And what is sent is right: the trainer of then took as long as one NIC of 25 GB/s for all that a device sends.

    Within a quarter, one after the other. The bound has the devices of a node share their eight NICs.
    """
    changes = [f"heads={heads}", f"d_model={width}", f"d_ff={4 * width}", f"layers={layers}", "vocabulary=51200"]
    sets = [arg for change in changes for arg in ("--set", change)]
    found = trained(
        "gpt3", *sets, "--gpu", "a100", "--gpus", str(gpus), "--tokens", "1e9", "--recompute", "full", "--mfu", "0.1",
        "--batch", str(batch), "--micro-batch", str(micro), "--zero", "3",
    )  # fmt: skip
    plan = found["plan"]
    of_hardware = found["hfu"] / found["mfu"]
    assert tflops / 312 < plan["mfu_at_most"] * of_hardware
    computing, gradients = plan["parts"]
    in_turn = computing["seconds"] + gradients["bytes"] / 25e9
    mfu = plan["mfu_at_most"] * plan["step_seconds_at_least"] / in_turn
    assert tflops / 312 == pytest.approx(mfu * of_hardware, rel=0.25)


def test_two_stacks_are_summed_over_their_own_tokens() -> None:
    """T5 11B: 2 sums in each of 24 encoder layers over the source, 3 in each of 24 decoder layers over the target."""
    found = trained(
        "t5-11b", "--tokens", "1e12", "--gpu", "a100", "--gpus", "8", "--tensor", "8", "--batch", "4", "--mfu", "0.4"
    )
    sent = {part["part"]: part["bytes"] for part in found["plan"]["parts"]}
    forward = (2 * 24 * 512 + 3 * 24 * 512) * 1024 * 2
    assert sent["tensor-parallel all-reduces"] == 2 * 4 * forward * 2 * 7 // 8


def test_what_is_computed_again_is_summed_again_but_for_a_layers_last_product() -> None:
    """T5 11B: 1 sum more in each layer of the encoder, and 2 in each of the decoder."""
    found = trained(
        "t5-11b", "--tokens", "1e12", "--gpu", "a100", "--gpus", "8", "--tensor", "8", "--batch", "4", "--mfu", "0.4", "--recompute",
        "full",
    )  # fmt: skip
    sent = {part["part"]: part["bytes"] for part in found["plan"]["parts"]}
    forward, again = ((in_encoder + in_decoder) * 24 * 512 * 1024 * 2 for in_encoder, in_decoder in ((2, 3), (1, 2)))
    assert sent["tensor-parallel all-reduces"] == 4 * (2 * forward + again) * 2 * 7 // 8


def test_sub_layers_side_by_side_are_summed_at_once() -> None:
    """Pope 2022, section 3.4: one sum for each of 118 layers forward, and one backward."""
    found = trained(
        "palm-540b", "--tokens", "1e12", "--gpu", "h100", "--gpus", "8", "--tensor", "8", "--batch", "3", "--mfu", "0.4",
    )  # fmt: skip
    sent = {part["part"]: part["bytes"] for part in found["plan"]["parts"]}
    assert sent["tensor-parallel all-reduces"] == 3 * 2 * (118 * 2048 * 18432 * 2) * 2 * 7 // 8


@pytest.mark.parametrize(("pipeline", "interleave"), [(2, 1), (3, 1), (4, 1), (2, 3), (3, 2), (4, 3)])
def test_a_stage_hands_on_as_often_as_it_has_a_neighbour(pipeline: int, interleave: int) -> None:
    """Counted piece by piece: forward from all but the last, backward from all but the first."""
    pieces = range(pipeline * interleave)
    times = [
        sum((piece != pieces[-1]) + (piece != 0) for piece in pieces if piece % pipeline == stage)
        for stage in range(pipeline)
    ]
    found = trained(
        "gpt3", "--set", "layers=72", "--gpu", "a100", "--gpus", str(pipeline), "--pipeline", str(pipeline),
        "--interleave", str(interleave), "--batch", "5", "--mfu", "0.1",
    )  # fmt: skip
    sent = {part["part"]: part["bytes"] for part in found["plan"]["parts"]}
    assert sent["pipeline send/receive"] == max(times) * 5 * 2048 * 12288 * 2


def test_a_plan_that_the_network_bounds_says_so() -> None:
    """Of 350 GB of gradients 2·7/8 through eight NICs of 5 GB/s: 15.3 s, where computing takes 7.0."""
    args = [
        "gpt3",
        "--gpu",
        "a100",
        "--gpus",
        "64",
        "--batch",
        "64",
        "--mfu",
        "0.47",
        "--gpu-set",
        "network_gb_per_s=5",
    ]
    plan = trained(*args)["plan"]
    assert (
        plan["step_seconds_at_least"]
        == plan["network_seconds"]
        == pytest.approx(2 * 174.6e9 * 2 * 7 / 8 / 40e9, rel=1e-3)
    )
    assert plan["bound_by"] == "network"
    said = " ".join(run("train", *args).out.split())
    assert "The plan is bound by the network between nodes (gradients)." in said
    assert "The MFU above, 47.0%, is more than the plan allows: 46.2%." in said
    assert "more than the plan allows" not in run("train", *args[:-2]).out


def test_the_highest_mfu_of_a_plan_is_in_the_count_of_the_mfu_above() -> None:
    """Full attention: a plan that computes half of it, for causal, may pass 100%, and no MFU is held against less."""
    args = ["llama-3.1-8b", "--context", "128k", "--gpu", "h100", "--gpus", "8", "--batch", "8", "--mfu", "0.95"]
    found = trained(*args, "--tokens", "1e9")
    full, causal = (trained_flops(found["model"], sight) for sight in ("full", "causal"))
    assert found["plan"]["mfu_at_most"] == pytest.approx(full / causal)
    said = " ".join(run("train", *args, "--tokens", "1e9").out.split())
    assert f"no run has a higher MFU than {full / causal:.1%} (past 100%, for it counts full attention)." in said


@pytest.mark.parametrize(
    ("gpu", "plan"),
    [
        ("a100", Parallelism(16, pipeline=4, data=2)),
        ("h100", Parallelism(8, pipeline=2, data=8, zero=2)),
        ("a100", Parallelism(2, pipeline=4, data=2, interleave=2)),
        ("gb200", Parallelism(4, data=32, zero=3)),
    ],
    ids=str,
)
def test_the_least_time_of_each_part_is_derived(gpu: str, plan: Parallelism) -> None:
    """By numbers, which evaluate to it, and by names; of what is sent, and of nothing that takes no time."""
    ask = Ask(tokens=10**9, gpus=plan.devices, mfu=Fraction(1, 10), plan=plan, batch=Batch(64, 1))
    report = train_report(tscale.load("gpt3"), find_hardware(gpu), ask)
    assert isinstance(report.data, dict)
    planned = report.data["plan"]
    assert isinstance(planned, dict)
    derived = {step.name.removesuffix(", time"): step for step in report.steps if step.name.endswith(", time")}
    parts = {part["part"]: part["seconds"].value for part in planned["parts"] if part["bytes"] is not None}
    assert derived.keys() == parts.keys()
    for name, step in derived.items():
        assert step.figure.value == parts[name]
        made = eval(step.numbers.replace("·", "*"))  # noqa: S307 (our own text)
        assert made == pytest.approx(float(step.figure.value), rel=1e-9)


def test_a_measured_speed_in_long_sequences_is_not_refused_for_passing_100_percent() -> None:
    """At 1,048,576 tokens nearly all is attention, of which half is computed: an MFU of 1.2 is 62% of the peak."""
    args = ["llama-3.1-8b", "--context", "1M", "--gpu", "h100", "--gpus", "8", "--tokens", "1e9"]
    spec = tscale.load("llama-3.1-8b")
    full = tscale.training_flops(tscale.lower(spec), tscale.SequenceLengths(2**20), 1)
    at = {mfu: f"{mfu * 8 * 989.4e12 / full:.6f}" for mfu in (1.2, 2.1)}
    assert trained(*args, "--tokens-per-second", at[1.2])["mfu"] == pytest.approx(1.2, rel=1e-4)
    assert "the run needs 2.1 times the devices' peak" in run("train", *args, "--tokens-per-second", at[2.1]).err


def trained_flops(name: str, sight: Any) -> int:
    return tscale.training_flops(tscale.lower(tscale.load(name)), tscale.SequenceLengths(128 * 1024), 128 * 1024, sight)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--gpus", "64", "--tensor", "8"], "--tensor is of a parallel plan, which needs --batch"),
        (["--days", "30", "--tensor", "8", "--batch", "64"], "a parallel plan needs --gpus"),
        (["--gpus", "60", "--tensor", "8", "--batch", "64"], "60 GPUs are not a multiple of the 8"),
        (["--gpus", "64", "--tensor", "8", "--batch", "60"], "make it a multiple of 8"),
        (["--gpus", "70", "--tensor", "5", "--pipeline", "2", "--batch", "7"], "5 devices cannot share attention.q"),
        (
            ["--gpus", "100", "--pipeline", "100", "--batch", "10"],
            "96 layers are fewer than 100 stages: use at most 96 stages",
        ),
        (["--gpus", "64", "--interleave", "2", "--batch", "64"], "needs pipeline stages"),
        (["--gpus", "64", "--zero", "4", "--batch", "64"], "--zero is a stage of ZeRO, 0, 1, 2 or 3"),
        (["--gpus", "64", "--tensor", "0", "--batch", "64"], "--tensor must be a whole number above 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(args: list[str], says: str) -> None:
    done = run("train", "gpt3", "--gpu", "a100", "--mfu", "0.4", *args)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1


def test_a_link_that_nobody_stated_is_asked_for() -> None:
    args = ["train", "gpt2", "--tokens", "1e9", "--gpu", "rtx-4090", "--gpus", "4", "--batch", "4", "--mfu", "0.4"]
    assert "--gpu-set network_gb_per_s=N gives it" in run(*args).err
    assert run(*args, "--gpu-set", "network_gb_per_s=12.5").code == 0


def test_deepseek_v3_is_below_its_peak() -> None:
    """2.664 million H800 hours for 14.8T tokens on 2,048 (DeepSeek-AI 2024c, Table 1): in fp8, so of either peak."""
    days = 2_664_000 / 2048 / 24
    args = ["deepseek-v3", "--context", "4096", "--gpu", "h800", "--gpus", "2048", "--days", f"{days:.6f}"]
    of_bf16, of_fp8 = trained(*args), trained(*args, "--dtype", "fp8")
    assert of_bf16["gpu_hours"] == pytest.approx(2_664_000, rel=1e-6)
    assert 0.1 < of_fp8["mfu"] < of_bf16["mfu"] < 1
    assert of_bf16["mfu"] / of_fp8["mfu"] == pytest.approx(1978.9 / 989.4)


# ---- what has no room ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plan", "held"),
    [
        (("--gpus", "8", "--tensor", "8"), ("--gpus", "8", "--tensor", "8")),
        (
            ("--gpus", "16", "--zero", "3", "--recompute", "full"),
            ("--gpus", "16", "--zero", "3", "--recompute", "full"),
        ),
        (("--gpus", "16", "--pipeline", "2", "--context", "2k", "--micro-batch", "2"),) * 2,
    ],
    ids=["tensor", "zero-3", "pipeline"],
)
@pytest.mark.parametrize("model", ["llama-3.1-405b", "llama-3.2-1b"])
def test_a_plan_is_held_to_what_memory_train_says_of_it(
    model: str, plan: tuple[str, ...], held: tuple[str, ...]
) -> None:
    found = trained(model, "--gpu", "h100", "--batch", "64", *plan)["plan"]["memory"]
    alone = json.loads(run("memory", model, "--train", "--gpu", "h100", *held, "--format", "json").out)
    for key in MEMORY:
        assert found[key] == alone[key]


MEMORY = ("per_device_bytes", "device_bytes", "reserve_bytes", "fits", "verdict", "precision", "optimizer")


def test_a_plan_that_does_not_fit_says_so_first_with_the_command_that_shows_it() -> None:
    args = ("train", "llama-3.1-405b", "--gpu", "h100", "--gpus", "8", "--batch", "8", "--tensor", "8")
    done = run(*args)
    title, first = done.out.splitlines()[:2]
    assert (done.code, title.endswith(": the plan does not fit")) == (3, True)
    assert first == (
        "The plan does not fit: a device needs 998.7 GB and has 85.52 GB (bf16, adamw); see `tscale memory llama-3.1-405b "
        "--gpu h100 --train --gpus 8 --tensor 8 --batch 8`."
    )
    fits = run("train", "llama-3.2-1b", "--gpu", "h100", "--gpus", "8", "--batch", "8")
    assert "does not fit" not in fits.out and "The plan fits: a device needs " in fits.out
    assert fits.code == 0


@pytest.mark.parametrize("dtype", ["fp8", "fp16", "fp32", "bf16"])
@pytest.mark.parametrize(
    "args",
    [
        ("llama-3.1-405b", "--gpu", "h100", "--gpus", "16", "--batch", "8", "--tensor", "8", "--pipeline", "2"),
        ("gpt3", "--set", "layers=8", "--gpu", "h100", "--gpu-set", "memory_gb=40", "--gpus", "8", "--batch", "16",
         "--zero", "1", "--micro-batch", "2", "--context", "1k", "--recompute", "full"),
    ],
    ids=["tensor", "options"],
)  # fmt: skip
def test_the_command_of_a_plan_comes_to_the_same_figure(args: tuple[str, ...], dtype: str) -> None:
    """Whatever else `train` is asked: the format of products is the precision of the memory."""
    found = trained(*args, "--dtype", dtype, "--mfu", "0.2", "--price", "2")["plan"]["memory"]
    program, *words = split(found["command"])
    assert program == "tscale"
    alone = json.loads(run(*words, "--format", "json").out)
    assert {key: found[key] for key in MEMORY} == {key: alone[key] for key in MEMORY}
    assert found["precision"] == dtype


def test_a_plan_that_may_fit_says_so_in_its_title() -> None:
    args = ("llama-2-7b", "--gpu", "h100", "--gpus", "2", "--batch", "2", "--tensor", "2", "--mfu", "0.4")
    needed = trained(*args)["plan"]["memory"]["per_device_bytes"]["total"]
    memory = needed + 2 * 10**9
    device = ("--gpu-set", f"memory_gb={memory // 10**9}", "--gpu-set", f"reported_mib={memory // 2**20}")
    done = run("train", *args, *device)
    assert done.code == 0
    assert done.out.splitlines()[0].endswith(": the plan may fit")


def test_devices_that_hold_not_even_the_states_are_too_few_whatever_the_plan() -> None:
    """405.9e9 parameters at 16 bytes: 2 for the weight, 2 for its gradient, 4 for a copy and 8 for Adam's moments."""
    args = ("llama-3.1-405b", "--gpu", "h100", "--gpus")
    few, many = trained(*args, "8")["memory"], trained(*args, "512")["memory"]
    assert few["training_state_bytes"] == many["training_state_bytes"] == pytest.approx(16 * 405.9e9, rel=0.001)
    assert (few["verdict"], many["verdict"]) == ("does_not_fit", "may_fit")
    title, first = run("train", *args, "8").out.splitlines()[:2]
    assert title.endswith(": does not fit") and first.startswith("It does not fit: 8 devices have a total of ")
    assert "does not fit" not in run("train", *args, "512").out


def test_a_plan_whose_memory_is_not_known_is_timed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RequestError("no kernel of it is known")

    monkeypatch.setattr(memory, "weighed", refused)
    found = trained("gpt3", "--gpu", "h100", "--gpus", "64", "--batch", "64", "--mfu", "0.4")
    assert found["plan"]["memory"] == {"verdict": None, "why": "no kernel of it is known"} and found["days"] > 0
    assert found["notes"][0] == "What a device of the plan holds is not known here: no kernel of it is known."


# ---- the three of them ----


@pytest.mark.slow
@given(
    flops=st.integers(10**15, 10**27),
    gpus=st.integers(1, 10**5),
    peak=st.integers(10**12, 10**16),
    mfu=st.integers(1, MILLION),
)
def test_any_two_give_the_third(flops: int, gpus: int, peak: int, mfu: int) -> None:
    seconds = seconds_to_train(flops, gpus, peak, mfu)
    assert (seconds - 1) * gpus * peak * mfu < flops * MILLION <= seconds * gpus * peak * mfu
    assert gpus_to_train(flops, seconds, peak, mfu) <= gpus
    assert mfu_of(flops, gpus, peak, Fraction(seconds)) <= Fraction(mfu, MILLION)


def test_how_many_gpus_finish_in_thirty_days() -> None:
    found = trained("gpt3", "--gpu", "h100", "--days", "30", "--mfu", "40%")
    needed = 322912029081600000000000 / (30 * 86400 * 989.4e12 * 0.4)
    assert found["gpus"] - 1 < needed <= found["gpus"]
    assert found["days"] <= 30


def test_what_is_assumed_comes_as_a_range_with_its_runs() -> None:
    """Of experts and whole runs where there are any on such devices; the range is of all, and its own steps are not the run."""
    args = ("qwen3-30b-a3b", "--gpu", "h100", "--gpus", "16", "--tokens", "1e12", "--context", "4096")
    found = trained(*args)
    low, middle, high = (case["tokens_per_second"] / 16 for case in found["range"])
    assert low < middle < high
    assert (found["assumed"], found["tokens_per_second"] / 16) == (True, middle)
    assert {"Qwen3-30B-A3B", "JetMoE 8B"} <= {one["model"] for one in found["utilisation_runs"]}
    first = run("train", *args).out.splitlines()[1]
    assert first.startswith("MFU assumed: ") and first.endswith(
        f": {len(training_runs())} published runs, with restarts)."
    )
    assert sum(one["weight"] for one in found["utilisation_runs"]) < 1
    assert found["goodput"] is None and found["elapsed_days"] is None


@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
def test_a_run_in_the_table_is_the_answer_for_that_run(dtype: str) -> None:
    """DeepSeek-AI 2024c, Table 1: 2,664,000 H800 hours of pre-training and 119,000 of two extensions."""
    found = trained("deepseek-v3", "--gpu", "h800", "--gpus", "2048", "--dtype", dtype)
    assert found["gpu_hours"] == pytest.approx(2_783_000, rel=0.01)
    assert found["mfu"] == pytest.approx(0.439 if dtype == "bf16" else 0.219, abs=0.001)


@pytest.mark.parametrize(
    "args",
    [
        ("train", "llama-3.1-405b", "--gpu", "h100", "--gpus", "8", "--batch", "8", "--tensor", "8", "--dtype", "fp8"),
        ("train", "deepseek-v3", "--gpu", "h800", "--gpus", "2048"),
        ("train", "llama-3-8b", "--gpu", "a100", "--days", "30"),
        ("serve", "llama-3.1-405b", "--gpu", "h100"),
        ("serve", "qwen3-30b-a3b", "--gpu", "h100", "--batch", "8"),
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_the_first_table_is_on_the_first_screen(args: tuple[str, ...]) -> None:
    """At 80 columns: the last row is on line 24 at the latest; the utilisation, its error and the price take a line each."""
    lines = run(*args, columns=80).out.splitlines()
    assert lines.index("", lines.index("") + 1) <= 24
    assert lines[lines.index("") - 1].startswith("Price assumed: ")
    said = lines[: lines.index("") - 1]
    if said[-1].startswith("Hours "):
        said = said[:-1]
    assert args[0] == "serve" or said[-1].startswith(("MFU assumed: ", "MFU predicted: "))


def test_rows_that_say_nothing_are_left_out() -> None:
    """HFU where nothing is recomputed, which is MFU; CO2e without a grid. JSON has them still."""
    args = ("train", "llama-2-7b", "--gpu", "h100", "--gpus", "64", "--mfu", "0.3")
    plain, full = run(*args).out, run(*args, "--recompute", "full", "--grid", "400").out
    assert ("HFU  " in plain, "CO2e" in plain) == (False, False)
    assert ("HFU  " in full, "CO2e" in full) == (True, True)
    found = trained(*args[1:])
    assert (found["hfu"], found["co2e_kg"]) == (0.3, None)


def test_in_8_bits_the_share_is_of_a_peak_twice_as_high() -> None:
    """NeMo 24.07: Llama 3 8B on 8 H100 in fp8, 697 TFLOP/s on each, and those are of 1,978.9."""
    args = ("llama-3-8b", "--gpu", "h100", "--gpus", "8", "--dtype", "fp8")
    runs = trained(*args)["utilisation_runs"]
    assert runs[0]["precision"] == "fp8"
    (own,) = [one for one in runs if one["model"] == "Llama 3 8B" and one["tokens_per_second_per_gpu"] == 12036]
    assert own["mfu"] == pytest.approx(697 / 1978.9, rel=0.002)


def test_recomputation_never_asks_more_than_the_peak_of_what_is_assumed() -> None:
    found = trained("llama-3-8b", "--gpu", "b200", "--gpus", "8", "--recompute", "full")
    assert all(case["hfu"] <= 1 for case in found["range"])


def test_cost_and_energy() -> None:
    args = ["gpt3", "--gpu", "a100", "--gpus", "1000", "--days", "30", "--price", "2", "--watts", "500"]
    found = trained(*args, "--pue", "1.1", "--grid", "400")
    assert set(found) >= KEYS
    assert found["gpu_hours"] == 1000 * 30 * 24
    assert found["cost_usd"] == 2 * 1000 * 30 * 24
    assert found["energy_kwh"] == pytest.approx(1000 * 30 * 24 * 0.5 * 1.1)
    assert found["co2e_kg"] == pytest.approx(found["energy_kwh"] * 0.4)
    assert found["cost_usd_range"] is None
    exact = {
        how["known"] for key, how in found["figures"].items() if key in ("gpu_hours", "days", "cost_usd", "energy_kwh")
    }
    assert exact == {"exact"}
    without = trained("gpt3", "--gpu", "gaudi2", "--gpus", "1000", "--days", "30")
    assert without["cost_usd"] is None and without["cost_usd_range"] is None and without["co2e_kg"] is None


def test_what_follows_from_devices_and_days_alone_is_shown_to_its_last_digit() -> None:
    """16,384 GPUs for 80 days are 31,457,280 GPU-hours; at 2 USD, twice as many dollars; 0.7 kW makes 22,020,096 kWh."""
    args = ("llama-3.1-405b", "--gpu", "h100", "--gpus", "16384", "--days", "80", "--price", "2", "--watts", "700")
    rows = dict(line.rsplit(maxsplit=1) for line in run("train", *args).out.splitlines() if line.endswith(("0", "6")))
    assert (rows["GPU-hours"], rows["cost, $"], rows["energy, kWh"]) == ("31,457,280", "62,914,560", "22,020,096")
    assert "54.25" in run("train", *args[:6], "54.25").out


def test_a_utilisation_has_three_digits_however_it_is_known() -> None:
    given = run("train", "gpt3", "--gpu", "h100", "--gpus", "1024", "--mfu", "0.4", "--recompute", "full").out
    assert " 40.0%\n" in given and "40.00%" not in given
    assert re.search(r"^HFU +5\d\.\d%$", given, re.MULTILINE)


def test_a_price_that_is_not_given_is_a_range() -> None:
    found = trained("gpt3", "--gpu", "a100", "--gpus", "1000", "--days", "30")
    price, hours = found["usd_per_gpu_hour"], found["gpu_hours"]
    assert found["cost_usd"] == pytest.approx(hours * price["middle"])
    assert found["cost_usd_range"] == pytest.approx({"low": hours * price["low"], "high": hours * price["high"]})
    assert found["figures"]["cost_usd"]["known"] == "assumed"
    both = trained("gpt3", "--gpu", "a100", "--gpus", "1000")
    slow, fast = both["range"][0]["gpu_hours"], both["range"][-1]["gpu_hours"]
    assert both["cost_usd_range"] == pytest.approx({"low": fast * price["low"], "high": slow * price["high"]})


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ("gpt3 --gpu h100", 2, "how many devices, or how long? --gpus 1024, --days 30, or both"),
        ("gpt3 --gpu h100 --gpus 0", 2, "--gpus must be a whole number above 0"),
        ("gpt3 --gpu h100 --gpus 8 --mfu 1.5", 2, "--mfu is a share of the peak, at most 1, not 1.5\n"),
        ("gpt3 --gpu h100 --gpus 8 --mfu 40", 2, "--mfu is a share of the peak, at most 1, not 40: write 40% if per"),
        ("gpt3 --gpu h100 --gpus 8 --mfu 140%", 2, "--mfu is a share of the peak, at most 1, not 140%"),
        ("gpt3 --gpu h100 --gpus 8 --mfu x", 2, '--mfu must be a number above 0, such as 0.4 or 40%, not "x"'),
        ("gpt3 --gpu h100 --gpus 8 --mfu 0.4 --days 3", 2, "--gpus, --days and a utilisation are one too many"),
        ("gpt3 --gpu h100 --gpus 8 --mfu 0.4 --tokens-per-second 3", 2, "--mfu and --tokens-per-second say the same"),
        ("gpt3 --gpu h100 --days 8 --tokens-per-second 3", 2, "--tokens-per-second is that of all devices"),
        ("gpt3 --gpu h100 --gpus 8 --days 1", 2, "the run needs 472 times the devices' peak, which none reaches"),
        ("gpt3 --gpu h100 --gpus 8 --mfu 0.9 --recompute full", 2, "with --recompute full the devices would do more"),
        ("gpt3 --gpu a100 --gpus 8 --dtype fp8", 2, "NVIDIA A100 SXM 80GB has no peak in fp8: it has fp32, bf16, fp16"),
        (
            "gpt3 --gpu h100 --gpus 8 --dtype mxfp8",
            2,
            "NVIDIA H100 SXM5 80GB has no peak in mxfp8: it has fp32, bf16, fp16, fp8, int8, fp8-tensor, fp8-block\n",
        ),
        (
            "gpt3 --gpu h100 --gpus 8 --dtype fp4 --batch 64",
            2,
            "NVIDIA H100 SXM5 80GB has no peak in fp4: it has fp32, bf16, fp16, fp8, int8, fp8-tensor, fp8-block\n",
        ),
        ("gpt3 --gpu m4 --gpus 8", 2, "Apple M4: its vendor states no 16-bit peak"),
        ("gpt3 --gpu h100 --gpus 8 --price -1", 2, '--price must be a number above 0, such as 2.50, not "-1"'),
        ("gpt3 --gpu h100 --gpus 8 --pue 0.5", 2, "--pue is at least 1, the devices themselves, not 0.5"),
        ("gpt3 --gpu h1000 --gpus 8", 2, 'no hardware "h1000": did you mean h100?'),
        ("mixtral-8x7b --gpu h100 --gpus 8", 3, "Mixtral 8x7B v0.1: its training tokens are not known: --tokens gives"),
        ("gpt-4 --gpu h100 --gpus 8", 3, "GPT-4: its shape was never published"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(args: str, code: int, said: str) -> None:
    done = run("train", *args.split())
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"tscale: {said}") and done.err.count("\n") == 1


def test_the_speed_is_that_of_the_utilisation_however_short_the_run() -> None:
    """Time is in whole seconds, and a run of a millisecond is not a thousand times slower for that."""
    short = trained("gpt2", "--gpu", "h100", "--gpus", "1", "--mfu", ".4", "--tokens", "1000")
    long = trained("gpt2", "--gpu", "h100", "--gpus", "1", "--mfu", "40%", "--tokens", "1e18")
    assert short["seconds"] == 1
    assert short["flops_per_second_per_gpu"] == long["flops_per_second_per_gpu"] == pytest.approx(0.4 * 989.4e12)
    assert short["tokens_per_second"] == pytest.approx(long["tokens_per_second"])


def test_the_notes_tell_how_long_both_streams_are() -> None:
    run_of_two = run("train", "whisper-tiny", "--gpu", "h100", "--gpus", "1", "--mfu", "0.3", "--tokens", "1e9")
    assert "in sequences of 1,500 source and 448 target tokens" in run_of_two.out
    asked = run("train", "gpt3", "--gpu", "h100", "--gpus", "8", "--mfu", "0.3", "--context", "2k")
    assert ", in sequences of 2,048 tokens: does not fit\n" in asked.out


# ---- counts of utilisation ----


@pytest.mark.parametrize(("count", "mfu"), [("full", 0.437), ("causal", 0.391)])
def test_a_utilisation_is_reported_by_the_count_that_is_asked_for(count: str, mfu: float) -> None:
    """DeepSeek-V3's pre-training, 2,664K H800-hours on 14.8e12 tokens, of the 16-bit peak."""
    args = ["--gpu", "h800", "--gpus", "2048", "--days", "54.2", "--tokens", "14.8e12", "--context", "4k"]
    found = answer("train", "deepseek-v3", *args, "--count", count)
    assert found["mfu"] == pytest.approx(mfu, abs=0.002)
    assert found["gpu_hours"] == pytest.approx(2.664e6, rel=0.001)


def test_a_utilisation_by_causal_attention_takes_as_long_as_its_flops() -> None:
    """NVIDIA's tables count 51.48e9 FLOPs a token for Llama 3 8B at 8,192 tokens."""
    found = answer(
        "train", "llama-3-8b", "--gpu", "h100", "--gpus", "64", "--mfu", "0.4", "--tokens", "1e12", "--count", "causal"
    )
    a_token = found["seconds"] * 64 * 0.4 * found["peak_flops_per_second"] / 1e12
    assert a_token == pytest.approx(51.48e9, rel=0.001)
    assert found["flops_per_second_per_gpu"] == pytest.approx(0.4 * found["peak_flops_per_second"])


def test_six_flops_a_parameter_and_token_is_a_count_too() -> None:
    found = answer("train", "gpt3", "--gpu", "a100", "--gpus", "1024", "--mfu", "0.4", "--count", "6nd")
    flops = 6 * 174_604_259_328 * 300 * 10**9
    assert found["seconds"] == pytest.approx(flops / (1024 * 0.4 * 312e12), rel=1e-5)  # a share is kept in millionths


def test_a_plan_takes_as_long_as_its_steps_are_predicted_to_take() -> None:
    args = ["--gpu", "h100", "--gpus", "64", "--batch", "128", "--zero", "3", "--tokens", "1e12", "--context", "8k"]
    found = answer("train", "llama-3.1-8b", *args)
    for case, end in zip(found["range"], ("high", "middle", "low"), strict=True):
        steps = 1e12 / (128 * 8192)
        assert case["seconds"] == pytest.approx(steps * found["plan"]["step_seconds"][end], rel=1e-4)
    assert found["assumed"] is False
    assert found["figures"]["days"]["known"] == "predicted"


def test_a_bound_alone_is_called_one_and_has_no_assumption_in_it() -> None:
    """As long as all its steps at their least; days, hours and devices are bounds, dollars of an assumed price at the least."""
    args = (
        "llama-3.1-8b",
        "--gpu",
        "h100",
        "--gpus",
        "64",
        "--batch",
        "512",
        "--zero",
        "3",
        "--tokens",
        "1e12",
        "--context",
        "8k",
    )
    found, predicted = answer("train", *args, "--bound"), answer("train", *args)
    least = found["plan"]["step_seconds_at_least"]
    assert found["seconds"] == pytest.approx(1e12 / (512 * 8192) * least, rel=1e-5)
    assert found["seconds"] < min(case["seconds"] for case in predicted["range"])
    assert (found["assumed"], found["range"], found["goodput"], found["utilisation_runs"]) == (False, [], None, [])
    for key in ("days", "gpu_hours", "mfu", "tokens_per_second"):
        assert found["figures"][key]["known"] == "bound", key
    assert found["figures"]["cost_usd"]["known"] == "assumed"
    title, said = run("train", *args, "--bound").out.splitlines()[:2]
    assert "takes at least 9.41 days and $" in title
    assert (
        said
        == "A bound, no prediction: no run of the plan below has a higher MFU than 112.5% (past 100%, for it counts full attention)."
    )


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (("--gpus", "8", "--mfu", "0.4"), "--mfu"),
        (("--gpus", "8", "--tokens-per-second", "1e5"), "--tokens-per-second"),
        (("--gpus", "8", "--days", "9"), "--days with --gpus"),
    ],
)
def test_a_bound_has_no_other_utilisation(options: tuple[str, ...], given: str) -> None:
    done = run("train", "gpt2", "--gpu", "a100", "--tokens", "1e9", "--bound", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"tscale: --bound gives the least that no run passes, and {given} says what a run reaches: drop one of them\n"
    )


def test_a_bound_without_a_plan_is_the_devices_at_their_peak() -> None:
    """Causal attention computed and full attention counted; in so many days at least so many devices."""
    spec = built_in("gpt2")
    assert isinstance(spec, ModelSpec)
    tokens, length, peak = 10**12, 1024, 312 * 10**12
    flops = 3 * int(forward_flops(lower(spec), SequenceLengths(length), "causal").total) * tokens / length
    given = ("train", "gpt2", "--gpu", "a100", "--tokens", "1e12", "--context", "1k", "--bound")
    assert answer(*given, "--gpus", "8")["seconds"] == pytest.approx(flops / (8 * peak), rel=1e-5)
    assert answer(*given, "--days", "1")["gpus"] == ceil(flops / peak / 86_400)
    assert "takes at least" in run(*given, "--days", "1").out


def test_runs_at_several_lengths_are_bound_by_the_plan_in_the_first_and_by_the_peak_in_others() -> None:
    args = ("deepseek-v3", "--gpu", "h800", "--gpus", "2048")
    plan = (
        "--batch",
        "15360",
        "--pipeline",
        "16",
        "--expert",
        "64",
        "--zero",
        "1",
        "--recompute",
        "full",
        "--precision",
        "fp8",
    )
    alone, planned = answer("train", *args, "--dtype", "fp8", "--bound"), answer("train", *args, *plan, "--bound")
    assert len(planned["stages"]) == 3
    assert alone["seconds"] < planned["seconds"]
    first = planned["stages"][0]
    steps = first["tokens"] / (first["context"] * 15360)
    assert planned["seconds"] > steps * planned["plan"]["step_seconds_at_least"]


def test_sums_of_gradients_in_16_bits_are_read_and_written_in_half_the_bytes() -> None:
    """As the precision says, in train and in memory --train: eight micro-batches of few tokens, which their weights' traffic bounds.

    A product that adds to its sum reads and writes it: 4 bytes more a number in 32 bits, of the matrices of layers and of the head.
    """
    seconds = []
    for precision in ("bf16", "bf16-fp32-gradients"):
        args = (
            "llama-2-7b",
            "--set",
            "layers=8",
            "--gpu",
            "h100",
            "--batch",
            "8",
            "--context",
            "16",
            "--precision",
            precision,
        )
        of_train = answer("train", *args, "--gpus", "1", "--tokens", "1e9")["plan"]["step_seconds"]["middle"]
        assert answer("memory", *args, "--train")["step"]["step_seconds"]["middle"] == of_train
        seconds.append(of_train)
    matrices = 8 * (4 * 4096**2 + 3 * 4096 * 11_008) + 32_000 * 4096
    assert seconds[1] - seconds[0] == pytest.approx(8 * 4 * matrices / 3.35e12, rel=0.02)


def test_what_is_not_known_of_memory_says_why() -> None:
    """Of a plan and without one: nobody has published what the backward pass of such a layer keeps."""
    for plan in ({}, {"batch": 64, "zero": 1}):
        found = tscale.train("deepseek-v3.2", gpu="h100", gpus=8, tokens="1e11", **plan).to_dict()  # type: ignore[arg-type]
        assert found["memory"]["verdict"] is None
        assert "does not know what" in found["memory"]["why"]
        assert not plan or found["plan"]["memory"] == found["memory"]
    assert tscale.train("gpt3", gpu="h100", gpus=64).to_dict()["memory"]["verdict"] == "may_fit"
