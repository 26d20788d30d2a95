"""The tables of a fitted law: its constants, what it says is optimal, and how far runs are from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import expm1, sqrt
from statistics import fmean
from typing import Final, NamedTuple

from tscale.calibration.forms import Held
from tscale.catalogue.laws import Law
from tscale.core.laws import Point
from tscale.core.metric import Cell, Column, Figure, Missing, Table
from tscale.core.units import COUNT, EXPONENT, FLOPS, NATS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, SHARE, Unit
from tscale.estimates.fitting import SOURCE, Fitting, kept
from tscale.estimates.laws import Bound, extrapolated, loss_figure, per_param, percentiles, predicted, range_mark

PLAIN: Final = Unit("", "", "full")
CONSTANTS = (
    Column("constant", "constant", numeric=False),
    Column("value", "value"),
    Column("low", "low"),
    Column("high", "high"),
    Column("meaning", "meaning", drop=1, numeric=False),
)
OPTIMA = (
    Column("optimum at FLOPs", "flops"),
    Column("params", "params"),
    Column("tokens", "tokens"),
    Column("tokens/param", "tokens_per_param"),
    Column("loss", "loss"),
    Column("range of runs", "extrapolated", drop=1, numeric=False),
)
INTERVALS = (
    Column("intervals at FLOPs", "flops"),
    Column("params low", "params_low"),
    Column("params high", "params_high"),
    Column("tokens low", "tokens_low"),
    Column("tokens high", "tokens_high"),
)
MEANINGS: Final = {
    "E": "irreducible loss",
    "A": "coefficient of the term A/N^alpha",
    "B": "coefficient of the term B/D^beta",
    "alpha": "exponent of parameters",
    "beta": "exponent of tokens",
    "a": "optimal parameters, N ~ C^a",
    "b": "optimal tokens, D ~ C^b",
}


def constant_rows(answer: Fitting) -> Iterator[tuple[str, Figure, Figure, Figure]]:
    """Each constant and each exponent of the optimum with its interval."""
    law = answer.law
    for name, one in law.constants.items():
        assert one.low is not None
        assert one.high is not None
        unit = {"E": NATS, "alpha": EXPONENT._replace(reading="full"), "beta": EXPONENT._replace(reading="full")}
        value, low, high = (figure_of(end, unit.get(name, PLAIN)) for end in (one.value, one.low, one.high))
        yield name, value, low, high
    exponent = law.exponent
    assert exponent is not None
    unit_of_power = EXPONENT._replace(reading="full")
    ends = (exponent.value, exponent.low, exponent.high)
    value, low, high = (figure_of(end, unit_of_power) for end in ends)
    yield "a", value, low, high
    value, high, low = (figure_of(kept(1 - end), unit_of_power) for end in ends)
    yield "b", value, low, high


def figure_of(value: float, unit: Unit) -> Figure:
    """A figure of the fit, as the published form has it."""
    return Figure(value, unit, "convention", SOURCE)


class Optimum(NamedTuple):
    point: Point
    law: Law
    params: tuple[float, float]
    tokens: tuple[float, float]
    beyond: bool

    @property
    def figures(self) -> dict[str, Figure | Missing]:
        """The run, and the intervals of its parameters and its tokens."""
        return {
            "flops": predicted(self.point.flops, FLOPS, self.law),
            "params": predicted(self.point.params, PREDICTED_PARAMETERS, self.law),
            "params_low": predicted(self.params[0], PREDICTED_PARAMETERS, self.law),
            "params_high": predicted(self.params[1], PREDICTED_PARAMETERS, self.law),
            "tokens": predicted(self.point.tokens, PREDICTED_TOKENS, self.law),
            "tokens_low": predicted(self.tokens[0], PREDICTED_TOKENS, self.law),
            "tokens_high": predicted(self.tokens[1], PREDICTED_TOKENS, self.law),
            "tokens_per_param": per_param(self.point, self.law),
            "loss": loss_figure(self.point.loss, self.law),
        }


def optimum_of(answer: Fitting, times: int) -> Optimum:
    """The best run with so many times the largest budget of the runs."""
    flops = times * max(run.flops for run in answer.runs)
    formula = answer.formula
    points = [draw.at_flops(flops) for draw in answer.draws]
    point = formula.at_flops(flops)
    return Optimum(
        point,
        answer.law,
        percentiles([one.params for one in points]),
        percentiles([one.tokens for one in points]),
        extrapolated(Bound(answer.law, formula), point),
    )


def cells_of(one: Optimum, columns: Sequence[Column]) -> tuple[Cell, ...]:
    """The cells of a row of optima, by the keys of its columns."""
    cells: dict[str, Cell] = {**one.figures, "extrapolated": range_mark(beyond=one.beyond)}
    return tuple(cells[column.key] for column in columns)


def held_rows(held: Held | None) -> Iterator[tuple[str, str, Figure]]:
    """How far a form is from runs of sizes that it was not fitted to."""
    if held is not None:
        yield "held_out_rms", "held-out sizes (root mean square)", figure_of(held.rms, SHARE)
        yield "held_out_largest", "held-out sizes, largest", figure_of(expm1(held.worst), SHARE)
        yield "held_out_sizes", "sizes held out, one at a time", Figure(held.sizes, COUNT)


def residuals(answer: Fitting) -> Iterator[tuple[str, str, Figure]]:
    """How far the law is from the runs: as a root mean square, and for the run that it misses most."""
    residuals = answer.fit.residuals
    worst = max(range(len(residuals)), key=lambda index: abs(residuals[index]))
    yield "rms", "typical (root mean square)", figure_of(sqrt(fmean(one * one for one in residuals)), SHARE)
    yield "largest", "largest", figure_of(expm1(residuals[worst]), SHARE)
    yield "largest_line", "line of the largest", Figure(answer.runs[worst].line, COUNT)


def quality(answer: Fitting) -> Table:
    """How well the law fits the runs that it was fitted to, and those that were held out."""
    columns = (Column("predicted and measured loss", "residual", numeric=False), Column("difference", "value"))
    rows = (*residuals(answer), *held_rows(answer.held))
    return Table("", columns, tuple((label, cell) for _, label, cell in rows), aside=True)


def objective(answer: Fitting) -> Figure:
    """What the fit made as small as it could."""
    return figure_of(kept(answer.fit.objective), PLAIN)
