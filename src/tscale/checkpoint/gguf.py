"""Reads the header of a GGUF file, and no data of it: what the file says of the model, and its tensors.

A header is untrusted. It is read up to a cap, and whatever it counts (keys, texts in lists, tensors) is capped too; a list
of numbers is passed over by arithmetic, so that time and memory follow the bytes that are there, never the counts that
they claim.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tscale.checkpoint.regular_file import Read, opened
from tscale.checkpoint.tensors import Tensor, Weights
from tscale.errors import SpecError, called, shown

MOST_HEADER: Final = 64 * 2**20  # vocabularies stand in it
MOST_KEYS: Final = 10_000
MOST_TEXTS: Final = 4_000_000  # in lists: a large vocabulary and its merges are a million
MOST_LISTS: Final = 100_000  # in lists
MOST_TENSORS: Final = 65_536  # experts are stacked: the largest models have some thousands
MOST_DIMENSIONS: Final = 4
MOST_KEY: Final = 1_024  # bytes
MOST_NAME: Final = 256  # bytes of a tensor's name: ggml itself holds 64
MOST_TEXT: Final = 1_024  # bytes of a value that is kept: names and formats, no templates
MOST_LISTED: Final = 50_000  # numbers in lists that are kept: those of layers, not those of vocabularies
MOST_DEPTH: Final = 4
_FIRST_READ: Final = 2**20
_VERSIONS: Final = (2, 3)
_ALIGNMENT: Final = "general.alignment"

_TYPES: Final[dict[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""Formats of tensors by number: name, numbers in a block, bytes of a block. Source: ggml.h and ggml-common.h of ggml."""

_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of values by number, as `struct` calls them."""
_TEXT, _LIST = 8, 9

Value = str | int | float | bool | list[int | float | bool]


class Unkept(NamedTuple):
    """A list whose items are not kept, or a text whose bytes are not: how many there are."""

    items: int


class Header(NamedTuple):
    """What a GGUF file says of its model by key, and its tensors; `size` is that of the file in bytes."""

    values: dict[str, Value | Unkept]
    tensors: tuple[Tensor, ...]
    size: int


def read_gguf(path: Path) -> Weights:
    """The tensors of a GGUF file. Raises `SpecError`."""
    header = read_header(path)
    return Weights(header.tensors, 1, header.size)


def read_header(path: Path) -> Header:
    """The header of a GGUF file. Raises `SpecError` for one that is broken, cut off, or larger than is read."""
    where = called(str(path))
    with opened(path) as (read, size):
        try:
            return _header(_Cursor(read, min(size, MOST_HEADER)), size, where)
        except _BrokenError as error:
            raise SpecError(f"its header cannot be read: {error}", where=where) from None


class _BrokenError(Exception):
    """What is wrong with a header, in words."""


class _Cursor:
    """The bytes of a header from its beginning, as far as they are wanted, and how far they were read."""

    def __init__(self, read: Read, most: int) -> None:
        self.read, self.most = read, most
        self.data, self.at = b"", 0
        self.texts = self.lists = self.kept = 0
        self.order = "<"

    def skip(self, count: int) -> int:
        """Passes over so many bytes; gives the place of the first."""
        start, self.at = self.at, self.at + count
        self.hold(self.at)
        return start

    def hold(self, end: int) -> None:
        """Reads the file up to a place. Raises `_BrokenError` where it ends before."""
        have = len(self.data)
        if end <= have:
            return
        if end <= self.most:
            self.data += self.read(have, min(self.most, max(end, 4 * have, _FIRST_READ)) - have)
        if end > len(self.data):
            raise _BrokenError(f"it does not end within {self.most:,} bytes: cut off?")

    def unpack(self, form: str) -> tuple[int | float | bool, ...]:
        """Values of the types that `struct` knows by these letters."""
        form = self.order + form
        start = self.skip(struct.calcsize(form))
        return struct.unpack_from(form, self.data, start)

    def number(self, kind: str) -> int:
        """A whole number, of a type that `struct` knows by this letter."""
        return int(self.unpack(kind)[0])

    def name(self, what: str, most: int) -> str:
        """A text with its length before it."""
        length = self.number("Q")
        if length > most:
            raise _BrokenError(f"{what} is {length:,} bytes long: at most {most:,} are read")
        return self.text(what, length)

    def text(self, what: str, length: int) -> str:
        """A text of so many bytes."""
        start = self.skip(length)
        try:
            return self.data[start : self.at].decode("utf-8")
        except UnicodeDecodeError:
            raise _BrokenError(f"{what} is not UTF-8") from None

    def skip_texts(self, count: int) -> None:
        """Passes over a list of texts, each of which says its length."""
        self.texts += count
        if self.texts > MOST_TEXTS:
            raise _BrokenError(f"its lists hold {self.texts:,} texts: at most {MOST_TEXTS:,} are read")
        data, at, end = self.data, self.at, len(self.data)
        byte_order: Literal["little", "big"] = "little" if self.order == "<" else "big"
        for _ in range(count):
            if at + 8 > end:
                self.hold(at + 8)
                data, end = self.data, len(self.data)
            at += 8 + int.from_bytes(data[at : at + 8], byte_order)
        self.hold(at)
        self.at = at


def _header(cursor: _Cursor, size: int, where: str) -> Header:
    tensors, keys = _counts(cursor)
    values: dict[str, Value | Unkept] = {}
    for _ in range(keys):
        name = cursor.name("a key's name", MOST_KEY)
        if name in values:
            raise _BrokenError(f"key {shown(name)} is given twice")
        values[name] = _value(cursor, cursor.number("I"), name)
    infos = [_info(cursor) for _ in range(tensors)]
    alignment = _alignment(values)
    data_at = -(-cursor.at // alignment) * alignment
    return Header(values, tuple(_placed(infos, size - data_at, where)), size)


def _counts(cursor: _Cursor) -> tuple[int, int]:
    """How many tensors and keys there are, behind the magic number and the version."""
    start = cursor.skip(4)
    if cursor.data[start : cursor.at] != b"GGUF":
        raise _BrokenError("it does not begin with GGUF")
    version = cursor.number("I")
    if version & 0xFFFF == 0:  # written by a machine of the other byte order
        cursor.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in _VERSIONS:
        raise _BrokenError(f"its version is {version}: {' and '.join(map(str, _VERSIONS))} are known")
    tensors, keys = cursor.number("Q"), cursor.number("Q")
    for count, most, what in ((tensors, MOST_TENSORS, "tensors"), (keys, MOST_KEYS, "keys")):
        if count > most:
            raise _BrokenError(f"it claims {count:,} {what}: at most {most:,} are read")
    return tensors, keys


def _alignment(values: dict[str, Value | Unkept]) -> int:
    """What the place of the data is a multiple of."""
    found = values.get(_ALIGNMENT, 32)
    if type(found) is not int or found <= 0 or found & (found - 1):
        raise _BrokenError(f"{_ALIGNMENT} must be a power of two, not {shown(found)}")
    return found


def _value(cursor: _Cursor, kind: int, name: str, depth: int = 0) -> Value | Unkept:
    """The value of a key; what is long, and a list of texts or of lists, is passed over."""
    if kind == _TEXT:
        length = cursor.number("Q")
        if length <= MOST_TEXT:
            return cursor.text(f"the value of {shown(name)}", length)
        cursor.skip(length)
        return Unkept(length)
    if kind in _SCALARS:
        return cursor.unpack(_SCALARS[kind])[0]
    if kind != _LIST or depth > MOST_DEPTH:
        raise _BrokenError(f"key {shown(name)} is of type {kind}, which is not known")
    inner, count = cursor.number("I"), cursor.number("Q")
    if inner in _SCALARS:
        return _numbers(cursor, _SCALARS[inner], count)
    if inner == _TEXT:
        cursor.skip_texts(count)
        return Unkept(count)
    cursor.lists += count
    if cursor.lists > MOST_LISTS:
        raise _BrokenError(f"its lists hold {cursor.lists:,} lists: at most {MOST_LISTS:,} are read")
    for _ in range(count):
        _value(cursor, inner, name, depth + 1)
    return Unkept(count)


def _numbers(cursor: _Cursor, kind: str, count: int) -> Unkept | list[int | float | bool]:
    """A list of numbers where it is short enough to be about layers, and its length alone where it is not."""
    if cursor.kept + count > MOST_LISTED:
        cursor.skip(struct.calcsize("<" + kind) * count)
        return Unkept(count)
    cursor.kept += count
    return list(cursor.unpack(f"{count}{kind}"))


class _Info(NamedTuple):
    """What stands of a tensor in the header: dimensions as they are written, innermost first; the place of its data."""

    name: str
    dims: tuple[int, ...]
    kind: int
    offset: int


def _info(cursor: _Cursor) -> _Info:
    name = cursor.name("a tensor's name", MOST_NAME)
    count = cursor.number("I")
    if count > MOST_DIMENSIONS:
        raise _BrokenError(f"tensor {shown(name)} has {count:,} dimensions: at most {MOST_DIMENSIONS} are known")
    *dims, kind, offset = map(int, cursor.unpack(f"{count}QIQ"))
    if kind not in _TYPES:
        raise _BrokenError(f"tensor {shown(name)} is of type {kind}, which is not known")
    return _Info(name, tuple(dims), kind, offset)


def _placed(infos: list[_Info], room: int, where: str) -> Iterator[Tensor]:
    """The tensors, each of which must have a place of its own within so many bytes. Raises `SpecError`."""
    names: set[str] = set()
    places: list[tuple[int, int, str]] = []
    for info in infos:
        dtype, block, block_bytes = _TYPES[info.kind]
        numbers = prod(info.dims)
        if numbers % block:
            raise SpecError(f"tensor {shown(info.name)} is no whole number of blocks of {dtype}", where=where)
        if info.name in names:
            raise SpecError(f"tensor {shown(info.name)} is given twice", where=where)
        names.add(info.name)
        size = numbers // block * block_bytes
        places.append((info.offset, info.offset + size, info.name))
        yield Tensor(info.name, dtype, info.dims[::-1], size)
    end = 0
    for start, stop, name in sorted(places):
        if start < end or stop > room:
            what = "overlaps the one before it" if start < end else "reaches past the end of the file"
            raise SpecError(f"tensor {shown(name)} {what}", where=where)
        end = stop
