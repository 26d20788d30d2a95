"""Runs whose law is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import exp, sqrt

from tscale.calibration.runs import Run
from tscale.core.laws import Parametric

HOFFMANN = Parametric(1.6934, 406.4, 410.7, 0.33917, 0.28491)  # the TeX source of Hoffmann 2022
BESIROGLU = Parametric(1.8172, 482.01, 2085.43, 0.3478, 0.3658)  # Besiroglu 2024, Table 1
MUENNIGHOFF = Parametric(1.8691, 520.8, 1487.7, 0.35266, 0.35266)  # Muennighoff 2023's repository
STEEP = Parametric(2.5, 3e4, 50.0, 0.6, 0.2)  # no paper's


def runs_of(truth: Parametric, count: int, noise: float, seed: int) -> list[Run]:
    """Runs from 1e18 to 3e21 FLOPs about 20 tokens a parameter, with a noise of ln L."""
    draw = random.Random(seed)  # noqa: S311 (no secret)
    runs = []
    for line in range(2, count + 2):
        flops = 10 ** draw.uniform(18, 21.5)
        params = sqrt(flops / 120) * exp(draw.gauss(0, 0.8))
        tokens = flops / (6 * params)
        runs.append(Run(line, params, tokens, truth.loss(params, tokens) * exp(draw.gauss(0, noise))))
    return runs


def csv_of(runs: Sequence[Run]) -> str:
    """Runs as a file."""
    return "params,tokens,loss\n" + "".join(f"{run.params!r},{run.tokens!r},{run.loss!r}\n" for run in runs)
