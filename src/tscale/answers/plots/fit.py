"""The picture of `tscale fit`: the runs' losses by training FLOPs, and the least that the fitted law allows."""

from __future__ import annotations

from typing import Final

from tscale.answers.fit import Fitting
from tscale.answers.laws import percentiles
from tscale.core.laws import Parametric
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import FLOPS, NATS

_POINTS: Final = 41
_PAST: Final = 10.0  # times the runs' largest budget


def fit_plot(answer: Fitting) -> Plot:
    """Loss by FLOPs: the runs, the compute-optimal run of each budget by the law, and the interval of its bootstraps."""
    budgets = [run.flops for run in answer.runs]
    low, high = min(budgets), _PAST * max(budgets)
    grid = sorted({*(low * (high / low) ** (place / (_POINTS - 1)) for place in range(_POINTS)), max(budgets)})

    def best(law: Parametric, flops: float) -> float:
        loss = law.at_flops(flops).loss
        assert loss is not None, "a parametric law has a loss"
        return loss

    ends = [percentiles([best(draw, flops) for draw in answer.draws]) for flops in grid]
    sides = [
        Series(name, tuple(Point(flops, end[side]) for flops, end in zip(grid, ends, strict=True)), quiet=True)
        for side, name in ((0, "2.5th to 97.5th percentile"), (1, ""))
    ]
    return Plot(
        f"{len(budgets):,} runs of {answer.read.name}, and the fitted law",
        Axis("training", FLOPS),
        Axis("loss", NATS, log=False),
        (
            *sides,
            Series("compute-optimal by the law", tuple(Point(flops, best(answer.formula, flops)) for flops in grid)),
            Series("runs", tuple(Point(run.flops, run.loss) for run in answer.runs), "points"),
        ),
        notes=("Runs with more or fewer parameters than the optimum of their FLOPs, 6·N·D, lie above the line.",),
    )
