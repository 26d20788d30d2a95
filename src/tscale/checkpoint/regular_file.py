"""Opens a file of weights to read parts of it, and nothing that is no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tscale.errors import SpecError, called, system_said

Read = Callable[[int, int], bytes]
"""Gives the bytes of a file from a place on, as many as are asked for or fewer at its end."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[Read, int]]:
    """A regular file, to read parts of, and its size; a device or a pipe is refused without waiting for it.

    Raises `SpecError`.
    """
    where = called(str(path))
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot be read: {system_said(error)}", where=where) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise SpecError("is not a file of weights", where=where)
        yield _reader(handle, where), status.st_size
    finally:
        os.close(handle)


def _reader(handle: int, where: str) -> Read:
    def read(start: int, count: int) -> bytes:
        try:
            os.lseek(handle, start, os.SEEK_SET)
            return os.read(handle, count)
        except OSError as error:
            raise SpecError(f"cannot be read: {error.strerror}", where=where) from error

    return read
