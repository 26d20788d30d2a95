"""Measured deployments of one model, chip and load, ranked by what is predicted of them: `python -m tests.planning.measured`.

The runs are those of configs/measured/serving.csv, to which the calibration was fitted; without its deviations of single builds, the
formula alone ranks them.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tscale.calibration.serving_calibration import Calibration, predict_held, shipped
from tscale.calibration.serving_cases import ServingCase, case_of

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


def runs(calibration: Calibration) -> dict[tuple[str, ...], list[Run]]:
    """All runs by model, chip, lengths and concurrency."""
    found: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    with FILE.open(encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            case = case_of(row)
            seconds = float(row["ttft_ms"]) / 1000 + case.output * float(row["tpot_ms"]) / 1000
            tokens = case.concurrency * case.output / case.devices
            slow = predict_held(case, calibration).latency.high
            key = (case.spec.name, case.hardware.name, row["isl"], row["osl"], row["concurrency"])
            found[key].append(Run(case, tokens / slow, tokens / seconds))
    return found


def groups(calibration: Calibration, rank: Callable[[Run], float] = lambda run: run.predicted) -> list[Group]:
    """Groups of several deployments, each with how good the first by `rank` is."""
    return [
        Group(" ".join(key), len(found), max(found, key=rank).measured / max(run.measured for run in found))
        for key, found in runs(calibration).items()
        if len(found) > 1
    ]


def line(name: str, found: Sequence[Group]) -> str:
    """How many groups have a first that is near the best measured, as a line of a table."""
    near = sum(group.share >= 0.9 for group in found)
    worst = min(found, key=lambda group: group.share)
    return f"{name:24} {len(found):6} {near:6} {near / len(found):7.1%}   {worst.share:.2f} of {worst.name}"


def main() -> None:
    """Prints the table."""
    alone = shipped()._replace(deviations={})
    print(f"{'ranked by':24} {'groups':>6} {'near':>6} {'share':>7}   worst")
    print(line("plan, as shipped", groups(shipped())))
    print(line("plan, formula alone", groups(alone)))
    print(line("fewest devices", groups(alone, lambda run: -run.case.devices)))


if __name__ == "__main__":
    main()
