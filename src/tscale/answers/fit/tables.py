"""The tables of a fitted law: its constants, what it says is optimal, and how far runs are from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import expm1, sqrt
from pathlib import Path
from statistics import fmean
from typing import Final, NamedTuple

from tscale.calibration.forms import Held
from tscale.calibration.parametric import DELTA
from tscale.calibration.runs import Run
from tscale.catalogue.laws import Law
from tscale.core.laws import Point
from tscale.core.metric import Column, Data, Figure, Table
from tscale.core.units import COUNT, EXPONENT, FLOPS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, SHARE, Unit
from tscale.core.view import Record, view
from tscale.estimates.fit import SOURCE, Fitting, kept
from tscale.estimates.fit_forms import FormFitting
from tscale.estimates.laws import (
    LEVEL,
    Bound,
    extrapolated,
    law_data,
    loss_figure,
    per_param,
    percentiles,
    predicted,
    range_mark,
)

PLAIN: Final = Unit("", "", "full")
POWER: Final = EXPONENT._replace(reading="full")
_CONSTANTS = (
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
Constants = dict[str, dict[str, Figure]]
"""The value of each constant, and the ends of its interval."""


def constants_of(law: Law, units: Mapping[str, Unit], source: str = SOURCE) -> Constants:
    """The constants of a law that was fitted, each with its interval."""
    found: Constants = {}
    for name, one in law.constants.items():
        assert one.low is not None
        assert one.high is not None
        ends = {"value": one.value, "low": one.low, "high": one.high}
        found[name] = {end: figure_of(value, units.get(name, PLAIN), source) for end, value in ends.items()}
    return found


def exponents_of(law: Law) -> Constants:
    """The exponents of the optimum: of parameters as fitted, of tokens what that leaves of 1."""
    one = law.exponent
    assert one is not None
    params = {"value": one.value, "low": one.low, "high": one.high}
    tokens = {"value": kept(1 - one.value), "low": kept(1 - one.high), "high": kept(1 - one.low)}
    return {
        name: {end: figure_of(value, POWER) for end, value in ends.items()}
        for name, ends in (("a", params), ("b", tokens))
    }


def constants_table(title: str, constants: Constants, meanings: Mapping[str, str]) -> Table:
    """Constants with their intervals and what they mean."""
    rows: list[Record] = [{"constant": name, **ends, "meaning": meanings[name]} for name, ends in constants.items()]
    return view(title, _CONSTANTS, rows)


def figure_of(value: float, unit: Unit, source: str = SOURCE) -> Figure:
    """A figure of the fit, as the published form has it."""
    return Figure(value, unit, "convention", source)


class Optimum(NamedTuple):
    point: Point
    law: Law
    params: tuple[float, float]
    tokens: tuple[float, float]
    beyond: bool

    @property
    def record(self) -> Record:
        """The run, the intervals of its parameters and its tokens, and whether it lies beyond the runs."""
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
            "extrapolated": range_mark(beyond=self.beyond),
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


Distances = dict[str, Figure]
"""How far a law is from runs."""


def held_data(held: Held | None) -> Distances:
    """How far a form is from runs of sizes that it was not fitted to; nothing where none were held out."""
    if held is None:
        return {}
    return {
        "held_out_rms": figure_of(held.rms, SHARE),
        "held_out_largest": figure_of(expm1(held.worst), SHARE),
        "held_out_sizes": Figure(held.sizes, COUNT),
    }


def root_mean_square(residuals: Sequence[float]) -> Figure:
    """The typical size of residuals."""
    return figure_of(sqrt(fmean(one * one for one in residuals)), SHARE)


def residuals_of(residuals: Sequence[float], runs: Sequence[Run]) -> Distances:
    """How far a law is from the runs: as a root mean square, and for the run that it misses most."""
    worst = max(range(len(residuals)), key=lambda index: abs(residuals[index]))
    return {
        "rms": root_mean_square(residuals),
        "largest": figure_of(expm1(residuals[worst]), SHARE),
        "largest_line": Figure(runs[worst].line, COUNT),
    }


_DISTANCES: Final = {
    "rms": "typical (root mean square)",
    "largest": "largest",
    "largest_line": "line of the largest",
    "held_out_rms": "held-out sizes (root mean square)",
    "held_out_largest": "held-out sizes, largest",
    "held_out_sizes": "sizes held out, one at a time",
}


def distances_table(found: Distances) -> Table:
    """How well the law fits the runs that it was fitted to, and those that were held out."""
    columns = (Column("predicted and measured loss", "residual", numeric=False), Column("difference", "value"))
    rows: list[Record] = [{"residual": _DISTANCES[name], "value": figure} for name, figure in found.items()]
    return view("", columns, rows, aside=True)


def objective(answer: Fitting | FormFitting, source: str = SOURCE) -> Figure:
    """What the fit made as small as it could."""
    return figure_of(kept(answer.fit.objective), PLAIN, source)


def fit_data(
    answer: Fitting | FormFitting,
    form: str,
    constants: Constants,
    distances: tuple[Distances, Distances],
    optima: Sequence[Record],
    written: Path | None,
    exponents: Constants | None = None,
) -> dict[str, Data]:
    """The answer for JSON; `distances`: from the runs, and from those that were held out; exponents of a law that has them."""
    off, held = distances
    lost: dict[str, Data] = {} if isinstance(answer, FormFitting) else {"bootstraps_lost": answer.fit.lost}
    return {
        "form": form,
        "file": answer.read.name,
        "runs": len(answer.runs),
        "columns": list(answer.read.columns),
        "columns_left_out": list(answer.read.unread),
        "constants": constants,
        **({} if exponents is None else {"exponents": exponents}),
        "level": LEVEL,
        "bootstraps": answer.bootstraps,
        **lost,
        "seed": answer.seed,
        "huber_delta": figure_of(DELTA, PLAIN),
        "objective": objective(answer),
        "residuals": off,
        "held_out": held or None,
        "optima": optima,
        "law": {"name": answer.law.name, **law_data(answer.law)},
        "law_file": None if written is None else str(written),
    }
