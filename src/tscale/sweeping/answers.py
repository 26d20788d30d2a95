"""One row at a time: the question's own answer as flat cells, or why it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, NamedTuple

from tscale.analysis.request import Request
from tscale.core.metric import Data, Figure, Label, Missing
from tscale.core.tracing import Recordable
from tscale.errors import TscaleError
from tscale.models.spec import Spec
from tscale.sweeping.job import Job, asked

Value = int | float | Fraction | str | bool | None
_NOT_OURS: Final = frozenset(
    {"model", "title", "published", "default_model", "command", "spec", "constants", "fitted", "given"}
)
"""Keys that say what was asked, or what others published, and are no figures of the row."""
_ROWS: Final = frozenset({"rows", "range"})
"""Lists of answers within an answer: each is told by its first key, such as a law, a case or a context."""


class Answer(NamedTuple):
    """The figures of a row by column, as they are known; or why there are none."""

    figures: dict[str, Figure | Value]
    refused: str | None = None


def answer_of(job: Job, places: tuple[int, ...], *, whole: bool = False) -> Answer:
    """The answer to the row at some places of the axes; `whole`: as the command gives it, which says how each figure is known."""
    own = asked(job.question)
    try:
        request = request_of(job, places)
        data = own.analyze(request).data if whole else own.figures(request)
    except TscaleError as error:
        return Answer({}, reason(error))
    return Answer({name: value for name, value in figures_of(data, job).items() if job.wants(name)})


def request_of(job: Job, places: tuple[int, ...], model: object = None) -> Request:
    """What a row asks, with its spec found, or that which is given. Raises `TscaleError`."""
    given = job.given(places)
    own = asked(job.question)
    several = "models" in own.ask.options()
    if several:
        spec = model if model is not None else _spec_of(given)
        request: Request = own.made({"models": [spec]})
    elif model is not None:
        kept = {
            key: value for key, value in given.items() if key not in ("model", "set", "assume", "strict", "families")
        }
        request = own.made({**kept, "model": model})
    else:
        request = own.made(given)
        if "model" in given:
            request.__dict__["found"] = _spec_of(given)
    return request


def _spec_of(given: Mapping[str, object]) -> Spec:
    """The spec that a row is about. Raises `TscaleError`."""
    changes: Any = given.get("set") or ()
    model, assume, strict = given["model"], given.get("assume"), bool(given.get("strict"))
    families = given.get("families")
    find = _found if isinstance(model, str) and isinstance(families, str | None) else _find
    found = find(model, tuple(changes), assume, strict, families)
    if isinstance(found, TscaleError):
        raise found
    return found


def _find(model: object, changes: tuple[str, ...], assume: Any, strict: bool, families: object) -> Spec | TscaleError:
    """A spec with some changes, or why there is none."""
    from tscale.analysis.found import spec_of
    from tscale.models.resolve import disclosed

    try:
        spec = spec_of(model, changes, assume, strict=strict, families=families)
        return spec if spec.kind == "tower" else disclosed(spec)
    except TscaleError as error:
        return error


_found = lru_cache(maxsize=4096)(_find)
"""The same, kept: most rows of a sweep ask for a spec that another has asked for."""


def reason(error: TscaleError) -> str:
    """Why a row is refused: without the options of --set, which are columns of their own."""
    text = str(error)
    if error.where.startswith("--set"):
        return text.removeprefix(f"{error.where}: ")
    return text


def figures_of(data: Data, job: Job) -> dict[str, Figure | Value]:
    """The scalar figures of an answer by their keys in JSON with dots; those that are axes are left out."""
    axes = {axis.name for axis in job.axes}
    return {name: value for name, value in _flat(data, "") if name not in axes}


def _flat(data: Data, path: str) -> Iterator[tuple[str, Figure | Value]]:
    match data:
        case Figure():
            yield path, data
        case Missing():
            yield path, None
        case Label():
            yield path, data.value
        case Mapping():
            for key, value in data.items():
                if key not in _NOT_OURS:
                    yield from _flat(value, f"{path}.{key}" if path else key)
        case str() | int() | Recordable() | None:
            yield path, data
        case _:
            yield from _flat_rows(data, path)


def _flat_rows(rows: Any, path: str) -> Iterator[tuple[str, Figure | Value]]:
    """The answers of a list: of one alone its keys, of several each under what tells it apart."""
    if path not in _ROWS or not all(isinstance(row, Mapping) and row for row in rows):
        return
    above = "" if path == "rows" else f"{path}."
    for row in rows:
        first = next(iter(row.values()))
        if isinstance(first, str):
            yield from _flat(dict(list(row.items())[1:]), f"{above}{first}")
        elif len(rows) == 1:
            yield from _flat(row, above.rstrip("."))
        elif isinstance(first, Figure):
            yield from _flat(dict(list(row.items())[1:]), f"{above}{next(iter(row))}_{first.value}")


def with_numbers(request: Request, numbers: Mapping[str, int]) -> Request:
    """A request whose fields hold other numbers, which may remember and note what is done with them."""
    changed: Any = dict(numbers)
    return replace(request, **changed)
