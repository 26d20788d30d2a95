"""Tables in a terminal, or in a pipe where no digit is ever cut.

A terminal has a width: a table that does not fit loses its droppable columns, the highest `drop` first, or is cut into
several side by side where it compares things; what was left out is said. A pipe has no width, unless COLUMNS sets one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO, TextIOWrapper
from itertools import groupby
from shutil import get_terminal_size
from typing import Final, NamedTuple, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.control import strip_control_codes
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from tscale.core.metric import Cell, Column, Compared, Missing, Report, Step, Table
from tscale.core.sources import cited, reference
from tscale.render.bars import bar_texts, with_columns
from tscale.render.footnotes import legend, shared_mark
from tscale.render.format import cell_text, derived_text, in_encoding, mark, ratio_text
from tscale.render.streams import has_width, takes_colour

NO_LIMIT: Final = 100_000
_BETWEEN: Final = 3  # between columns: a box's own divider, and what stands beside it
_LEAST_BETWEEN: Final = 2  # where a column would have to go otherwise
_MOST_TEXT: Final = 72  # a column of words wraps there
_INDENT: Final = 4  # of what stands below a row
_READILY: Final = 3  # columns of such a `drop` are left out before another has to stand below the rows


def to_text(report: Report, *, explain: bool = False) -> str:
    """A report as a pipe that holds every glyph would get it."""
    data = BytesIO()
    stream = TextIOWrapper(data, encoding="utf-8", newline="\n")
    show_in_terminal(report, stream, explain=explain)
    stream.flush()
    return data.getvalue().decode()


def show_in_terminal(report: Report, stream: TextIO, *, explain: bool = False) -> None:
    """Prints a report to a stream: its tables, its derivations where they are asked for, its notes."""
    screen = _Screen(_console(stream))
    tables = list(report.tables)
    if report.lead and tables:
        screen.line(tables[0].title or report.title, style="bold")
        tables[0] = tables[0]._replace(title="")
    if not tables:
        screen.line(report.title, style="bold")
    for line in report.lead:
        screen.line(line)
    if report.lead:
        screen.line("")
    for table in tables:
        screen.table(table)
    if explain:
        screen.steps(report.steps)
    screen.notes(report, explain=explain)


def _console(stream: TextIO) -> Console:
    """A console that neither cuts nor colours what its reader did not ask it to."""
    colour = takes_colour(stream)
    return Console(
        file=stream,
        width=get_terminal_size().columns if has_width(stream) else NO_LIMIT,
        markup=False,
        highlight=False,
        emoji=False,
        color_system="auto" if colour else None,
        no_color=not colour,
        soft_wrap=False,
        legacy_windows=False,
    )


class _Line(NamedTuple):
    """A line of a derivation, which is its name or a formula."""

    text: str
    is_name: bool = False


def _lines_of(step: Step) -> Iterator[_Line]:
    """Its name, the formula with names, with numbers, and the value with its source."""
    source = f"   [{cited(step.figure.source)}]" if step.figure.source else ""
    yield _Line(step.name, is_name=True)
    for text in (step.names, step.numbers, f"{derived_text(step.figure)} {step.figure.unit.word}".rstrip() + source):
        yield _Line(f"    = {text}")


class _Screen:
    """A console with an encoding and a width."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.encoding = getattr(console.file, "encoding", None) or "ascii"
        self.unicode = in_encoding("─×█", self.encoding) == "─×█"
        self.dropped: list[str] = []
        self.between = _BETWEEN

    def table(self, table: Table) -> None:
        """A table in as many pieces as the width asks for."""
        if self.console.width >= NO_LIMIT:
            self._one(table, [])
            return
        widths = self._widths(table)
        self.between = self._room_between(table, widths)
        kept, below = self._with_below(table, widths)
        for number, piece in enumerate(self._pieces(kept, widths if kept is table else self._widths(kept))):
            self._one(piece if number == 0 else piece._replace(title=""), below)

    def line(self, text: str, style: str = "") -> None:
        """A paragraph, wrapped at the width."""
        self._print(Text(self._text(text), style=style))

    def steps(self, steps: Sequence[Step]) -> None:
        """Each derivation: its name, the formula with names, with numbers, the value and where it is from."""
        subjects = dict.fromkeys(step.subject for step in steps)
        for subject in subjects:
            self.line(f"How each number was made{f': {subject}' if subject else ''}", style="bold")
            own = (line for step in steps if step.subject == subject for line in _lines_of(step))
            for wraps, lines in groupby(own, key=self._wraps):
                if wraps:
                    for line in lines:
                        self.line(line.text)
                else:
                    text = strip_control_codes(self._text("\n".join(line.text for line in lines)))
                    self.console.file.write(f"{text}\n")  # as it is: thousands of lines take rich a second
            self.line("")

    def _wraps(self, line: _Line) -> bool:
        """Whether a line is cut into several at the width; formulas are not, so that they can be pasted."""
        return line.is_name and cell_len(line.text) > self.console.width

    def notes(self, report: Report, *, explain: bool) -> None:
        """The footnotes: columns left out, marks, what is not counted, and the references of what was derived."""
        notes = [*legend(report), *report.notes]
        if self.dropped:
            dropped = ", ".join(f'"{title}"' for title in dict.fromkeys(self.dropped))  # titles have spaces and colons
            notes.insert(0, f"Left out at this width: {dropped}; a wider terminal or a pipe shows all.")
        if explain:
            notes += dict.fromkeys(filter(None, (reference(step.figure.source) for step in report.steps)))
        for note in notes:
            self.line(note, style="dim")

    def _text(self, text: str) -> str:
        return in_encoding(text, self.encoding)

    def _room_between(self, table: Table, widths: list[int]) -> int:
        """The spaces between columns: fewer where a column that may go would have to."""
        every = [index for index, column in enumerate(table.columns) if not column.below]
        self.between = _BETWEEN
        fits = self._total(widths, every) <= self.console.width
        goes = any(table.columns[index].drop for index in every)
        return _BETWEEN if fits or not goes or not self.unicode else _LEAST_BETWEEN

    def _total(self, widths: list[int], keep: list[int]) -> int:
        return sum(widths[index] for index in keep) + self.between * (len(keep) - 1)

    def _with_below(self, table: Table, widths: list[int]) -> tuple[Table, list[str]]:
        """A table that is too wide without the columns that can stand below its rows, and what stands below each."""
        every = list(range(len(table.columns)))
        below = [index for index in every if table.columns[index].below]
        firm = [index for index in every if table.columns[index].drop < _READILY]
        if not below or self._total(widths, firm) <= self.console.width:
            return table, []
        kept = with_columns(table, [index for index in every if index not in below])
        return kept, [_lines_below(table, row, below) for row in table.rows]

    def _pieces(self, table: Table, widths: list[int]) -> Iterator[Table]:
        """The table if it fits; else without columns that may go; else, where it compares, in several pieces."""
        keep = list(range(len(table.columns)))
        room = self.console.width
        while self._total(widths, keep) > room:
            droppable = max(keep, key=lambda index: table.columns[index].drop)
            if not table.columns[droppable].drop:
                break
            keep.remove(droppable)
            if not table.columns[droppable].bar:  # its share stays
                self.dropped.append(table.columns[droppable].title)
        if not table.stack or self._total(widths, keep) <= room:
            yield with_columns(table, keep)
            return
        first, rest = keep[0], keep[1:]
        while rest:
            piece = [first, rest.pop(0)]
            while rest and self._total(widths, [*piece, rest[0]]) <= room:
                piece.append(rest.pop(0))
            yield with_columns(table, piece)

    def _widths(self, table: Table) -> list[int]:
        return [self._width(table, index) for index in range(len(table.columns))]

    def _width(self, table: Table, index: int) -> int:
        column, cells = table.columns[index], [row[index] for row in table.rows]
        texts = self._column(column, cells, with_marks=not shared_mark(cells))
        widest = max((len(text) for text in texts), default=0)
        heading = len(self._text(column.title + shared_mark(cells)))
        return max(widest if column.numeric else min(widest, column.wraps or _MOST_TEXT), heading)

    def _one(self, table: Table, below: list[str]) -> None:
        if table.title:
            self.line(table.title, style="bold")
        texts: list[list[Text]] = []
        for index, column in enumerate(table.columns):
            cells = [row[index] for row in table.rows]
            texts.append(self._column(column, cells, with_marks=not shared_mark(cells)))
        if below:
            self._rows_over(table, texts, below)
            return
        grid = self._grid(table, texts)
        for number in range(len(table.rows)):
            total = number in table.totals
            if total and number - 1 not in table.totals:
                grid.add_section()
            grid.add_row(*(column[number] for column in texts), style="bold" if total else "")
        self._print(grid, width=self._width_of(grid))
        self.line("")

    def _width_of(self, grid: RichTable) -> int:
        """Narrower than its numbers and words a table does not get: past that the terminal wraps, and no digit is cut."""
        if self.console.width >= NO_LIMIT:
            return NO_LIMIT
        least = self.console.measure(grid, options=self.console.options.update(max_width=NO_LIMIT)).minimum
        return max(self.console.width, least)

    def _rows_over(self, table: Table, texts: list[list[Text]], below: list[str]) -> None:
        """Rows one by one, each over what stands below it; all of them, and the heading, in columns of the same widths."""
        widths = self._widths_within(table, texts)
        whole = max(self.console.width, self._total(widths, list(range(len(widths)))))
        self._print(self._grid(table, texts, widths), width=whole)
        for number, text in enumerate(below):
            grid = self._grid(table, texts, widths)
            grid.show_header = False
            grid.add_row(*(column[number] for column in texts))
            self._print(grid, width=whole)
            if text:
                self._print(Padding(Text(self._text(text), style="dim"), (0, 0, 0, _INDENT)))
        self.line("")

    def _widths_within(self, table: Table, texts: list[list[Text]]) -> list[int]:
        """How wide each column is: numbers and headings in full, and words as wide as the room that these leave them."""
        every = list(range(len(table.columns)))
        widths = self._widths(table._replace(columns=_without_wraps(table)))
        for index in every:
            if not table.columns[index].numeric:
                least = max(_longest_word(texts[index]), len(table.columns[index].title))
                over = self._total(widths, every) - self.console.width
                widths[index] = max(widths[index] - max(over, 0), least)
        return widths

    def _grid(self, table: Table, texts: list[list[Text]], widths: list[int] | None = None) -> RichTable:
        """The columns of a table, without its rows; of fixed `widths` where they are given."""
        grid = RichTable(
            box=box.SIMPLE_HEAD if self.unicode else box.ASCII2,
            show_edge=False,
            pad_edge=False,
            padding=(0, self.between - 1, 0, 0) if self.unicode else (0, 1),
            header_style="dim",
        )
        for index, column in enumerate(table.columns):
            widest = max((len(text) for text in texts[index]), default=0)
            heading = "" if column.bar else self._text(column.title + shared_mark([row[index] for row in table.rows]))
            grid.add_column(
                heading.rjust(widest) if column.numeric else heading,
                no_wrap=column.numeric,
                overflow="fold",
                width=None if widths is None else widths[index],
                min_width=widest if column.numeric else _longest_word(texts[index]),
                max_width=None if column.numeric else _MOST_TEXT,
            )
        return grid

    def _print(self, shown: RichTable | Text | Padding, width: int | None = None) -> None:
        """Prints a table or a paragraph; without colour, lines end where their text does."""
        own = self.console.width
        self.console.width = own if width is None else width  # print() itself goes no further than the console
        if self.console.color_system is not None:
            self.console.print(shown, crop=False)
            self.console.width = own
            return
        with self.console.capture() as captured:
            self.console.print(shown, crop=False)
        self.console.width = own
        self.console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())

    def _column(self, column: Column, cells: list[Cell], *, with_marks: bool) -> list[Text]:
        """The texts of a column: marks and ratios in places of their own, so that digits stay under digits."""
        if column.bar:
            return [Text(bar) for bar in bar_texts(cells, unicode=self.unicode)]
        marks = [mark(cell) if with_marks and column.numeric else "" for cell in cells]
        ratios = [ratio_text(cell) for cell in cells]
        mark_width, ratio_width = max(map(len, marks), default=0), max(map(len, ratios), default=0)
        texts = []
        for cell, sign, ratio in zip(cells, marks, ratios, strict=True):
            figure = cell.figure if isinstance(cell, Compared) else cell
            beside = f"  {ratio:<{ratio_width}}" if ratio_width else ""
            texts.append(self._text(cell_text(figure) + f"{sign:<{mark_width}}" + beside))
        width = max(map(len, texts), default=0) if column.numeric else 0
        return [
            Text(
                text.rjust(max(width, len(column.title))) if column.numeric else text,
                style="dim" if isinstance(cell, Missing) else "",
            )
            for cell, text in zip(cells, texts, strict=True)
        ]


def _without_wraps(table: Table) -> tuple[Column, ...]:
    return tuple(column._replace(wraps=0) for column in table.columns)


def _longest_word(texts: list[Text]) -> int:
    """The longest word of a column of words, which is not broken; up to a limit, so that a path may be."""
    words = [len(word) for text in texts for word in text.plain.split()]
    return min(max(words, default=0), _MOST_TEXT // 2)


def _lines_below(table: Table, row: Sequence[Cell], places: Sequence[int]) -> str:
    """What stands below a row, a line for each column that has something to say."""
    said = [(table.columns[place].title, cell_text(row[place])) for place in places]
    return "\n".join(f"{title}: {text}" for title, text in said if text)
