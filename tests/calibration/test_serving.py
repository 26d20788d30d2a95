"""Serving predictions against measured runs: configs/measured/serving.csv and published deployments."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tscale.calibration.fit_serving import of_rows, table
from tscale.calibration.interval import (
    FEW,
    SHARE,
    ends_for_next,
    ends_of_all,
    ends_of_another,
    ends_of_groups,
    ends_of_least_score,
    factors,
    share_of_others,
)
from tscale.calibration.measured_kinds import kind_of
from tscale.calibration.names import hardware_of, model_of
from tscale.calibration.rows import Judged
from tscale.calibration.serving_calibration import Measured, constants_for, predict, shipped
from tscale.calibration.serving_cases import case_of
from tscale.calibration.serving_deployed import OverCapacityError, deployed_on
from tscale.calibration.serving_fit import fit, grouped, problem, runs_of
from tscale.calibration.serving_fit import predicted as by_fit
from tscale.calibration.serving_groups import keys_of
from tscale.calibration.serving_meanings import TERMS
from tscale.calibration.serving_one_run import EFFECTS, RunLoad, share_taken
from tscale.calibration.serving_own import own_calibration, with_groups
from tscale.calibration.serving_physics import physics
from tscale.calibration.serving_rows import judge
from tscale.catalogue.hardware import find_hardware
from tscale.catalogue.models import configs
from tscale.core.costs.serving_prediction import ServingConstants
from tscale.core.dtypes import DTYPES
from tscale.core.serving_layout import ServingLayout
from tscale.errors import TscaleError
from tscale.estimates.deployment import Deployment, OneRun
from tscale.estimates.serve.prediction import predicted
from tscale.estimates.serve.times import Ask, Draft
from tscale.models.resolve import resolve

ROW = {
    "mode": "agg", "engine": "vllm", "engine_version": "", "model": "meta-llama/Llama-3.1-70B", "gpu": "h100_sxm",
    "weights": "fp8", "experts_weights": "fp8", "isl": "1024", "osl": "1024", "concurrency": "16", "gpus": "4", "tensor": "4",
    "attention_data": "1", "expert_tensor": "1", "expert_parallel": "1", "ttft_ms": "100", "tpot_ms": "12",
}  # fmt: skip


@cache
def judged() -> list[list[Judged]]:
    return [judge(row) for row in table()]


@pytest.mark.slow
def test_no_measured_run_beats_its_bound() -> None:
    broken = [one for row in judged() for one in row if one.bound_broken]
    assert not broken
    assert len(judged()) == 1293


def test_errors_of_runs_that_were_left_out_meet_what_was_asked() -> None:
    """Deployments that no run of was fitted; medians and 90th percentiles that the prediction was to come to."""
    left = shipped().errors["deployment"]
    assert left["tpot"]["median"] <= 0.08 and left["tpot"]["p90"] <= 0.2
    assert left["ttft"]["median"] <= 0.18 and left["ttft"]["p90"] <= 0.56
    assert left["latency"]["median"] <= 0.075 and left["latency"]["p90"] <= 0.24
    measured = shipped().errors["measured"]
    assert measured["tpot"]["median"] <= 0.04 and measured["tpot"]["p90"] <= 0.159


def test_errors_by_build_are_of_all_runs() -> None:
    """The table of residuals: its builds hold every run once, and those that are furthest off stand first."""
    rows = table(configs() / "calibrations" / "serving-builds.csv")
    assert sum(int(row["runs"]) for row in rows) == len(table())
    worst = [float(row["latency_p90"]) for row in rows]
    assert worst == sorted(worst, reverse=True)
    assert {row["engine"] for row in rows} == {"trtllm", "sglang", "vllm"}


@pytest.mark.slow
def test_shipped_constants_are_those_of_the_shipped_runs() -> None:
    runs = of_rows(table())
    problems: Any = {figure: problem(runs, figure) for figure in ("tpot", "ttft")}
    kept = np.ones(len(runs.cases), dtype=bool)
    found = fit(runs, problems, kept, fit(runs, problems, kept))
    for figure in problems:
        for name, (value, groups) in grouped(problems[figure], found.parameters[figure]).items():
            constant = shipped().constants[name]
            assert constant.value == pytest.approx(value, rel=2e-3)
            assert constant.values == pytest.approx(groups, rel=2e-3)


def test_constants_are_fitted_by_the_formula_that_predicts() -> None:
    """Of every fiftieth run; of pools, where 60% of requests decode."""
    cases = [case_of(row) for row in table()[::50]]
    cases = [case._replace(decoding=0.6) if case.disaggregated else case for case in cases]
    constants = [constants_for(shipped(), case) for case in cases]
    values = {one.name: np.array([getattr(c, one.name) for c in constants]) for one in fields(ServingConstants)}
    ones = [1.0] * len(cases)
    runs = runs_of(cases, ones, ones)
    found = [
        physics(case, deployed_on(case, case.decode.layout).structure, c)
        for case, c in zip(cases, constants, strict=True)
    ]
    assert by_fit(runs, "tpot", values) == pytest.approx([one.tpot for one in found])
    assert by_fit(runs, "ttft", values) == pytest.approx([one.ttft for one in found])


def test_ends_of_intervals_hold_runs_of_groups_that_are_left_out() -> None:
    """Groups that are each wrong in a way of their own need wider ends than as many runs that have nothing in common."""
    ratios = [exp((place - 150) / 300) for place in range(300)]
    assert share_of_others(ratios, [place % 10 for place in range(300)]) == SHARE
    alike = [exp(place / 20 - 0.2) for place in range(8) for _ in range(30)]  # eight groups, each off by its own
    wide = share_of_others(alike, [place // 30 for place in range(240)])
    assert wide > SHARE
    assert factors(ratios, wide)[0] < factors(ratios)[0] < 1 < factors(ratios)[1] < factors(ratios, wide)[1]


@pytest.mark.parametrize("count", [7, 40])
@pytest.mark.parametrize("off", [-0.5, -0.1, 0.0, 0.2])
def test_ends_hold_four_in_five_of_their_own_ratios_however_skewed_and_few_their_groups(count: int, off: float) -> None:
    draws = np.random.default_rng(0)
    ratios = list(np.exp(off + 0.2 * draws.standard_t(3, 280) + draws.exponential(0.1, 280)))
    low, high = factors(ratios, groups=[place % count for place in range(280)])
    assert 0.79 <= sum(low <= ratio <= high for ratio in ratios) / 280 <= 0.82
    assert (low * high == pytest.approx(1)) == (count < FEW)


def test_of_few_groups_ends_hold_more_of_the_next() -> None:
    """300 times four groups of 30, each off by its own: most ratios are on the side of one or two, and the next group may be on the other."""
    draws = np.random.default_rng(0)
    offs = draws.normal(0, 0.2, (300, 5))
    ratios = np.exp(offs[:, :4, None] + draws.normal(0, 0.1, (300, 4, 30)))
    another = np.exp(offs[:, 4] + draws.normal(0, 0.1, 300))
    held = []
    for groups in ([place // 30 for place in range(120)], None):
        ends = [factors(list(one.ravel()), groups=groups) for one in ratios]
        held.append(sum(low <= one <= high for (low, high), one in zip(ends, another, strict=True)) / 300)
    assert 0.7 < held[1] + 0.05 < held[0] < 0.8


def test_ends_for_the_next_of_few_groups_reach_as_far_as_groups_do() -> None:
    """Four groups, one of which has most runs and is off by half: of all runs but its own, ends say nothing of it."""
    sizes, offs = (100, 25, 80, 30), (-0.4, 0.1, 0.15, 0.2)
    ratios = [
        exp(off + 0.1 * (place / size - 0.5)) for size, off in zip(sizes, offs, strict=True) for place in range(size)
    ]
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    assert ends_for_next(ratios, groups) is ends_of_groups
    low, high = ends_of_groups(ratios, groups)
    assert low * high == pytest.approx(1) and exp(0.4) < high < exp(0.45)
    even = [exp((place % 50 - 25) / 100) for place in range(200)]
    assert ends_for_next(even, [place // 50 for place in range(200)]) is ends_of_all
    assert ends_for_next(ratios, [0] * len(ratios)) is ends_of_all


@pytest.mark.parametrize(
    ("ratios", "ends"),
    [
        ([0.9, 1.1, 0.92, 1.12, 0.91, 1.1, 0.9, 1.1, 0.91, 1.1, 0.92, 1.1], ends_of_all),
        ([1.04, 1.0, 1.36, 1.2, 1.38, 1.27, 0.93, 0.9, 0.92, 0.96, 0.94, 0.89], ends_of_another),
    ],
)
def test_ends_are_those_of_the_least_score(ratios: list[float], ends: Any) -> None:
    """Six groups that scatter alike, and six that are each off by their own; three alone do not tell."""
    groups = [place // 2 for place in range(12)]
    assert ends_of_least_score(ratios, groups) == ends(ratios, groups)
    assert ends_of_all(ratios, groups) != ends_of_another(ratios, groups)
    assert ends_of_least_score(ratios[:6], groups[:6]) == ends_of_all(ratios[:6], groups[:6])


@pytest.mark.parametrize("between", [0.05, 0.2, 0.4])
def test_ends_of_another_group_hold_80_percent_of_draws(between: float) -> None:
    """2,000 times five groups of eight, each off by its own, and one more ratio of a sixth; five are few, and their variance is uncertain."""
    draws = np.random.default_rng(0)
    offs = draws.normal(0, between, (2000, 6))
    ratios = np.exp(offs[:, :5, None] + draws.normal(0, 0.2, (2000, 5, 8)))
    another = np.exp(offs[:, 5] + draws.normal(0, 0.2, 2000))
    groups = [place // 8 for place in range(40)]
    ends = [ends_of_another(list(one.ravel()), groups) for one in ratios]
    held = sum(low <= one <= high for (low, high), one in zip(ends, another, strict=True)) / 2000
    assert 0.78 < held < 0.86


@pytest.mark.slow
def test_first_tokens_that_wait_for_a_start_up_hardly_move_those_of_others() -> None:
    """Every tenth of vLLM's first tokens made 8 times as late: predictions of nine tenths move by less than 5%."""
    runs = of_rows(row for row in table() if row["engine"] == "vllm")
    problems: Any = {figure: problem(runs, figure) for figure in ("tpot", "ttft")}
    kept = np.ones(len(runs.cases), dtype=bool)
    late = runs.measured["ttft"].copy()
    late[::10] *= 8
    disturbed = replace(runs, measured={**runs.measured, "ttft": late})
    before, after = (fit(of, problems, kept).seconds["ttft"] for of in (runs, disturbed))
    assert np.quantile(np.abs(after / before - 1), 0.9) < 0.05


@pytest.mark.parametrize(
    ("chip", "devices", "batch", "prompt", "output", "seconds"),
    [
        # SGLang, 5 May 2025: nine nodes of 8 H100 decode 22,282 tokens/s a node, 256 sequences a device, 2,000 tokens in
        ("h100", 72, 256, 2000, 100, 256 / (22_282 / 8)),
        # DeepSeek, 1 March 2025: 14,800 tokens/s a node of H800 at 20 to 22 tokens/s a user over 4,989 cached tokens
        ("h800-sxm", 144, 88, 4739, 500, 1 / 21),
    ],
)
def test_published_deployments_over_many_nodes(
    chip: str, devices: int, batch: int, prompt: int, output: int, seconds: float
) -> None:
    """DeepSeek-V3 with its experts over nodes: the time per output token that was published is within the interval.

    What was published is of devices with so many sequences that decode; so there are enough for prompts.
    """
    spread = ServingLayout(attention_data=devices, expert=devices)
    prefill = ServingLayout(attention_data=32, expert=32, replicas=32)
    deployment = Deployment("sglang", layout=spread, prefill=prefill)
    ask = Ask(batch=batch * devices, context=prompt, output=output, deployment=deployment)
    found = predicted(resolve("deepseek-v3"), find_hardware(chip), ask)
    assert found.times is not None
    assert found.times.tpot.low < seconds < found.times.tpot.high
    assert found.times.tpot_bound < seconds


def test_names_of_tables_are_built_ins() -> None:
    names = {
        "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b", "Qwen/Qwen3-235B-A22B-FP8": "qwen3-235b-a22b",
        "nvidia/DeepSeek-V3.1-NVFP4": "deepseek-v3", "zhipuai/GLM-5": "glm-5", "moonshotai/Kimi-K2.5": "kimi-k2.5",
        "MiniMaxAI/MiniMax-M2.5": "minimax-m2.5", "Qwen/Qwen3-32B": "qwen3-32b", "nvidia/Llama-3.3-70B-Instruct-FP8": "llama-3.1-70b",
        "nvidia/Kimi-K2.5-NVFP4": "kimi-k2.5", "Qwen/Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
    }  # fmt: skip
    assert {name: model_of(name).name for name in names} == names
    chips = {"h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200", "b300_sxm": "b300", "gb300": "gb300"}
    assert {name: hardware_of(name).name for name in chips} == chips
    printed = {
        "NVIDIA H100 80GB HBM3": "h100-sxm", "NVIDIA A100-SXM4-80GB": "a100-sxm-80gb", "NVIDIA A100-SXM4-40GB": "a100-sxm-40gb",
        "NVIDIA H200": "h200-sxm", "NVIDIA B200": "b200", "gb200_sxm": "gb200", "NVIDIA L40S": "l40s",
    }  # fmt: skip
    assert {name: hardware_of(name).name for name in printed} == printed
    for name in ("NVIDIA H100 64GB HBM2", "tpu-v9"):
        with pytest.raises(TscaleError, match="is no shipped accelerator"):
            hardware_of(name)
    others = {
        "Qwen/Qwen3-30B-A3B-Instruct-2507": "qwen3-30b-a3b", "unsloth/Meta-Llama-3.1-8B-bnb-4bit": "llama-3.1-8b",
        "meta-llama/Llama-4-Scout-17B-16E-Instruct": "llama-4-scout", "mistralai/Mixtral-8x7B-Instruct-v0.1": "mixtral-8x7b",
        "Qwen/Qwen3.6-35B-A3B": "qwen3.6-35b-a3b", "Qwen/Qwen3-32B-FP8": "qwen3-32b", "MiniMaxAI/MiniMax-M2.5": "minimax-m2.5",
    }  # fmt: skip
    assert {name: model_of(name).name for name in others} == others
    with pytest.raises(TscaleError, match="is no built-in one"):
        model_of("mistralai/Mistral-7B-Instruct-v0.3")  # of another vocabulary


def test_a_row_is_judged_three_times() -> None:
    tpot, ttft, latency = judge(ROW)
    assert [one.what for one in (tpot, ttft, latency)] == ["tpot", "ttft", "latency"]
    assert (tpot.measured, ttft.measured) == (0.012, 0.1)
    assert latency.measured == pytest.approx(0.1 + 0.9 * 1024 * 0.012)  # lengths are drawn from 80% to 100%
    for one in (tpot, ttft, latency):
        assert one.bound is not None and one.bound <= one.low <= one.middle <= one.high
    assert tpot.groups["chip"] == "h100-sxm" and tpot.groups["engine"] == "vllm"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"engine": "tgi"}, 'engine "tgi" is not known'),
        ({"model": "nobody/Nothing-1B"}, "is no built-in one"),
        ({"gpu": "h999_sxm"}, "is no shipped accelerator"),
        ({"tensor": "3", "gpus": "3"}, "3 devices cannot share"),
        ({"isl": "many"}, "column isl: write a whole number"),
        ({"tpot_ms": "-1"}, "column tpot_ms: write milliseconds"),
        ({"output_tokens_per_s": "0"}, "column output_tokens_per_s: write tokens/s above 0"),
        ({"requests": "0", "output_tokens_per_s": "9"}, "column requests: write a whole number"),
        ({"cache": "fp7"}, "column cache: "),
        ({"concurrency": "100000"}, "over capacity: the cache holds"),
        ({"gpus": "1", "tensor": "1", "weights": "", "experts_weights": ""}, "the weights alone do not fit"),
    ],
)
def test_rows_that_are_not_answered_say_why(changes: dict[str, str], says: str) -> None:
    with pytest.raises(TscaleError, match=says.replace("(", r"\(")):
        judge({**ROW, **changes})


def test_a_missing_column_is_asked_for() -> None:
    with pytest.raises(TscaleError, match='a table of serving needs the column "osl"'):
        kind_of(tuple(key for key in ROW if key != "osl"), "runs.csv")
    with pytest.raises(TscaleError, match="nothing was measured: tpot_ms, ttft_ms, latency_ms or output_tokens_per_s"):
        judge({**ROW, "tpot_ms": "", "ttft_ms": ""})


def test_one_measured_run_moves_its_deployment_towards_it() -> None:
    case = case_of({**ROW, "concurrency": "64"})
    plain = predict(case)
    twice = Measured(64, 2 * plain.tpot.middle, None)
    moved = predict(case, None, twice)
    assert moved.tpot.middle == pytest.approx(2 * plain.tpot.middle)
    assert moved.ttft.middle == plain.ttft.middle
    assert moved.known == "measured"
    fewer = case._replace(concurrency=16)
    assert 1.1 * predict(fewer).tpot.middle < predict(fewer, None, twice).tpot.middle < 1.9 * predict(fewer).tpot.middle


@pytest.mark.parametrize(("there", "here"), [((64, 0.3), (8, 0.05)), ((8, 0.1), (128, 0.5)), ((32, 0.0), (16, 0.0))])
def test_what_is_taken_over_of_one_run_is_the_best_linear_prediction(
    there: tuple[float, float], here: tuple[float, float]
) -> None:
    """Errors drawn from both effects: least squares of those of one load over those of the other find the same share, at most all."""
    random, close = np.random.default_rng(1), exp(-abs(np.log2(there[0] / here[0])) / EFFECTS.doublings)
    prompts, one, other = random.normal(size=(3, 200_000))
    near = close * one + (1 - close**2) ** 0.5 * other
    errors = [EFFECTS.prompts**0.5 * share * prompts + own for (_, share), own in ((there, one), (here, near))]
    found = (errors[0] @ errors[1]) / (errors[0] @ errors[0])
    assert share_taken(RunLoad(*there), RunLoad(*here)) == pytest.approx(min(found, 1.0), abs=0.01)


def test_a_prediction_is_never_less_than_its_bound() -> None:
    case = case_of(ROW)
    impossible = predict(case, None, Measured(16, 1e-6, 1e-6))
    assert impossible.tpot.low == impossible.tpot.middle == impossible.tpot_bound


def test_requests_by_rate_are_answered_as_fast_as_they_come() -> None:
    """Little's law: requests at once over the latency of each; the least number of them that comes to the rate."""
    spec, chip = resolve("llama-3.1-8b"), find_hardware("h100")
    for rate in (1, 5):
        found = predicted(spec, chip, Ask(context=1000, output=200, deployment=Deployment("vllm", rate=rate)))  # type: ignore[arg-type]
        assert found.requests_per_second >= rate
        fewer = (
            predict(found.case._replace(concurrency=found.case.concurrency - 1)) if found.case.concurrency > 1 else None
        )
        assert fewer is None or (found.case.concurrency - 1) / fewer.latency.middle < rate


def test_guesses_that_are_right_make_tokens_cheaper() -> None:
    spec, chip = resolve("llama-3.1-70b"), find_hardware("h200")
    plain = Ask(weights=DTYPES["fp8"], gpus=4, batch=4, context=1000, output=500)
    times = {}
    for chance in ("0", "0.5", "0.9"):
        found = predicted(spec, chip, plain._replace(draft=Draft(None, 3, chance)))  # type: ignore[arg-type]
        assert found.times is not None
        times[chance] = found.times.tpot.middle
    alone = predicted(spec, chip, plain).times
    assert alone is not None
    assert times["0.9"] < times["0.5"] < alone.tpot.middle <= times["0"]


def test_cached_prefixes_shorten_the_time_to_the_first_token() -> None:
    spec, chip = resolve("llama-3.1-70b"), find_hardware("h200")
    ask = Ask(weights=DTYPES["fp8"], gpus=2, batch=8, context=8000, output=200)
    whole, cached = (predicted(spec, chip, ask._replace(prefix=prefix)).times for prefix in (0, 6000))
    assert whole is not None and cached is not None
    assert cached.ttft.middle < whole.ttft.middle / 2
    assert cached.tpot.middle < whole.tpot.middle  # others' prefills interfere less


def test_over_capacity_is_said_and_not_predicted() -> None:
    found = predicted(resolve("llama-3.1-70b"), find_hardware("h100"), Ask(gpus=4, batch=4096))
    assert found.times is None
    assert found.refused.startswith("over capacity: the cache holds")
    with pytest.raises(OverCapacityError):
        predict(found.case)


def test_a_measured_run_is_given_in_seconds() -> None:
    run = OneRun(16, tpot=None, ttft=None)
    found = predicted(
        resolve("llama-3.1-8b"), find_hardware("h100"), Ask(batch=16, deployment=Deployment(measured=run))
    )
    assert found.times is not None and found.times.known == "measured"


@pytest.mark.slow
def test_own_runs_move_their_deployment(tmp_path: Path) -> None:
    """A machine on which all takes twice as long as the constants say: with its runs, predictions come near, without one too."""
    loads = ("4", "8", "16", "32", "64")
    rows = []
    for load in loads:
        row = {**ROW, "engine_version": "9.9", "concurrency": load}
        found = predict(case_of(row))
        rows.append(row | {"tpot_ms": str(2000 * found.tpot.middle), "ttft_ms": str(2000 * found.ttft.middle)})
    own = own_calibration(rows)
    assert own.after["tpot"][0] < own.before["tpot"][0] / 2
    path = tmp_path / "own.csv"
    path.write_text(own.text, encoding="utf-8")
    moved = predict(case_of(rows[2]), with_groups(shipped(), path.read_text(encoding="utf-8"), "own.csv"))
    assert moved.tpot.middle == pytest.approx(float(rows[2]["tpot_ms"]) / 1000, rel=0.15)
    one = own_calibration(rows[2:3])
    barely = predict(case_of(rows[0]), with_groups(shipped(), one.text, "own.csv"))
    untouched = predict(case_of(rows[0]))
    assert untouched.tpot.middle < barely.tpot.middle < 2 * untouched.tpot.middle


@pytest.mark.slow
@pytest.mark.parametrize("version", ["9.9", ""])
def test_what_a_table_of_own_runs_says_of_a_group_is_found(version: str) -> None:
    row = {**ROW, "engine_version": version}
    found = predict(case_of(row))
    own = own_calibration([row | {"tpot_ms": str(2000 * found.tpot.middle), "ttft_ms": str(2000 * found.ttft.middle)}])
    read = with_groups(shipped(), own.text, "own.csv").deviations
    for key in keys_of(case_of(row)).items():
        assert read[key] != shipped().deviations.get(key)


@pytest.mark.parametrize(
    ("text", "says"),
    [("a,b\n1,2\n", "no column level"), ("level,group{terms}\nbest,x{zeros}\n", "none of"), ("level,group{terms}\nbuild,x{words}\n", "-10 to 10")],
)  # fmt: skip
def test_a_table_that_is_no_calibration_is_refused(text: str, says: str) -> None:
    terms = "".join(f",{figure}_{term}" for figure in ("tpot", "ttft") for term in TERMS)
    filled = text.format(terms=terms, zeros=",0" * 2 * len(TERMS), words=",much" * 2 * len(TERMS))
    with pytest.raises(TscaleError, match=says):
        with_groups(shipped(), filled, "own.csv")


def test_lengths_are_drawn_as_in_public_benchmarks_unless_a_row_says_that_they_are_not() -> None:
    row = {**ROW, "isl": "8192", "osl": "1024"}
    assert [case_of({**row, "drawn": said}).prompt for said in ("", "yes", "no")] == [0.9 * 8192, 0.9 * 8192, 8192]
    assert case_of({**row, "isl": "8000", "drawn": "yes"}).output == 0.9 * 1024
    with pytest.raises(TscaleError, match='column drawn: yes, no, exponential or nothing, not "maybe"'):
        case_of({**row, "drawn": "maybe"})
