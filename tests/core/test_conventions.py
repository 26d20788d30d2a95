"""The published conventions against the tables of their own papers."""

from __future__ import annotations

from fractions import Fraction

import pytest

import tscale
from tscale.blocks import attentions
from tscale.core.costs.conventions import chinchilla, megatron, megatron_recompute, palm, six_nd
from tscale.core.costs.training import PF_DAY

# Brown 2020, Table D.1: model, PF-days, FLOPs, parameters in millions, tokens in billions, FLOPs a parameter and token.
TABLE_D1 = [
    ("t5-small", 2.08, 1.80e20, 60, 1000, 3),
    ("t5-base", 7.64, 6.60e20, 220, 1000, 3),
    ("t5-large", 26.7, 2.31e21, 770, 1000, 3),
    ("t5-3b", 104, 9.00e21, 3000, 1000, 3),
    ("t5-11b", 382, 3.30e22, 11000, 1000, 3),
    ("bert-base", 1.89, 1.64e20, 109, 250, 6),
    ("bert-large", 6.16, 5.33e20, 355, 250, 6),
    ("roberta-base", 17.4, 1.50e21, 125, 2000, 6),
    ("roberta-large", 49.3, 4.26e21, 355, 2000, 6),
    ("gpt3-small", 2.60, 2.25e20, 125, 300, 6),
    ("gpt3-medium", 7.42, 6.41e20, 356, 300, 6),
    ("gpt3-large", 15.8, 1.37e21, 760, 300, 6),
    ("gpt3-xl", 27.5, 2.38e21, 1320, 300, 6),
    ("gpt3-2.7b", 55.2, 4.77e21, 2650, 300, 6),
    ("gpt3-6.7b", 139, 1.20e22, 6660, 300, 6),
    ("gpt3-13b", 268, 2.31e22, 12850, 300, 6),
    ("gpt3", 3640, 3.14e23, 174600, 300, 6),
]
# BERT-Large's 355M is RoBERTa-large's count; BERT-large has 335M (Devlin 2018 says 340M). T5-Large's 770M and T5-3B's
# 3,000M are the T5 paper's, 4% and 5% above what their shapes give.
PARAMETERS_OF_OTHERS = {"bert-large", "t5-large", "t5-3b", "t5-11b", "t5-base"}
NOT_BUILT_IN = {"roberta-base", "roberta-large"}


@pytest.mark.parametrize("row", TABLE_D1, ids=lambda row: row[0])
def test_every_row_of_table_d1(row: tuple[str, float, float, int, int, int]) -> None:
    """FLOPs = 6 (or 3) · parameters · tokens and PF-days = FLOPs / 8.64e19, within the rounding of the table."""
    name, pf_days, flops, millions, billions, per_parameter = row
    computed = Fraction(six_nd(millions * 10**6, billions * 10**9) * per_parameter, 6)
    assert float(computed) == pytest.approx(flops, rel=0.006)
    assert float(computed / PF_DAY) == pytest.approx(pf_days, rel=0.006)
    if name in NOT_BUILT_IN or name in PARAMETERS_OF_OTHERS:
        return
    total = tscale.params(tscale.lower(tscale.load(name))).total
    assert total / 1e6 == pytest.approx(millions, rel=0.01)
    assert float(Fraction(six_nd(total, billions * 10**9) * per_parameter, 6)) == pytest.approx(flops, rel=0.01)


def test_gpt3_took_3_14e23() -> None:
    total = tscale.params(tscale.lower(tscale.load("gpt3"))).total
    assert six_nd(total, 300 * 10**9) == 6 * 174_604_259_328 * 300 * 10**9
    assert f"{six_nd(total, 300 * 10**9):.2e}" == "3.14e+23"


# Hoffmann 2022, Table A4: parameters, layers, d_model, d_ff, heads, key size, FLOPs of Appendix F over 6·N·D.
TABLE_A4 = [
    (73e6, 10, 640, 2560, 10, 64, 1.03),
    (305e6, 20, 1024, 4096, 16, 64, 1.10),
    (552e6, 24, 1280, 5120, 10, 128, 1.08),
    (1.1e9, 26, 1792, 7168, 14, 128, 1.04),
    (1.6e9, 28, 2048, 8192, 16, 128, 1.03),
    (6.8e9, 40, 3584, 14336, 28, 128, 0.99),
]


@pytest.mark.parametrize("row", TABLE_A4, ids=lambda row: f"{row[0]:.0e}")
def test_table_a4_of_hoffmann_without_embeddings_and_logits(row: tuple[float, int, int, int, int, int, float]) -> None:
    """The table comes out of Appendix F's sum only if embeddings and logits are left out, against the paper's text.

    Sequence 2,048 and vocabulary 32,000; N counts the relative keys (a fifth d² matrix of attention) and one embedding.
    """
    nominal, layers, d_model, d_ff, heads, head_dim, printed = row
    a = heads * head_dim
    n = layers * (5 * d_model * a + 2 * d_model * d_ff) + 32_000 * d_model
    assert n == pytest.approx(nominal, rel=0.05)
    with_tables = chinchilla(1, 2048, layers, d_model, d_ff, heads, head_dim, 32_000)
    tables = 3 * 2 * (2 * 32_000 * d_model)
    assert (with_tables - tables) / six_nd(n, 1) == pytest.approx(printed, abs=0.012)
    assert with_tables / six_nd(n, 1) > printed + 0.02 or n > 6e9


# Chowdhery 2022, Table 22: TFLOPs a token and training FLOPs of the three models (tokens from the same appendix).
TABLE_22 = [("palm-8b", 0.0550, 4.29e22, 780), ("palm-62b", 0.388, 3.08e23, 795), ("palm-540b", 3.28, 2.56e24, 780)]


@pytest.mark.parametrize("name, tflops, total, billions", TABLE_22)
def test_palms_own_table(name: str, tflops: float, total: float, billions: int) -> None:
    spec = tscale.load(name)
    n = tscale.params(tscale.lower(spec)).total
    (attention,) = attentions(spec.mixers)
    widths = attention.widths(spec.d_model)
    per_token = palm(n, 1, 2048, spec.layers, widths.heads, widths.head_dim)
    assert per_token / 1e12 == pytest.approx(tflops, rel=0.005)
    assert per_token * billions * 1e9 == pytest.approx(total, rel=0.005)


# Narayanan 2021, Table 1: billions of parameters, hidden size, layers; sequences of 2,048 and a vocabulary of 51,200.
NARAYANAN = [(1.7, 2304, 24), (18.4, 6144, 40), (145.6, 12288, 80), (1008.0, 25600, 128)]


@pytest.mark.parametrize("billions, h, layers", NARAYANAN)
def test_narayanans_equations_as_printed(billions: float, h: int, layers: int) -> None:
    """Equation 2 gives Table 1's sizes, and our count of such a model agrees; equation 3 is ours, term by term."""
    v, s = 51_200, 2048
    equation_2 = 12 * layers * h**2 * (1 + Fraction(13, 12 * h) + Fraction(v + s, 12 * layers * h))
    assert float(equation_2) / 1e9 == pytest.approx(billions, abs=0.06)
    changes = [f"layers={layers}", f"d_model={h}", "heads=32", f"d_ff={4 * h}", f"vocabulary={v}", f"context={s}"]
    assert tscale.params(tscale.lower(tscale.load("gpt3", changes))).total == equation_2 + 2 * h  # the final norm's
    equation_3 = 96 * layers * h**2 * (1 + Fraction(s, 6 * h) + Fraction(v, 16 * layers * h))
    assert megatron_recompute(1, s, layers, h, v) == equation_3
    without = 72 * layers * h**2 * (1 + Fraction(s, 6 * h) + Fraction(v, 12 * layers * h))
    assert megatron(1, s, layers, h, v) == without


def test_megatron_equals_the_exact_count_of_a_gpt() -> None:
    """Where a model is what the paper had in mind, its law and the exact count agree to the last FLOP."""
    spec = tscale.load("gpt3")
    exact = tscale.training_flops(tscale.lower(spec), tscale.SequenceLengths(target=2048), tokens=2048)
    assert megatron(2048, 2048, spec.layers, spec.d_model, spec.vocabulary) == exact


def test_kaplans_forward_count_is_half_of_ours_in_attention() -> None:
    """Kaplan 2020, equation 2.2: C = 2·N + 2·layers·context·d_attn; with full attention the second term doubles."""
    spec = tscale.load("gpt3")
    lines = dict(tscale.forward_flops(tscale.lower(spec), tscale.SequenceLengths(target=2048)).lines)
    n = 2 * spec.d_model * spec.layers * (2 * 12288 + spec.feed_forwards[0].d_ff)
    per_token = sum(value for name, value in lines.items() if name != "head") / 2048
    assert per_token == 2 * n + 2 * (2 * spec.layers * 2048 * 12288)


def test_appendix_f_term_by_term() -> None:
    """As Hoffmann 2022 lists them for one sequence of t tokens, softmax's 3·heads·t² among them; three times, for the backward pass."""
    t, layers, d, d_ff, heads, key, v = 7, 3, 11, 13, 2, 4, 17
    attention = 2 * t * 3 * d * (key * heads) + 2 * t * t * (key * heads) + 3 * heads * t * t
    attention += 2 * t * t * (key * heads) + 2 * t * (key * heads) * d
    forward = 2 * t * v * d + layers * (attention + 2 * t * (d * d_ff + d * d_ff)) + 2 * t * d * v
    assert chinchilla(t, t, layers, d, d_ff, heads, key, v) == 3 * forward


def test_palms_appendix_b_term_by_term() -> None:
    """6·N + 12·L·H·Q·T a token: of 5 tokens, 1,000 parameters, 2 layers of 3 heads of 4 and a sequence of 7."""
    assert palm(1000, 5, 7, 2, 3, 4) == 5 * (6000 + 12 * 2 * 3 * 4 * 7)
