"""How wide intervals are of other sources, and what an engine gives to caches by default."""

from __future__ import annotations

from math import exp, log
from statistics import median

import pytest

from tscale.calibration.serving_calibration import for_another_source, of_another_source, predict, shipped
from tscale.calibration.serving_cases import case_of
from tscale.calibration.serving_groups import keys_of
from tscale.calibration.serving_others import others_data, ratios_of_others
from tscale.calibration.serving_rows import judge
from tscale.core.costs.serving_cache import cache_bytes
from tscale.errors import RequestError

ROW = {
    "engine": "vllm", "model": "llama-3.1-8b", "gpu": "h100_sxm", "isl": "1000", "osl": "500", "concurrency": "64", "gpus": "1", "tensor": "1",
    "tpot_ms": "10", "ttft_ms": "60", "requests": "160", "output_tokens_per_s": "4000",
}  # fmt: skip


def test_each_page_is_one_draw_however_many_runs_and_releases_it_has() -> None:
    """Two releases of a page that are off by a half and hardly: 80% of its 20 runs; of another page 1,000 runs that are right."""
    offs = [place / 20 for place in range(1, 11)]
    found = (
        [("wiki", 1.0)] * 1000 + [("page-1", exp(off)) for off in offs] + [("page-2", exp(off / 100)) for off in offs]
    )
    data = others_data(found, {"latency": [1.1] * 100})
    assert log(data["ends"]["latency"]["high"]) == pytest.approx(
        0.34, abs=1e-3
    )  # ranks 16 and 17 of 20: 0.3 and 0.35, at 16.8
    assert (data["runs"], data["sources"]) == (1020, ["page-1", "page-2", "wiki"])


def test_intervals_of_others_reach_as_far_as_their_ends_and_no_further_than_bounds() -> None:
    case = case_of(ROW)
    own, others = predict(case), predict(case, for_another_source(shipped()))
    for figure, bound in (("tpot", own.tpot_bound), ("ttft", own.ttft_bound), ("latency", own.latency_bound)):
        narrow, wide = getattr(own, figure), getattr(others, figure)
        low, high = shipped().others.ends[figure]
        assert wide.middle == narrow.middle
        assert wide.low == pytest.approx(max(bound, min(narrow.low, low * narrow.middle)))
        last = others.latency.high if figure == "ttft" else float("inf")
        assert wide.high == pytest.approx(min(last, max(narrow.high, high * narrow.middle)))
    assert own.fitted_source is None
    assert others.fitted_source == (own.tpot, own.ttft, own.latency)
    of_own = for_another_source(shipped())._replace(own=frozenset({keys_of(case)["model"]}))
    assert predict(case, of_own) == own


def test_a_row_is_judged_by_the_interval_of_the_fitted_source_and_by_that_of_others() -> None:
    case = case_of(ROW)
    full, last = predict(case), predict(case._replace(concurrency=32))
    wide, rest = (of_another_source(one, shipped()).latency for one in (full, last))
    tpot, _, _, throughput = judge(ROW)
    assert tpot.others is not None and throughput.others is not None
    assert (tpot.low, tpot.high) == (full.tpot.low, full.tpot.high)
    assert tpot.others.high > tpot.high
    assert throughput.others.low == pytest.approx(160 * 500 / (2 * wide.high + rest.high))
    assert throughput.low == pytest.approx(160 * 500 / (2 * full.latency.high + last.latency.high))


def test_what_is_said_of_other_sources_is_what_their_runs_are_off_by() -> None:
    found = list(ratios_of_others(shipped()))
    others = shipped().others
    assert (len(found), tuple(sorted({source for source, _ in found}))) == (others.runs, others.sources)
    assert median(abs(1 / ratio - 1) for _, ratio in found) == pytest.approx(others.median, abs=1e-3)


@pytest.mark.parametrize(
    ("engine", "memory", "ranks", "chunk", "left"),
    [
        ("vllm", 80e9, 1, 0, 0.9 * 80e9 - 20e9 - 1e9),
        ("trtllm", 80e9, 1, 0, 0.9 * (80e9 - 20e9 - 1e9)),
        # MiB: 512, 1.5 for each token of a chunk, 2 for each sequence of the largest graph, 1,024 for 8 ranks
        ("sglang", 80 * 2**30, 8, 0, (80 * 1024 - 512 - 1.5 * 8192 - 2 * 512 - 1024) * 2**20 - 20e9),
        ("sglang", 80 * 2**30, 1, 2048, (80 * 1024 - 10 * 1024) * 2**20 - 20e9),  # 10 GiB at least
        ("sglang", 24 * 2**30, 1, 0, (24 * 1024 - 512 - 1.5 * 2048 - 2 * 24 - 128) * 2**20 - 20e9),
    ],
)
def test_engines_give_caches_what_they_do_by_default(
    engine: str, memory: float, ranks: int, chunk: int, left: float
) -> None:
    assert cache_bytes(engine, memory, 20e9, 1e9, ranks=ranks, chunk=chunk) == pytest.approx(left)


def test_replicas_of_a_row_are_copies() -> None:
    row = {key: value for key, value in ROW.items() if key != "gpus"}
    assert case_of({**row, "replicas": "3"}).decode.workers == 3
    assert case_of({**row, "replicas": "3", "gpus": "6", "tensor": "2"}).decode.workers == 3
    with pytest.raises(RequestError, match="column replicas: 3 of 2 devices are not the 8 of column gpus"):
        case_of({**row, "replicas": "3", "gpus": "8", "tensor": "2"})
