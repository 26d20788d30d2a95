"""How many requests at once answer a rate, and the deployments that are predicted, by a search of all numbers and by hand."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.calibration.interval import Interval
from tscale.calibration.serving_calibration import Prediction
from tscale.calibration.serving_case import Pool
from tscale.calibration.serving_deployed import OverCapacityError
from tscale.catalogue.hardware import find_hardware
from tscale.core.dtypes import DTYPES
from tscale.core.serving_layout import ServingLayout
from tscale.errors import RequestError
from tscale.estimates.deployment import Deployment
from tscale.estimates.serve import prediction
from tscale.estimates.serve.times import Ask, Draft

SMALL = (
    "name: {}\nlayers: 4\nd_model: 64\nvocabulary: 512\ncontext: 4096\ntied: true\nattention: {{heads: 4}}\npositions: {{kind: rotary}}\n"
    "norm: {{kind: rmsnorm}}\nfeed_forward: {}\n"
)
MODEL, GUESSER = spec(SMALL.format("small", "{d_ff: 96}")), spec(SMALL.format("guesser", "{d_ff: 32}"))
H100 = find_hardware("h100")


class _Case(SimpleNamespace):
    def _replace(self, **changed: Any) -> _Case:
        return _Case(**vars(self) | changed)


def test_a_rate_is_answered_by_the_fewest_requests_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """By trying 1, 2, 3 and so on, where a cache holds some of them and speeds rise by chance, with each more; each end comes up many times."""
    dice, limit = Random(1), 40  # noqa: S311 (a sample is no secret)
    monkeypatch.setattr(prediction, "MOST", limit)
    for _ in range(600):
        holds = dice.choice([0, 1, 2, 3, 4, 7, 8, 16, 17, 31, 32, 33, 39, 40, 99])
        rates, speed = [0.0], 0.0
        for _ in range(limit):
            speed += dice.choice([1, 1, 5])
            rates.append(speed)
        tried: list[int] = []

        def rate_of(
            case: Any, calibration: Any, many: int, measured: Any, end: str, holds: int = holds, rates: list[float] = rates, tried: list[int] = tried
        ) -> float:  # fmt: skip
            assert (case.prompt, calibration, measured, end) == (70.4, "constants", "a run", "middle")
            tried.append(many)
            assert len(tried) < 16, "each step doubles or halves"
            if many > holds:
                raise OverCapacityError(f"{many} are too many", holds)
            return rates[many]

        monkeypatch.setattr(prediction, "_rate", rate_of)
        wanted, most = dice.choice([1, 2, 30, 60, 100]), min(holds, limit)
        case: Any = _Case(prompt=70.4, output=30.2, concurrency=1)
        enough = [many for many in range(1, most + 1) if rates[many] >= wanted]
        if enough:
            assert prediction.at_rate(case, "constants", wanted, "a run").concurrency == enough[0]  # type: ignore[arg-type]
            continue
        with pytest.raises(OverCapacityError) as caught:
            prediction.at_rate(case, "constants", wanted, "a run")  # type: ignore[arg-type]
        assert caught.value.holds == most
        if not most:
            assert str(caught.value) == "1 are too many"
        else:
            why = ", all that the cache holds" if holds < limit else ""
            assert str(caught.value) == (
                f"over capacity: at most {rates[most]:.3g} requests/s are predicted, with {most:,} concurrent requests of 101 tokens{why}; "
                f"{wanted} are asked for, and the rest would queue, which is not predicted"
            )


def test_requests_answered_a_second_are_those_at_once_over_the_time_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        prediction, "predict", lambda case, *_: SimpleNamespace(latency=Interval(1.0, 2.0 + case.concurrency, 12.0))
    )
    case: Any = _Case(concurrency=1)
    assert [prediction._rate(case, None, 6, None, end) for end in ("low", "middle", "high")] == [6, 6 / 8, 6 / 12]  # type: ignore[arg-type]
    found: Any = prediction.Predicted(_Case(concurrency=9), None, SimpleNamespace(latency=SimpleNamespace(middle=4.5)))  # type: ignore[arg-type]
    assert found.requests_per_second == 2


def test_each_end_of_an_interval_carries_a_rate_by_its_own_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """n requests take 1 + n/4, 1 + n/2 and 2 + n/2 s: 1.5 a second are 3, 6 and 12 at once, of which 12 are more than are held."""

    def predict(case: Any, *_: Any) -> Any:
        n = case.concurrency
        if n > case.holds:
            raise OverCapacityError("too many", case.holds)
        times = Interval(1 + n / 4, 1 + n / 2, 2 + n / 2)
        return Prediction(times, times, times, 0, 0, 0, "", "", None, 1.0, times, 0, 1.0)

    monkeypatch.setattr(prediction, "predict", predict)
    case: Any = _Case(concurrency=1, holds=99, prompt=1, output=1)
    found = prediction._predicted_at(case, None, 1.5, None)  # type: ignore[arg-type]
    assert (found.case.concurrency, found.slow_refused) == (6, "")
    assert found.times is not None
    assert found.times.ttft == found.times.tpot == found.times.latency == (1 + 3 / 4, 4, 8)  # 2.4/(1 + 2.4/4) is 1.5
    short = prediction._predicted_at(case._replace(holds=8), None, 1.5, None)  # type: ignore[arg-type]
    assert short.times is not None
    assert short.times.latency == (1 + 3 / 4, 4, 5)
    assert "over capacity: at most 1.33 requests/s" in short.slow_refused


def test_a_deployment_is_what_is_asked_of_it() -> None:
    """Copies are workers of a pool; a rate of the host is in bytes; without a layout all devices share each layer."""
    ask = Ask(DTYPES["fp8"], None, 4, 7, 300, 40, prefix=10, host=Fraction(5, 2))
    plain = prediction.case_of_ask(MODEL, H100, ask, Deployment("sglang", "0.5", chunk=512))
    assert (plain.engine, plain.version, plain.prompt, plain.output, plain.concurrency) == ("sglang", "0.5", 300, 40, 7)
    assert (plain.prefix, plain.host, plain.chunk, plain.tower_seconds, plain.guesses) == (10, 2.5e9, 512, 0, 0)
    assert (plain.weights, plain.experts, plain.disaggregated) == ("fp8", "fp8", False)
    assert plain.cache is not None
    assert plain.cache.name == "bf16"
    assert plain.prefill == plain.decode == Pool(ServingLayout(4, 1, 1, 4), 1)
    apart = Deployment(
        layout=ServingLayout(2, 1, 4, 1, 2, 3), prefill=ServingLayout(1, 2, 1, 1, 1, 5), bound=False, calibration=""
    )
    towers = Ask(cache=DTYPES["fp8"], tower_flops=10**12)
    pools = prediction.case_of_ask(MODEL, H100, towers, apart)
    assert pools.disaggregated
    assert (pools.decode, pools.prefill) == (Pool(ServingLayout(2, 1, 4, 1, 2), 3), Pool(ServingLayout(1, 2), 5))
    assert (pools.weights, pools.host, pools.cache) == ("bf16", 0, DTYPES["fp8"])
    assert pools.tower_seconds == pytest.approx(1e12 / H100.device().flops_per_second["bf16"])
    encoder: Any = SimpleNamespace(kind="encoder", label="It")
    with pytest.raises(RequestError, match="It is an encoder: the calibration knows decoders alone"):
        prediction.case_of_ask(encoder, H100, ask, Deployment())
    sees: Any = SimpleNamespace(kind="decoder", label="It", image_positions=3)
    with pytest.raises(RequestError, match="layers of It attend to images"):
        prediction.case_of_ask(sees, H100, ask, Deployment())


def test_a_draft_stands_in_one_stage_and_its_experts_are_cut_over_all_ranks() -> None:
    """With a chance of a half, 3 guesses yield 1 + 1/2 + 1/4 + 1/8 tokens."""
    layout = Deployment(layout=ServingLayout(4, 2, 8, 1, 2, 3))
    drafted = prediction.case_of_ask(MODEL, H100, Ask(draft=Draft(GUESSER, 3, Fraction(1, 2))), layout)
    assert (drafted.guesses, drafted.yielded) == (3, 1.875)
    assert drafted.draft is not None
    assert drafted.draft.spec is GUESSER
    assert drafted.draft.decode == drafted.draft.prefill == Pool(ServingLayout(4, 1, 1, 8, 2), 3)
    assert (drafted.draft.guesses, drafted.draft.disaggregated) == (0, False)
    free = prediction.case_of_ask(MODEL, H100, Ask(draft=Draft(None, 3, Fraction(1, 2))), layout)
    assert (free.guesses, free.yielded, free.draft) == (3, 1.875, None)


def test_formats_of_constants_are_those_of_attention_and_of_routed_experts() -> None:
    """A file that keeps experts in few bits and all else in 16 has two; a dense model's experts go by its attention."""
    routed = SMALL.format("routed", "{kind: experts, experts: 2, top_k: 1, d_ff: 32}")
    named = "weights: {rest: bf16, cache: fp8, rules: [{format: mxfp4, parts: [experts]}]}\n"
    assert prediction.case_of_ask(MODEL, H100, Ask(), Deployment())[4:6] == ("bf16", "bf16")
    both = prediction.case_of_ask(spec(routed + named), H100, Ask(), Deployment())
    assert (both.weights, both.experts) == ("bf16", "mxfp4")
    assert both.cache == DTYPES["fp8"], "as the file says"


def test_what_is_not_predicted_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "predicted", lambda *_: "made")
    assert prediction.prediction_of(MODEL, H100, Ask()) == "made"
    bounds = prediction.prediction_of(MODEL, H100, Ask(deployment=Deployment(bound=True)))
    assert bounds == "bounds alone are asked for"
    assert prediction.prediction_of(MODEL, H100, Ask(by_sequences=True)) == (
        "a cache that is split by sequences was not measured"
    )
    found: Any = prediction.data_of("why not")
    assert found == {"ttft_seconds": None, "tpot_seconds": None, "not_predicted": "why not"}
