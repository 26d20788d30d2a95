"""How far an axis reaches, and where its numbers stand: the same in a file and in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from math import ceil, floor, log10
from typing import Final, NamedTuple

from tscale.core.metric import Figure
from tscale.core.plot import Axis, Plot, Point, Rule
from tscale.core.units import YEAR
from tscale.render.format import cell_text

_LONGEST: Final = 40
_MARGIN: Final = 0.04  # of an axis, at both ends
_SUPERSCRIPTS: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SHORT: Final = ((12, "T"), (9, "B"), (6, "M"))
_PREFIXED: Final = ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k"))


class Tick(NamedTuple):
    """A place on an axis and the number that stands there."""

    at: float
    text: str


class Reach(NamedTuple):
    """An axis from its least to its greatest value."""

    low: float
    high: float


def label_text(label: str | Figure) -> str:
    """A word, cut where it is none, or a figure with its unit as people read it: 49,152 tokens."""
    if isinstance(label, str):
        return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
    unit = "" if label.unit.symbol else label.unit.name
    return f"{cell_text(label)} {unit}".rstrip()


def points_of(plot: Plot) -> list[Point]:
    """All points of a picture."""
    return [point for series in plot.series for point in series.points]


def reach_x(plot: Plot) -> Reach:
    """The horizontal axis of a picture: all points, and a margin."""
    return _reach(plot.x, [float(point.x) for point in points_of(plot)], _at(plot.rules, "x"))


def reach_y(plot: Plot) -> Reach:
    """The vertical axis of a picture: all points, and a margin; from nothing on where areas are stacked."""
    stacked = any(series.style == "area" for series in plot.series)
    reach = _reach(plot.y, [float(point.y) for point in points_of(plot)], _at(plot.rules, "y"))
    return reach._replace(low=0.0) if stacked and not plot.y.log else reach


def _at(rules: Iterable[Rule], axis: str) -> list[float]:
    return [float(rule.at) for rule in rules if rule.axis == axis]


def _reach(axis: Axis, values: Sequence[float], rules: Sequence[float]) -> Reach:
    low, high = min((*values, *rules)), max((*values, *rules))
    if axis.log:
        low, high = (low / 3, high * 3) if low == high else (low, high)
        margin = (high / low) ** _MARGIN
        return Reach(low / margin, high * margin)
    low, high = (low - 1, high + 1) if low == high else (low, high)
    margin = (high - low) * _MARGIN
    return Reach(low - margin, high + margin)


def ticks(axis: Axis, reach: Reach, most: int = 8) -> list[Tick]:
    """At most so many round numbers on an axis: decades of a logarithmic one, and numbers between where it has few."""
    places = _decades(axis, reach, most) if axis.log else _steps(axis, reach, most)
    return [Tick(place, tick_text(axis, place)) for place in places]


def _decades(axis: Axis, reach: Reach, most: int) -> list[float]:
    first, last = ceil(log10(reach.low) - 1e-9), floor(log10(reach.high) + 1e-9)
    every = max(ceil((last - first + 1) / most), 1)
    decades = [10.0**power for power in range(first, last + 1) if power % every == 0]
    if len(decades) >= 3:
        return decades
    for steps in ((1, 2, 5), (1, 3)):
        finer = [step * 10.0**power for power, step in product(range(first - 1, last + 1), steps)]
        inside = [place for place in finer if reach.low <= place <= reach.high]
        if 3 <= len(inside) <= most:
            return inside
    return decades if len(decades) > 1 else _steps(axis, reach, most)  # less than a doubling is nearly straight


def _steps(axis: Axis, reach: Reach, most: int) -> list[float]:
    rough = (reach.high - reach.low) / (2 * most if axis.unit is YEAR else most)
    power = 10.0 ** floor(log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough)
    if axis.unit is YEAR:
        step = max(ceil(step), 1)
    return [round(place * step, 12) for place in range(ceil(reach.low / step), floor(reach.high / step) + 1)]


def tick_text(axis: Axis, value: float) -> str:
    """A round number at an axis: 10¹², 2·10⁹ for FLOPs; 8,192, 70B, 1.4T for what is counted; 40 GB for bytes."""
    match axis.unit.reading:
        case "power":
            return _power(value)
        case "decimal":
            return _scaled(value, axis.unit.symbol)
        case "percent":
            return f"{100 * value:g}%"
        case "plain":
            return f"{value:g}"
        case _:
            return _count(value)


def _power(value: float) -> str:
    if not value or abs(log10(value)) < 4:
        return _count(value)
    power = floor(log10(value) + 1e-9)
    mantissa = f"{value / 10.0**power:.3g}"
    times = "" if mantissa == "1" else f"{mantissa}·"
    return f"{times}10{str(power).translate(_SUPERSCRIPTS)}"


def _count(value: float) -> str:
    if value >= 1e16:
        return _power(value)
    for power, suffix in _SHORT:
        if value >= 10.0**power:
            return f"{value / 10.0**power:,.4g}{suffix}" if value < 1e15 else f"{value / 10.0**power:,.0f}{suffix}"
    return f"{value:g}" if value < 1_000 else f"{value:,.0f}"


def _scaled(value: float, symbol: str) -> str:
    power, prefix = next(((power, prefix) for power, prefix in _PREFIXED if value >= 10.0**power), (0, ""))
    return f"{value / 10.0**power:g} {prefix}{symbol}"
