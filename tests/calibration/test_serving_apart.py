"""Serving as others published it, to which nothing is fitted: what is measured of throughput, and that no bound is broken."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from math import log
from pathlib import Path

import pytest

from tscale.calibration.names import hardware_of, model_of
from tscale.calibration.rows import Judged
from tscale.calibration.serving_calibration import decoding_seconds, predict, predict_held, shipped
from tscale.calibration.serving_cases import case_of, passes_of
from tscale.calibration.serving_deployed import OverCapacityError
from tscale.calibration.serving_rows import judge
from tscale.catalogue.models import configs
from tscale.core.costs.serving_prediction import BEGUN
from tscale.errors import RequestError

APART = Path(__file__).parents[1] / "measured" / "serving_apart.csv"
MLPERF = APART.with_name("serving_mlperf.csv")
OTHERS = configs() / "measured" / "serving_others.csv"
ROW = {
    "engine": "vllm", "model": "llama-3.1-8b", "gpu": "h100_sxm", "isl": "1000", "osl": "500", "concurrency": "64", "gpus": "1", "tensor": "1",
    "requests": "160", "output_tokens_per_s": "4000",
}  # fmt: skip


def rows(path: Path) -> list[dict[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def throughput(row: Mapping[str, str]) -> Judged:
    return next(one for one in judge(row) if one.what == "throughput")


@pytest.mark.slow
def test_no_published_run_passes_its_bound() -> None:
    judged = [one for path in (APART, MLPERF, OTHERS) for row in rows(path) for one in judge(row)]
    assert len(judged) == 771 + 185
    assert not [one for one in judged if one.bound_broken]


def test_no_run_both_judges_and_is_fitted_to() -> None:
    columns = ("engine", "concurrency", "isl", "osl", "gpus", "tensor", "attention_data")

    def runs(path: Path) -> set[tuple[str, ...]]:
        return {
            (model_of(row["model"]).name, hardware_of(row["gpu"]).name, *(row[name] for name in columns))
            for row in rows(path)
        }

    for fitted in (OTHERS, configs() / "measured" / "serving.csv"):
        assert runs(APART).isdisjoint(runs(fitted))
        assert runs(MLPERF).isdisjoint(runs(fitted))


def test_a_step_meets_long_answers_more_often() -> None:
    """Of 2,000 answers one after the other in a place, quantiles of exponential lengths, the tokens that steps find written, one by one."""
    quantiles = [round(-500 * log(1 - (one + 0.5) / 2000)) for one in range(2000)]
    for said, lengths in (("no", [500]), ("exponential", quantiles)):
        written = sum(sum(range(length)) for length in lengths) / sum(lengths)
        passes = passes_of(case_of({**ROW, "drawn": said}))
        fixed = passes_of(case_of({**ROW, "drawn": "no", "isl": str(round(1000 + written - 250))}))
        assert passes.decode.scores.bytes == pytest.approx(fixed.decode.scores.bytes, rel=0.02)


def test_all_requests_at_once_are_served_in_waves() -> None:
    """Of 160 requests 64, 64 and 32; without an end, as many as leave come (Little's law)."""
    case = case_of(ROW)
    full, rest = predict(case).latency, predict(case._replace(concurrency=32)).latency
    assert throughput(ROW).middle == pytest.approx(160 * 500 / (2 * full.middle + rest.middle))
    assert throughput(ROW).low == pytest.approx(160 * 500 / (2 * full.high + rest.high))
    assert throughput({**ROW, "requests": ""}).middle == pytest.approx(64 * 500 / full.middle)


def test_of_more_requests_than_the_cache_holds_the_throughput_is_that_of_those_it_does() -> None:
    """The others wait, of whom no times are predicted. The most is that of all requests: no engine is known to hold fewer."""
    row = {**ROW, "concurrency": "3000", "requests": "3000", "tpot_ms": "20"}
    case = case_of(row)
    with pytest.raises(OverCapacityError) as found:
        predict(case)
    (only,) = judge(row)
    held = predict(case._replace(concurrency=found.value.holds)).latency
    waves, rest = divmod(3000, found.value.holds)
    last = predict(case._replace(concurrency=rest)).latency
    assert only.middle == pytest.approx(3000 * 500 / (waves * held.middle + last.middle))
    assert only.bound == pytest.approx(3000 * 500 / predict_held(case, shipped()).latency_bound)


def test_more_tokens_than_the_most_break_a_bound() -> None:
    most = throughput(ROW).bound
    assert most is not None
    assert throughput({**ROW, "output_tokens_per_s": str(1.01 * most)}).bound_broken
    assert not throughput({**ROW, "output_tokens_per_s": str(0.99 * most)}).bound_broken


def test_a_row_says_its_stages_and_what_its_cache_is_kept_in() -> None:
    staged = case_of({**ROW, "pipeline": "2", "gpus": "4"})
    assert (staged.decode.layout.pipeline, staged.decode.workers) == (2, 2)
    plain, narrow = (case_of({**ROW, "cache": cache}).cache for cache in ("", "fp8"))
    assert plain is None and narrow is not None and narrow.bits == 8


def test_where_answers_differ_a_run_ends_with_the_longest() -> None:
    """Of 64 that decode one ends after a 64th of the mean length, of 63 one after a 63rd, and so on; 96 others come as others leave before."""
    row = {**ROW, "drawn": "exponential"}
    case, shipped_one = case_of(row), shipped()
    full = predict(case).latency.middle
    last = sum(500 / many * decoding_seconds(case._replace(concurrency=many), shipped_one) for many in range(1, 65))
    seconds = 96 / 64 * full + full - 500 * decoding_seconds(case, shipped_one) + last
    assert throughput(row).middle == pytest.approx(160 * 500 / seconds, rel=1e-3)
    assert throughput({**row, "requests": ""}).middle == pytest.approx(64 * 500 / full)
    few = {**row, "requests": "32"}
    assert throughput(few).middle == pytest.approx(throughput({**few, "concurrency": "32"}).middle)
    alone = {**row, "requests": "1", "concurrency": "1"}
    assert throughput(alone).middle == pytest.approx(throughput({**alone, "drawn": "no"}).middle, rel=1e-2)


def test_a_row_says_what_memory_caches_have_and_how_many_cards_a_bridge_joins() -> None:
    assert [case_of({**ROW, "cache_memory": said}).by_default for said in ("", "default")] == [False, True]
    with pytest.raises(RequestError, match="column cache_memory: default or nothing, not"):
        case_of({**ROW, "cache_memory": "0.9"})
    pairs, apart = (case_of({**ROW, "gpu": "a100_pcie", "node": node}).hardware for node in ("", "1"))
    assert (pairs.devices_per_node, apart.devices_per_node) == (2, 1)
    assert case_of({**ROW, "gpu": "a100_pcie", "node": "1"}).hardware is apart


def test_a_row_says_how_many_of_its_requests_come_at_once() -> None:
    timed = {**ROW, "tpot_ms": "10"}
    assert [case_of({**timed, **said}).begun for said in ({}, {"at_once": "16"}, {"requests": "32"})] == [0.4, 0.1, 1]
    assert case_of(ROW).begun == case_of({**timed, "requests": ""}).begun == BEGUN


def test_errors_are_by_source_where_it_is_said() -> None:
    assert throughput({**ROW, "source": "mine"}).groups["source"] == "mine"
    assert "source" not in throughput(ROW).groups
