"""`python -m tscale.calibration.fit_training` makes configs/calibrations/training-*.yaml anew from configs/measured/*.csv.

Constants are fitted to the logarithm of predicted over measured time by a robust least-squares fit within stated ranges, then again
without each of twenty parts of the runs, for the error and the intervals; runs of one layout are in one part, and where there are few,
each model is one. What a calibration does not cover is given the interval of runs that stand apart from those fitted to as a group:
another width, another source.

Runs that scatter alike around their predictions are of one kind (`kind_of`), so that an interval is as wide as its kind scatters. Kinds
of `interval.FEW` runs and more were chosen by the interval score of runs whose layout was left out (Gneiting and Raftery 2007, eq. 43, of
80% and logarithms: the length, and ten times what is missed), of divisions by tensor and pipeline parallelism, micro-batch and, of current
runs, routed experts, precision, sharding and chips: in a node 0.127 by tensor parallelism and micro-batch (0.230 with and without tensor
parallelism, 0.260 undivided), of several nodes 0.398 by whether it has 2 to 4 devices (0.398 with 1 apart from 8, too, 0.449 undivided), of
current runs 0.274 by whether there are experts (0.292 undivided).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final, NamedTuple

from tscale.calibration import require
from tscale.calibration.interval import ends_for_next, ends_of_least_score, factors
from tscale.calibration.measured_tables import read_table
from tscale.calibration.training_case import constants_from, kernel_of, kind_of, ways_of, work_of
from tscale.calibration.training_meanings import MEANINGS, RANGES
from tscale.calibration.training_recipes import CLUSTER, COVERED, CURRENT, FROM_NODE, LATEST, NODE, Recipe
from tscale.calibration.training_rows import case_of
from tscale.catalogue.calibrations import Family, family_of
from tscale.catalogue.compiling import write as compile_shipped
from tscale.catalogue.index import configs
from tscale.core.costs.step_work import StepWork

PARTS: Final = 20
"""Parts of the runs, each predicted by constants that were fitted to the others."""


class RunOf(NamedTuple):
    """A measured run: its work, its seconds, its chip, that one's family and kernel, what it is grouped by, how it is divided, and tokens a sequence."""

    work: StepWork
    seconds: float
    family: Family
    kernel: str
    chip: str
    kind: str
    layout: tuple[str, ...]
    apart: str
    ways: frozenset[str]
    tokens: int


def runs_of(recipe: Recipe, root: Path) -> list[RunOf]:
    """The runs that a calibration is fitted to."""
    _, rows = read_table((root / recipe.file.removeprefix("configs/")).read_text(encoding="utf-8"), recipe.file)
    found = []
    for row in rows:
        if recipe.takes(row):
            case, seconds, _ = case_of(row)
            family = family_of(case.chip)
            layout = tuple(value for name, value in row.items() if name not in {"step_ms", "tokens_per_second_per_gpu"})
            if recipe.model is not None:
                layout = (recipe.model(row),)
            kernel = kernel_of(case, family)
            found.append(
                RunOf(
                    work_of(case),
                    seconds,
                    family,
                    kernel,
                    case.chip,
                    kind_of(case, recipe.kinds),
                    layout,
                    recipe.apart(row),
                    frozenset(ways_of(case)),
                    case.run.tokens,
                )
            )
    return found


class Predictor:
    """Predicts runs of several chips and kernels at once."""

    def __init__(self, runs: Sequence[RunOf]) -> None:
        import numpy as np

        from tscale.calibration.stacked import stacked

        chips = [(run.family.name, run.kernel, run.chip) for run in runs]
        numbers = {chip: number for number, chip in enumerate(dict.fromkeys(chips))}
        self.chips = [runs[chips.index(chip)] for chip in numbers]
        self.of_run = np.array([numbers[chip] for chip in chips])
        self.seconds = np.array([run.seconds for run in runs])
        self.works = stacked([run.work for run in runs])

    def ratios(self, values: Mapping[str, float]) -> Any:
        """Predicted over measured time of each run."""
        from tscale.calibration.stacked import seconds_of

        of_chips = [constants_from(values, chip.family, chip.kernel, chip.chip) for chip in self.chips]
        return seconds_of(self.works, of_chips, self.of_run) / self.seconds


def fitted(recipe: Recipe, runs: Sequence[RunOf], held: Mapping[str, float]) -> dict[str, float]:
    """The constants that predict some runs best, those that are held included."""
    import numpy as np
    from scipy.optimize import least_squares

    predictor = Predictor(runs)
    starts, lows, highs = (np.array([RANGES[name][place] for name in recipe.free]) for place in range(3))

    def residuals(values: Any) -> Any:
        return np.log(predictor.ratios({**held, **dict(zip(recipe.free, map(float, values), strict=True))}))

    found = least_squares(
        residuals, starts, bounds=(lows, highs), x_scale=starts, loss=recipe.loss, f_scale=recipe.scale
    )
    return {**held, **dict(zip(recipe.free, map(float, found.x), strict=True))}


def without(recipe: Recipe, runs: Sequence[RunOf], held: Mapping[str, float], part_of: Sequence[object]) -> list[float]:
    """Predicted over measured time of each run, by constants that were fitted without its part."""
    found = [0.0] * len(runs)
    for part in dict.fromkeys(part_of):
        inside = [place for place, of in enumerate(part_of) if of == part]
        values = fitted(recipe, [run for run, of in zip(runs, part_of, strict=True) if of != part], held)
        for place, ratio in zip(inside, Predictor([runs[place] for place in inside]).ratios(values), strict=True):
            found[place] = float(ratio)
    return found


def parts(recipe: Recipe, runs: Sequence[RunOf]) -> list[int]:
    """The part of each run: layouts are dealt out in turn, so that one that was run twice is in one part; or each model is one."""
    layouts = {layout: place for place, layout in enumerate(dict.fromkeys(run.layout for run in runs))}
    return [layouts[run.layout] % PARTS if recipe.model is None else layouts[run.layout] for run in runs]


def calibrated(recipe: Recipe, runs: Sequence[RunOf], held: Mapping[str, float]) -> dict[str, Any]:
    """A calibration as its file says it."""
    values = fitted(recipe, runs, held)
    how = f"{PARTS}-fold cross-validation over layouts" if recipe.model is None else "leave one model out"
    ratios = without(recipe, runs, held, parts(recipe, runs))
    errors = [abs(ratio - 1) for ratio in ratios]
    residuals = {kind: _of_kind(recipe, runs, ratios, kind, how) for kind in dict.fromkeys(run.kind for run in runs)}
    groups = [run.apart for run in runs]
    apart = [1 / ratio for ratio in without(recipe, runs, held, groups)]
    ends = ends_for_next(apart, groups)(apart, groups)
    residuals["elsewhere"] = _residual(runs, apart, ends, "leave one group out", residuals.values())
    return {
        "name": recipe.name,
        "title": recipe.title,
        "covers": _covers(recipe, runs),
        "constants": {name: _constant(name, value, fitted=name in recipe.free) for name, value in values.items()},
        "fitted_to": {
            "file": recipe.file,
            "where": recipe.where,
            "runs": len(runs),
            "median": _digits(median(errors)),
            "p90": _digits(_percentile(errors, 0.9)),
            "mean": _digits(fmean(errors)),
            "how": how,
        },
        "residuals": residuals,
        "unexplained": list(recipe.unexplained),
        "sources": list(recipe.sources),
        "evidence": "secondary",
    }


def _covers(recipe: Recipe, runs: Sequence[RunOf]) -> dict[str, Any]:
    ways = sorted(frozenset[str]().union(*(run.ways for run in runs)))
    return {"stacks": list(recipe.stacks), **COVERED[recipe.name], "ways": ways}


def _of_kind(recipe: Recipe, runs: Sequence[RunOf], ratios: Sequence[float], kind: str, how: str) -> dict[str, Any]:
    """The ends of an interval of the runs of a kind.

    Where each model is left out in turn, they are those of the least interval score over runs of models that they are not made of.
    """
    own = [run for run in runs if run.kind == kind]
    found = [1 / ratio for ratio, run in zip(ratios, runs, strict=True) if run.kind == kind]
    ends = factors(found) if recipe.model is None else ends_of_least_score(found, [run.layout for run in own])
    return _residual(own, found, ends, how)


def _residual(
    runs: Sequence[RunOf], ratios: Sequence[float], ends: tuple[float, float], how: str, others: Any = ()
) -> dict[str, Any]:
    """The ends of an interval of measured over predicted of some runs; never shorter than those of others."""
    low, high = ends
    low = min([low, *(one["low"] for one in others)])
    high = max([high, *(one["high"] for one in others)])
    error = median(abs(1 / ratio - 1) for ratio in ratios)
    return {
        "low": _digits(low),
        "high": _digits(high),
        "runs": len(runs),
        "median_error": _digits(error),
        "shortest": min(run.tokens for run in runs),
        "longest": max(run.tokens for run in runs),
        "how": how,
    }


def _of_adapters(constants: Mapping[str, Mapping[str, Any]], root: Path) -> dict[str, Any]:
    """How far runs of adapters are from predictions whose constants were fitted to none of them."""
    runs = runs_of(CURRENT._replace(file="configs/measured/adapters.csv"), root)
    ratios = Predictor(runs).ratios({name: one["value"] for name, one in constants.items()})
    found = [float(1 / ratio) for ratio in ratios]
    return _residual(runs, found, factors(found), "fitted to none of them")


def _widen(residual: dict[str, Any], other: Mapping[str, Any]) -> None:
    residual["low"], residual["high"] = min(residual["low"], other["low"]), max(residual["high"], other["high"])


def _constant(name: str, value: float, *, fitted: bool) -> dict[str, Any]:
    unit, meaning = MEANINGS[name]
    found: dict[str, Any] = {"value": _digits(value), "unit": unit, "meaning": meaning, "fitted": fitted}
    if fitted:
        found["range"] = list(RANGES[name][1:])
    return found


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def main(folder: Path | None = None) -> None:
    """Writes the calibrations of training steps, and the compiled index that has them."""
    require()
    import yaml

    root = configs()
    node = calibrated(NODE, runs_of(NODE, root), NODE.held)
    hosts = {name: node["constants"][name]["value"] for name in FROM_NODE}
    cluster = calibrated(CLUSTER, runs_of(CLUSTER, root), {**CLUSTER.held, **hosts})
    current = calibrated(CURRENT, runs_of(CURRENT, root), {**CURRENT.held, "host_routed": hosts["host_layer"]})
    of_adapters, elsewhere = _of_adapters(current["constants"], root), current["residuals"]["elsewhere"]
    current["residuals"]["adapters"] = of_adapters
    _widen(elsewhere, of_adapters)
    shipped = {name: one["value"] for name, one in current["constants"].items() if name not in LATEST.free}
    latest = calibrated(LATEST, runs_of(LATEST, root), {**shipped, **LATEST.held})
    for one in (node, cluster, latest):  # what other chips come to is known of the published layouts alone
        residual = one["residuals"]["elsewhere"]
        _widen(residual, elsewhere)
        residual["how"] += f", and for other chips as those of {CURRENT.name}"
    for one in (node, cluster, current, latest):
        text = yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
        path = (root / "calibrations" if folder is None else folder) / f"{one['name']}.yaml"
        path.write_text(_HEAD + text, encoding="utf-8")
        said = one["fitted_to"]
        sys.stdout.write(f"{one['name']}: {said['runs']} runs, median {said['median']:.1%}, p90 {said['p90']:.1%}\n")
    if folder is None:
        compile_shipped()


_HEAD: Final = "# Made by `python -m tscale.calibration.fit_training`, not by hand.\n"


if __name__ == "__main__":
    main()
