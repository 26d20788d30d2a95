"""The entries of a safetensors header, one at a time, so that what is kept is never more than they say.

A JSON parser makes of a hostile header of 32 MiB a gigabyte of lists. Here each tensor's description, which is flat and short,
is cut out and parsed alone; `__metadata__`, which maps names to text, is checked and passed over. A header that is not made
so is parsed whole where it is small, because that says best what is wrong with it, and refused where it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tscale.errors import SpecError, shown
from tscale.importer.json_file import parse_object, parsed, strict

MOST_TENSORS: Final = 65_536  # of one file: the largest models have 200,000, over many files
MOST_PARSED: Final = 2**20
_DESCRIPTION: Final = 2_048  # bytes of a tensor's
_NAME: Final = 2_048  # bytes of a tensor's
_METADATA: Final = "__metadata__"
_METADATA_KEY: Final = b'"__metadata__"'

_TEXT: Final = rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"'
_BEGIN: Final = re.compile(rb"[ \t\r\n]*+\{[ \t\r\n]*+")
_KEY: Final = re.compile(rb"(" + _TEXT + rb")[ \t\r\n]*+:[ \t\r\n]*+")
_TENSOR: Final = re.compile(rb"\{[^{}]{0,%d}+\}" % _DESCRIPTION)
_TEXTS: Final = re.compile(rb"\{(?:\s*+" + _TEXT + rb"\s*+:\s*+" + _TEXT + rb"\s*+,?)*+\s*+\}")
_NEXT: Final = re.compile(rb"[ \t\r\n]*+(?:,[ \t\r\n]*+|(\}[ \t\r\n]*+\Z))")


def entries(raw: bytes, where: str) -> Iterator[tuple[str, Any]]:
    """The name and the description of each tensor, parsed. Raises `SpecError`."""
    for count, entry in enumerate(_cut(raw)):
        if entry is None:
            yield from _whole(raw, where)
            return
        if count >= MOST_TENSORS:
            raise SpecError(f"describes over {MOST_TENSORS:,} tensors: that many are read of one file", where=where)
    names, decoder = set[str](), strict(where)
    for key, value in filter(None, _cut(raw)):
        name = _name(key, where)
        if name in names:
            raise SpecError(f"key {shown(name)} is given twice", where=where)
        names.add(name)
        if name != _METADATA:
            yield name, parsed(decoder, decoded(value, where), where, "a header")


def _cut(raw: bytes) -> Iterator[tuple[bytes, bytes] | None]:
    """The key and the value of each entry of a header as it is usually written; None at the first that is not."""
    begin = _BEGIN.match(raw)
    at = None if begin is None else begin.end()
    while at is not None:
        key = _KEY.match(raw, at)
        value = None if key is None else (_TEXTS if key[1] == _METADATA_KEY else _TENSOR).match(raw, key.end())
        after = None if value is None else _NEXT.match(raw, value.end())
        if key is None or value is None or after is None or len(key[1]) > _NAME:
            break
        yield key[1], value[0]
        if after[1] is not None:
            return
        at = after.end()
    yield None


def _name(text: bytes, where: str) -> str:
    if b"\\" not in text:
        return decoded(text[1:-1], where)
    return next(iter(parse_object("{" + decoded(text, where) + ": 0}", where, what="a header")))


def decoded(raw: bytes, where: str) -> str:
    """The text of a header. Raises `SpecError`."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise SpecError("its header is not UTF-8: not a safetensors file", where=where) from None


def _whole(raw: bytes, where: str) -> Iterator[tuple[str, Any]]:
    """The entries of a small header that is written in another way. Raises `SpecError` for what is wrong in it."""
    if len(raw) > MOST_PARSED:
        raise SpecError(
            "its header does more than name tensors, each with a dtype, a shape and data_offsets", where=where
        )
    found = parse_object(decoded(raw, where), where, what="a header")
    metadata = found.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise SpecError(f"{_METADATA} must map names to text", where=where)
    yield from found.items()
