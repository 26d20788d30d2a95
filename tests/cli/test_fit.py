"""`tscale fit`: its JSON is a contract, and the law that it writes is one that other commands read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import tscale.calibration
from tests.calibration.synthetic import BESIROGLU, csv_of, runs_of
from tests.helpers import answer, run
from tscale.calibration.parametric import Fit, fit
from tscale.calibration.runs import Run
from tscale.catalogue.laws import read_law
from tscale.core.laws import Parametric
from tscale.estimates import fit as fitting
from tscale.estimates.laws import percentiles

FIT = ("fit", "runs.csv", "--bootstraps", "100")


@cache
def fitted_once(runs: tuple[Run, ...], bootstraps: int, seed: int) -> Fit:
    return fit(runs, bootstraps, seed)


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same runs are fitted once for all tests, but for those of a law that is the same when it is fitted again."""
    monkeypatch.setattr(fitting, "fit", lambda runs, bootstraps, seed, _: fitted_once(tuple(runs), bootstraps, seed))
    monkeypatch.chdir(tmp_path)
    Path("runs.csv").write_text(csv_of(runs_of(BESIROGLU, 40, 0.003, 1)), encoding="utf-8")


@pytest.mark.slow
def test_its_json_has_the_keys_that_programs_read() -> None:
    data = answer(*FIT, "--seed", "3")
    assert {
        "file",
        "runs",
        "columns",
        "columns_left_out",
        "constants",
        "exponents",
        "level",
        "bootstraps",
    } <= data.keys()
    assert {
        "bootstraps_lost",
        "seed",
        "huber_delta",
        "objective",
        "residuals",
        "optima",
        "law",
        "law_file",
    } <= data.keys()
    assert list(data["constants"]) == ["E", "A", "B", "alpha", "beta"]
    assert list(data["exponents"]) == ["a", "b"]
    for one in (*data["constants"].values(), *data["exponents"].values()):
        assert one["low"] <= one["value"] <= one["high"]
    assert {"rms", "largest", "largest_line"} == data["residuals"].keys()
    assert (data["runs"], data["bootstraps"], data["seed"], data["law_file"]) == (40, 100, 3, None)
    assert data["huber_delta"] == 1e-3
    law = data["law"]
    assert (law["counts"], law["flops_by"]) == ("all", "6ND")


@pytest.mark.slow
def test_the_exponents_and_the_optimum_follow_from_the_constants() -> None:
    data = answer(*FIT)
    law = Parametric(*(data["constants"][name]["value"] for name in Parametric._fields))
    assert data["exponents"]["a"]["value"] == pytest.approx(law.beta / (law.alpha + law.beta), abs=5e-5)
    assert data["exponents"]["a"]["value"] + data["exponents"]["b"]["value"] == pytest.approx(1)
    largest = max(one.flops for one in runs_of(BESIROGLU, 40, 0.003, 1))
    for times, optimum in zip((1, 10, 100, 1000), data["optima"], strict=True):
        point = law.at_flops(times * largest)
        assert optimum["flops"] == pytest.approx(times * largest)
        assert optimum["params"] == pytest.approx(point.params, rel=1e-6)
        assert optimum["tokens"] == pytest.approx(point.tokens, rel=1e-6)
        assert optimum["loss"] == pytest.approx(point.loss, rel=1e-6)
        assert optimum["params_low"] < optimum["params"] < optimum["params_high"]
        assert optimum["tokens_low"] < optimum["tokens"] < optimum["tokens_high"]
    assert [optimum["extrapolated"] for optimum in data["optima"]] == [False, True, True, True]


@pytest.mark.slow
def test_the_law_that_it_writes_is_read_by_optimal() -> None:
    written = answer(*FIT, "-o", "mine.yaml", "--counts", "non_embedding")
    law = read_law("mine.yaml")
    assert {name: one.value for name, one in law.constants.items()} == {
        name: one["value"] for name, one in written["constants"].items()
    }
    assert (law.name, law.counts, law.draws) == ("mine", "non_embedding", ())
    assert law.quantiles is not None
    assert law.fitted.flops is not None
    (row,) = answer("optimal", "--flops", str(round(law.fitted.flops[1])), "--law", "mine.yaml")["rows"]
    first = written["optima"][0]
    assert row["params"] == pytest.approx(first["params"], rel=1e-6)
    assert row["interval"]["low"] == pytest.approx(first["params_low"], rel=1e-6)
    assert row["interval"]["high"] == pytest.approx(first["params_high"], rel=1e-6)
    assert row["extrapolated"] is False
    (row,) = answer("optimal", "--flops", "1e25", "--law", "mine.yaml")["rows"]
    assert row["extrapolated"] is True


@pytest.mark.slow
def test_a_written_law_is_small_and_keeps_its_intervals_between_the_budgets_that_it_holds() -> None:
    """Against the percentiles of the samples themselves: along a law's optima the logarithms are straight lines."""
    answer(*FIT, "-o", "mine.yaml")
    assert len(Path("mine.yaml").read_text(encoding="utf-8")) < 6000
    found = fit(runs_of(BESIROGLU, 40, 0.003, 1), 100, 0)
    for asked, amount in (("--flops", 3.3e22), ("--params", 2e9), ("--tokens", 5e10)):
        (row,) = answer("optimal", asked, f"{amount:.0f}", "--law", "mine.yaml")["rows"]
        points = [
            {"--flops": draw.at_flops, "--params": draw.at_params, "--tokens": draw.at_tokens}[asked](amount)
            for draw in found.draws
        ]
        low, high = percentiles([point.params for point in points])
        assert row["interval"]["low"] == pytest.approx(low, rel=0.01)
        assert row["interval"]["high"] == pytest.approx(high, rel=0.01)


@pytest.mark.slow
def test_columns_are_found_by_the_names_that_loggers_give_them() -> None:
    """A validation loss is read before one of training, and the answer says which."""
    runs = runs_of(BESIROGLU, 40, 0.003, 1)
    lines = [f"{one.params!r},{one.tokens!r},{one.loss + 1!r},{one.loss!r}" for one in runs]
    Path("wandb.csv").write_text("\n".join(["n_params,train_tokens,train/loss,eval/loss", *lines]), encoding="utf-8")
    data = answer("fit", "wandb.csv", "--bootstraps", "100")
    assert data["constants"] == answer(*FIT)["constants"]
    assert data["columns_left_out"] == ["train/loss"]
    assert "loss (eval/loss)" in run("fit", "wandb.csv", "--bootstraps", "100").out


@pytest.mark.slow
def test_the_same_answer_twice() -> None:
    first = run(*FIT, "--seed", "5").out
    fitted_once.cache_clear()
    assert run(*FIT, "--seed", "5").out == first != run(*FIT, "--seed", "6").out


@pytest.mark.slow
def test_it_writes_over_no_file_unless_told_to() -> None:
    Path("mine.yaml").write_text("dear to me", encoding="utf-8")
    done = run(*FIT, "-o", "mine.yaml")
    assert (done.code, done.out) == (1, "")
    assert done.err == ("tscale: mine.yaml: exists already, and is left as it is: choose another name, or --force\n")
    assert Path("mine.yaml").read_text(encoding="utf-8") == "dear to me"
    assert run(*FIT, "-o", "mine.yaml", "--force").code == 0
    assert read_law("mine.yaml").kind == "parametric"
    assert sorted(path.name for path in Path().iterdir()) == ["mine.yaml", "runs.csv"]


def test_runs_that_are_wrong_write_nothing() -> None:
    Path("runs.csv").write_text("params,tokens,loss\n1,2,x\n", encoding="utf-8")
    Path("mine.yaml").write_text("dear to me", encoding="utf-8")
    assert run(*FIT, "-o", "mine.yaml", "--force").code == 1
    assert Path("mine.yaml").read_text(encoding="utf-8") == "dear to me"
    assert run(*FIT, "-o", "other.yaml").code == 1
    assert not Path("other.yaml").exists()


@pytest.mark.slow
def test_where_it_cannot_be_written() -> None:
    for force in ((), ("--force",)):
        done = run(*FIT, "-o", "absent/mine.yaml", *force)
        assert (done.code, done.out) == (1, "")
        assert done.err == "tscale: absent/mine.yaml: cannot be written: No such file or directory\n"


_INSTALL = "tscale: fit needs numpy and scipy: `pip install '.[fit]'` in the folder of tscale's source installs them\n"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tscale.calibration, "find_spec", lambda _: None)
    done = run(*FIT)
    assert (done.code, done.out, done.err) == (2, "", _INSTALL)


@pytest.mark.slow
def test_explain_shows_what_is_sought_and_what_follows() -> None:
    out = run(*FIT, "--explain").out
    assert "Huber(LSE(ln A − alpha·ln N, ln B − beta·ln D, ln E) − ln L)" in out
    assert "beta/(alpha + beta)" in out
    assert "G·(C/6)^a" in out
    assert "https://arxiv.org/abs/2203.15556" in out
    (headline,) = re.findall(r"parameters grow as C\^(0\.\d+)", out)
    (row,) = re.findall(r"^a +(0\.\d+) .*optimal parameters", out, re.MULTILINE)
    assert float(headline) == pytest.approx(float(row), abs=5e-4)


@pytest.mark.slow
def test_what_makes_it_less_sure_is_said() -> None:
    runs = runs_of(BESIROGLU, 15, 0.003, 1)
    Path("runs.csv").write_text(csv_of(runs), encoding="utf-8")
    assert "15 runs are few for 5 constants" in run(*FIT).out.replace("\n", " ")
    perplexities = [one._replace(loss=2.718281828**one.loss) for one in runs_of(BESIROGLU, 40, 0.003, 1)]
    Path("runs.csv").write_text(csv_of(perplexities), encoding="utf-8")
    assert "are these perplexities" in run(*FIT).out.replace("\n", " ")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "markdown"])
def test_other_formats_have_a_row_a_constant(format: str) -> None:
    lines = run(*FIT, "--format", format).out.splitlines()
    for name in ("E", "A", "B", "alpha", "beta", "a", "b"):
        assert sum(line.startswith((f"{name},", f"| {name} |", f"|{name}|")) for line in lines) == 1, name


def test_nothing_but_fit_imports_numpy() -> None:
    code = "import sys, tscale.cli\nprint(json := [name for name in ('numpy', 'scipy', 'pydantic') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.slow
def test_a_law_whose_samples_run_away_is_read_back() -> None:
    """Intervals of a dozen noisy runs pass what a file holds far from them: those rows are left out."""
    runs = (
        "342553449,1436796492,3.2225\n106492820,12225595096,3.0223\n1373596793,23150740435,2.4635\n"
        "158445531,1321858361,3.4245\n4694760121,16527822163,2.4075\n2160383654,25864731838,2.4726\n"
        "4124194190,57743851136,2.2778\n1673828395,7817744509,2.6072\n184080567,5187268110,3.0468\n"
        "93829082,10603081774,3.0929\n249797175,4365729281,3.0376\n558215088,12124373556,2.6872\n"
    )
    Path("few.csv").write_text(f"params,tokens,loss\n{runs}", encoding="utf-8")
    assert run("fit", "few.csv", "--bootstraps", "100", "-o", "law.yaml").code == 0
    assert run("optimal", "--flops", "1e20", "--law", "law.yaml").code == 0
