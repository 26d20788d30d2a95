"""A strict reader of YAML that knows where everything stands.

PyYAML's parser gives the events; what they mean is decided here, by the core rules of YAML 1.2 and no others. `no` and
`1:30` are text, `010` is refused rather than read as 8, `300e9` is a whole number, and whatever could surprise (an
anchor, a tag, a key given twice, a second document) is refused with its line and column.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import yaml

from tscale.errors import SpecError, called, shown, system_said

MOST_BYTES: Final = 256 * 1024  # a spec takes two kilobytes
MOST_DEPTH: Final = 40
MOST_VALUES: Final = 10_000  # keys included; PyYAML reads as many in a second
MOST_DIGITS: Final = 40
PATIENCE_SECONDS: Final = 10  # for a pipe that nobody writes to
_CHUNK: Final = 2**16  # bytes that a pipe gives at once: memory for as many is made each time

_START: Final = "`tscale new NAME` writes a spec to start from"

Path_ = tuple[str | int, ...]
Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]

_INT: Final = re.compile(r"[-+]?(?:0|[1-9]\d*(?:_\d+)*)", re.ASCII)
_BASED_INT: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_PADDED_INT: Final = re.compile(r"[-+]?0[\d_]+", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.\d+|\d+(?:_\d+)*(?:\.\d*)?)(?:[eE][-+]?\d+)?", re.ASCII)
_LONG_BASED_INT: Final = re.compile(r"0[ox][0-9a-fA-F]{40,}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_CHARACTER: Final = re.compile(r"\\U(?!000|0010)[0-9a-fA-F]{8}")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Document(NamedTuple):
    """What a file says, and where: the line and column, from 1, of the value and of the key at each path in `data`."""

    data: Plain
    name: str
    values_at: dict[Path_, tuple[int, int]]
    keys_at: dict[Path_, tuple[int, int]]

    def where(self, path: Path_, *, key: bool = False) -> str:
        """`file:line:column` of the value at `path` (or of its key), or of the nearest thing on the way there."""
        places = self.keys_at if key else self.values_at
        while path and path not in places:
            path = path[:-1]
        line, column = places.get(path, self.values_at.get((), (1, 1)))
        return f"{self.name}:{line}:{column}"


def read_document(path: str, start: str = _START) -> Document:
    """The one document in the file at `path`, or on standard input for `-`. Raises `SpecError`."""
    return parse_document(read_text(path), _called(path), start)


def read_text(path: str, most: int = MOST_BYTES, usual: str = "a spec takes two or three") -> str:
    """The text of a small UTF-8 file, with or without a byte order mark. Raises `SpecError`.

    `usual` is what one is told of a file larger than `most` bytes.
    """
    name = _called(path)
    try:
        raw = _read_stdin(most) if path == "-" else _read_bytes(Path(path), most)
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot be read: {system_said(error)}", where=name) from error
    if len(raw) > most:
        raise SpecError(f"is larger than {most // 1024} KiB: {usual}", where=name)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        message = f"byte {error.object[error.start]:#04x} is not UTF-8: save the file as UTF-8"
        raise SpecError(message, where=f"{name}:{line}:{column}") from error


def _called(path: str) -> str:
    return "standard input" if path == "-" else called(path)


def _read_stdin(most: int) -> bytes:
    if sys.stdin is None:
        raise OSError(0, "it is closed")
    return sys.stdin.buffer.read(most + 1)


def _read_bytes(path: Path, most: int) -> bytes:
    """At most one byte more than is allowed, without waiting for ever on a device or a pipe."""
    if path.is_dir():
        raise IsADirectoryError(0, "it is a folder, not a file")
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb", buffering=0) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file.read(most + 1)
        from select import select

        read = bytearray()
        while len(read) <= most:
            chunk = file.read(_CHUNK) if select([file], [], [], PATIENCE_SECONDS)[0] else None
            if chunk is None:
                raise TimeoutError(0, f"nothing came for {PATIENCE_SECONDS} seconds")
            if not chunk:
                break
            read += chunk
        return bytes(read)


def reads_as_text(text: str) -> bool:
    """Whether a plain scalar is read as text, and not as a number, a truth value or nothing."""
    patterns = (_INT, _BASED_INT, _PADDED_INT, _FLOAT, _NOT_FINITE)
    return text not in _WORDS and not any(pattern.fullmatch(text) for pattern in patterns)


def parse_document(text: str, name: str, start: str = _START) -> Document:
    """The one document in `text`. Raises `SpecError` at the first thing amiss.

    `name` is how messages call it; `start` is what one is told to start from where it is empty.
    """
    reader = _Reader(name)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.take(event)
    except yaml.reader.ReaderError as error:
        message = f"character U+{_code_point(error.character):04X} is not allowed in YAML"
        raise SpecError(message, where=_where(name, text, error.position)) from error
    except yaml.MarkedYAMLError as error:
        problem, mark = _problem(error)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise SpecError(f"not YAML: {problem}", where=where) from error
    except (ValueError, OverflowError) as error:  # PyYAML's own int() and chr(), unchecked
        escape = _NO_CHARACTER.search(text)
        message = f"{escape[0]} stands for no character" if escape else "a directive that no program reads: drop it"
        where = _where(name, text, escape.start() if escape else 0)
        raise SpecError(f"not YAML: {message}", where=where) from error
    if not reader.documents:
        raise SpecError(f"is empty: {start}", where=name)
    return Document(reader.documents[0], name, reader.values_at, reader.keys_at)


def is_text(text: str) -> bool:
    """Whether a scalar without quotes is read as text: 1e5 and null are read as something else, and 010 not at all."""
    patterns = (_INT, _BASED_INT, _LONG_BASED_INT, _PADDED_INT, _FLOAT, _NOT_FINITE)
    return text not in _WORDS and not any(pattern.fullmatch(text) for pattern in patterns)


def _where(name: str, text: str, place: int) -> str:
    before = text[:place]
    return f"{name}:{before.count(chr(10)) + 1}:{place - before.rfind(chr(10))}"


def _problem(error: yaml.MarkedYAMLError) -> tuple[str, yaml.Mark | None]:
    """What PyYAML found, in the words of a spec's author where they are known, and the place to look at."""
    found, here, start = (
        str(error.problem or error.context),
        error.problem_mark or error.context_mark,
        error.context_mark,
    )
    character = re.fullmatch(r"found character '(.*)' that cannot start any token", found)
    if start and ("'<stream end>'" in found or "end of stream" in found):
        return "what is opened here is never closed", start
    if start and found.startswith("expected ',' or"):
        return f"{found}: is the bracket of line {start.line + 1} closed?", here
    if character:
        tab = character[1] == "\\t"
        return "a tab: use blanks" if tab else f"text that begins with {character[1]} needs quotes", here
    known = {
        "could not find expected ':'": "the key before this has no colon and blank behind it",
        "mapping values are not allowed here": "a colon that follows no key: check the line above, or quote the text",
    }
    if found.startswith("expected <block end>"):
        return "this fits nothing above it: check indentation and quotes", here
    return known.get(found, found.replace(r"'\x00'", "the end")), here


def _code_point(character: object) -> int:
    return ord(character) if isinstance(character, str) else int(str(character))


class _Open(NamedTuple):
    """A list or mapping that is still being read."""

    path: Path_
    value: list[Plain] | dict[str, Plain]
    keys: list[str]  # of a mapping: the key whose value comes next, if one was read


class _Reader:
    """Builds plain data from the parser's events, without recursion."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.documents: list[Plain] = []
        self.values_at: dict[Path_, tuple[int, int]] = {}
        self.keys_at: dict[Path_, tuple[int, int]] = {}
        self._open: list[_Open] = []
        self._values = 0

    def take(self, event: yaml.Event) -> None:
        """One event of the parser's."""
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"alias *{event.anchor}: write the value out, aliases are not read")
        elif isinstance(event, yaml.DocumentStartEvent):
            if self.documents:
                self._refuse(event, "a second document: a file holds one spec")
        elif isinstance(event, yaml.NodeEvent):
            self._node(event)

    def _node(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            self._refuse(event, f"anchor &{event.anchor}: write the value out, anchors are not read")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self._refuse(event, f"tag {shown(_short(str(tag)))}: tags are not read, write the value alone")
        self._values += 1
        if self._values > MOST_VALUES:
            self._refuse(event, f"more than {MOST_VALUES:,} keys and values: a spec takes a hundred")
        if isinstance(event, yaml.ScalarEvent):
            self._put(event, self._scalar(event))
            return
        if len(self._open) >= MOST_DEPTH:
            self._refuse(event, f"nested more than {MOST_DEPTH} deep")
        value: list[Plain] | dict[str, Plain] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._open.append(_Open(self._put(event, value), value, []))

    def _put(self, event: yaml.NodeEvent, value: Plain) -> Path_:
        """Stores a value where it belongs, or holds it as the next key of its mapping; gives its path."""
        if not self._open:
            self.documents.append(value)
            self.values_at[()] = _position(event)
            return ()
        path, container, keys = self._open[-1]
        own: Path_
        if isinstance(container, list):
            own = (*path, len(container))
            container.append(value)
        elif keys:
            key = keys.pop()
            own = (*path, key)
            container[key] = value
        else:
            self._key(event, value, path, container, keys)
            return path
        self.values_at[own] = _position(event)
        return own

    def _key(
        self, event: yaml.NodeEvent, value: Plain, path: Path_, mapping: dict[str, Plain], keys: list[str]
    ) -> None:
        if not isinstance(value, str):
            self._refuse(event, f"{shown(value)} as a key: keys are text")
        if value == "<<":
            self._refuse(event, "merge key <<: merge keys are not read, write the keys out")
        if value in mapping:
            line = self.keys_at[(*path, value)][0]
            self._refuse(event, f"key {shown(value)} is given twice, first in line {line}")
        keys.append(value)
        self.keys_at[(*path, value)] = _position(event)

    def _scalar(self, event: yaml.ScalarEvent) -> Plain:
        text = str(event.value)
        if not text.isascii():  # JSON writes a character past U+FFFF as two escapes
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        control = _CONTROL.search(text)
        if control:
            self._refuse(event, f"character U+{ord(control[0]):04X} is not allowed in text")
        if event.style is not None:  # quoted, or a block: text
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _BASED_INT.fullmatch(text) and len(text) <= MOST_DIGITS:
            return int(text, 0)
        if _LONG_BASED_INT.fullmatch(text):
            self._refuse(event, f"{shown(text)} has too many digits (at most {MOST_DIGITS})")
        if _PADDED_INT.fullmatch(text):
            self._refuse(event, f"{shown(text)}: leading zeros are read as octal by some: drop them, or write 0o...")
        if _NOT_FINITE.fullmatch(text):
            self._refuse(event, f"{text} is not a number that a model can have")
        if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            return self._number(event, text.replace("_", ""))
        return text

    def _number(self, event: yaml.ScalarEvent, text: str) -> int | float:
        """An int wherever the number is whole, however it is written; a float otherwise."""
        exponent = text.lower().partition("e")[2].lstrip("+-0")
        if len(text) > MOST_DIGITS or len(exponent) > 2 or abs(Decimal(text).adjusted()) > MOST_DIGITS:
            written = f"{text[:20]}..." if len(text) > 20 else text
            self._refuse(event, f"{written} has too many digits (at most {MOST_DIGITS})")
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() else float(number)

    def _refuse(self, event: yaml.Event, message: str) -> NoReturn:
        line, column = _position(event)
        raise SpecError(message, where=f"{self.name}:{line}:{column}")


def _short(tag: str) -> str:
    """A tag as it is written."""
    return tag.replace("tag:yaml.org,2002:", "!!", 1)


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None, "a parser's events know where they stand"
    return mark.line + 1, mark.column + 1
