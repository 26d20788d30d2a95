"""Deployments at once in arrays, against the prediction of each by itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tscale.analysis.questions import question
from tscale.calibration.serving_calibration import predict_held, shipped
from tscale.calibration.serving_case import Pool, ServingCase
from tscale.calibration.serving_groups import keys_of
from tscale.core.serving_layout import ServingLayout
from tscale.estimates.plan_serve.search import _bases, room_of
from tscale.planning import deployment_arrays
from tscale.planning.deployment_arrays import _alike, columns, slow_ends
from tscale.planning.deployment_curves import with_pools
from tscale.planning.deployment_layouts import layouts


def _cases(model: str, **asked: Any) -> list[ServingCase]:
    """Units of one pool, and of each two layouts that follow one another."""
    given = {"model": model, "gpu": "h100", "serve": True, "rate": 1, "ttft": "1s", "input": "4k", "output": 300}
    plan = question("plan").made(given | asked).deployments
    found = []
    for _, case in _bases(plan):
        own = list(layouts(plan.axes, room_of(plan, case), case.engine))
        found += [with_pools(case, pool, pool) for pool in (Pool(one, 1) for one in own)]
        found += [with_pools(case, Pool(one, 2), Pool(other, 3)) for one, other in pairwise(own)]
    return found


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("llama-3.1-70b", {}), ("deepseek-v3", {"gpu": "h100,gb200", "pipeline": "1,2", "prefix": "1k"}), ("gpt-oss-120b", {"engine": "sglang,trtllm"}),
        ("deepseek-v3", {"engine": "sglang", "tensor": "1,2", "pipeline": "1", "attention_data": "1,2,16,32"}), ("jamba", {"draft_tokens": "2", "acceptance": "70%"}),
        ("qwen3-next-80b-a3b", {"chunk": "512,2048"}), ("gemma-2-27b", {"cache_dtype": "bf16,fp8"}),
    ],
)  # fmt: skip
def test_each_has_the_times_of_its_own_prediction(model: str, asked: dict[str, Any]) -> None:
    cases = _cases(model, **asked)
    loads = [np.array([1, 7 + place, 1000][: 1 + place % 3]) for place in range(len(cases))]
    groups = list(_alike(cases, shipped()))
    assert sorted(place for group in groups for place in group) == list(range(len(cases)))
    assert len(groups) < len(cases) / 2
    found = slow_ends(cases, loads, shipped())
    for case, at_once, slow in list(zip(cases, loads, found, strict=True))[::4]:
        for place, load in enumerate(at_once.tolist()):
            times = predict_held(case._replace(concurrency=load), shipped())
            own = (slow.tpot[place], slow.ttft[place], slow.latency[place], slow.prompts_per_second)
            expected = (times.tpot.high, times.ttft.high, times.latency.high, times.prompts_per_second)
            assert own == pytest.approx(expected, rel=1e-12)


def test_a_deployment_that_was_measured_keeps_its_own_deviation() -> None:
    """Of two alike, one is a group of its own where its very degrees were measured."""
    case, measured = _cases("llama-3.1-70b")[0], shipped()
    pools = [Pool(ServingLayout(tensor, expert_tensor=tensor), 1) for tensor in (2, 4, 8)]
    cases = [with_pools(case, pool, pool) for pool in pools]
    assert list(_alike(cases, measured)) == [[0, 1, 2]]
    keys = keys_of(cases[1])
    terms = ((0.1,) + (0.0,) * 8,) * 2
    own = measured._replace(deviations={**measured.deviations, ("build", keys["build"]): terms, ("deployment", keys["deployment"]): terms})  # fmt: skip
    assert list(_alike(cases, own)) == [[0, 2], [1]]
    loads = [np.array([1, 4])] * 3
    for one, slow in zip(cases, slow_ends(cases, loads, own), strict=True):
        alone = predict_held(one._replace(concurrency=4), own)
        assert slow.tpot[1] == pytest.approx(alone.tpot.high, rel=1e-12)


def test_arrays_have_no_more_points_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = _cases("llama-3.1-70b")
    loads = [np.arange(1, 3 + place) for place in range(len(cases))]
    whole = slow_ends(cases, loads, shipped())
    monkeypatch.setattr(deployment_arrays, "_POINTS", 7)
    for one, other in zip(whole, slow_ends(cases, loads, shipped()), strict=True):
        assert one.tpot.tolist() == other.tpot.tolist()
        assert one.prompts_per_second == other.prompts_per_second


def test_what_is_the_same_stays_plain() -> None:
    rows = [(1, (2.0, "a"), None), (1, (3.0, "a"), None)]
    one, (numbers, word), nothing = columns(rows, np.array([[1], [0], [1]]))
    assert (one, word, nothing) == (1, "a", None)
    assert numbers.tolist() == [[3.0], [2.0], [3.0]]
