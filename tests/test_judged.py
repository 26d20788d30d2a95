"""The errors that answers say of hours, energy, losses and learning rates are those on the published figures."""

from __future__ import annotations

import pytest
import yaml

from tests import judged
from tests.helpers import answer, run
from tscale.catalogue.judged import judged as recorded
from tscale.catalogue.laws import read_law
from tscale.catalogue.measured import training_runs
from tscale.core.costs.params import params
from tscale.estimates.explaining import counted
from tscale.estimates.judged import loss_note
from tscale.models.resolve import disclosed, find


def test_the_recorded_errors_are_those_of_the_tables() -> None:
    """`python -m tests.judged` writes them anew; one that grew is told in the changelog."""
    written = yaml.safe_load(judged.WRITTEN.read_text(encoding="utf-8"))["judged"]
    slow = "memory_apart.csv"
    assert [one for one in written if one["of"] != "memory"] == list(judged.judged(but=(slow,)))


@pytest.mark.slow
def test_the_recorded_errors_of_memory_are_those_of_its_table() -> None:
    written = yaml.safe_load(judged.WRITTEN.read_text(encoding="utf-8"))["judged"]
    assert written == list(judged.judged())


def test_an_error_is_by_hand_that_of_its_rows() -> None:
    """GPUs at 700 and 300 W: 621, 649, 330, 188.1, 842.6, 730.9 and 593.1 W were measured; |700/621 - 1| is the fourth of seven."""
    gpu = recorded("power", "gpu")
    assert gpu is not None
    assert gpu.figures == 7
    assert gpu.median == pytest.approx(700 / 621 - 1, abs=1e-4)


def test_no_judge_is_a_row_that_the_utilisation_is_assumed_from() -> None:
    """36 runs that were recorded before any was predicted."""
    hours, later = recorded("hours"), judged.later_hours()
    assert hours is not None
    assert hours.figures == len(later) == 36
    known = {(float(run.tokens or 0), float(run.gpu_hours or 0)) for run in training_runs()}
    assert not known & {(float(row["tokens"]), float(row["gpu_hours"])) for row in later}


def test_the_models_that_judge_hours_are_as_large_as_their_makers_say() -> None:
    """Within 12%: NeoBERT's makers count its head."""
    for row in judged.later_hours():
        spec = disclosed(find(row["model"], row["set"]))
        assert int(params(counted(spec).ledger).total) == pytest.approx(float(row["params"]), rel=0.12)


def test_the_law_of_the_grids_is_not_judged_by_them() -> None:
    assert recorded("best_learning_rate", judged.STEP_LAW) is None
    assert recorded("learning_rate", judged.STEP_LAW) is not None


def test_hours_and_energy_are_said_with_their_error() -> None:
    asked = ("train", "llama-3.1-8b", "--gpu", "h100", "--gpus", "64")
    text, found = run(*asked, columns=200).out, answer(*asked)
    hours, watts = found["errors"]
    assert (hours["of"], watts["of"]) == ("gpu_hours", "watts")
    said = f"Hours within {hours['median_error']:.0%} (median) of {hours['figures']} runs that it was not fitted to"
    assert f"{said}; range holds {hours['within_range']:.0%}." in text
    assert f"within {watts['median_error']:.0%} (median) of {watts['figures']} measured runs" in text
    own = (*asked[:-1], "1024")
    assert [one["of"] for one in answer(*own)["errors"]] == ["watts"]
    assert "no other run judges them" in run(*own, columns=200).out
    adapters = (*asked, "--lora-rank", "16", "--tokens", "1e9")
    assert [one["of"] for one in answer(*adapters)["errors"]] == ["watts"]
    assert "No published hours judge those of adapters." in run(*adapters, columns=200).out


def test_an_assumed_goodput_is_said_with_its_error() -> None:
    asked = ("train", "llama-3.1-405b", "--gpu", "h100", "--gpus", "16384", "--mfu", "0.4")
    error = next(one for one in answer(*asked)["errors"] if one["of"] == "goodput")
    assert (
        f"within {error['median_error']:.1%} (median) of 5 runs that it was not fitted to."
        in run(*asked, columns=200).out
    )


def test_what_is_given_has_no_error() -> None:
    found = answer(
        "train", "llama-3.1-8b", "--gpu", "h100", "--gpus", "1024", "--mfu", "0.4", "--watts", "650", "--goodput", "0.9"
    )
    assert found["errors"] == []


def test_a_budget_of_devices_says_the_error_of_its_hours() -> None:
    asked = ("optimal", "--gpu", "h100", "--gpus", "64", "--days", "10")
    assert answer(*asked)["given"]["of"]["errors"][0]["of"] == "flops"
    assert "(median) of 36 runs" in run(*asked, columns=200).out


def test_losses_are_said_with_their_error() -> None:
    asked = ("loss", "llama-3.1-8b")
    text, rows = run(*asked, columns=200).out, answer(*asked)["rows"]
    for row in rows:
        assert [one["of"] for one in row["errors"]] == ["loss", "loss_ratio", "optimal_params"]
        assert f"{row['law']} {row['errors'][0]['median_error']:.0%}" in text


def test_a_law_that_nothing_judges_says_so() -> None:
    assert loss_note([read_law("ludziejewski2025")]) == "No published loss judges these laws here."
    said = run("hyper", "llama-3.1-8b", columns=400).out
    assert "No published figure judges liu2025b-hyper." in said


def test_learning_rates_are_said_with_their_error() -> None:
    asked = ("hyper", "llama-3.1-8b", "--law", "deepseek2024-hyper")
    (row,) = answer(*asked)["rows"]
    errors = {one["of"]: one["median_factor"] for one in row["errors"]}
    text = run(*asked, columns=200).out
    assert all(f"×{errors[key]:.4g}"[:5] in text for key in ("best_learning_rate", "batch"))


@pytest.mark.parametrize(("mode", "of"), [("--serve", "serving"), ("--train", "training")])
def test_memory_is_said_with_its_error(mode: str, of: str) -> None:
    asked = ("memory", "gpt2", mode)
    (error,), judge = answer(*asked)["errors"], recorded("memory", of)
    assert judge is not None
    assert (error["figures"], error["median_error"]) == (judge.figures, judge.median)
    assert f"(median) of {judge.figures} measured" in run(*asked, columns=200).out


def test_a_model_that_was_not_measured_is_served_with_the_error_of_models_left_out() -> None:
    """README: serving of models never measured, 11.5% in all; of tensor parallelism alone 11%."""
    asked = ("serve", "llama-3.1-70b", "--gpu", "h100", "--tensor", "4", "--batch", "16")
    calibration = answer(*asked)["calibration"]
    assert (calibration["known"], calibration["judged_runs_left_out"]) == ("family", True)
    assert calibration["median_error"]["tpot"] == pytest.approx(0.1076, abs=0.01)
    assert "of models that were left out of the fit one after the other" in run(*asked, columns=200).out


@pytest.mark.parametrize("gpu", ["a100", "h100"])
def test_a_summary_says_the_error_of_its_hours(gpu: str) -> None:
    """Llama 3.1 8B was trained on H100s, and those hours are published: no error of other runs is theirs."""
    hours = recorded("hours")
    assert hours is not None
    said = run("summary", "llama-3.1-8b", "--gpu", gpu, columns=80).out
    assert f"training, GPU-hours ({'published run' if gpu == 'h100' else f'within {hours.median:.0%}'})" in said


def test_optimal_sizes_are_said_with_their_error() -> None:
    asked = ("optimal", "--flops", "1e24")
    text = run(*asked, columns=400).out
    for row in answer(*asked)["rows"]:
        error = next(one for one in row["errors"] if one["of"] == "optimal_params")
        assert f"{row['law']} ×{error['median_factor']:.1f}" in text


def test_what_nothing_judges_of_sizes_says_so() -> None:
    asked = ("optimal", "--flops", "1e22", "--unique-tokens", "1e10", "--law", "muennighoff2023")
    assert "No published run judges how many parameters" in run(*asked, columns=200).out
    assert "No published run judges which mixture" in run("optimal", "--flops", "1e22", "--experts", "8").out


def test_a_size_is_judged_by_hand_as_its_law_counts_it() -> None:
    """The first row with a budget of 1e19: 655.1e6 parameters and 7.936e9 tokens; by Llama 3's law D = 0.299·C^0.537, and N is C/6D."""
    row = judged.rows("isoflop_minima.csv")[1]
    flops = 6 * 655.1e6 * 7.936e9
    assert (int(row["params"]), int(row["tokens"])) == (655_100_000, 7_936_000_000)
    pair = judged.sizes()["llama3-2024"][1]
    assert pair.predicted == pytest.approx(flops / 6 / (0.299 * flops**0.537))
    assert pair.published == pytest.approx(655.1e6)


def test_no_law_of_sizes_is_judged_by_runs_it_was_fitted_to() -> None:
    """60 minima, of which 10 are Porian's, 10 of Llama 3's, 8 of MassiveText, and 4 without all parameters."""
    figures = {one.by: one.figures for one in map(recorded, ["optimal_params"] * 3, _SIZED) if one is not None}
    assert figures == {"porian2024": 60 - 10 - 10 - 8 - 4, "llama3-2024": 60 - 10 - 4, "hoffmann2022-3": 60 - 8 - 4}


_SIZED = ["porian2024", "llama3-2024", "hoffmann2022-3"]


def test_the_chance_of_a_guess_yields_the_tokens_that_were_measured() -> None:
    """Three guesses that are right with 0.5 yield 1 + 0.5 + 0.25 + 0.125 tokens of a step."""
    assert float(judged.acceptance(3, 1.875)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("guesser", "judged_as"), [((), "speculative_n_gram"), (("--draft", "eagle-3"), "speculative_head")]
)
def test_guesses_are_served_with_the_error_of_their_speed_up(guesser: tuple[str, ...], judged_as: str) -> None:
    asked = ("serve", "llama-3.1-8b", "--gpu", "h100", "--draft-tokens", "3", "--acceptance", "0.7", *guesser)
    text, errors = run(*asked, columns=400).out, answer(*asked)["errors"]
    assert [one["of"] for one in errors] == [judged_as]
    assert all(f"(median) of {one['figures']} measured speed-ups" in text for one in errors)
    assert answer(*asked[:4])["errors"] == []


def test_no_run_judges_a_draft_model() -> None:
    asked = ("serve", "llama-3.1-8b", "--gpu", "h100", "--draft", "llama-3.2-1b", "--acceptance", "0.7")
    assert answer(*asked)["errors"] == []
    assert "No measured run judges the speed-up by a draft model." in run(*asked, columns=200).out


def test_a_critical_batch_is_judged_by_hand_by_its_own_definition() -> None:
    """11.4e9 tokens: 0.0346757·D^0.47 sequences of 512 by Zhang, of a fifth more tokens; 0.0471·D^0.462 of 2,048 by Bergsma, of twice."""
    pairs, tokens = judged.critical_batches(), 11.4e9
    zhang, bergsma = pairs["zhang2024b"][0], pairs["bergsma2025"][0]
    assert zhang.predicted == pytest.approx(512 * 0.0346757 * tokens**0.47)
    assert bergsma.predicted == pytest.approx(2048 * 0.0471 * tokens**0.462)
    assert (zhang.published, bergsma.published) == (1_000_000, 1_880_000)


def test_critical_batches_are_said_with_their_error() -> None:
    asked = ("hyper", "llama-3.1-8b")
    text = run(*asked, columns=200).out
    for row in answer(*asked)["rows"]:
        for one in row["errors"]:
            if one["of"] == "critical_batch":
                assert f"×{one['median_factor']:.3f}" in text
    assert "No published run judges the best vocabulary." in text
