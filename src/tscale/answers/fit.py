"""`tscale fit`: the scaling law of one's own runs, how sure it is, and what it says to train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import expm1, log, sqrt
from pathlib import Path
from shlex import quote
from statistics import fmean
from typing import Final, NamedTuple

from tscale.answers.laws import LEVEL, Bound, extrapolated, law_data, loss_figure, per_param, percentiles, predicted
from tscale.calibration.forms import Held
from tscale.calibration.parametric import DELTA, LEAST_E, Fit, fit
from tscale.calibration.runs import Run, Runs
from tscale.catalogue.laws import Constant, Counts, Exponent, Fitted, Law, Quantiles
from tscale.core.laws import Parametric, Point
from tscale.core.metric import Cell, Column, Data, Figure, Label, Missing, Report, Step, Table
from tscale.core.units import (
    COUNT,
    EXPONENT,
    FLOPS,
    NATS,
    PREDICTED_PARAMETERS,
    PREDICTED_TOKENS,
    SHARE,
    Unit,
)
from tscale.errors import SpecError, shown

SOURCE: Final = "hoffmann2022 equation 11"
_SAVED: Final = tuple(10 ** (step / 2) for step in range(-6, 13))
"""Times the runs' largest budget, and its optimum's parameters and tokens: where a law file holds intervals."""
_MOST_SAVED: Final = 1e39
"""An end that passes it is no amount that a file can hold; the rows that are kept are extrapolated along straight lines."""
_FEW: Final = 20
_DIGITS: Final = 8
PLAIN: Final = Unit("", "", "full")
BEYOND: Final = (1, 10, 100, 1000)
_ALIKE: Final = 0.95
_CHANCE: Final = 13
"""Nats a token of a guess among 440,000 tokens: a model that learned anything is below."""

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
_INTERVALS = (
    Column("intervals at FLOPs", "flops"),
    Column("params low", "params_low"),
    Column("params high", "params_high"),
    Column("tokens low", "tokens_low"),
    Column("tokens high", "tokens_high"),
)
_MEANINGS: Final = {
    "E": "irreducible loss",
    "A": "coefficient of the term A/N^alpha",
    "B": "coefficient of the term B/D^beta",
    "alpha": "exponent of parameters",
    "beta": "exponent of tokens",
    "a": "optimal parameters, N ~ C^a",
    "b": "optimal tokens, D ~ C^b",
}


class Fitting(NamedTuple):
    """Runs, what was fitted to them, and the law as a file holds it."""

    read: Runs
    fit: Fit
    law: Law
    bootstraps: int
    seed: int
    held: Held | None = None
    """How well the form foretells sizes that were held out, if that was asked."""

    @property
    def formula(self) -> Parametric:
        """The law as it is written: with as many digits as the file has."""
        return Parametric(*(float(self.law.constants[name].value) for name in Parametric._fields))

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.read.runs

    @property
    def draws(self) -> list[Parametric]:
        """The bootstrap samples, with as many digits."""
        return [Parametric(*map(_kept, draw)) for draw in self.fit.draws]


def fitted(
    read: Runs, bootstraps: int, seed: int, counts: Counts, name: str, advance: Callable[[], None] = lambda: None
) -> Fitting:
    """The law of runs, fitted. Raises `SpecError` where none can be told from them."""
    try:
        found = fit(read.runs, bootstraps, seed, advance)
    except SpecError as error:
        raise SpecError(str(error), where=read.name) from None
    if len(found.draws) < bootstraps / 2:
        raise SpecError(
            f"these runs do not determine the law: in {found.lost:,} of {bootstraps:,} bootstrap samples the constants "
            "diverge: add runs, or runs over a wider range",
            where=read.name,
        )
    return Fitting(read, found, _law(read, found, counts, name), bootstraps, seed)


def fit_report(answer: Fitting, written: Path | None = None) -> Report:
    """The constants with their intervals, the exponents, the optimum at and past the runs' budgets, and how well it fits."""
    rows = list(_constant_rows(answer))
    optima = [_optimum(answer, times) for times in BEYOND]
    title = f"L(N, D) = E + A/N^alpha + B/D^beta, fitted to the {len(answer.runs):,} runs of {answer.read.name}"
    tables = (
        Table(title, CONSTANTS, tuple((name, *figures, _MEANINGS[name]) for name, *figures in rows)),
        Table("", OPTIMA, tuple(_cells(one, OPTIMA) for one in optima), aside=True),
        Table("", _INTERVALS, tuple(_cells(one, _INTERVALS) for one in optima), aside=True),
        _quality(answer),
    )
    triples: dict[str, Data] = {name: {"value": value, "low": low, "high": high} for name, value, low, high in rows}
    data: dict[str, Data] = {
        "form": "chinchilla",
        "file": answer.read.name,
        "runs": len(answer.runs),
        "columns": list(answer.read.columns),
        "columns_left_out": list(answer.read.unread),
        "constants": {name: triples[name] for name in Parametric._fields},
        "exponents": {name: triples[name] for name in ("a", "b")},
        "level": LEVEL,
        "bootstraps": answer.bootstraps,
        "bootstraps_lost": answer.fit.lost,
        "seed": answer.seed,
        "huber_delta": _figure(DELTA, PLAIN),
        "objective": _objective(answer),
        "residuals": {name: cell for name, _, cell in _residuals(answer)},
        "held_out": {name: cell for name, _, cell in held_rows(answer.held)} or None,
        "optima": [dict[str, Data](one.figures) | {"extrapolated": one.beyond} for one in optima],
        "law": {"name": answer.law.name, **law_data(answer.law)},
        "law_file": None if written is None else str(written),
    }
    return Report(
        "A fitted scaling law", tables, data, tuple(_notes(answer, written)), tuple(_steps(answer, optima[0]))
    )


# ---------------------------------------------------------------------------------------------------------------------
# The law as a file holds it
# ---------------------------------------------------------------------------------------------------------------------


def _law(read: Runs, found: Fit, counts: Counts, name: str) -> Law:
    """The law with the intervals of its constants, the range of the runs, and the samples."""
    source = f"{len(read.runs)} runs of {read.name}"
    draws = [Parametric(*map(_kept, draw)) for draw in found.draws]
    value = Parametric(*map(_kept, found.law))

    def constant(key: str) -> Constant:
        low, high = percentiles([getattr(draw, key) for draw in draws])
        return Constant(value=getattr(value, key), low=_kept(low), high=_kept(high), source=source, evidence="derived")

    low, high = percentiles([draw.exponent for draw in draws])
    return Law(
        name=name,
        kind="parametric",
        source=source,
        counts=counts,
        flops="6ND",
        fitted=Fitted(
            params=_range([run.params for run in read.runs]),
            tokens=_range([run.tokens for run in read.runs]),
            flops=_range([run.flops for run in read.runs]),
            source=source,
            evidence="derived",
        ),
        constants={key: constant(key) for key in Parametric._fields},
        exponent=Exponent(
            value=round(value.exponent, 4),
            low=round(low, 4),
            high=round(high, 4),
            level=LEVEL,
            source=source,
            evidence="derived",
        ),
        quantiles=_quantiles(value, draws, max(run.flops for run in read.runs)),
    )


def _quantiles(law: Parametric, draws: Sequence[Parametric], flops: float) -> Quantiles | None:
    """The intervals of the optima of samples, about the largest budget of the runs; none where the samples say nothing."""
    optimum = law.at_flops(flops)

    def rows(about: float, ends: Callable[[Parametric, float], float]) -> tuple[tuple[float, float, float], ...]:
        """For each amount the percentiles of what the samples say of it."""
        found = []
        for amount in (times * about for times in _SAVED):
            low, high = percentiles([ends(draw, amount) for draw in draws])
            if low > 1 / _MOST_SAVED and high < _MOST_SAVED:
                found.append((amount, low, high))
        return tuple(found)

    by_flops = rows(flops, lambda draw, amount: draw.at_flops(amount).params)
    by_params = rows(optimum.params, lambda draw, amount: draw.at_params(amount).tokens)
    by_tokens = rows(optimum.tokens, lambda draw, amount: draw.at_tokens(amount).params)
    if min(len(by_flops), len(by_params), len(by_tokens)) < 2:
        return None
    return Quantiles(level=LEVEL, flops=by_flops, params=by_params, tokens=by_tokens)


def _kept(value: float) -> float:
    """A number with the digits that are kept: more than any fit determines."""
    return float(f"{value:.{_DIGITS}g}")


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


# ---------------------------------------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------------------------------------


def _constant_rows(answer: Fitting) -> Iterator[tuple[str, Figure, Figure, Figure]]:
    """Each constant and each exponent of the optimum with its interval."""
    law = answer.law
    for name, one in law.constants.items():
        assert one.low is not None
        assert one.high is not None
        unit = {"E": NATS, "alpha": EXPONENT._replace(reading="full"), "beta": EXPONENT._replace(reading="full")}
        value, low, high = (_figure(end, unit.get(name, PLAIN)) for end in (one.value, one.low, one.high))
        yield name, value, low, high
    exponent = law.exponent
    assert exponent is not None
    unit_of_power = EXPONENT._replace(reading="full")
    ends = (exponent.value, exponent.low, exponent.high)
    value, low, high = (_figure(end, unit_of_power) for end in ends)
    yield "a", value, low, high
    value, high, low = (_figure(_kept(1 - end), unit_of_power) for end in ends)
    yield "b", value, low, high


def _figure(value: float, unit: Unit) -> Figure:
    return Figure(value, unit, "convention", SOURCE)


class _Optimum(NamedTuple):
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


def _optimum(answer: Fitting, times: int) -> _Optimum:
    """The best run with so many times the largest budget of the runs."""
    flops = times * max(run.flops for run in answer.runs)
    formula = answer.formula
    points = [draw.at_flops(flops) for draw in answer.draws]
    point = formula.at_flops(flops)
    return _Optimum(
        point,
        answer.law,
        percentiles([one.params for one in points]),
        percentiles([one.tokens for one in points]),
        extrapolated(Bound(answer.law, formula), point),
    )


def _cells(one: _Optimum, columns: Sequence[Column]) -> tuple[Cell, ...]:
    cells: dict[str, Cell] = {**one.figures, "extrapolated": _RANGE[one.beyond]}
    return tuple(cells[column.key] for column in columns)


_RANGE: Final = {True: Label("extrapolated", value=True), False: Label("inside", value=False)}


def held_rows(held: Held | None) -> Iterator[tuple[str, str, Figure]]:
    """How far a form is from runs of sizes that it was not fitted to."""
    if held is not None:
        yield "held_out_rms", "held-out sizes (root mean square)", _figure(held.rms, SHARE)
        yield "held_out_largest", "held-out sizes, largest", _figure(expm1(held.worst), SHARE)
        yield "held_out_sizes", "sizes held out, one at a time", Figure(held.sizes, COUNT)


def _residuals(answer: Fitting) -> Iterator[tuple[str, str, Figure]]:
    """How far the law is from the runs: as a root mean square, and for the run that it misses most."""
    residuals = answer.fit.residuals
    worst = max(range(len(residuals)), key=lambda index: abs(residuals[index]))
    yield "rms", "typical (root mean square)", _figure(sqrt(fmean(one * one for one in residuals)), SHARE)
    yield "largest", "largest", _figure(expm1(residuals[worst]), SHARE)
    yield "largest_line", "line of the largest", Figure(answer.runs[worst].line, COUNT)


def _quality(answer: Fitting) -> Table:
    columns = (Column("predicted and measured loss", "residual", numeric=False), Column("difference", "value"))
    rows = (*_residuals(answer), *held_rows(answer.held))
    return Table("", columns, tuple((label, cell) for _, label, cell in rows), aside=True)


def _objective(answer: Fitting) -> Figure:
    return _figure(_kept(answer.fit.objective), PLAIN)


# ---------------------------------------------------------------------------------------------------------------------
# What is said beside them
# ---------------------------------------------------------------------------------------------------------------------


def _notes(answer: Fitting, written: Path | None) -> Iterator[str]:
    read, found, law = answer.read, answer.fit, answer.law
    counted = "all parameters" if law.counts == "all" else "parameters without embeddings"
    yield f"N is {counted}, as --counts says; D is tokens, C is 6·N·D; losses are in nats per token."
    yield f"Low and high are the {LEVEL}, of which there are {answer.bootstraps:,}, with seed {answer.seed}."
    left_out = f"; left out: {', '.join(shown(name, 30) for name in read.unread[:12])}" if read.unread else ""
    third = "params" if "params" not in read.columns else "tokens"
    made = f"; {third} from C = 6·N·D" if "flops" in read.columns else ""
    yield f"Read from {read.name}: {columns_text(read)}{made}{left_out}."
    yield from _warnings(answer)
    if found.lost:
        yield (
            f"In {found.lost:,} of the samples the constants diverged: the intervals are of the other {len(found.draws):,}, and "
            "are therefore too narrow."
        )
    if written is not None:
        yield f"{written} is written, with the intervals of its optima: `tscale optimal --flops 1e22 --law {quote(str(written))}` reads it."


def columns_text(read: Runs) -> str:
    """The columns that were read, each with its heading where that is another word."""
    pairs = zip(read.columns, read.heads or read.columns, strict=True)
    return ", ".join(key if head.lower() == key else f"{key} ({shown(head, 30)[1:-1]})" for key, head in pairs)


def _warnings(answer: Fitting) -> Iterator[str]:
    """What makes a fit less sure than its intervals say."""
    runs, found = answer.runs, answer.fit
    if len(runs) < _FEW:
        yield f"{len(runs)} runs are few for 5 constants: read the intervals before the values."
    if found.correlation > _ALIKE:
        yield "Tokens rise with parameters in nearly the same way in all runs: the two effects can hardly be separated."
    share = answer.formula.E / min(run.loss for run in runs)
    if share < 2 * LEAST_E:
        yield "E falls to 0: these runs do not show an irreducible loss."
    if max(run.loss for run in runs) > _CHANCE:
        yield f"A loss above {_CHANCE} nats per token is worse than chance: are these perplexities, or bits of a whole text?"


def _steps(answer: Fitting, optimum: _Optimum) -> Iterator[Step]:
    """The objective and its least, the exponents, and the optimum at the runs' largest budget."""
    f = answer.formula
    constants = f"ln A {_log(f.A)}, ln B {_log(f.B)}, ln E {_log(f.E)}, alpha {f.alpha:.5g}, beta {f.beta:.5g}"
    yield Step(
        "objective",
        f"Σ Huber(LSE(ln A − alpha·ln N, ln B − beta·ln D, ln E) − ln L), delta {DELTA:g}, the least of L-BFGS from 25 of "
        "4,500 starts, the best for each pair of exponents",
        f"{constants}, to which {answer.fit.agreed} of the 25 came, over {len(answer.runs):,} runs",
        _objective(answer),
    )
    source = "hoffmann2022 equation 4"
    a, b = (Figure(round(value, 4), EXPONENT, "convention", source) for value in (f.exponent, 1 - f.exponent))
    total = f"({f.alpha:.5g} + {f.beta:.5g})"
    yield Step("a", "beta/(alpha + beta)", f"{f.beta:.5g}/{total}", a)
    yield Step("b", "alpha/(alpha + beta)", f"{f.alpha:.5g}/{total}", b)
    g = (f.alpha * f.A / (f.beta * f.B)) ** (1 / (f.alpha + f.beta))
    flops = f"{optimum.point.flops:.4g}/6"
    params, tokens = round(optimum.point.params), round(optimum.point.tokens)
    yield Step(
        "G",
        "(alpha·A/(beta·B))^(1/(alpha + beta))",
        f"({f.alpha:.5g}·{f.A:.5g}/({f.beta:.5g}·{f.B:.5g}))^(1/{total})",
        Figure(_kept(g), PLAIN, "convention", source),
    )
    yield Step(
        "params",
        "G·(C/6)^a",
        f"{g:.5g}·({flops})^{f.exponent:.5g}",
        Figure(params, PREDICTED_PARAMETERS, "convention", source),
    )
    yield Step(
        "tokens",
        "(C/6)^b/G",
        f"({flops})^{1 - f.exponent:.5g}/{g:.5g}",
        Figure(tokens, PREDICTED_TOKENS, "convention", source),
    )


def _log(value: float) -> str:
    return f"{log(value):.5g}"
