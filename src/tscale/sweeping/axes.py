"""What is varied: `--vary AXIS=VALUES`, a field of the question or of the spec, and the values that it takes.

VALUES are listed (`h100,h200`), or a range with both ends: `1..8` by 1, `16..96+8` by 8, `8..1024*2` by doubling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, Final

from tscale.analysis.request import Option
from tscale.core.axis import MOST_PARTS, Span, read_axis
from tscale.errors import RequestError, nearest, shown

Cell = int | float | str | bool
MOST_LISTED: Final = 100_000
"""Values of one axis that are kept one by one: ranges by whole steps are not."""

MOST_VALUES: Final = 10**12
"""Values of one axis, which would take months."""


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


Written = tuple[str, str | tuple[str, ...]]
"""An axis as it is given: its name, and its values as one text, or a text of each."""


def as_written(vary: object) -> tuple[Written, ...]:
    """Axes as they are given: texts AXIS=VALUES, or a mapping of names to values, lists or ranges. Raises `RequestError`."""
    if isinstance(vary, Mapping):
        return tuple((str(name), _texts(values, str(name))) for name, values in vary.items())
    texts = [vary] if isinstance(vary, str) else list(vary) if isinstance(vary, Iterable) else []
    found = []
    for one in texts:
        name, equals, text = one.partition("=") if isinstance(one, str) else ("", "", "")
        if not equals or not name.strip() or not text.strip():
            raise RequestError(f"--vary takes AXIS=VALUES, such as gpus=8..1024*2 or gpu=h100,h200, not {shown(one)}")
        found.append((name.strip(), text.strip()))
    return tuple(found)


def _texts(values: Any, name: str) -> str | tuple[str, ...]:
    """The values of an axis from Python as texts."""
    if isinstance(values, range) and values.step > 0 and values:
        return f"{values[0]}..{values[-1]}" + (f"+{values.step}" if values.step > 1 else "")
    if isinstance(values, str):
        return values
    if not isinstance(values, Iterable) or isinstance(values, Mapping):
        return (_text(values),)
    listed = tuple(_text(one) for one in islice(values, MOST_LISTED + 1))
    if not listed:
        raise RequestError(f"--vary {name} has no values")
    if len(listed) > MOST_LISTED:
        raise RequestError(f"--vary {name} lists more than {MOST_LISTED:,} values: give a range")
    return listed


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_axes(vary: Iterable[Written], options: Mapping[str, Option], command: str) -> tuple[Axis, ...]:
    """The axes in the order in which they were given. Raises `RequestError`."""
    axes = [_axis(name, values, options, command) for name, values in vary]
    if not axes:
        raise RequestError("a sweep needs --vary AXIS=VALUES, such as --vary gpus=8..1024*2")
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"--vary {name} is given twice: list all of its values in one")
    return tuple(axes)


def _axis(name: str, text: str | tuple[str, ...], options: Mapping[str, Option], command: str) -> Axis:
    field, dot, key = name.partition(".")
    field = field.lstrip("-").replace("-", "_")
    option = options.get(field)
    if option is None:
        raise RequestError(f"--vary {name}: {command} has no such field: {_meant(name, field, options)}")
    takes_keys = option.metavar == "KEY=VALUE"
    if takes_keys and not (dot and key):
        raise RequestError(f"--vary {name}: say which field is set, such as {field}.layers=16..96+8")
    if dot and not takes_keys:
        raise RequestError(f"--vary {name}: {field} has no fields of its own: write {field}=VALUES")
    what = f"--vary {name}"
    for one in (text,) if isinstance(text, str) else text:
        if not one.isprintable():
            raise RequestError(f"{what} takes values that can be shown in a row, not {shown(one)}")
    read = _reader(option, what)
    return Axis(
        f"{field}.{key}" if dot else field,
        *(_values(text, what, read) if isinstance(text, str) else _of_texts(text, what, read)),
    )


def _meant(name: str, field: str, options: Mapping[str, Option]) -> str:
    """Which axis was meant by a name that is none: a field of the spec is varied as one of `set`."""
    from tscale.models.validation import keys_of

    of_spec = ("layers", "d_model", "vocabulary", "tied", *keys_of("attention", None), *keys_of("feed_forward", None))
    if "set" in options and (name in of_spec or field in ("attention", "feed_forward", "positions", "norm")):
        return f"did you mean set.{name}?"
    known = [*options, *(f"{one}.KEY" for one, option in options.items() if option.metavar == "KEY=VALUE")]
    return nearest(field, known)


def _reader(option: Option, what: str) -> Any:
    """What a value means in its column, and whether it is one that the field takes."""
    if option.metavar == "KEY=VALUE":
        return _plain
    if option.kind == "flag":
        return lambda text: _flag(text, what)
    if option.kind in ("model", "models", "named", "list"):
        return _as_it_is
    return lambda text: _alone(option.of(text, what))


def _alone(value: Any) -> Any:
    """A value of a field that takes a list of them: in a row there is one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _as_it_is(text: str) -> str:
    """A name, which is no number and no range."""
    return text


def _flag(text: str, what: str) -> bool:
    if text not in ("true", "false"):
        raise RequestError(f"{what} is true or false, not {shown(text)}")
    return text == "true"


def _plain(text: str) -> Cell | Fraction:
    """A value of a field that is set, as its column holds it."""
    if text in ("true", "false"):
        return text == "true"
    if len(text) <= _MOST_DIGITS and _NUMBER.fullmatch(text):
        number = Fraction(text.replace("_", ""))
        return int(number) if number.denominator == 1 else number
    return text


_NUMBER: Final = re.compile(r"\d[\d_]*(\.\d+)?([eE]\+?\d{1,2})?", re.ASCII)
_MOST_DIGITS: Final = 100
"""Of a number; Python reads none of more than some thousand, and a longer text is one that the field refuses."""


def _cell(value: object, text: str) -> Cell:
    """What was read of a text as a column holds it: a number, or the text."""
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    return text


def _values(text: str, what: str, read: Any) -> tuple[Sequence[Cell], tuple[str, ...] | None]:
    """The values of a text, and what the question is given for each, where that is not the value itself."""
    if read is _as_it_is:
        return _listed(text, what)
    found = read_axis(text, what, lambda one, _: read(one))
    alone = _as_range(found.parts[0]) if len(found.parts) == 1 and isinstance(found.parts[0], Span) else None
    if alone is not None and found.size <= MOST_VALUES:
        return alone, None
    if alone is not None:
        raise RequestError(f"{what} is of {found.size:.3g} values: at most {MOST_VALUES:,}")
    if found.size > MOST_LISTED:
        raise RequestError(
            f"{what} has {found.size:,} values that are no range by whole steps: at most {MOST_LISTED:,}"
        )
    pairs = [pair for written, part in zip(text.split(","), found.parts, strict=True) for pair in _pairs(part, written)]
    values = tuple(_cell(value, one) for value, one in pairs)
    texts = tuple(one for _, one in pairs)
    _refuse_twice(values, texts, what)
    return values, texts


def _of_texts(texts: tuple[str, ...], what: str, read: Any) -> tuple[Sequence[Cell], tuple[str, ...]]:
    """Values that are texts of their own, so that one may have commas in it."""
    values = tuple(_cell(read(one), one) for one in texts)
    _refuse_twice(values, texts, what)
    return values, texts


def _pairs(part: Any, written: str) -> list[tuple[Any, str]]:
    """Each value of a part of an axis with its text."""
    if isinstance(part, Span):
        return [(value, str(_number(value))) for value in part]
    return [(part, written.strip())]


def _listed(text: str, what: str) -> tuple[Sequence[Cell], tuple[str, ...]]:
    """Names, of which none is a range: `../mine.yaml` is a file."""
    texts = tuple(part.strip() for part in text.split(","))
    if not all(texts):
        raise RequestError(f"{what} has a value that is empty: write a name between the commas")
    if len(texts) > MOST_PARTS:
        raise RequestError(f"{what} lists {len(texts):,} values: at most {MOST_PARTS:,}")
    _refuse_twice(texts, texts, what)
    return texts, texts


def _refuse_twice(values: Sequence[Cell], texts: Sequence[str], what: str) -> None:
    seen: set[Cell] = set()
    for value, text in zip(values, texts, strict=True):
        if value in seen:
            raise RequestError(f"{what} has {text} twice: its rows would be the same")
        seen.add(value)


def _as_range(span: Span) -> range | None:
    """Whole numbers in even steps, of which none is made before it is asked for; None of others."""
    if span.factor is not None or Fraction(span.low).denominator != 1 or Fraction(span.step).denominator != 1:
        return None
    return range(int(span.low), int(span.high) + 1, int(span.step))


def _number(value: int | Fraction) -> int | float:
    """A number of a range as it is written."""
    return int(value) if Fraction(value).denominator == 1 else float(value)
