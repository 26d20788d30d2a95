"""A sweep before it is run: the question, what is fixed, what is varied, and what one row of it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Final

from tscale.analysis.questions import Question, question
from tscale.analysis.request import Option, Request, spelled
from tscale.errors import RequestError, TscaleError, nearest
from tscale.sweeping.axes import Axis, as_written, read_axes

QUESTIONS: Final = (
    "summary", "params", "attention", "flops", "memory", "train", "serve", "optimal", "loss", "design",
)  # fmt: skip
"""Questions about one thing, whose answers have figures of their own."""
MOST_ROWS: Final = 10**8
"""Rows that are computed without being asked twice."""
_OF_FILES: Final = ("output", "force")


@dataclass(frozen=True)
class Job:
    """A question over all combinations of its axes. It is plain data, so that other processes can run parts of it.

    `fixed`: what is given to every row, by field.
    """

    question: str
    fixed: Mapping[str, object]
    axes: tuple[Axis, ...]
    wanted: tuple[str, ...] = ()
    """The figures that are asked for; all of them where none is named."""

    def wants(self, name: str) -> bool:
        """Whether a figure is asked for."""
        return not self.wanted or name in self.wanted

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many values each axis has."""
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return prod(self.lengths)

    def given(self, places: tuple[int, ...]) -> dict[str, object]:
        """What the row at some places of its axes gives the question, by field."""
        given = dict(self.fixed)
        for axis, place in zip(self.axes, places, strict=True):
            value = axis.given(place)
            if axis.key:
                given[axis.field] = (*_several(given.get(axis.field)), f"{axis.key}={value}")
            else:
                given[axis.field] = value
        return given


def _several(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else ()


def options_of(name: str) -> dict[str, Option]:
    """What can be fixed or varied of a question; `model` stands for the models of one that takes several."""
    options = asked(name).ask.options()
    if "models" in options:
        options = {"model": options["models"], **options}
        del options["models"]
    writes = "force" in options
    return {key: option for key, option in options.items() if not (writes and key in _OF_FILES)}


@cache
def asked(name: str) -> Question:
    """The question of a name. Raises `RequestError` for one that cannot be swept."""
    if name not in QUESTIONS:
        raise RequestError(f"sweep has no question {name}: {nearest(str(name), QUESTIONS)}")
    return question(name)


def job_of(name: str, fixed: Mapping[str, object], vary: object, wanted: Sequence[str] = ()) -> Job:
    """A sweep of what was given. Raises `RequestError`."""
    options = options_of(name)
    for key in fixed:
        if key not in options:
            raise RequestError(f"{name} has no --{key.replace('_', '-')}: {nearest(key, options)}")
    axes = read_axes(as_written(vary), options, name)
    for axis in axes:
        if axis.name in fixed or (axis.key and _sets(fixed.get(axis.field), axis.key)):
            raise RequestError(f"{axis.name} is both given and varied: drop one of them")
    given = _with_model({key: _fixed(options[key], key, value) for key, value in fixed.items()})
    _check_fields(name, given, axes)
    return Job(name, given, axes, tuple(wanted))


def _sets(texts: object, key: str) -> bool:
    """Whether one of some texts KEY=VALUE sets a field."""
    return any(isinstance(text, str) and text.partition("=")[0].strip() == key for text in _several(texts))


def _with_model(given: dict[str, object]) -> dict[str, object]:
    """What is given, with the model of a file read once: standard input has it once, and other machines do not have it."""
    from tscale.analysis.found import spec_of
    from tscale.catalogue.models import known_name
    from tscale.models.made import trusted
    from tscale.models.spec import ModelSpec

    model, assume = given.get("model"), given.get("assume")
    if not isinstance(model, str) or known_name(model) is not None:
        return given
    assumed, strict = None if assume is None else str(assume), bool(given.get("strict"))
    spec = spec_of(model, (), assumed, strict=strict, families=given.get("families"))
    rest = {key: value for key, value in given.items() if key not in ("assume", "strict", "families")}
    return {**rest, "model": trusted(spec) if isinstance(spec, ModelSpec) else spec}


def _fixed(option: Option, name: str, value: object) -> object:
    """What is given to every row; of fields to set, the texts KEY=VALUE, to which those of a row are added."""
    return tuple(option.of(value, spelled(name))) if option.kind == "list" else value


def _check_fields(name: str, fixed: Mapping[str, object], axes: tuple[Axis, ...]) -> None:
    """Raises `RequestError` where a model is missing, and for an axis of the spec that no spec has."""
    varied = {axis.field for axis in axes}
    for missing in _needed(name) - fixed.keys() - varied:
        if missing == "model":
            raise RequestError(f"Missing argument 'MODEL': {name} is asked of one, or of several with --vary model=A,B")
        raise RequestError(f"Missing option '{spelled(missing)}': give it, or vary it")
    if "set" in varied:
        _check_keys(fixed.get("model"), axes)


def _needed(name: str) -> set[str]:
    """The fields that a question cannot do without."""
    ask: type[Request] = asked(name).ask
    needed = {one for one, field in ask.__dataclass_fields__.items() if field.metadata.get("required")}
    return {"model" if one == "models" else one for one in needed}


def _check_keys(model: object, axes: tuple[Axis, ...]) -> None:
    """Raises `RequestError` for an axis of the spec that no spec has."""
    from tscale.analysis.found import spec_of
    from tscale.models.resolve import check_key

    first: Any = next((axis.values[0] for axis in axes if axis.name == "model"), model)
    spec = spec_of("gpt3" if first is None else first)
    for axis in axes:
        if axis.field == "set":
            try:
                check_key(axis.key, spec)
            except TscaleError as error:
                _, unknown, hint = str(error).partition("unknown key")
                raise RequestError(f"--vary {axis.name}: {unknown}{hint}") from None
