"""What is varied: `--vary AXIS=VALUES`, a field of the question or of the spec, and the values that it takes.

VALUES are listed (`h100,h200`), or a range with both ends: `1..8` by 1, `16..96+8` by 8, `8..1024*2` by doubling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from tscale.analysis.request import Option, spelled
from tscale.core.tracing import parse_fraction
from tscale.errors import RequestError, nearest, shown

Cell = int | float | str | bool
MOST_LISTED: Final = 100_000
"""Values of one axis that are written one by one, or made by multiplying."""
MOST_VALUES: Final = 10**12
_RANGE: Final = re.compile(r"([\d.][^*+,]*?)\.\.([\d.][^*+,]*)(?:([*+])([^*+,]+))?", re.ASCII)


@dataclass(frozen=True)
class Axis:
    """One thing that is varied.

    `values`: what its column holds. `texts`: what the question is given, where that is not the value as text.
    """

    name: str
    values: Sequence[Cell]
    texts: tuple[str, ...] | None = None

    @property
    def field(self) -> str:
        """The field of the question: `set` of `set.attention.heads`."""
        return self.name.partition(".")[0]

    @property
    def key(self) -> str:
        """What is set of a field that takes KEY=VALUE: `attention.heads` of `set.attention.heads`; else ""."""
        return self.name.partition(".")[2]

    @property
    def is_whole(self) -> bool:
        """Whether all of its values are whole numbers."""
        if isinstance(self.values, range):
            return True
        return all(isinstance(value, int) and not isinstance(value, bool) for value in self.values)

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most of whole numbers."""
        values: Any = self.values
        if isinstance(values, range):
            return values[0], values[-1]
        return min(values), max(values)

    def given(self, place: int) -> object:
        """What the question is given at a place: true or false, or a text."""
        value = self.values[place]
        if isinstance(value, bool) and not self.key:
            return value
        return str(value) if self.texts is None else self.texts[place]


def read_axes(vary: Iterable[str], options: Mapping[str, Option], command: str) -> tuple[Axis, ...]:
    """The axes of AXIS=VALUES in the order in which they were given. Raises `RequestError`."""
    axes = []
    for one in vary:
        name, equals, text = one.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise RequestError(f"--vary takes AXIS=VALUES, such as gpus=8..1024*2 or gpu=h100,h200, not {shown(one)}")
        axes.append(_axis(name.strip(), text.strip(), options, command))
    if not axes:
        raise RequestError("a sweep needs --vary AXIS=VALUES, such as --vary gpus=8..1024*2")
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"--vary {name} is given twice: list all of its values in one")
    return tuple(axes)


def _axis(name: str, text: str, options: Mapping[str, Option], command: str) -> Axis:
    field, dot, key = name.partition(".")
    field = field.lstrip("-").replace("-", "_")
    option = options.get(field)
    if option is None:
        known = [*options, *(f"{one}.KEY" for one, option in options.items() if option.metavar == "KEY=VALUE")]
        raise RequestError(f"--vary {name}: {command} has no such field: {nearest(field, known)}")
    takes_keys = option.metavar == "KEY=VALUE"
    if takes_keys and not (dot and key):
        raise RequestError(f"--vary {name}: say which field is set, such as {field}.layers=16..96+8")
    if dot and not takes_keys:
        raise RequestError(f"--vary {name}: {field} has no fields of its own: write {field}=VALUES")
    what = f"--vary {name}"
    return Axis(f"{field}.{key}" if dot else field, *_values(text, what, _reader(option, field, what)))


def _reader(option: Option, field: str, what: str) -> Any:
    """What a value means in its column, and whether it is one that the field takes."""
    if option.metavar == "KEY=VALUE":
        return _plain
    if option.kind == "flag":
        return lambda text: _flag(text, what)
    if option.kind in ("model", "models", "named", "list"):
        return lambda text: text
    return lambda text: _cell(option.of(text, f"{spelled(field)} of --vary"), text)


def _flag(text: str, what: str) -> bool:
    if text not in ("true", "false"):
        raise RequestError(f"{what} is true or false, not {shown(text)}")
    return text == "true"


def _plain(text: str) -> Cell:
    """A value of a field that is set, as its column holds it."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"\d[\d_]*([eE]\+?\d{1,2})?", text, re.ASCII):
        return int(Fraction(text.replace("_", "")))
    return text


def _cell(value: object, text: str) -> Cell:
    """What was read of a text as a column holds it: a number, or the text."""
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    one = value[0] if isinstance(value, list) and len(value) == 1 else None
    return one if isinstance(one, int) else text


def _values(text: str, what: str, read: Any) -> tuple[Sequence[Cell], tuple[str, ...] | None]:
    """The values of a text, and what the question is given for each, where that is not the value itself."""
    found = _RANGE.fullmatch(text)
    if found is not None:
        return _of_range(found, what, read)
    texts = tuple(part.strip() for part in text.split(","))
    if not all(texts):
        raise RequestError(f"{what}: a value is missing between commas in {shown(text)}")
    if len(texts) > MOST_LISTED:
        raise RequestError(f"{what} lists more than {MOST_LISTED:,} values: write a range")
    values = tuple(read(one) for one in texts)
    for place, value in enumerate(values):
        if value in values[:place] and len(texts) <= 1000:
            raise RequestError(f"{what} lists {texts[place]} twice")
    return values, texts


def _of_range(found: re.Match[str], what: str, read: Any) -> tuple[Sequence[Cell], tuple[str, ...] | None]:
    first, last, sign, by = found.groups()
    ends = [read(end.strip()) for end in (first, last)]
    if not all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends):
        raise RequestError(f"{what}: a range has numbers at both ends, not {shown(found[0])}")
    step = parse_fraction(by.strip(), what=f"the step of {what}", most=MOST_VALUES) if by else Fraction(1)
    start, stop = (Fraction(str(end)) for end in ends)
    if start > stop:
        raise RequestError(f"{what}: {first.strip()}..{last.strip()} is empty: write the smaller end first")
    if sign == "*":
        return _as_values(_multiplied(start, stop, step, what), what)
    count = (stop - start) // step + 1
    if count > MOST_VALUES:
        raise RequestError(f"{what} has {count:,} values: at most {MOST_VALUES:,}")
    if start.denominator == step.denominator == 1:
        return range(int(start), int(stop) + 1, int(step)), None
    if count > MOST_LISTED:
        raise RequestError(f"{what} has {count:,} values that are not whole: at most {MOST_LISTED:,}")
    return _as_values([start + place * step for place in range(count)], what)


def _multiplied(start: Fraction, stop: Fraction, factor: Fraction, what: str) -> list[Fraction]:
    if factor <= 1:
        raise RequestError(f"{what}: a range that is multiplied grows: write a factor above 1")
    values = [start]
    while values[-1] * factor <= stop:
        values.append(values[-1] * factor)
        if len(values) > MOST_LISTED:
            raise RequestError(f"{what} has more than {MOST_LISTED:,} values: choose a larger factor")
    return values


def _as_values(values: list[Fraction], what: str) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """Values that were made, each with its text; those of whole ends must be whole."""
    if values[0].denominator == 1 and values[-1].denominator != 1 and all(value > 100 for value in values):
        raise RequestError(f"{what} comes to {float(values[-1])}, which is not whole: choose another step")
    cells = tuple(int(value) if value.denominator == 1 else float(value) for value in values)
    return cells, tuple(str(cell) for cell in cells)
