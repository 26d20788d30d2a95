"""Laws of mixtures, of learning rates and of losses, each asked by its own equation, and searches of the best mixture of stand-ins."""

from __future__ import annotations

from fractions import Fraction
from math import inf, log, log10
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.catalogue.laws import read_law
from tscale.core.costs.shapes import Grid, Proportions
from tscale.core.laws import Kaplan, Parametric, Point, Power
from tscale.core.laws.experts import Joint, Leverage, Mixture, Routed, Run, Sparse
from tscale.core.laws.experts_best import Limits
from tscale.core.laws.hyper import Hyper, Of
from tscale.errors import NotPublishedError, RequestError
from tscale.estimates import design, experts, hyper, optimal_experts
from tscale.estimates import loss as judged
from tscale.estimates.explaining import counted
from tscale.estimates.laws import Bound
from tscale.estimates.optimal_experts import Wanted

SMALL = (
    "name: small\nlayers: 4\nd_model: 64\nvocabulary: 512\ncontext: 4096\ntied: {}\nattention: {{heads: 4}}\npositions: {{kind: rotary}}\n"
    "norm: {{kind: rmsnorm}}\nfeed_forward: {}\n"
)
DENSE, ROUTED = "{d_ff: 96}", "{kind: experts, experts: 8, top_k: 2, d_ff: 32, shared_d_ff: 48}"
RUN = Run(2e9, 9e9, 1.5e9, 8e9, 4e11, Mixture(64, 8, 0, 4.0))


def _constants(name: str) -> dict[str, float]:
    return {key: float(one.value) for key, one in read_law(name).constants.items()}


def _saturated(expansion: float, c: dict[str, float]) -> float:
    return 1 / (1 / (expansion - 1 + 1 / (1 / c["E_start"] - 1 / c["E_max"])) + 1 / c["E_max"])


def _joint(n: float, d: float, expansion: float) -> float:
    """Ludziejewski 2025, equation 5."""
    c, e = _constants("ludziejewski2025"), _saturated(expansion, _constants("ludziejewski2025"))
    by_n = c["a"] * e ** c["delta"] * n ** (c["alpha"] + c["gamma"] * log(e))
    return float(by_n + c["b"] * e ** c["omega"] * d ** (c["beta"] + c["zeta"] * log(e)) + c["c"])


def _routed(n: float, expansion: float) -> float:
    """log10 of the loss. Clark 2022, equation 1 with the saturation of its equation 5."""
    c, e = _constants("clark2022"), _saturated(expansion, _constants("clark2022"))
    return c["a"] * log10(n) + c["b"] * log10(e) + c["c"] * log10(n) * log10(e) + c["d"]


def _sparse(n: float, d: float, met: float) -> float:
    """Abnar 2025, equation 6, of all parameters and the share of experts that a token meets."""
    c = _constants("abnar2025")
    by_met = c["c"] / met ** c["lam"] + c["d"] / (met ** c["delta"] * n ** c["gamma"])
    return float(by_met + c["a"] / n ** c["alpha"] + c["b"] / d ** c["beta"] + c["e"])


# ---------------------------------------------------------------------------------------------------------------------
# Mixtures
# ---------------------------------------------------------------------------------------------------------------------


def test_dense_models_of_equal_loss_have_the_loss_of_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 experts of which a token meets 8, an expansion of 8."""
    monkeypatch.setattr(experts, "inside", lambda law, _: law.name == "clark2022")
    found = {one.law.name: one for one in experts.equivalents(RUN)}
    assert [one.extrapolated for one in found.values()] == [True, True, False]
    assert list(found) == ["ludziejewski2025", "tian2025", "clark2022"]
    assert _joint(found["ludziejewski2025"].params, 4e11, 1) == pytest.approx(_joint(2e9, 4e11, 8))
    assert _routed(found["clark2022"].params, 1) == pytest.approx(_routed(2e9, 8))
    assert {name: one.active for name, one in found.items()} == {
        "ludziejewski2025": 2e9, "tian2025": 1.5e9, "clark2022": 2e9
    }  # fmt: skip
    assert all(one.params > one.active for one in found.values())
    sparse = read_law("abnar2025")
    dense = experts._dense(sparse, RUN)
    assert _sparse(dense, 4e11, 1) == pytest.approx(_sparse(9e9, 4e11, 1 / 8))
    assert experts._dense(sparse, RUN._replace(mixture=Mixture(10**9, 1))) < inf
    small = RUN._replace(total=10.0, mixture=Mixture(2, 1))
    assert experts._dense(sparse, small) == pytest.approx(_dense_by_halving(10.0, 4e11, 1 / 2))
    assert experts._dense(read_law("krajewski2024"), RUN) == inf
    assert experts._dense(read_law("hoffmann2022-3"), RUN) == inf


def _dense_by_halving(n: float, d: float, met: float) -> float:
    low, high = 1.0, 1e6 * n
    for _ in range(200):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _sparse(middle, d, 1) <= _sparse(n, d, met) else (middle, high)
    return high


def test_where_no_dense_model_within_a_million_times_is_as_good_there_is_none() -> None:
    """Where a loss falls with the share that is met and the root of the size, a dense model is as many times larger as the expansion's square."""
    square: Any = SimpleNamespace(experts=Sparse(0.0, 1.0, 1.0, 0.5, 0.0, 1.0, 1.0, -1.0, 0.5, 0.0))
    for expansion, times in ((8, 64), (999, 998_001), (1000.0002, inf), (2000, inf)):
        assert experts._dense(square, RUN._replace(mixture=Mixture(expansion, 1))) == pytest.approx(times * 9e9)
    formula = Sparse(1.0, 0.5, 1.0, 0.5, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0)
    law: Any = SimpleNamespace(experts=formula)
    never = formula._replace(c=-1.0, lam=1.0)  # the more experts are left out, the lower without end
    assert experts._dense(SimpleNamespace(experts=never), RUN) == inf  # type: ignore[arg-type]
    assert experts._dense(law, RUN) == pytest.approx(9e9)


def test_a_run_is_inside_of_a_law_in_the_counts_of_the_law() -> None:
    """Of a leverage, the granularity is 2·d_model over the width of an expert, and 1 where that is not known."""
    asked: list[dict[str, float]] = []
    for kind, mixture, granularity in (
        ("leverage", Mixture(64, 8, 2, 4.0), 4.0), ("leverage", Mixture(64, 8, 2), 1), ("joint-experts", Mixture(64, 8, 2, 4.0), 10)
    ):  # fmt: skip

        def within(**given: float) -> bool:
            asked.append(given)
            return True

        law: Any = SimpleNamespace(kind=kind, counts="all", fitted=SimpleNamespace(within=within))
        run = RUN._replace(mixture=mixture)
        assert experts.inside(law, run)
        assert asked.pop() == {
            "params": 9e9, "tokens": 4e11, "flops": run.flops, "expansion": 66 / 10, "granularity": granularity
        }  # fmt: skip


def test_a_run_is_counted_in_every_way() -> None:
    """Of 512·64 embeddings, once more as a head; 4 layers of 4·64² of attention and of experts of three matrices, and their routers."""
    for tied in (True, False):
        model = counted(spec(SMALL.format(str(tied).lower(), ROUTED)))
        rows, attention, router, norms = 512 * 64, 4 * 64 * 64, 64 * 8, 64 * (2 * 4 + 1)
        met, stored = 3 * 64 * (2 * 32 + 48), 3 * 64 * (8 * 32 + 48)
        active, total = (4 * (attention + router + one) + norms for one in (met, stored))
        run = experts.run_of(model, Mixture(), 1000)
        heads = 0 if tied else rows
        assert (run.active, run.total, run.tokens) == (active + rows + heads, total + rows + heads, 1000)
        assert (run.active_bare, run.total_bare) == (run.active - rows - heads, run.total - rows - heads)


BEST = Limits(1e21)


def test_losses_are_by_the_laws_of_experts_and_of_granularity_near_its_expansion() -> None:
    assert list(experts.default_losses(RUN)) == ["ludziejewski2025", "abnar2025"]
    fine = RUN._replace(mixture=Mixture(64, 1))
    assert list(experts.default_losses(fine)) == ["ludziejewski2025", "abnar2025", "krajewski2024"]


def test_the_best_of_a_number_of_experts_is_by_all_shares_that_divide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of 3 of 12 experts is made the least of all, and of 2 by the law of an expansion of 64."""
    asked: list[tuple[str, float, float]] = []

    def best(law: Any, mixture: Mixture, limits: Limits) -> Any:
        assert limits is BEST
        asked.append((law.name, mixture.experts, mixture.active))
        return SimpleNamespace(law=law, best=SimpleNamespace(loss=abs(mixture.active - 3)))

    monkeypatch.setattr(optimal_experts, "_best", best)
    monkeypatch.setattr(optimal_experts, "read_law", lambda name: SimpleNamespace(name=name))
    found = list(optimal_experts.best_by_laws([], Wanted(12, None, BEST)))
    assert [row.law.name for row in found] == ["ludziejewski2025", "abnar2025"], "an expansion of 12 is far from 64"
    assert [row.best.loss for row in found] == [0, 0]
    assert asked == [(name, 12, met) for name in ("ludziejewski2025", "abnar2025") for met in (1, 2, 3, 4, 6, 12)]
    asked.clear()
    assert len(list(optimal_experts.best_by_laws([], Wanted(256, 1 / 64, BEST)))) == 3
    assert {one[1:] for one in asked} == {(256, 4.0)}
    asked.clear()
    list(optimal_experts.best_by_laws([], Wanted(256, None, BEST)))
    assert [met for name, _, met in asked if name == "krajewski2024"] == [2, 4, 8], "expansions of 128, 64 and 32"
    asked.clear()
    list(optimal_experts.best_by_laws(["krajewski2024", "krajewski2024"], Wanted(3, None, BEST)))
    assert asked == [("krajewski2024", 3, 1), ("krajewski2024", 3, 3)]
    asked.clear()
    optimal_experts.best_by_experts([], Wanted(None, None, BEST))
    assert asked == [("ludziejewski2025", expansion, 1) for expansion in (1, 2, 4, 8, 16, 32)]
    asked.clear()
    optimal_experts.best_by_experts(["abnar2025"], Wanted(None, None, BEST))
    assert {one[0] for one in asked} == {"abnar2025"}
    with pytest.raises(RequestError, match="compares numbers of experts by one law"):
        optimal_experts.best_by_experts(["a", "b"], Wanted(None, None, BEST))
    asked.clear()
    optimal_experts.best_by_granularity(Wanted(None, None, BEST))
    assert asked == [("krajewski2024", 64 * one, one) for one in (1, 2, 4, 8, 16, 32, 64)]


def test_a_mixture_is_of_a_parameter_and_a_token_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    joint: Any = SimpleNamespace(name="it", experts=Joint(1, -0.3, 0.2, 0.1, 2, -0.4, 0.1, 0.05, 1.5, 100, 1.7))
    for active, tokens, fits in ((1, 1, True), (0.9, 5, False), (5, 0.9, False), (1e60, 5, False), (9e59, 9e59, True)):
        run = SimpleNamespace(active=active, tokens=tokens)
        monkeypatch.setattr(optimal_experts, "best", lambda *_, run=run: SimpleNamespace(run=run))
        if fits:
            assert optimal_experts._best(joint, Mixture(), BEST).best.run is run  # type: ignore[comparison-overlap]
        else:
            with pytest.raises(RequestError, match="makes sense of that budget by it"):
                optimal_experts._best(joint, Mixture(), BEST)
    for error in (OverflowError, ZeroDivisionError, ValueError):

        def best(*_: Any, error: type[Exception] = error) -> Any:
            raise error

        monkeypatch.setattr(optimal_experts, "best", best)
        with pytest.raises(RequestError, match="makes sense of that budget by it"):
            optimal_experts._best(joint, Mixture(), BEST)
    for formula in (None, Leverage(1, 1, 1, 1, 1, 1), Routed(1, 1, 1, 1, 1, 1)):
        with pytest.raises(RequestError, match="names no optimum of mixtures of experts"):
            optimal_experts._best(SimpleNamespace(name="it", experts=formula), Mixture(), BEST)  # type: ignore[arg-type]


def test_the_optimum_of_a_design_is_by_the_law_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six FLOPs for each parameter and token, wherever the optimum is."""
    for like, mixture, law in (("llama", None, "hoffmann2022-3"), ("mixtral", Mixture(8, 2), "ludziejewski2025")):
        bound, point = design._optimum(design.Wish(None, 10**23, None, like, None), 10**23)  # type: ignore[arg-type]
        assert bound.law.name == law
        assert 6 * point.params * point.tokens == pytest.approx(1e23)
        if mixture is not None:
            assert bound.formula == read_law(law).experts.of(mixture.expansion)  # type: ignore[union-attr]
    other = design._optimum(design.Wish(None, 10**23, "hoffmann2022-1", "llama", None), 10**23)  # type: ignore[arg-type]
    assert other[0].law.name == "hoffmann2022-1"
    with pytest.raises(RequestError, match="names no optimum of such mixtures of experts as mixtral is"):
        design._optimum(design.Wish(None, 10**23, "hoffmann2022-3", "mixtral", None), 10**23)  # type: ignore[arg-type]


def test_a_pattern_counts_each_shape_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted_shapes: list[Any] = []

    def counting(_: str) -> Any:
        def count(shape: Any) -> int:
            counted_shapes.append(shape)
            return 7

        return count

    monkeypatch.setattr(design, "counting", counting)
    monkeypatch.setattr(design, "shaped", lambda base, shape, step: (base, shape, step))
    one = Fraction(1)
    monkeypatch.setattr(design, "proportions", lambda _: Proportions(one, one, one, one, head_dim=64))
    base: Any = object()
    first = design._lines(base, Grid(12, 8), "all")
    count: Any = first.count
    assert (count("a"), count("a"), design._lines(base, Grid(12, 8), "all") is first) == (7, 7, True)
    assert counted_shapes == [(base, "a", 24)]
    others: Any = ((base, Grid(12, 8), "active"), (base, Grid(12, 4), "all"), (object(), Grid(12, 8), "all"))
    for other in others:
        assert design._lines(*other) is not first


# ---------------------------------------------------------------------------------------------------------------------
# Learning rates
# ---------------------------------------------------------------------------------------------------------------------


def _law(counts: str = "all", flops: str = "6ND", fitted: Any = None, **constants: float) -> Any:
    within = (lambda **_: True) if fitted is None else fitted
    return SimpleNamespace(
        name="it", kind="hyper", counts=counts, flops=flops, hyper=Hyper(constants), optimizer="AdamW",
        fitted=SimpleNamespace(within=within, expansion=None),
    )  # fmt: skip


def test_a_law_of_learning_rates_is_asked_in_its_own_counts() -> None:
    """C is of the parameters that a token meets, with embeddings or without them as the law's N is."""
    sizes = {"all": 9e9, "non_embedding": 8e9, "active": 2e9, "active_non_embedding": 1.5e9}
    for counts, n in sizes.items():
        met = 1.5e9 if "non" in counts else 2e9
        for flops, by in (("6ND", 6 * met * 4e11), ("M*D", 123.0)):
            said = hyper.said_by(_law(counts, flops, lr=2, lr_N=1, batch=3, batch_C=1, tau=5, tau_TPP=1), RUN, 123.0)
            assert said.of == Of(n, 4e11, by, None)
            assert (said.learning_rate, said.batch) == (2 * n, 3 * by)
            assert said.timescale == pytest.approx(5 * 4e11 / n)
            assert (said.critical, said.extrapolated, said.tau) == (None, False, None)
    of_loss = hyper.said_by(_law(critical=1, critical_L=1), RUN, 0)
    c = _constants("kaplan2020")
    loss = ((c["N_c"] / 1.5e9) ** (c["alpha_N"] / c["alpha_D"]) + c["D_c"] / 4e11) ** c["alpha_D"]
    assert of_loss.critical == pytest.approx(loss)
    assert [hyper.said_by(_law(lr=rate), RUN, 0).learning_rate for rate in (1e-9, 0.0, -1.0)] == [1e-9, None, None]
    with pytest.raises(RequestError, match="it makes no sense of this run"):
        hyper.said_by(_law(lr=1, lr_N=1000), RUN, 0)


def test_a_law_is_asked_beyond_what_it_was_fitted_on_by_size_or_by_its_own_flops() -> None:
    for beyond in ("params", "tokens", "flops", ""):

        def within(beyond: str = beyond, **given: float) -> bool:
            return beyond not in given or (beyond == "flops" and len(given) > 1)

        assert hyper.said_by(_law(fitted=within, lr=1), RUN, 0).extrapolated == bool(beyond)


def test_learning_rates_of_a_run_are_those_of_its_tokens() -> None:
    """Li 2025: 1.79·N^-0.713·D^0.307; Bi 2024: 0.3118·C^-0.125 with C all FLOPs but six for each weight of the head."""
    model = spec(SMALL.format("false", DENSE))
    bare = 4 * (4 * 64 * 64 + 2 * 64 * 96) + 64 * (2 * 4 + 1)
    tokens, rates = hyper.learning_rates(model, 10**9, 4096, ["li2025", "deepseek2024-hyper", "zhang2024b"])
    assert tokens == 10**9
    scores = (
        3 * 4 * 4096 * 64 * 4
    )  # forward and twice as much backward, of products with keys and values of all positions
    matrices = bare - 64 * (2 * 4 + 1)
    assert rates == {
        "li2025": pytest.approx(1.79 * bare**-0.713 * 1e9**0.307),
        "deepseek2024-hyper": pytest.approx(0.3118 * ((6 * matrices + scores) * 1e9) ** -0.125, rel=1e-6),
    }
    with pytest.raises(NotPublishedError, match="the laws here are for decoders, and this is an encoder"):
        hyper.learning_rates(SimpleNamespace(kind="encoder", label="It"), 10**9, None, [])  # type: ignore[arg-type]


def test_laws_of_mixtures_are_asked_of_such_alone() -> None:
    named = [law.name for law in hyper.laws_of(["li2025", "li2025", "zhang2024b"], None)]
    assert named == ["li2025", "zhang2024b"]
    assert "tian2025-hyper" not in [law.name for law in hyper.laws_of([], None)]
    assert "tian2025-hyper" in [law.name for law in hyper.laws_of([], Mixture(16, 1))]
    with pytest.raises(RequestError, match=r"hoffmann2022-3 is no law of learning rates .*: choose among .*li2025"):
        hyper.laws_of(["hoffmann2022-3"], None)


def test_vocabularies_are_the_best_by_each_approach() -> None:
    """Tao 2024's published code: budgets of (N/0.0834)² FLOPs; powers of 33 million parameters; and the derivative of a loss that is 0."""
    n, tokens = 8e9, 4e11
    found = list(hyper.vocabularies_of(Run(n, n, n, n, tokens, Mixture()), 4096))
    assert not list(hyper.vocabularies_of(Run(n, n, n, n, tokens, Mixture(3, 2)), 4096)), "a mixture"
    c = _constants("tao2024")
    by_flops, by_power, by_loss = (one.params for one in found)
    assert by_flops == pytest.approx(c["v"] * (n / c["budget"]) ** (2 * c["v_C"]))
    assert by_power == pytest.approx(c["v_start"] * (n / c["n_start"]) ** c["gamma"])

    def loss(nv: float) -> float:
        """In millions and billions, without what no vocabulary changes."""
        h = 6 * n * tokens / 1e15 / (6 * (n / 1e6 + nv / 1e6))
        return float(c["A2"] / (nv / 1e6) ** c["alpha2"] + c["B"] / h ** c["beta"])

    assert loss(by_loss) < min(loss(0.99 * by_loss), loss(1.01 * by_loss))
    assert [one.size for one in found] == [one.params / 4096 for one in found]
    assert [row.data["size"].value for row in found] == [round(one.params / 4096) for one in found]  # type: ignore[union-attr]


# ---------------------------------------------------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------------------------------------------------


def test_a_mixture_is_judged_by_laws_of_mixtures() -> None:
    model: Any = SimpleNamespace(spec=SimpleNamespace(label="It"))
    found = judged.experts_by_laws(model, RUN, ["ludziejewski2025", "abnar2025", "abnar2025"], None)
    assert [one.law.name for one in found] == ["ludziejewski2025", "abnar2025"]
    joint, sparse = found
    assert joint.point.loss == pytest.approx(_joint(2e9, 4e11, 8))
    assert (joint.point.params, joint.point.flops) == (2e9, 6 * 2e9 * 4e11)
    assert sparse.point == Point(9e9, 4e11, 6 * 2e9 * 4e11, pytest.approx(_sparse(9e9, 4e11, 1 / 8)))  # type: ignore[arg-type]
    assert (sparse.formula, sparse.best, sparse.mixture) == (None, None, RUN.mixture)
    assert [one.extrapolated for one in found] == [not experts.inside(one.law, RUN) for one in found]
    assert len(judged.experts_by_laws(model, RUN, [], None)) == 2, "an expansion of 8 is far from the 64 of the third"
    for given in ({"unique": 5}, {"bits": (4.0, 4.0, 4.0)}):
        with pytest.raises(RequestError, match="is read by laws of dense models, and It is a mixture of experts"):
            judged.experts_by_laws(model, RUN, [], **{"unique": None, **given})  # type: ignore[arg-type]
    for name in ("hoffmann2022-3", "tian2025"):
        with pytest.raises(RequestError, match=f"{name} predicts no loss of mixtures of experts, which It is"):
            judged.experts_by_laws(model, RUN, [name], None)


def test_the_loss_of_a_mixture_is_above_none_and_no_more_than_a_guess() -> None:
    law: Any = SimpleNamespace(name="it", counts="active")
    cases: tuple[tuple[Any, bool], ...] = (
        (1e-9, True), (13, True), (13.1, False), (0.0, False), (-1.0, False), (OverflowError(), False)
    )  # fmt: skip
    for loss, meant in cases:

        def of(_: Run, loss: Any = loss) -> float:
            if isinstance(loss, Exception):
                raise loss
            return float(loss)

        formula: Any = SimpleNamespace(loss=of)
        if meant:
            assert judged._mixture_point(law, formula, RUN) == Point(2e9, 4e11, RUN.flops, loss)
        else:
            with pytest.raises(RequestError, match="it predicts no meaningful loss"):
                judged._mixture_point(law, formula, RUN)


def test_models_that_no_law_was_fitted_on_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (DENSE, ROUTED):
        judged.refuse_other_models(counted(spec(SMALL.format("true", text))))
    of_attention = counted(spec(SMALL.format("true", ROUTED)))
    monkeypatch.setattr(judged, "mixture_of", lambda _: None)
    with pytest.raises(NotPublishedError, match="route to experts of attention alone"):
        judged.refuse_other_models(of_attention)
    encoder: Any = SimpleNamespace(spec=SimpleNamespace(kind="encoder", label="It"))
    with pytest.raises(NotPublishedError, match="this is an encoder"):
        judged.refuse_other_models(encoder)


def test_losses_by_tokens_are_functions_of_them() -> None:
    """Hoffmann 2022, approach 3: 1.69 + 406.4/N^0.34 + 410.7/D^0.28, and 2,000 tokens in a row; of mixtures the joint law."""
    plain = spec(SMALL.format("true", DENSE))
    size = 512 * 64 + 4 * (4 * 64 * 64 + 2 * 64 * 96) + 64 * (2 * 4 + 1)
    tokens, unit, by_law = judged.by_tokens(plain, 10**9, ["hoffmann2022-3"], None, None)
    assert (tokens, unit.name) == (10**9, "nats per token")
    c = _constants("hoffmann2022-3")
    for d in (1e8, 1e9, 1e10):
        law = c["E"] + c["A"] / size ** c["alpha"] + c["B"] / d ** c["beta"]
        assert by_law["hoffmann2022-3"](d) == pytest.approx(law)
    routed = spec(SMALL.format("true", ROUTED))
    active = 512 * 64 + 4 * (4 * 64 * 64 + 64 * 8 + 3 * 64 * (2 * 32 + 48)) + 64 * (2 * 4 + 1)
    _, _, of_mixtures = judged.by_tokens(routed, 10**9, ["ludziejewski2025"], None, None)
    expansion = (8 + 1.5) / (2 + 1.5)
    assert of_mixtures["ludziejewski2025"](1e10) == pytest.approx(_joint(active, 1e10, expansion))


def test_a_dense_model_is_judged_in_the_count_of_each_law() -> None:
    """By a law without embeddings of the 5 others; a law of an optimum alone says no loss; equal loss where the law has such."""
    formula = Parametric(1.5, 400.0, 410.0, 0.3, 0.3)

    def bound(formula: Any, counts: str = "all", *, optima: bool = True) -> Bound:
        holds = SimpleNamespace(holds=lambda *_: True)
        law: Any = SimpleNamespace(name="it", counts=counts, optima=optima, fitted=holds)
        return Bound(law, formula)

    sizes = {"all": 10**9, "non_embedding": 5 * 10**8}
    for counts, n in (
        ("all", 10**9),
        ("non_embedding", 5 * 10**8),
        ("active_non_embedding", 5 * 10**8),
        ("active", 10**9),
    ):
        found, without = judged.dense_by_laws(sizes, 10**10, [bound(formula, counts), bound(Power(1.0, 0.5))])
        assert [one.point.params for one in found] == [n]
        assert without == ["it"]
        (one,) = found
        loss = 1.5 + 400 / n**0.3 + 410 / 1e10**0.3
        assert one.point.loss == pytest.approx(loss)
        assert one.best is not None
        assert one.equal is not None
        assert 6 * one.best.params * one.best.tokens == pytest.approx(6 * n * 1e10)
        assert one.best.loss is not None
        assert one.best.loss <= loss
        assert one.equal.loss == pytest.approx(loss)
        assert one.equal.flops <= 6 * n * 1e10
    (alone,), _ = judged.dense_by_laws(sizes, 10**10, [bound(formula, optima=False)])
    assert (alone.best, alone.equal) == (None, None)
    with pytest.raises(RequestError, match="it predicts an optimum and no loss"):
        judged.dense_by_laws(sizes, 10**10, [bound(Power(1.0, 0.5))])
    (kaplan,), _ = judged.dense_by_laws(sizes, 10**10, [bound(read_law("kaplan2020").formula())])
    assert isinstance(kaplan.formula, Kaplan)
    assert (kaplan.best, kaplan.equal) == (None, None)
    for loss in (13.0, 13.1):
        if loss == 13:
            judged.dense_by_laws(sizes, 10**10, [bound(Parametric(13.0, 0.0, 0.0, 0.3, 0.3), optima=False)])
        else:
            with pytest.raises(RequestError, match="predicts no meaningful loss"):
                judged.dense_by_laws(sizes, 10**10, [bound(Parametric(loss, 0.0, 0.0, 0.3, 0.3), optima=False)])
