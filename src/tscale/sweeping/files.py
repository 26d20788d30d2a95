"""Where the parts of a sweep are kept, so that one that was stopped goes on: whole parts are there, others are not.

Parquet is a folder of a file a part, with `_sweep.json` saying what it is. CSV is one file: it grows as `FILE.partial` with a
note beside it of how many parts it holds, and gets its name when the last one is written.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Protocol

from tscale.errors import RequestError, SpecError, called
from tscale.sweeping.grid import rows_of
from tscale.sweeping.sweep import Sweep

_ABOUT: Final = "_sweep.json"
_MOST_ABOUT: Final = 16 * 2**20


class Kept(Protocol):
    """Where parts are kept."""

    in_order: bool
    """Whether parts are written one after the other."""

    def begin(self, sweep: Sweep) -> set[int]:
        """The parts that are there already. Raises `TscaleError` for a place that is another's."""

    def file(self, part: int) -> Path | None:
        """The file of a part, which any process of this machine may write; None where parts share one."""

    def write(self, part: int, data: Any) -> None:
        """Writes a part, whole or not at all."""

    def finish(self) -> None:
        """Ends a sweep of which all parts are written."""


def kept_at(path: Path) -> Kept:
    """Where a sweep is kept, by the ending of its name. Raises `RequestError` for any other."""
    if path.suffix.lower() == ".parquet":
        return ParquetFolder(path)
    if path.suffix.lower() == ".csv":
        return CsvFile(path)
    raise RequestError(f"-o {called(str(path))}: a sweep is written to a name that ends in .parquet or .csv")


@dataclass
class ParquetFolder:
    """A folder of files, one a part."""

    path: Path
    in_order: bool = False
    digits: int = 5

    def begin(self, sweep: Sweep) -> set[int]:
        if self.path.exists() and not self.path.is_dir():
            raise SpecError("exists, and is no folder of a sweep: choose another name", where=called(str(self.path)))
        about = self.path / _ABOUT
        with _writing(self.path):
            if not self.path.exists():
                self.path.mkdir()
        if not about.exists():
            if any(self.path.iterdir()):
                raise SpecError(
                    f"the folder is no sweep's, it has no {_ABOUT}: choose another name", where=called(str(self.path))
                )
            write_whole(about, _text(sweep))
        _check_same(about, sweep, self.path)
        self.digits = max(len(str(sweep.parts.length - 1)), 5)
        self.finish()
        found = {part for part in range(sweep.parts.length) if self.file(part).exists()}
        for part in found:
            _check_whole(self.file(part), rows_of(sweep.parts.at(part)))
        return found

    def write(self, part: int, data: Any) -> None:
        write_whole(self.file(part), data)

    def finish(self) -> None:
        """Takes away what processes that were ended left half written; every other file is whole."""
        for left in self.path.glob(".part-*.tmp"):
            left.unlink(missing_ok=True)

    def file(self, part: int) -> Path:
        return self.path / f"part-{part:0{self.digits}}.parquet"


@dataclass
class CsvFile:
    """One file, which has its name when it is whole."""

    path: Path
    in_order: bool = True
    about: str = ""
    parts: int = 0
    size: int = 0

    @property
    def partial(self) -> Path:
        """The file while it grows."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def note(self) -> Path:
        """What it holds so far, and of which sweep."""
        return self.path.with_name(f"{self.path.name}.sweep.json")

    def begin(self, sweep: Sweep) -> set[int]:
        if self.path.exists():
            raise SpecError("exists already: choose another name", where=called(str(self.path)))
        self.about = _text(sweep)
        with _writing(self.path):
            self.path.parent.stat()  # a folder that is not there is told of by the name that was given
        if not self.note.exists():
            if self.partial.exists():
                raise SpecError(
                    f"exists, and no {self.note.name} says of which sweep: move it away",
                    where=called(str(self.partial)),
                )
            self._note()
        said = _check_same(self.note, sweep, self.path)
        self.parts, self.size = (said.get(key, 0) for key in ("written_parts", "written_bytes"))
        if not all(type(one) is int and one >= 0 for one in (self.parts, self.size)) or self.parts > sweep.parts.length:
            raise SpecError(
                f"does not say how much of {self.partial.name} is written: delete both, and the sweep begins anew",
                where=called(str(self.note)),
            )
        with _writing(self.partial), self.partial.open("ab") as file:
            if file.tell() < self.size:
                raise SpecError(
                    f"is shorter than {self.note.name} says: delete both, and the sweep begins anew",
                    where=called(str(self.partial)),
                )
            file.truncate(self.size)
        return set(range(self.parts))

    def file(self, part: int) -> None:
        """No part has one of its own."""

    def write(self, part: int, data: Any) -> None:
        assert part == self.parts, "parts of a CSV come in their order"
        with _writing(self.partial), self.partial.open("r+b") as file:
            file.seek(self.size)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                with contextlib.suppress(OSError):
                    file.truncate(self.size)
                raise
            self.parts, self.size = self.parts + 1, file.tell()
        self._note()

    def finish(self) -> None:
        with _writing(self.path):
            self.partial.replace(self.path)
            self.note.unlink()

    def _note(self) -> None:
        said = {**json.loads(self.about), "written_parts": self.parts, "written_bytes": self.size}
        write_whole(self.note, json.dumps(said, indent=1, ensure_ascii=False) + "\n")


def _check_whole(file: Path, rows: int) -> None:
    """Raises `SpecError` for a part that is not what was written: cut short by a copy, or another file."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        whole = read_metadata(file).num_rows == rows
    except (OSError, ArrowException):
        whole = False
    if not whole:
        raise SpecError(
            "is no whole part of this sweep: delete it, and the same command writes it anew", where=called(str(file))
        )


def _text(sweep: Sweep) -> str:
    return json.dumps(sweep.about, indent=1, ensure_ascii=False) + "\n"


def _check_same(file: Path, sweep: Sweep, path: Path) -> dict[str, Any]:
    """What a file says of the sweep that stands beside it. Raises `SpecError` for one that is another, or unreadable."""
    try:
        with file.open("rb") as opened:
            said = json.loads(opened.read(_MOST_ABOUT))
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot be read: {error}", where=called(str(file))) from None
    if not isinstance(said, dict) or said.get("digest") is None:
        raise SpecError("says of no sweep what it is: choose another name", where=called(str(file)))
    if said["digest"] != sweep.digest:
        raise SpecError(f"{_difference(said, sweep.about)}: choose another name", where=called(str(path)))
    return said


def _difference(said: dict[str, Any], wanted: dict[str, Any]) -> str:
    """How one sweep differs from another."""
    for key, what in (
        ("tscale", "version of tscale"),
        ("question", "question"),
        ("given", "request"),
        ("axes", "axes"),
    ):
        if said.get(key) != wanted[key]:
            return f"holds a sweep of another {what}" if key != "axes" else "holds a sweep over other axes"
    if said.get("columns") != wanted["columns"]:
        return "holds a sweep of other columns"
    return "holds a sweep whose model or hardware has changed since"


def write_whole(path: Path, data: Any) -> None:
    """Writes a file whole or not at all: under another name first, and on the disk before it has its own."""
    # another process, of any machine, may be at the same part
    other = path.with_name(f".{path.name}.{token_hex(8)}.tmp")
    with _writing(path):
        try:
            with other.open("wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            other.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                other.unlink(missing_ok=True)
            raise


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what a disk refuses into one line."""
    try:
        yield
    except OSError as error:
        raise SpecError(f"cannot be written: {error.strerror or error}", where=called(str(path))) from None
