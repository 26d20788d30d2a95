"""`serve` in steady state: what the answer says, and how layouts are told apart."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import tscale
from tests.helpers import answer, run
from tscale.answers.serve.answer import serve_report
from tscale.calibration.serving_deployed import _token_bytes
from tscale.catalogue.hardware import find_hardware
from tscale.core.dtypes import DTYPES
from tscale.core.serving_layout import ServingLayout
from tscale.errors import RequestError
from tscale.estimates.deployment import Deployment, OneRun
from tscale.estimates.serve.prediction import predicted
from tscale.estimates.serve.times import Ask
from tscale.models.resolve import resolve
from tscale.render.json import to_json


def data(ask: Ask, model: str = "deepseek-v3", chip: str = "h200") -> dict[str, object]:
    found: dict[str, object] = json.loads(to_json(serve_report(resolve(model), find_hardware(chip), ask)))
    return found


def test_the_prediction_stands_next_to_the_bound() -> None:
    found = answer("serve", "llama-3.1-70b", "--gpu", "h100", "--gpus", "4", "--batch", "16", "--dtype", "fp8")
    for name in ("ttft", "tpot", "latency"):
        times = found[f"{name}_seconds"]
        assert found[f"{name}_seconds_at_least"] <= times["low"] <= times["middle"] <= times["high"]
    assert found["calibration"]["name"] == "serving"
    assert found["requests_per_second"] == pytest.approx(16 / found["latency_seconds"]["middle"])
    per_gpu = found["predicted_tokens_per_second"] / 4
    assert found["predicted_tokens_per_second_per_gpu"] == pytest.approx(per_gpu)


def test_what_is_not_predicted_says_why() -> None:
    assert "decoders alone" in answer("serve", "t5-3b", "--gpu", "h100")["not_predicted"]
    asked = Ask(deployment=Deployment(bound=True))
    assert data(asked, "llama-3.1-8b")["not_predicted"] == "bounds alone are asked for"


def test_a_version_that_was_not_measured_is_named() -> None:
    said = [
        run("serve", "llama-3.1-8b", "--gpu", "h100", "--engine-version", one, "--details").out
        for one in ("0.18.O", "0.18.0")
    ]
    assert 'Version "0.18.O" of vllm is not among those that were measured: did you mean 0.18.0?' in said[0]
    assert "?." not in said[0]
    assert "Version" not in said[1]


def test_a_chip_that_was_not_measured_has_a_wider_interval() -> None:
    known, other = (data(Ask(batch=8, gpus=8), "gpt-oss-120b", chip) for chip in ("h200", "a100"))
    own = [found["calibration"]["fitted_source"]["tpot_seconds"] for found in (known, other)]  # type: ignore[index]
    widths = [of["high"] / of["low"] for of in own]
    assert widths[1] > widths[0]
    assert other["calibration"]["known"] == "elsewhere"  # type: ignore[index]


@pytest.mark.parametrize("chip", ["gb300", "h800", "h20", "gh200", "mi350x", "strix-halo"])
def test_no_chip_is_like_one_that_was_measured_for_its_formats(chip: str) -> None:
    """H20 multiplies as H100 does, at a seventh of the rate: no run says what it reaches."""
    assert data(Ask(batch=8), "llama-3.1-8b", chip)["calibration"]["known"] == "elsewhere"  # type: ignore[index]


def test_a_layout_answers_for_its_own_devices() -> None:
    layout = ServingLayout(tensor=1, attention_data=8, expert=8, replicas=2)
    ask = Ask(batch=256, context=4000, output=1000, deployment=Deployment("sglang", layout=layout))
    found = data(ask)
    assert found["gpus"] == 16
    assert found["layout"]["replicas"] == 2  # type: ignore[index]
    single = data(ask._replace(batch=128, deployment=Deployment("sglang", layout=layout._replace(replicas=1))))
    assert found["tpot_seconds"] == single["tpot_seconds"]


def test_pools_are_counted_apart() -> None:
    pools = Deployment(
        "sglang", layout=ServingLayout(attention_data=16, expert=16), prefill=ServingLayout(tensor=8, expert_tensor=8)
    )
    found = data(Ask(batch=512, context=2000, output=500, price=None, deployment=pools))
    assert found["gpus"] == 24
    assert set(found["pools"]) == {"prefill", "decode"}  # type: ignore[call-overload]


def test_degrees_that_do_not_go_together_are_refused() -> None:
    layout = ServingLayout(tensor=8, expert=3, expert_tensor=2)
    with pytest.raises(RequestError, match="--expert"):
        data(Ask(deployment=Deployment(layout=layout)))


def test_too_many_requests_are_over_capacity() -> None:
    layout = ServingLayout(tensor=4, expert=4, replicas=2)
    ask = Ask(weights=DTYPES["fp8"], batch=10**5, context=100, output=4000, deployment=Deployment(layout=layout))
    report = serve_report(resolve("qwen3-30b-a3b"), find_hardware("h100"), ask)
    assert report.exit_code == 3
    assert report.lead[0].startswith("Over capacity: the cache holds")


def test_one_device_past_capacity_says_first_what_it_carries() -> None:
    """What fits in memory, one request at a time, is no answer to a rate that is more than is carried."""
    done = run("serve", "llama-3.1-8b", "--gpu", "h100", "--rate", "500", "--output", "256")
    assert done.code == 3
    assert done.out.split("\n")[1].startswith("Over capacity: at most ")


def test_requests_that_wait_for_their_prompts_hold_no_cache() -> None:
    """Steps take in 8,192 tokens of prompts: of whatever many with prompts of 8,000 and short answers, some 256 decode, which fit."""
    layout = ServingLayout(tensor=4, expert=4, replicas=2)
    ask = Ask(weights=DTYPES["fp8"], context=8000, output=256, deployment=Deployment(layout=layout))
    chip, spec = find_hardware("h100"), resolve("qwen3-30b-a3b")
    rates = []
    for many in (2_000, 100_000):
        found = predicted(spec, chip, ask._replace(batch=many))
        assert found.times is not None
        assert found.case.held <= found.case.chunk_tokens / 8000 * 256 + 2
        rates.append(found.requests_per_second)
    assert rates[1] == pytest.approx(rates[0], rel=0.05)  # more that wait bring no more through


EIGHT: dict[str, Any] = {"model": "llama-3.1-8b", "gpu": "h100", "input": 1024, "output": 256}


def test_a_rate_past_capacity_is_told_the_largest_that_is_carried() -> None:
    """That with as many requests as the cache holds, by the answer about those; a little less is carried, with fewer."""
    refused = tscale.serve(**EIGHT, rate=1000).to_dict()["over_capacity"]
    most, held = re.search(
        r"at most ([0-9.]+) requests/s are predicted, with (\d+) concurrent requests of 1,280 tokens", refused
    ).groups()  # type: ignore[union-attr]
    assert "512" not in refused
    full = tscale.serve(**EIGHT, concurrency=int(held)).to_dict()
    assert full["requests_per_second"] == pytest.approx(float(most), rel=5e-3)
    assert tscale.serve(**EIGHT, concurrency=int(held) + 1).to_dict()["over_capacity"]
    carried = tscale.serve(**EIGHT, rate=0.99 * full["requests_per_second"]).to_dict()
    assert carried["over_capacity"] is None
    assert 256 < carried["concurrency"] <= int(held)


POOLS = "serve llama-3.1-70b --gpu h100 --prefill tensor=4,replicas=2 --decode tensor=8,replicas=1 --concurrency 64 --price 2"
TOGETHER = "serve llama-3.1-70b --gpu h100 --tensor 4 --replicas 2 --concurrency 64 --price 2"


@pytest.mark.parametrize("command", [POOLS, TOGETHER])
def test_tokens_in_and_out_pay_for_all_devices(command: str) -> None:
    found = answer(*command.split())
    a_second = found["requests_per_second"] * (
        2048 * found["usd_per_million_input_tokens"] + 256 * found["usd_per_million_output_tokens"]
    )
    assert a_second / 1e6 == pytest.approx(2 * found["gpus"] / 3600)


def test_each_pool_pays_for_its_own_tokens() -> None:
    found = answer(*POOLS.split())
    assert found["usd_per_million_input_tokens"] * 2048 == pytest.approx(found["usd_per_million_output_tokens"] * 256)


def test_the_cache_of_a_prompt_is_sent_between_pools() -> None:
    """80 layers of 8 heads of 128, keys and values in 16 bits, over the NICs of 4 devices, of 50 GB/s each."""
    size = 2048 * 80 * 2 * 8 * 128 * 2
    found = answer(*POOLS.split())["cache_transfer"]
    assert found["bytes"] == size
    assert found["seconds_at_least"] == pytest.approx(size / 4 / 50e9)
    assert answer(*TOGETHER.split())["cache_transfer"] is None


def test_a_draft_takes_its_own_time_between_steps() -> None:
    """Rounds of 4 guesses that yield 2.77 tokens: those of a draft take as long as it does alone, guesses at no cost nothing."""
    of = (
        "serve",
        "llama-3.1-70b",
        "--gpu",
        "h100",
        "--gpus",
        "4",
        "--batch",
        "1",
        "--context",
        "2k",
        "--output",
        "256",
    )
    guessed = ("--draft-tokens", "4", "--acceptance", "0.7")
    free, own = answer(*of, *guessed), answer(*of, *guessed, "--draft", "llama-3.1-8b")
    alone = answer("serve", "llama-3.1-8b", *of[2:])
    rounds = 4 / sum(0.7**place for place in range(5))
    bounds = [found["tpot_seconds_at_least"] for found in (own, free, alone)]
    assert bounds[0] == pytest.approx(bounds[1] + rounds * bounds[2], rel=1e-3)
    assert own["tpot_seconds"]["middle"] > free["tpot_seconds"]["middle"] + rounds * bounds[2]
    assert own["ttft_seconds"]["middle"] > free["ttft_seconds"]["middle"]


def test_a_head_takes_its_own_time_and_memory() -> None:
    """EAGLE-3 of Llama 3.1 8B: 424.9e6 weights, of which engines share the table of 128,256 vectors, are read with each of 3 guesses."""
    asked = ("serve", "llama-3.1-8b", "--gpu", "h100", "--draft-tokens", "3", "--acceptance", "0.7")
    free, own = answer(*asked), answer(*asked, "--draft", "eagle-3")
    rounds, read = 3 / sum(0.7**place for place in range(4)), 2 * 424.9e6 / 3.35e12
    bounds = own["tpot_seconds_at_least"] - free["tpot_seconds_at_least"]
    assert bounds == pytest.approx(rounds * read, rel=0.03)
    assert own["tpot_seconds"]["middle"] > free["tpot_seconds"]["middle"] + bounds
    assert own["weight_bytes"] - free["weight_bytes"] == pytest.approx(2 * (424.9e6 + 128256 * 4096), rel=1e-3)
    said = run(*asked, "--draft", "eagle-3", columns=400).out
    assert "with a copy of the table of tokens" in said
    assert "whether one was trained for Llama 3.1 8B is not known here" in said


@pytest.mark.parametrize(
    ("model", "tensor", "pipeline"),
    [
        ("llama-3.1-70b", 1, 8), ("llama-3.1-70b", 4, 3), ("deepseek-v3", 8, 4), ("gpt-oss-120b", 1, 5), ("zamba2-7b", 1, 4), ("nemotron-h-56b", 2, 3),
        ("qwen3-next-80b-a3b", 2, 8), ("gemma-3-27b", 2, 3), ("llama-4-maverick", 4, 4),
    ],
)  # fmt: skip
def test_a_stage_is_as_full_as_memory_has_it(model: str, tensor: int, pipeline: int) -> None:
    """The fullest stage has tables and towers or the head beside its layers, where these do not divide a layer more, and its layers' caches."""
    plan: dict[str, Any] = {"gpu": "h200", "tensor": tensor, "pipeline": pipeline}
    served = tscale.serve(model, **plan, input=1024, output=256, concurrency=1).to_dict()["pools"]["all"]
    held = tscale.memory(model, **plan, context=1280).to_dict()["per_device_bytes"]
    assert (served["weight_bytes"], served["kv_cache_bytes"]) == (held["weights"], held["kv_cache"])


@pytest.mark.parametrize(
    ("model", "pipeline"), [("zamba2-7b", 1), ("zamba2-7b", 5), ("gemma-3-27b", 4), ("gpt-oss-20b", 5)]
)
def test_requests_fit_while_those_of_each_stage_do(model: str, pipeline: int) -> None:
    """Weights and caches of the fullest stage, as `memory` has them, are what vLLM gives them with as many requests as are held, and more with one more.

    That is 0.9 of a device less the activations of a step of 8,192 tokens.
    """
    plan: dict[str, Any] = {"gpu": "h100", "tensor": 1, "pipeline": pipeline}
    over = tscale.serve(model, **plan, input=7168, output=1024, concurrency=100_000).to_dict()["over_capacity"]
    holds = int(over.split(" requests of")[0].split()[-1].replace(",", ""))
    assert holds > 1

    def filled(batch: int) -> Any:
        found = tscale.memory(model, **plan, context=8192, batch=batch).to_dict()
        held = found["per_device_bytes"]
        return (held["weights"] + held["kv_cache"]) / found["device_bytes"]

    spec, layout = resolve(model), ServingLayout(1, pipeline)
    memory = find_hardware("h100", ()).cluster().device.device_bytes
    most = 0.9 - 8192 * _token_bytes(spec, layout) / memory
    assert filled(holds) <= most < filled(holds + 1)


def test_who_asks_is_shown_what_others_ran_and_what_a_plan_chooses_by() -> None:
    """Intervals of other sources hold those of the fitted one; a measured run of one's own makes them one's own."""
    found: Any = data(Ask(batch=8, gpus=8))
    own = found["calibration"]["fitted_source"]
    for name in ("ttft_seconds", "tpot_seconds", "latency_seconds"):
        wide, narrow = found[name], own[name]
        assert wide["low"] <= narrow["low"] <= wide["middle"] == narrow["middle"] <= narrow["high"] <= wide["high"]
    assert found["tpot_seconds"]["high"] > own["tpot_seconds"]["high"]
    others = found["calibration"]["other_sources"]
    said = run("serve", "deepseek-v3", "--gpu", "h200", "--gpus", "8", "--batch", "8", "--details", columns=300).out
    assert f"Within {100 * others['median_error']:.0f}% (median) of {others['runs']} runs of other sources" in said
    measured: Any = data(Ask(batch=8, gpus=8, deployment=Deployment(measured=OneRun(8, None, None))))
    assert measured["calibration"]["fitted_source"] is measured["calibration"]["other_sources"] is None


def test_both_ways_of_serving_have_the_dollars_of_a_prediction_under_one_key() -> None:
    alone = answer("serve", "llama-3.1-8b", "--gpu", "h100")
    several = answer("serve", "llama-3.1-8b", "--gpu", "h100", "--replicas", "2", "--batch", "2")
    for way in ("input", "output"):
        key = f"usd_per_million_{way}_tokens"
        assert alone[f"predicted_{key}"] > alone[key]  # a bound
        assert several[f"predicted_{key}"] == several[key]


@pytest.mark.parametrize("run", [(32, "18"), (32, "0.000001"), (32, "0.018", "400")])
def test_a_measured_run_in_other_units_is_refused(run: tuple[Any, ...]) -> None:
    """Milliseconds for seconds, or a slip: a hundred times what is predicted, or a hundredth of it."""
    text = ",".join(map(str, run))
    with pytest.raises(RequestError, match="is not of this deployment"):
        tscale.serve("llama-3.1-8b", gpu="h100", measured=text)
    with pytest.raises(RequestError, match="drop measured"):
        tscale.serve("llama-3.1-8b", gpu="h100", measured="32,0.018", bound=True)
    assert tscale.serve("llama-3.1-8b", gpu="h100", measured="32,0.018,0.4").to_dict()["tpot_seconds"] is not None
