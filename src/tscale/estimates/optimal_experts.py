"""The mixtures of experts that reach the least loss with a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tscale.catalogue.laws import Law, read_law
from tscale.core.laws.experts import Granular, Joint, Mixture, Sparse
from tscale.core.laws.experts_best import Best, Limits, best
from tscale.core.parallelism import divisors
from tscale.errors import RequestError, field
from tscale.estimates.experts import GRANULAR, JOINT, LOSSES, inside

EXPANSIONS: Final = (1, 2, 4, 8, 16, 32)
"""Those that the joint law was fitted on: one expert a token, of so many."""
GRANULARITIES: Final = (1, 2, 4, 8, 16, 32, 64)
OF_GRANULARITY: Final = 64
"""The expansion that the law of granularity was fitted on."""
_MOST: Final = 1e60


class Wanted(NamedTuple):
    """What is asked: routed experts, or None for the best; the share that a token meets, or None for the best."""

    experts: int | None
    share: float | None
    limits: Limits


class BestMixture(NamedTuple):
    law: Law
    best: Best

    @property
    def extrapolated(self) -> bool:
        return not inside(self.law, self.best.run)


def best_by_laws(names: Sequence[str], wanted: Wanted) -> Iterator[BestMixture]:
    """Of a number of experts, the best run by each law; where the share is free, of all numbers that divide the experts."""
    experts = wanted.experts
    assert experts is not None
    for law in map(read_law, dict.fromkeys(names) or LOSSES):
        met: Sequence[float] = divisors(experts) if wanted.share is None else [wanted.share * experts]
        near = [one for one in met if names or law.name != GRANULAR or _NEAR[0] <= experts / one <= _NEAR[1]]
        if near:
            yield min((_best(law, Mixture(experts, one), wanted.limits) for one in near), key=lambda row: row.best.loss)


_NEAR: Final = (32, 128)
"""Expansions with which the law of an expansion of 64 is asked unasked."""


def best_by_experts(names: Sequence[str], wanted: Wanted) -> list[BestMixture]:
    """Of each number of experts that the joint law, or the one named, was fitted on, the best run."""
    if len(names) > 1:
        raise RequestError(f"{field('experts')} any compares numbers of experts by one law: give one {field('law')}")
    law = read_law(names[0] if names else JOINT)
    return [_best(law, Mixture(expansion, 1), wanted.limits) for expansion in EXPANSIONS]


def best_by_granularity(wanted: Wanted) -> list[BestMixture]:
    """Of each granularity at an expansion of 64, the best run, routing paid for."""
    law = read_law(GRANULAR)
    return [_best(law, Mixture(OF_GRANULARITY * one, one), wanted.limits) for one in GRANULARITIES]


def _best(law: Law, mixture: Mixture, limits: Limits) -> BestMixture:
    """The best run by a law. Raises `RequestError` of a law that cannot say, and where there is none that makes sense."""
    formula = law.experts
    if not isinstance(formula, (Joint, Granular, Sparse)):
        said = ", ".join(LOSSES)
        raise RequestError(
            f"{law.name} names no optimum of mixtures of experts: choose another {field('law')}, such as {said}"
        )
    try:
        found = best(formula, mixture, limits)
        fits = all(1 <= value < _MOST for value in (found.run.active, found.run.tokens))
    except (OverflowError, ZeroDivisionError, ValueError):
        fits = False
    if not fits:
        raise RequestError(
            f"no mixture of experts makes sense of that budget by {law.name}: ask nearer to what is trained"
        )
    return BestMixture(law, found)
