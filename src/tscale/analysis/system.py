"""A system as a file: what was asked of one command, kept as YAML, and read by every other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from tscale.analysis.questions import question
from tscale.analysis.request import Option, Request, is_absent, spelled
from tscale.errors import RequestError, SpecError, called, nearest, shown

ABOUT: Final = ("summary", "params", "attention", "flops", "memory", "train", "serve", "loss", "verify")
"""Questions about a system, which read one from a file and write it to one."""
READ_BY: Final = (*ABOUT, "plan")
"""Those, and the one that finds a system: what a file says fixes its axes, and it writes the best that it finds."""
TARGETS: Final = ("users", "ttft", "ttft_percentile", "tpot")
"""What `plan --serve` holds a system to: it alone reads them."""
_NEVER: Final = frozenset({"train", "serve"})
"""What `memory` is asked about, which is no property of a system."""


@cache
def fields() -> dict[str, Option]:
    """All that a system may say, by name."""
    plan = question("plan").ask.options()
    return {
        name: option
        for one in ABOUT
        for name, option in question(one).ask.options().items()
        if name not in _NEVER and option.kind != "models"
    } | {"model": question("memory").ask.options()["model"], **{name: plan[name] for name in TARGETS}}


def saved(request: Request) -> str | None:
    """A request's system as YAML: the fields that were given, as they were written; None where there is none to keep.

    Raises:
        RequestError: for a model or hardware that was made in Python, which a file cannot name.
    """
    from tscale.models.writing import yaml_of

    kept = request.kept
    if kept is None:
        return None
    plain = {name: _plain(name, value) for name, value in kept.items() if name not in _NEVER}
    models = plain.pop("models", None)
    if isinstance(models, list):
        if len(models) != 1:
            raise RequestError("--save keeps a system of one model: give one")
        plain = {"model": models[0], **plain}
    return yaml_of(plain)


def _plain(name: str, value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_plain(name, item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, (str, int, float, bool, Mapping)):
        raise RequestError(
            f"--save: {name} was made in Python, and a file cannot name it: write it to a file of its own"
        )
    return dict(value) if isinstance(value, Mapping) else _number(value)


def _number(value: str | float) -> str | float:
    """A text that is a whole number in digits as the number, so that a file reads well."""
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and str(int(value)) == value
        else value
    )


def with_system(asked: type[Request], given: Mapping[str, object], file: str) -> dict[str, object]:
    """What is given, and what a file says of the system where nothing is given; what a question does not ask is passed over.

    Raises:
        TscaleError: for a file that cannot be read, and for a name in it that no question asks.
    """
    system = read_system(file)
    options = asked.options()
    if "models" in options and "model" in system:
        system["models"] = [system.pop("model")]
    named = {name: value for name, value in given.items() if not is_absent(value)}
    own = asked.of_system(system, named)
    for name in own.keys() - named.keys():
        _refuse_value(file, name, own[name], options[name])
    return {**own, **named}


def _refuse_value(file: str, name: str, value: object, option: Option) -> None:
    """Raises `SpecError` for a value in a system's file that means nothing."""
    where = "standard input" if file == "-" else called(file)
    try:
        option.of(value, spelled(name))
    except RequestError as error:
        raise SpecError(error.text.replace(spelled(name), name), where=where) from None


def read_system(file: str) -> dict[str, Any]:
    """The fields of a system by name. Raises `TscaleError`."""
    from tscale.models.yaml_file import read_document

    document = read_document(file, "`tscale train ... --save FILE` writes one")
    if not isinstance(document.data, dict):
        raise SpecError("is no system: a mapping such as model: gpt3 is expected", where=called(file))
    for name, value in document.data.items():
        if name not in fields():
            hint = nearest(str(name), fields())
            raise SpecError(f"unknown key {shown(name)}: {hint}", where=document.where((str(name),), key=True))
        if value is None or (isinstance(value, dict) and name not in ("model", "gpu", "set", "gpu_set")):
            raise SpecError(
                f"{name}: give a value as {spelled(str(name))} takes it", where=document.where((str(name),))
            )
    return {str(name): value for name, value in document.data.items()}
