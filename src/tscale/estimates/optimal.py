"""The compute-optimal run of a budget by a scaling law."""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.catalogue.laws import Law
from tscale.core.laws import Law as Formula
from tscale.core.laws import Parametric, Point
from tscale.errors import RequestError, called, field
from tscale.estimates.budget import Budget
from tscale.estimates.laws import Bound, Interval, percentiles


class Answer(NamedTuple):
    """A law's answer: the optimal run, and its interval where the law's file holds one."""

    bound: Bound
    point: Point
    ends: Interval | None = None

    @property
    def pair(self) -> tuple[Bound, Point]:
        return self.bound, self.point


def at(formula: Formula, budget: Budget) -> Point:
    """The optimal run of what is given, by one formula."""
    match budget.asked:
        case "flops":
            return formula.at_flops(budget.amount)
        case "params":
            return formula.at_params(budget.amount)
        case "tokens":
            return formula.at_tokens(budget.amount)


def answered(bound: Bound, budget: Budget) -> Answer:
    """What a law answers. Raises `RequestError` where that is no number that makes sense."""
    if not bound.law.optima:
        raise RequestError(
            f"the constants of {bound.law.name} were printed in too few digits for an optimum, and only predict losses: "
            f"choose another {field('law')}"
        )
    try:
        point = at(bound.formula, budget)
        ends = _ends(bound.law, budget)
        fits = all(1 <= value < _MOST for value in point[:3])
    except (OverflowError, ZeroDivisionError):
        fits = False
    if not fits:
        name = called(bound.law.name, 40)
        amount = f"{budget.amount:.4g}".replace("e+", "e")
        raise RequestError(
            f"{field(budget.asked)} of {amount} has no meaningful optimum by {name}: ask for an amount nearer to what is trained"
        )
    return Answer(bound, point, ends)


def _ends(law: Law, budget: Budget) -> Interval | None:
    """The interval of an optimum, as the law's file holds it: as rows, or as bootstrap samples."""
    if law.quantiles is not None:
        low, high = law.quantiles.at(budget.asked, budget.amount)
        given = float(budget.amount)
        match budget.asked:
            case "flops":
                return Interval((low, high), (given / (6 * high), given / (6 * low)))
            case "params":
                return Interval((given, given), (low, high))
            case "tokens":
                return Interval((low, high), (given, given))
    if not law.draws:
        return None
    samples = [at(Parametric(*map(float, draw)), budget) for draw in law.draws]
    return Interval(percentiles([point.params for point in samples]), percentiles([point.tokens for point in samples]))


_MOST: Final = 1e60
