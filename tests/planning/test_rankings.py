"""What ranks first is what was fast, where somebody measured it; `python -m tests.planning.rankings` prints the whole tables."""

from __future__ import annotations

import pytest

from tests.planning.rankings import (
    LLAMA,
    TABLE_1,
    axis,
    groups,
    measured_of_2021,
    of_2021,
    of_row,
    ranked,
    rows_of,
    sized,
)
from tscale.calibration.training_rows import judge
from tscale.catalogue.hardware import find_hardware
from tscale.core.axis import Axis
from tscale.models.resolve import resolve


@pytest.mark.slow
def test_what_ranks_first_was_measured_to_be_fast() -> None:
    """Across nodes the first is within 5% of the fastest in all groups but one; on one node the best of three is in 90%."""
    found = groups()
    across, within = ([one for one in found if (one.gpus > 8) is several] for several in (True, False))
    assert len(across) == 4
    assert len(within) == 71
    assert sum(one.first > 0.05 for one in across) <= 1
    assert sum(one.best_of_three <= 0.05 for one in within) >= 0.9 * len(within)


def test_the_layout_that_llama_3_was_trained_in_is_within_10_percent_of_the_best() -> None:
    gpus, tensor, context, pipeline, batch, length = LLAMA[0]
    search = sized(
        resolve("llama-3.1-405b"), find_hardware("h100", ()), gpus, batch, length, {"zero": Axis("1", (1,)), "tensor": Axis("8,16", (8, 16))}
    )  # fmt: skip
    found = ranked("", search, tensor=tensor, pipeline=pipeline, context=context)
    assert found.behind is not None
    assert found.behind <= 0.1


@pytest.mark.slow
def test_layouts_that_nvidia_published_are_near_the_best() -> None:
    """All 48 fit as their recipes keep parameters, and are compared with what surely fits: 47 are within 8%.

    Qwen3 235B in bf16, whose experts are over 32 devices, is 11% behind experts over 8 of them, to which a token is sent less often: as later recipes have it.
    GPT-3 20B by NeMo 24.07, whose two tensor-parallel devices are taken to hide none of what they send, is 7.6% behind two stages, others 6.7%.
    Automodel's five are within 5%: its benchmarks send a token to one or two neighbours, however many devices share the experts.
    """
    rows = [row for row in rows_of("published_layouts.csv") if "NeMo" in row["source"]]
    assert len(rows) == 48
    behind = [one for one in (of_row(row).behind for row in rows) if one is not None]
    assert len(behind) == 48
    *most, last = sorted(behind)
    assert max(most) <= 0.08
    assert 0.1 < last < 0.11
    automodel = [one for one, row in zip(behind, rows, strict=True) if "Automodel" in row["source"]]
    assert len(automodel) == 5
    assert max(automodel) < 0.05


def test_what_experts_over_32_devices_are_behind_is_what_their_recipe_was_changed_to() -> None:
    """Qwen3 235B on 256 GB200 in bf16: 8 stages, experts over 8 devices (`tests.planning.rankings` names the recipes, from 26.02 on)."""
    bf16 = next(
        row
        for row in rows_of("published_layouts.csv")
        if row["model"] == "qwen3-235b-a22b" and row["precision"] == "bf16"
    )
    assert (bf16["gpu"], bf16["gpus"], bf16["pipeline"], bf16["expert"]) == ("gb200", "256", "8", "32")
    later = of_row(bf16 | {"interleave": "1", "expert": "8"}).behind
    assert later is not None
    assert later < 0.01


@pytest.mark.slow
def test_layouts_that_were_picked_by_heuristics_are_near_the_best_that_their_stack_could_run() -> None:
    """Narayanan's Table 1: all fit, and eight of ten are within 10%. Two are further behind by prediction than they were measured to be.

    18B and 39B have 8-way tensor parallelism, beside which 2-way and 4-way in pipelines were measured to be slower than predicted.
    """
    found = list(map(of_2021, rows_of(TABLE_1)))
    assert len(found) == 10
    behind = [one.behind for one in found if one.behind is not None]
    assert len(behind) == 10
    assert sum(one <= 0.1 for one in behind) >= 8
    for one in measured_of_2021():
        assert abs(one.predicted - one.measured) < 0.12


def test_what_18b_and_39b_of_2021_are_behind_was_measured_to_be_slower() -> None:
    """vTrain's runs of one piece a stage: 39B in 2-way tensor parallelism, before and after what three pieces would save of its bubble, and 18B in 4-way."""

    def seconds(layers: int, tensor: int, pipeline: int | None = None) -> list[float]:
        stages = None if pipeline is None else str(pipeline)
        return [
            float(row["step_ms"]) / 1000
            for row in rows_of("vtrain.csv")
            if row["gpus"] in {"256", "512"} and (row["layers"], row["tensor"]) == (str(layers), str(tensor)) and stages in {None, row["pipeline"]}
        ]  # fmt: skip

    of_39b, two_way = min(seconds(48, 8, 2)), seconds(48, 2)
    assert [round(one / of_39b, 1) for one in sorted(two_way)] == [1.3, 1.6, 1.8, 1.8]
    fastest = min(two_way)  # 8 stages, 16 micro-batches
    assert fastest / (1 + 7 / 16) * (1 + 7 / 16 / 3) == pytest.approx(1.03 * of_39b, rel=0.005)
    of_18b, four_way = min(seconds(40, 8, 1)), seconds(40, 4)
    assert [round(one / of_18b, 2) for one in sorted(four_way)] == [1.04, 1.13, 1.14]


# Model, micro-batch, tokens of a sequence, recomputation, tokens/s per GPU of 64 A100 by shards alone: pytorch/torchtitan docs/performance.md.
SHARDED = (
    ("llama-3-70b", 1, 8192, "full", 331, 0.01),
    ("llama-2-70b", 1, 4096, "op", 355, 0.06),
    ("llama-2-70b", 2, 4096, "full", 353, 0.02),
)


@pytest.mark.parametrize(("model", "micro_batch", "context", "recompute", "speed", "error"), SHARDED)
def test_70b_by_shards_alone_is_predicted_as_torchtitan_measured_it(
    model: str, micro_batch: int, context: int, recompute: str, speed: int, error: float
) -> None:
    """None of these runs was fitted to. With 8-way tensor parallelism, as its row of 256 H100 has it, it would be slower.

    Of half as many tokens at a time some of what is gathered and scattered, all of which is counted, was behind computing.
    """
    row = next(row for row in rows_of("published_layouts.csv") if row["model"] == "llama-2-13b")
    row |= {"model": model, "batch": str(64 * micro_batch), "micro_batch": str(micro_batch), "context": str(context)}
    row |= {"recompute": recompute, "tokens_per_second_per_gpu": str(speed)}
    alone = judge(row)[0]
    assert alone.middle == pytest.approx(alone.measured, rel=error)
    assert judge({**row, "tensor": "8", "micro_batch": str(8 * micro_batch)})[0].middle > 1.05 * alone.middle


# H100, precision, tokens/s per GPU of Llama 3 70B by shards alone, in sequences of 8,192, micro-batch and recomputation at their best (only 405B
# has tensor parallelism): IBM and Meta with torchtitan, pytorch.org/blog/training-using-float8-fsdp2, tables 1 (128 and 256 H100) and 3.
ALONE = ((256, "bf16", 956, 0.02), (256, "fp8", 1430, 0.12), (512, "bf16", 960, 0.02), (512, "fp8", 1448, 0.12))


@pytest.mark.parametrize(("gpus", "precision", "speed", "error"), ALONE)
def test_what_the_70b_of_torchtitan_is_behind_was_measured_to_be_faster(
    gpus: int, precision: str, speed: int, error: float
) -> None:
    """876 tokens/s in fp8 with 8-way tensor parallelism, 652 in bf16. In fp8 shards were faster still: they were sent in 8 bits, which is not counted."""
    given = {"precision": axis(precision), "zero": axis(3), "tensor": axis(1), "pipeline": axis(1)}
    search = sized(resolve("llama-3.1-70b"), find_hardware("h100", ()), gpus, 2 * gpus, 8192, given)
    seconds = search.found.seconds[search.found.fits][0]
    assert 2 * 8192 / seconds == pytest.approx(speed, rel=error)
    assert speed > 1.4 * {"bf16": 652.4, "fp8": 876}[precision]


# Precision, tokens/s per GPU of Llama 3.1 8B on torchtitan's H100: by shards alone (128 GPUs, two sequences each), and by 8-way tensor
# parallelism beside eight shards (64 GPUs, twelve sequences for eight) with asynchronous collectives: pytorch/torchtitan
# benchmarks/llama3_h100_202412_torchtitan.md (Table 3) and asyncTP_llama3_h100_2025-06_torchtitan.md.
BESIDE = (("bf16", 6514, 4809.4), ("fp8", 8380, 5570.1))


@pytest.mark.parametrize(("precision", "alone", "beside"), BESIDE)
def test_shards_alone_are_faster_than_beside_tensor_parallelism(precision: str, alone: float, beside: float) -> None:
    """Which is what a layout of torchtitan's 70B is behind. It was measured to be so by more than is predicted; no run was fitted."""
    row = next(
        row for row in rows_of("published_layouts.csv") if "torchtitan" in row["source"] and row["tensor"] == "8"
    )
    row |= {"model": "llama-3.1-8b", "recompute": "op", "precision": precision}
    speeds = []
    for gpus, tensor, micro_batch in ((128, 1, 2), (64, 8, 12)):
        batch = gpus // tensor * micro_batch
        changes = {
            "gpus": gpus,
            "tensor": tensor,
            "micro_batch": micro_batch,
            "batch": batch,
            "tokens_per_second_per_gpu": 1,
        }
        found = judge(row | {name: str(value) for name, value in changes.items()})[0]
        speeds.append(found.measured / found.middle)
    assert speeds[0] == pytest.approx(alone, rel=0.1)
    assert 1.2 < speeds[0] / speeds[1] < alone / beside


def test_micro_batches_that_were_published_are_near_the_best() -> None:
    """Of sharded data parallelism alone, as llm-foundry had it."""
    rows = [row for row in rows_of("published_layouts.csv") if "llm-foundry" in row["source"]]
    assert len(rows) == 11
    behind = [of_row(row).behind for row in rows]
    assert all(one is not None and one <= 0.1 for one in behind)
