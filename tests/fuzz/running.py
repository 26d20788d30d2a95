"""Running a command or a call as a fuzzer does: within its time, in an empty folder, and what holds of every answer."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from typer.testing import CliRunner

from tests.helpers import Answer
from tscale.cli import app

PATIENCE_SECONDS: Final = 10
"""Of computing, for one input."""
WAIT_SECONDS: Final = 120
"""For one input by the clock: of a busy machine, or of something that waits for ever."""


class HangError(BaseException):
    """Nothing came of a command for too long. No `Exception`, so that nothing takes it for its own."""


@contextmanager
def no_hang() -> Iterator[None]:
    """Raises `HangError` in whatever computes, or waits, for too long; inside of another, that one counts."""

    def ring(_: int, __: FrameType | None) -> None:
        raise HangError

    if not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_PROF)[0]:
        yield
        return
    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, PATIENCE_SECONDS),
        signal.ITIMER_REAL: (signal.SIGALRM, WAIT_SECONDS),
    }
    before = {number: signal.signal(number, ring) for number, _ in timers.values()}
    for timer, (_, seconds) in timers.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, (number, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


ENDED: Final[Counter[int]] = Counter()
"""How many commands ended with each exit code: a run of which none is answered tries nothing but refusals."""


def ran(*arguments: str, stdin: bytes = b"") -> Answer:
    """A command in this process, of which every exception but the end of a process gets out."""
    with no_hang():
        result = CliRunner().invoke(app, list(arguments), input=stdin, prog_name="tscale", catch_exceptions=False)
    ENDED[result.exit_code] += 1
    return Answer(result.exit_code, result.stdout, result.stderr)


def lawful(arguments: tuple[str, ...], done: Answer) -> None:
    """What holds of every command, whatever it was given."""
    lines = done.err.splitlines()
    assert done.code in (0, 1, 2, 3), done
    assert "Traceback" not in done.err, done
    assert all(line.startswith("tscale: ") and line.isprintable() and len(line) < 1200 for line in lines), done
    if done.code in (1, 2):
        assert done.out == "", done
        assert len(lines) == 1 or ("validate" in arguments and lines), done
    else:
        assert len(lines) <= (done.code == 3), done
        assert bool(done.out) != bool(lines), done
    assert "\x1b" not in done.out
    if done.code == 0 and not {"-h", "--help"} & set(arguments) and arguments[-2:] == ("--format", "json"):
        json.loads(done.out)


@contextmanager
def elsewhere() -> Iterator[Path]:
    """An empty folder, as the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
