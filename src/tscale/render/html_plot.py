"""Pictures in a page: drawn as SVG in the page's colours and type, once for a wide screen and once for a narrow one.

They are told apart without colour, by lines, marks and hatching; title, legend and notes are text of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log10
from typing import Final, NamedTuple

from tscale.core.metric import Figure
from tscale.core.plot import Axis, Plot, Point, Series, Value
from tscale.render.axes import Reach, Tick, label_text, reach_x, reach_y, ticks
from tscale.render.html_text import escaped, inline
from tscale.render.label_layout import Box
from tscale.render.plot_layout import Canvas, Look, PointLabel, RuleLabel, looks, words_of

COLOURS: Final = 7
_TEXT: Final = 12  # pixels of type
_TOP: Final = 28  # the name of the upright axis
_BOTTOM: Final = 42  # the numbers and the name of the other
_RIGHT: Final = 14
_GAP: Final = 8
_DASHES: Final = ("", "7 4", "7 3 1.5 3", "1.5 3", "10 2 2 2 2 2", "1 6", "14 5")
_MARKS: Final = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z", "M0-5.5L5.5 0L0 5.5L-5.5 0z", "M-4-4H4V4H-4z", "M0-5L5 4H-5z",
    "M0 5L5-4H-5z", "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7z",
    "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0z",
)  # fmt: skip
_QUIET_MARK: Final = "M-2.2 0a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0-4.4 0z"
_HATCH_LINES: Final = (
    "M-2 2L2-2M0 8L8 0M6 10L10 6", "M2 2h1.5v1.5h-1.5zM6 6h1.5v1.5h-1.5z", "M-2 6L2 10M0 0L8 8M6-2L10 2",
    "M0 0L8 8M0 8L8 0", "M4 0V8M0 4H8", "M0 4H8",
)  # fmt: skip
HATCHES: Final = (
    '<svg class="ts-defs" width="0" height="0" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="ts-hatch{number}" width="8" height="8" patternUnits="userSpaceOnUse"><path class="ts-hatch" d="{lines}"/></pattern>'
        for number, lines in enumerate(_HATCH_LINES, start=1)
    )
    + "</defs></svg>\n"
)
"""The patterns of areas, once for all pictures of a page."""


class _Screen(NamedTuple):
    """A size of a picture, in pixels."""

    name: str
    width: float
    height: float


_SCREENS: Final = (_Screen("wide", 760, 420), _Screen("narrow", 340, 330))


def figure_html(plot: Plot) -> str:
    """A picture with its title above it, its legend, and its notes below."""
    named = [look for look in looks(plot) if look.series.name]
    legend = "".join(f"<li>{_swatch(look)}{inline(look.series.name)}</li>" for look in named)
    return (
        f'<figure class="ts-plot">\n<figcaption class="ts-title">{inline(plot.title, whole=True)}</figcaption>\n'
        + (f'<ul class="ts-legend">{legend}</ul>\n' if legend else "")
        + "".join(_drawn(plot, screen) for screen in _SCREENS)
        + "".join(f'<p class="ts-note">{inline(note)}</p>\n' for note in plot.notes)
        + "</figure>\n"
    )


class _Axes(NamedTuple):
    """Both axes of a picture with their numbers, and where it stands on its canvas."""

    plot: Plot
    screen: _Screen
    across: Reach
    upwards: Reach
    frame: Box
    right: Sequence[Tick]
    up: Sequence[Tick]

    def at(self, x: Value, y: Value) -> tuple[float, float]:
        """The place of a pair of values, in pixels from the lower left corner."""
        frame = self.frame
        return (
            frame.left + _share(self.plot.x, self.across, x) * (frame.right - frame.left),
            frame.low + _share(self.plot.y, self.upwards, y) * (frame.high - frame.low),
        )

    def down(self, y: float) -> float:
        """The same height as SVG counts it, from above."""
        return self.screen.height - y


def _share(axis: Axis, reach: Reach, value: Value) -> float:
    """How far along an axis a value stands; nothing stands below a logarithmic axis but at its foot."""
    if not axis.log:
        return (float(value) - reach.low) / (reach.high - reach.low)
    return log10(value / reach.low) / log10(reach.high / reach.low) if value > 0 else 0.0


def _axes(plot: Plot, screen: _Screen) -> _Axes:
    across, upwards = reach_x(plot), reach_y(plot)
    up = ticks(plot.y, upwards, 7)
    left = max((_long(tick.text) for tick in up), default=0) + _GAP
    frame = Box(left, _BOTTOM, screen.width - _RIGHT, screen.height - _TOP)
    return _Axes(plot, screen, across, upwards, frame, _apart(plot.x, across, frame.right - left), up)


def _apart(axis: Axis, reach: Reach, width: float) -> list[Tick]:
    """The numbers along an axis, so many that none touches the next."""
    places: list[Tick] = []
    for most in (8, 6, 5, 4, 3):
        places = ticks(axis, reach, most)
        spots = [(_share(axis, reach, tick.at) * width, _long(tick.text) / 2) for tick in places]
        if all(x1 - x0 > half0 + half1 + _GAP for (x0, half0), (x1, half1) in pairwise(spots)):
            break
    return places


def _drawn(plot: Plot, screen: _Screen) -> str:
    """A picture of one size, from the back to the front."""
    axes = _axes(plot, screen)
    room = Box(axes.frame.left + 3, axes.frame.low + 3, screen.width - 2, axes.frame.high)
    rules, points = words_of(plot, Canvas(axes.at, _size, axes.frame, room, 96 / 72))
    shapes = [
        *_grid(axes),
        *_areas(axes),
        *(
            _rule(axes, at, upright=rule.axis == "x")
            for rule in plot.rules
            for at in [axes.at(rule.at, 1) if rule.axis == "x" else axes.at(1, rule.at)]
        ),
        *(_line(axes, look) for look in _of_style(plot, "line")),
        *(_points(axes, look) for look in _of_style(plot, "points")),
        *(_rule_word(axes, rule) for rule in rules),
        *(_point_word(axes, one) for one in points),
    ]
    about = escaped(f"{plot.title}. Horizontal axis: {plot.x.label}. Vertical axis: {plot.y.label}.")
    return (
        f'<svg class="ts-{screen.name}" viewBox="0 0 {screen.width:g} {screen.height:g}" role="img" aria-label="{about}">\n'
        + "".join(f"{shape}\n" for shape in shapes)
        + "</svg>\n"
    )


def _of_style(plot: Plot, style: str) -> list[Look]:
    """The series of a style, what is quiet behind the others."""
    return sorted((look for look in looks(plot) if look.series.style == style), key=lambda look: not look.series.quiet)


def _grid(axes: _Axes) -> Iterator[str]:
    """Lines at the numbers of both axes, the numbers, and what they measure."""
    left, low, right, high = axes.frame
    for tick in axes.up:
        y = _n(axes.down(axes.at(axes.across.low, tick.at)[1]))
        yield f'<path class="ts-grid" d="M{_n(left)} {y}H{_n(right)}"/>'
        yield f'<text x="{_n(left - _GAP + 2)}" y="{y}" dy=".35em" text-anchor="end">{escaped(tick.text)}</text>'
    for tick in axes.right:
        x = _n(axes.at(tick.at, axes.upwards.low)[0])
        yield f'<path class="ts-grid" d="M{x} {_n(axes.down(low))}V{_n(axes.down(high))}"/>'
        yield f'<text x="{x}" y="{_n(axes.down(low) + 17)}" text-anchor="middle">{escaped(tick.text)}</text>'
    yield f'<path class="ts-axis" d="M{_n(left)} {_n(axes.down(low))}H{_n(right)}"/>'
    yield f'<text class="ts-name" x="0" y="{_TEXT}">{escaped(axes.plot.y.label)}</text>'
    yield f'<text class="ts-name" x="{_n(right)}" y="{_n(axes.screen.height - 6)}" text-anchor="end">{escaped(axes.plot.x.label)}</text>'


def _areas(axes: _Axes) -> Iterator[str]:
    """Each area from the edge of the one before it, or from the foot of the picture, to its own."""
    floor: list[tuple[float, float]] = []
    for look in _of_style(axes.plot, "area"):
        top = [axes.at(point.x, point.y) for point in look.series.points]
        floor = floor or [(x, axes.frame.low) for x, _ in top]
        outline = f"M{_path(axes, top)}L{_path(axes, floor[: len(top)][::-1])}z"
        floor = top
        yield f'<path class="ts-area {_tint(look)}" d="{outline}"/>'
        hatch = look.look % (len(_HATCH_LINES) + 1)
        if hatch:
            yield f'<path fill="url(#ts-hatch{hatch})" d="{outline}"/>'


def _rule(axes: _Axes, at: tuple[float, float], *, upright: bool) -> str:
    left, low, right, high = axes.frame
    if upright:
        return f'<path class="ts-rule" d="M{_n(at[0])} {_n(axes.down(low))}V{_n(axes.down(high))}"/>'
    return f'<path class="ts-rule" d="M{_n(left)} {_n(axes.down(at[1]))}H{_n(right)}"/>'


def _line(axes: _Axes, look: Look) -> str:
    places = [axes.at(point.x, point.y) for point in look.series.points]
    return f'<path class="ts-line {_tint(look)}"{_dashes(look)} d="M{_path(axes, places)}"/>'


def _points(axes: _Axes, look: Look) -> str:
    """The marks of a series, each with what it stands for, which a pointer over it shows."""
    drawn = []
    for point in look.series.points:
        x, y = axes.at(point.x, point.y)
        told = escaped(_told(axes.plot, look.series, point))
        drawn.append(
            f'<path transform="translate({_n(x)} {_n(axes.down(y))})" d="{_mark(look)}"><title>{told}</title></path>'
        )
    return f'<g class="ts-points {_tint(look)}">{"".join(drawn)}</g>'


def _told(plot: Plot, series: Series, point: Point) -> str:
    """A point in words: 49,152 tokens; 1.16e11 FLOPs per token."""
    name = point.label if isinstance(point.label, str) and point.label else series.name
    values = "; ".join(label_text(Figure(value, axis.unit)) for axis, value in ((plot.x, point.x), (plot.y, point.y)))
    return f"{name}: {values}" if name else values


def _rule_word(axes: _Axes, word: RuleLabel) -> str:
    x, y = word.box.middle
    turned = f' transform="rotate(-90 {_n(x)} {_n(axes.down(y))})"' if word.upright else ""
    return f'<text class="ts-word" x="{_n(x)}" y="{_n(axes.down(y))}" dy=".35em" text-anchor="middle"{turned}>{escaped(word.text)}</text>'


def _point_word(axes: _Axes, word: PointLabel) -> str:
    x, y = word.box.middle
    line = (
        f'<path class="ts-leader" d="M{_n(word.x)} {_n(axes.down(word.y))}L{_n(x)} {_n(axes.down(y))}"/>'
        if word.far
        else ""
    )
    quiet = " ts-dim" if word.quiet else ""
    return f'{line}<text class="ts-word{quiet}" x="{_n(x)}" y="{_n(axes.down(y))}" dy=".35em" text-anchor="middle">{escaped(word.text)}</text>'


def _swatch(look: Look) -> str:
    """A series as the legend shows it."""
    match look.series.style:
        case "area":
            box = 'width="22" height="12" rx="1.5"'
            hatch = look.look % (len(_HATCH_LINES) + 1)
            shape = f'<rect class="ts-area {_tint(look)}" {box}/>' + (
                f'<rect fill="url(#ts-hatch{hatch})" {box}/>' if hatch else ""
            )
        case "line":
            shape = f'<path class="ts-line {_tint(look)}"{_dashes(look)} d="M0 6H28"/>'
        case "points":
            shape = f'<g class="ts-points {_tint(look)}"><path transform="translate(14 6)" d="{_mark(look)}"/></g>'
    return f'<svg width="28" height="12" viewBox="0 0 28 12" aria-hidden="true">{shape}</svg>'


def _tint(look: Look) -> str:
    return "ts-quiet" if look.series.quiet else f"ts-c{look.tint % COLOURS}"


def _dashes(look: Look) -> str:
    dashes = "" if look.series.quiet else _DASHES[look.look % len(_DASHES)]
    return f' stroke-dasharray="{dashes}"' if dashes else ""


def _mark(look: Look) -> str:
    return _QUIET_MARK if look.series.quiet else _MARKS[look.look % len(_MARKS)]


def _path(axes: _Axes, places: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{_n(x)} {_n(axes.down(y))}" for x, y in places)


def _n(value: float) -> str:
    """A place to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _size(text: str) -> tuple[float, float]:
    return _long(text), _TEXT * 1.25


def _long(text: str) -> float:
    """About how long a text is in the widest of the usual typefaces, in pixels: which one a page is read in is not known."""
    return _TEXT * sum(
        0.36 if each in " .,:;'|!il·()" else 0.95 if each in "mwMW@%×" else 0.64 if each.isascii() else 0.8
        for each in text
    )
