"""Forms of scaling laws beyond that of Hoffmann 2022, fitted to runs, and how well each foretells runs that it was not fitted to.

All minimise the sum of Huber losses of ln L with delta 1e-3, as `parametric` does, here by least squares with that loss from a few
starts, whose errors alone are counted. A form is a function of numbers that are sought, chosen so that each is about 1 and none
stands for another: losses at the mean size in place of a law's own constants, which follow from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import exp, log
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from tscale.calibration.parametric import DELTA, fit_without
from tscale.calibration.runs import Run
from tscale.errors import SpecError, field

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Name = Literal["chinchilla", "kaplan", "farseer", "moe-joint"]
_SAME_SIZE: Final = log(1.01)
_STEPS: Final = 200
_STEPS_HELD: Final = 60
"""Of all runs but those of one size."""
_STEPS_OF_SAMPLES: Final = 30
"""Of a sample, whose minimum is near that of all runs."""


class Logs(NamedTuple):
    """Runs as a form takes them: ln N, ln D, ln E and ln L, and the means of the first two."""

    n: Array
    d: Array
    experts: Array
    loss: Array
    mean_n: float
    mean_d: float

    def where(self, chosen: Places) -> Logs:
        """Some of the runs, by place, about the same means."""
        return self._replace(n=self.n[chosen], d=self.d[chosen], experts=self.experts[chosen], loss=self.loss[chosen])


class Form(NamedTuple):
    """A form of law: the constants it has, what it predicts, where its fit begins, and between which ends it is sought."""

    name: Name
    formula: str
    source: str
    kind: Literal["kaplan-joint", "farseer", "joint-experts"]
    """Of the law in a file."""
    constants: dict[str, str]
    """What each constant of the law means."""
    predict: Callable[[Array, Logs], Array]
    """ln L of each run, of what is sought."""
    values: Callable[[Array, Logs], dict[str, float]]
    """The constants, of what is sought."""
    starts: Callable[[Logs], list[Array]]
    low: Array
    high: Array
    sizes: int
    """Numbers of parameters that the runs must have at the least."""

    @property
    def least(self) -> int:
        """Runs that it takes: one more than there are constants."""
        return len(self.low) + 1


class Fitted(NamedTuple):
    """A form that was fitted: its constants, those of each bootstrap sample, and how far it is from each run, in ln L."""

    form: Form
    values: dict[str, float]
    draws: tuple[dict[str, float], ...]
    objective: float
    residuals: tuple[float, ...]
    at_end: tuple[str, ...]
    """Constants that the fit has pushed to an end of what is sought."""


class Held(NamedTuple):
    """How well a form foretells the runs of a size that it was not fitted to."""

    rms: float
    """The root mean square of ln predicted/measured, over all runs, each foretold without the runs of its size."""
    worst: float
    """ln predicted/measured of the run that it misses most."""
    sizes: int


def logs(runs: Sequence[Run]) -> Logs:
    """Runs as a form takes them."""
    n, d, experts, loss = (
        np.log([getattr(run, name) for run in runs]) for name in ("params", "tokens", "experts", "loss")
    )
    return Logs(n, d, experts, loss, float(n.mean()), float(d.mean()))


# ---------------------------------------------------------------------------------------------------------------------
# The forms
# ---------------------------------------------------------------------------------------------------------------------


def _kaplan(x: Array, data: Logs) -> Array:
    """Of alpha_N, the loss of the mean size on endless data as a logarithm, alpha_D, and that of endless size on the mean data."""
    alpha_n, by_n, alpha_d, by_d = x
    u = (by_n - alpha_n * (data.n - data.mean_n)) / alpha_d
    v = (by_d - alpha_d * (data.d - data.mean_d)) / alpha_d
    return np.asarray(alpha_d * np.logaddexp(u, v))


def _kaplan_values(x: Array, data: Logs) -> dict[str, float]:
    alpha_n, by_n, alpha_d, by_d = x.tolist()
    return {
        "alpha_N": alpha_n,
        "N_c": exp(by_n / alpha_n + data.mean_n),
        "alpha_D": alpha_d,
        "D_c": exp(by_d / alpha_d + data.mean_d),
    }


def _kaplan_starts(data: Logs) -> list[Array]:
    middle = float(data.loss.mean())
    return [
        np.array([alpha_n, middle - off, alpha_d, middle - off])
        for alpha_n in (0.05, 0.2)
        for alpha_d in (0.05, 0.2)
        for off in (0.02, 0.2)
    ]


def _farseer(x: Array, data: Logs) -> Array:
    """Of a3, g, b3, a2, bt, b2, a1, al and b1, each a that of N over its mean."""
    a3, g, b3, a2, bt, b2, a1, al, b1 = x
    z = data.n - data.mean_n
    floor = a3 * np.exp(g * z) + b3
    slope = np.exp(a1 * np.exp(al * z) + b1)
    return np.asarray(np.logaddexp(floor, a2 * np.exp(bt * z) + b2 - slope * data.d))


def _farseer_values(x: Array, data: Logs) -> dict[str, float]:
    a3, g, b3, a2, bt, b2, a1, al, b1 = x.tolist()
    return {
        "a3": a3 * exp(-g * data.mean_n), "g": g, "b3": b3,
        "a2": a2 * exp(-bt * data.mean_n), "bt": bt, "b2": b2,
        "a1": a1 * exp(-al * data.mean_n), "al": al, "b1": b1,
    }  # fmt: skip


def _farseer_starts(data: Logs) -> list[Array]:
    """About laws of Hoffmann's form: a floor that falls with N, and a power of D that does not know of it."""
    middle = float(data.loss.mean())
    return [
        np.array([-0.1, g, middle - floor, 0.0, -0.1, log(gain) + beta * data.mean_d, 0.0, 0.1, log(beta)])
        for g in (0.1, -0.2)
        for floor, gain in ((0.1, 0.2), (0.3, 0.6))
        for beta in (0.2, 0.4)
    ]


def _joint(x: Array, data: Logs) -> Array:
    """Of ln c, the terms of the mean size and the mean data as logarithms, the exponents, and where experts begin and cease to count."""
    c, u, delta, alpha, gamma, v, omega, beta, zeta, start, most = x
    e = _saturated(data.experts, start, most)
    by_n = u + delta * e + (alpha + gamma * e) * (data.n - data.mean_n)
    by_d = v + omega * e + (beta + zeta * e) * (data.d - data.mean_d)
    return np.asarray(np.logaddexp(np.logaddexp(by_n, by_d), c))


def _saturated(experts: Array, start: float, most: float) -> Array:
    """Ln of the number of experts with which the law is a power, of logarithms: `start` and `most` too."""
    first, last = exp(start), exp(start) + exp(most)
    counted = np.exp(experts) - 1 + 1 / (1 / first - 1 / last)
    return np.asarray(-np.log(1 / counted + 1 / last))


def _joint_values(x: Array, data: Logs) -> dict[str, float]:
    """The constants: the centred logarithms of N and D carry their means into the terms, and into what E does to them."""
    c, u, delta, alpha, gamma, v, omega, beta, zeta, start, most = x.tolist()
    return {
        "a": exp(u - alpha * data.mean_n), "alpha": alpha, "delta": delta - gamma * data.mean_n, "gamma": gamma,
        "b": exp(v - beta * data.mean_d), "beta": beta, "omega": omega - zeta * data.mean_d, "zeta": zeta,
        "E_start": exp(start), "E_max": exp(start) + exp(most), "c": exp(c),
    }  # fmt: skip


def _joint_starts(data: Logs) -> list[Array]:
    middle = float(data.loss.mean())
    return [
        np.array([middle - 0.5, middle - 1.2, -0.1, -alpha, 0.0, middle - 1.2, 0.0, -beta, 0.0, log(2), log(most)])
        for alpha in (0.2, 0.35)
        for beta in (0.2, 0.35)
        for most in (30, 300)
    ]


_WIDE: Final = 1e3
FORMS: Final[dict[Name, Form]] = {
    "kaplan": Form(
        "kaplan",
        "L(N, D) = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D",
        "kaplan2020 equation 1.5",
        "kaplan-joint",
        {
            "alpha_N": "exponent of parameters",
            "N_c": "parameters whose loss on endless data is 1",
            "alpha_D": "exponent of tokens",
            "D_c": "tokens on which the loss of an endless model is 1",
        },
        _kaplan,
        _kaplan_values,
        _kaplan_starts,
        np.array([1e-3, -_WIDE, 1e-3, -_WIDE]),
        np.array([3, _WIDE, 3, _WIDE]),
        3,
    ),
    "farseer": Form(
        "farseer",
        "L(N, D) = exp(a3·N^g + b3) + exp(a2·N^bt + b2)·D^(−exp(a1·N^al + b1))",
        "li2025b equation 3",
        "farseer",
        {
            "a3": "floor: factor of N^g",
            "g": "floor: exponent of parameters",
            "b3": "floor: constant",
            "a2": "term of tokens: factor of N^bt",
            "bt": "term of tokens: exponent of parameters",
            "b2": "term of tokens: constant",
            "a1": "exponent of tokens: factor of N^al",
            "al": "exponent of tokens: exponent of parameters",
            "b1": "exponent of tokens: constant",
        },
        _farseer,
        _farseer_values,
        _farseer_starts,
        np.array([-30, -1, -30, -30, -1, -_WIDE, -10, -1, -10]),
        np.array([30, 1, 30, 30, 1, _WIDE, 10, 1, 3]),
        5,
    ),
    "moe-joint": Form(
        "moe-joint",
        "L(N, D, E) = a·Ê^delta·N^(alpha + gamma·ln Ê) + b·Ê^omega·D^(beta + zeta·ln Ê) + c",
        "ludziejewski2025 equation 6",
        "joint-experts",
        {
            "a": "coefficient of the term of parameters",
            "alpha": "exponent of parameters",
            "delta": "what experts do to that term",
            "gamma": "what experts do to its exponent",
            "b": "coefficient of the term of tokens",
            "beta": "exponent of tokens",
            "omega": "what experts do to that term",
            "zeta": "what experts do to its exponent",
            "E_start": "experts that count as none",
            "E_max": "experts beyond which none count",
            "c": "irreducible loss",
        },
        _joint,
        _joint_values,
        _joint_starts,
        np.array([-12, -12, -5, -3, -1, -12, -5, -3, -1, 0.01, 0.0]),
        np.array([5, 5, 5, -0.01, 1, 5, 5, -0.01, 1, 4, 9]),
        3,
    ),
}
"""All but Hoffmann's, which has a fitter of its own."""

# ---------------------------------------------------------------------------------------------------------------------
# The fit
# ---------------------------------------------------------------------------------------------------------------------


def fit_form(
    runs: Sequence[Run], form: Form, bootstraps: int, seed: int, advance: Callable[[], None] = lambda: None
) -> Fitted:
    """A form fitted to runs, and to as many samples of them, drawn with replacement, each from where the first came to.

    Raises `SpecError` where the runs are too few, or too much alike.
    """
    _refuse_few(runs, form)
    data = logs(runs)
    cost, x = _best(form, data)
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(bootstraps):
        sample = data.where(generator.integers(0, len(runs), len(runs)))
        draws.append(form.values(_from(form, sample, x, _STEPS_OF_SAMPLES)[1], data))
        advance()
    residuals = form.predict(x, data) - data.loss
    return Fitted(form, form.values(x, data), tuple(draws), cost, tuple(residuals.tolist()), tuple(_ends(form, x)))


def _refuse_few(runs: Sequence[Run], form: Form) -> None:
    """Raises `SpecError` for runs from which the constants of a form cannot be told."""
    if len(runs) < form.least:
        raise SpecError(
            f"{len(runs)} run{'s' * (len(runs) > 1)} for the {form.least - 1} constants of the form {form.name}: at least "
            f"{form.least}, better three times as many"
        )
    for what, name, least in (("parameters", "params", form.sizes), ("tokens", "tokens", 3)):
        found = len(_groups([getattr(run, name) for run in runs]))
        if found < least:
            raise SpecError(
                f"the runs have only {found} numbers of {what}, and the form {form.name} cannot be told from fewer than {least}"
            )
    if form.name == "moe-joint" and len({run.experts for run in runs}) < 2:
        raise SpecError(
            f"every run has as many experts: what more of them bring cannot be told; use {field('form', 'chinchilla')}"
        )


def _best(form: Form, data: Logs) -> tuple[float, Array]:
    """The least sum of Huber losses from all starts, and where it is."""
    found = [_from(form, data, start) for start in form.starts(data)]
    return min(found, key=lambda pair: pair[0])


def _from(form: Form, data: Logs, start: Array, steps: int = _STEPS) -> tuple[float, Array]:
    """The minimum near a start, as the sum of Huber losses, and where it is."""
    margin = 1e-9 * (form.high - form.low)
    begin = np.clip(start, form.low + margin, form.high - margin)

    def residuals(x: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            off = form.predict(x, data) - data.loss
        return off if np.isfinite(off).all() else np.nan_to_num(off, nan=1e3, posinf=1e3, neginf=-1e3)

    answer: Any = least_squares(
        residuals, begin, bounds=(form.low, form.high), loss="huber", f_scale=DELTA, x_scale="jac", max_nfev=steps
    )
    return float(answer.cost), np.asarray(answer.x)


def _ends(form: Form, x: Array) -> Iterator[str]:
    """Constants that lie at an end of what is sought."""
    near = 1e-4 * (form.high - form.low)
    at = (x <= form.low + near) | (x >= form.high - near)
    yield from (name for name, there in zip(form.constants, at, strict=True) if there)


# ---------------------------------------------------------------------------------------------------------------------
# Runs that were held out
# ---------------------------------------------------------------------------------------------------------------------


def held_out(runs: Sequence[Run], name: Name) -> Held:
    """How well a form foretells each size from the runs of the others. Raises `SpecError` where too few are left."""
    groups = _groups([run.params for run in runs])
    foretold = _by_hoffmann(runs, groups) if name == "chinchilla" else _by_form(runs, FORMS[name], groups)
    errors = np.array(list(foretold))
    return Held(float(np.sqrt(np.mean(errors**2))), float(errors[int(np.argmax(np.abs(errors)))]), len(groups))


def _by_hoffmann(runs: Sequence[Run], groups: Sequence[set[int]]) -> Iterator[float]:
    """Ln predicted/measured of the runs of each group by the law of the others."""
    for group, law in zip(groups, fit_without(runs, groups), strict=True):
        for run in (runs[place] for place in sorted(group)):
            yield log(law.loss(run.params, run.tokens) / run.loss)


def _by_form(runs: Sequence[Run], form: Form, groups: Sequence[set[int]]) -> Iterator[float]:
    """The same, from where the three best of all fits to all runs came to: what is left has its minimum near one of them."""
    data = logs(runs)
    starts = [
        x for _, x in sorted((_from(form, data, start) for start in form.starts(data)), key=lambda pair: pair[0])[:3]
    ]
    for group in groups:
        _refuse_few([run for place, run in enumerate(runs) if place not in group], form)
        some = data.where(np.array([place for place in range(len(runs)) if place not in group]))
        _, x = min((_from(form, some, start, _STEPS_HELD) for start in starts), key=lambda pair: pair[0])
        held = data.where(np.array(sorted(group)))
        yield from (form.predict(x, held) - held.loss).tolist()


def _groups(sizes: Sequence[float]) -> list[set[int]]:
    """The places of runs of one size, for each size; sizes within 1% are one."""
    order = sorted(range(len(sizes)), key=lambda place: sizes[place])
    groups: list[set[int]] = []
    last = 0.0
    for place in order:
        if groups and log(sizes[place] / last) <= _SAME_SIZE:
            groups[-1].add(place)
        else:
            groups.append({place})
            last = sizes[place]
    return groups
