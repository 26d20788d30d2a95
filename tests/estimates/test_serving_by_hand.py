"""What follows from times of serving: causes, prices, speeds, and deployments in words and data; of stand-ins worked out by hand."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import inf
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tscale.calibration.interval import Interval
from tscale.calibration.serving_case import Pool
from tscale.catalogue import run_counts
from tscale.core.costs.collectives import Least
from tscale.core.costs.roofline import Work
from tscale.core.dtypes import DTYPES
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.estimates import capacity, laws, utilisation
from tscale.estimates import loss as judged
from tscale.estimates.media import Media
from tscale.estimates.plan_serve import data, relax, search, text
from tscale.estimates.rent import Rent
from tscale.estimates.serve import dollars, parts, prediction, reached
from tscale.estimates.serve.times import Times
from tscale.planning.deployment_curves import Unit
from tscale.planning.deployment_loads import Targets

# ---------------------------------------------------------------------------------------------------------------------
# What a pass waits for, and what it costs
# ---------------------------------------------------------------------------------------------------------------------

ONE: Any = SimpleNamespace(
    device=SimpleNamespace(memory_bytes_per_second=10), seconds=lambda line: line.seconds(10),
    ask=SimpleNamespace(efficiency=1, draft=None, gpus=4, batch=5, context=100, output=20), spec=SimpleNamespace(name="it"),
)  # fmt: skip
"""Memory of 10 bytes a second."""


def _line(flops: int = 0, weights: float = 0, cache: int = 0, sent: int = 0) -> Work:
    return Work("x", "cache", flops, 2, weights, cache, sent, Least())


def test_a_line_waits_for_the_longest_of_its_parts() -> None:
    """Of 2 FLOP/s: 10 take 5 s, as long as 50 bytes."""
    for line, why in (
        (_line(11, 50), "compute"), (_line(10, 50), "weights"), (_line(10, 25, 25), "weights"), (_line(10, 24, 26), "cache"), (_line(100, 1, 1, 1), "communication"),
    ):  # fmt: skip
        assert parts.cause(ONE, line) == why


def test_shares_of_a_pass_are_of_all_its_time() -> None:
    """10 s of computing, 4 of weights, 3 of a cache: together 7 of memory."""
    lines = [_line(20), _line(0, 40), _line(0, 0, 30)]
    assert parts.causes(ONE, lines) == pytest.approx(
        {"compute": 10 / 17, "weights": 4 / 17, "cache": 3 / 17, "communication": 0}
    )
    assert parts.bound(ONE, lines) == "compute"
    assert parts.bound(ONE, [_line(12), *lines[1:]]) == "memory"


def test_times_are_bounds_unless_something_is_assumed() -> None:
    for efficiency, draft, known in ((1, None, "bound"), (Fraction(1, 2), None, "assumed"), (1, object(), "assumed")):
        one: Any = SimpleNamespace(ask=SimpleNamespace(efficiency=efficiency, draft=draft))
        assert parts.speed_known(one) == known


def test_a_million_tokens_take_hours_of_all_devices() -> None:
    """4 devices: 9 s of prefill and 1 of a draft's for 5 prompts of 100 tokens; 0.5 s for 5 tokens of answers."""
    times = Times(9.0, 0.5, 0.4, 0.6, drafting=1.0)
    assert reached._hours_in(ONE, times) == pytest.approx(4 * 10 / 3600 / 500 * 1e6)
    assert reached._hours_out(ONE, times) == pytest.approx(4 * 0.5 / 3600 / 5 * 1e6)
    rent = Rent(Fraction(2), Fraction(3), Fraction(5), "assumed")
    ranges: Any = reached._price_ranges(ONE, times, rent)
    found = ranges["usd_per_million_output_tokens_range"]
    assert [found[end].value for end in ("low", "high")] == pytest.approx(
        [4 * 0.5 / 3600 / 5 * 1e6 * price for price in (2, 5)]
    )
    assert reached._price_ranges(ONE, times, None) == {
        "usd_per_million_input_tokens_range": None,
        "usd_per_million_output_tokens_range": None,
    }


def test_tokens_in_and_out_pay_for_all_devices_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 devices at 3 dollars answer 2 requests of 100 and 20 tokens a second, and a fifth of what they do is for prompts."""
    monkeypatch.setattr(dollars, "prompt_share", lambda _, calibration: {"own": 0.2}[calibration])
    rent = Rent(Fraction(3), Fraction(3), Fraction(3), "exact")
    case = SimpleNamespace(devices=8, disaggregated=False, prompt=100.0, output=20.0)
    predicted: Any = SimpleNamespace(case=case, requests_per_second=2.0, times=object(), calibration="own")
    found = dict(dollars.dollars_of(predicted, rent))
    into, out = (found[key].value for key in dollars.DOLLARS)
    assert (into, out) == (pytest.approx(1.6 / 3600 / 200 * 1e6 * 3), pytest.approx(6.4 / 3600 / 40 * 1e6 * 3))  # type: ignore[comparison-overlap]
    assert (into * 200 + out * 40) / 1e6 == pytest.approx(8 * 3 / 3600)
    assert not list(dollars.dollars_of("why not", rent))
    assert not list(dollars.dollars_of(predicted, None))


def test_a_pool_takes_in_the_tokens_of_a_prompt_over_its_devices() -> None:
    """1,200 tokens on 2 by 3 devices in 4 s: 50 a second of each; no faster than in 2 s."""
    pool = SimpleNamespace(layout=SimpleNamespace(tensor=2, pipeline=3))
    case: Any = SimpleNamespace(disaggregated=True, prefill=pool, prompt=1200.0)
    times: Any = SimpleNamespace(prefill=Interval(2.5, 4.0, 8.0), prefill_bound=2.0)
    assert prediction.speeds_taken_in(case, times) == (Interval(25.0, 50.0, 80.0), 100.0)
    found: Any = prediction._taken_in(case, times)
    assert found["prompt_tokens_per_second_per_gpu_at_most"].value == 100.0
    together: Any = SimpleNamespace(disaggregated=False)
    assert set(prediction._taken_in(together, times).values()) == {None}


# ---------------------------------------------------------------------------------------------------------------------
# Deployments
# ---------------------------------------------------------------------------------------------------------------------


def test_degrees_of_a_layout_in_words() -> None:
    for layout, words in (
        (ServingLayout(1, 1, 1, 1, 1), "TP 1"), (ServingLayout(8, 1, 1, 8, 1), "TP 8"), (ServingLayout(8, 2, 8, 1, 1), "TP 8, PP 2, EP 8"),
        (ServingLayout(4, 1, 2, 2, 1), "TP 4, EP 2, ETP 2"),
    ):  # fmt: skip
        assert text.layout_words(layout) == words


def _case(**given: Any) -> Any:
    return SimpleNamespace(
        **{
            "disaggregated": False, "decode": Pool(ServingLayout(4, 2, 1, 4, 1), 3), "prefill": Pool(ServingLayout(2, 1, 1, 2, 1), 1), "concurrency": 7, "devices": 24,
            "output": 20.0, **given,
        }
    )  # fmt: skip


def _plan(**given: Any) -> Any:
    return SimpleNamespace(
        **{
            "model": ("gpt2",), "context": 100, "output": 20, "prefix": 0, "host": None, "version": "", "calibration": "", "arrivals": "rate", "load": 2.5,
            "targets": Targets(2.0, 0.03), "chips": (1,), "engines": ("vllm",), "weights": (None,), "caches": (None,), "drafts": (None,), "chunks": (0,), "spec": None, "media": Media(),
            **given,
        }
    )  # fmt: skip


def _base(**given: Any) -> Any:
    chip = SimpleNamespace(words=("--gpu", "h100"), hardware=SimpleNamespace(name="h100-sxm"), rent=None)
    return SimpleNamespace(
        **{"chip": chip, "weights": None, "cache": None, "engine": "vllm", "draft": None, "chunk": 0, **given}
    )


def test_a_deployment_is_asked_of_serve_by_what_is_not_usual() -> None:
    plain = "tscale serve gpt2 --gpu h100 --tensor 4 --pipeline 2 --replicas 3 --input 100 --output 20 --concurrency 7"
    assert text.serve_command(_plan(), _base(), _case()) == f"{plain} --engine vllm"
    assert "--concurrency 7 --images 2 --engine" in text.serve_command(_plan(media=Media(images=2)), _base(), _case())
    draft = SimpleNamespace(tokens=3, acceptance=Fraction(3, 4))
    full = text.serve_command(
        _plan(prefix=9, host=Fraction(55), version="1.0", calibration="own.yaml"), _base(weights=DTYPES["fp8"], cache=DTYPES["fp8"], draft=draft, chunk=512), _case()
    )  # fmt: skip
    assert full == (
        f"{plain} --prefix 9 --host-bandwidth 55 --dtype fp8 --cache-dtype fp8 --draft-tokens 3 --acceptance 0.75 --engine vllm --engine-version 1.0 --chunk 512 "
        "--calibration own.yaml"
    )
    apart = text.serve_command(_plan(), _base(), _case(disaggregated=True))
    assert "--prefill tensor=2 --decode tensor=4,pipeline=2,replicas=3 --input" in apart
    assert text.deployment_words(_case()) == "3 × TP 4, PP 2"
    assert text.deployment_words(_case(disaggregated=True)) == "prefill 1 × TP 2 + decode 3 × TP 4, PP 2"


def test_what_was_tried_is_said_where_there_was_more_of_it() -> None:
    base = _base(weights=DTYPES["fp8"], chunk=512)
    assert text.asked_words(base, _plan()) == ""
    several = _plan(chips=(1, 2), engines=(1, 2), weights=(1, 2), caches=(1, 2), drafts=(1, 2), chunks=(1, 2))
    assert (
        text.asked_words(base, several)
        == "h100-sxm, vllm, weights fp8, cache as released, 0 draft tokens, chunks of 512"
    )


def test_loads_and_targets_in_words() -> None:
    assert text.load_words(_plan(arrivals="users"), 1234.4) == "1,234 users"
    assert text.load_words(_plan(), 12.0) == "12 requests/s"
    for targets, words in (
        (Targets(2.0, 0.03), "TTFT 2 s and TPOT 30 ms"),
        (Targets(2.0, 0.03, 0.9), "TTFT 2 s (p90) and TPOT 30 ms"),
        (Targets(2.0, inf), "TTFT 2 s"),
        (Targets(inf, 0.03), "TPOT 30 ms"),
    ):
        assert text.target_words(_plan(targets=targets)) == words


def test_engines_load_a_path_as_it_was_given() -> None:
    assert [text._checkpoint(_plan(model=(name,))) for name in ("gpt2", "org/name", "./here")] == [
        "MODEL",
        "org/name",
        "./here",
    ]


def test_each_pool_of_a_deployment_is_launched_with_its_own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """7 places of a unit with 3 workers are 3 for each; a pool that prefills has none; sequences are of prompt and answer."""
    unit = SimpleNamespace(
        cache=None,
        decode=Pool(ServingLayout(4, 1, 1, 4, 1), 3),
        prefill=Pool(ServingLayout(2, 1, 1, 2, 1), 2),
        disaggregated=False,
    )
    row: Any = SimpleNamespace(places=7, choice=SimpleNamespace(unit=SimpleNamespace(case=unit)))
    one = list(text._workers(_plan(), _base(chunk=512), row))
    assert [
        (launch.model, launch.role, launch.at_once, launch.tokens, launch.weights, launch.cache, launch.chunk)
        for launch in one
    ] == [("MODEL", "", 3, 120, "", "", 512)]
    unit.disaggregated, unit.cache = True, DTYPES["fp8"]
    monkeypatch.setattr(text, "release_in", lambda *_: None)
    both = list(text._workers(_plan(), _base(weights=DTYPES["fp8"]), row))
    assert [(launch.role, launch.at_once, launch.layout.tensor, launch.weights, launch.cache) for launch in both] == [
        ("prefill", 0, 2, "fp8", "fp8"),
        ("decode", 3, 4, "fp8", "fp8"),
    ]
    monkeypatch.setattr(text, "release_in", lambda *_: SimpleNamespace(name="org/model-fp8"))
    assert [(launch.model, launch.weights) for launch in text._workers(_plan(), _base(weights=DTYPES["fp8"]), row)] == [
        ("org/model-fp8", "")
    ] * 2


def _row(**given: Any) -> Any:
    return SimpleNamespace(
        **{"case": _case(), "load": 2.5, "requests_per_second": 4.0, "ttft_at_most": 1.0, "meets": lambda _: True, "times": SimpleNamespace(tpot=Interval(0.01, 0.02, 0.03)), **given}
    )  # fmt: skip


def test_requests_are_those_that_come_or_of_users_those_that_are_answered() -> None:
    """24 devices: 2.5 or 4 requests a second of 20 tokens."""
    assert (data.answered_per_second(_plan(), _row()), data.answered_per_second(_plan(arrivals="users"), _row())) == (
        2.5,
        4.0,
    )
    assert data.tokens_per_device(_plan(), _row()) == pytest.approx(2.5 * 20 / 24)
    assert (data.load_figure(_plan(), 2.5).known, data.load_figure(_plan(), 2.6).known) == ("exact", "predicted")
    assert data.load_figure(_plan(arrivals="users", load=3), 2.6).value == 3
    for row, verdict in (
        (_row(), "meets"),
        (_row(meets=lambda _: False), "misses_tpot"),
        (_row(meets=lambda _: False, ttft_at_most=2.0), "misses_tpot"),
        (_row(meets=lambda _: False, ttft_at_most=2.1), "misses_ttft"),
    ):
        assert data.verdict_of(_plan(), row) == verdict


def test_what_requests_cost_is_divided_between_prompts_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 devices at 3 dollars, 2.5 requests a second, of which prompts of 100 tokens take a quarter, and answers of 20 the rest."""
    monkeypatch.setattr(data, "prompt_share", lambda *_: 0.25)
    rent = Rent(Fraction(2), Fraction(3), Fraction(4), "assumed")
    found: Any = SimpleNamespace(base_of=lambda _: SimpleNamespace(chip=SimpleNamespace(rent=rent)), calibration=None)
    cost = data.cost_of(_plan(), found, _row())
    assert cost is not None
    request = 72 / 3600 / 2.5
    assert (cost.hour, cost.request) == (72.0, pytest.approx(request))  # type: ignore[comparison-overlap]
    assert (cost.input, cost.output) == (  # type: ignore[comparison-overlap]
        pytest.approx(request * 1e6 * 0.25 / 100),
        pytest.approx(request * 1e6 * 0.75 / 20),
    )
    assert (cost.figure("hour").known, cost.figure("request").known, cost.prompts) == ("assumed", "assumed", 0.25)
    without: Any = SimpleNamespace(base_of=lambda _: SimpleNamespace(chip=SimpleNamespace(rent=None)))
    assert data.cost_of(_plan(), without, _row()) is None


def test_the_front_has_what_none_beats_in_both_speeds() -> None:
    """By users and devices: (100, 10) and (50, 20) stand, and of the second unit (40, 60); (100, 9) and (30, 20) are beaten."""

    def unit(devices: int, tpot: list[float], throughput: list[float]) -> Any:
        curve = SimpleNamespace(
            tpot=np.array(tpot), throughput=np.array(throughput), at_once=np.arange(1.0, len(tpot) + 1)
        )
        return SimpleNamespace(devices=devices, curve=curve, case=SimpleNamespace(output=20.0))

    units = (unit(2, [1 / 100, 1 / 50], [1.0, 2.0]), unit(4, [1 / 100, 1 / 40, 1 / 30], [1.8, 12.0, 4.0]))
    found: Any = SimpleNamespace(units=units)
    points = [
        (round(one.per_user), round(one.per_device), one.at_once, units.index(one.unit)) for one in data.pareto(found)
    ]
    assert points == [(100, 10, 1, 0), (50, 20, 2, 0), (40, 60, 2, 1)]
    assert [round(one.per_user) for one in data.thinned(data.pareto(found), 2)] == [100, 40]
    assert [round(one.per_user) for one in data.thinned(data.pareto(found), 3)] == [100, 50, 40]
    assert data.pareto(SimpleNamespace(units=())) == []  # type: ignore[arg-type]


def test_a_time_is_written_in_seconds_from_one_on() -> None:
    assert [relax._spelt(seconds) for seconds in (4.0, 1.0, 0.06, 0.999, 1.5)] == ["4s", "1s", "60ms", "999ms", "1.5s"]
    assert relax._looser(Targets(2.0, 0.03), "tpot", 2) == Targets(2.0, 0.06)
    assert relax._looser(Targets(2.0, 0.03), "ttft", 2) == Targets(4.0, 0.03)


def test_what_binds_is_what_a_quarter_more_of_raises_the_load_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load of 100: of gains of at least half a per cent the largest; where memory ends a unit's curve, more of it may be."""
    best = SimpleNamespace(unit=SimpleNamespace(case=None), carried=SimpleNamespace(load=100.0))
    found: Any = SimpleNamespace(rows=[SimpleNamespace(choice=best)], calibration=None)
    wanted: Any = SimpleNamespace(targets=Targets(2.0, 0.03))
    wanted._replace = lambda targets: SimpleNamespace(targets=targets)
    larger: Any = Unit(None, None, True)  # type: ignore[arg-type]
    for ttft, tpot, memory, name in (
        (120.0, 110.0, 130.0, "memory"), (120.0, 110.0, 0.0, "time to first token"), (110.0, 120.0, None, "time per output token"), (100.4, 100.0, None, None),
        (100.6, 100.0, None, "time to first token"),
    ):  # fmt: skip

        def load(unit: Any, asked: Any, gains: Any = (ttft, tpot, memory)) -> float:
            if unit is larger:
                return float(gains[2])
            return float(gains[0] if asked.targets.ttft > 2 else gains[1])

        monkeypatch.setattr(relax, "_load", load)
        monkeypatch.setattr(relax, "unit_of", lambda *_, more=memory, **__: None if more is None else larger)
        assert relax.binding(found, wanted) == name


def test_reasons_are_counted() -> None:
    rejected: Any = tuple(SimpleNamespace(reason=reason) for reason in ("memory", "latency", "memory"))
    found = search.Found((1, 2), {}, rejected, (), None, 0.0)  # type: ignore[arg-type]
    assert (found.evaluated, found.reasons) == (5, Counter({"memory": 2, "latency": 1}))


# ---------------------------------------------------------------------------------------------------------------------
# Capacity, utilisation and losses
# ---------------------------------------------------------------------------------------------------------------------


def test_a_device_sends_to_a_group_for_each_way_in_which_work_is_shared() -> None:
    for plan, groups in (
        (Parallelism(), 0), (Parallelism(tensor=2), 1), (Parallelism(tensor=2, pipeline=2, data=2, context=2, expert=2, expert_tensor=1), 5),
        (Parallelism(tensor=2, data=2, expert_tensor=2), 2), (Parallelism(tensor=4, data=2, expert_tensor=2), 3), (Parallelism(tensor=4, data=2, expert_tensor=1), 2),
    ):  # fmt: skip
        assert capacity.groups_of(plan) == groups


def test_accelerators_of_a_makers_own_kind_are_told_from_gpus() -> None:
    for name, kind in (
        ("tpu-v5e", "tpu"),
        ("trainium2", "trainium"),
        ("gaudi3", "gaudi"),
        ("h100-sxm", "gpu"),
        ("tpulike", "gpu"),
        ("tpu", "tpu"),
        ("apple-m1", "apple"),
    ):
        assert capacity.kind_of(name) == kind


def test_a_run_in_8_bits_is_of_a_peak_twice_as_high_where_that_of_16_is_not_known() -> None:
    run: Any = SimpleNamespace()
    case = utilisation.Case(10**9, False, 8, "chip", 10**15, False)
    published = (utilisation.Measured(run, case._replace(whole=False), Fraction(2, 5)),)
    for narrow, own, peak, middle in (
        (False, 10**15, 10**15, Fraction(3, 10)), (True, 10**15, 3 * 10**15, Fraction(1, 10)), (True, None, 3 * 10**15, Fraction(3, 20)), (False, None, 10**15, Fraction(3, 10)),
    ):  # fmt: skip
        found = utilisation.assumed_utilisation(case._replace(narrow=narrow, peak=own), peak, published)
        assert (found.low, found.middle, found.high) == (middle,) * 3
        assert (found.weights, found.known, found.peak) == ((1.0,), 1, Fraction(3, 10) / middle)


def test_the_very_run_is_its_answer_and_speeds_of_steps_count_three_quarters() -> None:
    case, run = utilisation.Case(10**9, False, 8, "chip", 10**15, False), cast("Any", SimpleNamespace(gpus=8))
    whole = utilisation.Measured(run, case, Fraction(2, 5))
    steps = whole._replace(case=case._replace(whole=False))
    near, far = (whole._replace(run=cast("Any", SimpleNamespace(gpus=gpus))) for gpus in (16, 17))
    for published, low, high, known in (
        ((whole,), Fraction(4, 11), Fraction(11, 25), 0), ((whole, steps), Fraction(4, 11), Fraction(11, 25), 0), ((near,), Fraction(4, 11), Fraction(11, 25), 0),
        ((far,), Fraction(2, 5), Fraction(2, 5), 1), ((steps,), Fraction(3, 10), Fraction(3, 10), 1), ((whole._replace(mfu=Fraction(95, 100)),), Fraction(19, 22), 1, 0),
    ):  # fmt: skip
        found = utilisation.assumed_utilisation(case, 10**15, published)
        assert (found.low, found.high, found.known) == (low, high, known)
    wide = utilisation.assumed_utilisation(case._replace(narrow=True), 2 * 10**15, (whole,))
    assert (wide.known, wide.middle) == (1, Fraction(1, 5)), "in 8 bits it is no longer the very run, and as fast"
    of_8 = whole._replace(case=case._replace(narrow=True))
    assert [utilisation.assumed_utilisation(one, 10**15, (of_8,)).known for one in (case, of_8.case)] == [0, 0]


def test_all_runs_weigh_by_their_distance_and_the_heaviest_are_listed() -> None:
    """Weights 1/(far + 1/4)²: of one at a distance of 0.5 (steps) 16/9, of one at 1 (steps, and devices by ten) 16/25."""
    case, run = utilisation.Case(10**9, False, 10, "chip", 10**15, False), cast("Any", SimpleNamespace())
    near, far = (utilisation.Measured(run, case._replace(gpus=gpus, whole=False), Fraction(2, 5)) for gpus in (10, 100))
    found = utilisation.assumed_utilisation(case, 10**15, (far, near, far._replace(mfu=Fraction(1, 5))))
    assert (found.runs[0], found.known) == (near, 3)
    assert found.weights == pytest.approx([(16 / 9) / (16 / 9 + 32 / 25), *[(16 / 25) / (16 / 9 + 32 / 25)] * 2])
    many = utilisation.assumed_utilisation(case, 10**15, (near,) * 7)
    assert (len(many.runs), many.known) == (utilisation.LISTED, 7) == (5, 7)
    assert many.weights == pytest.approx([1 / 7] * 5)


def test_a_dense_model_is_judged_at_six_flops_for_each_parameter_and_token() -> None:
    """By Chinchilla's own constants: 10^9 parameters on 10^11 tokens are 6·10^20 FLOPs."""
    (bound,) = laws.picked(["hoffmann2022-3"], None, None)
    one = judged._judged(bound, 10**9, 10**11)
    constants = {name: each.value for name, each in bound.law.constants.items()}
    loss = (
        constants["E"]
        + constants["A"] / 10 ** (9 * constants["alpha"])
        + constants["B"] / 10 ** (11 * constants["beta"])
    )
    assert (one.point.params, one.point.tokens, one.point.flops) == (10**9, 10**11, 6 * 10**20)
    assert one.point.loss == pytest.approx(loss)
    assert one.best is not None and one.equal is not None
    assert one.best.flops == pytest.approx(6e20)
    assert one.equal.loss == pytest.approx(loss)


def test_a_unit_that_carries_nothing_has_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    unit: Any = None
    for carried, load in ((None, 0.0), (SimpleNamespace(load=7.5), 7.5)):
        monkeypatch.setattr(relax, "largest", lambda *_, carried=carried: carried)
        assert relax._load(unit, unit) == load


def test_heads_of_another_size_keep_their_keys_unless_these_are_said() -> None:
    """Llama 3.1 8B has 8 heads of keys for 32 of queries."""
    spec, _ = run_counts._model("llama-3.1-8b", None)
    size: dict[str, Any] = {"layers": 3, "d_model": None, "vocabulary": None, "d_ff": 99, "heads": 16}
    for given, kv_heads in ((None, 8), (2, 2)):
        shape: Any = SimpleNamespace(**size, kv_heads=given)
        found = dict(run_counts._changes(spec, shape))
        assert list(found) == ["layers", "attention", "feed_forward"]
        assert (found["layers"], found["feed_forward"].d_ff) == (3, 99)
        assert (found["attention"].heads, found["attention"].kv_heads) == (16, kv_heads)
