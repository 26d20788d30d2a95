"""Scaling laws against what their papers print, and closed forms against brute force."""

from __future__ import annotations

from math import exp, inf, log, log10

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tscale.catalogue.laws import listed_laws, read_law
from tscale.core.laws import Bare, Kaplan, Lifetime, Parametric, Point, Repeated, effective
from tscale.core.laws import Law as Formula

BUDGETS = st.floats(18, 26).map(lambda power: 10**power)  # eight orders of magnitude

# N, C, D of Hoffmann 2022's Table 3 and, for approaches 2 and 3, Table A3.
TABLE_3 = [
    (0.4e9, 1.92e19, 8.0e9), (1e9, 1.21e20, 20.2e9), (10e9, 1.23e22, 205.1e9), (67e9, 5.76e23, 1.5e12),
    (175e9, 3.85e24, 3.7e12), (280e9, 9.90e24, 5.9e12), (520e9, 3.43e25, 11.0e12), (1e12, 1.27e26, 21.2e12),
    (10e12, 1.30e28, 216.2e12),
]  # fmt: skip
TABLE_A3_2 = [
    (0.4e9, 1.84e19, 7.7e9), (1e9, 1.20e20, 20.0e9), (10e9, 1.32e22, 219.5e9), (67e9, 6.88e23, 1.7e12),
    (175e9, 4.54e24, 4.3e12), (280e9, 1.18e25, 7.1e12), (520e9, 4.19e25, 13.4e12), (1e12, 1.59e26, 26.5e12),
    (10e12, 1.75e28, 292.0e12),
]  # fmt: skip
TABLE_A3_3 = [
    (0.4e9, 2.21e19, 9.2e9), (1e9, 1.62e20, 27.1e9), (10e9, 2.46e22, 410.1e9), (67e9, 1.71e24, 4.1e12),
    (175e9, 1.26e25, 12.0e12),  # printed as 1.26e24, which is not 6ND of the row
    (280e9, 3.52e25, 20.1e12), (520e9, 1.36e26, 43.5e12), (1e12, 5.65e26, 94.1e12), (10e12, 8.55e28, 1425.5e12),
]  # fmt: skip


FLAT = {f"sardana2024-{runs}" for runs in ("le100", "le250", "le500")}
"""Laws whose exponents are so small that a parameter more than their optimum's changes its tokens by orders of magnitude."""


def law(name: str, unique: float | None = None, served: float | None = None) -> Formula:
    return read_law(name).formula(unique, served)


def parametric(name: str) -> Parametric:
    formula = law(name)
    assert isinstance(formula, Parametric)
    return formula


@pytest.mark.parametrize(
    "name, rows, within",
    [("hoffmann2022-1", TABLE_3, 0.013), ("hoffmann2022-2", TABLE_A3_2, 0.033), ("hoffmann2022-3", TABLE_A3_3, 0.075)],
)
def test_hoffmanns_tables(name: str, rows: list[tuple[float, float, float]], within: float) -> None:
    """As far off as the law's own notes say, and for tokens as the rows are from C = 6ND themselves: within 5%."""
    for params, flops, tokens in rows:
        point = law(name).at_flops(flops)
        assert point.params == pytest.approx(params, rel=within)
        assert point.tokens == pytest.approx(tokens, rel=within / (1 - within) + 0.05)
        assert 6 * point.params * point.tokens == pytest.approx(flops)


@pytest.mark.parametrize("rows, printed", [(TABLE_3, 0.50), (TABLE_A3_2, 0.49), (TABLE_A3_3, 0.46)])
def test_a_tables_slope_is_the_exponent_that_table_2_prints(
    rows: list[tuple[float, float, float]], printed: float
) -> None:
    (first, least, _), (last, most, _) = rows[0], rows[-1]
    assert round(log(last / first) / log(most / least), 2) == printed


def test_hoffmanns_gopher_budget() -> None:
    """67B, 63B (Figure 3) and 40B (Figure 4) by the three approaches."""
    found = [law(f"hoffmann2022-{approach}").at_flops(5.76e23).params / 1e9 for approach in (1, 2, 3)]
    assert found == [pytest.approx(67, rel=0.013), pytest.approx(63, abs=0.5), pytest.approx(40, abs=0.5)]


def test_hoffmanns_printed_constants_are_a_rounding_trap() -> None:
    printed = Parametric(1.69, 406.4, 410.7, 0.34, 0.28)
    assert printed.at_flops(5.76e23).params == pytest.approx(32.2e9, rel=0.001)
    assert parametric("hoffmann2022-3").at_flops(5.76e23).params == pytest.approx(40.3e9, rel=0.002)
    assert printed.exponent == pytest.approx(0.4516, abs=5e-5)
    assert parametric("hoffmann2022-3").exponent == pytest.approx(0.4565, abs=5e-5)


def test_besiroglus_exponent_and_tokens_per_parameter() -> None:
    formula = parametric("besiroglu2024")
    point = formula.at_flops(5.76e23)
    assert formula.exponent == pytest.approx(0.5126, abs=5e-5)
    assert point.tokens / point.params == pytest.approx(18.4, abs=0.05)


def test_besiroglus_intervals_hold_its_constants() -> None:
    """As the authors' notebook prints them."""
    constants = read_law("besiroglu2024").constants
    intervals = {name: (one.low, one.value, one.high) for name, one in constants.items()}
    assert intervals == {
        "E": (1.769, 1.8172, 1.871),
        "A": (285.214, 482.01, 743.626),
        "B": (1042.357, 2085.43, 5810.344),
        "alpha": (0.317, 0.3478, 0.373),
        "beta": (0.331, 0.3658, 0.415),
    }


def test_kaplans_exponents_and_table_6() -> None:
    """Parameters by C^0.73, tokens by C^0.27; at a PF-day the tokens of B_crit and S_min, half of D_opt's 2e10."""
    formula, pf_day = law("kaplan2020"), 8.64e19
    one, ten = formula.at_flops(pf_day), formula.at_flops(10 * pf_day)
    assert one.params == pytest.approx(1.3e9)
    assert log10(ten.params / one.params) == pytest.approx(0.73)
    assert log10(ten.tokens / one.tokens) == pytest.approx(0.27)
    assert one.tokens == pytest.approx(2.0e6 * 5.4e3, rel=0.03)
    assert one.loss == pytest.approx(3.1e8**0.05)


def test_kaplans_loss_of_a_run_has_his_limits() -> None:
    """With data without end equation 1.5 is 1.1, with a model without end it is 1.2."""
    formula = law("kaplan2020")
    assert isinstance(formula, Kaplan)
    assert formula.loss(1e9, 1e300) == pytest.approx((8.8e13 / 1e9) ** 0.076)
    assert formula.loss(1e300, 1e9) == pytest.approx((5.4e13 / 1e9) ** 0.095)


def test_kaplans_loss_of_gpt3_is_the_one_that_was_measured() -> None:
    """Brown 2020, Figure 3.1: 2.57·C^-0.048 at 3,640 PF-days is 1.73; N without embeddings."""
    formula = law("kaplan2020")
    assert isinstance(formula, Kaplan)
    assert formula.loss(173.9e9, 300e9) == pytest.approx(2.57 * 3640**-0.048, abs=0.005)


def test_deepseeks_tokens_are_those_of_its_other_formula() -> None:
    """D = 5.8316·C^0.4757 beside M = 0.1715·C^0.5243, whose product is C to a part in ten thousand."""
    for power in range(17, 27):
        assert law("deepseek2024").at_flops(10**power).tokens == pytest.approx(
            5.8316 * 10 ** (0.4757 * power), rel=2e-4
        )


def test_llama_3s_choice() -> None:
    """402B parameters on 16.55T tokens for 3.8e25, which 6ND overshoots by 5%; the text's constants give 10.46T."""
    point = law("llama3-2024").at_flops(3.8e25)
    assert point.tokens == pytest.approx(16.29e12, rel=0.001)
    assert point.tokens == pytest.approx(16.55e12, rel=0.02)
    assert point.params == pytest.approx(402e9, rel=0.05)
    assert pytest.approx(10.46e12, rel=0.001) == 0.29 * 3.8e25**0.53


def test_muennighoffs_worth_of_repeats() -> None:
    """Four epochs are worth 93.1% of fresh tokens, and no number of them more than 16.4 times the unique ones."""
    assert effective(4, 1, 15.387756) / 4 == pytest.approx(0.931, abs=0.0005)
    assert effective(4, 1, 15.387756) == pytest.approx(3.7257, abs=5e-5)
    assert effective(1e9, 1, 15.387756) == pytest.approx(16.387756)
    assert effective(0.5, 1, 15.387756) == 0.5


def test_muennighoffs_parameters_for_unique_tokens() -> None:
    """Equation 17: U_N = 0.051·U_D, and 521, 1488 and 1.87 as it prints the constants."""
    formula = parametric("muennighoff2023")
    assert formula.at_tokens(1e11).params == pytest.approx(0.051e11, rel=0.001)
    assert (round(formula.A), round(formula.B), round(formula.E, 2)) == (521, 1488, 1.87)


@pytest.mark.parametrize(
    "params, served, better, ratio, saving", [(30e9, 1e13, 13.6e9, 2.84, 0.28), (13e9, 2e12, 7e9, None, 0.17)]
)
def test_sardanas_examples(params: float, served: float, better: float, ratio: float | None, saving: float) -> None:
    formula, plain = law("sardana2024", served=served), parametric("sardana2024").at_params(params)
    assert isinstance(formula, Lifetime)
    point = formula.at_params(params)
    assert point.params == pytest.approx(better, rel=0.005)
    assert point.loss == pytest.approx(plain.loss, rel=1e-12)
    assert point.flops == pytest.approx(6 * point.params * point.tokens, rel=1e-12)
    assert 1 - formula.flops(point) / formula.flops(plain) == pytest.approx(saving, abs=0.005)
    if ratio:
        assert point.tokens / plain.tokens == pytest.approx(ratio, abs=0.005)


# ---------------------------------------------------------------------------------------------------------------------
# Closed forms and slopes against values alone
# ---------------------------------------------------------------------------------------------------------------------


def least(cost: object, low: float, high: float) -> float:
    """Where a function of one hump down is least, by golden section on the logarithm: it looks at values alone."""
    assert callable(cost)
    golden = (5**0.5 - 1) / 2
    a, b = log(low), log(high)
    for _ in range(120):
        left, right = b - golden * (b - a), a + golden * (b - a)
        a, b = (a, right) if cost(exp(left)) < cost(exp(right)) else (left, b)
    return exp((a + b) / 2)


@pytest.mark.parametrize("name", ["hoffmann2022-3", "besiroglu2024", "muennighoff2023", "sardana2024"])
@given(flops=BUDGETS)
@settings(max_examples=20, deadline=None)
def test_a_closed_form_is_where_the_loss_is_least(name: str, flops: float) -> None:
    formula = parametric(name)
    found = least(lambda n: formula.loss(n, flops / (6 * n)), 1, flops / 6)
    assert found == pytest.approx(formula.at_flops(flops).params, rel=1e-5)  # the loss is flat to half its digits


@given(flops=BUDGETS, unique=st.floats(8, 14).map(lambda power: 10**power))
@settings(max_examples=40, deadline=None)
def test_repeated_data_are_split_where_the_loss_is_least(flops: float, unique: float) -> None:
    formula = law("muennighoff2023", unique=unique)
    assert isinstance(formula, Repeated)
    point = formula.at_flops(flops)

    def loss(params: float) -> float:
        return formula.loss(params, flops / (6 * params))

    assert point.loss == pytest.approx(loss(point.params), rel=1e-12)
    for share in (0.5, 0.9, 0.99, 1.01, 1.1, 2):
        assert loss(share * point.params) >= loss(point.params) - 1e-12
    if point.tokens < 100 * unique:  # past that the loss is flat: all that repeats can give is had
        assert least(loss, 1, flops / 6) == pytest.approx(point.params, rel=1e-4)


@given(flops=BUDGETS, served=st.floats(9, 16).map(lambda power: 10**power))
@settings(max_examples=40, deadline=None)
def test_a_lifetime_takes_the_fewest_flops(flops: float, served: float) -> None:
    formula, plain = law("sardana2024", served=served), parametric("sardana2024")
    assert isinstance(formula, Lifetime)
    point, optimum = formula.at_flops(flops), plain.at_flops(flops)
    assert optimum.loss is not None

    def cost(params: float) -> float:
        tokens = plain.tokens_to(optimum.loss or 0, params)
        return inf if tokens == inf else 6 * params * tokens + 2 * params * served

    smallest = (plain.A / (optimum.loss - plain.E)) ** (1 / plain.alpha)
    assert least(cost, smallest * (1 + 1e-9), optimum.params) == pytest.approx(point.params, rel=1e-4)
    assert formula.flops(point) <= formula.flops(optimum)


def test_a_lifetime_where_the_loss_falls_fast_with_parameters() -> None:
    """An exponent above 1 as well: the smallest model that reaches the loss is then far below A / (L - E) parameters."""
    plain = parametric("sardana2024")._replace(A=1e13, alpha=1.5)
    formula, optimum = Lifetime(plain, 1e13), plain.at_params(1e9)
    point = formula.at_params(1e9)
    assert optimum.loss is not None
    smallest = ((optimum.loss - plain.E) / plain.A) ** (-1 / 1.5)

    def cost(params: float) -> float:
        tokens = plain.tokens_to(optimum.loss or 0, params)
        return inf if tokens == inf else 6 * params * tokens + 2 * params * 1e13

    assert smallest < point.params < optimum.params
    assert least(cost, smallest * (1 + 1e-9), optimum.params) == pytest.approx(point.params, rel=1e-4)


@pytest.mark.parametrize(
    "name", [name for name in listed_laws() if read_law(name).dense and read_law(name).optima and name not in FLAT]
)
@given(flops=BUDGETS)
@settings(max_examples=15, deadline=None)
def test_a_budget_its_parameters_and_its_tokens_name_one_run(name: str, flops: float) -> None:
    for unique in (None, 1e9, 1e12):
        formula = law(name, unique=unique)
        point = formula.at_flops(flops)
        assert 6 * point.params * point.tokens == pytest.approx(flops, rel=1e-9)
        assert formula.at_params(point.params)[:3] == pytest.approx(point[:3], rel=1e-8)
        assert formula.at_tokens(point.tokens)[:3] == pytest.approx(point[:3], rel=1e-8)


@pytest.mark.parametrize("name", ["hoffmann2022-3", "besiroglu2024", "sardana2024"])
@given(flops=BUDGETS, share=st.floats(0.3, 3))
@settings(max_examples=20, deadline=None)
def test_a_loss_is_reached_by_what_is_said_to_reach_it(name: str, flops: float, share: float) -> None:
    formula = parametric(name)
    optimum = formula.at_flops(flops)
    assert optimum.loss is not None
    assert tuple(formula.at_loss(optimum.loss)) == pytest.approx(tuple(optimum), rel=1e-6)
    tokens = formula.tokens_to(optimum.loss, share * optimum.params)
    if tokens < inf:
        assert formula.loss(share * optimum.params, tokens) == pytest.approx(optimum.loss)
        assert formula.params_to(optimum.loss, tokens) == pytest.approx(share * optimum.params, rel=1e-6)


def test_a_loss_below_what_so_many_parameters_reach_takes_tokens_without_end() -> None:
    formula = parametric("besiroglu2024")
    assert formula.tokens_to(formula.loss(1e9, 1e30) - 1e-3, 1e9) == inf
    assert formula.params_to(formula.loss(1e30, 1e9) - 1e-3, 1e9) == inf


def test_tokens_enough_leave_the_plain_law() -> None:
    plain, bound = law("muennighoff2023"), law("muennighoff2023", unique=1e15)
    assert bound.at_flops(1e22) == plain.at_flops(1e22)
    assert isinstance(bound.at_flops(1e22), Point)


@pytest.mark.parametrize(
    "name, exponent, params",
    [
        ("porian2024-kaplan", 0.835, 3e12), ("porian2024-head", 0.706, 787e9), ("porian2024-warmup", 0.602, 292e9),
        ("porian2024-decay", 0.571, 183e9), ("porian2024", 0.497, 77e9),
    ],
)  # fmt: skip
def test_porians_steps_from_kaplan_to_hoffmann(name: str, exponent: float, params: float) -> None:
    """Figure 1: the exponents, and the parameters at Chinchilla's 5.88e23 FLOPs, to the digits that it prints."""
    published = read_law(name).exponent
    assert published is not None
    assert round(published.value, 3) == exponent
    assert published.low < published.value < published.high
    assert law(name).at_flops(5.88e23).params == pytest.approx(params, rel=0.01)


def test_pearces_local_exponents_are_kaplans_below_and_hoffmanns_above() -> None:
    """The paper: 0.78 of points on the optimum over Kaplan's models, 768 to 1.5e9 parameters; 0.51 far above."""
    formula = law("pearce2024")

    def slope(first: float, last: float) -> float:
        budgets = [first * (last / first) ** (step / 99) for step in range(100)]
        logs = [(log(c), log(formula.at_flops(c).params)) for c in budgets]
        x, y = (sum(column) / 100 for column in zip(*logs, strict=True))
        return float(sum((a - x) * (b - y) for a, b in logs) / sum((a - x) ** 2 for a, _ in logs))

    assert slope(10**12.95, 10**20.7) == pytest.approx(0.78, abs=0.006)
    assert slope(1e24, 1e28) == pytest.approx(0.51, abs=0.006)


@pytest.mark.parametrize("flops", [1e16, 1e20, 1e24])
def test_pearces_optimum_is_the_least_of_brute_force(flops: float) -> None:
    formula = law("pearce2024")
    assert isinstance(formula, Bare)
    best = formula.at_flops(flops)
    around = [best.params * 1.002**step for step in range(-500, 501)]
    assert min(around, key=lambda n: formula.loss(n, flops / (6 * n))) == pytest.approx(best.params, rel=0.004)


@pytest.mark.parametrize("params", [0.01, 0.7, 1e3, 1e9])
def test_pearces_optima_name_one_run_however_small(params: float) -> None:
    """A fit in other units, of millions of parameters, asks for fractions of one."""
    formula = law("pearce2024")
    assert isinstance(formula, Bare)
    point = formula.at_params(params)
    assert formula.at_flops(point.flops).params == pytest.approx(params, rel=1e-9)
    assert formula.at_tokens(point.tokens).params == pytest.approx(params, rel=1e-9)


@pytest.mark.parametrize(
    "name, a, b, eta", [("c4", 141, 190, 0.121), ("redpajama", 212, 367, 0.136), ("refinedweb", 157, 246, 0.127)]
)
def test_gadres_constants_are_those_of_its_table(name: str, a: float, b: float, eta: float) -> None:
    """Table 2, in its own form E + (a·M^eta + b·M^-eta)·C^-eta with M = D/N and C = 6·N·D."""
    formula = parametric(f"gadre2024-{name}")
    half = formula.alpha / 2
    assert (round(half, 3), round(formula.A * 6**half), round(formula.B * 6**half)) == (eta, a, b)
    n, d = 1e9, 1e11
    by_paper = (
        formula.E
        + (formula.A * 6**half * (d / n) ** half + formula.B * 6**half * (d / n) ** -half) * (6 * n * d) ** -half
    )
    assert formula.loss(n, d) == pytest.approx(by_paper)


def test_gadres_over_trained_run_is_foretold_as_well_as_the_authors_say() -> None:
    """1.44B parameters on 921B tokens of RedPajama reached 2.5021 nats on C4; their notebook prints an error of 0.7103%."""
    predicted = parametric("gadre2024-redpajama").loss(1_439_795_200, 921_468_928_000)
    assert predicted / 2.502053562 - 1 == pytest.approx(0.007103, abs=1e-6)


def test_a_loss_that_so_many_parameters_only_approach_takes_tokens_without_end() -> None:
    """Exactly E + A/N: 1 + 2/2. A millionth above, B/D = 1e-6."""
    formula = Parametric(E=1, A=2, B=3, alpha=1, beta=1)
    assert formula.tokens_to(2, 2) == inf
    assert formula.params_to(2, 3) == inf
    assert formula.tokens_to(2.000001, 2) == pytest.approx(3e6)
    assert formula.params_to(2.000001, 3) == pytest.approx(2e6)


def test_tokens_that_a_run_does_not_read_are_worth_nothing() -> None:
    """More unique tokens than a run reads: parameters are in excess of what those call for that it reads (U_N of equation 5)."""
    plain, read = parametric("muennighoff2023"), 1e9
    bound = law("muennighoff2023", unique=1e15)
    assert isinstance(bound, Repeated)
    called_for = plain.at_tokens(read).params
    excess = 30 * called_for
    worth = called_for + called_for * bound.R_N * (1 - exp(-29 / bound.R_N))
    by_hand = plain.E + plain.A / worth**plain.alpha + plain.B / read**plain.beta
    assert bound.loss(excess, read) == pytest.approx(by_hand, rel=1e-12)
    exact = law("muennighoff2023", unique=read)
    assert isinstance(exact, Repeated)
    assert bound.loss(excess, read) == exact.loss(excess, read)
