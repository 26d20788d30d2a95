"""What is shipped, compiled: every YAML file of `configs/` as it was validated, so that an answer reads and validates none.

A file `index/KIND.json` a folder of `configs/`: by name of the YAML file a checksum of its text and its data, and the parameters of
a model, so that a list of all counts none, or what a utilisation needs of published runs (`run_counts`). The YAML stays the truth: where its
text has changed since, it is read instead. `python -m tscale.catalogue` makes all of them anew, and a test holds the two to one another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Literal, cast
from zlib import crc32

_HERE: Final = Path(__file__).parent

Kind = Literal["models", "families", "hardware", "laws", "measured", "calibrations"]
"""A folder of `configs/`."""

KINDS: Final[tuple[Kind, ...]] = ("models", "families", "hardware", "laws", "measured", "calibrations")


def configs() -> Path:
    """The folder of what is shipped: inside the package in a wheel, at the top of the tree in an editable install."""
    shipped = _HERE.parent / "configs"
    return shipped if shipped.is_dir() else _HERE.parents[2] / "configs"


def text_of(kind: Kind, name: str) -> str:
    """The YAML of a shipped file by its name, comments and all."""
    return (configs() / kind / f"{name}.yaml").read_text(encoding="utf-8")


def compiled(kind: Kind, name: str) -> dict[str, Any] | None:
    """What a shipped file says, as it was validated; None where it was not compiled, or its text has changed since."""
    entry = _current(kind, name)
    return None if entry is None else cast("dict[str, Any]", entry["data"])


def names(kind: Kind) -> Iterator[str]:
    """The names in the compiled index of a kind."""
    return iter(_whole(kind))


def everything(kind: Kind) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of all that was compiled of a kind, changed since or not."""
    return ((name, entry["data"]) for name, entry in _whole(kind).items())


@cache
def aliases_of(kind: Kind) -> dict[str, str]:
    """Other names of what is shipped of a kind, with what each means."""
    return {alias: name for name, data in everything(kind) for alias in data.get("aliases", ())}


def counted(kind: Kind) -> Iterator[tuple[str, dict[str, int] | None]]:
    """The names of a kind, each with what was counted of it when it was compiled; None where nothing can be."""
    return ((name, entry.get("counted")) for name, entry in _whole(kind).items())


def counted_of(kind: Kind, name: str) -> dict[str, Any] | None:
    """What was counted of a shipped file when it was compiled; None where nothing was, or its text has changed since."""
    entry = _current(kind, name)
    return None if entry is None else entry.get("counted")


def is_compiled(kind: Kind, name: str) -> bool:
    """Whether the compiled index of a kind has a file."""
    return _place(kind, name) >= 0


@cache
def _text(kind: Kind) -> str:
    return file_of(kind).read_text(encoding="utf-8")


@cache
def _whole(kind: Kind) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(_text(kind)))


def _entry(kind: Kind, name: str) -> dict[str, Any] | None:
    """One entry, the only one of its file that is parsed."""
    place = _place(kind, name)
    return None if place < 0 else cast("dict[str, Any]", json.JSONDecoder().raw_decode(_text(kind), place)[0])


def _current(kind: Kind, name: str) -> dict[str, Any] | None:
    """The same where the text of its file has not changed since."""
    entry = _entry(kind, name)
    return entry if entry is not None and crc32(text_of(kind, name).encode()) == entry["checksum"] else None


@lru_cache
def _place(kind: Kind, name: str) -> int:
    """Where in the text of an index the entry of a name begins, below 0 where there is none: one is at the start of a line."""
    key = f"\n {json.dumps(name, ensure_ascii=False)}: "
    found = _text(kind).find(key)
    return found if found < 0 else found + len(key)


def file_of(kind: Kind) -> Path:
    """Where the compiled index of a kind stands."""
    return _HERE / "index" / f"{kind}.json"


def index_text(kind: Kind, data: dict[str, dict[str, Any]], counted: Mapping[str, dict[str, Any]]) -> str:
    """The text of an index of what the files of some names say, validated, and of what was counted of some."""
    entries: dict[str, dict[str, Any]] = {}
    for name in sorted(data, key=lambda name: f"{name}.yaml"):
        more = {"counted": counted[name]} if name in counted else {}
        entries[name] = {"checksum": crc32(text_of(kind, name).encode()), **more, "data": data[name]}
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
