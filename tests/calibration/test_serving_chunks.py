"""What the tokens of a step change, held to published runs in which they alone differ; nothing is fitted to these."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from tscale.calibration.serving_calibration import predict
from tscale.calibration.serving_cases import case_of
from tscale.calibration.serving_deployed import OverCapacityError, cache_room

MEASURED = Path(__file__).parents[1] / "measured" / "serving_chunks.csv"
Row = Mapping[str, str]


class Change(NamedTuple):
    """A run over that of its group with the shortest chunk, as measured and as predicted: requests/s, and seconds a token (or 0)."""

    model: str
    chunk: int
    rate: tuple[float, float]
    tpot: tuple[float, float]


def _groups() -> list[list[Row]]:
    with MEASURED.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return [list(of) for _, of in groupby(rows, lambda row: (row["source"], row["engine"], row["model"], row["gpu"]))]


def _predicted(row: Row) -> tuple[float, float]:
    """Requests/s and seconds a token with as many requests at once as places and the cache have room for."""
    case = case_of(row)
    try:
        found = predict(case)
    except OverCapacityError as error:
        case = case._replace(concurrency=error.holds)
        found = predict(case)
    return case.concurrency / found.latency.middle, found.tpot.middle


def _changes() -> list[Change]:
    found = []
    for first, *others in _groups():
        rate, tpot = _predicted(first)
        for row in others:
            rates, tpots = _predicted(row)
            slower = float(row["tpot_ms"]) / float(first["tpot_ms"]) if row["tpot_ms"] else 0.0
            faster = float(row["requests_per_s"]) / float(first["requests_per_s"])
            found.append(Change(row["model"], int(row["chunk"]), (faster, rates / rate), (slower, tpots / tpot)))
    return found


def _off(pairs: list[tuple[float, float]]) -> list[float]:
    return sorted(abs(predicted / measured - 1) for measured, predicted in pairs if measured)


def test_chunks_change_as_little_as_was_measured() -> None:
    changes = _changes()
    assert len(changes) == 18
    assert median(_off([one.rate for one in changes])) == pytest.approx(0.0096, abs=0.0005)
    assert median(_off([one.tpot for one in changes])) == pytest.approx(0.0383, abs=0.0005)


def test_long_chunks_leave_less_room_to_the_cache() -> None:
    """Where the cache is full, fewer requests run at once, and each token of theirs comes sooner."""
    full = {one.chunk: one for one in _changes() if one.model == "qwen3-32b"}
    assert {chunk: round(one.tpot[0], 2) for chunk, one in full.items()} == {16384: 0.90, 32768: 0.74}
    assert {chunk: round(one.tpot[1], 2) for chunk, one in full.items()} == {16384: 0.91, 32768: 0.73}


@pytest.mark.parametrize("chunk", [1024, 8192, 32768])
def test_what_a_chunk_takes_is_as_wide_as_its_feed_forward(chunk: int) -> None:
    """In 16 bits, a token of Qwen3-32B: what goes into gate, up and down, and what they come to, beside its input."""
    case = next(case_of(row) for group in _groups() for row in group if row["model"] == "qwen3-32b")
    usual, _ = cache_room(case._replace(chunk=0))
    assert usual - cache_room(case._replace(chunk=chunk))[0] == (chunk - 8192) * 2 * (3 * 5120 + 3 * 25600)


def test_a_chunk_that_leaves_no_room_is_said_to_be_why() -> None:
    """Not the weights, which fit: a million tokens of it are 184 GB, and of Qwen3-32B 65.5 GB."""
    case = next(case_of(row) for group in _groups() for row in group if row["model"] == "qwen3-32b")
    with pytest.raises(
        OverCapacityError, match=r"^over capacity: the weights with a step of 1,000,000 tokens \(--chunk\) do not fit "
    ):
        cache_room(case._replace(chunk=1_000_000))


def test_what_decodes_alone_has_no_chunks() -> None:
    case = next(case_of(row) for group in _groups() for row in group if row["model"] == "qwen3-32b")
    apart = case._replace(disaggregated=True)
    assert cache_room(apart._replace(chunk=32768)) == cache_room(apart)
