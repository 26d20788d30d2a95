"""A run by each law: its loss, and where a law has them, the best run of its FLOPs and the run of equal loss with the fewest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final, NamedTuple

from tscale.catalogue.laws import Law, read_law
from tscale.core.costs.params import non_embedding_params, params
from tscale.core.laws import Bare, Bits, Farseer, Kaplan, KaplanJoint, Lifetime, Point, Power, Repeated
from tscale.core.laws import Law as Formula
from tscale.core.laws.experts import ExpertsLaw, Joint, Leverage, Mixture, Run
from tscale.core.ledger import Matmul
from tscale.core.units import Unit
from tscale.errors import NotPublishedError, RequestError, field
from tscale.estimates.experts import counted_by, default_losses, inside, mixture_of, run_of
from tscale.estimates.explaining import TracedModel, counted
from tscale.estimates.laws import Bound, extrapolated, one_unit, picked
from tscale.estimates.trained import trained
from tscale.models.spec import ModelSpec

_CHANCE: Final = 13
"""Nats a token of a guess among 440,000 tokens: a model that learned anything is below."""


class Judged(NamedTuple):
    """A run by one law: its loss; where the law has them, the best run of its FLOPs, and that of its loss."""

    law: Law
    formula: Formula | None
    """The law of N and D; None of one that has no optimum to tell."""
    point: Point
    extrapolated: bool = False
    best: Point | None = None
    equal: Point | None = None
    mixture: Mixture | None = None


def by_tokens(
    spec: ModelSpec,
    asked: int | None,
    names: Sequence[str],
    unique: int | None,
    served: int | None,
    bits: Bits | None = None,
) -> tuple[int, Unit, dict[str, Callable[[float], float]]]:
    """The tokens of a run, and by law the loss of its model as a function of tokens, with its unit. Raises `TscaleError` as `loss_report` does."""
    model = counted(spec)
    refuse_other_models(model)
    tokens = int(trained(spec, asked, None).tokens.value)
    mixture = mixture_of(spec)
    if mixture is not None:
        run = run_of(model, mixture, tokens)
        by_law = experts_by_laws(model, run, names, unique, bits)
        return tokens, one_unit([one.law for one in by_law]), {one.law.name: _of_run(one.law, run) for one in by_law}
    sizes = {"all": int(params(model.ledger).total), "non_embedding": int(non_embedding_params(model.ledger))}
    judged, _ = dense_by_laws(sizes, tokens, picked(names, unique, served, bits))
    return tokens, one_unit([one.law for one in judged]), {one.law.name: _of_size(one) for one in judged}


def _of_run(law: Law, run: Run) -> Callable[[float], float]:
    formula = law.experts
    assert formula is not None
    assert not isinstance(formula, Leverage)
    return lambda tokens: formula.loss(run._replace(tokens=tokens))


def _of_size(judged: Judged) -> Callable[[float], float]:
    formula = judged.formula.law if isinstance(judged.formula, Lifetime) else judged.formula
    assert formula is not None
    assert not isinstance(formula, (Power, Lifetime))
    return lambda tokens: formula.loss(judged.point.params, tokens)


def refuse_other_models(model: TracedModel) -> None:
    """Raises `NotPublishedError` for a model of a sort that no law here was fitted on."""
    spec = model.spec
    if spec.kind != "decoder":
        raise NotPublishedError(f"{spec.label}: the scaling laws here are for decoders, and this is an {spec.kind}")
    routed = any(isinstance(entry, Matmul) and entry.experts > 1 for entry in model.ledger.entries)
    if routed and mixture_of(spec) is None:
        raise NotPublishedError(
            f"{spec.label}: no law here was fitted on models that route to experts of attention alone"
        )


def dense_by_laws(sizes: dict[str, int], tokens: int, bounds: Sequence[Bound]) -> tuple[list[Judged], list[str]]:
    """A dense model by each law, and the laws that predict no loss."""
    without = [bound.law.name for bound in bounds if isinstance(bound.formula, Power)]
    if len(without) == len(bounds):
        raise RequestError(f"{', '.join(without)} predicts an optimum and no loss: choose another {field('law')}")
    judged = [
        _judged(bound, sizes["non_embedding" if "non_embedding" in bound.law.counts else "all"], tokens)
        for bound in bounds
        if not isinstance(bound.formula, Power)
    ]
    return judged, without


def experts_by_laws(
    model: TracedModel, run: Run, names: Sequence[str], unique: int | None, bits: Bits | None = None
) -> list[Judged]:
    """A mixture of experts by each law of such."""
    for option, given in (("unique_tokens", unique), ("bits", bits)):
        if given is None:
            continue
        raise RequestError(
            f"{field(option)} is read by laws of dense models, and {model.spec.label} is a mixture of experts: leave it out"
        )
    judged = []
    for law in map(read_law, dict.fromkeys(names) or default_losses(run)):
        formula = law.experts
        if formula is None or isinstance(formula, Leverage):
            raise RequestError(
                f"{law.name} predicts no loss of mixtures of experts, which {model.spec.label} is: choose another {field('law')}, such as "
                f"{', '.join(default_losses(run))}"
            )
        if isinstance(formula, Joint):
            found = _judged(Bound(law, formula.of(run.mixture.expansion)), int(run.active), int(run.tokens))
        else:
            found = Judged(law, None, _mixture_point(law, formula, run))
        judged.append(found._replace(extrapolated=not inside(law, run), mixture=run.mixture))
    return judged


def _mixture_point(law: Law, formula: ExpertsLaw, run: Run) -> Point:
    """The loss of a mixture. Raises `RequestError` where that is none that a run may have."""
    size = counted_by(law, run)
    try:
        loss = formula.loss(run)
    except (OverflowError, ZeroDivisionError, ValueError):
        loss = inf
    if not 0 < loss <= _CHANCE:
        raise _past(law, size, run.tokens)
    return Point(size, run.tokens, run.flops, loss)


def _past(law: Law, size: float, tokens: float) -> RequestError:
    return RequestError(
        f"{law.name} predicts no meaningful loss of {size:,} parameters on {tokens:,} tokens: give more realistic {field('tokens')}"
    )


def _judged(bound: Bound, size: int, tokens: int) -> Judged:
    flops, formula = 6 * size * tokens, bound.formula
    if isinstance(formula, Lifetime):
        formula = formula.law
    assert not isinstance(formula, (Power, Lifetime))
    past = _past(bound.law, size, tokens)
    try:
        point = Point(size, tokens, flops, formula.loss(size, tokens))
        assert point.loss is not None
        if point.loss > _CHANCE:
            raise past
        judged = Judged(bound.law, bound.formula, point, extrapolated(bound, point))
        if isinstance(formula, Kaplan) or not bound.law.optima:
            return judged
        if isinstance(formula, (KaplanJoint, Farseer, Bare)):
            return judged._replace(best=formula.at_flops(flops))
        equal = formula.at_loss(point.loss, flops) if isinstance(formula, Repeated) else formula.at_loss(point.loss)
        return judged._replace(best=formula.at_flops(flops), equal=equal)
    except (OverflowError, ZeroDivisionError, ValueError):
        raise past from None
