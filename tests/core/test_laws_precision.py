"""Kumar 2024's law of precision against what the paper says of it, and Farseer's against its own check."""

from __future__ import annotations

from math import exp

import pytest

from tests.helpers import answer, run
from tscale.catalogue.laws import read_law
from tscale.core.laws import HALF, Bits, Farseer, Parametric, Precision


def law() -> Precision:
    found = read_law("kumar2024").precision
    assert found is not None
    return found


def test_seven_to_eight_bits_are_best_for_any_budget() -> None:
    """Section 4.3.2; without the offsets of appendix K they would be 3.5."""
    assert 6.95 < law().best_bits < 8


def test_four_bits_take_more_than_four_times_the_parameters() -> None:
    """Section 4.3.2; without the offsets 1.6 times."""
    assert 4 < 1 / law().share(Bits(4, 4, 4)) < 6


def test_the_derivation_names_the_bits() -> None:
    """A reader can work out equation 4 with what the line says."""
    said = run("loss", "gpt2", "--tokens", "1e10", "--bits", "4,8,16", "--explain").out
    assert "P_w 4, P_a 8, P_kv 16" in said
    plain = run("loss", "gpt2", "--tokens", "1e10", "--law", "kumar2024", "--explain").out
    assert "P_w 16, P_a 16, P_kv 16" in plain


def test_bf16_counts_as_more_bits_do() -> None:
    """Appendix M: no difference from fp32 is found."""
    assert law().share(HALF) == pytest.approx(1, abs=0.01)


def test_the_cache_is_insensitive_but_at_four_to_five_bits() -> None:
    """Appendix M: little is lost above, and soon much below."""
    lost = [1 - law().share(Bits(1e3, 1e3, bits)) for bits in (8, 5, 4, 3)]
    assert lost[0] < 0.01
    assert lost[1] < 0.1 < lost[2] < 0.25 < lost[3]


def test_shares_by_hand() -> None:
    """The three factors, written out."""
    by_hand = (1 - exp(0.3037 - 4 / 2.6745)) * (1 - exp(1.4072 - 8 / 2.2102)) * (1 - exp(2.4185 - 12 / 0.9578))
    assert law().share(Bits(4, 8, 12)) == pytest.approx(by_hand, rel=1e-12)
    assert law().share(Bits(3, 3, 3)) == 0


@pytest.mark.slow
def test_the_best_bits_are_those_of_brute_force_over_parameters_tokens_and_bits() -> None:
    """Equation 5, for two budgets: the least loss of 6·N·D·bits/16 FLOPs over a grid of all three."""
    constants = law()

    def loss(flops: float, bits: float, params: float) -> float:
        tokens = 16 * flops / (6 * params * bits)
        n_eff = params * constants.share(Bits(bits, bits, bits))
        return float(2.7648 + 4299 / n_eff**0.4965 + 18060 / tokens**0.4965)

    for flops in (1e19, 1e22):
        grid = [(step / 20, 10 ** (7 + power / 40)) for step in range(90, 260) for power in range(160)]
        bits, _ = min(grid, key=lambda pair: loss(flops, *pair))
        assert bits == pytest.approx(constants.best_bits, abs=0.4)  # as fine as the grid of parameters


def test_the_law_in_few_bits_is_the_parametric_law_of_fewer_parameters() -> None:
    in_four = read_law("kumar2024").formula(bits=Bits(4, 4, 4))
    assert isinstance(in_four, Parametric)
    plain = Parametric(2.7648, 4299, 18060, 0.4965, 0.4965)
    assert in_four.loss(1e8, 1e10) == pytest.approx(plain.loss(1e8 * law().share(Bits(4, 4, 4)), 1e10), rel=1e-12)


def test_bits_are_asked_for_with_their_law_alone() -> None:
    told = answer("loss", "gpt2", "--tokens", "10e9", "--bits", "4,8,16", "--law", "kumar2024")
    first = told["by_bits"][0]
    assert first["bits"] == {"weights": 4, "activations": 8, "cache": 16}
    assert first["loss"] == pytest.approx(told["rows"][0]["loss"], abs=1e-6)
    assert told["best_bits"]["kumar2024"] == pytest.approx(law().best_bits, abs=0.01)
    assert "by_bits" not in answer("loss", "gpt2", "--tokens", "10e9")
    assert "kumar2024" in [row["law"] for row in answer("loss", "gpt2", "--tokens", "10e9", "--bits", "8")["rows"]]


@pytest.mark.parametrize(
    "args, said",
    [
        (("--bits", "1"), "give more --bits"),
        (("--bits", "4,8"), "one number of bits, or three"),
        (("--bits", "4", "--law", "hoffmann2022-3"), "read only by a law of kind precision"),
    ],
)
def test_bits_that_cannot_be(args: tuple[str, ...], said: str) -> None:
    result = run("loss", "gpt2", "--tokens", "10e9", *args)
    assert result.code == 2
    assert said in result.err


def test_farseer_predicts_bits_per_character() -> None:
    """0.527 of 1e9 parameters on 20e9 tokens."""
    formula = read_law("farseer2025").formula()
    assert isinstance(formula, Farseer)
    assert formula.loss(1e9, 20e9) == pytest.approx(0.527, abs=5e-4)
    told = answer("loss", "llama-3.2-1b", "--tokens", "20e9", "--law", "farseer2025")
    assert told["figures"]["rows[].loss"]["unit"] == "bits per character"
    assert told["rows"][0]["best_with_flops"] is None
    assert "bits per character" in run("loss", "llama-3.2-1b", "--tokens", "20e9", "--law", "farseer2025").out


def test_no_optimum_is_told_of_constants_in_few_digits() -> None:
    result = run("optimal", "--flops", "1e20", "--law", "farseer2025")
    assert result.code == 2
    assert "too few digits for an optimum" in result.err


def test_losses_in_two_units_have_no_axis_in_common() -> None:
    laws = ("--law", "farseer2025", "--law", "besiroglu2024")
    result = run("loss", "gpt2", "--tokens", "1e9", *laws, "--plot")
    assert result.code == 2
    assert "no axis in common" in result.err
