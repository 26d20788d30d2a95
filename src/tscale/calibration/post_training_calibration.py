"""The shipped calibration of steps after pre-training: what they take beside their passes, and how far off they are predicted."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from tscale.catalogue.shipped import plain_data
from tscale.core.costs.post_training import StepConstants

NAME: Final = "post-training"
FILE: Final = "configs/measured/post_training.csv"


class Calibration(NamedTuple):
    """Constants, how many runs they were fitted to, and measured over predicted of models that were left out of a fit."""

    name: str
    title: str
    constants: StepConstants
    runs: int
    low: float
    high: float
    median_error: float
    models: tuple[str, ...]
    chips: tuple[str, ...]


@cache
def shipped() -> Calibration:
    """The shipped calibration."""
    data = plain_data(NAME)
    left_out, covers = data["left_out"], data["covers"]
    return Calibration(
        data["name"],
        data["title"],
        StepConstants(**{name: float(said["value"]) for name, said in data["constants"].items()}),
        int(data["fitted_to"]["runs"]),
        float(left_out["low"]),
        float(left_out["high"]),
        float(left_out["median_error"]),
        tuple(covers["models"]),
        tuple(covers["chips"]),
    )
