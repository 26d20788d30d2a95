"""`--plot`: with a file and without, what is written, and what is refused."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.helpers import Answer, answer, run
from tscale.cli.boundary import plot_with_value
from tscale.render import plot as drawing

COMMANDS = [
    ["attention", "gpt3"],
    ["attention", "mistral-7b", "--causal"],
    ["compare", "transformer", "gpt3", "deepseek-v3", "gpt-4"],
    ["serve", "llama-3.1-8b", "--gpu", "h100", "--context", "128"],
    ["memory", "llama-3.1-8b", "--gpu", "h100", "--batch", "4", "--context", "8k"],
    ["memory", "llama-3.1-8b", "--train"],
    ["memory", "gpt2", "--train", "--method", "ppo", "--gpu", "h100"],
    ["hyper", "gpt2", "--tokens", "1e10"],
    ["optimal", "--flops", "5.76e23"],
    ["optimal", "--params", "70e9", "--unique-tokens", "1e11", "--inference-tokens", "1e13"],
]
BY_WORDS = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
SVG = "{http://www.w3.org/2000/svg}"


@cache
def unplotted(columns: int | None, *command: str) -> Answer:
    """The answer without its picture, asked for once: several tests hold theirs to it."""
    return run(*command, columns=columns)


@pytest.mark.parametrize(
    "given, read",
    [
        (["attention", "gpt3", "--plot"], ["attention", "gpt3", "--plot=-"]),
        (["attention", "--plot", "gpt3"], ["attention", "--plot=-", "gpt3"]),
        (["attention", "--plot", "--causal", "gpt3"], ["attention", "--plot=-", "--causal", "gpt3"]),
        (["attention", "gpt3", "--plot", "a.svg"], ["attention", "gpt3", "--plot", "a.svg"]),
        (["attention", "--plot", "A.PNG", "gpt3"], ["attention", "--plot", "A.PNG", "gpt3"]),
        (["attention", "gpt3", "--plot", "a.pdf"], ["attention", "gpt3", "--plot", "a.pdf"]),
        (["attention", "--plot", "llama-3.1-8b"], ["attention", "--plot=-", "llama-3.1-8b"]),
        (["attention", "--plot", "model.yaml"], ["attention", "--plot=-", "model.yaml"]),
        (["attention", "--plot", "-"], ["attention", "--plot=-", "-"]),  # the model on standard input
        (["attention", "--plot=a", "gpt3"], ["attention", "--plot=a", "gpt3"]),
        (["attention", "--plot", "--", "a.svg"], ["attention", "--plot=-", "--", "a.svg"]),
        (["attention", "--", "--plot"], ["attention", "--", "--plot"]),
    ],
)
def test_plot_may_stand_alone(given: list[str], read: list[str]) -> None:
    assert plot_with_value(given) == read


@pytest.mark.slow
@BY_WORDS
def test_an_svg_is_well_formed_and_its_text_is_text(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    done = run(*command, "--plot", str(file))
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"{file} is written\n")
    assert done.out.removesuffix(f"{file} is written\n") == unplotted(None, *command).out
    root = ET.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 (we wrote it)
    words = {element.text for element in root.iter(f"{SVG}text")}
    assert words & {"context (tokens)", "training tokens", "year", "parameters", "batch size (sequences)"}


@pytest.mark.slow
@pytest.mark.parametrize("command, ending", [(COMMANDS[0], ".png"), (COMMANDS[-1], ".svg")])
def test_the_same_picture_is_the_same_bytes(command: list[str], ending: str, tmp_path: Path) -> None:
    first, second = (tmp_path / f"{name}{ending}" for name in "ab")
    for file in (first, second):
        assert run(*command, "--plot", str(file)).code == 0
    assert first.read_bytes() == second.read_bytes()
    assert re.search(rb"20\d\d-\d\d-\d\dT", first.read_bytes()) is None


@pytest.mark.slow
def test_a_png_is_one(tmp_path: Path) -> None:
    file = tmp_path / "a.PNG"
    assert run("attention", "gpt3", "--plot", str(file)).code == 0
    assert file.read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.slow
@BY_WORDS
@pytest.mark.parametrize("columns", [None, 40])
def test_a_pipe_gets_a_picture_without_colour_within_its_width(command: list[str], columns: int | None) -> None:
    done = run(*command, "--plot", columns=columns)
    assert (done.code, done.err) == (0, "")
    report = unplotted(columns, *command).out
    assert done.out.startswith(report)
    picture = done.out.removeprefix(report)
    assert "\x1b" not in picture
    assert max(map(len, picture.splitlines())) <= (columns or 80)
    assert all(line == line.rstrip() for line in picture.splitlines())


@pytest.mark.slow
def test_programs_get_their_json_beside_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    done = run("attention", "gpt3", "--format", "json", "--plot", str(file))
    assert done.out == run("attention", "gpt3", "--format", "json").out
    assert file.exists()


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    file.write_text("mine", encoding="utf-8")
    done = run("attention", "gpt3", "--plot", str(file))
    assert (done.code, done.out) == (1, "")
    assert done.err == f"tscale: {file}: exists already, and is left as it is: choose another name, or --force\n"
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = run("attention", "gpt3", "--plot", str(tmp_path / "none" / "a.svg"))
    assert (done.code, done.out) == (1, "")
    assert "cannot be written: No such file or directory" in done.err


@pytest.mark.parametrize("file, package", [("a.svg", "matplotlib"), ("-", "plotext")])
def test_without_the_extra_it_says_how_to_get_it(file: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> ModuleSpec | None:
        assert name == package
        return None

    monkeypatch.setattr(drawing, "find_spec", found)
    done = run("attention", "gpt3", f"--plot={file}")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(f"with {package}: `pip install '.[plot]'` in the folder of tscale's source installs it\n")


def test_nothing_is_imported_for_a_picture_that_is_not_asked_for() -> None:
    code = """
import sys
import termios
from functools import cache
from tscale.cli import app
app(["attention", "gpt3"], standalone_mode=False)
print([name for name in ("matplotlib", "plotext", "numpy", "tscale.render.plot") if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.slow
def test_ascii_where_the_encoding_has_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in (COMMANDS[0], COMMANDS[-1]):
        done = subprocess.run(
            [sys.executable, "-m", "tscale", *command, "--plot"], capture_output=True, env=environment, check=True
        )
        assert done.stdout.isascii() and b"?" not in done.stdout
        assert b"+---" in done.stdout


def test_a_point_without_room_for_its_name_gets_a_letter() -> None:
    """Five laws agree within a few cells of a narrow picture: each is named beside its point or below by its letter."""
    picture = run("optimal", "--flops", "5.76e23", "--plot").out.partition("The optimum by each law")[2]
    told = answer("optimal", "--flops", "5.76e23")["rows"]
    for row in told:
        assert picture.count(row["law"]) >= 1
    assert re.search(r"^a: ", picture, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("term, coloured", [("xterm-256color", True), ("dumb", False)])
def test_a_terminal_gets_colours_and_no_background(term: str, coloured: bool) -> None:
    shown = in_terminal(["attention", "gpt3", "--plot"], {"TERM": term})
    assert ("\x1b[" in shown) == coloured
    assert not re.search(r"\x1b\[(4\d|10\d|[\d;]*48;)", shown)


@pytest.mark.slow
def test_no_color_is_heeded() -> None:
    assert "\x1b" not in in_terminal(["attention", "gpt3", "--plot"], {"TERM": "xterm-256color", "NO_COLOR": "1"})


def in_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command writes to a terminal of 100 columns and 40 rows."""
    main, side = pty.openpty()
    termios.tcsetwinsize(side, (40, 100))
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    done = subprocess.Popen([sys.executable, "-m", "tscale", *command], stdout=side, env={**known, **environment})
    os.close(side)
    read = bytearray()
    with contextlib.suppress(OSError):  # the other side is closed
        while part := os.read(main, 65536):
            read += part
    os.close(main)
    assert done.wait() == 0
    return read.decode()


@pytest.mark.slow
@pytest.mark.parametrize("title", ["costs $5 and \\\\$6", "模型", "_a^b{", "x" * 200])
def test_a_title_is_text_whatever_it_holds(title: str, tmp_path: Path) -> None:
    for command, file in ((("attention", "gpt2"), "a.svg"), (("compare", "gpt2", "gpt3"), "a.png")):
        done = run(*command, "--set", f"title='{title}'", "--plot", str(tmp_path / file))
        assert (done.code, done.err) == (0, "")
    assert run("attention", "gpt2", "--set", f"title='{title}'", "--plot").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["attention", "gpt3", "--context", "1"],
        ["attention", "gpt3", "--context", "1e12"],
        ["attention", "gpt3", "--context", "1,1e12", "--causal"],
        ["attention", "mamba-130m", "--context", "4k"],
        ["compare", "gpt3", "gpt3"],
        ["compare", "gpt3-small", "gpt3-medium", "gpt3-large", "gpt3-xl", "gpt3-2.7b", "gpt3-6.7b", "gpt3-13b", "gpt3"],
        ["optimal", "--flops", "1e15"],
        ["optimal", "--flops", "1e35"],
        ["optimal", "--tokens", "1e9"],
        ["serve", "llama-3.1-405b", "--gpu", "h100"],  # does not fit
        ["serve", "llama-3.1-8b", "--gpu", "h100", "--batch", "1e6"],
        ["serve", "mamba-130m", "--gpu", "h100"],
        ["serve", "llama-3.1-70b", "--gpu", "h100", "--gpus", "8", "--draft", "llama-3.1-8b", "--acceptance", "0.8"],
        ["memory", "llama-3.1-405b", "--gpu", "h100"],
        ["memory", "gpt2", "--gpu", "h100", "--context", "1"],
        ["memory", "mamba-130m", "--gpu", "h100"],
    ],
    ids=" ".join,
)
def test_the_ends_of_what_may_be_asked_are_drawn(command: list[str], tmp_path: Path) -> None:
    report = unplotted(80, *command)
    done = run(*command, "--plot", columns=80)
    assert (done.code, done.err) == (report.code, "")
    assert max(map(len, done.out.removeprefix(report.out).splitlines())) <= 80
    assert run(*command, "--plot", str(tmp_path / "a.svg")).code == report.code
