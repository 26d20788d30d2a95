"""An answer as a page that stands alone, and as a fragment for a notebook.

The page makes no request to anywhere: its style and its pictures stand inside it, and it refuses others. It is made for a
telephone, a desk and paper, in light and in dark. The fragment takes the colours of the notebook that it stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from tscale.core.metric import Compared, Figure, Report, Step, Table
from tscale.core.plot import Plot
from tscale.core.sources import SOURCES, Source
from tscale.render.footnotes import legend
from tscale.render.format import cell_text, derived_text
from tscale.render.html_plot import HATCHES, figure_html
from tscale.render.html_style import FRAGMENT, PAGE
from tscale.render.html_table import table_html
from tscale.render.html_text import breakable, cited_in, escaped, inline, link, plain, source_link

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def to_html(report: Report, plots: Sequence[Plot] = (), *, explain: bool = False) -> str:
    """An answer as a whole HTML5 document: headline, tables, pictures behind the first, derivations, notes, sources.

    The same answer is the same text. A report of several parts has a section for each.
    """
    headline = report.title if report.parts else _headline(report)
    body = "".join(_content(report, plots, explain=explain))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{plain(headline)}</title>\n<style>\n{PAGE}</style>\n</head>\n<body>\n"
        f'<main class="tscale">\n<h1>{inline(headline, whole=True)}</h1>\n{body}</main>\n'
        f'<footer class="tscale">tscale {escaped(_version())}</footer>\n</body>\n</html>\n'
    )


def to_html_fragment(report: Report, *, explain: bool = False) -> str:
    """An answer as one element with a style of its own, for the output of a notebook's cell: `_repr_html_`."""
    headline = report.title if report.parts else _headline(report)
    body = "".join(_sections(report, (), ("p", "p"))) + _after(report, "p", explain=explain)
    return (
        f'<div class="tscale">\n<style>\n{FRAGMENT}</style>\n'
        f'<p class="ts-headline">{inline(headline, whole=True)}</p>\n{body}</div>\n'
    )


def _version() -> str:
    """The version that made a page; "" where the program runs without being installed."""
    try:
        return version("tscale")
    except PackageNotFoundError:
        return ""


def _headline(report: Report) -> str:
    """The answer in a sentence: the title of its first table, where that has one."""
    return (report.tables[0].title if report.tables else "") or report.title


def _content(report: Report, plots: Sequence[Plot], *, explain: bool) -> Iterator[str]:
    """The page below its headline."""
    yield from _sections(report, plots, ("h2", "h3"))
    yield _after(report, "h2", explain=explain)
    yield from _sources(report, explain=explain)


def _sections(report: Report, plots: Sequence[Plot], headings: tuple[str, str]) -> Iterator[str]:
    """The lead and the tables of a report, or of each of its parts; pictures stand behind the first table."""
    pictures = "".join(map(figure_html, plots))
    pictures = HATCHES + pictures if pictures else ""
    if not report.parts:
        yield from _tables(report, headings[0], pictures)
        return
    for number, part in enumerate(report.parts):
        yield f'<section>\n<{headings[0]} class="ts-title ts-part">{inline(_headline(part), whole=True)}</{headings[0]}>\n'
        yield from _tables(part, headings[1], "" if number else pictures)
        yield "</section>\n"


def _tables(report: Report, heading: str, pictures: str) -> Iterator[str]:
    yield from (f'<p class="ts-lead">{inline(line)}</p>\n' for line in report.lead)
    name = _headline(report)
    for number, table in enumerate(report.tables):
        yield table_html(table, _name_of(table) or name, heading=heading if number else "")
        yield "" if number else pictures
    yield "" if report.tables else pictures


def _name_of(table: Table) -> str:
    """What a table without a title is called by: the heading of its first column."""
    return table.title or (table.columns[0].title if table.columns else "")


def _after(report: Report, heading: str, *, explain: bool) -> str:
    """The derivations where they are asked for, and the notes."""
    parts = list(_derivations(report.steps, heading)) if explain and report.steps else []
    parts += [f'<p class="ts-legend">{inline(line)}</p>\n' for line in legend(report)]
    if report.notes:
        notes = "".join(f"<li>{inline(note)}</li>\n" for note in report.notes)
        title = f'<{heading} class="ts-title">Notes</{heading}>'
        parts.append(f'<section class="ts-notes">\n{title}\n<ul>\n{notes}</ul>\n</section>\n')
    return "".join(parts)


def _derivations(steps: Sequence[Step], heading: str) -> Iterator[str]:
    """Each derivation under the model or the context that it is about: its name, its formula with names and with numbers, its value."""
    yield f'<section class="ts-steps">\n<{heading} class="ts-title">How each number was made</{heading}>\n'
    for subject in dict.fromkeys(step.subject for step in steps):
        yield f"<details open>\n<summary>{inline(subject)}</summary>\n" if subject else ""
        yield "<dl>\n"
        yield from (_derivation(step) for step in steps if step.subject == subject)
        yield "</dl>\n" + ("</details>\n" if subject else "")
    yield "</section>\n"


def _derivation(step: Step) -> str:
    unit = f" {escaped(step.figure.unit.word)}" if step.figure.unit.word else ""
    source = f' <span class="ts-source">{source_link(step.figure.source)}</span>' if step.figure.source else ""
    return (
        f"<dt>{escaped(step.name)}</dt>\n<dd><code>{breakable(step.names)}</code></dd>\n"
        f"<dd><code>{breakable(step.numbers)}</code></dd>\n<dd><b>{escaped(derived_text(step.figure))}</b>{unit}{source}</dd>\n"
    )


def _sources(report: Report, *, explain: bool) -> Iterator[str]:
    """Whatever publication is cited on the page or stands behind one of its figures, in full."""
    found = {**dict.fromkeys(cited_in(_texts(report))), **dict.fromkeys(_behind(report, explain=explain))}
    if found:
        yield '<section class="ts-sources">\n<h2 class="ts-title">Sources</h2>\n<ul>\n'
        for source in sorted(found):
            yield f"<li>{escaped(source.short)}: {link(source.link, source.title)}</li>\n"
        yield "</ul>\n</section>\n"


def _texts(report: Report) -> Iterator[str]:
    yield from (report.title, *report.lead, *report.notes)
    for table in report.tables:
        yield table.title
        yield from (cell_text(cell) for row in table.rows for cell in row)


def _behind(report: Report, *, explain: bool) -> Iterator[Source]:
    """The publications that figures have as their source."""
    cells = [cell for table in report.tables for row in table.rows for cell in row]
    figures = [cell.figure if isinstance(cell, Compared) else cell for cell in cells]
    citations = [figure.source for figure in figures if isinstance(figure, Figure)]
    citations += [step.figure.source for step in report.steps] if explain else []
    keys = dict.fromkeys(citation.partition(" ")[0] for citation in citations)
    return (SOURCES[key] for key in keys if key in SOURCES)
