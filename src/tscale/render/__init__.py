"""The only places that format: one report, shown for people or written for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, assert_never

if TYPE_CHECKING:
    from pathlib import Path

    from tscale.core.metric import Report
    from tscale.core.plot import Plot

Format = Literal["table", "json", "csv", "markdown", "html"]


def show_with_plot(
    report: Callable[[], Report],
    plots: Callable[[], Sequence[Plot]],
    target: str | None,
    format: Format,
    *,
    explain: bool = False,
    output: Path | None = None,
    force: bool = False,
) -> None:
    """Shows a report as `show` does, and its pictures in a page, below it, or in the file that is their target.

    A page always has the pictures of its answer. Nothing is shown of a report whose picture cannot be drawn where that
    was asked for. `force`: files that exist are written over.
    """
    if target is None and format != "html":
        show(report(), format, explain=explain, output=output, force=force)
        return
    from tscale.render.plot import TERMINAL, check_target, write_plots

    if target is not None:
        check_target(target, format, force=force, output=output)
    if output is not None:
        _check_output(output, force=force)
    answer = report()
    pictures = plots() if target is not None else _pictures_of(plots)
    if target is not None and not pictures:
        from tscale.errors import RequestError

        raise RequestError("there is no plot of this answer: leave out --plot")
    if target == TERMINAL and format != "html":
        from tscale.render.plot_terminal import drawn

        show(answer, format, explain=explain, output=output, force=force)
        print_text(f"\n{drawn(pictures)}")
        return
    file = None if target == TERMINAL else target
    if file is not None:
        write_plots(pictures, file, force=force)
    show(answer, format, explain=explain, plots=pictures, output=output, force=force)
    if file is not None and (format == "table" or output is not None):
        print_text(f"{file} is written\n")


def _pictures_of(plots: Callable[[], Sequence[Plot]]) -> Sequence[Plot]:
    """The pictures of an answer; none where they cannot be drawn, for nobody asked for them by name."""
    from tscale.errors import TscaleError

    try:
        return plots()
    except TscaleError:
        return ()


def show(
    report: Report,
    format: Format,
    *,
    explain: bool = False,
    plots: Sequence[Plot] = (),
    output: Path | None = None,
    force: bool = False,
) -> None:
    """Writes a report to standard output or to a file, which is then named on standard output.

    `plots`: the pictures of a page; other formats have none. `output`: a new file, or any with `force`; it is written whole
    or not at all. Everything but the terminal's tables is made without rich.

    Raises:
        SpecError: where the file exists already, or cannot be written.
    """
    if output is not None:
        _check_output(output, force=force)
        _write(output, text_of(report, format, explain=explain, plots=plots), force=force)
        print_text(f"{output} is written\n")
    elif format == "table":
        from tscale.render.terminal import show_in_terminal

        show_in_terminal(report, sys.stdout, explain=explain)
    else:
        print_text(text_of(report, format, explain=explain, plots=plots), references=format == "html")


def text_of(report: Report, format: Format, *, explain: bool = False, plots: Sequence[Plot] = ()) -> str:
    """A report as the text of a file in one of the formats; a table as wide as it is, without colour."""
    match format:
        case "table":
            from tscale.render.terminal import to_text

            return to_text(report, explain=explain)
        case "json":
            from tscale.render.json import to_json

            return to_json(report, explain=explain)
        case "csv":
            from tscale.render.csv import to_csv

            return to_csv(report)
        case "markdown":
            from tscale.render.markdown import to_markdown

            return to_markdown(report, explain=explain)
        case "html":
            from tscale.render.html import to_html

            return to_html(report, plots, explain=explain)
        case _:
            assert_never(format)


def _check_output(output: Path, *, force: bool) -> None:
    """Refuses a file that exists, before anything is computed for it."""
    if not force:
        from tscale.models.writing import refuse_to_overwrite

        refuse_to_overwrite(output, "choose another name, or --force")


def _write(output: Path, text: str, *, force: bool) -> None:
    from tscale.models.writing import write_new, write_over

    (write_over if force else write_new)(output, text)


def print_text(text: str, *, references: bool = False) -> None:
    """Writes text to standard output in its own encoding, with ASCII forms of the glyphs that it lacks.

    `references`: HTML, which says that it is UTF-8, so that in any other encoding each glyph past ASCII is named by its number.
    """
    from tscale.render.format import in_encoding

    encoding = sys.stdout.encoding or "ascii"
    if references and encoding.lower().replace("-", "") != "utf8":
        text = text.encode("ascii", "xmlcharrefreplace").decode("ascii")
    sys.stdout.write(in_encoding(text, encoding))
    sys.stdout.flush()
