"""The picture of `tscale fit`: the runs' losses by training FLOPs, and the least that the fitted law allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import Final

from tscale.calibration.runs import Run
from tscale.core.laws import Farseer, KaplanJoint, Parametric
from tscale.core.number_text import number_text
from tscale.core.plot import Axis, Plot, Point, Series
from tscale.core.units import FLOPS, NATS
from tscale.estimates.fit import Fitting
from tscale.estimates.fit_forms import Comparison, Found, formulas
from tscale.estimates.laws import percentiles

_POINTS: Final = 41
_PAST: Final = 10.0  # times the runs' largest budget


def fit_plot(answer: Found | Comparison) -> Plot:
    """Loss by FLOPs: runs by size, the compute-optimal run of each budget by the law, and the interval of its bootstraps."""
    found = answer.best if isinstance(answer, Comparison) else answer
    budgets = [run.flops for run in found.runs]
    low, high = min(budgets), _PAST * max(budgets)
    grid = sorted({*(low * (high / low) ** (place / (_POINTS - 1)) for place in range(_POINTS)), max(budgets)})
    return Plot(
        f"{len(budgets):,} runs of {found.read.name}, and the fitted law",
        Axis("training", FLOPS),
        Axis("loss", NATS, log=False),
        (*_band(found, grid), *_lines(found, grid), *_by_size(found.runs)),
        notes=("Runs with more or fewer parameters than the optimum of their FLOPs, 6·N·D, lie above the line.",),
    )


def _band(found: Found, grid: Sequence[float]) -> Iterator[Series]:
    """The two sides of the interval of the least loss, where samples are laws of Hoffmann's form."""
    if isinstance(found, Fitting):
        draws = found.draws
        ends = [percentiles([_best(draw, flops) for draw in draws]) for flops in grid]
        for side, name in ((0, "2.5th to 97.5th percentile"), (1, "")):
            yield Series(
                name, tuple(Point(flops, end[side]) for flops, end in zip(grid, ends, strict=True)), quiet=True
            )


def _lines(found: Found, grid: Sequence[float]) -> Iterator[Series]:
    """The least loss of each budget by the law, for each number of experts."""
    if isinstance(found, Fitting):
        yield Series("compute-optimal by the law", tuple(Point(flops, _best(found.formula, flops)) for flops in grid))
        return
    for experts, formula in formulas(found):
        name = "compute-optimal by the law" + ("" if experts == 1 else f", {experts:g} experts")
        yield Series(name, tuple(Point(flops, _best(formula, flops)) for flops in grid))


def _best(law: Parametric | KaplanJoint | Farseer, flops: float) -> float:
    loss = law.at_flops(flops).loss
    assert loss is not None, "a law of N and D has a loss"
    return loss


def _by_size(runs: Sequence[Run]) -> Iterator[Series]:
    """The runs, in a colour for each of at most six sizes: sizes that are more are put together by their logarithms."""
    logs = [log(run.params) for run in runs]
    low, high = min(logs), max(logs)
    sizes = len({round(one / _ALIKE) for one in logs})
    groups: dict[int, list[Run]] = {}
    for run, one in zip(runs, logs, strict=True):
        place = round(one / _ALIKE) if sizes <= _MOST_SIZES else int((one - low) / (high - low) * (_MOST_SIZES - 1e-9))
        groups.setdefault(place, []).append(run)
    for _, group in sorted(groups.items()):
        ends = [number_text(pick(run.params for run in group), "short") for pick in (min, max)]
        name = f"{ends[0]} parameters" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]} parameters"
        yield Series(name, tuple(Point(run.flops, run.loss) for run in group), "points")


_MOST_SIZES: Final = 6
_ALIKE: Final = 0.01
