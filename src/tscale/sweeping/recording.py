"""A question compiled from one row of it on recorded numbers: what `sweeping.compiled` does for counts alone, for all of its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tscale.core.metric import Figure
from tscale.errors import TscaleError
from tscale.models.made import trusted
from tscale.models.spec import ModelSpec
from tscale.sweeping.answers import Answer, answer_of, figures_of, reason, request_of, with_numbers
from tscale.sweeping.conversions import recording_conversions
from tscale.sweeping.job import Job, asked, options_of
from tscale.sweeping.marks import OPEN, pieces_of
from tscale.sweeping.path import Path, Places, Text
from tscale.sweeping.recorded import LostError, Record, Recorded, recording
from tscale.sweeping.replay import Conditions, Replay
from tscale.sweeping.specs import unchecked, with_sizes, without_memory

RECORDED: Final[Mapping[str, frozenset[str]]] = {
    "memory": frozenset(
        {"batch", "context", "micro_batch", "page", "chunk", "prefix", "lora_rank", "draft_tokens", "replicas"}
    ),
    "train": frozenset(
        {"tokens", "context", "batch", "micro_batch", "gpus", "lora_rank", "price", "watts", "tokens_per_second"}
    ),
    "serve": frozenset(
        {"batch", "concurrency", "context", "input", "output", "prefix", "chunk", "draft_tokens", "replicas", "price"}
    ),
    "attention": frozenset({"context"}),
    "optimal": frozenset(
        {"flops", "params", "tokens", "unique_tokens", "inference_tokens", "gpus", "days", "dollars", "price"}
    ),
    "loss": frozenset({"tokens", "unique_tokens", "inference_tokens"}),
    "design": frozenset({"params", "flops"}),
    "summary": frozenset(),
}
"""The questions whose rows are recorded, each with those of its fields that are numbers of its formulas."""


def recorded_path(job: Job, places: Places, sizes: tuple[bool, ...]) -> Path | str:
    """The way that a row takes; or why it has to be answered by itself."""
    known = answer_of(job, places)
    numbers = {
        axis.name: Recorded(int(axis.values[place]), label=axis.name)
        for axis, place, size in zip(job.axes, places, sizes, strict=True)
        if size
    }
    record = Record()
    try:
        with recording(record), recording_conversions():
            figures = _figures(job, places, numbers)
    except LostError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 (a formula that takes no recorded number is answered by itself)
        return f"{type(error).__name__}: {error}"
    if isinstance(figures, str):
        return _refused(record, figures, known)
    return _answered(job, record, figures, known)


def _figures(job: Job, places: Places, numbers: Mapping[str, Recorded]) -> dict[str, Any] | str:
    """The figures of a row on recorded numbers, or why it is refused."""
    fields = {axis.name: numbers[axis.name] for axis in job.axes if axis.name in numbers and not axis.key}
    _tell_none_apart(job, fields)
    try:
        request = request_of(job, places)
    except TscaleError as error:
        return reason(error) if len(fields) == len(numbers) else _problem(job, places, numbers)
    if len(fields) < len(numbers):
        request = request_of(job, places, _recorded_spec(vars(request)["found"], job, numbers))
    kept = {name: value for name, value in vars(request).items() if name in ("found", "spec", "hardware")}
    several = {name: [number] for name, number in fields.items() if isinstance(getattr(request, name), list)}
    request = with_numbers(request, {**fields, **several})  # type: ignore[dict-item]
    request.__dict__.update(kept)
    try:
        return figures_of(asked(job.question).figures(request), job)
    except TscaleError as error:
        return reason(error)


def _tell_none_apart(job: Job, fields: Mapping[str, Recorded]) -> None:
    """Notes of numbers that there may be none of whether there are any: a 0 is as if it were not given, which rows may be refused for."""
    options = options_of(job.question)
    for name, number in fields.items():
        if options[name].none_at_zero:
            bool(number)


def _recorded_spec(spec: object, job: Job, numbers: Mapping[str, Recorded]) -> ModelSpec:
    """The valid spec of a row on recorded numbers. Raises `LostError` where it is not known of which others that holds."""
    from tscale.models.validation import problems_of

    sized = _sized(spec, job, numbers)
    if problems_of(sized):
        raise LostError("a spec that is valid is not on recorded numbers")
    return trusted(sized)


def _problem(job: Job, places: Places, numbers: Mapping[str, Recorded]) -> str:
    """Why validation refuses the spec of a row. Raises `LostError` where it is not known which others it refuses."""
    from tscale.blocks.fields import dotted

    spec = unchecked(job, places)
    path, message = next(_sized(spec, job, numbers).problems(), ((), ""))
    return f"{dotted(path)}: {message}"


def _sized(spec: object, job: Job, numbers: Mapping[str, Recorded]) -> ModelSpec:
    """A spec on the recorded numbers of the axes; of those that are no sizes of it, only this value counts."""
    if not isinstance(spec, ModelSpec):
        raise LostError("a model that has no sizes of its own")
    sized, others = with_sizes(spec, job, numbers)
    for number in others:
        bool(number == number.value)
    return without_memory(sized)


def _conditions(record: Record) -> tuple[Conditions, tuple[tuple[str, bool], ...]]:
    guards = list(record.guards.values())
    return Conditions([one.condition for one in guards]), tuple(("==", one.outcome) for one in guards)


def _answered(job: Job, record: Record, figures: Mapping[str, Any], known: Answer) -> Path | str:
    wanted = [name for name in figures if job.wants(name)]
    if known.refused is not None or wanted != list(known.figures):
        return "its figures are others on recorded numbers"
    numbers: dict[str, Any] = {}
    others: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    for name in wanted:
        cell = figures[name]
        value = cell.value if isinstance(cell, Figure) else cell
        if isinstance(value, Recorded):
            numbers[name] = value
        elif isinstance(value, str) and OPEN in value:
            pieces = list(pieces_of(value, record.texts))
            own = {f"{name} {place}": piece[0] for place, piece in enumerate(pieces) if not isinstance(piece, str)}
            hidden |= own
            labels = iter(own)
            others[name] = Text(tuple(one if isinstance(one, str) else (next(labels), one[1]) for one in pieces))
        else:
            others[name] = cell
    every = {**numbers, **hidden}
    return Path(*_conditions(record), Replay(list(every.values())), tuple(every), others, hidden=frozenset(hidden))


def _refused(record: Record, said: str, known: Answer) -> Path | str:
    pieces = tuple(pieces_of(said, record.texts))
    written = [piece[0] for piece in pieces if not isinstance(piece, str)]
    told = "".join(piece if isinstance(piece, str) else format(piece[0].value, piece[1]) for piece in pieces)
    if told != known.refused:
        return "it is refused in other words on recorded numbers"
    return Path(*_conditions(record), Replay(written), refused=pieces)
