"""Fits of steps and of laws, put together: constants by a search of all of them, and laws as files hold them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import log
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tscale.calibration.interval import Interval, ends_of_another
from tscale.catalogue.index import configs
from tscale.core.costs.post_training import StepConstants
from tscale.core.laws import Farseer, KaplanJoint
from tscale.core.laws.experts import Joint
from tscale.errors import SpecError
from tscale.estimates import accuracy, fit_forms
from tscale.estimates import fit as fitting
from tscale.estimates.post_training import fit
from tscale.estimates.post_training.rollout import Timed
from tscale.estimates.post_training.step import StepTime

# ---------------------------------------------------------------------------------------------------------------------
# Steps after pre-training
# ---------------------------------------------------------------------------------------------------------------------

STEPS = (
    # model, chip, measured seconds, seconds of the passes alone, bytes that move, whether devices of engines train too
    ("a", "one", 16.1, 9.7, 3 * 10**9, True), ("a", "two", 34.0, 19.3, 4 * 10**9, True), ("b", "one", 41.0, 30.7, 2 * 10**9, False),
    ("b", "one", 17.0, 9.9, 5 * 10**9, False), ("c", "two", 52.0, 41.3, 10**9, True), ("c", "two", 9.0, 5.3, 10**9, False),
)  # fmt: skip
RELEASES = ("x", "y", "y", "x", "y", "x")
MOVED = tuple(step / 2 * 1e-9 for step in range(9))


def _runs() -> list[fit.Measured]:
    def time(alone: float, size: int, *, colocated: bool) -> StepTime:
        return StepTime((Timed("training", 0.0, Interval(alone, alone, alone), 1),), False, colocated, 1, 1, size)

    return [
        fit.Measured(release, model, chip, seconds, time(alone, size, colocated=colocated), "fits")
        for release, (model, chip, seconds, alone, size, colocated) in zip(RELEASES, STEPS, strict=True)
    ]


def _ratio(step: Any, together: float, apart: float) -> float:
    """Measured over predicted."""
    _, _, seconds, alone, size, colocated = step
    return float(seconds / (alone + size * (together if colocated else apart)))


def _best(steps: list[Any]) -> tuple[float, float]:
    """By trying all combinations."""
    return min(product(MOVED, MOVED), key=lambda one: sum(abs(log(_ratio(step, *one))) for step in steps))


def _left_out(groups: Sequence[str]) -> list[float]:
    """The ratio of each step by the constants of the steps of other groups."""
    best = {
        group: _best([step for step, other in zip(STEPS, groups, strict=True) if other != group])
        for group in dict.fromkeys(groups)
    }
    return [_ratio(step, *best[group]) for step, group in zip(STEPS, groups, strict=True)]


def test_constants_of_steps_are_those_of_the_least_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_MOVED", list(MOVED))
    best = _best(list(STEPS))
    assert fit.fitted(_runs()) == StepConstants(*best)
    models = [step[0] for step in STEPS]
    ratios, others = _left_out(models), _left_out(RELEASES)
    of_models, of_releases = fit.left_out(_runs(), lambda run: run.model), fit.left_out(_runs(), lambda run: run.source)
    assert of_models.ratios == pytest.approx(ratios)
    assert of_releases.ratios == pytest.approx(others)
    assert (of_models.groups, of_releases.groups) == (models, list(RELEASES))
    said = fit.calibration(_runs())
    assert [said["constants"][name]["value"] for name in ("moved_colocated", "moved_apart")] == pytest.approx(
        list(best)
    )
    assert all(one["fitted"] for one in said["constants"].values())
    assert said["covers"] == {"methods": ["grpo"], "models": ["a", "b", "c"], "chips": ["one", "two"]}
    assert said["fitted_to"]["runs"] == 6
    alone = [step[2] / step[3] for step in STEPS]
    assert said["alone"] == {
        "median_ratio": round(median(alone), 3), "least": round(min(alone), 3), "most": round(max(alone), 3)
    }  # fmt: skip
    high = ends_of_another(ratios, models)[1]
    near, far = ends_of_another(others, RELEASES)
    errors, apart = (median(abs(1 / ratio - 1) for ratio in found) for found in (ratios, others))
    assert far > high, "the wider of the two is the interval"
    assert said["left_out"] == {
        "by": "model", "median_error": round(errors, 3), "low": round(near, 3), "high": round(far, 3),
        "releases": {"median_error": round(apart, 3), "low": round(near, 3), "high": round(far, 3)},
    }  # fmt: skip
    assert len({round(one, 2) for one in (near, far, high, errors, apart, 1.0)}) == 6, "none can stand for another"
    assert all(round(one, 3) != round(one, 4) for one in (near, far, errors, apart)), "nor any for one of more digits"


def test_constants_are_looked_for_up_to_four_seconds_for_a_gigabyte() -> None:
    assert (fit._MOVED[0], fit._MOVED[-1]) == (0.0, pytest.approx(4e-9))  # type: ignore[comparison-overlap]


def test_the_shipped_file_is_written_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = configs() / "calibrations" / "post-training.yaml"
    text = file.read_text(encoding="utf-8")
    (tmp_path / "calibrations").mkdir()
    monkeypatch.setattr(fit, "measured", lambda: "runs")
    monkeypatch.setattr(fit, "calibration", lambda runs: yaml.safe_load(text) if runs == "runs" else None)
    monkeypatch.setattr(fit, "configs", lambda: tmp_path)
    fit.main()
    assert (tmp_path / "calibrations" / "post-training.yaml").read_text(encoding="utf-8") == text


def test_a_row_asks_for_a_step_of_grpo() -> None:
    """256 devices of 2·4·2 to a copy are 16 copies; a mean of 3,000 tokens, of which 400 are prompts, has responses of 2,600."""
    row = {
        "model": "llama-3.1-8b", "gpu": "h100", "network_gb_per_s": "50", "tensor": "2", "context_parallel": "4", "pipeline": "2", "expert": "1",
        "gpus": "256", "stages": "15,17", "precision": "bf16", "recompute": "full", "reference": "", "group": "16", "prompts": "64", "batch": "512",
        "prompt_tokens": "400", "mean_tokens": "3000", "longest": "8192", "rollout_gpus": "", "rollout_tensor": "4",
    }  # fmt: skip
    ask = fit.ask_of(row)
    plan = ask.how.plan
    assert (plan.tensor, plan.sequence, plan.context, plan.pipeline, plan.data, plan.zero) == (2, True, 4, 2, 16, 1)
    assert (plan.stages, ask.how.recompute, ask.how.rank, ask.how.base) == ((15, 17), "full", None, None)
    assert (ask.method, ask.group, ask.prompts, ask.batch, ask.prompt, ask.response) == ("grpo", 16, 64, 512, 400, 2600)
    assert (ask.longest, ask.apart, ask.rollout_tensor, len(ask.asleep)) == (8192, None, 4, 6)
    assert ask.reference is not None
    assert ask.training.hardware is not None
    assert ask.training.hardware.network_gb_per_s == 50
    other = fit.ask_of(
        row | {"network_gb_per_s": "", "tensor": "1", "stages": "", "reference": "0", "rollout_gpus": "128"}
    )
    assert (other.how.plan.sequence, other.how.plan.stages, other.how.plan.data) == (False, None, 32)
    assert (other.reference, other.apart) == (None, 128)


# ---------------------------------------------------------------------------------------------------------------------
# Forms of laws
# ---------------------------------------------------------------------------------------------------------------------

READ: Any = SimpleNamespace(
    name="runs.csv",
    runs=[
        SimpleNamespace(params=n, tokens=d, flops=6 * n * d, experts=e) for n, d, e in ((3, 50, 4), (1, 70, 1), (2, 20, 8))
    ],
)  # fmt: skip


def _asked(*forms: str, holdout: bool = False, counts: str = "all") -> Any:
    return fit_forms.Asked(forms, 10, 3, counts, "own", holdout)  # type: ignore[arg-type]


def test_a_law_of_a_form_holds_its_constants_with_their_intervals() -> None:
    """Of 41 samples 0 to 40, from 1 to 39; a value beyond them stretches the interval. Digits beyond the eighth are dropped."""
    draws = tuple({"a": float(n), "b": 100.0 + n, "c": n / 3} for n in range(41))
    for experts in (False, True):
        form: Any = SimpleNamespace(
            name="moe-joint" if experts else "kaplan",
            kind="joint-experts" if experts else "kaplan-joint",
            constants={"a": "", "b": "", "c": ""},
        )
        found: Any = SimpleNamespace(form=form, values={"a": 7.0, "b": 150.0, "c": -1 / 3}, draws=draws)
        law = fit_forms._law(READ, found, _asked(form.name))
        held = {name: (one.low, one.value, one.high) for name, one in law.constants.items()}
        assert held == {"a": (1, 7, 39), "b": (101, 150, 150), "c": (-0.33333333, -0.33333333, 13)}
        assert (law.name, law.kind, law.flops, law.source) == ("own", form.kind, "6ND", "3 runs of runs.csv")
        assert (law.fitted.params, law.fitted.tokens, law.fitted.flops) == ((1, 3), (20, 70), (240, 900))
        assert law.fitted.expansion == ((1, 8) if experts else None)
        assert law.counts == ("active" if experts else "all")
        assert fit_forms._law(READ, found, _asked(form.name, counts="non_embedding")).counts == (
            "active_non_embedding" if experts else "non_embedding"
        )


def test_forms_are_fitted_and_held_to_sizes_where_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit_form(runs: Any, form: Any, bootstraps: int, seed: int, _: Any) -> Any:
        assert (runs, bootstraps, seed) == (READ.runs, 10, 3)
        if form == "farseer's":
            raise SpecError("too few runs")
        return f"fit of {form}"

    def held_out(runs: Any, name: str) -> Any:
        if name == "moe-joint":
            raise SpecError("too few sizes")
        return SimpleNamespace(rms={"chinchilla": 0.3, "kaplan": 0.2}[name])

    class Chinchilla(SimpleNamespace):
        def _replace(self, **changed: Any) -> Any:
            return Chinchilla(**vars(self) | changed)

    monkeypatch.setattr(fit_forms, "FORMS", {name: f"{name}'s" for name in ("kaplan", "farseer", "moe-joint")})
    monkeypatch.setattr(fit_forms, "fit_form", fit_form)
    monkeypatch.setattr(fit_forms, "held_out", held_out)
    monkeypatch.setattr(fit_forms, "fitted", lambda *_: Chinchilla(held="none"))
    monkeypatch.setattr(fit_forms, "_law", lambda *_: "law")
    alone: Any = fit_forms.fitted_forms(READ, _asked("kaplan"))
    assert (alone.fit, alone.law, alone.bootstraps, alone.seed, alone.held) == ("fit of kaplan's", "law", 10, 3, None)
    held: Any = fit_forms.fitted_forms(READ, _asked("kaplan", holdout=True))
    assert held.held.rms == 0.2
    plain: Any = fit_forms.fitted_forms(READ, _asked("chinchilla"))
    assert plain.held is None
    both: Any = fit_forms.fitted_forms(READ, _asked("chinchilla", "farseer", "kaplan", "moe-joint"))
    assert [trial.name for trial in both.trials] == ["chinchilla", "farseer", "kaplan", "moe-joint"]
    assert [trial.found is None for trial in both.trials] == [False, True, False, True]
    assert [trial.reason for trial in both.trials] == [
        "", "too few runs", "", "with one size held out, too few sizes"
    ]  # fmt: skip
    assert both.best is both.trials[2].found
    with pytest.raises(SpecError, match=r"^runs.csv: too few runs$"):
        fit_forms.fitted_forms(READ, _asked("farseer", "moe-joint"))
    with pytest.raises(SpecError, match="too few runs"):
        fit_forms.fitted_forms(READ, _asked("farseer"))


def test_a_form_of_experts_is_a_law_for_each_number_of_them() -> None:
    joint = Joint(1, -0.3, 0.2, 0.1, 2, -0.4, 0.1, 0.05, 1.5, 100, 1.7)
    answer: Any = SimpleNamespace(law=SimpleNamespace(experts=joint), runs=READ.runs)
    found = list(fit_forms.formulas(answer))
    assert [expansion for expansion, _ in found] == [1, 4, 8]
    assert [formula for _, formula in found] == [joint.of(expansion) for expansion in (1, 4, 8)]
    for form in (KaplanJoint, Farseer):
        formula: Any = form(*([1.0] * len(form._fields)))
        other: Any = SimpleNamespace(
            law=SimpleNamespace(experts=None, formula=lambda formula=formula: formula), runs=READ.runs
        )
        assert list(fit_forms.formulas(other)) == [(1, formula)]


def test_a_fit_that_loses_half_of_its_samples_determines_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_law", lambda *_: "law")
    for draws, enough in ((5, True), (4, False)):
        monkeypatch.setattr(fitting, "fit", lambda *_, n=draws: SimpleNamespace(draws=[None] * n, lost=10 - n))
        if enough:
            assert fitting.fitted(READ, 10, 3, "all", "own").law == "law"  # type: ignore[comparison-overlap]
        else:
            with pytest.raises(SpecError, match="in 6 of 10 bootstrap samples"):
                fitting.fitted(READ, 10, 3, "all", "own")


# ---------------------------------------------------------------------------------------------------------------------
# Tables of measured runs
# ---------------------------------------------------------------------------------------------------------------------


def _judged(what: Any, *values: Any) -> Any:
    return SimpleNamespace(what=what, **dict(zip(("measured", "low", "middle", "high", "bound"), values, strict=True)))


def test_a_table_has_its_predictions_behind_its_own_columns() -> None:
    rows = (
        accuracy.Row(1, {"a": "x", "b": "1"}, (_judged("ttft", 1.0, 0.25, 2 / 3, 4.0, None), _judged("tpot", 5, 6, 7, 8, 9))),
        accuracy.Row(2, {"a": "y", "b": "2"}, (), "no such model"),
        accuracy.Row(3, {"a": "z", "b": "3"}, (_judged("tpot", 0, 1, 2, 3, None),)),
    )  # fmt: skip
    found: Any = accuracy.Accuracy("it", None, ("a", "b"), (), rows)  # type: ignore[arg-type]
    heads = ",".join(f"{what}_{name}" for what in ("ttft", "tpot") for name in ("measured", "low", "predicted", "high", "bound"))  # fmt: skip
    assert accuracy.with_predictions(found).splitlines() == [
        f"a,b,{heads},refused",
        "x,1,1,0.25,0.666667,4,,5,6,7,8,9,",
        "y,2,,,,,,,,,,,no such model",
        "z,3,,,,,,0,1,2,3,,",
    ]
    assert [row.number for row in found.refused] == [2]
    assert [(row.number, one.what) for row, one in found.judged] == [(1, "ttft"), (1, "tpot"), (3, "tpot")]


def test_rows_are_judged_or_say_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(row: Any) -> list[str]:
        if row == "bad":
            raise SpecError("no such chip")
        return [f"{row} judged"]

    kind = SimpleNamespace(judge=lambda: judge)
    monkeypatch.setattr(accuracy, "read_table", lambda text, _: (("a",), text.split()))
    monkeypatch.setattr(accuracy, "kind_of", lambda *_: (kind, ("b",)))
    found: Any = accuracy.judge_table("one bad three", "it")
    assert [(row.number, row.judged, row.refused) for row in found.rows] == [
        (1, ("one judged",), ""), (2, (), "no such chip"), (3, ("three judged",), "")
    ]  # fmt: skip
    assert (found.columns, found.unread) == (("a",), ("b",))
    with pytest.raises(SpecError, match="holds a heading and no runs"):
        accuracy.judge_table("", "it")
    assert [accuracy.unit_of(what).name for what in ("memory", "tpot", "step")] == ["bytes", "seconds", "seconds"]
