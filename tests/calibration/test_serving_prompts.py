"""What pools for prompts take in: against published deployments, published rates of kernels, measured runs and a closed loop."""

from __future__ import annotations

import re
from fractions import Fraction
from heapq import heappop, heappush
from random import Random

import pytest

from tests.helpers import answer
from tscale.calibration.fit_serving import table
from tscale.calibration.serving_calibration import constants_for, predict_held, shipped
from tscale.calibration.serving_case import Pool, ServingCase
from tscale.calibration.serving_cases import case_of, is_grouped, passes_of
from tscale.calibration.serving_meanings import MEANINGS
from tscale.catalogue.hardware import find_hardware
from tscale.core.costs.serving_grouped import grouped_share
from tscale.core.costs.serving_loop import share_decoding
from tscale.core.costs.serving_prediction import Load, pool_seconds
from tscale.core.serving_layout import ServingLayout
from tscale.estimates.deployment import Deployment
from tscale.estimates.serve.prediction import predicted
from tscale.estimates.serve.times import Ask
from tscale.models.resolve import resolve


def spread(model: str, chip: str, devices: int, prompt: int, engine: str = "sglang") -> ServingCase:
    """A pool for prompts with experts in fp8 over all of its devices, whose steps take 16,384 tokens of each."""
    pool = Pool(ServingLayout(attention_data=devices, expert=devices), 1)
    requests = devices * 16384 // prompt
    case = ServingCase(
        resolve(model), find_hardware(chip), engine, "", "fp8", "fp8", prompt, 100, requests, pool, pool, True
    )
    return case._replace(chunk=16384)


@pytest.mark.parametrize(
    ("model", "chip", "prompt", "measured"),
    [
        # lmsys.org, 5 May 2025: four nodes of 8 H100, DeepSeek-V3, 16,384 tokens a device, tokens/s a node; the last with experts
        # that are met alike
        ("deepseek-v3", "h100", 1024, 57_674 / 8),
        ("deepseek-v3", "h100", 2048, 54_543 / 8),
        ("deepseek-v3", "h100", 4096, 50_302 / 8),
        ("deepseek-v3", "h100", 4096, 59_337 / 8),
        # the same page, of deepseek-ai/profile-data: four nodes of 8 H800
        ("deepseek-v3", "h800-sxm", 4096, 62_713 / 8),
        # lmsys.org, 20 July 2025: four nodes of 8 H200, Kimi K2, 224k tokens/s
        ("kimi-k2", "h200", 2000, 224_000 / 32),
    ],
)
def test_published_prompts_over_nodes(model: str, chip: str, prompt: int, measured: float) -> None:
    """Tokens of prompts that a device takes in each second: within the interval, and below what is possible."""
    times, seconds = predict_held(spread(model, chip, 32, prompt), shipped()), prompt / measured
    assert times.prefill.low < seconds < times.prefill.high
    assert times.prefill_bound < seconds


def test_published_prompts_of_gb200() -> None:
    """lmsys.org, 25 September 2025, and blog.vllm.ai, 3 February 2026: DeepSeek-V3, prompts of 2,000 tokens, tokens/s of a device.

    With experts in nvfp4 on two devices, 26,156 and 26,200. In fp8 on four, 18,471, which is at the fast end of the interval: the runs that
    are fitted to have few tokens an expert, and no rate of fp8 kernels with many was published of Blackwell. Without its experts the
    prompt is predicted to take less than what was measured, so that they are what is off.
    """
    nvfp4, fp8 = (
        spread("deepseek-v3", "gb200", 2, 2000)._replace(experts="nvfp4"),
        spread("deepseek-v3", "gb200", 4, 2000),
    )
    times = predict_held(nvfp4, shipped()).prefill
    assert times.low < 2000 / 26_200 < 2000 / 26_156 < times.high
    assert times.middle == pytest.approx(2000 / 26_156, rel=0.15)
    found, measured = predict_held(fp8, shipped()), 2000 / 18_471
    assert found.prefill_bound < found.prefill.low < measured < 0.7 * found.prefill.middle
    constants, work = constants_for(shipped(), fp8), passes_of(fp8).full
    experts = work.experts.flops / work.experts.peak / constants.first_experts
    assert found.prefill.middle - experts < measured < experts


def test_products_of_experts_go_at_published_rates() -> None:
    """deepseek-ai/DeepGEMM README at 327ec92: TFLOP/s of H800 (1,978.9 at the most) by rows an expert, up and down, in fp8."""
    rates = {8192: (1346, 1214), 4096: (1346, 1214), 1024: (1233, 925), 512: (1040, 916), 256: (932, 815)}
    most, growth = (MEANINGS[name].start for name in ("grouped", "grouped_growth"))
    for rows, (up, down) in rates.items():
        both = 3 / (2 / up + 1 / down)  # twice the work up
        assert grouped_share(rows, most, growth) == pytest.approx(both / 1978.9, rel=0.04)


def test_which_experts_go_by_kernels_of_published_rates() -> None:
    """Those in fp8, spread over several nodes of Hopper, of engines that have them."""
    assert is_grouped(spread("deepseek-v3", "h100", 32, 4096))
    assert is_grouped(spread("deepseek-v3", "h800-sxm", 16, 4096, "vllm"))
    others = [
        spread("deepseek-v3", "h200", 8, 4096),
        spread("deepseek-v3", "h100", 32, 4096, "trtllm"),
        spread("deepseek-v3", "gb200", 96, 4096),
        spread("deepseek-v3", "h100", 32, 4096)._replace(experts="bf16"),
    ]
    assert not any(map(is_grouped, others))
    assert not any(is_grouped(case_of(row)) for row in table())


def test_no_measured_pool_took_in_more_than_is_possible() -> None:
    """Little's law: requests over their latency are the prompts that came in. Three runs of 87 passed the middle, by 12% at the most."""
    passed = []
    for row in table():
        case = case_of(row)
        if case.disaggregated:
            times = predict_held(case, shipped())
            latency = float(row["ttft_ms"]) / 1000 + case.output * float(row["tpot_ms"]) / 1000
            ranks = case.prefill.workers * case.prefill.layout.attention_data
            rate = case.concurrency / latency
            assert rate < ranks / times.prefill_bound
            passed.append(rate / times.prompts_per_second)
    assert len(passed) == 87
    assert sum(share > 1 for share in passed) <= 4
    assert max(passed) < 1.13


@pytest.mark.parametrize(
    ("requests", "each", "decoding"), [(1, 0.3, 2.0), (5, 0.3, 2.0), (9, 0.3, 2.0), (40, 0.25, 1.5)]
)
def test_a_closed_loop_waits_for_its_pool(requests: int, each: float, decoding: float) -> None:
    """One prompt after the other, and as long decoding, event by event: what the last of many wait, and no less than the formula."""
    ready = [0.0] * requests
    free = waited = 0.0
    for _ in range(2000 * requests):
        came = heappop(ready)
        free = max(came, free) + each
        waited = free - came
        heappush(ready, free + decoding)
    load = Load(1, requests, 100, 0.0, 0.0)
    assert waited == pytest.approx(max(each, pool_seconds(each, decoding / 100, load)))


@pytest.mark.parametrize(("requests", "places"), [(9, 8), (48, 32), (20, 5), (8, 8)])
def test_a_closed_loop_waits_for_places(requests: int, places: int) -> None:
    """Answers of 0.8 to 1.2 s on so many places, event by event: what is waited on average, and what the formula says."""
    random = Random(7)  # noqa: S311 (no secret)
    free, came = [0.0] * places, [0.0] * requests
    waited = 0.0
    for turn in range(200 * requests):
        sent, place = heappop(came), heappop(free)
        began = max(sent, place)
        waited += (began - sent) * (turn >= 100 * requests)
        done = began + random.uniform(0.8, 1.2)
        heappush(free, done)
        heappush(came, done)
    load = Load(requests, 1, 100, 0.0, 0.0, places=places)
    assert waited / (100 * requests) == pytest.approx(max(0.0, pool_seconds(0.0, 0.01, load)), abs=0.01)


def simulated_loop(requests: int, workers: int, each: float, fixed: float, slope: float) -> tuple[float, float]:
    """Requests that decode at once on average, and seconds of a token, of a closed loop that is followed event by event.

    Workers take in one prompt after the other in `each` seconds; a step of n sequences takes fixed + slope·n seconds; answers have 40
    tokens, and who has the last sends the next prompt.
    """
    free, waiting, ready = [0.0] * workers, [0.0] * requests, list[float]()
    left, now, decoded, steps_of, began = list[int](), 0.0, 0.0, 0.0, 0.0
    for turn in range(12_000):
        for came in waiting:
            heappush(ready, taken := max(heappop(free), came) + each)
            heappush(free, taken)
        waiting.clear()
        if not left:
            now = max(now, ready[0])
        while ready and ready[0] <= now:
            heappop(ready)
            left.append(40)
        seconds = fixed + slope * len(left)
        if turn == 4000:
            began, decoded, steps_of = now, 0.0, 0.0
        now += seconds
        decoded += seconds * len(left)
        steps_of += len(left)
        waiting += [now] * left.count(1)
        left = [rest - 1 for rest in left if rest > 1]
    return decoded / (now - began), decoded / steps_of


@pytest.mark.parametrize(("each", "full"), [(0.01, False), (0.2, True), (0.6, True)])
def test_fewer_decode_where_the_pool_for_prompts_is_full(each: float, full: bool) -> None:
    """64 requests, two workers for prompts: those that decode, and seconds of a token, as in a loop event by event."""
    fixed, slope = 0.02, 0.001
    found = share_decoding(lambda share: 40 * (fixed + slope * 64 * share), each, 64 / 2 * each)
    decoding, tpot = simulated_loop(64, 2, each, fixed, slope)
    assert 64 * found == pytest.approx(decoding, rel=0.03, abs=0.5)
    assert fixed + slope * 64 * found == pytest.approx(tpot, rel=0.03)
    assert (found < 0.8) == full


def test_a_full_pool_for_prompts_leaves_fewer_to_decode() -> None:
    """Of 4,000 requests with one worker for prompts, those that decode are what Little's law says; with eight, more are, and slower."""
    small, large = (
        spread("deepseek-v3", "h100", 32, 4096)._replace(concurrency=4000, output=500, prefill=Pool(pool, workers))
        for pool, workers in (
            (ServingLayout(attention_data=8, expert=8), 1),
            (ServingLayout(attention_data=8, expert=8), 8),
        )
    )
    few, many = (predict_held(case, shipped()) for case in (small, large))
    assert few.tpot.middle < many.tpot.middle
    alone = predict_held(small._replace(concurrency=32), shipped())
    assert (
        alone.tpot_bound == few.tpot_bound == many.tpot_bound
    )  # a sequence of each copy: how many more there are is no bound
    assert few.latency.middle == pytest.approx(4000 / few.prompts_per_second, rel=0.05)


def test_a_draft_decodes_with_as_many_as_its_model() -> None:
    """Where a full pool leaves few to decode, its draft's steps are those of as few; the bound is of one sequence of each copy."""
    model = spread("deepseek-v3", "h100", 32, 4096)._replace(output=500, concurrency=4000)
    small = model._replace(prefill=Pool(ServingLayout(attention_data=8, expert=8), 1))
    draft = ServingCase(
        resolve("llama-3.1-8b"),
        model.hardware,
        "sglang",
        "",
        "fp8",
        "fp8",
        4096,
        500,
        4000,
        small.prefill,
        model.decode,
        True,
    )
    guessed = predict_held(small._replace(guesses=3, yielded=2.0, draft=draft), shipped())
    assert guessed.tpot_bound < guessed.tpot.middle
    alone = predict_held(small._replace(guesses=3, yielded=2.0, draft=draft, concurrency=32), shipped())
    assert guessed.tpot_bound == alone.tpot_bound


def test_steps_that_are_shared_have_no_pool() -> None:
    assert pool_seconds(0.3, 0.02, Load(1, 40, 100, 0.0, 1.0)) == 0


POOLS = "serve deepseek-v3 --gpu h100 --engine sglang --prefill attention_data=32,expert=32 --decode attention_data=72,expert=72"
LOAD = "--input 2000 --output 100 --chunk 16384 --concurrency"


def test_serve_says_what_the_pool_takes_in() -> None:
    found = answer(*POOLS.split(), *LOAD.split(), "17000")
    speeds, most = (found[f"prompt_tokens_per_second_per_gpu{end}"] for end in ("", "_at_most"))
    assert speeds["low"] < 54_543 / 8 < speeds["high"] <= most
    assert found["requests_per_second"] == pytest.approx(32 * speeds["middle"] / 2000, rel=0.05)
    assert found["ttft_seconds"]["high"] <= found["latency_seconds"]["high"]
    assert found["latency_seconds_at_least"] == pytest.approx(17_000 * 2000 / (32 * most))
    assert any("and is full" in note for note in found["notes"])
    assert any("DeepGEMM" in note for note in found["notes"])


def test_one_pool_has_none_for_prompts() -> None:
    found = answer("serve", "llama-3.1-70b", "--gpu", "h100", "--tensor", "4", "--concurrency", "16")
    assert found["prompt_tokens_per_second_per_gpu"] is None


def test_requests_that_wait_for_a_full_pool_hold_no_cache() -> None:
    """One worker for prompts: as many decode as it takes in prompts while one is answered, however many wait (Little's law)."""
    layout = ServingLayout()
    apart = Deployment(layout=layout, prefill=layout)
    times = []
    for requests in (4_000, 400_000):
        ask = Ask(batch=requests, context=8192, output=256, deployment=apart)
        found = predicted(resolve("llama-3.1-8b"), find_hardware("h100"), ask).times
        assert found is not None
        assert requests * found.decoding == pytest.approx(found.prompts_per_second * 256 * found.tpot.middle, rel=0.2)
        times.append(found)
    assert 4_000 * times[0].decoding == pytest.approx(400_000 * times[1].decoding, rel=0.01)
    assert times[1].latency.middle == pytest.approx(100 * times[0].latency.middle, rel=0.05)


def test_as_many_as_the_cache_holds_may_decode() -> None:
    """Eight workers for prompts and one that decodes: the refusal names the most that may be asked for, some of whom wait."""
    layout = ServingLayout()
    spec, chip = resolve("llama-3.1-8b"), find_hardware("h100")
    many = Deployment(layout=layout, prefill=layout._replace(replicas=8))
    refused = predicted(spec, chip, Ask(batch=5_000, deployment=many)).refused
    asked = re.fullmatch(
        r"over capacity: the cache holds (\d+) requests of 2,304 tokens, and [\d,]+ of the 5,000 that are asked for would hold one: ask "
        r"for at most (\d+); the rest would queue, which is not predicted",
        refused,
    )
    assert asked is not None
    holds, most = map(int, asked.groups())
    assert holds < most < 1.2 * holds
    last = predicted(spec, chip, Ask(batch=most, deployment=many))
    assert last.times is not None and most * last.times.decoding <= holds + 1
    assert predicted(spec, chip, Ask(batch=most + 1, deployment=many)).times is None


def test_a_rate_that_prompts_do_not_come_to_ends_where_more_bring_no_more() -> None:
    apart = Deployment(layout=ServingLayout(tensor=2, expert_tensor=2), prefill=ServingLayout(), rate=Fraction(2000))
    refused = predicted(resolve("llama-3.1-8b"), find_hardware("h100"), Ask(deployment=apart)).refused
    assert "and more of them come to no more; 2,000 are asked for" in refused
    assert int(re.findall(r"with ([\d,]+) concurrent", refused)[0].replace(",", "")) <= 4096
