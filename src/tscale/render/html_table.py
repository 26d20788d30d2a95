"""A table of an answer as HTML: numbers under numbers, with their marks and ratios in places of their own."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.core.metric import Cell, Column, Compared, Figure, Missing, Table
from tscale.core.number_text import number_text
from tscale.core.sources import SOURCES, cited
from tscale.render.footnotes import shared_mark
from tscale.render.format import cell_text, mark, ratio_text
from tscale.render.html_text import breakable, escaped, inline, plain

_INDENTS: Final = 3
_KEYBOARD: Final = 44  # characters: a wider table may have to be scrolled, also by who has no mouse
_WRAPS: Final = 42  # a column of words wraps there
_A_WORD_OR_TWO: Final = 14  # in the place of a number: no loss, not published
_LONG: Final = 20  # shorter words are never wrapped, and longer ones not at each word


class _Look(NamedTuple):
    """What the cells of a column share: whether they have places for a mark and for a ratio, and how wide that is."""

    column: Column
    shared: str
    marks: bool
    ratios: int
    whole: Fraction


def table_html(table: Table, name: str, *, heading: str = "") -> str:
    """A table that scrolls inside its own container, under its title, if it has one, as a heading of that element.

    `name`: what a reader of the screen's contents calls it where it has no title.
    """
    looks = [_look(column, [row[at] for row in table.rows]) for at, column in enumerate(table.columns)]
    width = sum(_characters(look, [row[at] for row in table.rows]) for at, look in enumerate(looks))
    called = plain(table.title or name)
    above = (
        f'<{heading} class="ts-title">{inline(table.title, whole=True)}</{heading}>\n'
        if heading and table.title
        else ""
    )
    reached = f' role="region" aria-label="{called}" tabindex="0"' if width > _KEYBOARD else ""
    return (
        f'{above}<div class="ts-scroll"{reached}>\n<table style="--ts-chars:{width}">\n'
        f'<caption class="ts-hidden">{called}</caption>\n<thead>\n<tr>{"".join(map(_heading, looks))}</tr>\n</thead>\n'
        + "".join(_bodies(table, looks))
        + "</table>\n</div>\n"
    )


def _look(column: Column, cells: list[Cell]) -> _Look:
    shared = shared_mark(cells)
    shares = [Fraction(cell.value) for cell in cells if isinstance(cell, Figure)] if column.bar else []
    return _Look(
        column,
        shared,
        marks=not shared and column.numeric and any(map(mark, cells)),
        ratios=max(len(ratio_text(cell)) for cell in cells) if cells else 0,
        whole=max([Fraction(1), *shares]),
    )


def _characters(look: _Look, cells: list[Cell]) -> int:
    """About how wide a column is."""
    if look.column.bar:
        return 14
    texts = [len(cell_text(cell)) for cell in cells]
    most = max(texts, default=0)
    return max(most if look.column.numeric else min(most, _WRAPS), len(look.column.title)) + (5 if look.ratios else 3)


def _heading(look: _Look) -> str:
    column = look.column
    if column.bar:
        return '<td class="ts-bar" aria-hidden="true"></td>'
    classes = ' class="ts-num"' if column.numeric else ""
    text = inline(column.title) + (f'<span class="ts-mark">{look.shared}</span>' if look.shared else "")
    if not text:
        return f"<td{classes}></td>"
    if look.marks or look.ratios:
        text = f'<span class="ts-head"><span>{text}</span>{_places(look, "", "")}</span>'
    return f'<th scope="col"{classes}>{text}</th>'


def _places(look: _Look, sign: str, ratio: str) -> str:
    """What stands behind a number, or the empty places for it, so that digits stay under digits and headings over them."""
    places = f'<span class="ts-mark ts-slot">{sign}</span>' if look.marks else ""
    if look.ratios:
        places += f'<span class="ts-ratio" style="width:{look.ratios}ch">{escaped(ratio)}</span>'
    return places


def _bodies(table: Table, looks: list[_Look]) -> Iterator[str]:
    """The rows, each run of totals in a body of its own."""
    before: bool | None = None
    for number, row in enumerate(table.rows):
        total = number in table.totals
        if total is not before:
            yield ("</tbody>\n" if before is not None else "") + (
                '<tbody class="ts-totals">\n' if total else "<tbody>\n"
            )
        before = total
        yield f"<tr>{''.join(_cell(cell, look, first=at == 0) for at, (cell, look) in enumerate(zip(row, looks, strict=True)))}</tr>\n"
    yield "</tbody>\n" if before is not None else "<tbody></tbody>\n"


def _cell(cell: Cell, look: _Look, *, first: bool) -> str:
    if look.column.bar:
        return _bar(cell, look.whole)
    content = _numeric(cell, look) if look.column.numeric else _words(cell)
    classes = " ".join(_classes(cell, look))
    said = _title(cell)
    attributes = (f' class="{classes}"' if classes else "") + (f' title="{escaped(said)}"' if said else "")
    return f'<th scope="row"{attributes}>{content}</th>' if first and content else f"<td{attributes}>{content}</td>"


def _classes(cell: Cell, look: _Look) -> Iterator[str]:
    if look.column.numeric:
        yield "ts-num"
        if isinstance(cell, Missing) and len(cell_text(cell)) <= _A_WORD_OR_TWO:
            yield "ts-short"
    elif cell_text(cell):
        yield "ts-long" if len(cell_text(cell)) > _LONG else "ts-short"
    if isinstance(cell, Missing):
        yield "ts-none"
    if isinstance(cell, str) and cell.startswith("  "):
        yield f"ts-in{min((len(cell) - len(cell.lstrip(' '))) // 2, _INDENTS)}"


def _words(cell: Cell) -> str:
    text = cell_text(cell).strip()
    return inline(text) if " " in text else breakable(text)


def _numeric(cell: Cell, look: _Look) -> str:
    """A number, or the word in its place, and where any of the column has them, a mark and a ratio."""
    figure = cell.figure if isinstance(cell, Compared) else cell
    text, places = escaped(cell_text(figure).strip()), _places(look, mark(cell), ratio_text(cell))
    if isinstance(cell, Missing) and places:  # words wrap, and what is empty behind them is no line of its own
        return f'<span class="ts-head"><span>{text}</span>{places}</span>'
    return text + places


def _bar(cell: Cell, whole: Fraction) -> str:
    share = Fraction(cell.value) / whole if isinstance(cell, Figure) else Fraction(0)
    return f'<td class="ts-bar" aria-hidden="true"><span style="width:{100 * float(share):.2f}%"></span></td>'


def _title(cell: Cell) -> str:
    """What is known of a figure and not shown: all digits of a count, its note, its source."""
    figure = cell.figure if isinstance(cell, Compared) else cell
    if not isinstance(figure, Figure):
        return ""
    unit = figure.unit
    digits = ""
    if unit.reading in ("power", "decimal") and figure.known in ("exact", "convention", "cited"):
        digits = f"{number_text(figure.value, 'given')} {unit.name}"
        digits = "" if digits.split(" ")[0] == cell_text(figure).split(" ")[0] else digits
    source = cited(figure.source) if figure.source.partition(" ")[0] in SOURCES else figure.source
    return "; ".join(filter(None, (digits, figure.note, source)))
