"""The pictures of `tscale optimal`: the laws' optima among models that were trained, and a law's iso-FLOP curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, log
from statistics import median
from typing import Final, NamedTuple

from tscale.catalogue.models import built_in, names
from tscale.core.costs.params import params
from tscale.core.laws import Parametric, Repeated
from tscale.core.metric import Figure
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import FLOPS, PREDICTED_PARAMETERS, PREDICTED_TOKENS
from tscale.estimates.budget import Budget
from tscale.estimates.laws import law_unit, picked
from tscale.estimates.optimal import Answer, answered
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

_BUDGETS: Final = (0.01, 0.1, 1.0, 10.0)  # of what was asked for
_AROUND: Final = 12.0  # times the optima's parameters and tokens, either way
_POINTS: Final = 61


class _Window(NamedTuple):
    """The parameters and tokens that a picture shows."""

    least: float
    most: float
    fewest: float
    longest: float

    def holds(self, params: float, tokens: float) -> bool:
        return self.least <= params <= self.most and self.fewest <= tokens <= self.longest


def optimal_plots(budget: Budget, laws: Sequence[str], unique: int | None, served: int | None) -> list[Plot]:
    """The optimum by each law among models that were trained; and iso-FLOP curves of the newest law that has a loss."""
    answers = [answered(bound, budget) for bound in picked(laws, unique, served)]
    flops = budget.amount if budget.asked == "flops" else median(answer.point.flops for answer in answers)
    curved = [answer for answer in answers if isinstance(answer.bound.formula, (Parametric, Repeated))]
    return [_among_models(answers, flops), *(_iso_flop(answer) for answer in curved[-1:])]


def _among_models(answers: Sequence[Answer], flops: float) -> Plot:
    """Tokens by parameters: lines of equal FLOPs, 6·N·D, each law's optimum, and dense models as they were trained."""
    points = [answer.point for answer in answers]
    window = _Window(
        min(point.params for point in points) / _AROUND,
        max(point.params for point in points) * _AROUND,
        min(point.tokens for point in points) / _AROUND,
        max(point.tokens for point in points) * _AROUND,
    )
    equal = [
        Series("", ends, quiet=share != 1) for share in _BUDGETS if (ends := tuple(_equal_flops(share * flops, window)))
    ]
    return Plot(
        "The optimum by each law, among models as they were trained",
        Axis("parameters", PREDICTED_PARAMETERS),
        Axis("training tokens", PREDICTED_TOKENS),
        (
            *equal,
            Series("models as they were trained", tuple(_trained(window)), "points", quiet=True),
            Series(
                "optimum by a law",
                tuple(Point(round(one.point.params), round(one.point.tokens), one.bound.law.name) for one in answers),
                "points",
            ),
        ),
        notes=(
            "Lines of equal training FLOPs, 6·N·D. Models: built-in dense decoders whose training tokens are published.",
        ),
    )


def _equal_flops(flops: float, window: _Window) -> Iterator[Point]:
    """The two ends of a line of equal FLOPs in the window; none where it does not cross it."""
    least = max(window.least, flops / (6 * window.longest))
    most = min(window.most, flops / (6 * window.fewest))
    if least < most:
        yield Point(least, flops / (6 * least), Figure(flops, FLOPS))
        yield Point(most, flops / (6 * most))


def _trained(window: _Window) -> Iterator[Point]:
    for name in names():
        spec = built_in(name)
        if not isinstance(spec, ModelSpec) or spec.kind != "decoder":
            continue
        tokens = spec.training.total_tokens if spec.training else None
        if tokens is None:
            continue
        dense = all(block.kind == "dense" for block in spec.feed_forwards)
        size = params(lower(spec)).total
        if dense and window.holds(size, tokens):
            yield Point(size, tokens, spec.label)


def _iso_flop(answer: Answer) -> Plot:
    """Loss by parameters at equal training FLOPs, by one law: the less of one, the more of the other."""
    bound, optimum, _ = answer
    formula = bound.formula
    assert isinstance(formula, (Parametric, Repeated))
    curves: list[Series] = []
    optima: list[Point] = []
    for share in _BUDGETS:
        flops = share * optimum.flops
        best = optimum if share == 1 else formula.at_flops(flops)
        assert best.loss is not None, "a law of this kind has a loss"
        sizes = [best.params * exp(log(_AROUND) * (2 * place / (_POINTS - 1) - 1)) for place in range(_POINTS)]
        losses = [formula.loss(size, flops / (6 * size)) for size in sizes]
        last = Figure(flops, FLOPS)
        curves.append(
            Series(
                "",
                tuple(
                    Point(size, loss, last if place == _POINTS - 1 else "")
                    for place, (size, loss) in enumerate(zip(sizes, losses, strict=True))
                ),
                quiet=share != 1,
            )
        )
        optima.append(Point(round(best.params), round(best.loss, 6), Figure(round(best.params), PREDICTED_PARAMETERS)))
    return Plot(
        f"Loss at equal training FLOPs by {bound.law.name}",
        Axis("parameters", PREDICTED_PARAMETERS),
        Axis("predicted loss", law_unit(bound.law), log=False),
        (*curves, Series("optimum", tuple(optima), "points")),
    )
