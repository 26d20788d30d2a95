"""As many inputs as time allows, of every kind: `python -m tests.fuzz.flood [--help]`.

Where hypothesis looks for the smallest input that breaks a property, this tries many, in one process after another: each tries
some thousands and ends, so that one that dies is told of, and none grows. An input is made of its kind and its number alone:
`--first N --number 1 KIND` makes it again. All kinds are given as much time as their weight says, so that inputs which take
microseconds come to millions, and command lines to thousands; what is printed says how many of each.

A fault is whatever is no answer and no refusal in one line: another exception, 10 s of computing, a gigabyte more than before, a
file changed. The exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import mmap
import os
import pickle
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

from tests.fuzz.kinds import KINDS
from tests.fuzz.running import ENDED, no_hang
from tscale.errors import TscaleError

MOST_BYTES: Final = 2**30
AT_ONCE: Final = 100_000
"""Inputs of one process at the most, and seconds of it."""
FOR_SECONDS: Final = 90
WARMED: Final = 5
"""Inputs of each kind that are tried first, so that what is imported and made once is there in every process."""
TURN_SECONDS: Final = 0.05
"""What a kind is given before the next has its turn."""
SENTINEL: Final = "kept.yaml"


class Tally(NamedTuple):
    """Of one kind: inputs, refusals, seconds of computing, the longest of them and the most bytes that one input added, each with its number."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    longest: tuple[float, int] = (0.0, 0)
    most: tuple[int, int] = (0, 0)

    def with_(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.inputs + other.inputs,
            self.refused + other.refused,
            self.seconds + other.seconds,
            max(self.longest, other.longest),
            max(self.most, other.most),
        )


# ---- one input ----


def dice_of(kind: str, number: int, seed: int) -> Random:
    """The dice of one input."""
    return Random(f"{kind}:{seed}:{number}")  # noqa: S311 (a sample is no secret)


def _try(kind: str, dice: Random) -> bool:
    """Whether an input was answered; a refusal must be lines that can be printed."""
    try:
        with no_hang():
            KINDS[kind].tries(dice)
    except TscaleError as error:
        lines = str(error).splitlines()
        assert lines and all(line.isprintable() and len(line) < 1200 for line in lines), f"refused in {lines!r}"
        return False
    return True


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# ---- one process ----


class Part(NamedTuple):
    """What one process came to."""

    tallies: dict[str, Tally]
    faults: list[tuple[str, int, str]]
    ended: dict[int, int]


class Place:
    """Where a process is, in memory that its parent sees too: the place of a kind, and the number of an input."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 16)

    def put(self, kind: int, number: int) -> None:
        """Writes it down."""
        struct.pack_into("qq", self._shared, 0, kind, number)

    def get(self) -> tuple[int, int]:
        """What was written last."""
        kind, number = struct.unpack_from("qq", self._shared, 0)
        return kind, number


def _part(
    given: argparse.Namespace, start: dict[str, int], spent: dict[str, float], until: float, place: Place
) -> Part:
    """Tries inputs of the kinds that were given the least of their time, until there are enough of them for one process."""
    names = list(start)
    tallies = {name: Tally() for name in names}
    faults: list[tuple[str, int, str]] = []
    tried, ends = 0, min(until, time.monotonic() + FOR_SECONDS)
    before, written = _resident(), _swept()
    while tried < given.at_once and time.monotonic() < ends:
        name = min(names, key=lambda name: (spent[name] + tallies[name].seconds) / KINDS[name].weight)
        turn = time.thread_time()
        while time.thread_time() - turn < TURN_SECONDS and tried < given.at_once:
            number = start[name] + tallies[name].inputs
            if number >= given.first + given.number:
                spent[name] = float("inf")
                break
            place.put(names.index(name), number)
            one, fault = _measured(name, number, given.seed, before, written)
            before = max(before, _resident())
            written = _swept() if fault else written
            tallies[name] = tallies[name].with_(one)
            faults += [(name, number, fault)] if fault else []
            tried += 1
        if all(value == float("inf") for value in spent.values()):
            break
    return Part(tallies, faults, dict(ENDED))


def _measured(name: str, number: int, seed: int, before: int, written: int) -> tuple[Tally, str]:
    """One input, what it took, and what is wrong with what came of it."""
    dice, fault, answered = dice_of(name, number, seed), "", False
    began = time.thread_time()
    try:
        answered = _try(name, dice)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (whatever else comes out is what is looked for)
        fault = "".join(traceback.format_exception(error)[-4:])
    seconds, grown = time.thread_time() - began, _resident() - before
    if grown > MOST_BYTES:
        fault = fault or f"took {grown:,} bytes"
    left = [path.name for path in Path().iterdir()]
    if left != [SENTINEL] or Path(SENTINEL).stat().st_mtime_ns != written:
        fault = fault or f"changed files: {left}"
    return Tally(1, not answered, seconds, (seconds, number), (grown, number)), fault


def _swept() -> int:
    """Leaves nothing in the current folder but a file that is to stay as it is; when it was written."""
    for path in Path().iterdir():
        path.unlink()
    Path(SENTINEL).write_text("kept: true\n", encoding="utf-8")
    return Path(SENTINEL).stat().st_mtime_ns


def _warmed(names: list[str]) -> None:
    """Tries a few inputs that are not counted, whatever comes of them."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        written = _swept()
        for name in names:
            for number in range(WARMED):
                _measured(name, number, -1, 0, written)
        os.chdir("/")
    ENDED.clear()


def _in_child(*given: Any) -> Part | None:
    """The same in a process of its own with bounded memory; None where it died."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        held = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (held + 2 * MOST_BYTES, -1))  # threads' stacks are counted in it
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            done = _part(*given)
            os.chdir("/")
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(done, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(raw) if raw else None  # noqa: S301 (what the child wrote)


# ---- all of them ----


def main() -> int:
    """Tries inputs until time is up or enough are tried, and prints each new fault, and what was tried."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=float, default=10, help="after which no further input is made (default: 10)")
    asked.add_argument("--seed", type=int, default=0, help="which inputs (default: 0)")
    asked.add_argument("--first", type=int, default=0, help="the number of the first of each kind (default: 0)")
    asked.add_argument(
        "--number", type=int, default=10**12, help="inputs of each kind (default: as many as time allows)"
    )
    asked.add_argument("--at-once", type=int, default=AT_ONCE, help=f"inputs of one process (default: {AT_ONCE})")
    asked.add_argument(
        "--log", type=Path, help="a file that is written anew after each process, with what was tried so far"
    )
    asked.add_argument("kinds", nargs="*", default=list(KINDS), help=f"of {', '.join(KINDS)} (default: all)")
    given = asked.parse_args()
    totals = {name: Tally() for name in given.kinds}
    skipped, faults, ended = Counter[str](), Counter[str](), Counter[int]()
    _warmed(given.kinds)
    until, place = time.monotonic() + 60 * given.minutes, Place()
    while time.monotonic() < until and any(totals[name].inputs + skipped[name] < given.number for name in totals):
        start = {name: given.first + one.inputs + skipped[name] for name, one in totals.items()}
        done = _in_child(given, start, {name: one.seconds for name, one in totals.items()}, until, place)
        if done is None:
            kind, number = place.get()
            name = list(totals)[kind]
            skipped[name] += number + 1 - start[name]  # what it had tried is not counted
            done = Part({}, [(name, number, "its process died")], {})
        for name, one in done.tallies.items():
            totals[name] = totals[name].with_(one)
        ended.update(done.ended)
        for name, number, text in done.faults:
            kind_of_fault = f"{name}: {text.strip().splitlines()[-1][:80]} {_place_of(text)}"
            faults[kind_of_fault] += 1
            if faults[kind_of_fault] <= 2:
                print(f"FAULT {name} {number}\n{text}", flush=True)
        if given.log is not None:
            given.log.write_text(_table(totals, faults, ended), encoding="utf-8")
    print(_table(totals, faults, ended))
    return int(bool(faults))


def _place_of(text: str) -> str:
    """The line of ours that a traceback ends in."""
    return next((line.strip() for line in reversed(text.splitlines()) if "/tscale/" in line), "")[-120:]


def _table(totals: dict[str, Tally], faults: Counter[str], ended: Counter[int]) -> str:
    lines = [
        f"{name:14} {one.inputs:>10,} inputs {one.refused:>10,} refused {one.seconds:>8.1f} s; longest {one.longest[0]:6.2f} s ({one.longest[1]}), most {one.most[0] / 1e6:6.0f} MB ({one.most[1]})"
        for name, one in totals.items()
    ]
    lines.append(f"{'all':14} {sum(one.inputs for one in totals.values()):>10,} inputs")
    codes = ", ".join(f"{count:,} with exit code {code}" for code, count in sorted(ended.items()))
    lines.append(f"commands: {codes or 'none'}")
    lines += [f"{count} faults {text}" for text, count in faults.most_common()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
