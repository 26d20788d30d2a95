"""`tscale hyper` against the formulas as papers print them, and the settings that their makers used."""

from __future__ import annotations

from math import log
from typing import Any

import pytest

from tests.helpers import answer, run
from tscale.catalogue.laws import read_law
from tscale.core.laws.hyper import Of

BARE = 124_439_808 - (50_257 + 1024) * 768  # GPT-2 small without its tables


def rows(*words: str) -> dict[str, Any]:
    return {str(row["law"]): row for row in answer("hyper", *words)["rows"]}


def test_each_law_is_its_formula() -> None:
    """GPT-2 small on 1e10 tokens: Li 2025 Table 1, Kaplan 2020 D.6 and equation 1.4, Bergsma 2025 Figure 1, by hand."""
    found = rows("gpt2", "--tokens", "1e10")
    step, kaplan, lines = found["li2025"], found["kaplan2020-hyper"], found["bergsma2025"]
    assert step["learning_rate"] == pytest.approx(1.79 * BARE**-0.713 * 1e10**0.307)
    assert step["batch_tokens"] == pytest.approx(0.58 * 1e10**0.571, abs=1)
    assert kaplan["learning_rate"] == pytest.approx(0.003239 - 0.0001395 * log(BARE))
    loss = ((8.8e13 / BARE) ** (0.076 / 0.095) + 5.4e13 / 1e10) ** 0.095
    assert kaplan["critical_batch_tokens"] == pytest.approx(2e8 / loss ** (1 / 0.21), rel=1e-6)
    assert lines["batch_tokens"] == pytest.approx(2048 * 0.0306 * 1e10**0.383, abs=1)
    assert lines["critical_batch_tokens"] == pytest.approx(2048 * 0.0471 * 1e10**0.462, abs=1)
    tau = 1.084 * (1e10 / 124_439_808) ** -0.527
    assert step["weight_decay"] == pytest.approx(step["batch_tokens"] / (step["learning_rate"] * tau * 1e10), rel=1e-5)


def test_deepseeks_flops_are_those_of_its_own_formula() -> None:
    """Equation 2, M = 72·n·d² + 12·n·d·l for a model of plain layers: GPT-2 small at its 1,024 tokens."""
    row = rows("gpt2", "--tokens", "1e10")["deepseek2024-hyper"]
    m = 72 * 12 * 768**2 + 12 * 12 * 768 * 1024
    assert row["flops_counted"] == pytest.approx(m * 1e10, rel=1e-9)
    assert row["learning_rate"] == pytest.approx(0.3118 * (m * 1e10) ** -0.125)
    assert row["batch_tokens"] == pytest.approx(0.292 * (m * 1e10) ** 0.3271, abs=1)


def test_zhangs_critical_batch_is_that_of_its_law_of_parameters() -> None:
    """93.20·N^0.47 sequences, N in millions, of models on 20 tokens a parameter: 302M of them, within the 0.5% of two fits."""
    formula = read_law("zhang2024b").hyper
    assert formula is not None
    assert formula.critical(Of(302e6, 20 * 302e6, 0)) == pytest.approx(512 * 93.20 * 302**0.47, rel=0.005)


def test_lings_two_laws_give_the_batch_of_its_own_model_from_its_learning_rate() -> None:
    """Tian 2025, section 5.1: Ling-mini-beta had 3.78e-4 and 1,792 sequences of 8k tokens, by these laws of one C."""
    formula = read_law("tian2025-hyper").hyper
    assert formula is not None
    flops = (3.78e-4 / 1.1576) ** (-1 / 0.1529)
    of = Of(1, 1, flops)
    assert formula.learning_rate(of) == pytest.approx(3.78e-4)
    assert formula.batch(of) == pytest.approx(1792 * 8192, rel=0.05)


def test_laws_of_mixtures_are_asked_of_mixtures_and_what_is_past_them_is_said() -> None:
    assert "tian2025-hyper" not in rows("gpt2", "--tokens", "1e10")
    mixture = rows("deepseek-v3", "--tokens", "1e12")
    assert mixture["tian2025-hyper"]["extrapolated"] is True
    assert rows("gpt2", "--tokens", "1e10")["li2025"]["extrapolated"] is False


def test_a_learning_rate_below_nothing_is_none() -> None:
    """Kaplan's line in ln N is 0 at 1.2e10 parameters."""
    row = rows("gpt3")["kaplan2020-hyper"]
    assert row["learning_rate"] is None
    assert "kaplan2020-hyper has no learning rate above 0" in run("hyper", "gpt3").out


@pytest.mark.parametrize(
    "words, code, said",
    [
        (("gpt2", "--tokens", "1e10", "--law", "hoffmann2022-3"), 2, "is no law of learning rates or batch sizes"),
        (("bert-base", "--tokens", "1e10"), 3, "the laws here are for decoders"),
        (("mistral-7b",), 3, "its training tokens are not known"),
        (("gpt2", "--tokens", "none"), 2, "--tokens must be"),
    ],
)
def test_what_it_refuses(words: tuple[str, ...], code: int, said: str) -> None:
    found = run("hyper", *words)
    assert found.code == code
    assert said in found.err
    assert found.err.count("\n") == 1


def test_a_law_of_learning_rates_predicts_no_loss() -> None:
    found = run("loss", "gpt2", "--tokens", "1e10", "--law", "li2025")
    assert found.code == 2
    assert "`tscale hyper MODEL` reads it" in found.err


def test_its_table_is_whole_at_80_columns() -> None:
    said = run("hyper", "gpt3", "--tokens", "1e12", columns=80).out
    assert "5.43e-4" in said
    assert max(map(len, said.splitlines())) <= 80


def test_its_rates_have_three_digits_each_in_one_format() -> None:
    """Above a thousandth as below it: 1.90e-3, not 0.001902; and the tokens of a run are read in a word."""
    said = run("hyper", "llama-3.1-8b").out
    title = said.splitlines()[0]
    assert title.startswith("Llama 3.1 8B: a learning rate of 7.71e-5 to 1.90e-3 and a batch of 6.97M to 48.5M tokens")
    assert title.endswith("for 15T training tokens")
    row = next(line for line in said.splitlines() if line.startswith("li2025"))
    assert row.split()[2] == "1.90e-3"


def test_explain_shows_the_formula() -> None:
    out = run("hyper", "gpt2", "--tokens", "1e10", "--law", "li2025", "--explain").out
    assert "lr·N^-0.713·D^0.307" in out


def test_the_best_vocabulary_is_told_of_dense_models() -> None:
    data = answer("hyper", "llama-2-7b", "--tokens", "1e12")["vocabulary"]
    assert data["size"] == 32_000
    assert [row["by"].partition(",")[0] for row in data["rows"]] == ["equal FLOPs", "derivative", "loss"]
    bare = 6_738_415_616 - 2 * 32_000 * 4096
    assert data["rows"][0]["size"] == pytest.approx(
        62_280 * (bare / 7e9) ** (2 * 0.41636), rel=1e-3
    )  # Table 1: 62K of 7B
    assert answer("hyper", "mixtral-8x7b", "--tokens", "1e12")["vocabulary"]["rows"] == []
