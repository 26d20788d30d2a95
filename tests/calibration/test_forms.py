"""Forms of scaling law fitted to runs whose law is known, and judged by runs that were held out."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp, log

import pytest

from tests.calibration.synthetic import BESIROGLU
from tscale.calibration.forms import FORMS, Name, fit_form, held_out
from tscale.calibration.runs import Run
from tscale.catalogue.laws import read_law
from tscale.core.laws import Farseer, KaplanJoint
from tscale.core.laws.experts import Joint
from tscale.errors import SpecError

KAPLAN = KaplanJoint(0.076, 8.8e13, 0.095, 5.4e13)  # Kaplan 2020, equations 1.1 and 1.2
FARSEER = Farseer(-0.021, 0.169, -0.091, 88.01, -0.1, -6.287, -0.124, 0.123, 0.424)  # of Li 2025's form
NOISE = 0.002

Truth = Callable[[float, float, float], float]


def joint() -> Joint:
    formula = read_law("ludziejewski2025").experts
    assert isinstance(formula, Joint)
    return formula


def grid(truth: Truth, experts: tuple[float, ...] = (1,)) -> list[Run]:
    """Six sizes by four lengths, with a noise of ln L."""
    draw = random.Random(1)  # noqa: S311 (no secret)
    sizes = [(n, d, e) for n in (5e7, 1e8, 2e8, 4e8, 8e8, 1.6e9) for d in (1e9, 4e9, 16e9, 64e9) for e in experts]
    return [Run(line, n, d, truth(n, d, e) * exp(draw.gauss(0, NOISE)), e) for line, (n, d, e) in enumerate(sizes, 2)]


@pytest.mark.slow
def test_kaplans_constants_come_back() -> None:
    found = fit_form(grid(lambda n, d, _: KAPLAN.loss(n, d)), FORMS["kaplan"], 20, 0)
    assert found.values["alpha_N"] == pytest.approx(KAPLAN.alpha_N, rel=0.02)
    assert found.values["alpha_D"] == pytest.approx(KAPLAN.alpha_D, rel=0.05)
    assert log(found.values["N_c"]) == pytest.approx(log(KAPLAN.N_c), abs=0.3)
    assert not found.at_end
    for name, value in found.values.items():
        draws = sorted(one[name] for one in found.draws)
        assert draws[0] < value < draws[-1]


@pytest.mark.slow
def test_the_joint_law_of_experts_comes_back_where_the_runs_are() -> None:
    """Of eleven constants few are known from 72 runs, but their loss is: within the noise of each of them."""
    truth = joint()
    runs = grid(lambda n, d, e: truth.of(e).loss(n, d), (1, 4, 16))
    found = fit_form(runs, FORMS["moe-joint"], 0, 0)
    law = Joint(*found.values.values())
    for e in (1, 2, 8, 16):
        assert law.of(e).loss(4e8, 2e10) == pytest.approx(truth.of(e).loss(4e8, 2e10), rel=NOISE)
    assert found.values["alpha"] == pytest.approx(truth.alpha, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, truth",
    [("chinchilla", lambda n, d, _: BESIROGLU.loss(n, d)), ("kaplan", lambda n, d, _: KAPLAN.loss(n, d))],
)
def test_a_form_foretells_what_was_held_out_of_its_own_runs_and_another_does_not(name: Name, truth: Truth) -> None:
    runs = grid(truth)
    other: Name = "kaplan" if name == "chinchilla" else "chinchilla"
    own = held_out(runs, name)
    assert own.rms < 1.5 * NOISE
    assert own.sizes == 6
    assert held_out(runs, other).rms > 5 * own.rms


@pytest.mark.slow
def test_farseer_foretells_its_own_runs_best() -> None:
    runs = grid(lambda n, d, _: FARSEER.loss(n, d))
    assert held_out(runs, "farseer").rms < 2 * NOISE < held_out(runs, "chinchilla").rms


@pytest.mark.parametrize("formula", [KAPLAN, FARSEER])
def test_optima_are_the_least_of_brute_force_and_lead_back_to_themselves(formula: KaplanJoint | Farseer) -> None:
    point = formula.at_flops(1e21)
    around = [point.params * 1.001**step for step in range(-1000, 1001)]
    found = min(around, key=lambda size: formula.loss(size, 1e21 / (6 * size)))
    assert found == pytest.approx(point.params, rel=0.002)
    assert formula.at_params(point.params).flops == pytest.approx(1e21, rel=1e-3)
    assert formula.at_tokens(point.tokens).flops == pytest.approx(1e21, rel=1e-3)


@pytest.mark.parametrize(
    "name, runs, said",
    [
        ("kaplan", grid(lambda n, d, _: KAPLAN.loss(n, d))[:4], "at least 5"),
        ("farseer", grid(lambda n, d, _: KAPLAN.loss(n, d))[:12], "only 3 numbers of parameters"),
        ("moe-joint", grid(lambda n, d, _: KAPLAN.loss(n, d)), "every run has as many experts"),
    ],
)
def test_runs_that_do_not_tell_a_form_are_refused(name: Name, runs: list[Run], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        fit_form(runs, FORMS[name], 0, 0)
