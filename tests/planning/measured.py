"""Measured deployments of one model, chip and load, ranked by what is predicted of them: `python -m tests.planning.measured`.

The runs are those of configs/measured/serving.csv, to which the calibration was fitted; without its deviations of single builds, the
formula alone ranks them. What is fitted without some of the runs ranks those: without a tenth of the deployments, and without all of
a model.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tscale.calibration.fit_serving import FIGURES, folds, leave_out, of_rows, table
from tscale.calibration.serving_calibration import Calibration, predict_held, shipped
from tscale.calibration.serving_case import ServingCase
from tscale.calibration.serving_cases import case_of
from tscale.calibration.serving_fit import Figure, Floats, Problem, Runs, fit, problem

FILE = Path(__file__).parents[2] / "configs" / "measured" / "serving.csv"


class Run(NamedTuple):
    """A run, and tokens/s of a device: as predicted at the slow side of the interval, and as measured."""

    case: ServingCase
    predicted: float
    measured: float


class Group(NamedTuple):
    """Deployments of one model, chip and load. `share`: what the one that ranks first was measured at, over the best measured."""

    name: str
    runs: int
    share: float


def measured() -> list[tuple[tuple[str, ...], ServingCase, float]]:
    """All runs: model, chip, lengths and concurrency; the deployment; and seconds of a request as measured."""
    found: list[tuple[tuple[str, ...], ServingCase, float]] = []
    with FILE.open(encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            case = case_of(row)
            seconds = float(row["ttft_ms"]) / 1000 + case.output * float(row["tpot_ms"]) / 1000
            key = (case.spec.name, case.hardware.name, row["isl"], row["osl"], row["concurrency"])
            found.append((key, case, seconds))
    return found


def slow_side(calibration: Calibration) -> list[float]:
    """Seconds of each request at the slow side of its interval."""
    return [predict_held(case, calibration).latency.high for _, case, _ in measured()]


def groups(predicted: Sequence[float], rank: Callable[[Run], float] = lambda run: run.predicted) -> list[Group]:
    """Groups of several deployments, each with how good the first by `rank` is; `predicted`: seconds of each request."""
    found: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for (key, case, seconds), slow in zip(measured(), predicted, strict=True):
        tokens = case.concurrency * case.output / case.devices
        found[key].append(Run(case, tokens / slow, tokens / seconds))
    return [
        Group(" ".join(key), len(runs), max(runs, key=rank).measured / max(run.measured for run in runs))
        for key, runs in found.items()
        if len(runs) > 1
    ]


def without(by: Callable[[Runs], Floats]) -> list[float]:
    """Seconds of each request by what is fitted without its fold, of folds as `by` says."""
    runs = of_rows(table())
    problems: dict[Figure, Problem] = {figure: problem(runs, figure) for figure in FIGURES}
    whole = fit(runs, problems, np.ones(len(runs.cases), dtype=bool))
    return [float(seconds) for seconds in leave_out(runs, problems, whole, by(runs)).seconds["latency"]]


def line(name: str, found: Sequence[Group]) -> str:
    """How many groups have a first that is near the best measured, as a line of a table."""
    near = sum(group.share >= 0.9 for group in found)
    worst = min(found, key=lambda group: group.share)
    return f"{name:32} {len(found):6} {near:6} {near / len(found):7.1%}   {worst.share:.2f} of {worst.name}"


def main() -> None:
    """Prints the table."""
    alone = slow_side(shipped()._replace(deviations={}))
    print(f"{'ranked by':32} {'groups':>6} {'near':>6} {'share':>7}   worst")
    print(line("plan, as shipped", groups(slow_side(shipped()))))
    print(line("plan, formula alone", groups(alone)))
    print(
        line("fitted to other deployments", groups(without(lambda runs: folds(key["deployment"] for key in runs.keys))))
    )
    by_model = without(lambda runs: folds((case.spec.name for case in runs.cases), each=True))
    print(line("fitted to other models", groups(by_model)))
    print(line("fewest devices", groups(alone, lambda run: -run.case.devices)))


if __name__ == "__main__":
    main()
