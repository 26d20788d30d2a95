"""The keys of one `config.json` as its family's class reads them: typed, within bounds, with the class's defaults."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast

from tscale.blocks.fields import MOST_SIZE
from tscale.errors import SpecError, field, shown
from tscale.importer.harmless import is_harmless

if TYPE_CHECKING:
    from tscale.importer.family import Family, Keys

T = TypeVar("T")

NEEDED: Final = "required"
"""In place of a default: the class has none that makes sense."""

_LAYER_KEY, _HEAD_KEY = re.compile("layer|depth|block"), re.compile("(?<!kv_)(?<!value_)head(?!_dim)")
_FEED_FORWARD_KEY = re.compile("ff|feed|intermediate|inner|mlp|hidden_dim")
_KV_KEY, _HEAD_WIDTH_KEY = (
    re.compile("kv(?!_channels)|key_value|group|quer"),
    re.compile("head_(dim|size|width)|kv_channels|d_kv|d_head"),
)
_WIDTH_KEY, _WORDS_KEY = re.compile("dim|hidden|embd|embed|width|model"), re.compile("vocab|token")

_OF_CLASS = {
    "is_encoder_decoder": ("EncoderModel", "ForCausalLM", "ForTokenClassification"),
    "is_decoder": ("ForCausalLM", "LMHeadModel"),
}
"""Keys that the class in `architectures` decides: whether it has both stacks of its family, or decodes."""


def is_size(value: object) -> bool:
    """Whether a value is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def unknown(key: str, value: object, name: str, where: str) -> SpecError:
    """That a key may change what is counted in a way that is not known here."""
    from tscale.importer.families import is_of_user

    why = f'key "{key[:60]}" ({shown(value)}) is not known for {name}, and may change what is counted'
    if is_of_user(name):
        why += ": list it in the family's file, under `harmless` if it changes no count, or under `reads`"
    return SpecError(why, where=where)


def _is_item(value: object) -> bool:
    """Whether an item of a list is what a single value may be."""
    return not isinstance(value, int) or 0 <= value <= MOST_SIZE


class Config:
    """The keys of one file under their own names, with the defaults of its family's class for those it leaves out."""

    def __init__(
        self,
        data: Mapping[str, object],
        family_name: str,
        family: Family,
        where: str,
        may_matter: frozenset[str] | None = None,
    ) -> None:
        self.family_name, self.family, self._where = family_name, family, where
        self._may_matter = may_matter
        """The keys that the family's classes may read; None where any may matter."""
        self._data = self._without_aliases(data)
        named = str(data.get("architectures")).strip("[]'")
        for key, endings in _OF_CLASS.items():  # such a class sets it in its file, whatever its family says
            if named.endswith(endings):
                self._data.pop(key, None)
        self.taken: dict[str, object] = {}
        """What was taken from the class's defaults, since the file does not say it."""

    @property
    def is_strict(self) -> bool:
        """Whether nothing is passed over."""
        return self._may_matter is None

    @property
    def keys(self) -> Keys:
        """How this family calls its sizes."""
        return self.family.keys

    def wrong(self, message: str) -> SpecError:
        """An error in this file."""
        return SpecError(message, where=self._where)

    def reads(self, key: str) -> bool:
        """Whether the class reads a key."""
        return key in self.family.reads

    def says(self, key: str) -> object:
        """What stands in the file at a key, whoever reads it."""
        return self._data.get(key)

    def value(self, key: str) -> object:
        """What stands at a key, or what the class takes in its place."""
        if not self.reads(key):  # of a user's own row: those that are shipped are held to what their hooks read
            raise self.wrong(
                f'a rule of {self.family_name} reads "{key}", which is not among the keys of reads: add it'
            )
        default = self.family.reads[key]
        value = self._data.get(key, default)
        if key not in self._data and default != NEEDED:
            self.taken[key] = default
        if default == NEEDED and value in (None, NEEDED):
            raise self.wrong(f'no "{key}": {self.family_name} needs it')
        if value is None and default is not None and key not in self.family.nullable:
            self._mistyped(key, self._kind_of(default), None)
        return value

    def size(self, key: str) -> int:
        """A whole number above 0."""
        return self._whole(key, self.value(key), 1)

    def whole(self, key: str) -> int:
        """A whole number, 0 allowed."""
        return self._whole(key, self.value(key), 0)

    def optional(self, key: str) -> int | None:
        """A whole number above 0, or None where it is absent or null."""
        value = self.value(key)
        return None if value is None else self._whole(key, value, 1)

    def optional_whole(self, key: str) -> int | None:
        """A whole number, 0 allowed, or None where it is absent or null."""
        value = self.value(key)
        return None if value is None else self._whole(key, value, 0)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.value(key)
        return value if isinstance(value, bool) else self._mistyped(key, "true or false", value)

    def text(self, key: str) -> str:
        """A word."""
        value = self.value(key)
        return value if isinstance(value, str) else self._mistyped(key, "text", value)

    def listed(self, key: str, kind: type[T]) -> list[T] | None:
        """A list of words or of whole numbers from 0, or None where it is absent or null."""
        value = self.value(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(item) is kind and _is_item(item) for item in value):
            self._mistyped(key, "a list of words" if kind is str else "a list of whole numbers", value)
        return cast("list[T]", value)

    def architectures(self) -> str | None:
        """The one class that the file names, or None."""
        value = self._data.get("architectures")
        match value:
            case None | []:
                return None
            case [str(name)]:
                return name
            case list() if len(value) > 1:
                raise self.wrong(f"architectures must be a list of one class, not of {len(value):,}")
        return self._mistyped("architectures", "a list of one class", value)

    def labels(self) -> int:
        """How many labels a classifier tells apart: those of `id2label`, or `num_labels`, or two."""
        names, count = self._data.get("id2label"), self._data.get("num_labels")
        if names is not None and not (isinstance(names, dict) and names):
            self._mistyped("id2label", "a mapping of numbers to labels", names)
        if isinstance(names, dict) and count not in (None, len(names)):
            raise self.wrong(f"num_labels: {shown(count)} contradicts id2label, which has {len(names):,}")
        return self._whole("num_labels", count, 1) if names is None and count is not None else len(names or "01")

    def agreed(self, key: str, derived: int, source: str) -> int:
        """A number that another key decides: this one may repeat it, and nothing else."""
        if self.optional(key) not in (None, derived):
            raise self.wrong(f"{key}: {self.optional(key)} contradicts {source}, which makes it {derived}")
        return derived

    def inner(self, key: str, sizes: Mapping[str, int], *, harmless: Iterable[str] = ()) -> dict[str, int]:
        """The whole numbers of an object inside the file, and nothing else in it that might change a count."""
        data = self.value(key)
        if not isinstance(data, dict | None):
            raise self.wrong(f"{key} must be a mapping, not {shown(data)}")
        for name, value in (data or {}).items():
            known = name in sizes or name in harmless or is_harmless(name)
            if value and not known:
                raise unknown(f"{key}.{name}", value, self.family_name, self._where)
        return {
            name: self._whole(f"{key}.{name}", (data or {}).get(name, default), 1) for name, default in sizes.items()
        }

    def passed_over(self) -> list[str]:
        """The keys that the classes do not read, and that say something.

        Refuses a value that the class does not have, and a key that might change a count.
        """
        aside: list[str] = []
        for key, value in self._data.items():
            if key in self.family.fixed:
                if self._matters(key):
                    self._refuse_unlike(key, value, self.family.fixed[key])
                elif self._is_unlike(value, self.family.fixed[key]):
                    aside.append(key)
            elif value and not (self.reads(key) or self._is_harmless(key) or self._repeats(key, value)):
                if self._matters(key):
                    raise unknown(key, value, self.family_name, self._where)
                aside.append(key)
        return aside

    def _matters(self, key: str) -> bool:
        """Whether the family's classes may read a key. Behind a sliding window, none of them reads a chunk's size."""
        if self._may_matter is None:
            return True
        return key in self._may_matter and not (key == "attention_chunk_size" and self._data.get("sliding_window"))

    def _repeats(self, key: str, value: object) -> bool:
        """Whether a key is another name of one that says the same."""
        return key in self.family.aliases and self._data.get(self.family.aliases[key]) == value

    def left_aside(self) -> list[str]:
        """The keys that might change a count and that the class does not read; refuses a value that it does not have."""
        for key, value in self._data.items():
            if key in self.family.fixed:
                self._refuse_unlike(key, value, self.family.fixed[key])
        read = {*self.family.fixed, *self.family.reads}
        return [key for key, value in self._data.items() if value and not (key in read or self._is_harmless(key))]

    def missing_sizes(self) -> dict[str, re.Pattern[str]]:
        """The sizes without which nothing is its own and that the file lacks, each with what its key may be like."""
        keys = self.keys
        sizes = {keys.layers: _LAYER_KEY, keys.d_model: _WIDTH_KEY, keys.heads: _HEAD_KEY, keys.vocabulary: _WORDS_KEY}
        return {key: like for key, like in sizes.items() if self.reads(key) and key not in self._data}

    def _other_sizes(self) -> dict[str, re.Pattern[str]]:
        """The sizes that the file lacks and that have a default, each with what its key may be like under another name."""
        sizes = {self.keys.d_ff: _FEED_FORWARD_KEY, "num_key_value_heads": _KV_KEY, "head_dim": _HEAD_WIDTH_KEY}
        return {
            key: like for key, like in sizes.items() if key is not None and self.reads(key) and key not in self._data
        }

    def refuse_other_sizes(self, unread: Iterable[str]) -> None:
        """Refuses a file that lacks a size, or has one under another name; names for each what else in it may be that size."""
        missing, found = self.missing_sizes(), [key for key in unread if is_size(self._data.get(key))]
        alike = {key: [other[:60] for other in found if like.search(other)] for key, like in missing.items()}
        others = {
            key: [other[:60] for other in found if like.search(other)] for key, like in self._other_sizes().items()
        }
        alike |= {key: names for key, names in others.items() if names}
        if not alike:
            return
        told = [f"{key} (perhaps its {' or '.join(others)})" if others else key for key, others in alike.items()]
        hint = "rename the keys that hold them" if any(alike.values()) else "add them to the file"
        raise self.wrong(
            f"{field('assume', self.family_name)} needs {', '.join(told)}, and the file has no such key: {hint}"
        )

    def _is_harmless(self, key: str) -> bool:
        return key in self.family.harmless or is_harmless(key)

    def _is_unlike(self, value: object, expected: object) -> bool:
        return value is not None and (value != expected or isinstance(value, bool) != isinstance(expected, bool))

    def _refuse_unlike(self, key: str, value: object, expected: object) -> None:
        if self._is_unlike(value, expected):
            raise self.wrong(
                f"{key}: {shown(value)} is not known yet for {self.family_name}: only {shown(expected)} is"
            )

    def _without_aliases(self, data: Mapping[str, object]) -> dict[str, object]:
        known = dict(data)
        for alias, key in self.family.aliases.items():
            if not self._matters(alias) or known.get(alias) is None:
                continue
            value = known.pop(alias)
            if known.get(key) is not None and known[key] != value:
                raise self.wrong(
                    f"{alias} ({shown(value)}) and {key} ({shown(known[key])}) mean the same size, and differ: drop one"
                )
            known[key] = value
        return known

    def _whole(self, key: str, value: object, least: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_SIZE:
            self._mistyped(key, f"a whole number from {least} to 10^12", value)
        return value

    def _kind_of(self, default: object) -> str:
        return {bool: "true or false", int: "a whole number", str: "text"}.get(type(default), "a list")

    def _mistyped(self, key: str, wanted: str, value: object) -> NoReturn:
        raise self.wrong(f"{key} must be {wanted}, not {shown(value)}")
