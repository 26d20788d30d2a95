"""`list`: everything that is shipped, and what filters leave of it."""

from __future__ import annotations

from typing import Any

import pytest

import tscale
from tests.helpers import answer, run
from tscale.catalogue.hardware import listed_hardware
from tscale.catalogue.models import built_in, listed, names
from tscale.core.costs.params import active_params, params
from tscale.models.lower import lower


def listed_models(*args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer("list", *args)["models"]
    return found


def test_sizes_are_those_that_params_counts() -> None:
    """The list reads them where they were compiled; three of them counted here, and GPT-3 as Brown 2020 rounds it."""
    sizes = {one["name"]: one for one in listed_models()}
    assert sizes["gpt3"]["params"] == 174_604_259_328
    for name in ("mixtral-8x7b", "qwen3-30b-a3b"):
        ledger = lower(built_in(name))  # type: ignore[arg-type]
        assert (sizes[name]["params"], sizes[name]["active_params"]) == (
            params(ledger).total,
            active_params(ledger).total,
        )
    assert sizes["gpt-4"]["params"] is None


@pytest.mark.parametrize(
    ("args", "holds"),
    [
        (("--newer-than", "2024"), lambda one: one["year"] > 2024),
        (("--older-than", "2019"), lambda one: one["year"] < 2019),
        (("--family", "qwen3"), lambda one: one["name"].startswith("qwen3")),
        (("--larger-than", "100B"), lambda one: (one["params"] or 0) > 100e9),
        (("--smaller-than", "500e6"), lambda one: one["params"] is not None and one["params"] < 500e6),
        (
            ("--newer-than", "2023", "--family", "gemma", "--smaller-than", "5B"),
            lambda one: one["year"] > 2023 and one["name"].startswith("gemma") and one["params"] < 5e9,
        ),
    ],
)
def test_a_filter_leaves_what_is_so_and_nothing_else(args: tuple[str, ...], holds: Any) -> None:
    found = {one["name"] for one in listed_models(*args)}
    assert found == {one["name"] for one in listed_models() if holds(one)}
    assert 0 < len(found) < len(names())


def test_another_name_begins_so_too() -> None:
    assert [one["name"] for one in listed_models("--family", "gpt3-davinci")] == ["gpt3"]


def test_the_title_says_what_was_asked_and_how_many_there_are() -> None:
    found = listed_models("--newer-than", "2025", "--larger-than", "300B")
    title = run("list", "--newer-than", "2025", "--larger-than", "300B", columns=200).out.splitlines()[0]
    assert title == f"Built-in models, newer than 2025, larger than 300B: {len(found)} of {len(listed())}"


def test_nothing_that_is_so_is_said() -> None:
    done = run("list", "--newer-than", "2024", "--older-than", "2025")
    assert done.code == 0
    assert "Nothing matches: `tscale list` names all." in done.out


def test_a_family_that_no_name_begins_with_is_refused() -> None:
    done = run("list", "--family", "lama")
    assert (done.code, done.out) == (2, "")
    assert done.err == 'tscale: --family: no name here begins with "lama": did you mean llama?\n'


def test_hardware_and_laws_are_filtered_too() -> None:
    of_hardware = [
        one["name"] for one in answer("list", "hardware", "--family", "rtx", "--newer-than", "2024")["hardware"]
    ]
    assert set(of_hardware) == {
        one.name for one in listed_hardware() if one.name.startswith("rtx") and (one.year or 0) > 2024
    }
    assert all(one["year"] > 2022 for one in answer("list", "laws", "--newer-than", "2022")["laws"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("formats", "--family", "q4"), "--family is about models, hardware, families, not about formats: drop it"),
        (("hardware", "--larger-than", "1B"), "--larger-than is about models, not about hardware: drop it"),
        (("--newer-than", "next"), '--newer-than takes a year, such as 2024, not "next"'),
        (("--newer-than", "20256"), '--newer-than takes a year, such as 2024, not "20256"'),
        (
            ("--larger-than", "big"),
            "--larger-than must be a whole number above 0, such as 2048, 4_096, 300e9, 128k or 1.5T",
        ),
    ],
)
def test_a_filter_that_makes_no_sense_is_one_line(args: tuple[str, ...], message: str) -> None:
    done = run("list", *args)
    assert (done.code, done.err.startswith(f"tscale: {message}")) == (2, True), done.err


def test_python_filters_alike() -> None:
    found = tscale.list(newer_than=2025, larger_than=300e9)
    assert [one["name"] for one in found.to_dict()["models"]] == [
        one["name"] for one in listed_models("--newer-than", "2025", "--larger-than", "300B")
    ]
