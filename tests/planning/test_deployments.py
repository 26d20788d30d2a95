"""`plan --serve` finds what a plain search of `serve`'s own answers finds, and its rows are those answers."""

from __future__ import annotations

import re
import shlex
import sys
from itertools import islice, pairwise, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

import tscale
from tests.helpers import run
from tests.planning.measured import groups, slow_side
from tscale.analysis.questions import question
from tscale.calibration.serving_calibration import predict_held, shipped
from tscale.calibration.serving_case import Pool
from tscale.errors import RequestError
from tscale.estimates.plan_serve.search import _bases, room_of, rows_of, searched
from tscale.planning.deployment_curves import Unit, _grid, unit_of, with_pools
from tscale.planning.deployment_layouts import layouts, powers
from tscale.planning.deployment_loads import Targets
from tscale.planning.deployment_pools import _workers
from tscale.planning.deployment_rows import ranking
from tscale.planning.deployment_search import Wanted, chosen, nearest_miss
from tscale.planning.pareto import front
from tscale.planning.queueing import Curve


def plan(model: str, gpu: str = "h200", **asked: Any) -> Any:
    """The answer of `plan --serve` as data."""
    asked = {"input": "4k", "output": "512", "ttft": "3s", "tpot": "50ms", **asked}
    return tscale.plan(model, serve=True, gpu=gpu, **asked).to_dict()


def served(command: str) -> Any:
    """What `serve` says, asked by the command line that a plan gives."""
    program, name, model, *words = shlex.split(command)
    assert (program, name) == ("tscale", "serve")
    asked: dict[str, Any] = {
        option[2:].replace("-", "_"): value for option, value in zip(words[::2], words[1::2], strict=True)
    }
    return by_fitted_source(tscale.serve(model, **asked).to_dict())


def by_fitted_source(answer: Any) -> Any:
    """An answer of `serve` with the intervals that a plan chooses by: those of the source that the calibration was fitted to."""
    calibration = answer.get("calibration") or {"fitted_source": None}
    return {**answer, **(calibration["fitted_source"] or {})}


ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("llama-3.1-70b", "h200", {"rate": 6, "dtype": "bf16,fp8"}),
    ("deepseek-v3", "h200", {"rate": 6, "prefix": "25%", "pipeline": 1, "host_bandwidth": 55}),
    ("gpt-oss-120b", "b200", {"users": 700, "engine": "sglang", "tensor": "1..4", "attention_data": "1..4"}),
    ("qwen3-30b-a3b", "h100", {"gpus": 8, "pools": "disaggregated"}),
    ("llama-3.1-8b", "h100", {"rate": 20, "draft_tokens": "2..4", "acceptance": 0.7}),
    ("qwen3-vl-2b", "h100", {"rate": 6, "images": 2, "image_size": "448x896"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "gpu", "asked"), ASKED, ids=[model for model, _, _ in ASKED])
def test_rows_are_the_answers_of_serve(model: str, gpu: str, asked: dict[str, Any]) -> None:
    rows = plan(model, gpu, **asked)["rows"]
    assert rows
    for place in default_rng(7).permutation(len(rows))[:3]:
        row = rows[place]
        answer = served(row["command"])
        assert answer.get("devices", row["gpus"]) == row["gpus"]
        for key in ("ttft_seconds", "tpot_seconds"):
            assert answer[key] == pytest.approx(row[key], rel=1e-12), row["command"]
        key = "tokens_per_second_per_user"
        assert answer[f"predicted_{key}"] == pytest.approx(row[key], rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("load", "asked"), [("rate", 6), ("users", 40)])
def test_as_many_tokens_are_written_as_requests_come(load: str, asked: int) -> None:
    """6 requests a second of 512 tokens of answers, whatever the deployment could do; users wait for their own."""
    given: dict[str, Any] = {load: asked}
    for row in plan("llama-3.1-8b", **given)["rows"]:
        assert row["tokens_per_second_per_gpu"] == pytest.approx(row["requests_per_second"] * 512 / row["gpus"])
        assert (row["requests_per_second"] == asked) == (load == "rate")


@pytest.mark.slow
def test_the_slow_side_of_each_row_meets_the_targets() -> None:
    found = plan("deepseek-v3", rate=6, pipeline=1, pools="aggregated")
    assert found["meets"]
    for row in found["rows"]:
        assert row["ttft_seconds"]["high"] + row["waiting_seconds"] <= 3
        assert row["tpot_seconds"]["high"] <= 0.05
        assert row["requests_per_second"] >= 6
        assert row["largest_load"] >= 6
        assert row["verdict"] == "meets"


@pytest.mark.parametrize("users", [40, 150, 400])
def test_the_fewest_devices_for_users_are_those_of_a_loop_over_serve(users: int) -> None:
    """Layouts of Llama 3.1 8B without a pipeline, and as many users as places: each asked of `serve`, copy by copy."""

    def meets(tensor: int, copies: int) -> bool:
        deployed: dict[str, Any] = {
            "tensor": tensor,
            "replicas": copies,
            "concurrency": users,
            "input": "4k",
            "output": "512",
        }
        answer = by_fitted_source(tscale.serve("llama-3.1-8b", gpu="h200", **deployed).to_dict())
        times = answer["ttft_seconds"], answer["tpot_seconds"]
        return None not in times and times[0]["high"] <= 1 and times[1]["high"] <= 0.02

    fewest = min(
        tensor * next((copies for copies in range(1, 30) if meets(tensor, copies)), 1000) for tensor in (1, 2, 4, 8)
    )
    asked: dict[str, Any] = {"users": users, "ttft": "1s", "tpot": "20ms"}
    found = plan("llama-3.1-8b", pipeline=1, pools="aggregated", **asked)
    assert found["rows"][0]["gpus"] <= fewest
    assert found["rows"][0]["gpus"] == fewest or found["rows"][0]["waiting_seconds"] > 0


@pytest.mark.slow
def test_pools_are_as_good_as_the_best_of_all_pairs_of_layouts() -> None:
    """Prefill and decode layouts of up to 4 ranks, with 1 to 4 workers of either: each pair, and each number of both."""
    asked: dict[str, Any] = {"users": 300, "ttft": "1s", "tpot": "12ms", "pipeline": 1, "tensor": "1..2"}
    asked |= {"attention_data": "1..2", "pools": "disaggregated", "input": "4k", "output": 512}
    request = question("plan").made({"model": "gpt-oss-120b", "gpu": "b200", "serve": True, **asked})
    search = request.deployments
    (_, case), *_ = _bases(search)
    layouts_of = [*layouts(search.axes, room_of(search, case), "vllm")]
    pairs = product(layouts_of, layouts_of, range(1, 5), range(1, 5))
    cases = [with_pools(case, Pool(one, takes), Pool(other, answers)) for one, other, takes, answers in pairs]
    units = [unit for one in cases if isinstance(unit := unit_of(one, shipped()), Unit)]
    fewest = rows_of(units, search.wanted, shipped(), 1)[0].case.devices
    assert searched(search).rows[0].case.devices <= fewest


@pytest.mark.slow
def test_what_devices_carry_is_what_as_many_are_needed_for() -> None:
    most = plan("llama-3.1-70b", gpus=32)
    load = most["rows"][0]["load"]
    assert plan("llama-3.1-70b", rate=0.97 * load)["rows"][0]["gpus"] <= 32
    assert plan("llama-3.1-70b", rate=1.05 * load)["rows"][0]["gpus"] > 32


def test_nothing_that_meets_targets_says_what_comes_nearest() -> None:
    found = plan("llama-3.1-8b", rate=1, tpot="100us")
    assert (found["meets"], found["rows"]) == (False, [])
    near = served(found["command"])
    assert near["tpot_seconds"] == pytest.approx(found["nearest"]["tpot_seconds"])
    assert near["tpot_seconds"]["high"] > 1e-4


@pytest.mark.slow
def test_dollars_of_tokens_come_to_those_of_all_devices() -> None:
    row = plan("llama-3.1-70b", rate=6, price=3)["rows"][0]
    request = (row["usd_per_million_input"] * 4096 + row["usd_per_million_output"] * 512) / 1e6
    assert request * 6 * 3600 == pytest.approx(3 * row["gpus"])
    assert row["usd_per_request"] == pytest.approx(request)


@pytest.mark.slow
def test_prompts_that_are_cached_cost_less() -> None:
    answer = plan("llama-3.1-70b", rate=12, prefix="75%", pools="aggregated", pipeline=1)
    hits, without = answer["rows"][0], answer["without_prefix"]
    alone = plan("llama-3.1-70b", rate=12, pools="aggregated", pipeline=1)["rows"][0]
    assert (without["gpus"], without["usd_per_million_input"]) == (alone["gpus"], alone["usd_per_million_input"])
    assert served(without["command"])["prefix"] == 0
    assert hits["gpus"] < without["gpus"]
    assert hits["usd_per_million_input"] < without["usd_per_million_input"]


def test_weights_that_do_not_fit_the_devices_that_prefill_are_over_capacity() -> None:
    """810 GB of weights fit 8 devices of 150 GB, and not 4."""
    pools: dict[str, Any] = {"prefill": "tensor=4", "decode": "tensor=8"}
    answer = tscale.serve("llama-3.1-405b", gpu="h200", **pools)
    assert answer.exit_code == 3
    assert "the weights alone do not fit 4" in answer.to_dict()["over_capacity"]


def test_a_prefix_in_host_memory_is_read_before_the_first_token() -> None:
    """Keys and values of 80 layers, 8 heads of 128, in 16 bits: a device of 8 reads an eighth of them at 1 GB/s."""
    seconds = 2 * 80 * 8 * 128 * 2 * 6144 / 8 / 1e9
    asked: dict[str, Any] = {"gpu": "h200", "tensor": 8, "input": "8k", "output": 512, "prefix": 6144}
    here, there = (
        tscale.serve("llama-3.1-70b", **asked, host_bandwidth=host).to_dict()["ttft_seconds_at_least"]
        for host in (None, 1)
    )
    assert there == pytest.approx(seconds)
    assert here < seconds


def test_a_prefix_in_host_memory_takes_longer_than_one_on_the_device_and_less_than_none() -> None:
    ttft = [
        tscale.serve("llama-3.1-70b", gpu="h200", tensor=8, input="32k", prefix=cached, host_bandwidth=host).to_dict()[
            "ttft_seconds"
        ]["middle"]
        for cached, host in (("75%", None), ("75%", 55), (None, None))
    ]
    assert ttft == sorted(ttft)


@pytest.mark.slow
def test_chips_with_prices_are_ranked_by_dollars() -> None:
    rows = plan("llama-3.1-70b", "h100,h200,b200", rate=6)["rows"]
    dollars = [row["usd_per_request"] for row in rows]
    assert dollars == sorted(dollars)


def test_of_several_chips_each_deployment_says_its_own() -> None:
    """Also what would change the best, points of the front, and the nearest miss; of one chip, none does."""
    asked = ("--rate", "20", "--ttft", "1s", "--tpot", "30ms")
    chips = r"\((h100-sxm|rtx-4090)\)"
    out = run("plan", "llama-3.1-8b", "--serve", "--gpu", "h100,rtx-4090", *asked, "--details", columns=160).out
    for heading, end in (("what would change it", "\n\n"), ("Pareto front", "\n\n")):
        rows = out.partition(heading)[2].partition(end)[0].splitlines()[2:]
        assert rows
        assert all(re.search(chips, row) for row in rows)
    missed = run(
        "plan", "llama-3.1-8b", "--serve", "--gpu", "h100,rtx-4090", *asked[:2], "--ttft", "1ms", "--tpot", "1ms"
    )
    assert missed.code == 3
    assert re.search(rf"the nearest, [^(]*TP \d+ {chips}", " ".join(missed.out.split()))
    alone = run("plan", "llama-3.1-8b", "--serve", "--gpu", "h100", *asked, "--details", columns=160).out
    assert not re.search(chips, alone)


@pytest.mark.slow
def test_the_front_has_no_point_that_another_beats() -> None:
    points = plan("gpt-oss-120b", "b200", rate=10)["pareto"]
    speeds = [(point["tokens_per_second_per_user"], point["tokens_per_second_per_gpu"]) for point in points]
    assert speeds == sorted(speeds, reverse=True)
    assert [device for _, device in speeds] == sorted(device for _, device in speeds)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_a_front_is_what_comparing_all_pairs_leaves(points: list[tuple[int, int]]) -> None:
    first, second = (np.array(values, float) for values in zip(*points, strict=True))
    left = {
        point
        for point in points
        if not any(other != point and other[0] >= point[0] and other[1] >= point[1] for other in points)
    }
    assert [points[place] for place in front(first, second)] == sorted(left, reverse=True)


def test_arrays_of_loads_are_predicted_as_one_load_is() -> None:
    asked = {"model": "deepseek-v3", "gpu": "h200", "tensor": 4, "attention_data": 4, "expert": 16, "input": "4k"}
    from tscale.estimates.serve.prediction import case_of_ask

    request = question("serve").made(asked)
    case = case_of_ask(request.spec, request.hardware, request.asked, request.asked.deployment)
    loads: Any = np.array([1, 3, 4, 50, 700])
    many = predict_held(case._replace(concurrency=loads), shipped())
    for place, load in enumerate(loads):
        one = predict_held(case._replace(concurrency=int(load)), shipped())
        for name in ("tpot", "ttft", "latency"):
            ends = [np.broadcast_to(end, loads.shape)[place] for end in getattr(many, name)]
            assert ends == pytest.approx(list(getattr(one, name)), rel=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# A wider search finds no less
# ---------------------------------------------------------------------------------------------------------------------

_AXES = {
    "tensor": ("1", "2", "4"), "pipeline": ("1", "2"), "expert": ("1", "2", "4"), "attention_data": ("1", "2", "4"),
    "dtype": ("bf16", "fp8"), "cache_dtype": ("bf16", "fp8"), "engine": ("vllm", "sglang", "trtllm"), "chunk": ("1024", "4096"),
    "replicas": ("1", "3", "4", "9", "40"), "gpu": ("h100", "b200"), "draft_tokens": ("1", "3"), "pools": ("aggregated", "any"),
}  # fmt: skip
_LOADS: tuple[dict[str, Any], ...] = ({"rate": 2}, {"rate": 900}, {"users": 60}, {"users": 9000}, {"gpus": 16})


def _cost(**asked: Any) -> float:
    """Dollars an hour of the best, or the load that it carries, negated; infinite where none meets the targets."""
    asked = {
        "input": "1k",
        "output": 64,
        "ttft": "400ms",
        "tpot": "15ms",
        "acceptance": 0.7,
        "rank": "dollars",
        **asked,
    }
    if "draft_tokens" not in asked:
        del asked["acceptance"]
    search = question("plan").made({"serve": True, "top": 1, **asked}).deployments
    rows = searched(search).rows
    return ranking(rows[0], search.wanted)[0] if rows else np.inf


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))])
def test_a_search_with_more_values_of_an_axis_finds_no_worse(seed: int) -> None:
    """Values that are left out of an axis, or two, at random; for users and requests a second, and for the load of 16 devices."""
    random = default_rng(seed)
    asked: dict[str, Any] = {"model": "gpt-oss-20b", "gpu": "h100", "pools": "aggregated", **_LOADS[seed % len(_LOADS)]}
    asked |= {"tensor": "1,2", "pipeline": 1, "expert": 1, "attention_data": "1,2"}
    few, many = dict(asked), dict(asked)
    for name in random.permutation(list(_AXES))[:2]:
        values = _AXES[name]
        few[name] = values[int(random.integers(len(values)))]
        many[name] = values[-1] if name == "pools" else ",".join(values)
    assert _cost(**many) <= _cost(**few), (few, many)


def test_pools_that_are_none_hide_no_deployment_that_is() -> None:
    """Where a prompt alone takes nearly all of its time, pools apart take fewest devices, but have workers with nothing to do."""
    asked = {"rate": 500, "input": 512, "output": 256, "ttft": "64200us", "tpot": "8ms", "top": 1}
    together, any = (plan("llama-3.1-8b", "h100", **asked, pools=pools)["rows"] for pools in ("aggregated", "any"))
    assert any[0]["gpus"] <= together[0]["gpus"]


# ---------------------------------------------------------------------------------------------------------------------
# Measured deployments
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("what", "least"), [("as shipped", 0.95), ("by the formula alone", 0.8)])
def test_the_deployment_that_ranks_first_is_near_the_best_measured(what: str, least: float) -> None:
    """Within 10% of the best measured throughput in 8 of 10 groups; the formula alone knows nothing of single builds."""
    found = groups(slow_side(shipped() if what == "as shipped" else shipped()._replace(deviations={})))
    assert len(found) > 200
    assert sum(group.share >= 0.9 for group in found) >= least * len(found)


# ---------------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rate": 1, "users": 2}, "rate and users say how requests come in two ways"),
        ({"rate": 1, "ttft": None}, "needs ttft"),
        ({}, "give the load"),
        ({"rate": 1, "ttft": "2"}, "has no unit"),
        ({"rate": 1, "tpot": "30mss"}, "takes a time with its unit"),
        ({"rate": 1, "gpus": "8..64*2"}, "is one number"),
        ({"rate": 1, "draft_tokens": 4}, "need each other"),
        ({"rate": 1, "dtype": "bf16,fp9"}, "fp9"),
        ({"rate": 1, "engine": "vlm"}, "vllm"),
        ({"rate": 1, "tensor": "1..1000000+1"}, "at most 64"),
        ({"rate": 1, "memory_share": "90%"}, "is of training"),
        ({"rate": 1, "zero": 3}, "is of training"),
        ({"rate": 1, "prefix": "8k"}, "leaves nothing of a prompt"),
        ({"rate": 1, "tensor": 7}, "7 devices cannot share"),
        ({"rate": 1, "images": 1}, "has no tower that reads images: drop it"),
        ({"gpus": 1, "tensor": 8}, "no layout"),
    ],
    ids=str,
)
def test_what_is_refused_says_what_to_do(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        plan("llama-3.1-70b", **asked)
    assert "\n" not in str(caught.value)


def test_prompts_with_images_are_served_as_serve_says() -> None:
    """1,024 x 1,024 pixels in patches of 16, four to a token; towers take their time before the prefill."""
    asked: dict[str, Any] = {"input": "2k", "tensor": 1, "pools": "aggregated", "pipeline": 1}
    with_image, without = (
        plan("qwen3-vl-2b", "h100", rate=1, images=1, **asked),
        plan("qwen3-vl-2b", "h100", rate=1, **asked),
    )
    (media,) = with_image["media"]
    assert (media["count"], media["tokens"]) == (1, (1024 // 32) ** 2)
    assert "media" not in without
    row = with_image["rows"][0]
    assert served(row["command"])["ttft_seconds"] == pytest.approx(row["ttft_seconds"], rel=1e-12)
    assert row["ttft_seconds"]["middle"] > without["rows"][0]["ttft_seconds"]["middle"]
    with pytest.raises(
        RequestError, match=r"images and sounds take 3,072 tokens, and sequences of 2,048 hold no more: raise input"
    ):
        plan("qwen3-vl-2b", "h100", rate=1, images=3, **asked)


def test_a_model_that_serve_does_not_predict_is_refused_in_its_words() -> None:
    with pytest.raises(RequestError, match="is an encoder: it answers nothing token by token"):
        plan("bert-base", rate=1)


def test_without_numpy_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    done = run("plan", "gpt3", "--serve", "--gpu", "h200", "--rate", "4", "--ttft", "2s")
    assert (done.code, done.out) == (2, "")
    assert "plan needs numpy" in done.err


def test_no_is_exit_code_3() -> None:
    done = run("plan", "gpt3", "--serve", "--gpu", "h200", "--rate", "4", "--ttft", "1ms")
    assert (done.code, done.err) == (3, "")
    assert "no deployment" in done.out


APART: dict[str, Any] = {
    "pools": "disaggregated",
    "gpu": "h100",
    "input": "8k",
    "output": "1k",
    "rate": 5,
    "tpot": "30ms",
}


def test_pools_apart_take_no_more_devices_for_a_target_that_is_longer() -> None:
    """Workers that prefill are chosen by what they do in the time that a prompt alone leaves."""
    found = [plan("llama-3.1-70b", **APART, ttft=ttft)["rows"][0]["gpus"] for ttft in ("1400ms", "2s", "3s")]
    assert found == sorted(found, reverse=True)
    assert found[0] < 200


def test_where_a_prompt_alone_leaves_no_time_to_wait_no_number_of_devices_meets_the_target() -> None:
    done = run("plan", "llama-3.1-70b", "--serve", *(word for key, value in APART.items() for word in (f"--{key}", str(value))), "--ttft", "812ms")  # fmt: skip
    assert done.code == 3
    assert re.search(
        r"comes to TTFT 8\d\d ms and TPOT 2[345](\.\d)? ms with one request alone, and longer where requests wait",
        done.out,
    )


def test_pools_apart_of_which_none_meets_the_target_say_how_near_they_come() -> None:
    """And not that weights do not fit the devices that they were not tried on."""
    asked = {**APART, "ttft": "500ms"}
    done = run(
        "plan", "llama-3.1-70b", "--serve", *(word for key, value in asked.items() for word in (f"--{key}", str(value)))
    )
    assert done.code == 3
    title = done.out.splitlines()[0]
    assert re.search(
        r"meets TTFT 500 ms and TPOT 30 ms at 5 requests/s: the nearest, prefill 1 × TP 8 .* with one request alone$",
        title,
    )


def test_a_target_that_one_request_takes_nearly_all_of_says_so() -> None:
    """Of 4 requests/s on copies of TP 8 that take 64.8 ms of 65."""
    found = run(
        "plan",
        "llama-3.1-8b",
        *[
            "--serve",
            "--gpu",
            "h100",
            "--rate",
            "4",
            "--ttft",
            "65ms",
            "--input",
            "2000",
            "--output",
            "200",
            "--pools",
            "aggregated",
        ],
    )
    assert re.search(r"One request alone takes up to 64\.\d ms of the TTFT of 65\.0 ms: ", found.out)
    found = run(
        "plan",
        "llama-3.1-8b",
        *["--serve", "--gpu", "h100", "--rate", "4", "--ttft", "1s", "--input", "2000", "--output", "200"],
    )
    assert "One request alone" not in found.out


def made(devices: int, users: int) -> Any:
    """A unit that meets a target of 1 s for so many users and no more."""
    at_once = np.array([1.0, users, users + 1.0])
    curve = Curve(at_once, at_once, np.array([0.5, 1.0, 1.5]), np.full(3, 0.01))
    return SimpleNamespace(devices=devices, curve=curve, case=None)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_what_carries_most_on_all_devices_is_found_whatever_is_looked_at_first(most: int) -> None:
    """Eight devices: 8 copies for 10 users each, one for 100, or 2 for 45 each."""
    units = {"small": made(1, 10), "large": made(8, 100), "middle": made(4, 45)}
    wanted = Wanted("users", None, 8, Targets(ttft=1.0, tpot=1.0))
    found = islice(chosen(list(units.values()), wanted), most)
    assert [choice.load for _, choice in found] == [100, 90, 80][:most]


@pytest.mark.parametrize(("users", "devices"), [(20, 2), (21, 3), (100, 8), (101, None)])
def test_as_many_copies_as_there_are_devices_may_be(users: int, devices: int | None) -> None:
    """Units of one device for 10 users and of eight for 100, of which there are 8: 10 of the first would be too many for 100."""
    wanted = Wanted("users", users, 8, Targets(ttft=1.0, tpot=1.0))
    found = [choice.devices for _, choice in chosen([made(1, 10), made(8, 100)], wanted)][:1]
    assert found == ([] if devices is None else [devices])


def test_the_nearest_miss_is_the_least_times_over_the_worse_of_its_targets() -> None:
    """Three times over in the first token, or five times over in each further one."""

    def slow(ttft: float, tpot: float) -> Any:
        return SimpleNamespace(curve=SimpleNamespace(ttft=np.array([ttft]), tpot=np.array([tpot])))

    late, halting = slow(3.0, 0.01), slow(0.5, 0.05)
    found = nearest_miss([halting, late], Targets(ttft=1.0, tpot=0.01))
    assert found is not None
    assert found.unit is late
    assert found.times == pytest.approx(3)


def test_pools_of_any_speeds_are_tried_with_as_many_workers_as_keep_up() -> None:
    """A worker that prefills a request a second for one that decodes ten, and the other way round; one of each in any case."""
    assert {(1, 1), (10, 1)} <= set(_workers(1.0, 10.0))
    assert {(1, 1), (1, 10)} <= set(_workers(10.0, 1.0))


@pytest.mark.parametrize("most", [1, 5, 64, 65, 200, 5000])
def test_a_curve_has_each_number_of_requests_up_to_64_and_then_some_3_percent_apart(most: int) -> None:
    points = _grid(most).tolist()
    assert points[: min(most, 64)] == list(range(1, min(most, 64) + 1))
    assert points[-1] == most
    assert all(1 < after / before < 1.04 for before, after in pairwise(points[63:]))


def test_powers_of_two_go_up_to_a_number() -> None:
    assert [powers(most) for most in (1, 2, 7, 8)] == [(1,), (1, 2), (1, 2, 4), (1, 2, 4, 8)]
