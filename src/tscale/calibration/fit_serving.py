"""`python -m tscale.calibration.fit_serving` makes configs/calibrations/serving.yaml and its tables of groups and of builds anew.

Constants are fitted to configs/measured/serving.csv, then deviations of groups of runs, then both again without some of the runs,
which are judged by what the others say: without a tenth of the deployments, without a tenth of the lengths that deployments were
measured at, without a tenth of the builds, and without each model in turn. Ends of intervals are what was measured over what was
predicted of runs of a kind that were left out; of a model that was not measured, models left out. What others run than those who
ran these has wider ones, by configs/measured/serving_others.csv (`serving_others`). Nothing is random: folds go by the order of names. Needs numpy and scipy.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import yaml

from tscale.calibration.interval import factors
from tscale.calibration.serving_calibration import NAME, calibration_from
from tscale.calibration.serving_cases import case_of
from tscale.calibration.serving_deployed import deployed_on
from tscale.calibration.serving_fit import (
    Deviations,
    Figure,
    Fitted,
    Floats,
    Problem,
    Runs,
    deviations,
    fit,
    grouped,
    problem,
    runs_of,
    with_deviations,
)
from tscale.calibration.serving_groups import deviation_level, family_of, way_of
from tscale.calibration.serving_meanings import FITTED, LEVELS, MEANINGS, NOISE, RANGES, SPREADS, TERMS
from tscale.calibration.serving_one_run import FIRST, RunLoad, share_taken
from tscale.calibration.serving_others import others_data, ratios_of_others
from tscale.catalogue.models import configs

FOLDS: Final = 10
FIGURES: Final[tuple[Figure, ...]] = ("tpot", "ttft")
_FEWEST: Final = 10
"""Runs below which a kind has no interval of its own; nor has one of a single build or model, which says nothing of the next."""


class Left(NamedTuple):
    """What is predicted of each run by a fit without it: seconds by figure, what was known of it, and prompts' share."""

    seconds: dict[str, Floats]
    known: tuple[str, ...]
    prompts: Floats


def main() -> None:
    """Fits, judges, and writes both files."""
    rows = table()
    runs = of_rows(rows)
    problems: dict[Figure, Problem] = {figure: problem(runs, figure) for figure in FIGURES}
    everything = np.ones(len(rows), dtype=bool)
    whole = fit(runs, problems, everything)
    whole = fit(runs, problems, everything, whole)
    groups = {figure: deviations(runs, figure, whole.seconds[figure], everything) for figure in FIGURES}
    schemes = {
        "lengths": folds(
            f"{keys['deployment']} {row['isl']}/{row['osl']}" for keys, row in zip(runs.keys, rows, strict=True)
        ),
        "deployment": folds(keys["deployment"] for keys in runs.keys),
        "build": folds(keys["build"] for keys in runs.keys),
        "model": folds((case.spec.name for case in runs.cases), each=True),
    }
    left = {name: leave_out(runs, problems, whole, numbers) for name, numbers in schemes.items()}
    folder = configs() / "calibrations"
    folder.mkdir(exist_ok=True)
    (folder / f"{NAME}-groups.csv").write_text(groups_text(groups, runs), encoding="utf-8")
    data = fitted_data(runs, problems, whole, left, with_one_run(runs, rows, left["deployment"]))
    own = {figure: found.tolist() for figure, found in ratios(runs, left["model"].seconds).items()}
    data["other_sources"] = others_data(list(ratios_of_others(calibration_from(NAME, data))), own)
    (folder / f"{NAME}.yaml").write_text(written(data), encoding="utf-8")
    (folder / f"{NAME}-builds.csv").write_text(builds_text(runs, left["deployment"]), encoding="utf-8")


def table(path: Path | None = None) -> list[dict[str, str]]:
    """The measured rows."""
    path = configs() / "measured" / "serving.csv" if path is None else path
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return list(csv.DictReader(lines))


def of_rows(rows: Iterable[Mapping[str, str]]) -> Runs:
    """Rows as runs."""
    rows = list(rows)
    seconds = {name: [float(row[f"{name}_ms"]) / 1000 for row in rows] for name in FIGURES}
    return runs_of([case_of(row) for row in rows], seconds["tpot"], seconds["ttft"])


def folds(names: Iterable[str], *, each: bool = False) -> Floats:
    """The fold of each run: runs of a name are in one, names are dealt out in their order."""
    names = list(names)
    order = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.array([order[name] if each else order[name] % FOLDS for name in names], float)


def leave_out(runs: Runs, problems: dict[Figure, Problem], whole: Fitted, numbers: Floats) -> Left:
    """What is predicted of each fold's runs by what is fitted to the others."""
    count = len(numbers)
    seconds: dict[str, Floats] = {figure: np.zeros(count) for figure in FIGURES}
    known, prompts = [""] * count, np.zeros(count)
    for number in np.unique(numbers):
        out = numbers == number
        some = fit(runs, problems, ~out, whole)
        found = {figure: deviations(runs, figure, some.seconds[figure], ~out) for figure in FIGURES}
        for figure in FIGURES:
            seconds[figure][out] = with_deviations(runs, some.seconds[figure], found[figure])[out]
        prompts[out] = some.prompts[out]
        for place in np.flatnonzero(out):
            known[place] = deviation_level(found["tpot"], runs.keys[place])
    seconds["latency"] = latency_of(runs, seconds)
    return Left(seconds, tuple(known), prompts)


def latency_of(runs: Runs, seconds: Mapping[str, Floats]) -> Floats:
    """Seconds of whole requests."""
    return np.asarray(seconds["ttft"] + runs.load.output * seconds["tpot"])


def with_latency(runs: Runs, seconds: Mapping[Figure, Floats]) -> dict[str, Floats]:
    """Seconds by figure, with those of whole requests."""
    both: dict[str, Floats] = {figure: seconds[figure] for figure in FIGURES}
    return {**both, "latency": latency_of(runs, both)}


def ratios(runs: Runs, seconds: Mapping[str, Floats]) -> dict[str, Floats]:
    """What was measured over what was predicted, by figure."""
    measured = with_latency(runs, runs.measured)
    return {figure: measured[figure] / seconds[figure] for figure in ("tpot", "ttft", "latency")}


def errors(of: Floats) -> dict[str, float]:
    """Median, 90th percentile and mean of |predicted/measured - 1|, of ratios of measured to predicted."""
    wrong = np.abs(1 / of - 1)
    found = {"median": np.median(wrong), "p90": np.quantile(wrong, 0.9), "mean": wrong.mean()}
    return {name: round(float(value), 4) for name, value in found.items()}


def with_one_run(runs: Runs, rows: list[dict[str, str]], left: Left) -> dict[str, Floats]:
    """What was measured over what is predicted where one run of a deployment and its lengths is given: the middle one by load.

    Its errors multiply the predictions of the others, which are of a fit without their deployment.
    """
    shapes: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        shapes.setdefault(f"{runs.keys[place]['deployment']} {row['isl']}/{row['osl']}", []).append(place)
    found: dict[str, list[float]] = {"tpot": [], "ttft": [], "latency": []}
    for places in shapes.values():
        places.sort(key=lambda place: runs.cases[place].concurrency)
        given = places[len(places) // 2]
        wrong = {figure: runs.measured[figure][given] / left.seconds[figure][given] for figure in FIGURES}
        there = RunLoad(runs.cases[given].concurrency, left.prompts[given])
        for place in places:
            if place == given:
                continue
            taken = share_taken(there, RunLoad(runs.cases[place].concurrency, left.prompts[place]))
            guess = {
                figure: left.seconds[figure][place] * wrong[figure] ** (taken if figure == "tpot" else FIRST)
                for figure in FIGURES
            }
            output = runs.load.output[place]  # type: ignore[index]
            for figure in FIGURES:
                found[figure].append(runs.measured[figure][place] / guess[figure])
            measured = runs.measured["ttft"][place] + output * runs.measured["tpot"][place]
            found["latency"].append(measured / (guess["ttft"] + output * guess["tpot"]))
    return {figure: np.array(ratios) for figure, ratios in found.items()}


_JUDGED: Final = {"deployment": "lengths", "build": "deployment", "model": "build", "elsewhere": "model"}
"""Whose runs, left out how, say how far predictions are off where so much is known."""


def residuals(runs: Runs, left: Mapping[str, Left]) -> dict[str, Any]:
    """Ends of intervals by figure, and by how much is known of a deployment and how it is laid out: all of runs that were left out.

    Runs of a build are wrong alike, and where no run of a model is known, those of a model: of few of them, ends are as far on either side.
    """
    ways = np.array([way_of(case) for case in runs.cases])
    builds = [keys["build"] for keys in runs.keys]
    models = [case.spec.name for case in runs.cases]
    found: dict[str, Any] = {"tpot": {}, "ttft": {}, "latency": {}}
    for known, by in _JUDGED.items():
        scheme = left[by]
        kept = np.array([known in (name, "elsewhere") for name in scheme.known])
        alike = models if known == "elsewhere" else builds
        for figure, ratio in ratios(runs, scheme.seconds).items():
            for way in ("", *sorted(set(ways))):
                chosen = kept & ((ways == way) | (way == ""))
                groups = [alike[place] for place in np.flatnonzero(chosen)]
                if len(groups) < _FEWEST or len(set(groups)) == 1:
                    continue
                found[figure][f"{known}, {way}" if way else known] = spread(ratio[chosen], groups)
    return found


def spread(of: Floats, groups: Sequence[object] | None = None) -> dict[str, float | int]:
    """Ends that hold 80% of ratios, those of a group being wrong alike; how many ratios, and their median error."""
    low, high = factors([float(ratio) for ratio in of], groups=groups)
    return {"low": round(low, 4), "high": round(high, 4), "runs": len(of), "median": errors(of)["median"]}


def constants_of(problems: dict[Figure, Problem], whole: Fitted) -> dict[str, Any]:
    """Each constant with its unit, its range, and the values of its groups."""
    found = {
        name: said for figure in FIGURES for name, said in grouped(problems[figure], whole.parameters[figure]).items()
    }
    constants: dict[str, Any] = {}
    for name, meaning in MEANINGS.items():
        value, by_group = found.get(name, (meaning.start, {}))
        said: dict[str, Any] = {"value": _digits(value), "unit": meaning.unit, "meaning": meaning.meaning}
        said["fitted"] = name in FITTED
        if meaning.source:
            said["source"] = meaning.source
        least, most = RANGES[meaning.share]
        said["range"] = [least, most]
        if by_group:
            said |= {"by": meaning.group, "values": {group: _digits(number) for group, number in by_group.items()}}
        constants[name] = said
    return constants


def fitted_data(
    runs: Runs,
    problems: dict[Figure, Problem],
    whole: Fitted,
    left: Mapping[str, Left],
    one: Mapping[str, Floats],
) -> dict[str, Any]:
    """What the calibration's file says of the runs that it is fitted to."""
    constants = constants_of(problems, whole)
    structures = [deployed_on(case, case.decode.layout).structure for case in runs.cases]
    alone = with_latency(runs, whole.seconds)
    return {
        "name": NAME,
        "title": "TensorRT-LLM, SGLang and vLLM on H100 to GB200, benchmark runs of 2025 and 2026",
        "families": sorted({family_of(structure) for structure in structures}),
        "chips": sorted({case.hardware.name for case in runs.cases}),
        "constants": constants,
        "fitted_to": {
            "file": "configs/measured/serving.csv",
            "runs": len(runs.cases),
            "builds": len({keys["build"] for keys in runs.keys}),
            "deployments": len({keys["deployment"] for keys in runs.keys}),
        },
        "cross_validation": {
            "fitted": {figure: errors(ratio) for figure, ratio in ratios(runs, alone).items()},
            **{name: {f: errors(r) for f, r in ratios(runs, some.seconds).items()} for name, some in left.items()},
            "measured": {figure: errors(ratio) for figure, ratio in one.items()},
        },
        "residuals": {
            figure: {"measured": spread(one[figure]), **kinds} for figure, kinds in residuals(runs, left).items()
        },
        "groups": {
            "spreads": {f: {k: list(v) for k, v in s.items()} for f, s in SPREADS.items()},
            "noise": dict(NOISE),
        },
        "sources": ["ai-dynamo/aiconfigurator, systems/silicon_sample.csv (Apache-2.0)"],
        "evidence": "secondary",
    }


def written(data: Mapping[str, Any]) -> str:
    """The calibration as YAML."""
    head = (
        "# Made by `python -m tscale.calibration.fit_serving`, not by hand.\n"
        "# cross_validation: errors of runs that were left out of the fit, by what was left out with them; fitted: of all runs by the\n"
        "# formula alone. residuals: measured over predicted, ends of 80% of runs, by how much is known of a deployment, of runs left out.\n"
        "# other_sources: the same of runs of sources that nothing is fitted to, of a page of theirs at random.\n"
    )
    return head + yaml.safe_dump(dict(data), sort_keys=False, width=130, default_flow_style=None)


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def groups_text(groups: Mapping[Figure, Deviations], runs: Runs) -> str:
    """Groups' deviations as a table."""
    count: dict[tuple[str, str], int] = {}
    for keys in runs.keys:
        for item in keys.items():
            count[item] = count.get(item, 0) + 1
    text = io.StringIO()
    text.write(
        "# Made by `python -m tscale.calibration.fit_serving`: how far groups of runs deviate, in logarithms, by term.\n"
    )
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["level", "group", "runs", *(f"{figure}_{term}" for figure in FIGURES for term in TERMS)])
    for level in LEVELS:
        for key in sorted(key for at, key in count if at == level):
            terms = [f"{value:.4f}" for figure in FIGURES for value in groups[figure][level, key]]
            out.writerow([level, key, count[level, key], *terms])
    return text.getvalue()


_BUILDS: Final = """\
# Made by `python -m tscale.calibration.fit_serving`: errors of runs whose deployment was left out of the fit, |predicted/measured - 1|,
# by build, those first that are furthest off; ratio: the median of measured over predicted.
"""


def builds_text(runs: Runs, left: Left) -> str:
    """Errors by build of runs that were left out, as a table."""
    of = ratios(runs, left.seconds)
    builds: dict[str, list[int]] = {}
    for place, (case, keys) in enumerate(zip(runs.cases, runs.keys, strict=True)):
        builds.setdefault(f"{keys['build']} {case.weights}", []).append(place)
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    names = ("median", "p90", "ratio")
    out.writerow([*_OF_BUILD, "runs", *(f"{figure}_{name}" for figure in of for name in names)])
    order = sorted(builds.values(), key=lambda places: (-errors(of["latency"][places])["p90"], places))
    for places in order:
        case = runs.cases[places[0]]
        pools = "disaggregated" if case.disaggregated else "aggregated"
        cells: list[object] = [
            case.engine,
            case.spec.name,
            pools,
            case.hardware.name,
            case.weights or "bf16",
            case.version,
        ]
        cells.append(len(places))
        for ratio in of.values():
            found = errors(ratio[places])
            cells += [found["median"], found["p90"], round(float(np.median(ratio[places])), 4)]
        out.writerow(cells)
    return _BUILDS + text.getvalue()


_OF_BUILD: Final = ("engine", "model", "pools", "chip", "weights", "version")
"""What names a build, in the order of `keys_of`."""


if __name__ == "__main__":
    main()
