"""Pictures in a page: points stand where the axes say, words stand inside, and colour is not needed to tell them apart."""

from __future__ import annotations

import re

import pytest

from tests.helpers import run
from tests.render.html_tree import Element, parse
from tscale.core.metric import Report
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import BYTES, FLOPS, TOKENS, YEAR
from tscale.render.html import to_html
from tscale.render.html_plot import figure_html
from tscale.render.plot_layout import looks

PICTURES = [
    ["attention", "gpt3"],
    ["compare", "transformer", "gpt3", "deepseek-v3", "gpt-4"],
    ["serve", "llama-3.1-8b", "--gpu", "h100", "--context", "128"],
    ["memory", "llama-3.1-8b", "--gpu", "h100", "--batch", "4", "--context", "8k"],
    ["memory", "llama-3.1-8b", "--train"],
    ["optimal", "--flops", "1e35"],
    ["attention", "gpt3", "--context", "1"],
]


def drawings(plot: Plot) -> tuple[Element, Element]:
    root = parse(figure_html(plot))
    return root.one("svg", "ts-wide"), root.one("svg", "ts-narrow")


def places(drawing: Element) -> list[tuple[float, float]]:
    """Where the marks of points stand, from the left and from above."""
    (marks,) = drawing.all("g", "ts-points")
    moved = [re.fullmatch(r"translate\((\S+) (\S+)\)", mark.attributes["transform"]) for mark in marks.all("path")]
    return [(float(found[1]), float(found[2])) for found in moved if found]


def test_equal_ratios_are_equal_steps_on_a_logarithmic_axis_and_equal_sums_on_a_straight_one() -> None:
    points = tuple(Point(x, y) for x, y in ((10, 1), (100, 2), (1000, 3)))
    plot = Plot("title", Axis("x", TOKENS), Axis("y", YEAR, log=False), (Series("", points, "points"),))
    for drawing in drawings(plot):
        (x0, y0), (x1, y1), (x2, y2) = places(drawing)
        assert x1 - x0 == pytest.approx(x2 - x1, abs=0.15) and x1 > x0 + 50
        assert y0 - y1 == pytest.approx(y1 - y2, abs=0.15) and y0 > y1 + 50


def test_a_point_stands_at_the_number_of_its_axis() -> None:
    points = (Point(1000, 10**12), Point(10**6, 10**15))
    plot = Plot("title", Axis("x", TOKENS), Axis("y", FLOPS), (Series("", points, "points"),))
    for drawing in drawings(plot):
        numbers = {text.text: text.attributes for text in drawing.all("text")}
        (x0, y0), (x1, y1) = places(drawing)
        assert float(numbers["1,000"]["x"]) == x0 and float(numbers["1M"]["x"]) == x1
        assert float(numbers["10¹²"]["y"]) == y0 and float(numbers["10¹⁵"]["y"]) == y1


def test_an_area_lies_on_the_one_before_it() -> None:
    low = Series("low", (Point(0, 10), Point(100, 20)), "area")
    high = Series("high", (Point(0, 30), Point(100, 60)), "area")
    plot = Plot("title", Axis("x", TOKENS, log=False), Axis("y", BYTES, log=False), (low, high))
    wide, _ = drawings(plot)
    first, second = (area.attributes["d"].strip("Mz").split("L") for area in wide.all("path", "ts-area"))
    assert second[2:] == first[1::-1]
    assert first[2].split(" ")[1] == first[3].split(" ")[1]  # the first lies on nothing
    assert len([path for path in wide.all("path") if path.attributes.get("fill") == "url(#ts-hatch1)"]) == 1


def test_series_differ_without_colour() -> None:
    points = (Point(1, 1), Point(2, 2))
    lines = tuple(Series(f"line {number}", points) for number in range(4))
    marks = tuple(Series(f"mark {number}", points, "points") for number in range(4))
    plot = Plot("title", Axis("x", TOKENS), Axis("y", TOKENS), lines + marks)
    wide, _ = drawings(plot)
    assert len({line.attributes.get("stroke-dasharray", "") for line in wide.all("path", "ts-line")}) == 4
    assert len({next(group.all("path")).attributes["d"] for group in wide.all("g", "ts-points")}) == 4
    legend = parse(figure_html(plot)).one("ul", "ts-legend")
    assert [entry.text for entry in legend.all("li")] == [series.name for series in (*lines, *marks)]
    assert len({look.tint for look in looks(plot)}) == 8


def test_a_point_tells_its_figures_to_a_pointer() -> None:
    plot = Plot("title", Axis("x", TOKENS), Axis("y", BYTES), (Series("", (Point(2048, 10**9, "gpt2"),), "points"),))
    wide, _ = drawings(plot)
    assert wide.one("title").text == "gpt2: 2,048 tokens; 1.00 GB"


@pytest.mark.parametrize("command", PICTURES, ids=" ".join)
def test_words_stand_inside_the_picture(command: list[str]) -> None:
    root = parse(run(*command, "--format", "html").out)
    pictures = [drawing for drawing in root.all("svg") if drawing.attributes.get("role") == "img"]
    assert len(pictures) in (2, 4)  # one or two pictures, each for two widths
    for drawing in pictures:
        _, _, width, height = map(float, drawing.attributes["viewbox"].split(" "))
        assert drawing.attributes["aria-label"]
        for text in drawing.all("text"):
            assert 0 <= float(text.attributes["x"]) <= width and 0 < float(text.attributes["y"]) <= height


def test_titles_notes_and_names_are_text() -> None:
    hostile = "</svg><script>alert(1)</script>"
    plot = Plot(
        hostile, Axis(hostile, TOKENS), Axis("y", BYTES), (Series(hostile, (Point(1, 1, hostile), Point(2, 3)), "points"),),
        (Rule("x", 2, hostile), Rule("y", 2, hostile)), (hostile,),
    )  # fmt: skip
    root = parse(to_html(Report("title", (), {}), [plot]))
    assert not list(root.all("script"))
    assert root.one("figcaption").text == hostile == root.one("p", "ts-note").text


def test_a_picture_that_cannot_be_drawn_is_left_out_unless_asked_for() -> None:
    done = run("compare", "gpt-4", "gpt-4", "--format", "html")
    assert done.code == 0 and not list(parse(done.out).all("figure"))
    asked = run("compare", "gpt-4", "gpt-4", "--format", "html", "--plot")
    assert (asked.code != 0) and "no model here has both a year and a size" in asked.err and not asked.out
    assert list(parse(run("attention", "gpt3", "--format", "html", "--plot").out).all("figure"))
