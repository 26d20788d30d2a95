"""Requests of any question, made and answered."""

from __future__ import annotations

import json
from dataclasses import fields
from random import Random
from typing import Any, Final

import tscale
from tests.fuzz.dice import mutated, text, value
from tests.fuzz.lines import COUNTS, MODELS
from tests.fuzz.requests import _ABSURD, _LIKELY, _SMALL
from tests.fuzz.requests import _BASES as _LINES
from tests.fuzz.wrong import BASES
from tscale.analysis.questions import NAMES, question
from tscale.analysis.request import Option, spelled

_ASKS: Final = {name: question(name).ask for name in NAMES}
OPTIONS: Final = {name: ask.options() for name, ask in _ASKS.items()}
WRITES: Final = ("output", "output_file", "save", "plot", "system", "families", "calibration", "rows")


def _given(dice: Random, key: str, option: Option, strange: float) -> Any:
    """A value for an option: a likely one, but for some."""
    if option.kind == "flag":
        return dice.choice([True, True, False]) if dice.random() > strange else value(dice)
    if dice.random() < strange:
        return dice.choice([dice.choice(_ABSURD), dice.choice(COUNTS), text(dice), value(dice)])
    if option.choices:
        return dice.choice(option.choices)
    return dice.choice(_LIKELY.get(key, _SMALL))


def option(dice: Random) -> None:
    """One option of a question, given anything."""
    name = dice.choice(NAMES)
    key = dice.choice(list(OPTIONS[name]))
    one = OPTIONS[name][key]
    if one.kind not in ("model", "models"):
        one.of(_given(dice, key, one, 0.7), spelled(key))


def _options(dice: Random, name: str, most: int, strange: float) -> dict[str, Any]:
    known = {
        key: one
        for key, one in OPTIONS[name].items()
        if key not in WRITES and one.kind not in ("model", "models", "argument")
    }
    keys = dice.sample(sorted(known), min(len(known), dice.randrange(most + 1)))
    return {key: _given(dice, key, known[key], strange) for key in keys}


def request(dice: Random) -> None:
    """A request of any question, made but not answered."""
    name = dice.choice(NAMES)
    known = OPTIONS[name]
    needed = [one.name for one in fields(_ASKS[name]) if one.metadata.get("required")]
    keys = [*needed, *dice.sample(sorted(known), dice.randrange(min(7, len(known))))]
    given = {
        key: "gpt2" if known[key].kind in ("model", "models") else _given(dice, key, known[key], 0.05) for key in keys
    }
    _ASKS[name].made({**_base(dice, name), **given}, explain=dice.random() < 0.2)


def _base(dice: Random, name: str) -> dict[str, Any]:
    """Options with which a question has an answer."""
    words = (word.removeprefix("--").partition("=") for word in dice.choice(_LINES.get(name, [[]])))
    return {key.replace("-", "_"): said or True for key, _, said in words}


SIZED: Final = (
    "gpt2",
    "gpt3",
    "llama-3.1-8b",
    "t5-small",
    "bert-base",
    "mamba-2.8b",
    "deepseek-v3",
    "gpt-4",
    "mixtral-8x7b",
)


def _called(dice: Random, names: list[str]) -> None:
    name = dice.choice(names)
    kinds = {one.kind for one in OPTIONS[name].values()}
    given: list[Any] = []
    if kinds & {"model", "models"}:
        way = dice.random()
        given = [
            dice.choice(SIZED) if way < 0.7 else dice.choice(MODELS) if way < 0.8 else mutated(dice, dice.choice(BASES))
        ]
    options = {**_base(dice, name), **_options(dice, name, 5, 0.04)}
    json.dumps(getattr(tscale, name)(*given, **options).to_dict(), allow_nan=False)


_PLANNED: Final = ("plan",)
_OF_FILES: Final = ("accuracy", "calibrate", "fit", "verify", "check")
_QUICK: Final = [name for name in NAMES if name not in (*_PLANNED, *_OF_FILES)]


def call(dice: Random) -> None:
    """A call from Python of any question about models, with options that make sense but for some."""
    _called(dice, _QUICK)


def plan(dice: Random) -> None:
    """The same of `plan`, whose answers take longer."""
    _called(dice, list(_PLANNED))
