"""The one place where errors become a line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO, cast

import typer
from typer.core import TyperGroup

from tscale.errors import TscaleError, called, nearest, one_line

# Typer's own errors about a command line all derive from the parent of the one that it exports.
_UsageError: Final = cast("type[Exception]", typer.BadParameter.__mro__[1])
_PICTURES: Final = (
    ".svg", ".png", ".pdf", ".eps", ".ps", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".html",
)  # fmt: skip
_INTERRUPTED: Final = 130
_PIPE_CLOSED: Final = 141  # what a shell reports of a program that a closed pipe ended


class Boundary(TyperGroup):
    """A group of commands whose every failure is one line: on stderr, with the exit code that its kind has."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads a command line on which `--plot` may stand alone: typer knows no option whose value may be left out."""
        return super().parse_args(ctx, plot_with_value(args))

    def main(self, *args: Any, **options: Any) -> Any:
        """Runs a command and ends the process with its exit code."""
        ends_the_process = options.get("standalone_mode", True)
        options["standalone_mode"] = False
        if not ends_the_process:
            return super().main(*args, **options)
        if sys.stdout is None:
            sys.exit(told(["the answer cannot be written: standard output is closed"], 1))
        try:
            code = super().main(*args, **options)
            sys.stdout.flush()
        except TscaleError as error:
            code = told([error], error.exit_code)
        except _UsageError as error:
            code = told([_usage(error)], 2)
        except SystemExit as end:  # typer's own answer to a closed pipe is an exit code of 1
            code = _PIPE_CLOSED if isinstance(end.__context__, BrokenPipeError) else end.code
        except BrokenPipeError:
            code = _PIPE_CLOSED
            _forget(sys.stdout)
        except (KeyboardInterrupt, EOFError, typer.Abort):
            code = _INTERRUPTED
        except OSError as error:
            code = told([f"the answer cannot be written: {error.strerror or error}"], 1)
            _forget(sys.stdout)
        sys.exit(code if isinstance(code, int) else 0)


def plot_with_value(args: Sequence[str]) -> list[str]:
    """A command line with a value for every `--plot`: the file behind it, or `-`, the terminal, where none follows.

    What follows is a file if its ending is that of a picture, even of one that is not written here, which is refused
    later, by name; else it is the next argument, such as a model. `--plot=FILE` is always read as it stands. Behind that
    of a sweep stand columns.
    """
    until = list(args).index("--") if "--" in args else len(args)
    read: list[str] = []
    for place, word in enumerate(args[:until]):
        following = args[place + 1] if place + 1 < until else ""
        columns = args[0] == "sweep" and following[:1] not in ("", "-")
        named = following.lower().endswith(_PICTURES) or columns
        read.append("--plot=-" if word == "--plot" and not named else word)
    return [*read, *args[until:]]


def _forget(stream: TextIO) -> None:
    """Leaves nothing that Python would try to write, and complain about, when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a closed one, or a test's
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _usage(error: BaseException) -> str:
    """A mistake on the command line in one line, with where help is."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tscale"
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    text = text.replace("Value error, ", "").rstrip(".")  # typer 0.29 lets pydantic check choices
    text = called(text, 400) + _meant(text)
    return f"{text}{' See' if text.endswith('?') else ': see'} `{command} -h`"


def _meant(text: str) -> str:
    """Of a value that is not one of the choices, the choice that was meant; of a kind of list that is no command, its list."""
    command = re.fullmatch("No such command '([^']*)'", text)
    if command is not None:
        from tscale.analysis.list import KINDS

        kind = _ALSO_CALLED.get(command[1], command[1])
        return f": did you mean list {kind}?" if kind in KINDS else ""
    found = re.search("'([^']*)' is not one of (.*)$", text)
    if found is None:
        return ""
    choices = re.findall("'([^']*)'", found[2])
    other = {name: choice for name, choice in _ALSO_CALLED.items() if choice in choices}
    hint = nearest(found[1].lower(), choices, other)
    return f": {hint}" if hint.startswith("did you mean") else ""


_ALSO_CALLED: Final = {
    "adam": "adamw",
    "8bit-adam": "adam-8bit",
    "adamw-8bit": "adam-8bit",
    "liger": "fused-linear",
    "half": "fp16",
    "float16": "fp16",
    "float32": "fp32",
    "bfloat16": "bf16",
    "gpus": "hardware",
    "devices": "hardware",
    "dtypes": "formats",
    "md": "markdown",
    "yml": "yaml",
}
"""What the field, or a slip, calls a choice."""


def told(lines: Iterable[object], code: int) -> int:
    """Says what went wrong on stderr, a line each, and gives the exit code back."""
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    try:
        for line in lines if sys.stderr is not None else ():
            text = one_line(f"tscale: {line}")
            print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
    except OSError:  # there is nowhere left to say so
        _forget(sys.stderr)
    return code
