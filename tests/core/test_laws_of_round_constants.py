"""Laws of round constants, whose figures can be worked out on paper, and optima against runs beside them."""

from __future__ import annotations

from math import e, exp, inf, log

import pytest

from tscale.core.laws import (
    Farseer,
    Kaplan,
    KaplanJoint,
    Lifetime,
    Parametric,
    Power,
    Repeated,
    power_of_flops_per_token,
    power_of_tokens,
)
from tscale.core.laws.experts import Granular, Joint, Leverage, Mixture, Routed, Run, Sparse, saturated
from tscale.core.laws.experts_best import Limits, best
from tscale.core.laws.halving import least, where
from tscale.core.laws.hyper import Hyper, Of

PLAIN = Parametric(E=1, A=200, B=300, alpha=0.5, beta=0.5)


# ---- halving ----


@pytest.mark.parametrize("start", [1e-3, 1.0, 3.0, 99.0])
def test_where_a_condition_begins(start: float) -> None:
    """Without an end it is looked for in doublings, of which a hundred are enough for any float."""
    asked = []

    def above(number: float) -> bool:
        asked.append(number)
        return number > 100

    assert where(above, start) == pytest.approx(100, rel=1e-14)
    assert len(asked) < 130
    assert where(above, start, 1e6) == pytest.approx(100, rel=1e-14)


def test_where_a_valley_is_deepest() -> None:
    assert least(lambda x: (log(x) - 3) ** 2, 1, 1e6) == pytest.approx(exp(3), rel=1e-7)
    assert least(lambda x: x, 2, 1e6) == pytest.approx(2)
    assert least(lambda x: -x, 2, 1e6) == pytest.approx(1e6)


# ---- powers ----


def test_powers_of_tokens_and_of_flops_a_token_are_powers_of_parameters() -> None:
    """N = 3·C^(1/2): of 400 FLOPs 60 parameters and 400/360 tokens. D = 2·C^(1/2): of 900 60 tokens, and 900/360 parameters."""
    law = Power(3, 0.5)
    assert law.at_flops(400)[:3] == pytest.approx((60, 400 / 360, 400))
    assert law.at_params(60)[:3] == law.at_tokens(400 / 360)[:3] == pytest.approx((60, 400 / 360, 400))
    assert power_of_tokens(2, 0.5).at_flops(900)[:2] == pytest.approx((900 / 360, 60))
    assert power_of_flops_per_token(2, 0.75).at_flops(16)[:2] == pytest.approx((16 / 6, 1))


def test_an_optimum_that_reaches_a_loss() -> None:
    """200/√N + 300/√D is 2 with the fewest FLOPs where both are alike, of equal exponents: N = 200², D = 300²."""
    assert PLAIN.at_loss(3)[:3] == pytest.approx((200**2, 300**2, 6 * 200**2 * 300**2))
    assert PLAIN.pull(200**2, 300**2) == pytest.approx(1)
    assert PLAIN.pull(100**2, 300**2) == pytest.approx(2)
    steep = Parametric(E=1, A=6, B=4, alpha=1, beta=0.5)
    point = steep.at_loss(2)
    assert point.loss == pytest.approx(2)
    assert steep.pull(*point[:2]) == pytest.approx(1)
    assert 6 / point.params == pytest.approx(1 / 3)


@pytest.mark.parametrize("place", range(1, 5))
def test_a_law_that_does_not_fall_has_no_optimum(place: int) -> None:
    """Of each of A, B, alpha and beta, 0 is too little."""
    constants = [1.0, 2.0, 3.0, 0.5, 0.5]
    constants[place] = 0
    for ask in (Parametric.at_flops, Parametric.at_params, Parametric.at_tokens):
        with pytest.raises(OverflowError):
            ask(Parametric(*constants), 1e6)


# ---- Kaplan ----


def test_kaplans_joint_law_of_round_constants() -> None:
    """alpha_N twice alpha_D, so that r is 2: D_c/D = 2·(N_c/N)². Of N = 10·N_c, D is 50·D_c and L (1/100 + 1/50)^(1/2)."""
    law = KaplanJoint(alpha_N=1.0, N_c=100, alpha_D=0.5, D_c=1000)
    assert law.exponent == pytest.approx(1 / 3)
    assert law.loss(1000, 50_000) == pytest.approx(0.03**0.5)
    expected = (1000, 50_000, 6 * 1000 * 50_000, 0.03**0.5)
    for point in (law.at_params(1000), law.at_tokens(50_000), law.at_flops(6 * 1000 * 50_000)):
        assert tuple(point) == pytest.approx(expected)
    for size in (800, 1250):
        assert law.loss(size, 3e8 / (6 * size)) > law.loss(1000, 50_000)


def test_kaplans_optimum_of_a_budget_in_pf_days() -> None:
    """N = 2·C^(1/2) of 4 PF-days is 4, and the loss (64/4)^(1/4)."""
    law = Kaplan(2, 0.5, alpha_N=0.5, N_c=16, alpha_D=0.25, D_c=81, alpha_C=0.25, C_c=64)
    assert law.at_flops(4 * 8.64e19).params == pytest.approx(4)
    assert law.at_flops(4 * 8.64e19).loss == pytest.approx(2)
    assert law.at_params(4).flops == pytest.approx(4 * 8.64e19)
    assert law.at_tokens(8.64e19 / 6).params == pytest.approx(4)
    assert law.loss(4, 81) == pytest.approx((4**2 + 1) ** 0.25)


# ---- Farseer ----


FARSEER = Farseer(a3=-1, g=0.1, b3=1, a2=-0.5, bt=0.1, b2=8, a1=-0.2, al=0.05, b1=-0.5)


def test_farseers_loss_is_its_equation_3() -> None:
    law = Farseer(a3=2, g=0.5, b3=1, a2=0.25, bt=2, b2=-3, a1=-1, al=0.25, b1=2)
    assert law.loss(16, 9) == pytest.approx(exp(2 * 4 + 1) + exp(0.25 * 256 - 3) * 9 ** -exp(-2 + 2))
    assert law.loss(1e300, 9) == inf


@pytest.mark.parametrize("flops", [1e18, 1e21])
def test_farseers_optimum_is_better_than_those_beside_it(flops: float) -> None:
    point = FARSEER.at_flops(flops)
    assert 1 < point.tokens / point.params < 1e4
    assert 6 * point.params * point.tokens == pytest.approx(flops)
    assert point.loss == pytest.approx(FARSEER.loss(point.params, point.tokens))
    for size in (0.9 * point.params, 1.1 * point.params):
        assert FARSEER.loss(size, flops / (6 * size)) > FARSEER.loss(point.params, point.tokens)
    assert FARSEER.at_params(point.params)[:3] == pytest.approx(point[:3], rel=1e-4)
    assert FARSEER.at_tokens(point.tokens)[:3] == pytest.approx(point[:3], rel=1e-4)


def test_farseers_optima_have_1_to_10_000_tokens_a_parameter() -> None:
    """A law that tokens hardly move is best with the most parameters, and one that parameters hardly move with the fewest."""
    many = FARSEER._replace(b2=-30, bt=0.01, a2=0)
    few = FARSEER._replace(a3=0, a2=0)
    for law, ratio in ((many, 1), (few, 1e4)):
        point = law.at_flops(6e22)
        assert point.tokens / point.params == pytest.approx(ratio, rel=1e-6)
        for same in (law.at_params(point.params), law.at_tokens(point.tokens)):
            assert same[:3] == pytest.approx(point[:3], rel=1e-4)


# ---- serving and repeats ----


def test_a_life_of_training_and_serving() -> None:
    law = Lifetime(PLAIN, served=100)
    assert law.flops(PLAIN.at_params(10)) == pytest.approx(6 * 10 * PLAIN.at_params(10).tokens + 2 * 10 * 100)
    for point in (law.at_params(200**2), law.at_tokens(300**2), law.at_flops(6 * 200**2 * 300**2)):
        assert point.loss == pytest.approx(3)
        assert point.params < 200**2
        for size in (0.9 * point.params, 1.1 * point.params):
            tokens = PLAIN.tokens_to(3, size)
            assert 6 * size * tokens + 2 * size * 100 >= law.flops(point) * (1 - 1e-9)
    assert Lifetime(PLAIN, served=0).at_params(200**2)[:3] == pytest.approx((200**2, 300**2, 6 * 200**2 * 300**2))


REPEATED = Repeated(PLAIN, R_D=10, R_N=5, unique=1e4)


def test_repeats_are_worth_less_and_less() -> None:
    """Of twice the unique tokens, the second half is worth 10·(1 - e^(-1/10)) of the first; parameters likewise."""
    wanted = PLAIN.at_tokens(1e4).params
    tokens = 1e4 * (1 + 10 * (1 - exp(-0.1)))
    assert REPEATED.loss(wanted, 2e4) == pytest.approx(1 + 200 / wanted**0.5 + 300 / tokens**0.5)
    params = wanted * (1 + 5 * (1 - exp(-0.2)))
    assert REPEATED.loss(2 * wanted, 1e4) == pytest.approx(1 + 200 / params**0.5 + 300 / 100)


def test_runs_that_repeat_nothing_are_the_plain_ones() -> None:
    point = PLAIN.at_tokens(1e4)
    for found in (REPEATED.at_tokens(1e4), REPEATED.at_params(point.params), REPEATED.at_flops(point.flops)):
        assert found[:3] == pytest.approx(point[:3])
    assert REPEATED.at_params(0.5 * point.params) == PLAIN.at_params(0.5 * point.params)


def test_the_best_repeated_run_is_better_than_those_beside_it() -> None:
    """Of a budget, and the same run by its tokens, its parameters and its loss."""
    point = REPEATED.at_flops(1e12)
    assert point.tokens > 1e4
    for size in (0.97 * point.params, 1.03 * point.params):
        assert REPEATED.loss(size, 1e12 / (6 * size)) > REPEATED.loss(point.params, point.tokens)
    again = REPEATED.at_tokens(point.tokens), REPEATED.at_params(point.params), REPEATED.at_loss(point.loss or 0, 1e14)
    for found in again:
        assert found[:3] == pytest.approx(point[:3], rel=1e-6)
        assert found.loss == pytest.approx(REPEATED.loss(found.params, found.tokens))


@pytest.mark.parametrize("repeats", [0, 1, 60])
def test_tokens_to_a_loss_count_their_repeats(repeats: int) -> None:
    """Six times R_D repeats still lower the loss; a loss below what any number of them reaches takes tokens without end."""
    params, tokens = 1e4, 1e4 * (1 + repeats)
    assert REPEATED.tokens_to(REPEATED.loss(params, tokens), params) == pytest.approx(tokens, rel=1e-6)
    assert REPEATED.tokens_to(REPEATED.loss(params, 1e4 * (1 + 1000)) - 1e-9, params) == inf


# ---- mixtures ----


def test_experts_count_from_a_start_to_a_most() -> None:
    """1/(1/(E - 1 + 1/(1/start - 1/most)) + 1/most) with start 2 and most 10: 2.5 more, so that 1 is 2 and 98.5 is 9.09."""
    assert saturated(1, 2, 10) == pytest.approx(2)
    assert saturated(98.5, 2, 10) == pytest.approx(1 / (1 / 100 + 1 / 10))


def test_the_counts_of_a_mixture() -> None:
    assert Mixture(64, 6, 2).expansion == pytest.approx(66 / 8)
    assert Mixture(64, 6, 2).granularity == 8
    assert Mixture(64, 6, 2, stored=5.5).expansion == 5.5
    assert Run(10, 30, 8, 25, 7, Mixture()).flops == 6 * 10 * 7


def test_joint_and_sparse_and_routed_laws_of_round_constants() -> None:
    """With no expert past the start all logarithms are those of 1 or e; of 4 experts, 3/4 of them are not met."""
    run = Run(active=16, total=81, active_bare=1, total_bare=1, tokens=25, mixture=Mixture())
    joint = Joint(
        a=3, alpha=-0.75, delta=2, gamma=0.25, b=5, beta=-0.25, omega=1, zeta=-0.25, E_start=e, E_max=1e30, c=1
    )
    assert joint.loss(run) == pytest.approx(1 + 3 * e**2 / 16**0.5 + 5 * e / 25**0.5)
    sparse = Sparse(a=9, alpha=0.5, b=10, beta=0.5, c=2, lam=0.5, d=3, delta=1, gamma=0.25, e=1)
    assert sparse.loss(run._replace(mixture=Mixture(4, 1))) == pytest.approx(
        2 / 0.5 + 1 + 9 / 9 + 10 / 5 + 3 / (0.25 * 3)
    )
    routed = Routed(a=-0.5, b=-1, c=0.25, d=1, E_start=10, E_max=1e30)
    assert routed.loss(run._replace(active=100)) == pytest.approx(10 ** (-0.5 * 2 - 1 * 1 + 0.25 * 2 * 1 + 1))
    assert routed.dense(100, 91) == pytest.approx(10 ** ((-0.5 * 2 - 1 * 2 + 0.25 * 2 * 2 + 1 * 1) / (-0.5 + 0.25)))


def test_leverage_of_round_constants() -> None:
    """A dense model meets all experts: A = 1 with A_max 2 and A_start 1 is 1/(1/3 + 1/2); G = 8 has a logarithm of 3."""
    law = Leverage(a=1, d=0.5, gamma=-0.25, beta=2, A_start=1, A_max=2)
    assert law.at(1, 8, 100) == pytest.approx((1 / (1 / 3 + 1 / 2)) ** (1 + 0.5 * 2 - 0.25 * 9 + 2 * 3))


# ---- hyper-parameters ----


def test_products_of_powers() -> None:
    """lr = 2·√N/D, a batch of 3·∛C sequences of 10 tokens, a critical one of 5·L^-2, tau of 7·√(D/N)."""
    constants = {
        "lr": 2, "lr_N": 0.5, "lr_D": -1, "batch": 3, "batch_C": 1 / 3, "critical": 5, "critical_L": -2, "tau": 7, "tau_TPP": 0.5,
    }  # fmt: skip
    of = Of(params=16, tokens=64, flops=1000, loss=2)
    law = Hyper(constants, sequence=10)
    assert law.learning_rate(of) == pytest.approx(2 * 4 / 64)
    assert law.batch(of) == pytest.approx(3 * 10 * 10)
    assert law.critical(of) == pytest.approx(5 / 4 * 10)
    assert law.timescale(of) == pytest.approx(7 * 2)
    assert law.needs_loss()
    in_tokens = Hyper({"batch": 3, "lr": 4, "lr_log_N": -0.5})
    assert (in_tokens.batch(of), in_tokens.critical(of), in_tokens.timescale(of)) == (3, None, None)
    assert in_tokens.learning_rate(of) == pytest.approx(4 - 0.5 * log(16))
    assert not in_tokens.needs_loss()


GRANULAR = Granular(a=2, alpha=0.5, b=10, beta=0.5, g=8, gamma=0.5, c=1, routing=48)


def test_a_granular_law_of_round_constants() -> None:
    """G = 4: (8/2 + 2)/3 + 10/5 + 1. Of a width of 16, a fourth of a layer: (12·16²·6 + 16·2·3·48)/4 FLOPs a token."""
    run = Run(active=1, total=1, active_bare=1, total_bare=9, tokens=25, mixture=Mixture(8, 3, 1))
    assert GRANULAR.loss(run) == pytest.approx(5)
    assert GRANULAR.flops(12 * 16**3 / 64, 5, 2, 3) == pytest.approx((12 * 16**2 * 6 + 16 * 2 * 3 * 48) * 5 / 4)


def test_the_best_granular_run_pays_for_its_routing() -> None:
    """Of 8 experts of which one is met, whose total is (8·8 + 4)/12 of the active: no run beside it is better."""
    active, tokens, loss = GRANULAR.best(1e15, 8, 4)
    assert GRANULAR.flops(active, tokens, 8, 4) == pytest.approx(1e15)
    assert loss == pytest.approx(GRANULAR.of(4).loss(68 / 12 * active, tokens))
    for size in (0.9 * active, 1.1 * active):
        assert GRANULAR.of(4).loss(68 / 12 * size, 1e15 / GRANULAR.flops(size, 1, 8, 4)) > loss


@pytest.mark.parametrize("served", [0, 1e9])
def test_the_best_mixture_pays_for_its_routing(served: float) -> None:
    """Beside 6·N·D: 48 FLOPs for each of E·G·d parameters of routers, over the 72·d² of a layer."""
    found = best(GRANULAR, Mixture(32, 4), Limits(1e21, served)).run
    d = (64 * found.active_bare / 12) ** (1 / 3)
    trained = 6 * found.active * found.tokens * (1 + 8 * 4 * 48 / (72 * d))
    assert trained + 2 * found.active * served == pytest.approx(1e21)
