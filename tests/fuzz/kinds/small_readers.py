"""Readers of a word or a line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from random import Random
from typing import Final

from tests.fuzz.dice import text
from tscale.analysis import completion
from tscale.importer.pattern_machine import Budget, Overspent, glob_machine, regex_machine

_PIECES: Final = [
    "a",
    "b",
    ".",
    "\\.",
    "\\d",
    "\\w",
    "[ab]",
    "[a-c]",
    "[^a]",
    "[",
    "]",
    "(",
    ")",
    "|",
    "*",
    "+",
    "?",
    "{2}",
    "^",
    "$",
    "(?=",
    "\\",
    "!",
]


def pattern(dice: Random) -> None:
    """A pattern over names of modules, in a bounded number of steps."""
    made = "".join(dice.choices(_PIECES, k=dice.choice([3, 6, 12, 200]))) if dice.random() < 0.8 else text(dice)
    machine = regex_machine(made) if dice.random() < 0.5 else glob_machine(made, below=dice.random() < 0.5)
    if machine is not None:
        with suppress(Overspent):
            machine.matches("".join(dice.choices("ab.1_", k=dice.choice([3, 20, 200]))), Budget(5_000))


_COMPLETIONS: Final[list[Callable[[str], list[str]]]] = [
    getattr(completion, name) for name in vars(completion) if name.endswith(("_names", "_fields")) and name[0] != "_"
]


def completed(dice: Random) -> None:
    """What is completed of a word that was begun."""
    begun = (
        text(dice)
        if dice.random() < 0.5
        else dice.choice(["attention.", "feed_forward.he", "head.x", "memory", "l", ""])
    )
    found = dice.choice(_COMPLETIONS)(begun)
    assert all(isinstance(name, str) for name in islice(found, 100))
