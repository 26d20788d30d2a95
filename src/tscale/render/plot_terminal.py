"""Pictures in a terminal, drawn by plotext: on the reader's own background, told apart without colour, within the width."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, log10
from shutil import get_terminal_size
from string import ascii_lowercase
from textwrap import wrap
from typing import Any, Final, NamedTuple

from tscale.core.plot import Axis, Plot, Rule, Series, Value
from tscale.render.axes import Reach, label_text, reach_x, reach_y, ticks
from tscale.render.format import in_encoding
from tscale.render.label_layout import Box, Word, placed, quietest
from tscale.render.streams import has_width, takes_colour

_GAP: Final = (1.5, 0.5)  # from the middle of a point: one cell is left free beside it, none above it
_LOUD: Final = (1, 0.6)  # words are beside their point, for no line leads to them, or are told of below the picture
_QUIET: Final = (1, 0.0)  # in the background they keep off lines as well, or are left out
_WIDTH: Final = 80
_WIDEST: Final = 120
_NARROWEST: Final = 40
_ROWS: Final = 22
_AROUND: Final = 2  # rows and columns of the frame
_NUMBERS: Final = 1  # the row of the numbers below it
# Cyan, magenta, green, red, blue, yellow as the terminal has them: readable on a light and on a dark ground.
_COLOURS: Final = (6, 5, 2, 1, 4, 3)
_GLYPHS: Final = {
    "line": ("braille", "·", "+", "×", "∘", "~"),
    "points": ("●", "◆", "■", "▲", "○", "◇"),
    "area": ("█", "▓", "▒", "░", "▚", "·", "+"),
    "quiet line": ("·",),
    "quiet points": ("∙",),
}
_ASCII: Final = {
    "line": ("*", ".", "+", "x", "=", "~"),
    "points": ("o", "#", "@", "%", "&", "$"),
    "area": ("#", "=", "-", ".", "+", "~", "o"),
    "quiet line": (".",),
    "quiet points": ("'",),
}
_RULES: Final = {"x": ("┊", ":"), "y": ("┈", ".")}
_DECODED: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_FRAME: Final = str.maketrans("┌┐└┘├┤┬┴┼─│┊┈", "+++++++++-|:.")


class _Screen(NamedTuple):
    """What a stream can show."""

    width: int
    rows: int
    colour: bool
    unicode: bool


def drawn(plots: Sequence[Plot]) -> str:
    """Pictures, one below the other, as the lines of the terminal or of the pipe that standard output is."""
    screen = _screen()
    return "\n".join(_draw(plot, screen) for plot in plots)


def _screen() -> _Screen:
    is_terminal = sys.stdout.isatty()
    size = get_terminal_size((_WIDTH, _ROWS)) if has_width(sys.stdout) else os.terminal_size((_WIDTH, _ROWS))
    colour = takes_colour(sys.stdout)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    unicode = in_encoding("─●⠤¹╌", encoding) == "─●⠤¹╌"
    rows = max(min(size.lines - 4, _ROWS + 6), 16) if is_terminal else _ROWS
    return _Screen(max(min(size.columns, _WIDEST), _NARROWEST), rows, colour, unicode)


class _Look(NamedTuple):
    series: Series
    glyph: str
    colour: int | None


def _looks(plot: Plot, screen: _Screen) -> Iterator[_Look]:
    """Each series with its glyph and its colour; without a colour what stands in the background."""
    glyphs = _GLYPHS if screen.unicode else _ASCII
    counts = {"line": 0, "points": 0, "area": 0}
    for series in plot.series:
        known = glyphs[f"quiet {series.style}" if series.quiet else series.style]
        glyph = known[0 if series.quiet else counts[series.style] % len(known)]
        yield _Look(series, glyph, None if series.quiet else _COLOURS[sum(counts.values()) % len(_COLOURS)])
        counts[series.style] += not series.quiet


class _Cells(NamedTuple):
    """The canvas of a picture: how wide and how high it is, and what its axes span."""

    plot: Plot
    columns: int
    rows: int
    across: Reach
    upwards: Reach

    def column(self, x: Value) -> float:
        """How far right a value stands, in cells."""
        low, high = (_on(self.plot.x, end) for end in self.across)
        return (_on(self.plot.x, x) - low) / (high - low) * (self.columns - 1)

    def row(self, y: Value) -> float:
        """How far up a value stands, in cells."""
        low, high = (_on(self.plot.y, end) for end in self.upwards)
        return (_on(self.plot.y, y) - low) / (high - low) * (self.rows - 1)

    def places(self, series: Series) -> list[tuple[float, float]]:
        """Where the points of a series stand, in cells."""
        return [(self.column(point.x), self.row(point.y)) for point in series.points]


def _on(axis: Axis, value: Value) -> float:
    """A value as its axis measures it."""
    return log10(value) if axis.log else float(value)


def _draw(plot: Plot, screen: _Screen) -> str:
    """Title, names of the series, the picture with its axes, notes: lines no longer than the screen is wide.

    To plotext all is cells, so that points and the words beside them agree on where they are.
    """
    import plotext

    across, upwards = reach_x(plot), reach_y(plot)
    up = [(tick.at, _text(tick.text, screen)) for tick in ticks(plot.y, upwards, 7)]
    margin = max(len(text) for _, text in up) + _AROUND
    cells = _Cells(plot, screen.width - margin, screen.rows - _AROUND - _NUMBERS, across, upwards)
    right = [(tick.at, _text(tick.text, screen)) for tick in ticks(plot.x, across, max(cells.columns // 11, 3))]
    figure = plotext.figure
    figure.clear()
    plotext.terminal.limit(False, False)
    figure.plot_size(screen.width, screen.rows)
    figure.theme("colorless")
    figure.canvas("default")
    figure.legend(False)
    figure.ruler("x").lim(0, cells.columns - 1).ticks(
        [cells.column(at) for at, _ in right], [text for _, text in right]
    )
    figure.ruler("y").lim(0, cells.rows - 1).ticks([cells.row(at) for at, _ in up], [text for _, text in up])
    looks = list(_looks(plot, screen))
    _draw_series(figure, cells, looks, unicode=screen.unicode)
    letters = "   ".join(_write_words(figure, cells, screen))
    notes = [*([letters] if letters else []), *plot.notes]
    picture = figure.build().string(colorless=not screen.colour).rstrip("\n").split("\n")
    if not screen.unicode:
        picture = [line.translate(_FRAME) for line in picture]
    named = plot.x.label.center(cells.columns + _AROUND).rstrip()
    shown = [
        *wrap(_text(plot.title, screen), screen.width),
        *_legend(looks, screen),
        _text(plot.y.label, screen),
        *(picture if screen.colour else [line.rstrip() for line in picture]),
        " " * (margin - _AROUND) + _text(named, screen),
        *(line for note in notes for line in wrap(_text(note, screen), screen.width)),
    ]
    return "\n".join(shown) + "\n"


def _draw_series(figure: Any, cells: _Cells, looks: Sequence[_Look], *, unicode: bool) -> None:
    """Draws from the back to the front: areas from the highest to the lowest, what is quiet, lines, points."""
    order = {"area": 0, "line": 2, "points": 3}
    areas = [look for look in looks if look.series.style == "area"]
    others = [look for look in reversed(looks) if look.series.style != "area"]  # the first is what it is about
    others.sort(key=lambda look: 1 if look.series.quiet else order[look.series.style])
    for look in reversed(areas):
        points = list(_at_each_column(cells.places(look.series)))
        figure.draw(_signal(figure, points, look.glyph, look.colour).fillx())
    for rule in cells.plot.rules:
        # As points: plotext's own lines across stand on a white ground.
        figure.draw(_signal(figure, _along(rule, cells), _RULES[rule.axis][0 if unicode else 1]))
    for look in others:
        signal = _signal(figure, cells.places(look.series), look.glyph, look.colour)
        if look.series.style == "line":
            signal.lines()
        figure.draw(signal)


def _along(rule: Rule, cells: _Cells) -> list[tuple[float, float]]:
    """The cells of a line across."""
    if rule.axis == "x":
        return [(cells.column(rule.at), float(row)) for row in range(cells.rows)]
    return [(float(column), cells.row(rule.at)) for column in range(cells.columns)]


def _signal(figure: Any, places: Sequence[tuple[float, float]], glyph: str, colour: int | None = None) -> Any:
    import plotext

    marker = plotext.marker(glyph, plotext.pixel() if colour is None else plotext.pixel(foreground=colour))
    return figure.signal([x for x, _ in places], [y for _, y in places], marker=marker)


def _at_each_column(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """A line by its height in each column that it crosses."""
    for (x0, y0), (x1, y1) in pairwise(points):
        for column in range(ceil(x0), floor(x1) + 1):
            yield column, y0 + (y1 - y0) * (column - x0) / (x1 - x0 or 1)


def _write_words(figure: Any, cells: _Cells, screen: _Screen) -> list[str]:
    """Writes the words beside points and lines across, where they hide nothing.

    Where one finds no room, its point becomes a letter, and what the letters stand for is given back.
    """
    marks, lines = _obstacles(cells)
    room = Box(0, 0, cells.columns, cells.rows)
    for rule in cells.plot.rules:
        text = _text(label_text(rule.label), screen)
        at = cells.column(rule.at) if rule.axis == "x" else cells.row(rule.at)
        box = quietest(_beside(rule.axis, at, text, room), marks, lines)
        marks.append(box)
        figure.draw(figure.text(box.left, box.low, text))
    labels = list(_labels(cells, screen))
    words = [word for _, word in labels]
    homeless: dict[tuple[int, int], list[str]] = {}
    for (text, word), found in zip(labels, placed(words, marks, lines, room, _GAP, cells=True), strict=True):
        if found is not None:
            figure.draw(figure.text(found.left, found.low, text))
        elif word.lines == _LOUD[1]:
            homeless.setdefault((int(word.x), int(word.y)), []).append(text)
    lettered = list(zip(ascii_lowercase, sorted(homeless), strict=False))
    for letter, (column, row) in lettered:
        figure.draw(figure.text(column, row, letter))
    return [f"{letter}: {', '.join(homeless[place])}" for letter, place in lettered]


def _labels(cells: _Cells, screen: _Screen) -> Iterator[tuple[str, Word]]:
    """The words beside points, and how each may be placed."""
    for series in cells.plot.series:
        how = _QUIET if series.quiet else _LOUD
        for point, (x, y) in zip(series.points, cells.places(series), strict=True):
            if point.label:
                text = _text(label_text(point.label), screen)
                yield text, Word(round(x) + 0.5, round(y) + 0.5, len(text), 1, *how)


def _obstacles(cells: _Cells) -> tuple[list[Box], list[Box]]:
    """The cells of points and of lines, which words keep off."""
    marks: list[Box] = []
    lines: list[Box] = []
    for series in cells.plot.series:
        places = cells.places(series)
        if series.style == "points":
            marks += [_cell(x, y) for x, y in places]
        elif series.style == "area":
            lines += [Box(x0, 0, x1, max(y0, y1) + 1) for (x0, y0), (x1, y1) in pairwise(places)]
        else:
            lines += _pieces(places)
    return marks, lines


def _pieces(places: Sequence[tuple[float, float]]) -> Iterator[Box]:
    for (x0, y0), (x1, y1) in pairwise(places):
        pieces = max(ceil(max(abs(x1 - x0), abs(y1 - y0))), 1)
        for piece in range(pieces + 1):
            yield _cell(x0 + (x1 - x0) * piece / pieces, y0 + (y1 - y0) * piece / pieces)


def _cell(x: float, y: float) -> Box:
    return Box(round(x), round(y), round(x) + 1, round(y) + 1)


def _beside(axis: str, at: float, text: str, room: Box) -> list[Box]:
    """Places for the name of a line across, near its ends and in its middle, on either side."""
    long = len(text)
    if axis == "x":
        sides = [side for side in (round(at) + 2, round(at) - 1 - long) if 0 <= side <= room.right - long]
        rows = [room.high - 1, 0, room.high // 2]
        return [Box(side, row, side + long, row + 1) for side in sides or [0] for row in rows]
    rows = [row for row in (round(at) + 1, round(at) - 1) if 0 <= row < room.high]
    return [Box(side, row, side + long, row + 1) for row in rows for side in (room.right - long, 0)]


def _legend(looks: Sequence[_Look], screen: _Screen) -> list[str]:
    """The named series with their glyphs, on as many lines as they take."""
    entries: list[tuple[str, str]] = []
    for look in looks:
        if look.series.name:
            glyph = "⠤" if look.glyph == "braille" else look.glyph
            sign = glyph if look.series.style == "points" else glyph * 3
            plain = f"{sign} {_text(look.series.name, screen)}"
            colour = f"\x1b[3{look.colour}m{sign}\x1b[0m" if screen.colour and look.colour is not None else sign
            entries.append((plain, plain.replace(sign, colour, 1)))
    rows: list[list[tuple[str, str]]] = [[]]
    for entry in entries:
        if rows[-1] and sum(len(plain) + 3 for plain, _ in (*rows[-1], entry)) > screen.width:
            rows.append([])
        rows[-1].append(entry)
    return ["   ".join(shown for _, shown in row) for row in rows if row]


def _text(text: str, screen: _Screen) -> str:
    """Text in the characters that there are: 10¹² is 1e12 where there are no raised digits."""
    if screen.unicode:
        return text
    raised = re.sub(
        "(?:(\\d[\\d.]*)·)?10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda found: f"{found[1] or 1}e{found[2].translate(_DECODED)}", text
    )
    return in_encoding(raised, "ascii")
