"""Mixers without attention: three kinds of number, derivations, and what reports say of a model that scores nothing."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.answers.test_explain import holds
from tests.answers.test_three_kinds import QUESTIONS, RUN, as_arrays
from tests.helpers import of_each
from tscale.answers.attention import attention_report
from tscale.answers.compare import compare_report
from tscale.answers.flops import flops_report
from tscale.answers.params.answer import params_report
from tscale.core.costs.forward import conv_flops, scan_flops
from tscale.core.costs.params import params
from tscale.core.ledger import Conv, Scan
from tscale.core.metric import Missing
from tscale.core.workload import SequenceLengths
from tscale.estimates.attention import Ask
from tscale.importer.reader import imported
from tscale.models.lower import lower
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec

CASES = Path(__file__).parents[1] / "oracle" / "cases_mixers.jsonl"
SPECS = {
    case["name"]: imported(case["config"], name=case["name"].lower(), where="config.json")
    for case in map(json.loads, CASES.read_text(encoding="utf-8").splitlines())
}
UNIFORM = [name for name, spec in SPECS.items() if not isinstance(spec.attention, tuple)]


@pytest.mark.parametrize(
    ("name", "published"),
    [("mamba-130m", 129_135_360), ("falcon-mamba-7b", 7_272_665_088), ("Qwen3-Next-80B-A3B", 79_674_391_296)],
)
def test_published_sizes(name: str, published: int) -> None:
    assert params(lower(SPECS[name])).total == published


@of_each(product(SPECS, QUESTIONS))
def test_ints_that_remember_agree_with_ints(case: tuple[str, str]) -> None:
    name, question = case
    plain = QUESTIONS[question](lower(SPECS[name]), RUN)
    assert type(plain) is int
    assert QUESTIONS[question](lower(traced(SPECS[name])), RUN) == plain


@of_each(product(UNIFORM, QUESTIONS))
def test_arrays_agree_with_ints(case: tuple[str, str]) -> None:
    import numpy as np

    name, question = case
    plain = QUESTIONS[question](lower(SPECS[name]), RUN)
    lengths = SequenceLengths(np.array([5000.0]), np.array([700.0]))  # type: ignore[arg-type]
    arrays: Any = QUESTIONS[question](lower(as_arrays(SPECS[name])), lengths)
    assert (arrays if isinstance(arrays, int) else arrays.item()) == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("name", SPECS)
def test_every_derivation_evaluates_to_its_figure(name: str) -> None:
    spec = SPECS[name]
    for report in (
        params_report([spec]),
        flops_report(spec, 10**9 + 7, 1000),
        attention_report(spec, Ask((512, 5000), "full")),
        attention_report(spec, Ask((512, 5000), "causal", "int4")),
        compare_report([spec], None),
    ):
        assert report.steps
        for step in report.steps:
            holds(step)


def test_a_recurrent_model_scores_nothing_and_its_state_does_not_grow() -> None:
    report = attention_report(SPECS["mamba-130m"], Ask((512, 5000)))
    data: Any = report.data
    assert [int(row["attention_flops_per_sequence"].value) for row in data["rows"]] == [0, 0]
    assert [int(row["kv_cache_bytes"].value) for row in data["rows"]] == [1_474_560, 1_474_560]
    assert data["crossovers"] == {
        "feed_forward": Missing("never: no attention"),
        "all_else": Missing("never: no attention"),
        "cache_equals_weights": Missing("never: the state does not grow"),
    }


def test_a_convolution_runs_over_its_padding_and_a_scan_over_its_chunks() -> None:
    conv = Conv("c", "conv", "mixer", "target", channels=6, kernel=4, stored=1, used=2)
    assert conv_flops(conv, SequenceLengths(10)) == 2 * 2 * (10 + 3) * 6 * 4
    padded = Scan("s", "target", used=3, per_position=5, chunk=4, per_chunk=7, per_edge_pair=2)
    assert scan_flops(padded, SequenceLengths(10)) == 2 * 3 * (10 * 5 + 3 * 7 + 4 * 4 * 2)
    assert scan_flops(padded._replace(padded=False), SequenceLengths(10)) == 2 * 3 * (10 * 5 + 2 * 7 + 3 * 3 * 2)


def test_relative_positions_need_heads() -> None:
    from dataclasses import replace

    from tscale.blocks import Relative

    spec = replace(SPECS["mamba-130m"], positions=Relative())
    assert isinstance(spec, ModelSpec)
    assert list(spec.problems()) == [
        (("positions",), "relative positions score by heads, and no layer has any: set positions to none")
    ]


def test_pairs_within_chunks_equal_a_loop() -> None:
    """Ten positions in chunks of four: two whole chunks and one of two."""
    scan = Scan("s", "target", used=3, per_position=5, chunk=4, padded=False, per_pair=7)
    pairs = sum(i // 4 == j // 4 for i in range(10) for j in range(10))
    assert pairs == 16 + 16 + 4
    assert scan_flops(scan, SequenceLengths(10)) == 2 * 3 * (10 * 5 + pairs * 7)
