"""Failures, restarts and checkpoints of a training run, as published runs lost time to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers import run
from tscale.estimates.goodput import goodput_of

RUN = ("train", "llama-3.1-405b", "--gpu", "h100", "--gpus", "16384", "--mfu", "0.4")


def found(*args: str) -> Any:
    return json.loads(run(*args, "--format", "json").out)


def test_as_many_devices_as_a_published_run_lose_what_it_lost() -> None:
    """Dubey 2024, section 3.3.4: more than 90% of 54 days on 16,384 H100. Wan 2025: 97% of three months on 9,600."""
    assert float(goodput_of(16_384).low) == pytest.approx(0.9)
    assert float(goodput_of(9_600).high) == pytest.approx(0.97)


def test_twice_the_devices_lose_twice_the_time_to_a_second_of_steps() -> None:
    one, two = (1 / goodput_of(gpus).middle - 1 for gpus in (4096, 8192))
    assert two == 2 * one


@pytest.mark.slow
def test_days_and_dollars_are_said_with_and_without() -> None:
    said = found(*RUN)
    share = said["goodput"]["middle"]
    assert said["elapsed_days"] == pytest.approx(said["days"] / share)
    assert said["elapsed_cost_usd"] == pytest.approx(said["cost_usd"] / share)
    text = run(*RUN, columns=200).out
    assert "; with failures and restarts 87.9 days and $131,000,000" in text.splitlines()[0]
    assert "Goodput assumed: 92.4% (90.0% to 95.0%: 2 published runs, failures per device), within " in text
    assert text.count("  with failures and restarts ") == 2


def test_a_share_that_is_given_is_taken() -> None:
    said = found(*RUN, "--goodput", "80%")
    assert (said["goodput"]["middle"], said["goodput"]["published"]) == (0.8, [])
    assert said["elapsed_days"] == pytest.approx(said["days"] / 0.8)


def test_days_that_are_allowed_have_the_failures_in_them() -> None:
    """10% of 30 days are lost: as many devices as finish in 27."""
    of = ("train", "llama-3.1-405b", "--gpu", "h100", "--mfu", "0.4")
    given, fewer = found(*of, "--days", "30", "--goodput", "0.9"), found(*of, "--days", "27")
    assert given["gpus"] == fewer["gpus"]
    assert given["elapsed_days"] == pytest.approx(30, rel=1e-4)


def test_the_utilisation_of_measured_days_is_that_of_their_steps() -> None:
    of = ("train", "llama-3.1-405b", "--gpu", "h100", "--gpus", "16384", "--days", "100")
    plain, given = found(*of), found(*of, "--goodput", "0.9")
    assert plain["goodput"] is None and plain["elapsed_days"] is None
    assert given["mfu"] == pytest.approx(plain["mfu"] / 0.9)
    assert given["elapsed_days"] == pytest.approx(100)


@pytest.mark.parametrize("args", [("deepseek-v3", "--gpu", "h800"), ("qwen3-8b", "--gpu", "h100", "--tokens", "1e12")])
def test_hours_of_whole_runs_have_their_failures_in_them(args: tuple[str, ...]) -> None:
    """DeepSeek-V3's utilisation is that of its own published hours; 93.5% are the mean of the two published goodputs."""
    asked = ("train", *args, "--gpus", "2048")
    said, lost = found(*asked), found(*asked, "--goodput", "93.5%")
    assert said["assumed"] and said["goodput"] is None and said["elapsed_days"] is None
    assert lost["elapsed_gpu_hours"] == pytest.approx(said["gpu_hours"], rel=1e-4), "nothing is lost twice"
    assert lost["mfu"] == pytest.approx(said["mfu"] / 0.935)
    assert "of steps alone)." in run(*asked, "--goodput", "93.5%", columns=200).out


def test_what_few_devices_lose_is_not_worth_a_word() -> None:
    said = run("train", "llama-3.1-8b", "--gpu", "h100", "--gpus", "64", "--mfu", "0.4").out
    assert "failures" not in said and "Goodput" not in said
