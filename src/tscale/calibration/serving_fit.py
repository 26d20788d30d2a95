"""Constants of a serving prediction fitted to measured runs: the formula of the core over arrays, and robust least squares.

Two stages, first times per output token and then times to first token, so that the wider errors of the second pull nothing of the
first. Errors are in logarithms, with losses that grow like |error| beyond their scale. What disturbs a first token makes it slower:
a kernel that is compiled at the first request, prompts that wait for others to be batched with, a first burst. So the loss of one
that is slower than predicted is that of a Cauchy distribution, and of one that is faster a square. Runs of a build weigh
min(1, sqrt(15/n)) each, so that builds with many rows do not rule. Needs numpy and scipy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import passes_of, step_of
from tscale.calibration.serving_deployed import deployed_on
from tscale.calibration.serving_groups import group_of, keys_of, terms_of
from tscale.calibration.serving_meanings import LEVELS, MEANINGS, NOISE, SPREADS
from tscale.calibration.serving_physics import chip_of, load_of
from tscale.core.costs.serving_prediction import (
    Chip,
    Load,
    ServingConstants,
    host_seconds,
    launch_seconds,
    pool_seconds,
    prefill_seconds,
    prompt_seconds,
    step_seconds,
    tpot_seconds,
    ttft_seconds,
)
from tscale.core.costs.serving_share import Structure
from tscale.core.costs.serving_work import PassWork

Floats = NDArray[np.float64]
Figure = Literal["tpot", "ttft"]

SCALE: Final = {"tpot": 0.2, "ttft": 0.2}
"""Errors in logarithms beyond which the loss grows more slowly."""
_FULL: Final = 15
"""Runs of a build that weigh one each."""
_TURNS: Final = 3
"""Times that the requests that decode are found anew from seconds: of measured runs, each is right to a tenth of the last."""
_PASSES: Final = 8
"""Times that runs far from their groups are weighed down."""


class Far(NamedTuple):
    """From how many times the noise on, and by which power of the squared distance, a run says less of its groups."""

    at: float
    slower: float
    faster: float


FAR: Final[dict[Figure, Far]] = {"tpot": Far(2.0, 1.0, 0.5), "ttft": Far(1.0, 2.0, 1.0)}
"""A first token that waited for a start-up, such as 7 s at any load, says next to nothing of the next run's."""


@dataclass(frozen=True)
class Runs:
    """Measured runs as arrays, one number a run."""

    cases: tuple[ServingCase, ...]
    decode: PassWork
    prompt: PassWork
    prefill: PassWork
    full: PassWork
    structure: Structure
    chip: Chip
    load: Load
    measured: dict[Figure, Floats]
    weight: Floats
    keys: tuple[dict[str, str], ...]
    terms: Floats


def runs_of(cases: Sequence[ServingCase], tpot: Sequence[float], ttft: Sequence[float]) -> Runs:
    """Runs with what their devices do."""
    passes = [passes_of(case) for case in cases]
    structures = [deployed_on(case, case.decode.layout).structure for case in cases]
    keys = tuple(map(keys_of, cases))
    builds = [key["kind"] for key in keys]
    counts = {build: builds.count(build) for build in set(builds)}
    return Runs(
        tuple(cases),
        _stacked([one.decode for one in passes]),
        _stacked([one.prompt for one in passes]),
        _stacked([one.prefill for one in passes]),
        _stacked([one.full for one in passes]),
        _columns(structures),
        _columns([chip_of(case) for case in cases]),
        _columns([load_of(case) for case in cases]),
        {"tpot": np.array(tpot), "ttft": np.array(ttft)},
        np.array([min(1.0, (_FULL / counts[build]) ** 0.5) for build in builds]),
        keys,
        np.array([terms_of(case) for case in cases]),
    )


def _columns(rows: Sequence[Any]) -> Any:
    """Named tuples of numbers as one of arrays."""
    return type(rows[0])(*(np.array(column, float) for column in zip(*rows, strict=True)))


def _stacked(works: Sequence[PassWork]) -> PassWork:
    fields: Any = zip(*works, strict=True)
    columns: Any = (_columns(field) if hasattr(field[0], "_fields") else np.array(field, float) for field in fields)
    return PassWork(*columns)


class Slot(NamedTuple):
    """Where a constant stands in the parameters: its own place, and those of its groups by name."""

    place: int
    groups: dict[str, int]
    member: NDArray[np.intp]
    """For each run, the place of its group's deviation; the constant's own where there is none."""


class Problem(NamedTuple):
    """The parameters of one figure: where a fit begins, what draws it, and what each stands for."""

    slots: dict[str, Slot]
    start: Floats
    spread: Floats


def problem(runs: Runs, figure: Figure) -> Problem:
    """The parameters that one figure's constants are."""
    slots: dict[str, Slot] = {}
    start: list[float] = []
    spread: list[float] = []
    for name, meaning in MEANINGS.items():
        if meaning.first != (figure == "ttft") or meaning.source:
            continue
        place = len(start)
        start.append(_inside(meaning.start, share=meaning.share))
        spread.append(1.0)
        groups: dict[str, int] = {}
        own = [group_of(case, meaning.group) for case in runs.cases]
        if meaning.group:
            for group in sorted(set(own)):
                groups[group] = len(start)
                start.append(0.0)
                spread.append(meaning.prior)
        slots[name] = Slot(place, groups, np.array([groups.get(group, -1) for group in own]))
    return Problem(slots, np.array(start), np.array(spread))


def _inside(value: float, *, share: bool) -> float:
    return float(np.log(value / (1 - value)) if share else np.log(value))


def _outside(inner: Any, *, share: bool) -> Any:
    return 1 / (1 + np.exp(-inner)) if share else np.exp(inner)


def values(of: Problem, parameters: Floats) -> dict[str, Any]:
    """Each constant, of each run."""
    padded = np.append(parameters, 0.0)
    return {
        name: _outside(
            parameters[slot.place] + (padded[slot.member] if slot.groups else 0.0), share=MEANINGS[name].share
        )
        for name, slot in of.slots.items()
    }


def grouped(of: Problem, parameters: Floats) -> dict[str, tuple[float, dict[str, float]]]:
    """Each constant of all runs, and of its groups."""
    found = {}
    for name, slot in of.slots.items():
        share = MEANINGS[name].share
        by_group = {
            group: float(_outside(parameters[slot.place] + parameters[place], share=share))
            for group, place in slot.groups.items()
        }
        found[name] = (float(_outside(parameters[slot.place], share=share)), by_group)
    return found


def predicted(runs: Runs, figure: Figure, constants: dict[str, Any]) -> Floats:
    """Seconds of a figure by the formula; of times to first token, with the constants of output tokens too."""
    rest = {name: meaning.start for name, meaning in MEANINGS.items()}
    c = ServingConstants(**{**rest, **constants})
    step = step_seconds(runs.decode, runs.structure, runs.chip, runs.load, c)
    host = host_seconds(runs.structure, runs.load, c)
    tpot = np.maximum(tpot_seconds(step, prompt_seconds(runs.prompt, runs.chip, c), runs.structure, runs.load, c), host)
    if figure == "tpot":
        return np.asarray(tpot)
    first = ttft_seconds(runs.prefill, cast("float", np.maximum(step, host)), runs.structure, runs.chip, runs.load, c)
    launches = runs.load.launches * launch_seconds(runs.structure, runs.load, c)
    each = prefill_seconds(runs.full, runs.chip, c) + launches
    return np.asarray(np.maximum(first, pool_seconds(each, tpot, runs.load)))


def decoding_at(runs: Runs, seconds: dict[Figure, Floats]) -> Runs:
    """The runs with as many requests that decode as those seconds leave, where prompts have a pool of their own (Little's law)."""
    apart = np.array([case.disaggregated for case in runs.cases])
    if not apart.any():
        return runs
    answers = runs.load.output * seconds["tpot"]
    shares = answers / (seconds["ttft"] + answers)
    work = [
        step_of(case._replace(decoding=float(share)))
        for case, share in zip(runs.cases, shares, strict=True)
        if case.disaggregated
    ]
    return replace(runs, decode=_where(apart, _stacked(work), runs.decode))


def _where(chosen: NDArray[np.bool_], some: Any, rest: Any) -> Any:
    """Numbers of the chosen runs, and of the rest as they are; named tuples of arrays one by one."""
    if isinstance(rest, tuple):
        fields = (_where(chosen, one, other) for one, other in zip(some, rest, strict=True))
        return type(rest)(*fields)
    found = np.array(rest)
    found[chosen] = some
    return found


class Fitted(NamedTuple):
    """Parameters of both figures, and what the formula makes of all runs with them."""

    parameters: dict[Figure, Floats]
    seconds: dict[Figure, Floats]
    prompts: Floats
    """The share of each time per output token that others' prompts are."""


def fit(runs: Runs, problems: dict[Figure, Problem], kept: NDArray[np.bool_], near: Fitted | None = None) -> Fitted:
    """Constants fitted to the runs that are kept, from those of another fit on, by which requests decode; all do where there is none."""
    runs = runs if near is None else decoding_at(runs, near.seconds)
    found: dict[Figure, Floats] = {}
    first: dict[str, Any] = {}
    figures: tuple[Figure, ...] = ("tpot", "ttft")
    for figure in figures:
        of, fixed = problems[figure], dict(first)
        begin = of.start if near is None else near.parameters[figure]

        def constants(parameters: Floats, of: Problem = of, fixed: dict[str, Any] = fixed) -> dict[str, Any]:
            return {**fixed, **values(of, parameters)}

        found[figure] = _least(runs, figure, of, kept, begin, constants)
        first = constants(found[figure])
    for _ in range(_TURNS):
        seconds = {figure: predicted(runs, figure, first) for figure in figures}
        runs = decoding_at(runs, seconds)
    alone = replace(runs, load=runs.load._replace(batch=cast("float", np.ones(len(runs.cases)))))
    return Fitted(found, seconds, 1 - predicted(alone, "tpot", first) / seconds["tpot"])


def _least(
    runs: Runs,
    figure: Figure,
    of: Problem,
    kept: NDArray[np.bool_],
    begin: Floats,
    constants: Callable[[Floats], dict[str, Any]],
) -> Floats:
    measured, scale = np.log(runs.measured[figure][kept]), SCALE[figure]
    weight = np.sqrt(runs.weight[kept])

    def errors(parameters: Floats) -> Floats:
        far = (np.log(predicted(runs, figure, constants(parameters))[kept]) - measured) * weight / scale
        return np.concatenate([_rooted_loss(far, figure), (parameters - of.start) / of.spread])

    found: Floats = least_squares(errors, begin, max_nfev=25, ftol=1e-5, xtol=1e-5).x
    return found


def _rooted_loss(far: Floats, figure: Figure) -> Floats:
    """What is squared and summed up, of errors over their scale; below zero where a run was slower than predicted."""
    if figure == "ttft":
        return np.where(far < 0, -np.sqrt(np.log1p(far**2)), far)
    return np.asarray(np.sign(far) * np.sqrt(2 * (np.sqrt(1 + far**2) - 1)))


Deviations = dict[tuple[str, str], Floats]


def deviations(runs: Runs, figure: Figure, seconds: Floats, kept: NDArray[np.bool_]) -> Deviations:
    """The deviations of groups of the runs that are kept: by level and key, a number a term.

    The best linear prediction of random effects that are nested: what a level's groups have in common is drawn to nothing by how
    few runs say it. Groups of different models have nothing in common, so that each model's are solved alone.
    """
    errors = np.clip(np.log(runs.measured[figure] / seconds), -1.5, 1.5)
    found: Deviations = {}
    models: dict[str, list[int]] = {}
    for place in np.flatnonzero(kept):
        models.setdefault(runs.keys[place][LEVELS[0]], []).append(int(place))
    for places in models.values():
        found |= _solved(runs, figure, errors[places], places)
    return found


def _solved(runs: Runs, figure: Figure, errors: Floats, places: list[int]) -> Deviations:
    terms = runs.terms[places]
    designs, covariance = {}, np.zeros((len(places), len(places)))
    for level, spread in SPREADS[figure].items():
        keys = [runs.keys[place][level] for place in places]
        names = sorted(set(keys))
        order = {name: at for at, name in enumerate(names)}
        group = np.array([order[key] for key in keys])
        designs[level] = (names, group)
        covariance += (group[:, None] == group) * (terms * np.square(spread) @ terms.T)
    noise = np.full(len(places), NOISE[figure] ** 2)
    for _ in range(_PASSES):
        pull = np.linalg.solve(covariance + np.diag(noise), errors)
        rest = (errors - covariance @ pull) / NOISE[figure]
        far = FAR[figure]
        noise = NOISE[figure] ** 2 * (1 + (rest / far.at) ** 2) ** np.where(rest > 0, far.slower, far.faster)
    pull = np.linalg.solve(covariance + np.diag(noise), errors)
    return {
        (level, name): np.square(SPREADS[figure][level]) * (terms.T @ (pull * (group == at)))
        for level, (names, group) in designs.items()
        for at, name in enumerate(names)
    }


def with_deviations(runs: Runs, seconds: Floats, found: Deviations) -> Floats:
    """Seconds of all runs with the deviations of their groups."""
    total = np.zeros(len(seconds))
    for place, keys in enumerate(runs.keys):
        for item in keys.items():
            if item in found:
                total[place] += found[item] @ runs.terms[place]
    return np.asarray(seconds * np.exp(np.clip(total, -1.0, 1.0)))
