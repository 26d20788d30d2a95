"""Settings of engines that keep requests waiting: what is published of measured runs, and what their times show of it."""

from __future__ import annotations

from math import inf
from statistics import median
from typing import Final

import pytest
from numpy.random import default_rng

from tscale.calibration.fit_serving import table
from tscale.calibration.serving_calibration import constants_for, shipped
from tscale.calibration.serving_cases import case_of
from tscale.calibration.serving_deployed import deployed_on
from tscale.calibration.serving_physics import physics
from tscale.catalogue.models import configs
from tscale.core.costs.serving_waits import Scheduling
from tscale.errors import RequestError

ROW: Final = {
    "mode": "agg", "engine": "sglang", "engine_version": "0.5.9", "measured": "2026-03-25", "model": "deepseek-ai/DeepSeek-R1",
    "gpu": "b200_sxm", "weights": "nvfp4", "experts_weights": "nvfp4", "isl": "1024", "osl": "1024", "concurrency": "16",
    "gpus": "8", "tensor": "8", "attention_data": "1", "expert_tensor": "1", "expert_parallel": "8",
}  # fmt: skip
LLAMA: Final = {
    **ROW, "engine": "trtllm", "engine_version": "", "measured": "2025-10-29", "model": "meta-llama/Llama-3.1-70B",
    "gpu": "h200_sxm", "weights": "fp8", "gpus": "4", "tensor": "4", "expert_parallel": "1",
}  # fmt: skip

EAGER: Final = {
    **ROW,
    "engine": "trtllm",
    "engine_version": "1.3.0rc1",
    "measured": "2026-03-17",
    "isl": "4000",
    "osl": "1000",
}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (ROW, Scheduling(polled=30)),
        ({**ROW, "concurrency": "8"}, Scheduling(polled=10)),
        ({**ROW, "gpu": "h200_sxm", "weights": "fp8", "experts_weights": "fp8"}, Scheduling()),
        (LLAMA, Scheduling(gathered=20, gathered_tokens=0.9 * 16384)),
        ({**LLAMA, "gpus": "8", "tensor": "8"}, Scheduling()),
        ({**LLAMA, "osl": "8192"}, Scheduling()),
        ({**ROW, "engine": "trtllm", "tensor": "1", "attention_data": "8"}, Scheduling(balanced=60)),
        ({**ROW, "measured": "2025-11-10"}, Scheduling(polled=30, cold_tokens=16384)),
        ({**ROW, "measured": "2025-11-02"}, Scheduling(polled=30)),
        (EAGER, Scheduling(graphs=32)),
        ({**EAGER, "measured": "2026-03-07"}, Scheduling()),
    ],
)
def test_public_runs_are_set_as_their_scripts_say(row: dict[str, str], found: Scheduling) -> None:
    assert case_of(row).scheduling == found


@pytest.mark.parametrize("day", ["", "2024-01-01", "2027-01-01"])
def test_runs_of_other_days_are_not_those_of_the_scripts(day: str) -> None:
    assert case_of({**ROW, "measured": day}).scheduling == Scheduling()


def test_a_row_that_says_its_settings_is_taken_at_its_word() -> None:
    assert case_of({**ROW, "poll_steps": "1"}).scheduling == Scheduling()
    own = {"gather_steps": "20", "gather_tokens": "9000", "balance_steps": "5"}
    assert case_of({**ROW, **own}).scheduling == Scheduling(1, 20, 9000, 5)
    assert case_of({**ROW, "graphs": "8"}).is_eager
    assert case_of({**ROW, "gather_steps": "20"}).scheduling.gathered_tokens == inf


def test_settings_are_numbers() -> None:
    with pytest.raises(RequestError, match='column poll_steps: write a number above 0, at most 1,000,000, not "often"'):
        case_of({**ROW, "poll_steps": "often"})


def test_pools_of_their_own_wait_for_no_step() -> None:
    pools = {f"{pool}_{name}": "1" for pool in ("prefill", "decode") for name in ("workers", "attention_data")}
    degrees = {
        "prefill_tensor": "8",
        "decode_tensor": "8",
        "prefill_expert_parallel": "8",
        "decode_expert_parallel": "8",
    }
    assert case_of({**ROW, **pools, **degrees, "mode": "disagg"}).waited == 0
    assert case_of(ROW).waited == 14.5


def test_pools_that_decode_are_as_wide_as_their_recipes_say() -> None:
    """By Little's law over what was measured alone: a rank decodes as many as it has places, where there are more requests."""
    found = []
    for row in table():
        case = case_of(row)
        if case.scheduling.places < inf:
            answer = case.output * float(row["tpot_ms"])
            decoding = case.requests * answer / (float(row["ttft_ms"]) + answer)
            found.append(decoding / case.scheduling.places)
    assert len(found) == 9
    assert min(found) > 0.93 and max(found) < 1.01


def test_steps_that_are_no_graphs_take_as_long_a_layer_whatever_they_decode() -> None:
    """Two models on two chips, 40 to 384 sequences on 2 to 8 devices: within an eighth of 1.42 ms, but where devices take longer."""
    rows = [row for row in table() if case_of(row).is_eager]
    assert {row["model"] for row in rows} == {"nvidia/DeepSeek-R1-NVFP4", "openai/gpt-oss-120b"}
    each = [
        float(row["tpot_ms"]) / deployed_on(case := case_of(row), case.decode.layout).structure.layers for row in rows
    ]
    assert len(each) == 9
    assert sorted(each)[:8] == pytest.approx([1.42] * 8, rel=0.125)
    graphs = [case_of(row)._replace(scheduling=Scheduling()) for row in rows]
    alone = [
        physics(case, deployed_on(case, case.decode.layout).structure, constants_for(shipped(), case))
        for case in graphs
    ]
    assert sum(float(row["tpot_ms"]) > 1500 * one.tpot for row, one in zip(rows, alone, strict=True)) == 7


def test_graphs_are_of_so_many_sequences_of_a_rank() -> None:
    assert [case_of({**EAGER, "concurrency": text}).is_eager for text in ("32", "33")] == [False, True]
    assert not case_of({**EAGER, "concurrency": "33", "tensor": "4", "attention_data": "2"}).is_eager


def test_runs_that_are_not_warmed_up_wait_where_their_first_prompts_fill_a_chunk() -> None:
    """SGLang 0.5.5 with DeepSeek-V3 in 4 bits: 5 s and more where a run begins with 16,384 tokens of prompts, below 1 s elsewhere."""
    rows = [row for row in table() if row["measured"] == "2025-11-10" and row["weights"] == "nvfp4"]
    cold, warm = ([float(row["ttft_ms"]) for row in rows if case_of(row).is_cold == so] for so in (True, False))
    assert len(cold) > 15 and len(warm) > 10
    assert min(cold) > 5000 and max(warm) < 1000


def test_measured_first_tokens_are_later_by_the_steps_that_prompts_are_gathered_for() -> None:
    """Runs of the same deployment and prompts at two lengths of answers, one of which has the setting: nothing is fitted here."""
    runs = {
        tuple(row[name] for name in ("gpu", "weights", "tensor", "concurrency", "isl", "osl")): row
        for row in table()
        if row["engine"] == "trtllm" and row["model"] == "meta-llama/Llama-3.1-70B" and row["tensor"] != "8"
    }
    shares = []
    for key, row in runs.items():
        other = runs.get((*key[:-1], "8192"))
        if key[-2:] == ("1024", "1024") and other is not None:
            later = (float(row["ttft_ms"]) - float(other["ttft_ms"])) / float(row["tpot_ms"])
            shares.append(later / case_of(row).waited)
    assert len(shares) > 20
    assert median(shares) == pytest.approx(1, abs=0.2)


def tokens_waited(row: dict[str, str]) -> float:
    """Output tokens that others decode while a first token is waited for, beyond what its prefill takes with no setting in the way."""
    case = case_of(row)._replace(scheduling=Scheduling())
    alone = physics(case, deployed_on(case, case.decode.layout).structure, constants_for(shipped(), case))
    return (float(row["ttft_ms"]) / 1000 - alone.ttft) / (float(row["tpot_ms"]) / 1000)


def test_runs_that_guess_tokens_wait_for_more_of_them() -> None:
    """SGLang looks for requests once in 30 steps: after 14.5 on average, of as many tokens, or of what each yields of guesses."""
    polled = [row for row in table() if case_of(row).scheduling.polled == 30 and row["isl"] == "1024"]
    plain = median(tokens_waited(row) for row in polled if row["measured"] > "2026-01-21")  # runs that are warmed up
    guessing = [row for row in table(configs() / "measured" / "serving_speculative.csv") if row["gpu"] == "b200_sxm"]
    longer = [row for row in guessing if case_of(row).scheduling.polled == 30 and row["isl"] == "1024"]
    assert plain == pytest.approx(14.5, abs=3)
    assert len(longer) == 5
    assert all(tokens_waited(row) > 2 * plain for row in longer)


@pytest.mark.slow
def test_first_tokens_came_late_where_kernels_are_compiled_as_a_run_begins() -> None:
    """SemiAnalysisAI/InferenceX sends requests to warm up since 21 January 2026; nothing but what is compiled before is left out here."""
    late: dict[bool, list[float]] = {False: [], True: []}
    for row in table():
        case = case_of(row)
        if row["measured"] and not case.disaggregated:
            warm = case._replace(scheduling=case.scheduling._replace(cold_tokens=inf))
            own = physics(warm, deployed_on(case, case.decode.layout).structure, constants_for(shipped(), case))
            late[case.is_cold].append(float(row["ttft_ms"]) / 1000 / own.ttft)
    assert len(late[True]) == 26
    assert min(late[True]) > 1.4 and median(late[True]) > 2
    assert sum(of > 1.5 for of in late[False]) < 0.25 * len(late[False])


def first_burst(concurrency: int, prompt: float, output: int, seconds_a_token: float) -> float:
    """Prefills of each other request that a request waits for, on average over a run of ten requests a user, simulated step by step.

    All users send at first at once, and then each when the last was answered; a step decodes and takes in 8,192 tokens. Lengths are
    from 80% to 100% of the longest. Runs of SemiAnalysisAI/InferenceX are such (`--num-prompts` 10·CONC, `--request-rate inf`).
    """
    random, now, step = default_rng(0), 0.0, 10e-3
    queue = [[0.0, prompt * random.uniform(0.8, 1)] for _ in range(concurrency)]
    left, waits, sent = list[int](), list[float](), concurrency
    while len(waits) < 10 * concurrency:
        room, taken = 8192.0 - len(left), 0.0
        for one in queue:
            part = min(one[1], room - taken)
            one[1], taken = one[1] - part, taken + part
        now += step + seconds_a_token * taken
        left = [rest - 1 for rest in left]
        ended = sum(rest <= 0 for rest in left)
        started = [one for one in queue if one[1] <= 0]
        waits += [now - one[0] for one in started]
        left = [rest for rest in left if rest > 0] + [int(output * random.uniform(0.8, 1)) for _ in started]
        queue = [one for one in queue if one[1] > 0]
        for _ in range(min(ended, 10 * concurrency - sent)):
            queue.append([now, prompt * random.uniform(0.8, 1)])
            sent += 1
    alone = 0.9 * prompt * seconds_a_token
    return (sum(waits) / len(waits) - alone - step / 2) / (concurrency - 1) / alone


@pytest.mark.parametrize("concurrency", [32, 128])
def test_what_runs_wait_behind_others_is_the_burst_that_they_begin_with(concurrency: int) -> None:
    """A tenth of the requests comes at once, of which each waits for half of the others: 0.05 of each other prefill.

    What is fitted to six engines on generations of chips, which are from 0.02 to 0.12, comes to a fourth more at the most.
    """
    assert shipped().constants["queue"].value == pytest.approx(first_burst(concurrency, 8192, 1024, 4e-5), rel=0.25)
