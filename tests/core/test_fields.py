"""Formulas, blocks, models and plans name the fields of a request; only who asks spells them."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tscale
from tests.helpers import run
from tscale.errors import RequestError, SpecErrors, field

ROOT = Path(tscale.__file__).parent
ROOMS = ("core", "blocks", "models", "planning")
OF_OTHERS = {
    ROOT / "planning" / name
    for name in ("flags.py", "megatron_flags.py", "titan_flags.py", "bridge_flags.py", "launch_flags.py")
}
"""Files of the options of other programs."""
OPTION = re.compile(r"(?<![\w-])--[a-z]")


def strings(path: Path, *, of_errors: bool = False) -> Iterator[str]:
    """The texts of a file, or of the errors that it raises; without docstrings: those of expressions that do nothing else."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    raised = (node for node in ast.walk(tree) if isinstance(node, ast.Raise))
    for node in (one for error in raised for one in ast.walk(error)) if of_errors else ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


@pytest.mark.parametrize("room", [*ROOMS, "counting"])
def test_no_text_spells_an_option(room: str) -> None:
    """A quoted command is a command, whoever reads it."""
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = [
        f"{path.name}: {text}"
        for path in files
        if path not in OF_OTHERS
        for text in strings(path)
        if OPTION.search(re.sub("`tscale [^`]*`", "", text))
    ]
    assert not found


@pytest.mark.slow
@pytest.mark.parametrize("room", ["answers", "estimates"])
def test_no_error_of_an_answer_spells_an_option(room: str) -> None:
    """Its notes do, which JSON has as the terminal."""
    found = [
        f"{path.name}: {text}"
        for room in ("answers", "estimates")
        for path in sorted((ROOT / room).rglob("*.py"))
        for text in strings(path, of_errors=True)
        if OPTION.search(re.sub("`tscale [^`]*`", "", text))
    ]
    assert not found


def test_the_command_line_and_python_spell_a_field_in_their_own_ways() -> None:
    said = run("memory", "deepseek-v3", "--gpus", "16", "--expert", "3")
    assert "--expert 3 does not divide the 16 ranks of a stage: use --expert 1, 2, 4, 8 or 16" in said.err
    with pytest.raises(
        RequestError, match=r"^expert=3 does not divide the 16 ranks of a stage: use expert=1, 2, 4, 8 or 16$"
    ):
        tscale.memory("deepseek-v3", gpus=16, expert=3)
    with pytest.raises(RequestError, match=r"^changes: unknown key"):
        tscale.load("gpt2", ["layerz=3"])


def test_a_file_cannot_write_a_field() -> None:
    """Marks of a field in a user's own text are blanks, as all that cannot be printed."""
    with pytest.raises(tscale.TscaleError) as told:
        tscale.load(f"no such {field('tensor')}")
    assert "--tensor" not in str(told.value)
    assert str(told.value).isprintable()


def test_an_error_stays_what_it_is_on_its_way_through_a_process() -> None:
    error = RequestError(f"set {field('lora_targets')}, or {field('tensor', 8)}", where=field("set"))
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == "--set: set --lora-targets, or --tensor 8"  # noqa: S301
    several = SpecErrors([error, error])
    several.respell(lambda name, value: f"<{name}:{value}>")
    assert str(several).startswith("<set:None>: set <lora_targets:None>, or <tensor:8> (and 1 more")
