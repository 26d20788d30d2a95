"""What a picture in a file and one in a page share: how its series look, and where its words stand.

Places are in dots of a canvas whose vertical axis grows upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from tscale.core.plot import Plot, Point, Rule, Series, Value
from tscale.render.axes import label_text
from tscale.render.label_layout import Box, Word, placed, quietest

_QUIET: Final = (2, 0.4)  # words in the background stand near, and with little of a line through them, or not at all
_GAP: Final = 6.0  # points of type between a point and the word beside it
_FAR: Final = 1.6  # gaps: a word further off than that has a line to its point


class Canvas(NamedTuple):
    """Where a picture is drawn.

    `at`: the place of a pair of values. `size`: width and height of a text. `frame`: what the axes enclose. `room`: where
    words may stand. `dot`: dots of a point of type.
    """

    at: Callable[[Value, Value], tuple[float, float]]
    size: Callable[[str], tuple[float, float]]
    frame: Box
    room: Box
    dot: float


class Look(NamedTuple):
    """A series with the numbers of its colour and of its line, mark or hatching: the first of a style is the plainest."""

    tint: int
    look: int
    series: Series


class PointLabel(NamedTuple):
    """The word beside a point, whose place is x and y. `far`: so far off that a line leads to the point."""

    text: str
    box: Box
    x: float
    y: float
    point: Point
    quiet: bool
    far: bool


class RuleLabel(NamedTuple):
    """The name beside a line across; that of an upright line is written upwards."""

    text: str
    box: Box
    upright: bool


def looks(plot: Plot) -> Iterator[Look]:
    """Each series with its look; what stands in the background takes no colour from the others."""
    counts = {"line": 0, "points": 0, "area": 0}
    for series in plot.series:
        yield Look(sum(counts.values()), counts[series.style], series)
        if not series.quiet:
            counts[series.style] += 1


def words_of(plot: Plot, canvas: Canvas) -> tuple[list[RuleLabel], list[PointLabel]]:
    """The words beside lines across and beside points, where they hide nothing; without those that found no room."""
    marks, lines = _obstacles(plot, canvas)
    lines += [_across(rule, canvas) for rule in plot.rules]
    rules = []
    for rule in plot.rules:
        text = label_text(rule.label)
        box = _beside(rule, canvas.size(text), canvas, marks, lines)
        marks.append(box)
        rules.append(RuleLabel(text, box, rule.axis == "x"))
    return rules, list(_point_labels(plot, canvas, marks, lines))


def _point_labels(plot: Plot, canvas: Canvas, marks: Sequence[Box], lines: Sequence[Box]) -> Iterator[PointLabel]:
    named = [(point, series.quiet) for series in plot.series for point in series.points if point.label]
    texts = [label_text(point.label) for point, _ in named]
    words = [
        Word(*canvas.at(point.x, point.y), *canvas.size(text), *(_QUIET if quiet else ()))
        for (point, quiet), text in zip(named, texts, strict=True)
    ]
    gap = _GAP * canvas.dot
    found = placed(words, marks, lines, canvas.room, (gap, gap))
    for (point, quiet), text, word, box in zip(named, texts, words, found, strict=True):
        if box is not None:
            off = abs(box.middle[0] - word.x) - word.width / 2, abs(box.middle[1] - word.y) - word.height / 2
            yield PointLabel(text, box, word.x, word.y, point, quiet, max(off) > _FAR * gap)


def _across(rule: Rule, canvas: Canvas) -> Box:
    """The room that a line across takes."""
    frame, dot = canvas.frame, canvas.dot
    if rule.axis == "x":
        x = canvas.at(rule.at, 1)[0]
        return Box(x - dot, frame.low, x + dot, frame.high)
    y = canvas.at(1, rule.at)[1]
    return Box(frame.left, y - dot, frame.right, y + dot)


def _beside(rule: Rule, size: tuple[float, float], canvas: Canvas, taken: Sequence[Box], lines: Sequence[Box]) -> Box:
    """A place for the name of a line across beside it, where the fewest lines run."""
    frame = canvas.frame
    length, height = size
    off = height / 2
    if rule.axis == "x":
        x = canvas.at(rule.at, 1)[0]
        left = x - 2 * off - height
        ends = [frame.high - length - off, frame.low + off, (frame.low + frame.high - length) / 2]
        sides = [left, x + off] if left > frame.left else [x + off]
        return quietest([Box(side, end, side + height, end + length) for side in sides for end in ends], taken, lines)
    y = canvas.at(1, rule.at)[1]
    ends = [frame.right - length - off, frame.left + off, (frame.left + frame.right - length) / 2]
    return quietest([Box(end, y + off, end + length, y + off + height) for end in ends], taken, lines)


def _obstacles(plot: Plot, canvas: Canvas) -> tuple[list[Box], list[Box]]:
    """The boxes of points and of short pieces of lines, which words keep off."""
    marks: list[Box] = []
    lines: list[Box] = []
    for series in plot.series:
        places = [canvas.at(point.x, point.y) for point in series.points]
        if series.style == "points":
            half = (2.0 if series.quiet else 4.0) * canvas.dot
            marks += [Box(x - half, y - half, x + half, y + half) for x, y in places]
        elif series.style == "area":
            floor = canvas.at(series.points[0].x, 0)[1]
            lines += [Box(x0, floor, x1, max(y0, y1)) for (x0, y0), (x1, y1) in pairwise(places)]
        else:
            lines += _pieces(places, canvas.dot)
    return marks, lines


def _pieces(places: Sequence[tuple[float, float]], dot: float) -> Iterator[Box]:
    """The boxes of short pieces of a line."""
    for (x0, y0), (x1, y1) in pairwise(places):
        pieces = max(int(max(abs(x1 - x0), abs(y1 - y0)) / (4 * dot)), 1)
        for piece in range(pieces + 1):
            x, y = x0 + (x1 - x0) * piece / pieces, y0 + (y1 - y0) * piece / pieces
            yield Box(x - 2 * dot, y - 2 * dot, x + 2 * dot, y + 2 * dot)
