"""A scaling law that is fitted to runs, with its intervals, as a law to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final, NamedTuple

from tscale.calibration.forms import Held
from tscale.calibration.parametric import Fit, fit
from tscale.calibration.runs import Run, Runs
from tscale.catalogue.laws import Constant, Counts, Exponent, Fitted, Law, Quantiles
from tscale.core.laws import Parametric
from tscale.errors import SpecError
from tscale.estimates.laws import LEVEL, percentiles

SOURCE: Final = "hoffmann2022 equation 11"
_SAVED: Final = tuple(10 ** (step / 2) for step in range(-6, 13))
"""Times the runs' largest budget, and its optimum's parameters and tokens: where a law file holds intervals."""
_MOST_SAVED: Final = 1e39
"""An end that passes it is no amount that a file can hold; the rows that are kept are extrapolated along straight lines."""
_DIGITS: Final = 8


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
        return [Parametric(*map(kept, draw)) for draw in self.fit.draws]


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


def _law(read: Runs, found: Fit, counts: Counts, name: str) -> Law:
    """The law with the intervals of its constants, the range of the runs, and the samples."""
    source = f"{len(read.runs)} runs of {read.name}"
    draws = [Parametric(*map(kept, draw)) for draw in found.draws]
    value = Parametric(*map(kept, found.law))

    def constant(key: str) -> Constant:
        low, high = percentiles([getattr(draw, key) for draw in draws])
        return Constant(value=getattr(value, key), low=kept(low), high=kept(high), source=source, evidence="derived")

    low, high = percentiles([draw.exponent for draw in draws])
    return Law(
        name=name,
        kind="parametric",
        source=source,
        counts=counts,
        flops="6ND",
        fitted=range_of(read),
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
            low, high = percentiles([_end(ends, draw, amount) for draw in draws])
            if low > 1 / _MOST_SAVED and high < _MOST_SAVED:
                found.append((amount, low, high))
        return tuple(found)

    by_flops = rows(flops, lambda draw, amount: draw.at_flops(amount).params)
    by_params = rows(optimum.params, lambda draw, amount: draw.at_params(amount).tokens)
    by_tokens = rows(optimum.tokens, lambda draw, amount: draw.at_tokens(amount).params)
    if min(len(by_flops), len(by_params), len(by_tokens)) < 2:
        return None
    return Quantiles(level=LEVEL, flops=by_flops, params=by_params, tokens=by_tokens)


def _end(ends: Callable[[Parametric, float], float], draw: Parametric, amount: float) -> float:
    """What a sample says of an amount; infinite or 0 where that is more or less than any number that can be written."""
    try:
        return ends(draw, amount)
    except OverflowError:
        return inf
    except ZeroDivisionError:
        return 0.0


def kept(value: float) -> float:
    """A number with the digits that are kept: more than any fit determines."""
    return float(f"{value:.{_DIGITS}g}")


def range_of(read: Runs, *, experts: bool = False) -> Fitted:
    """What a law of runs was fitted on: the least and the most of each size."""

    def span(name: str) -> tuple[float, float]:
        sizes = [getattr(run, name) for run in read.runs]
        return min(sizes), max(sizes)

    return Fitted(
        params=span("params"),
        tokens=span("tokens"),
        flops=span("flops"),
        expansion=span("experts") if experts else None,
        source=f"{len(read.runs)} runs of {read.name}",
        evidence="derived",
    )
