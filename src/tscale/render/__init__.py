"""The only places that format: one report, shown for people or written for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tscale.core.metric import Report
    from tscale.core.plot import Plot

Format = Literal["table", "json", "csv", "markdown"]


def show_with_plot(
    report: Callable[[], Report],
    plots: Callable[[], Sequence[Plot]],
    target: str | None,
    format: Format,
    *,
    explain: bool = False,
) -> None:
    """Writes a report to standard output, and its pictures below it or to a file, where a target for them is given.

    Nothing is shown of a report whose picture cannot be drawn.
    """
    if target is None:
        show(report(), format, explain=explain)
        return
    from tscale.render.plot import TERMINAL, check_target, write_plots

    check_target(target, format)
    answer, pictures = report(), plots()
    if target == TERMINAL:
        from tscale.render.plot_terminal import drawn

        show(answer, format, explain=explain)
        print_text(f"\n{drawn(pictures)}")
        return
    write_plots(pictures, target)
    show(answer, format, explain=explain)
    if format == "table":
        print_text(f"{target} is written\n")


def show(report: Report, format: Format, *, explain: bool = False) -> None:
    """Writes a report to standard output. Everything but the terminal's tables is made without rich."""
    match format:
        case "table":
            from tscale.render.terminal import show_in_terminal

            show_in_terminal(report, explain=explain)
        case "json":
            from tscale.render.json import to_json

            print_text(to_json(report, explain=explain))
        case "csv":
            from tscale.render.csv import to_csv

            print_text(to_csv(report))
        case "markdown":
            from tscale.render.markdown import to_markdown

            print_text(to_markdown(report, explain=explain))


def print_text(text: str) -> None:
    """Writes text to standard output in its own encoding, with ASCII forms of the glyphs that it lacks."""
    from tscale.render.format import in_encoding

    sys.stdout.write(in_encoding(text, sys.stdout.encoding or "ascii"))
    sys.stdout.flush()
