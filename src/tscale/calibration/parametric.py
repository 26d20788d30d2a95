"""The fit of L(N, D) = E + A/N^alpha + B/D^beta to runs, as approach 3 of Hoffmann 2022 does it, and its bootstrap.

The least Σ Huber(LSE(a - alpha·ln N, b - beta·ln D, e) - ln L) with delta 1e-3, A = exp(a), B = exp(b), E = exp(e), by
L-BFGS from a grid of starts. Two things keep it quick and exact and change nothing in what is sought. Logarithms are
centred, ln N - mean(ln N), without which a and alpha all but stand for one another. And the sum is taken in units of
delta^2: as it is written it is so small that the minimiser takes it for done too early, which Besiroglu 2024 finds to
have happened to Hoffmann's own fit.

Arrays are float64: `x` is a, b, e, alpha and beta of centred logarithms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import exp, log
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from tscale.calibration.runs import Run
from tscale.core.laws import Parametric
from tscale.errors import SpecError

DELTA: Final = 1e-3
"""Where the Huber loss turns from a square to a line, in ln L. Hoffmann 2022, equation 11."""
EXPONENTS: Final = (0.01, 3.0)
"""The alpha and beta that are sought. A fit at an end of it is no fit."""
LEAST_E: Final = 1e-6
"""The least E that is sought, as a share of the least loss: with less, E is 0 to any loss that was ever measured."""
MOST_FACTOR: Final = 1e38
"""The A and B that are sought, and one over the least: a law file holds no number of more than 40 digits."""
BEYOND: Final = (1, 10, 100, 1000)
"""Times the largest budget of the runs at which an optimum is told."""
PARAMETERS: Final = 5
LEAST_RUNS: Final = PARAMETERS + 1
LEAST_SIZES: Final = 3
_MOST_KNOWN: Final = 200
_ROUNDS: Final = 8
_STEPS: Final = 40
_SETTLED: Final = 1e-9
_SAME_SIZE: Final = log(1.01)
_ONE_LINE: Final = 0.9999

Array = NDArray[np.float64]


class Measured(NamedTuple):
    """Runs as the objective takes them: centred ln N and ln D, ln L, and the means that were taken away."""

    n: Array
    d: Array
    loss: Array
    mean_n: float
    mean_d: float


class Fit(NamedTuple):
    """The law that fits best, those of the bootstrap samples, and how well it fits."""

    law: Parametric
    draws: tuple[Parametric, ...]
    lost: int
    """Bootstrap samples whose constants ran off past what is sought."""
    objective: float
    """The least sum of Huber losses, as it is written."""
    residuals: tuple[float, ...]
    """ln of predicted over measured, of each run."""
    correlation: float
    """Of ln N and ln D over the runs."""
    agreed: int
    """Of the starts, how many came to the same minimum."""


def measured(runs: Sequence[Run]) -> Measured:
    """Runs as the objective takes them. Raises `SpecError` where no five constants can be told from them."""
    if len(runs) < LEAST_RUNS:
        raise SpecError(
            f"{len(runs)} run{'s' * (len(runs) > 1)} for {PARAMETERS} constants, which pass through any {PARAMETERS} runs: "
            f"at least {LEAST_RUNS}, better 20 or more"
        )
    n, d, loss = (np.log([getattr(run, name) for run in runs]) for name in ("params", "tokens", "loss"))
    for what, logs, first in (("parameters", n, runs[0].params), ("tokens", d, runs[0].tokens)):
        sizes = _sizes(logs)
        if sizes < LEAST_SIZES:
            same = f"{first:.4g}".replace("e+0", "e").replace("e+", "e")
            said = f"every run has {same} {what}" if sizes == 1 else f"the runs have only {sizes} numbers of {what}"
            raise SpecError(f"{said}: what more of them bring cannot be told from fewer than {LEAST_SIZES} sizes")
    if np.corrcoef(n, d)[0, 1] > _ONE_LINE:
        raise SpecError(
            "tokens rise with parameters alike in every run: which of the two lowers the loss cannot be told apart; "
            "add runs with more or fewer tokens a parameter"
        )
    return Measured(n - n.mean(), d - d.mean(), loss, float(n.mean()), float(d.mean()))


def fit(runs: Sequence[Run], bootstraps: int, seed: int, advance: Callable[[], None] = lambda: None) -> Fit:
    """The law that fits runs best, and the laws that fit as many samples of them, drawn with replacement.

    `advance` is called after each sample. One seed gives one answer. Raises `SpecError` where no such law fits.
    """
    data = measured(runs)
    ones = np.ones(len(runs))
    minima = _minima(data, ones)
    least, found = minima[0]
    law = constants(found, data)
    for name, value, what in (("alpha", law.alpha, "parameters"), ("beta", law.beta, "tokens")):
        if not EXPONENTS[0] * 1.001 < value < EXPONENTS[1] * 0.999:
            raise SpecError(
                f"no law of this form fits: the best {name} is {value:.3g}, an end of what is sought "
                f"({EXPONENTS[0]:g} to {EXPONENTS[1]:g}), so that more {what} do not lower the loss as a power of them"
            )
    if not _is_law(law):
        raise SpecError(f"no law of this form fits: the best A and B are {law.A:.1g} and {law.B:.1g}")
    most = BEYOND[-1] * max(run.flops for run in runs)
    if not _has_optimum(law, most):
        raise SpecError(f"no law of this form fits: the best one has no optimum at {most:.3g} FLOPs")
    drawn = []
    for draw in _redrawn([x for _, x in minima], data, _samples(data, bootstraps, seed)):
        drawn.append(constants(draw, data))
        advance()
    kept = tuple(draw for draw in drawn if _is_law(draw) and _has_optimum(draw, most))
    return Fit(
        law,
        kept,
        len(drawn) - len(kept),
        least * DELTA**2,
        tuple((_predicted(found, data) - data.loss).tolist()),
        float(np.corrcoef(data.n, data.d)[0, 1]),
        sum(value <= least * (1 + 1e-6) + 1e-6 for value, _ in minima),
    )


def fit_without(runs: Sequence[Run], left_out: Sequence[set[int]]) -> Iterator[Parametric]:
    """For each set of places of runs, the law that fits the others best. Raises `SpecError` where none can be told from them."""
    data = measured(runs)
    minima = [x for _, x in _minima(data, np.ones(len(runs)))]
    losses = [_losses(x, data) for x in minima]
    for group in left_out:
        measured([run for place, run in enumerate(runs) if place not in group])  # that they are enough
        weights = np.array([float(place not in group) for place in range(len(runs))])
        yield constants(_near(minima[int(np.argmin(np.array(losses) @ weights))], data, weights), data)


def _is_law(law: Parametric) -> bool:
    """Whether a sample's constants are what was sought, of sizes that can be written, and not run off."""
    sought = all(EXPONENTS[0] <= value <= EXPONENTS[1] for value in (law.alpha, law.beta))
    return sought and all(1 / MOST_FACTOR <= value <= MOST_FACTOR for value in (law.A, law.B))


def _has_optimum(law: Parametric, flops: float) -> bool:
    """Whether the best run of a budget is of sizes that can be written: with small exponents, it is of any."""
    try:
        best = law.at_flops(flops)
    except (OverflowError, ZeroDivisionError):
        return False
    return all(1 / MOST_FACTOR <= value <= MOST_FACTOR for value in (best.params, best.tokens))


def constants(x: Array, data: Measured) -> Parametric:
    """E, A, B, alpha and beta of a point that is sought."""
    a, b, e, alpha, beta = x.tolist()
    with np.errstate(over="ignore"):
        of_n, of_d = np.exp([a + alpha * data.mean_n, b + beta * data.mean_d]).tolist()
    return Parametric(exp(max(e, _least_e(data))), of_n, of_d, alpha, beta)


def _least_e(data: Measured) -> float:
    return float(data.loss.min()) + log(LEAST_E)


def objective(x: Array, data: Measured, weights: Array) -> tuple[float, Array]:
    """The weighted sum of Huber losses in units of delta^2, and its gradient in a, b, e, alpha and beta.

    Equation 11 of Hoffmann 2022. Each share of the gradient is that of its term in the predicted loss.
    """
    a, b, e, alpha, beta = x
    u, v = a - alpha * data.n, b - beta * data.d
    top = np.maximum(np.maximum(u, v), e)
    of_n, of_d, of_e = np.exp(u - top), np.exp(v - top), np.exp(e - top)
    total = of_n + of_d + of_e
    residual = (top + np.log(total) - data.loss) / DELTA
    clipped = np.minimum(np.maximum(residual, -1), 1)
    value = float(weights @ (clipped * (residual - clipped / 2)))
    slope = weights * clipped / (total * DELTA)
    by_n, by_d = slope * of_n, slope * of_d
    return value, np.array([np.add.reduce(by_n), np.add.reduce(by_d), slope @ of_e, -by_n @ data.n, -by_d @ data.d])


def starts(data: Measured) -> Array:
    """Hoffmann's 4,500 starts: alpha and beta from 0 to 2, e from -1 to 1, a and b from 0 to 25.

    By pairs of exponents: 25 blocks of 180 rows.
    """
    halves, fives = np.arange(0, 2.1, 0.5), np.arange(0, 26, 5)
    axes = np.meshgrid(halves, halves, fives, fives, np.arange(-1, 1.1, 0.5), indexing="ij")
    alpha, beta, a, b, e = (axis.reshape(len(halves) ** 2, -1) for axis in axes)
    return np.stack([a - alpha * data.mean_n, b - beta * data.mean_d, e, alpha, beta], axis=-1)


def _predicted(x: Array, data: Measured) -> Array:
    """The ln L that a point x gives each run; of many points, a row each."""
    a, b, e, alpha, beta = np.moveaxis(x[..., None], -2, 0)
    result: Array = np.logaddexp(np.logaddexp(a - alpha * data.n, b - beta * data.d), e)
    return result


def _minima(data: Measured, weights: Array) -> list[tuple[float, Array]]:
    """The minima from the best start for each pair of exponents, the least first, each with its value."""
    ends: list[tuple[float | None, float | None]] = [
        (None, None),
        (None, None),
        (_least_e(data), None),
        EXPONENTS,
        EXPONENTS,
    ]
    found = []
    for block in starts(data):
        start = block[np.argmin(_losses(block, data) @ weights)]
        found.append(_minimum(lambda x: objective(x, data, weights), start, ends))
    return sorted(found, key=lambda pair: pair[0])


def _redrawn(minima: Sequence[Array], data: Measured, samples: Iterable[Array]) -> Iterator[Array]:
    """The minimum for each sample of the runs, from the best for it of all minima that were found before."""
    known = list(minima)
    losses = [_losses(x, data) for x in known]
    for weights in samples:
        x = _near(known[int(np.argmin(np.array(losses) @ weights))], data, weights)
        yield x
        if len(known) < _MOST_KNOWN:
            known.append(x)
            losses.append(_losses(x, data))


def _losses(x: Array, data: Measured) -> Array:
    """The Huber loss of each run at a point x, in units of delta^2; at many points, a row each."""
    residual = (_predicted(x, data) - data.loss) / DELTA
    clipped = np.clip(residual, -1, 1)
    losses: Array = clipped * (residual - clipped / 2)
    return losses


def _near(x: Array, data: Measured, weights: Array) -> Array:
    """The minimum near x, by L-BFGS in coordinates in which the sum is about as steep in every direction.

    They are chosen anew where it has come to: the valleys are bent.
    """
    value = np.inf
    for _ in range(_ROUNDS):
        scale = _scale(x, data, weights)
        before, (value, z) = value, _minimum(_scaled(x, scale, data, weights), np.zeros(PARAMETERS), steps=_STEPS)
        x = x + scale @ z
        if before - value <= _SETTLED * max(value, 1):
            break
    return x


def _scaled(x: Array, scale: Array, data: Measured, weights: Array) -> Callable[[Array], tuple[float, Array]]:
    """The objective in coordinates z about x, with x + scale·z for a, b, e, alpha and beta."""

    def scaled(z: Array) -> tuple[float, Array]:
        value, slope = objective(x + scale @ z, data, weights)
        return value, scale.T @ slope

    return scaled


def _minimum(
    function: Callable[[Array], tuple[float, Array]],
    start: Array,
    ends: Sequence[tuple[float | None, float | None]] | None = None,
    steps: int = 1000,
) -> tuple[float, Array]:
    """The least value that L-BFGS finds from a start, and where. It stops when a step gains a part in 10^13."""
    options: Any = {"maxiter": steps, "maxfun": 3 * steps, "ftol": 1e-13, "gtol": 1e-6, "maxcor": 20}
    with np.errstate(over="ignore", invalid="ignore"):
        answer: Any = minimize(function, start, method="L-BFGS-B", jac=True, bounds=ends, options=options)
    return float(answer.fun), np.asarray(answer.x)


def _scale(x: Array, data: Measured, weights: Array) -> Array:
    """A square root of the inverse of J'WJ at x, with the weights that the Huber loss gives each run."""
    a, b, e, alpha, beta = x
    predicted = _predicted(x, data)
    of_n, of_d = np.exp(a - alpha * data.n - predicted), np.exp(b - beta * data.d - predicted)
    slopes = np.stack([of_n, of_d, np.exp(e - predicted), -of_n * data.n, -of_d * data.d]) / DELTA
    curvature = slopes * (weights / np.maximum(1, np.abs(predicted - data.loss) / DELTA)) @ slopes.T
    steepness, directions = np.linalg.eigh(curvature)
    scale: Array = directions / np.sqrt(np.maximum(steepness, steepness[-1] * 1e-12))
    return scale


def _samples(data: Measured, count: int, seed: int) -> Iterator[Array]:
    """How often each run stands in each bootstrap sample; samples that tell no five constants are drawn anew."""
    generator = np.random.default_rng(seed)
    runs, kept = len(data.n), 0
    for _ in range(100 * count):
        weights = generator.multinomial(runs, np.full(runs, 1 / runs))
        there = weights > 0
        if there.sum() >= PARAMETERS and min(_sizes(data.n[there]), _sizes(data.d[there])) >= LEAST_SIZES:
            kept += 1
            yield weights.astype(np.float64)
        if kept == count:
            return
    raise SpecError("too few runs of too few sizes: hardly any bootstrap sample of them tells five constants")


def _sizes(logs: Array) -> int:
    """How many numbers there are that differ by over 1%, of logarithms."""
    count, last = 0, -np.inf
    for value in np.unique(logs):
        if value - last > _SAME_SIZE:
            count, last = count + 1, value
    return count
