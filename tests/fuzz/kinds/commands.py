"""Command lines, what they read and what they write."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.dice import as_json, mutated, scratched, text
from tests.fuzz.kinds.calls import OPTIONS, SIZED, WRITES
from tests.fuzz.kinds.given import CONFIGS
from tests.fuzz.lines import COMMANDS, MODELS
from tests.fuzz.requests import _ABSURD, _LIKELY, _RANGES, _SMALL
from tests.fuzz.requests import _BASES as _LINES
from tests.fuzz.running import lawful, ran
from tests.fuzz.texts import TEXTS
from tscale.cli.boundary import plot_with_value


def _words(dice: Random, name: str) -> list[str]:
    """A command line of a command: arguments and options, likely and not."""
    known = COMMANDS[name]
    way = dice.random()
    line = [name, dice.choice(SIZED) if way < 0.85 else dice.choice(MODELS) if way < 0.97 else text(dice)]
    line += dice.choice(_LINES.get(name, [[]]))
    for one in dice.sample(sorted(known), min(len(known), dice.randrange(5))):
        words, key = known[one], one.removeprefix("--").replace("-", "_")
        if words == ():
            line.append(one)
        elif dice.random() < 0.95:
            likely = list(words or _LIKELY.get(key, _SMALL))
            line.append(
                f"{one}={dice.choice(likely) if dice.random() < 0.94 else dice.choice([text(dice), dice.choice(_ABSURD)])}"
            )
        else:
            line.append(one)
    return line


def _written(line: list[str], stdin: bytes = b"") -> None:
    done = ran(*line, stdin=stdin)
    lawful(tuple(line), done)


_SLOW: Final = ("plan", "sweep", "fit", "calibrate", "new", "import")


def command(dice: Random) -> None:
    """A command line of any command, and what it reads on standard input."""
    name = dice.choice([one for one in COMMANDS if one not in _SLOW])
    stdin = dice.choice(TEXTS) if dice.random() < 0.5 else scratched(dice, dice.choice(TEXTS))
    line = _words(dice, name)
    if dice.random() < 0.1:
        line[dice.randrange(len(line))] = text(dice)
    if line[:1] != ["new"]:
        _written(plot_with_value(line), stdin)


def slow_command(dice: Random) -> None:
    """A command line of `plan`."""
    _written(_words(dice, "plan"))


def sweep(dice: Random) -> None:
    """A sweep over a few values, or over absurdly many."""
    name = dice.choice(["memory", "train", "serve", "flops", "params", "attention"])
    known = {
        key: one
        for key, one in OPTIONS[name].items()
        if key not in WRITES and one.kind not in ("model", "models", "flag")
    }
    line = ["sweep", name, dice.choice(SIZED), *dice.choice(_LINES[name])]
    for key in dice.sample(sorted(known), dice.randrange(1, 3)):
        likely = list(known[key].choices or _LIKELY.get(key, _SMALL))
        several = dice.choice(_RANGES) if dice.random() < 0.3 else ",".join(dice.sample(likely, min(len(likely), 2)))
        line += ["--vary", f"{key}={several if dice.random() < 0.9 else text(dice)}"]
    target = dice.choice([[], [], ["-o", "rows.csv"], ["--format", "json"]])
    try:
        _written([*line, *target])
        before = Path("rows.csv").read_bytes() if Path("rows.csv").exists() else None
        if before is not None:
            _written([*line, *target])
            assert Path("rows.csv").read_bytes() == before, "rows that were whole were written again"
    finally:
        for path in Path().glob("rows.csv*"):
            path.unlink()


def file_written(dice: Random) -> None:
    """A command that writes: a new file is whole, and one that is there is left as it is unless that is asked for."""
    name = dice.choice(
        ["params", "memory", "train", "serve", "flops", "attention", "optimal", "design", "new", "import"]
    )
    there = dice.random() < 0.5
    target, old = dice.choice(["out.yaml", "out.txt", "out.svg", "out.html", "out.csv"]), b"mine\n"
    if there:
        Path(target).write_bytes(old)
    if name == "new":
        target = "out.yaml" if there and target == "out.yaml" else "fresh.yaml"
        line = ["new", target.removesuffix(".yaml")]
    elif name == "import":
        line = ["import", "-", "-o", target]
    else:
        line = [*_words(dice, name), dice.choice(["-o", "--save", "-o", "--plot"]), target]
    stdin = as_json(mutated(dice, dice.choice(CONFIGS)))
    try:
        done = ran(*line, stdin=stdin)
        lawful(tuple(line), done)
        if there and "--force" not in line and Path(target).exists() and done.code == 0 and name != "new":
            assert Path(target).read_bytes() == old, "a file that was there was written over"
        if there and done.code in (1, 2):
            assert Path(target).read_bytes() == old or target == "fresh.yaml", "a file was lost to what was refused"
        left = {path.name for path in Path().iterdir()} - {
            "kept.yaml",
            target,
            "out.yaml",
            "out.txt",
            "out.svg",
            "out.html",
            "out.csv",
        }
        assert left <= {"fresh.yaml"}, f"wrote {left}"
        if not there and done.code in (1, 2):
            assert not Path(target).exists(), "what was refused left a file"
    finally:
        for path in list(Path().iterdir()):
            if path.name != "kept.yaml":
                path.unlink()
