"""What a picture shows: series of points on two axes, and what is written beside them. How it is drawn is a renderer's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple

from tscale.core.metric import Figure
from tscale.core.units import Unit

Style = Literal["line", "points", "area"]
"""line: the points joined. points: each alone. area: joined, and filled down to the area before it, or to nothing."""

Value = int | float | Fraction


class Axis(NamedTuple):
    """What is measured along one side of a picture, its unit, and whether equal steps are equal ratios."""

    title: str
    unit: Unit
    log: bool = True

    @property
    def label(self) -> str:
        """What is written along it: the title, and the unit where the title does not say it."""
        unit = self.unit.name
        return self.title if not unit or unit in self.title else f"{self.title} ({unit})"


class Point(NamedTuple):
    """A place in a picture, and the word or the figure beside it."""

    x: Value
    y: Value
    label: str | Figure = ""


class Series(NamedTuple):
    """Points of one kind.

    `name`: in the legend; "" for one that is explained by the labels of its points. `quiet`: in the background, behind
    the others, where a label that finds no room is left out.
    """

    name: str
    points: tuple[Point, ...]
    style: Style = "line"
    quiet: bool = False


def stacked(rows: Mapping[int, Mapping[str, int]]) -> Iterator[Series]:
    """An area for each part that is anything anywhere, on those before it: `rows` say how large the parts are at each place."""
    tops = dict.fromkeys(rows, 0)
    for name in dict.fromkeys(name for parts in rows.values() for name in parts):
        if any(parts.get(name) for parts in rows.values()):
            tops = {at: top + rows[at].get(name, 0) for at, top in tops.items()}
            yield Series(name, tuple(Point(at, top) for at, top in tops.items()), "area")


class Rule(NamedTuple):
    """A straight line across a picture at one value of an axis, with its name."""

    axis: Literal["x", "y"]
    at: Value
    label: str | Figure


class Plot(NamedTuple):
    """A picture: a title, two axes, the series, the lines across it, and what must be said below it."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()
