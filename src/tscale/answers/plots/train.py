"""The picture of `tscale train`: days by the number of devices, at each utilisation of the answer."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tscale.catalogue.hardware import Hardware
from tscale.core.metric import Figure
from tscale.core.number_text import significant
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import DAYS, Unit
from tscale.estimates.train.ask import DAY, Ask
from tscale.estimates.train.cases import Case
from tscale.estimates.train.data import timed
from tscale.models.spec import ModelSpec

_DEVICES: Final = Unit("devices", "", "full")
_STEPS: Final = 4
"""How often the devices of the answer are doubled, and halved, for the ends of a line."""


def train_plot(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Plot:
    """Days by devices: GPU-hours do not change with the devices, for the utilisation is taken to be the same."""
    cases = timed(spec, hardware, ask)
    middle = cases[len(cases) // 2]
    ends = [case.gpus for case in cases]
    answer = tuple(
        Point(case.gpus, _days(case, case.gpus), Figure(_days(case, case.gpus), DAYS)) for case in dict.fromkeys(cases)
    )
    rules = () if ask.days is None else (Rule("y", ask.days, f"{significant(ask.days, 6)} days"),)
    return Plot(
        f"Training {spec.label} on {hardware.label}: days by devices",
        Axis("devices", _DEVICES),
        Axis("time", DAYS),
        (
            *(_line(case, min(ends), max(ends), quiet=case != middle) for case in cases),
            Series("answer", answer, "points"),
        ),
        rules,
        notes=(
            "The utilisation is taken to be the same at any number of devices, which it is not where they are many.",
        ),
    )


def _line(case: Case, low: int, high: int, *, quiet: bool) -> Series:
    points = [2**place for place in range(-_STEPS, _STEPS + 1)]
    gpus = sorted({max(1, round(end * times)) for end in (low, high) for times in points})
    name = f"{case.label}, {float(100 * case.mfu):.3g}% MFU" if case.label else f"{float(100 * case.mfu):.3g}% MFU"
    return Series(name, tuple(Point(count, _days(case, count)) for count in gpus), quiet=quiet)


def _days(case: Case, gpus: int) -> Fraction:
    """Days on so many devices: the seconds of all of them do not change."""
    return Fraction(case.gpus * case.seconds, gpus * DAY)
