"""Tao 2024's best vocabularies against what the authors' own script prints."""

from __future__ import annotations

import pytest

from tscale.catalogue.laws import read_law
from tscale.core.laws.vocabulary import Vocabulary

# Parameters without vocabulary, and those of the best vocabulary by approaches 1, 2 and 3, as `optimal_Nv_predict.py` of
# github.com/sail-sg/scaling-with-vocab prints them, the last at the compute-optimal FLOPs that it takes.
PRINTED = [
    (3e9, 125_977_223, 136_124_605, 117_273_778),
    (7e9, 255_102_858, 276_276_206, 243_906_869),
    (70e9, 1_735_560_878, 1_891_214_930, 1_785_539_009),
    (300e9, 5_830_973_725, 6_378_689_179, 6_285_873_972),
]


def law() -> Vocabulary:
    found = read_law("tao2024").vocabulary
    assert found is not None
    return found


@pytest.mark.parametrize("params, first, second, third", PRINTED)
def test_the_authors_figures(params: float, first: int, second: int, third: int) -> None:
    formula = law()
    flops = (params / formula.budget) ** 2
    assert formula.by_flops(params) == pytest.approx(first, rel=1e-6)
    assert formula.by_derivative(params) == pytest.approx(second, rel=1e-6)
    assert formula.by_loss(params, flops) == pytest.approx(third, rel=1e-5)


def test_llama_2_70bs_vocabulary_could_have_been_seven_times_as_large() -> None:
    """The abstract: at least 216,000 rows in place of 32,000."""
    assert law().by_loss(70e9, (70e9 / law().budget) ** 2) / 8192 == pytest.approx(216e3, rel=0.01)


def test_the_best_vocabulary_of_a_budget_is_the_least_of_the_law() -> None:
    """A1 and E of the paper's law do not move it; parameters are in millions, tokens in billions."""
    formula, n, flops = law(), 1e9, 1e21
    best = formula.by_loss(n, flops)

    def loss(nv: float) -> float:
        h = flops / 1e15 / (6 * (n + nv) / 1e6)
        return float(formula.A2 / (nv / 1e6) ** formula.alpha2 + formula.B / h**formula.beta)

    around = [best * 1.002**step for step in range(-500, 501)]
    assert min(around, key=loss) == pytest.approx(best, rel=0.003)
