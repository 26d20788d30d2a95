"""How the answer of `train` was made of time and devices: days, GPU-hours, dollars, energy, and a plan's utilisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from tscale.core.costs.step_prediction import SOURCE
from tscale.core.metric import Figure, Step
from tscale.core.units import SECONDS, SHARE
from tscale.estimates.derived import derived, summed
from tscale.estimates.goodput import ELAPSED
from tscale.estimates.train.prediction import PredictedStep

Columns = Mapping[str, Figure | None]


class Rates(NamedTuple):
    """What is multiplied with devices and time; None for what is not known."""

    price: Fraction | None
    watts: Fraction | None
    pue: Fraction
    grid: Fraction | None
    goodput: Fraction | None = None


def of_run(figures: Columns, rates: Rates, subject: str) -> Iterator[Step]:
    """Days, GPU-hours, dollars, energy and emissions, each of those before it."""
    values = {key: Fraction(figure.value) for key, figure in figures.items() if figure is not None}
    yield from derived("days", "seconds/86400", values, _rounded(figures, "days", values["seconds"] / 86400), subject)
    hours = values["gpus"] * values["seconds"] / 3600
    yield from derived("gpu_hours", "gpus·seconds/3600", values, _rounded(figures, "gpu_hours", hours), subject)
    known = {"price": rates.price, "watts": rates.watts, "pue": rates.pue, "grid": rates.grid}
    numbers = {**values, **{name: value for name, value in known.items() if value is not None}}
    yield from derived("cost_usd", "gpu_hours·price", numbers, figures["cost_usd"], subject)
    yield from derived("energy_kwh", "gpu_hours·watts·pue/1000", numbers, figures["energy_kwh"], subject)
    yield from derived("co2e_kg", "energy_kwh·grid/1000", numbers, figures["co2e_kg"], subject)
    if rates.goodput is not None:
        lost = {**numbers, "goodput": rates.goodput}
        for key, of_steps in ELAPSED.items():
            yield from derived(key, f"{of_steps}/goodput", lost, figures[key], subject)


def _rounded(figures: Columns, name: str, value: Fraction) -> Figure | None:
    """A figure, where it follows from the whole seconds; not where days were given themselves."""
    figure = figures[name]
    return figure if figure is not None and Fraction(figure.value) == value else None


def of_prediction(predicted: PredictedStep, subject: str) -> Iterator[Step]:
    """The seconds of a step as the sum of its parts, and the utilisation that they come to."""
    if predicted.found is None:
        return
    middle = predicted.found.seconds.middle
    parts = {name: float(value) for name, value in predicted.found.parts._asdict().items() if value}
    yield from summed("step_seconds", parts, Figure(middle, SECONDS, predicted.known, SOURCE), subject)
    share = predicted.flops / (predicted.devices * predicted.peak * middle)
    numbers = {
        "step_flops": predicted.flops,
        "gpus": predicted.devices,
        "peak": predicted.peak,
        "step_seconds": middle,
    }
    figure = Figure(share, SHARE, predicted.known, SOURCE)
    yield from derived("mfu_predicted", "step_flops/(gpus·peak·step_seconds)", numbers, figure, subject)
