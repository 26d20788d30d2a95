"""Pictures in a file, drawn by matplotlib: the same bytes for the same picture, text as text, told apart without colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, Literal
from warnings import catch_warnings, filterwarnings

from tscale.core.plot import Axis, Plot, Series, Value
from tscale.render.axes import Reach, reach_x, reach_y, ticks
from tscale.render.label_layout import Box
from tscale.render.plot_layout import Canvas, Look, looks, words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.figure import Figure

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
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "tscale",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # outlines of letters that a reader can still select and search as text
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


PictureFormat = Literal["svg", "png", "pdf"]
FORMATS: Final[dict[str, PictureFormat]] = {".svg": "svg", ".png": "png", ".pdf": "pdf"}
"""The format of a file with each ending."""
_TIMELESS: Final[dict[PictureFormat, dict[Any, Any]]] = {
    "svg": {"Date": None, "Creator": "tscale"},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": "tscale", "Producer": None},
}
"""What a file says of itself: nothing that differs between two equal pictures."""


def picture(plots: Sequence[Plot], format: PictureFormat) -> bytes:
    """Pictures, one below the other, as the bytes of a file."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS), catch_warnings():
        filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # a title in another script
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(plots)), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        layout: Any = figure.get_layout_engine()
        layout.set(h_pad=0.12, w_pad=0.12, hspace=0.04)
        grid = figure.subplots(len(plots), squeeze=False)
        for plot, axes in zip(plots, grid[:, 0], strict=True):
            _draw(plot, axes)
        layout.execute(figure)  # places of points in the file are known only now
        figure.set_layout_engine("none")
        for plot, axes in zip(plots, grid[:, 0], strict=True):
            _minor_ticks(plot, axes)
            _label(plot, axes, canvas.get_renderer())  # type: ignore[no-untyped-call]
        return _written(figure, format)


def _written(figure: Figure, format: PictureFormat) -> bytes:
    """The bytes of a file, by the canvas of its format: `savefig` would draw everything once more, to lay out what is laid out."""
    from matplotlib.backend_bases import get_registered_canvas_class

    data = io.BytesIO()
    figure.set_dpi(_DOTS)
    canvas: Any = get_registered_canvas_class(format)(figure)
    getattr(canvas, f"print_{format}")(data, metadata=_TIMELESS[format])
    return data.getvalue()


def _draw(plot: Plot, axes: Axes) -> None:
    """Draws all but the words beside points and lines across."""
    _axis(axes, plot.x, "x", reach_x(plot))
    _axis(axes, plot.y, "y", reach_y(plot))
    axes.set_title(
        "\n".join(wrap(plot.title, _TITLE)), fontsize=_TEXT + 2.5, fontweight="bold", loc="left", pad=_above(plot)
    )
    floor = [0.0] * max((len(series.points) for series in plot.series), default=0)
    for look in looks(plot):
        if look.series.style == "area":
            floor = _draw_area(axes, look, floor)
        elif look.series.style == "line":
            _draw_line(axes, look)
        else:
            _draw_points(axes, look)
    for rule in plot.rules:
        draw = axes.axvline if rule.axis == "x" else axes.axhline
        draw(float(rule.at), color=_INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    names = _names(plot)
    if names:
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=min(names, 4), frameon=False, borderaxespad=0.3,
            handlelength=2.6, columnspacing=1.6,
        )  # fmt: skip
    if plot.notes:
        axes.annotate(
            "\n".join(line for note in plot.notes for line in wrap(note, _NOTE)), (0, 0), (0, -38), xycoords="axes fraction", textcoords="offset points", va="top",
            fontsize=_TEXT - 1, color="#555555",
        )  # fmt: skip


def _draw_area(axes: Axes, look: Look, floor: Sequence[float]) -> list[float]:
    """Fills from the area before it to this one, whose edge is given back."""
    xs, ys = _places(look.series)
    axes.fill_between(
        xs, ys, floor[: len(xs)], label=look.series.name or None, facecolor=_colour(look), edgecolor="white",
        linewidth=0.6, hatch=_HATCHES[look.look % len(_HATCHES)], alpha=0.85,
    )  # fmt: skip
    return ys


def _draw_line(axes: Axes, look: Look) -> None:
    quiet = look.series.quiet
    width, line = (0.8, "-") if quiet else (1.8, _LINES[look.look % len(_LINES)])
    axes.plot(
        *_places(look.series), label=look.series.name or None, color=_colour(look), linewidth=width, linestyle=line,
        zorder=1 if quiet else 2,
    )  # fmt: skip


def _draw_points(axes: Axes, look: Look) -> None:
    quiet = look.series.quiet
    mark, size = ("o", 3.2) if quiet else (_MARKS[look.look % len(_MARKS)], 6.5)
    axes.plot(
        *_places(look.series), label=look.series.name or None, color=_colour(look), linestyle="none", marker=mark,
        markersize=size, markeredgecolor="white", markeredgewidth=0.0 if quiet else 0.8, zorder=3 if quiet else 4,
    )  # fmt: skip


def _places(series: Series) -> tuple[list[float], list[float]]:
    return [float(point.x) for point in series.points], [float(point.y) for point in series.points]


def _colour(look: Look) -> str:
    return _GREY if look.series.quiet else _COLOURS[look.tint % len(_COLOURS)]


def _names(plot: Plot) -> int:
    """How many series the legend has."""
    return sum(1 for series in plot.series if series.name)


def _above(plot: Plot) -> float:
    """Points between a picture and its title: room for the legend."""
    return 6.0 + 14.0 * -(-min(_names(plot), 12) // 4)


def _axis(axes: Axes, axis: Axis, which: Literal["x", "y"], reach: Reach) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    side = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log" if axis.log else "linear")
    (axes.set_xlim if which == "x" else axes.set_ylim)(reach.low, reach.high)
    places = ticks(axis, reach)
    side.set_ticks([tick.at for tick in places], labels=[tick.text for tick in places])
    side.set_minor_locator(NullLocator())
    side.set_minor_formatter(NullFormatter())
    side.grid(visible=True, which="major", color="#e4e4e4", linewidth=0.6)
    side.set_label_text(axis.label)


def _minor_ticks(plot: Plot, axes: Axes) -> None:
    """Those of logarithms, after the layout: it would place each of them several times, and they are shorter than the others."""
    from matplotlib.ticker import LogLocator

    for axis, side in ((plot.x, axes.xaxis), (plot.y, axes.yaxis)):
        if axis.log:
            side.set_minor_locator(LogLocator(subs=range(2, 10)))


def _label(plot: Plot, axes: Axes, renderer: RendererBase) -> None:
    """Writes the words beside points and lines across, where they hide nothing.

    Places are found in pixels and given to the file in points, whose size no resolution changes.
    """
    canvas = _canvas(axes, renderer)
    rules, points = words_of(plot, canvas)
    for rule in rules:
        x, y = axes.transAxes.inverted().transform(rule.box.middle)
        axes.text(
            x, y, rule.text, transform=axes.transAxes, rotation=90 if rule.upright else 0, ha="center", va="center",
            fontsize=_TEXT - 0.5, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
        )  # fmt: skip
    for one in points:
        dx, dy = one.box.middle[0] - one.x, one.box.middle[1] - one.y
        axes.annotate(
            one.text, (float(one.point.x), float(one.point.y)), (dx / canvas.dot, dy / canvas.dot),
            textcoords="offset points", ha="center", va="center", fontsize=_TEXT - 0.5,
            color="#555555" if one.quiet else _INK, zorder=6, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": _GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3} if one.far else None,
        )  # fmt: skip


def _canvas(axes: Axes, renderer: RendererBase) -> Canvas:
    """Where the picture stands in the file, in pixels."""
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
    return Canvas(at, size, Box(frame.x0, frame.y0, frame.x1, frame.y1), room, dot)
