"""The words of a sweep that are its question's: which one, of which model, and the options that hold for every row."""

from __future__ import annotations

from collections.abc import Sequence

from tscale.analysis.request import Option
from tscale.errors import RequestError, nearest
from tscale.sweeping.job import QUESTIONS, options_of


def read_words(words: Sequence[str]) -> tuple[str, dict[str, object]]:
    """The question and what is given to every row. Raises `RequestError`."""
    if not words or words[0].startswith("-"):
        raise RequestError(
            f"a sweep needs its question first, such as `tscale sweep params gpt3`: {', '.join(QUESTIONS)}"
        )
    question, options = words[0], options_of(words[0])
    given: dict[str, object] = {}
    place = 1
    while place < len(words):
        word = words[place]
        place += 1
        if not word.startswith("--"):
            _put_model(given, word, question, options)
            continue
        name, equals, value = word[2:].partition("=")
        field = name.replace("-", "_")
        option = options.get(field)
        if option is None or option.kind in ("model", "models"):
            known = [f"--{key.replace('_', '-')}" for key in options if key != "model"]
            raise RequestError(f"{question} has no {word.partition('=')[0]}: {nearest(f'--{name}', known)}")
        if option.kind == "flag":
            given[field] = True
            continue
        if not equals:
            if place == len(words):
                raise RequestError(f"--{name} needs a value")
            value = words[place]
            place += 1
        given[field] = (*_several(given.get(field)), value) if option.kind == "list" else value
    return question, given


def _several(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _put_model(given: dict[str, object], word: str, question: str, options: dict[str, Option]) -> None:
    """Takes a word as the model. Raises `RequestError` where there is one already, or none is asked for."""
    if "model" not in options:
        raise RequestError(f"{question} is asked of no model: drop {word}")
    if "model" in given:
        raise RequestError(
            f"a sweep is of one model, and {word} is a second: write --vary model={given['model']},{word}"
        )
    given["model"] = word
