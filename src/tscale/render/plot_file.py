"""Pictures in a file, drawn by matplotlib: the same bytes for the same picture, text as text, told apart without colour."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from warnings import catch_warnings, filterwarnings

from tscale.core.plot import Axis, Plot, Point, Rule, Series, Value
from tscale.render.axes import Reach, label_text, reach_x, reach_y, ticks
from tscale.render.label_layout import Box, Word, placed, quietest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase

_QUIET: Final = (2, 0.4)  # words in the background stand near, and with little of a line through them, or not at all
_WIDTH: Final = 8.0  # inches
_HEIGHT: Final = 5.2  # of each picture
_TITLE: Final = 72  # characters of a line
_NOTE: Final = 120
_DOTS: Final = 160  # an inch, of a PNG
_TEXT: Final = 8.5
_GREY: Final = "#8a8a8a"
_INK: Final = "#222222"
# Colours that the colour-blind tell apart (Okabe and Ito), the darkest first, so that they differ in grey as well.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LINES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3)))
_MARKS: Final = ("o", "D", "s", "^", "v", "P", "X")
_HATCHES: Final = ("", "///", "...", "\\\\\\", "xxx", "+++", "ooo")
_At = Callable[[Value, Value], tuple[float, float]]
_Size = Callable[[str], tuple[float, float]]
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "tscale",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": _TEXT,
    "text.color": _INK,
    "text.parse_math": False,  # a model's title is no formula
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.5,
}


def picture(plots: Sequence[Plot], format: Literal["svg", "png"]) -> bytes:
    """Pictures, one below the other, as the bytes of a file."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS), catch_warnings():
        filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # a title in another script
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(plots)), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        figure.get_layout_engine().set(h_pad=0.12, w_pad=0.12, hspace=0.04)  # type: ignore[union-attr, call-arg]
        grid = figure.subplots(len(plots), squeeze=False)
        drawn = [(plot, axes, _draw(plot, axes)) for plot, axes in zip(plots, grid[:, 0], strict=True)]
        figure.draw_without_rendering()  # places of points in the file are known only now
        figure.set_layout_engine("none")
        for plot, axes, labels in drawn:
            _label(plot, axes, labels, canvas.get_renderer())  # type: ignore[no-untyped-call]
        data = io.BytesIO()
        nameless: dict[str, Any] = {"Date": None, "Creator": "tscale"} if format == "svg" else {"Software": None}
        figure.savefig(data, format=format, dpi=_DOTS, metadata=nameless)
    return data.getvalue()


class _Label(NamedTuple):
    point: Point
    quiet: bool


def _draw(plot: Plot, axes: Axes) -> list[_Label]:
    """Draws all but the words beside points, which are given back."""
    _axis(axes, plot.x, "x", reach_x(plot))
    _axis(axes, plot.y, "y", reach_y(plot))
    axes.set_title(
        "\n".join(wrap(plot.title, _TITLE)), fontsize=_TEXT + 2.5, fontweight="bold", loc="left", pad=_above(plot)
    )
    labels: list[_Label] = []
    floor = [0.0] * max((len(series.points) for series in plot.series), default=0)
    for tint, look, series in _looks(plot):
        xs = [float(point.x) for point in series.points]
        ys = [float(point.y) for point in series.points]
        labels += [_Label(point, series.quiet) for point in series.points if point.label]
        colour = _GREY if series.quiet else _COLOURS[tint % len(_COLOURS)]
        name = series.name or None
        if series.style == "area":
            axes.fill_between(
                xs, ys, floor[: len(xs)], label=name, facecolor=colour, edgecolor="white", linewidth=0.6,
                hatch=_HATCHES[look % len(_HATCHES)], alpha=0.85,
            )  # fmt: skip
            floor = ys
        elif series.style == "line":
            width, line = (0.8, "-") if series.quiet else (1.8, _LINES[look % len(_LINES)])
            axes.plot(
                xs, ys, label=name, color=colour, linewidth=width, linestyle=line, zorder=1 if series.quiet else 2
            )
        else:
            mark = "o" if series.quiet else _MARKS[look % len(_MARKS)]
            size = 3.2 if series.quiet else 6.5
            axes.plot(
                xs, ys, label=name, color=colour, linestyle="none", marker=mark, markersize=size,
                markeredgecolor="white", markeredgewidth=0.0 if series.quiet else 0.8, zorder=3 if series.quiet else 4,
            )  # fmt: skip
    for rule in plot.rules:
        draw = axes.axvline if rule.axis == "x" else axes.axhline
        draw(float(rule.at), color=_INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    if any(series.name for series in plot.series):
        names = sum(1 for series in plot.series if series.name)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=min(names, 4), frameon=False, borderaxespad=0.3,
            handlelength=2.6, columnspacing=1.6,
        )  # fmt: skip
    if plot.notes:
        axes.annotate(
            "\n".join(line for note in plot.notes for line in wrap(note, _NOTE)), (0, 0), (0, -38), xycoords="axes fraction", textcoords="offset points", va="top",
            fontsize=_TEXT - 1, color="#555555",
        )  # fmt: skip
    return labels


def _above(plot: Plot) -> float:
    """Points between a picture and its title: room for the legend."""
    names = sum(1 for series in plot.series if series.name)
    return 6.0 + 14.0 * -(-min(names, 12) // 4)


def _looks(plot: Plot) -> Iterator[tuple[int, int, Series]]:
    """Each series with the numbers of its colour and of its look: the first line is solid, the first mark a dot."""
    counts = {"line": 0, "points": 0, "area": 0}
    for series in plot.series:
        yield sum(counts.values()), counts[series.style], series
        if not series.quiet:
            counts[series.style] += 1


def _axis(axes: Axes, axis: Axis, which: Literal["x", "y"], reach: Reach) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    side = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log" if axis.log else "linear")
    (axes.set_xlim if which == "x" else axes.set_ylim)(reach.low, reach.high)
    places = ticks(axis, reach)
    side.set_ticks([tick.at for tick in places], labels=[tick.text for tick in places])
    side.set_minor_locator(LogLocator(subs=range(2, 10)) if axis.log else NullLocator())
    side.set_minor_formatter(NullFormatter())
    side.grid(visible=True, which="major", color="#e4e4e4", linewidth=0.6)
    side.set_label_text(axis.label)


def _label(plot: Plot, axes: Axes, labels: Sequence[_Label], renderer: RendererBase) -> None:
    """Writes the words beside points and lines across, where they hide nothing.

    Places are found in pixels and given to the file in points, whose size no resolution changes.
    """
    from matplotlib.font_manager import FontProperties

    figure = axes.get_figure(root=True)
    assert figure is not None, "axes are drawn in a figure"
    dot = float(figure.dpi) / 72
    font = FontProperties(family="DejaVu Sans", size=_TEXT - 0.5)

    def at(x: Value, y: Value) -> tuple[float, float]:
        across, up = axes.transData.transform((float(x), float(y)))
        return float(across), float(up)

    def size(text: str) -> tuple[float, float]:
        width, height, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
        return float(width), float(height) * 1.1

    frame = axes.get_window_extent(renderer)
    room = Box(frame.x0 + 3 * dot, frame.y0 + 3 * dot, figure.bbox.x1 - 4 * dot, frame.y1)
    edges = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    words = [
        Word(*at(one.point.x, one.point.y), *size(label_text(one.point.label)), *(_QUIET if one.quiet else ()))
        for one in labels
    ]
    marks, lines = _obstacles(plot, at, dot)
    lines += [_across(rule, at, edges, dot) for rule in plot.rules]
    for rule in plot.rules:
        marks.append(_rule(axes, rule, at, size, edges, marks, lines))
    gap = 6 * dot
    for one, word, box in zip(labels, words, placed(words, marks, lines, room, (gap, gap)), strict=True):
        if box is None:
            continue
        dx, dy = box.middle[0] - word.x, box.middle[1] - word.y
        far = max(abs(dx) - word.width / 2, abs(dy) - word.height / 2) > 1.6 * gap
        axes.annotate(
            label_text(one.point.label), (float(one.point.x), float(one.point.y)), (dx / dot, dy / dot),
            textcoords="offset points", ha="center", va="center", fontsize=_TEXT - 0.5,
            color="#555555" if one.quiet else _INK, zorder=6, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": _GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3} if far else None,
        )  # fmt: skip


def _across(rule: Rule, at: _At, frame: Box, dot: float) -> Box:
    """The room that a line across takes."""
    if rule.axis == "x":
        x = at(rule.at, 1)[0]
        return Box(x - dot, frame.low, x + dot, frame.high)
    y = at(1, rule.at)[1]
    return Box(frame.left, y - dot, frame.right, y + dot)


def _rule(axes: Axes, rule: Rule, at: _At, size: _Size, frame: Box, taken: Sequence[Box], lines: Sequence[Box]) -> Box:
    """Writes the name of a line across beside it, where the fewest lines run, and gives the room that it takes."""
    text = label_text(rule.label)
    length, height = size(text)
    off = height / 2
    if rule.axis == "x":
        x = at(rule.at, 1)[0]
        left = x - 2 * off - height
        ends = [frame.high - length - off, frame.low + off, (frame.low + frame.high - length) / 2]
        sides = [left, x + off] if left > frame.left else [x + off]
        box = quietest([Box(side, end, side + height, end + length) for side in sides for end in ends], taken, lines)
    else:
        y = at(1, rule.at)[1]
        ends = [frame.right - length - off, frame.left + off, (frame.left + frame.right - length) / 2]
        box = quietest([Box(end, y + off, end + length, y + off + height) for end in ends], taken, lines)
    x, y = axes.transAxes.inverted().transform(box.middle)
    axes.text(
        x, y, text, transform=axes.transAxes, rotation=90 if rule.axis == "x" else 0, ha="center", va="center",
        fontsize=_TEXT - 0.5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
    )  # fmt: skip
    return box


def _obstacles(plot: Plot, at: _At, dot: float) -> tuple[list[Box], list[Box]]:
    """The boxes of points and of short pieces of lines, which words keep off."""
    marks: list[Box] = []
    lines: list[Box] = []
    for series in plot.series:
        places = [at(point.x, point.y) for point in series.points]
        half = (2.0 if series.quiet else 4.0) * dot
        if series.style == "points":
            marks += [Box(x - half, y - half, x + half, y + half) for x, y in places]
            continue
        if series.style == "area":
            floor = at(series.points[0].x, 0)[1]
            lines += [Box(x0, floor, x1, max(y0, y1)) for (x0, y0), (x1, y1) in pairwise(places)]
            continue
        for (x0, y0), (x1, y1) in pairwise(places):
            pieces = max(int(max(abs(x1 - x0), abs(y1 - y0)) / (4 * dot)), 1)
            for piece in range(pieces + 1):
                x, y = x0 + (x1 - x0) * piece / pieces, y0 + (y1 - y0) * piece / pieces
                lines.append(Box(x - 2 * dot, y - 2 * dot, x + 2 * dot, y + 2 * dot))
    return marks, lines
