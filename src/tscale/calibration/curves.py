"""What a picture of a fit shows: the runs, and the fitted loss over model sizes at a few budgets, with the optimum of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tscale.calibration.runs import Run
from tscale.core.laws import Parametric, Point

_BUDGETS: Final = 5
_POINTS: Final = 60
_SPAN: Final = 16.0


class IsoFlop(NamedTuple):
    """The fitted loss of models of several sizes trained with one budget, 6·N·D, and the best of them."""

    flops: float
    points: tuple[Point, ...]
    optimum: Point


class Curves(NamedTuple):
    """The runs with the loss that the law gives each, and curves of one budget from the least of the runs to the most."""

    runs: tuple[tuple[Run, float], ...]
    isoflops: tuple[IsoFlop, ...]


def curves(runs: Sequence[Run], law: Parametric) -> Curves:
    """Runs beside the law that was fitted to them, in nats a token: each curve spans sizes 16 times about its optimum."""
    least, most = (pick(run.flops for run in runs) for pick in (min, max))
    budgets = [least * (most / least) ** (step / (_BUDGETS - 1)) for step in range(_BUDGETS)]
    return Curves(
        tuple((run, law.loss(run.params, run.tokens)) for run in runs),
        tuple(_isoflop(law, flops) for flops in budgets),
    )


def _isoflop(law: Parametric, flops: float) -> IsoFlop:
    best = law.at_flops(flops)
    sizes = [best.params * _SPAN ** (2 * step / (_POINTS - 1) - 1) for step in range(_POINTS)]
    points = (Point(size, flops / (6 * size), flops, law.loss(size, flops / (6 * size))) for size in sizes)
    return IsoFlop(flops, tuple(points), best)
