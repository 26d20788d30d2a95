"""`python -m tscale.calibration.fit_training` makes configs/calibrations/training-*.yaml anew from configs/measured/*.csv.

Constants are fitted to the logarithm of predicted over measured time by a robust least-squares fit within stated ranges, then again
without each of five parts of the runs, for the error and the intervals; runs of one layout are in one part. What a calibration does not
cover is given the interval of runs that stand apart from those fitted to as a group: another width, another chip.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final, Literal, NamedTuple

from tscale.calibration import require
from tscale.calibration.interval import factors
from tscale.calibration.measured_tables import read_table
from tscale.calibration.training_case import TrainingCase, constants_from, kernel_of, work_of
from tscale.calibration.training_meanings import MEANINGS
from tscale.calibration.training_rows import case_of
from tscale.catalogue.calibrations import Family, family_of
from tscale.catalogue.models import configs
from tscale.core.costs.step_work import StepWork

PARTS: Final = 5
"""Parts of the runs, each predicted by constants that were fitted to the others."""
RANGES: Final[Mapping[str, tuple[float, float, float]]] = {
    "products": (0.75, 0.3, 1.0),
    "products_8bit": (0.65, 0.3, 1.0),
    "ampere": (1.1, 0.8, 1.4),
    "traffic": (0.8, 0.2, 1.0),
    "experts": (3.0, 1.0, 10.0),
    "dispatches": (0.5, 0.0, 1.0),
    "sums": (2.0, 0.5, 5.0),
    "nics": (0.5, 0.1, 1.0),
    "whole_head": (1.5, 1.0, 4.0),
    "host_layer": (3e-3, 0.0, 0.02),
    "host_tensor": (1e-4, 0.0, 0.01),
    "host_wide": (5e-4, 0.0, 0.01),
    "host_softmax": (1e-3, 0.0, 0.01),
    "host_head": (4e-3, 0.0, 0.05),
    "step": (2e-3, 0.0, 0.05),
    "optimizer_bytes": (30.0, 10.0, 100.0),
}
"""Where a fit begins, and the range that a constant is kept to."""


class RunOf(NamedTuple):
    """A measured run: its work, its seconds, its chip's family and kernel, and what it is grouped by."""

    work: StepWork
    seconds: float
    family: Family
    kernel: str
    kind: str
    layout: tuple[str, ...]
    apart: str


class Recipe(NamedTuple):
    """A calibration to be fitted: which rows, which constants, which are held at a value, and how robustly."""

    name: str
    title: str
    stacks: tuple[str, ...]
    file: str
    where: str
    takes: Callable[[Mapping[str, str]], bool]
    kind: Callable[[TrainingCase], str]
    apart: Callable[[Mapping[str, str]], str]
    free: tuple[str, ...]
    held: Mapping[str, float]
    loss: Literal["soft_l1", "cauchy"]
    scale: float
    unexplained: tuple[str, ...]
    sources: tuple[str, ...]


NODE: Final = Recipe(
    "training-megatron-node",
    "GPT models of 1,024 and 2,048 wide on 2 to 8 A100 of a node, Megatron-DeepSpeed of 2022",
    ("megatron-deepspeed",),
    "configs/measured/vtrain.csv",
    "gpus up to 8",
    lambda row: int(row["gpus"]) <= 8,
    lambda case: "tensor" if case.plan.tensor > 1 else "no tensor",
    lambda row: f"{row['layers']} layers of {row['d_model']}",
    (
        "products", "traffic", "sums", "whole_head", "host_layer", "host_tensor", "host_wide", "host_softmax", "host_head",
        "step", "optimizer_bytes",
    ),
    {"recomputed": 0.0, "loss_bytes": 52.0},
    "soft_l1",
    0.03,
    (
        "Its table says full recomputation; with it, products would run at 95% to 100% of the peak. Its times are those of a "
        "run that computes nothing again, at 76%: what is computed again is not counted here.",
        "The time of the host for a layer differs by width, tensor parallelism and micro-batch together, from 2.7 to 3.7 ms, "
        "and is as long within each: 2-way at 1,024 and micro-batch 4 and 4-way at 2,048 and micro-batch 1 and 2 are 10% to "
        "25% faster than predicted.",
    ),
    ("VIA-Research/vTrain, data/ground_truth_single.csv (MIT License), MICRO 2024",),
)  # fmt: skip

CLUSTER: Final = Recipe(
    "training-megatron-cluster",
    "GPT models of 3,072 to 12,288 wide on 64 to 512 A100, Megatron-DeepSpeed of 2022",
    ("megatron-deepspeed",),
    "configs/measured/vtrain.csv",
    "gpus from 64",
    lambda row: int(row["gpus"]) > 8,
    lambda _: "cluster",
    lambda row: row["d_model"],
    ("products", "traffic", "nics"),
    {"recomputed": 1.0, "loss_bytes": 52.0},
    "cauchy",
    0.02,
    (
        "Pipelines with 2-way and 4-way tensor parallelism at widths of 6,144 and 8,192 took up to 1.65 times as long as "
        "predicted, and beside them others did not: most likely the network of those days.",
    ),
    ("VIA-Research/vTrain, data/ground_truth_multi.csv (MIT License), MICRO 2024",),
)

CURRENT: Final = Recipe(
    "training-current",
    "published layouts of llm-foundry, torchtitan and Megatron-Bridge on A100 to GB300",
    ("current",),
    "configs/measured/published_layouts.csv",
    "all",
    lambda _: True,
    lambda case: "experts" if case.has_experts else "dense",
    lambda row: row["gpu"],
    ("products", "ampere", "products_8bit", "traffic", "experts", "dispatches"),
    {"nics": 0.8, "loss_bytes": 12.0},
    "soft_l1",
    0.05,
    (
        "Qwen3-30B-A3B on 16 H100 with 24 pieces a stage takes 1.7 times as long as predicted: most likely the host, for each "
        "piece is a layer of small experts.",
        "Llama 3 8B on 8 H100 in fp8 is 20% faster than predicted.",
    ),
    ("mosaicml/llm-foundry, pytorch/torchtitan, NVIDIA-NeMo/Megatron-Bridge: each row's source",),
)


def runs_of(recipe: Recipe, root: Path) -> list[RunOf]:
    """The runs that a calibration is fitted to."""
    _, rows = read_table((root / recipe.file.removeprefix("configs/")).read_text(encoding="utf-8"), recipe.file)
    found = []
    for row in rows:
        if recipe.takes(row):
            case, seconds, _ = case_of(row)
            family = family_of(case.chip)
            layout = tuple(value for name, value in row.items() if name not in {"step_ms", "tokens_per_second_per_gpu"})
            kernel = kernel_of(case, family)
            found.append(RunOf(work_of(case), seconds, family, kernel, recipe.kind(case), layout, recipe.apart(row)))
    return found


class Predictor:
    """Predicts runs of several chips and kernels at once."""

    def __init__(self, runs: Sequence[RunOf]) -> None:
        from tscale.calibration.stacked import Stacked, stacked

        self.runs = runs
        self.groups: list[tuple[list[int], Family, str, tuple[Stacked, ...]]] = []
        keys = dict.fromkeys((run.family.name, run.kernel) for run in runs)
        for key in keys:
            places = [place for place, run in enumerate(runs) if (run.family.name, run.kernel) == key]
            first = runs[places[0]]
            works = stacked([runs[place].work for place in places])
            self.groups.append((places, first.family, first.kernel, works))

    def ratios(self, values: Mapping[str, float]) -> Any:
        """Predicted over measured time of each run."""
        import numpy as np

        from tscale.calibration.stacked import seconds_of

        found = np.empty(len(self.runs))
        for places, family, kernel, works in self.groups:
            found[places] = seconds_of(works, constants_from(values, family, kernel))
        return found / np.array([run.seconds for run in self.runs])


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


def parts(runs: Sequence[RunOf]) -> list[int]:
    """The part of each run: layouts are dealt out in turn, so that one that was run twice is in one part."""
    layouts = {layout: place for place, layout in enumerate(dict.fromkeys(run.layout for run in runs))}
    return [layouts[run.layout] % PARTS for run in runs]


def calibrated(recipe: Recipe, runs: Sequence[RunOf], held: Mapping[str, float]) -> dict[str, Any]:
    """A calibration as its file says it."""
    values = fitted(recipe, runs, held)
    ratios = without(recipe, runs, held, parts(runs))
    errors = [abs(ratio - 1) for ratio in ratios]
    residuals = {
        kind: _residual([1 / ratio for ratio, run in zip(ratios, runs, strict=True) if run.kind == kind], "5-fold")
        for kind in dict.fromkeys(run.kind for run in runs)
    }
    apart = without(recipe, runs, held, [run.apart for run in runs])
    residuals["elsewhere"] = _residual([1 / ratio for ratio in apart], "leave one group out", residuals.values())
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
            "how": f"{PARTS}-fold cross-validation over layouts",
        },
        "residuals": residuals,
        "unexplained": list(recipe.unexplained),
        "sources": list(recipe.sources),
        "evidence": "secondary",
    }


def _covers(recipe: Recipe, runs: Sequence[RunOf]) -> dict[str, Any]:
    cases = dict(_COVERED[recipe.name])
    assert runs
    return {"stacks": list(recipe.stacks), **cases}


_COVERED: Final[Mapping[str, Mapping[str, Any]]] = {
    NODE.name: {"chips": ["a100-sxm-80gb"], "precisions": ["fp16", "bf16"], "d_model": [1024, 2048]},
    CLUSTER.name: {"chips": ["a100-sxm-80gb"], "precisions": ["fp16", "bf16"], "d_model": [3072, 25600]},
    CURRENT.name: {
        "chips": ["a100-sxm-80gb", "a100-sxm-40gb", "h100-sxm", "b200", "gb200", "gb300"],
        "precisions": ["bf16", "fp16", "fp8"],
        "d_model": [2048, 8192],
    },
}


def _residual(ratios: Sequence[float], how: str, others: Any = ()) -> dict[str, Any]:
    """The ends of an interval of measured over predicted; never shorter than those of others."""
    low, high = factors(ratios)
    low = min([low, *(one["low"] for one in others)])
    high = max([high, *(one["high"] for one in others)])
    error = median(abs(1 / ratio - 1) for ratio in ratios)
    return {"low": _digits(low), "high": _digits(high), "runs": len(ratios), "median_error": _digits(error), "how": how}


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


FROM_NODE: Final = ("host_layer", "host_tensor", "host_wide", "host_softmax", "host_head", "step", "optimizer_bytes")
"""Constants of the host and the optimizer that larger models on more nodes say nothing of."""


def main(folder: Path | None = None) -> None:
    """Writes the calibrations of training steps."""
    require()
    import yaml

    root = configs()
    node = calibrated(NODE, runs_of(NODE, root), NODE.held)
    hosts = {name: node["constants"][name]["value"] for name in FROM_NODE}
    cluster = calibrated(CLUSTER, runs_of(CLUSTER, root), {**CLUSTER.held, **hosts})
    current = calibrated(CURRENT, runs_of(CURRENT, root), CURRENT.held)
    for one in (node, cluster, current):
        text = yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
        path = (root / "calibrations" if folder is None else folder) / f"{one['name']}.yaml"
        path.write_text(_HEAD + text, encoding="utf-8")
        said = one["fitted_to"]
        sys.stdout.write(f"{one['name']}: {said['runs']} runs, median {said['median']:.1%}, p90 {said['p90']:.1%}\n")


_HEAD: Final = "# Made by `python -m tscale.calibration.fit_training`, not by hand.\n"


if __name__ == "__main__":
    main()
