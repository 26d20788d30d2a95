"""`tscale loss`: held to brute force, to Sardana 2024's published pair of runs, and to its own arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import answer, run
from tscale.catalogue.laws import read_law
from tscale.core.laws import Parametric, Repeated

LAWS = ("hoffmann2022-3", "besiroglu2024", "muennighoff2023", "sardana2024")


def parametric(name: str) -> Parametric:
    law = read_law(name).formula()
    assert isinstance(law, Parametric)
    return law


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(LAWS), st.floats(7, 12.5), st.floats(8, 14))
def test_no_run_of_equal_loss_takes_fewer_flops(name: str, log_params: float, log_tokens: float) -> None:
    law = parametric(name)
    loss = law.loss(10**log_params, 10**log_tokens)
    best = law.at_loss(loss)
    assert law.loss(best.params, best.tokens) == pytest.approx(loss, rel=1e-12)
    around = [best.params * 10 ** (step / 50) for step in range(-100, 101)]
    assert min(6 * size * law.tokens_to(loss, size) for size in around) >= best.flops * (1 - 1e-9)
    assert best.flops <= 6 * 10 ** (log_params + log_tokens) * (1 + 1e-9)


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.floats(8, 10), st.floats(0.1, 30))
def test_of_repeated_tokens_too(log_params: float, epochs: float) -> None:
    law = Repeated(parametric("muennighoff2023"), 15.387756, 5.309743, unique=2e9)
    size, tokens = 10**log_params, epochs * 2e9
    loss = law.loss(size, tokens)
    assert law.loss(size, law.tokens_to(loss, size)) == pytest.approx(loss, rel=1e-12)
    best = law.at_loss(loss, 6 * size * tokens)
    assert law.loss(best.params, best.tokens) == pytest.approx(loss, rel=1e-6)
    around = [best.params * 10 ** (step / 20) for step in range(-20, 21)]
    assert min(6 * other * law.tokens_to(loss, other) for other in around) >= best.flops * (1 - 1e-6)


def test_sardanas_smaller_model_for_longer_is_as_good_as_the_compute_optimal_one() -> None:
    """13.6B parameters on 2.84 times the tokens of the 30B model that is compute-optimal (section 3)."""
    law = parametric("sardana2024")
    chinchilla = law.at_params(30e9)
    assert law.at_loss(law.loss(13.6e9, 2.84 * chinchilla.tokens)).params == pytest.approx(30e9, rel=0.005)


def rows(*args: str) -> dict[str, Any]:
    return {row["law"]: row for row in answer("loss", *args)["rows"]}


def test_its_json_has_the_keys_that_programs_read() -> None:
    data = answer("loss", "llama-3.1-8b")
    assert data["tokens"] == 15 * 10**12  # as published
    assert data["without_loss"] == ["hoffmann2022-1", "hoffmann2022-2", "deepseek2024", "llama3-2024"]
    assert [row["law"] for row in data["rows"]] == ["kaplan2020", "hoffmann2022-3", "besiroglu2024"]
    keys = {"params", "tokens", "tokens_per_param", "flops", "loss", "best_with_flops", "optimal_of_equal_loss"}
    keys |= {"compute_ratio", "params_ratio", "breakeven_tokens", "alternatives", "extrapolated"}
    for row in data["rows"]:
        assert keys <= row.keys()


def test_each_law_counts_the_parameters_that_it_is_about() -> None:
    found = rows("gpt3")
    assert found["besiroglu2024"]["params"] == 174_604_259_328
    assert found["kaplan2020"]["params"] == 174_604_259_328 - (50_257 + 2048) * 12_288


def test_the_loss_is_the_formula_of_the_paper() -> None:
    found = rows("gpt3", "--tokens", "300e9")["besiroglu2024"]
    assert found["loss"] == pytest.approx(1.8172 + 482.01 / 174_604_259_328**0.3478 + 2085.43 / 300e9**0.3658)


def test_serving_pays_for_longer_training_where_the_lifetimes_meet() -> None:
    row = rows("llama-3.1-8b")["hoffmann2022-3"]
    best, served = row["optimal_of_equal_loss"], row["breakeven_tokens"]
    small = 6 * row["params"] * row["tokens"] + 2 * row["params"] * served
    assert small == pytest.approx(best["flops"] + 2 * best["params"] * served, rel=1e-9)
    assert row["compute_ratio"] == pytest.approx(row["flops"] / best["flops"])


def test_too_large_a_model_is_never_paid_back() -> None:
    row = rows("gpt3")["besiroglu2024"]
    assert row["params_ratio"] > 1
    assert row["breakeven_tokens"] is None


def test_alternatives_are_of_equal_loss_and_a_model_too_small_for_it_has_no_number_of_tokens() -> None:
    row = rows("llama-3.1-8b", "--inference-tokens", "1e13")["besiroglu2024"]
    ends = [other for other in row["alternatives"] if other["tokens"] is not None]
    assert len(ends) == 4
    for other in ends:
        made = 1.8172 + 482.01 / other["params"] ** 0.3478 + 2085.43 / other["tokens"] ** 0.3658
        assert made == pytest.approx(row["loss"], abs=1e-6)
        assert other["lifetime_flops"] == pytest.approx(other["flops"] + 2e13 * other["params"])
    assert 482.01 / row["alternatives"][0]["params"] ** 0.3478 > row["loss"] - 1.8172


@pytest.mark.parametrize("model", ["mixtral-8x7b", "bert-base", "t5-small", "mistral-7b"])
def test_it_says_no_to_models_that_no_law_is_of_and_to_unknown_tokens(model: str) -> None:
    assert run("loss", model).code == 3


def test_explain_shows_the_formula_with_its_numbers() -> None:
    out = run("loss", "gpt3", "--explain", "--law", "besiroglu2024").out
    assert "L = E + A/N^alpha + B/D^beta" in out
    assert "N 174,604,259,328, D 300,000,000,000, E 1.8172" in out
