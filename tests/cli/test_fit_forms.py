"""`tscale fit --form` and `--holdout`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.calibration.synthetic import BESIROGLU, csv_of
from tests.calibration.test_forms import grid, joint
from tests.helpers import answer, run
from tscale.catalogue.laws import read_law

FEW = ("--bootstraps", "100")


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs.csv").write_text(csv_of(grid(lambda n, d, _: BESIROGLU.loss(n, d))), encoding="utf-8")


@pytest.mark.slow
def test_forms_are_compared_by_sizes_held_out_and_the_best_is_written() -> None:
    data = answer("fit", "runs.csv", "--form", "kaplan", "--form", "chinchilla", *FEW, "-o", "best.yaml")
    assert data["form"] == "chinchilla"
    by = {one["form"]: one for one in data["forms"]}
    assert [one["best"] for one in data["forms"]] == [False, True]
    assert by["chinchilla"]["held_out"]["held_out_rms"] < by["kaplan"]["held_out"]["held_out_rms"]
    assert by["chinchilla"]["held_out"]["held_out_sizes"] == 6
    assert read_law("best.yaml").kind == "parametric"
    assert set(data["constants"]) == {"E", "A", "B", "alpha", "beta"}


@pytest.mark.slow
def test_a_form_that_the_runs_do_not_tell_is_named_and_the_others_compared() -> None:
    few = grid(lambda n, d, _: BESIROGLU.loss(n, d))[:16]
    Path("few.csv").write_text(csv_of(few), encoding="utf-8")
    data = answer("fit", "few.csv", "--form", "farseer", "--form", "kaplan", *FEW)
    assert data["form"] == "kaplan"
    assert "only 4 numbers of parameters" in data["forms"][0]["reason"]
    assert any("farseer is not fitted" in note for note in data["notes"])


@pytest.mark.slow
def test_a_written_form_is_read_by_optimal_and_by_loss() -> None:
    written = answer("fit", "runs.csv", "--form", "kaplan", *FEW, "--holdout", "-o", "mine.yaml")
    assert written["held_out"]["held_out_rms"] > 0
    (row,) = answer("optimal", "--flops", str(round(written["optima"][0]["flops"])), "--law", "mine.yaml")["rows"]
    assert row["params"] == pytest.approx(written["optima"][0]["params"], rel=1e-6)
    (row,) = answer("loss", "gpt2", "--tokens", "1e10", "--law", "mine.yaml")["rows"]
    assert row["best_with_flops"]["loss"] <= row["loss"]


@pytest.mark.slow
def test_a_law_of_experts_is_fitted_and_read() -> None:
    lines = [f"{one.params!r},{one.tokens!r},{one.experts},{one.loss!r}" for one in grid(_of_experts, (1, 4, 16))]
    Path("moe.csv").write_text("\n".join(["params,tokens,experts,loss", *lines]), encoding="utf-8")
    data = answer("fit", "moe.csv", "--form", "moe-joint", *FEW, "-o", "moe.yaml")
    assert {one["experts"] for one in data["optima"]} == {1, 4, 16}
    law = read_law("moe.yaml")
    assert (law.kind, law.counts, law.fitted.expansion) == ("joint-experts", "active", (1, 16))
    (row,) = answer("loss", "mixtral-8x7b", "--tokens", "1e11", "--law", "moe.yaml")["rows"]
    shipped = answer("loss", "mixtral-8x7b", "--tokens", "1e11", "--law", "ludziejewski2025")["rows"][0]
    assert row["loss"] == pytest.approx(shipped["loss"], rel=0.03)


def _of_experts(n: float, d: float, e: float) -> float:
    return joint().of(e).loss(n, d)


@pytest.mark.slow
def test_hoffmanns_form_says_how_well_it_foretells_too() -> None:
    data = answer("fit", "runs.csv", *FEW, "--holdout")
    assert data["held_out"]["held_out_rms"] < 0.005


@pytest.mark.slow
def test_the_picture_has_a_colour_for_each_size() -> None:
    assert run("fit", "runs.csv", *FEW, "--plot", "fit.svg").code == 0
    text = Path("fit.svg").read_text(encoding="utf-8")
    assert all(f"{size} parameters" in text for size in ("50.0M", "100M", "200M", "400M", "800M", "1.60B"))


@pytest.mark.parametrize(
    "words, said",
    [
        (("--form", "kaplann"), 'tscale: --form "kaplann" is none: did you mean kaplan?'),
        (("--form", "moe-joint"), "tscale: runs.csv:1:1: no column experts"),
    ],
)
def test_what_it_refuses(words: tuple[str, ...], said: str) -> None:
    found = run("fit", "runs.csv", *words)
    assert found.code in (1, 2)
    assert found.err.strip() == said
