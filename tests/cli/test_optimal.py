"""`tscale optimal`: its JSON is a contract, and what it says beside the figures."""

from __future__ import annotations

import json

import pytest

from tests.helpers import answer, run
from tscale.catalogue.laws import shipped_laws


def test_its_json_has_the_keys_that_programs_read() -> None:
    data = answer("optimal", "--flops", "5.76e23")
    assert data["flops"] == 576 * 10**21
    assert [row["law"] for row in data["rows"]] == [
        "kaplan2020",
        "hoffmann2022-1",
        "hoffmann2022-2",
        "hoffmann2022-3",
        "besiroglu2024",
        "deepseek2024",
        "llama3-2024",
    ]
    for row in data["rows"]:
        assert {"law", "params", "tokens", "tokens_per_param", "loss", "interval", "extrapolated"} <= row.keys()
        assert 6 * row["params"] * row["tokens"] == pytest.approx(5.76e23, rel=1e-6)
        assert row["tokens_per_param"] == pytest.approx(row["tokens"] / row["params"], rel=1e-4)
        assert row["extrapolated"] is True
    assert data["figures"]["rows[0].params"]["unit"] == "parameters"


def test_besiroglus_interval_is_that_of_the_exponent() -> None:
    (row,) = answer("optimal", "--flops", "1e21", "--law", "besiroglu2024")["rows"]
    assert row["interval"]["of"] == "exponent"
    assert (row["interval"]["low"], row["interval"]["high"]) == (0.473, 0.552)


@pytest.mark.parametrize(
    "name, flops, beyond",
    [
        ("besiroglu2024", "1e21", False),  # 2.6B parameters, 60B tokens
        ("besiroglu2024", "1e18", True),
        ("besiroglu2024", "1e24", True),
        ("deepseek2024", "1e20", False),
        ("deepseek2024", "1e21", True),
        ("kaplan2020", "1e19", False),
        ("kaplan2020", "1e21", True),
    ],
)
def test_outside_of_the_fitted_range_it_says_so(name: str, flops: str, beyond: bool) -> None:
    (row,) = answer("optimal", "--flops", flops, "--law", name)["rows"]
    assert row["extrapolated"] is beyond
    assert ("extrapolated" in run("optimal", "--flops", flops, "--law", name).out) is beyond


def test_given_parameters_or_tokens_the_flops_are_each_laws() -> None:
    for option, key in (("--params", "params"), ("--tokens", "tokens")):
        data = answer("optimal", option, "30B")
        assert data["flops"] is None
        assert {row[key] for row in data["rows"]} == {30 * 10**9}
        assert len({row["flops"] for row in data["rows"]}) == len(data["rows"])


def test_unique_tokens_bring_the_law_of_repeated_data() -> None:
    data = answer("optimal", "--flops", "1e22", "--unique-tokens", "100B")
    row = next(row for row in data["rows"] if row["law"] == "muennighoff2023")
    assert row["repeated"]["epochs"] == pytest.approx(row["tokens"] / 100e9)
    assert 100e9 < row["repeated"]["effective_tokens"] < row["tokens"]
    assert any("100,000,000,000 that there are" in note for note in data["notes"])


def test_inference_tokens_bring_the_law_of_a_lifetime() -> None:
    data = answer("optimal", "--params", "30B", "--inference-tokens", "10T")
    row = next(row for row in data["rows"] if row["law"] == "sardana2024")
    assert row["params"] == pytest.approx(13.6e9, rel=0.005)
    assert row["lifetime"]["compute_optimal_params"] == 30 * 10**9
    assert row["lifetime"]["saving"] == pytest.approx(0.28, abs=0.005)


def test_misprints_are_noted() -> None:
    for name, said in (
        ("hoffmann2022-3", "1.26e24 FLOPs where 6ND of the row itself is 1.26e25"),
        ("hoffmann2022-1", "contradicts Table 3"),
        ("llama3-2024", "they give 10.46T"),
    ):
        assert said in run("optimal", "--flops", "1e22", "--law", name).out.replace("\n", " ")
    assert "--explain or --law NAME prints them" in run("optimal", "--flops", "1e22").out


def test_explain_shows_each_formula_and_its_constants() -> None:
    out = run("optimal", "--flops", "1e22", "--explain").out
    assert "N = G·(C/6)^(beta/(alpha + beta))" in out
    assert "E 1.8172, A 482.01, B 2085.43, alpha 0.3478, beta 0.3658" in out
    assert "https://arxiv.org/abs/2404.10102" in out


@pytest.mark.parametrize("format", ["csv", "markdown"])
def test_other_formats_have_a_row_a_law(format: str) -> None:
    out = run("optimal", "--flops", "1e22", "--format", format).out
    assert sum("besiroglu2024" in line for line in out.splitlines()) == (1 if format == "csv" else 4)


def test_gpus_and_days_are_the_flops_of_their_peak_times_the_utilisation() -> None:
    data = answer("optimal", "--gpu", "h100", "--gpus", "1024", "--days", "30", "--mfu", "40%")
    assert data["flops"] == 1024 * 30 * 86_400 * 989_400 * 10**9 * 40 // 100
    assert data["given"]["of"]["gpu_hours"] == 1024 * 30 * 24
    assert data["figures"]["flops"]["known"] == "exact"


def test_dollars_buy_gpu_hours() -> None:
    data = answer("optimal", "--gpu", "h100", "--dollars", "1e6", "--price", "2", "--mfu", "0.4")
    assert data["flops"] == 500_000 * 3600 * 989_400 * 10**9 * 40 // 100


def test_a_price_that_was_not_given_is_a_range_of_flops() -> None:
    data = answer("optimal", "--gpu", "h100", "--dollars", "1e6", "--mfu", "0.4")
    of = data["given"]["of"]
    price, flops = of["usd_per_gpu_hour"], of["flops_range"]
    assert price["middle"] == of["price_per_gpu_hour"] == 3.78
    assert flops["low"] * price["high"] == pytest.approx(data["flops"] * price["middle"])
    assert flops["high"] * price["low"] == pytest.approx(data["flops"] * price["middle"])
    assert data["figures"]["flops"]["known"] == "assumed"


def test_a_utilisation_that_was_not_given_is_an_assumption_that_says_so() -> None:
    data = answer("optimal", "--gpu", "h100", "--gpus", "8", "--days", "1")
    assert data["figures"]["flops"]["known"] == "assumed"
    assert data["notes"][0].startswith("MFU assumed: ")
    assert {one["gpu"] for one in data["given"]["of"]["utilisation_runs"]} == {"h100-sxm"}
    assert len(data["given"]["of"]["utilisation_runs"]) == 5
    out = run("optimal", "--gpu", "h100", "--gpus", "8", "--days", "1", "--explain").out
    assert "gpu_seconds·peak·mfu_millionths/1000000" in out.replace(" ", "")


def test_the_laws_are_listed_and_shown() -> None:
    names = [law["name"] for law in answer("list", "laws")["laws"]]
    assert names == [law.name for law in shipped_laws()]
    for name in names:
        assert run("show", name).out.startswith(f"name: {name}\n")
        assert json.loads(run("show", name, "--format", "json").out)["name"] == name
    assert "begins a file to change a law in" in run("show", names[0], "--set", "year=1999").err


@pytest.mark.parametrize("served", ["1", "3", "7", "1e3"])
def test_a_lifetime_never_saves_less_than_nothing(served: str) -> None:
    """Of so few tokens served, the cheapest run is the compute-optimal one, to the rounding of floats."""
    data = answer("optimal", "--params", "1e9", f"--inference-tokens={served}")
    assert all(row["lifetime"]["saving"] >= 0 for row in data["rows"] if row.get("lifetime"))
