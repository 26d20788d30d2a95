"""The utilisation that is assumed of whole runs, judged by leaving out the published runs of each maker in turn."""

from __future__ import annotations

import csv
import re
import statistics
from fractions import Fraction

import pytest

from tests.helpers import of_each
from tscale.catalogue.hardware import find_hardware, hardware_names
from tscale.catalogue.measured import training_runs
from tscale.catalogue.models import configs, names
from tscale.catalogue.run_counts import counted_of
from tscale.estimates.utilisation import (
    WHOLE_SHARE,
    Measured,
    _measured,
    assumed_utilisation,
    case_of,
    distance,
    measured_runs,
)

RUNS = measured_runs()


def test_every_run_says_what_was_measured_once() -> None:
    for run in training_runs():
        ways = (run.mfu, run.tokens_per_second_per_gpu, run.tokens_per_second, run.gpu_hours)
        assert sum(way is not None for way in ways) == 1
        assert (run.tokens is None) == (run.gpu_hours is None)
        assert run.hardware in hardware_names() and run.model in names()
        assert (run.mfu or 0) <= (run.hfu or 1)
        assert not run.whole or run.gpu_hours is not None


def test_a_utilisation_that_was_published_is_taken_as_it_is() -> None:
    published = [one for one in RUNS if one.run.mfu is not None]
    assert [_measured(one.run, counted_of(one.run)).mfu for one in published[::9]] == [
        Fraction(str(one.run.mfu)) for one in published[::9]
    ]


@of_each(RUNS)
def test_no_run_did_more_than_its_peak(one: Measured) -> None:
    assert (0.07 if one.case.whole else 0.1) < one.mfu < (2 if one.case.narrow else 1)


@pytest.mark.parametrize(
    ("title", "source", "gpus", "mfu"),
    [
        # NeMo 24.07 prints the model's TFLOP/s on an H100 beside tokens a second, in fp8
        ("GPT-3 175B", "NeMo docs", 128, 782 / 989.4),
        ("GPT-3 175B", "NeMo docs", 512, 842 / 989.4),
        ("Llama 2 7B", "NeMo docs", 8, 776 / 989.4),
        ("Llama 2 13B", "NeMo docs", 16, 754 / 989.4),
        ("Llama 2 70B", "NeMo docs", 64, 759 / 989.4),
        ("Nemotron-4 340B", "NeMo docs", 128, 678 / 989.4),
        ("Llama 3 8B", "NeMo docs", 8, 697 / 989.4),
        # Chowdhery 2022, Table 3, from 65,430 tokens a second of all
        ("MT-NLG 530B", "chowdhery2022", 2240, 0.302),
    ],
)
def test_a_speed_comes_to_the_utilisation_that_was_published(title: str, source: str, gpus: int, mfu: float) -> None:
    (own,) = [one for one in RUNS if (one.title, one.run.gpus) == (title, gpus) and one.run.source.startswith(source)]
    assert float(own.mfu) == pytest.approx(mfu, rel=0.003)
    assert _measured(own.run, counted_of(own.run)) == own


@pytest.mark.parametrize(
    ("title", "source", "low", "high"),
    [
        # TinyLlama's README: 24,000 tokens/s on an A100 of 40 GB are 56%
        ("TinyLlama 1.1B", "TinyLlama", 0.555, 0.565),
        # OLMo-core's README in 2025: 9,700 to 10,000 tokens/s of 7B are 47 to 48%, 4,400 to 4,600 of 13B 41 to 42
        ("OLMo 2 7B", "OLMo-core", 0.465, 0.485),
        ("OLMo 2 13B", "OLMo-core", 0.405, 0.425),
    ],
)
def test_a_speed_comes_to_the_utilisation_that_is_printed_beside_it(
    title: str, source: str, low: float, high: float
) -> None:
    found = [one for one in RUNS if one.title == title and one.run.source.startswith(source) and not one.case.narrow]
    assert [low <= one.mfu <= high for one in found] == [True]


@pytest.mark.parametrize(("gpus", "tflops"), [(1024, 140), (3072, 163)])
def test_what_megatron_counts_as_the_hardware_s_is_no_mfu(gpus: int, tflops: int) -> None:
    """Narayanan 2021, equation 3: of 96·B·s·l·h² FLOPs a quarter is the forward pass that is made again."""
    (own,) = [one for one in RUNS if one.run.source.startswith("narayanan2021") and one.run.gpus == gpus]
    assert own.run.hfu == pytest.approx(tflops / 312, abs=0.001)
    assert own.run.mfu == pytest.approx(tflops / 312 * 3 / 4, abs=0.001)


def test_no_run_is_listed_twice() -> None:
    """Of one model on so many devices: another length, precision, or way of counting is another figure."""
    rows = [(*same_run(one), one.run.context, one.run.precision, one.case.whole, one.run.source) for one in RUNS]
    assert len(set(rows)) == len(rows)
    assert len([one for one in RUNS if (one.title, one.run.gpus) == ("LLaMA-65B", 2048)]) == 2


@of_each([one for one in RUNS if one.case.whole])
def test_a_whole_run_in_the_table_is_the_answer_for_that_run(one: Measured) -> None:
    of = 2 if one.case.narrow else 1
    found = assumed_utilisation(one.case, (one.case.peak or 0) * of)
    assert found.low <= one.mfu / of <= found.high
    alike = [other for other in RUNS if other.case.whole and same_model(other) == same_model(one)]
    assert found.runs == tuple(alike)
    if len(alike) == 1:
        assert found.middle == one.mfu / of
        assert (found.low * 11 / 10, found.high * 10 / 11) == (found.middle, found.middle)


def test_runs_are_listed_by_their_weight_and_the_line_says_how_many_there_are() -> None:
    found = assumed_utilisation(case_of(None, 64, find_hardware("h100"), "bf16"), 989_400 * 10**9)
    assert found.said().endswith(f": {len(RUNS)} published runs, with restarts).")
    assert 0 < sum(found.weights) < 1
    assert list(found.weights) == sorted(found.weights, reverse=True)
    assert {one.run.hardware for one in found.runs} == {"h100-sxm"}


def test_layouts_whose_steps_are_bounded_are_among_the_runs_at_the_same_speed() -> None:
    text = (configs() / "measured" / "published_layouts.csv").read_text(encoding="utf-8")
    layouts = [*csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))]
    known = {(one.run.hardware, one.run.gpus, one.run.context, float(one.run.speed or 0)) for one in RUNS}
    earlier = [row for row in layouts if not re.search(r"\(2[46]\.0|Automodel", row["source"])]
    for row in earlier:
        speed = float(row["tokens_per_second_per_gpu"])
        assert (row["gpu"], int(row["gpus"]), int(row["context"]), speed) in known
    assert len(earlier) == 25


def same_run(one: Measured) -> tuple[object, ...]:
    """What makes it a run of its own: the model, on so many of some devices."""
    return one.title, one.run.hardware, one.run.gpus


def same_model(one: Measured) -> tuple[object, ...]:
    """What makes it a run of the very model."""
    return one.case.active, one.run.hardware


def left_out(one: Measured, *, speeds: bool) -> tuple[Fraction, bool]:
    """A run's share over what runs of other makers say of it, or the speeds of these alone, and whether the range holds it."""
    rest = tuple(other for other in RUNS if other.run.maker != one.run.maker and not (speeds and other.case.whole))
    of = 2 if one.case.narrow else 1
    found = assumed_utilisation(one.case, (one.case.peak or 0) * of, rest)
    return one.mfu / of / found.middle, found.low <= one.mfu / of <= found.high


def test_speeds_of_steps_count_what_whole_runs_have_of_them() -> None:
    """The median of 43 whole runs: 0.7495 of what the speeds of other makers say; of the medians of each of 12 makers, too."""
    shares = [(one.run.maker, left_out(one, speeds=True)[0] * WHOLE_SHARE) for one in RUNS if one.case.whole]
    assert len(shares) == 43
    assert statistics.median(share for _, share in shares) == pytest.approx(float(WHOLE_SHARE), abs=0.005)
    makers = {maker: [share for by, share in shares if by == maker] for maker, _ in shares}
    assert statistics.median(map(statistics.median, makers.values())) == pytest.approx(float(WHOLE_SHARE), abs=0.005)


def test_of_makers_that_it_does_not_know_most_runs_are_in_the_range() -> None:
    """25% off in the median, neither too fast nor too slow, and 81% within the range."""
    results = [left_out(one, speeds=False) for one in RUNS if one.case.whole]
    assert statistics.median(abs(share - 1) for share, _ in results) < 0.26
    assert statistics.median(share for share, _ in results) == pytest.approx(0.974, abs=0.01)
    assert sum(inside for _, inside in results) / len(results) == pytest.approx(0.814, abs=0.001)


def test_a_run_is_no_distance_from_itself_and_each_difference_counts() -> None:
    one = next(run.case for run in RUNS if run.case.gpus and run.case.whole and not run.case.experts)
    assert one.active is not None and one.gpus is not None and one.peak is not None
    assert distance(one, one) == 0
    assert distance(one._replace(active=None), one) == 1
    assert distance(one, one._replace(active=10 * one.active)) == pytest.approx(0.5)
    assert distance(one, one._replace(gpus=10 * one.gpus)) == pytest.approx(0.5)
    assert distance(one._replace(gpus=None), one) == 0
    assert distance(one, one._replace(gpus=None)) == 0.5
    assert distance(one, one._replace(whole=False)) == 0.5
    assert distance(one, one._replace(hardware="other", peak=10 * one.peak)) == pytest.approx(1.25)
    assert distance(one, one._replace(hardware="tpu-v5p")) == 2
    assert distance(one, one._replace(narrow=True)) == 2
    assert distance(one, one._replace(experts=True)) == 3
    assert distance(one._replace(experts=True), one._replace(experts=True, narrow=True)) == 1


@pytest.mark.parametrize(
    ("model", "gpus", "own"),
    [
        # Trained on 16,384 (its model card): half and twice as many are about as many.
        ("llama-3.1-405b", 8191, False), ("llama-3.1-405b", 8192, True), ("llama-3.1-405b", 32768, True), ("llama-3.1-405b", 32769, False),
        # 6.4 million hours (its model card), on a number that it does not say: 8766 hours are a year, and 6.4e6 / 8766 = 730.1.
        ("llama-3-70b", 730, False), ("llama-3-70b", 731, True), ("llama-3-70b", None, True),
    ],
)  # fmt: skip
def test_a_run_is_its_own_answer_on_about_as_many_devices(model: str, gpus: int | None, own: bool) -> None:
    case = next(one.case for one in RUNS if one.run.model == model and one.case.whole)
    assert (assumed_utilisation(case._replace(gpus=gpus), 989_400 * 10**9).known == 0) == own


@pytest.mark.parametrize(
    ("model", "gpus", "mfu"),
    [
        # NVIDIA's DGX Cloud benchmarks in bf16 (tests/measured/published_dgxc.csv), and torchtitan's of Llama 2 13B
        ("llama-3.1-8b", 8, 0.390), ("llama-3.1-8b", 64, 0.282), ("llama-3.1-8b", 128, 0.381), ("llama-3.1-70b", 256, 0.317),
    ],
)  # fmt: skip
def test_on_few_devices_the_range_holds_what_steps_of_the_very_model_say(model: str, gpus: int, mfu: float) -> None:
    """Its own whole run, on thousands, says 16 to 40% less or 27% more of a whole run than three quarters of these."""
    case = next(one.case for one in RUNS if one.run.model == model and one.case.whole)
    found = assumed_utilisation(case._replace(gpus=gpus), 989_400 * 10**9)
    assert found.low <= mfu * float(WHOLE_SHARE) <= found.high
