"""`tscale loss` of mixtures of experts."""

from __future__ import annotations

import re

import pytest

from tests.helpers import answer, run
from tscale.catalogue.models import configs


def test_a_mixture_is_judged_by_the_laws_of_such() -> None:
    """Equation 6 of Ludziejewski 2025 with Mixtral's 12.9e9 active parameters, of which 4 times as many feed-forwards are stored."""
    data = answer("loss", "mixtral-8x7b", "--tokens", "1e12")
    rows = {row["law"]: row for row in data["rows"]}
    assert list(rows) == ["ludziejewski2025", "abnar2025"]
    joint = rows["ludziejewski2025"]
    assert joint["params"] == 12_879_925_248
    table_4 = 1.3637 + 24.8462 / joint["params"] ** 0.1731 + 87.7022 / 1e12**0.2192
    assert joint["loss"] == pytest.approx(table_4, rel=0.001)
    assert data["mixture"] | {"shared": 0} == {"experts": 8, "active": 2, "shared": 0, "expansion": 4, "granularity": 2}
    assert joint["extrapolated"] is True


def test_dense_models_of_equal_loss_have_the_loss() -> None:
    data = answer("loss", "deepseek-v3", "--tokens", "1e12")
    dense = {row["law"]: row for row in data["dense_equivalents"]}
    assert list(dense) == ["ludziejewski2025", "tian2025", "clark2022"]
    size = dense["ludziejewski2025"]["params"]
    loss = 1.3637 + 30.3640 / size**0.1817 + 53.9838 / 1e12**0.1965
    assert loss == pytest.approx(data["rows"][0]["loss"], rel=0.002)
    assert all(row["to_active"] > 1 for row in dense.values())


def test_granularity_is_asked_about_only_near_the_expansion_that_it_was_fitted_on() -> None:
    fine = answer("loss", "kimi-k2", "--tokens", "1e12")  # 384 of which 8 and 1 shared: 42 times
    assert "krajewski2024" in [row["law"] for row in fine["rows"]]
    asked = answer("loss", "mixtral-8x7b", "--tokens", "1e12", "--law", "krajewski2024")
    assert asked["rows"][0]["extrapolated"] is True


@pytest.mark.parametrize(
    "words, said",
    [
        (("mixtral-8x7b", "--tokens", "1e12", "--law", "hoffmann2022-3"), "predicts no loss of mixtures of experts"),
        (("mixtral-8x7b", "--tokens", "1e12", "--law", "tian2025"), "choose another --law, such as ludziejewski2025"),
        (
            ("mixtral-8x7b", "--tokens", "1e12", "--unique-tokens", "1e11"),
            "--unique-tokens is read by laws of dense models",
        ),
        (("gpt2", "--tokens", "1e10", "--law", "abnar2025"), "is a law of mixtures of experts"),
    ],
)
def test_laws_of_other_models_are_refused(words: tuple[str, ...], said: str) -> None:
    found = run("loss", *words)
    assert found.code in (2, 3)
    assert said in found.err
    assert found.err.count("\n") == 1


def test_the_error_of_downstream_tasks_is_gadres() -> None:
    """Equation 5 with Table 2's constants for RedPajama."""
    row = answer("loss", "llama-2-7b", "--law", "gadre2024-redpajama")["rows"][0]
    assert row["downstream_error"] == pytest.approx(0.857 - 2.21 * 2.718281828 ** (-0.715 * row["loss"]), abs=0.002)


def test_layers_without_experts_count_in_what_is_stored_for_each_parameter_that_a_token_meets() -> None:
    """Llama 4 Maverick: 24 layers of 128 experts and a shared one, all of 8,192, and 24 dense ones of 16,384."""
    mixture = answer("loss", "llama-4-maverick", "--tokens", "1e12")["mixture"]
    assert mixture["expansion"] == pytest.approx((129 * 8192 + 16_384) / (2 * 8192 + 16_384))


def test_explain_says_what_each_law_is_told_of_the_experts() -> None:
    """Ê of 4 experts is 4 - 1 + 1/(1/2.0732 - 1/290.4521), and hardly less."""
    out = run("loss", "mixtral-8x7b", "--tokens", "1e12", "--explain").out
    e = 1 / (1 / (3 + 1 / (1 / 2.0732 - 1 / 290.4521)) + 1 / 290.4521)
    assert f"E 4, Ê {e:.6g}, a 35.91" in out
    assert "S 0.75, a 16612.5" in out


def test_a_law_of_experts_that_comes_to_no_number_is_refused_in_one_line() -> None:
    text = (configs() / "laws" / "abnar2025.yaml").read_text(encoding="utf-8")
    wild = re.sub(r"value: [-0-9.e]+", "value: 900", text)
    assert wild != text
    done = run("loss", "mixtral-8x7b", "--tokens", "1e12", "--law", "-", stdin=wild)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "tscale: abnar2025 predicts no meaningful loss of 46,702,792,704 parameters on 1,000,000,000,000 tokens: "
        "give more realistic --tokens\n"
    )
