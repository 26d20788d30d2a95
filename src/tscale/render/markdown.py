"""Markdown for a README: the terminal's tables, with the notes as a list below."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tscale.core.metric import Report, Table
from tscale.core.sources import cited
from tscale.render.bars import without_bars
from tscale.render.footnotes import legend, shared_mark
from tscale.render.format import cell_text, mark


def to_markdown(report: Report, *, explain: bool = False) -> str:
    """A report as Markdown, with the derivations as code where they are asked for."""
    tables = [without_bars(table) for table in report.tables]
    title = tables[0].title if tables else ""
    parts = [] if title and not report.lead else [f"**{_safe(title or report.title)}**"]
    if report.lead and tables:
        tables[0] = tables[0]._replace(title="")
    parts += [_safe(line) for line in report.lead]
    parts += ["\n".join(_table(table)) for table in tables]
    if explain:
        parts.append("\n".join(f"- {step.name}: `{step.names}` = `{step.numbers}` = {cell_text(step.figure)}"
                               + (f" ({cited(step.figure.source)})" if step.figure.source else "")
                               for step in report.steps))  # fmt: skip
    notes = [f"- {_safe(note)}" for note in (*legend(report), *report.notes)]
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield f"**{_safe(table.title)}**\n"
    shared = [shared_mark(row[index] for row in table.rows) for index in range(len(table.columns))]
    yield (
        "| " + " | ".join(_safe(column.title + sign) for column, sign in zip(table.columns, shared, strict=True)) + " |"
    )
    yield "|" + "|".join("---:" if column.numeric else ":---" for column in table.columns) + "|"
    for row in table.rows:
        cells = zip(row, shared, strict=True)
        yield "| " + " | ".join(_cell(cell_text(cell) + ("" if sign else mark(cell))) for cell, sign in cells) + " |"


_CODE: Final = re.compile("(`[^`]+`)")


def _safe(text: str, in_code: str = "") -> str:
    """Text that Markdown will not take for markup, but for code between backticks, which stays code."""
    return "".join(_escaped(part, in_code if at % 2 else "\\|*_<>`") for at, part in enumerate(_CODE.split(text)))


def _cell(text: str) -> str:
    """The same in a table, where a bar ends a cell even in code."""
    return _safe(text, in_code="|")


def _escaped(text: str, characters: str) -> str:
    for character in characters:
        text = text.replace(character, f"\\{character}")
    return text
