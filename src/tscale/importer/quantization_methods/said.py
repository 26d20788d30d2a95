"""What one object of a quantization_config says: each key read once, and refused where it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tscale.errors import SpecError, shown


class Said:
    """The keys of one object in a file."""

    def __init__(self, key: str, data: Mapping[str, object], where: str) -> None:
        self.key, self.data, self.where = key, data, where

    def wrong(self, name: str, wanted: str) -> SpecError:
        return SpecError(f"{self.key}.{name} must be {wanted}, not {shown(self.data.get(name))}", where=self.where)

    def number(self, *names: str, default: int | None = None, of: tuple[int, ...] | None = None) -> int:
        """A whole number, under the first of some names that is there: one `of` those given, or from 1 on."""
        name = next((name for name in names if self.data.get(name) is not None), names[0])
        value = self.data.get(name)
        value = default if value is None else value
        if type(value) is not int or not (value in of if of is not None else 0 < value < _TOO_MANY):
            raise self.wrong(name, f"one of {', '.join(map(str, of))}" if of else f"a whole number {_IN_RANGE}")
        return value

    def bits(self, *names: str, of: tuple[int, ...], default: int = 4) -> int:
        """How many bits numbers have, of those that a method knows: as many as `default` where a file is silent, and never null."""
        for name in names:
            if name in self.data and self.data[name] is None:
                raise self.wrong(name, f"one of {', '.join(map(str, of))}")
        return self.number(*names, default=default, of=of)

    def group(self, *names: str, default: int) -> int:
        """Numbers that share a scale, under the first of some names that is there; -1 for those of a row."""
        name = next((name for name in names if self.data.get(name) is not None), names[0])
        if self.data.get(name) == -1:
            return -1
        try:
            return self.number(*names, default=default)
        except SpecError:
            raise self.wrong(name, f"-1 or a whole number {_IN_RANGE}") from None

    def block(self, name: str) -> tuple[int, int] | None:
        """Rows and columns that share a scale, or None where it says none."""
        value = self.data.get(name)
        match value:
            case None:
                return None
            case [int(rows), int(columns)] if all(type(n) is int and 0 < n < _TOO_MANY for n in (rows, columns)):
                return rows, columns
        raise SpecError(
            f"{self.key}.{name} must be two whole numbers {_IN_RANGE}, not {_list(value)}", where=self.where
        )

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.data.get(name)
        if not isinstance(value, bool | None):
            raise self.wrong(name, "true or false")
        return default if value is None else value

    def text(self, name: str) -> str:
        """A word, or "" where there is none."""
        value = self.data.get(name)
        if not isinstance(value, str | None):
            raise self.wrong(name, "text")
        return value or ""

    def names(self, *names: str) -> list[str]:
        """The words of all lists under some names."""
        found: list[str] = []
        for name in names:
            value = self.data.get(name)
            if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
                raise self.wrong(name, "a list of words")
            found += value or []
        return found

    def lists(self, name: str) -> list[str]:
        """The words of a list, or of lists inside of it."""
        value = self.data.get(name)
        outer = value if isinstance(value, list) else [] if value is None else [None]
        found = [item for inner in outer for item in (inner if isinstance(inner, list) else [inner])]
        words = [item for item in found if isinstance(item, str)]
        if len(words) < len(found):
            raise self.wrong(name, "a list of words, or of lists of them")
        return words

    def inner(self, name: str) -> Said | None:
        """An object inside of it."""
        value = self.data.get(name)
        if not isinstance(value, Mapping | None):
            raise self.wrong(name, "an object")
        return None if value is None else Said(f"{self.key}.{name}", value, self.where)

    def objects(self) -> list[tuple[str, Said]]:
        """All that is inside of it, each of which must be an object."""
        return [(name, inner) for name in self.data if (inner := self.inner(name)) is not None]


_TOO_MANY: Final = 10**6
_IN_RANGE: Final = "from 1 to 999999"


def _list(value: object) -> str:
    """A list in a message by its items, as far as they are few."""
    return f"[{', '.join(map(shown, value[:4]))}]" if isinstance(value, list) else shown(value)
