"""What an answer is made of: figures with a unit and how they are known, laid out in tables, never as strings.

Renderers take a `Report` and decide how it looks; nothing before them rounds or formats.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from tscale.core.tracing import Recordable, TracedInt
from tscale.core.units import Unit

Known = Literal["exact", "convention", "cited", "measured", "bound", "predicted", "assumed"]
"""How a figure is known: counted from the architecture, by a published shortcut, quoted, measured by whoever asks, as a bound that
no run is better than, predicted with constants fitted to measured runs, or resting on an assumption."""


class Figure(NamedTuple):
    """A number with its unit, how it is known, the citation behind it, and what must be said beside it."""

    value: int | float | Fraction
    unit: Unit
    known: Known = "exact"
    source: str = ""
    note: str = ""

    @property
    def formula(self) -> str:
        """The derivation with names, or "" for a number that was not derived."""
        return self.value.names if isinstance(self.value, TracedInt) else ""


class Missing(NamedTuple):
    """There is no number here, and why. `settled`: that is known for certain; otherwise nobody has said."""

    why: str
    settled: bool = False


class Compared(NamedTuple):
    """A figure beside how many times the first model's it is, where that can be said, and how that is known."""

    figure: Figure
    ratio: Fraction | None
    known: Known = "exact"


class Line(NamedTuple):
    """One line of a total."""

    name: str
    value: int


class JointLine(Line):
    """A line of several entries together, which has the name of none of them."""

    __slots__ = ()


_VALUE: Final[Callable[[Line], int]] = attrgetter("value")


class Quantity(NamedTuple):
    """A total with its lines, its unit, and how it is known."""

    name: str
    lines: tuple[Line, ...]
    unit: Unit
    known: Known = "exact"
    source: str = ""

    @property
    def total(self) -> int:
        return sum(map(_VALUE, self.lines))


class Label(NamedTuple):
    """What people read in a cell, and what JSON and CSV have in its place: the key of a row, or true or false."""

    text: str
    value: str | bool


Cell = Figure | Compared | Missing | Label | str


class Column(NamedTuple):
    """A column: its heading, its key in CSV, and whether a narrow terminal may leave it out (the highest goes first).

    `bar`: of shares, which a terminal draws; other formats, which have no use for bars, leave the column out.
    `wraps`: of words, how narrow it may become before another column is left out. `below`: of words that are never left
    out: where a table is too wide, they stand below their row over the whole width.

    Where rows are records (`core/view.py`): `of` is the field that is shown, the key where that is empty, `read` what a cell
    makes of it, and `absent` what stands in the place of none.
    """

    title: str
    key: str
    drop: int = 0
    numeric: bool = True
    bar: bool = False
    wraps: int = 0
    below: bool = False
    of: str = ""
    absent: Cell = ""
    read: Callable[[Any], Cell] | None = None


class Table(NamedTuple):
    """Rows under columns.

    `subject`: whose figures these are, where an answer has several. `totals`: the rows that sum up those above them.
    `stack`: too wide a table is cut into several by column, the first column repeated. `aside`: not part of the CSV.
    `detail`: shown where details are asked for.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    subject: str = ""
    totals: frozenset[int] = frozenset()
    stack: bool = False
    aside: bool = False
    detail: bool = False


class Step(NamedTuple):
    """A derivation to print: the formula with names and with numbers, and the figure that came of it.

    `subject`: the model, the context or the like that it is about; within one subject, a name means one number.
    """

    name: str
    names: str
    numbers: str
    figure: Figure
    subject: str = ""


def step(name: str, figure: Figure, subject: str = "") -> Step | None:
    """The derivation of a figure whose number remembers how it was made; None for one that was given, not derived."""
    value = figure.value
    if not isinstance(value, TracedInt) or (value.op == "name" and not value.args and value.label == name):
        return None  # a size of the model under its own name
    names, numbers, _ = value.text
    return Step(name, names, numbers, figure, subject)


_BY_STRENGTH: tuple[Known, ...] = ("exact", "convention", "cited", "measured", "bound", "predicted", "assumed")


def weakest(*known: Known) -> Known:
    """How a figure is known that was made of figures known in these ways."""
    return max(known, key=_BY_STRENGTH.index, default="exact")


Data = Figure | Missing | Label | str | int | bool | None | Mapping[str, "Data"] | Sequence["Data"]


def each_figure(data: Data, change: Callable[[Figure], Figure]) -> Data:
    """The same data with each figure changed."""
    match data:
        case Figure():
            return change(data)
        case Mapping():
            return {key: each_figure(value, change) for key, value in data.items()}
        case Missing() | Label() | str() | int() | Recordable() | None:
            return data
        case _:
            return [each_figure(item, change) for item in data]


def each_cell(table: Table, change: Callable[[Figure], Figure]) -> Table:
    """The same table with each figure changed."""

    def cell_of(cell: Cell) -> Cell:
        if isinstance(cell, Compared):
            return cell._replace(figure=change(cell.figure))
        return change(cell) if isinstance(cell, Figure) else cell

    return table._replace(rows=tuple(tuple(map(cell_of, row)) for row in table.rows))


def at_best(known: Known, units: Sequence[Unit]) -> Callable[[Figure], Figure]:
    """What changes a figure in some units to one that is known no better than so."""
    return lambda one: one._replace(known=weakest(one.known, known)) if one.unit in units else one


class Detail(str):
    """A note that holds of every answer of its kind and changes none: shown where details are asked for."""

    __slots__ = ()


class Derivations(Sequence[Step]):
    """Derivations that are made when they are first looked at: most answers are shown without them."""

    def __init__(self, make: Callable[[], Iterable[Step]]) -> None:
        self._make = make

    @cached_property
    def _steps(self) -> tuple[Step, ...]:
        return tuple(self._make())

    def __getitem__(self, place: Any) -> Any:
        return self._steps[place]

    def __len__(self) -> int:
        return len(self._steps)

    def __reduce__(self) -> tuple[type[tuple[Step, ...]], tuple[tuple[Step, ...]]]:
        """Kept in a file, or sent to another process, they are made."""
        return tuple, (self._steps,)


class Report(NamedTuple):
    """An answer: tables for people, `data` for programs, made of the same figures; notes say what is not counted.

    `parts`: the answers that this one sets one below the other; their JSON is an array of theirs. `lead`: what must be
    known before the figures are read, such as what was assumed; it stands between the title and the first table, and before
    the other notes.
    """

    title: str
    tables: tuple[Table, ...]
    data: Data
    notes: tuple[str, ...] = ()
    steps: Sequence[Step] = ()
    exit_code: int = 0
    parts: "tuple[Report, ...]" = ()
    lead: tuple[str, ...] = ()
