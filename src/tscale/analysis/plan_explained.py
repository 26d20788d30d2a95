"""How the first row of a plan was made: the derivations of the question that reproduces it, its headline first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import split
from typing import Any, Final

from tscale.analysis.questions import question
from tscale.core.metric import Data, Figure, Report, Step
from tscale.estimates.derived import derived, summed

_FIRST: Final = ("step_seconds", "mfu_predicted")
"""Derivations of `train` that a plan's headline is of."""


def given_by(command: str) -> tuple[str, dict[str, object]]:
    """The question of a command line of ours, and what it gives, by field.

    >>> given_by("tscale train gpt3 --gpu h100 --sequence --set layers=2")
    ('train', {'model': 'gpt3', 'gpu': 'h100', 'sequence': True, 'set': ['layers=2']})
    """
    _, name, *words = split(command)
    options = question(name).ask.options()
    given: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        field = word.removeprefix("--").replace("-", "_") if word.startswith("--") else "model"
        if field == "model":
            given[field] = word
        elif options[field].kind == "flag":
            given[field] = True
        elif options[field].kind == "list":
            given.setdefault(field, []).append(words.pop(0))
        else:
            given[field] = words.pop(0)
    return name, given


def _reproduced(command: str) -> tuple[Any, Sequence[Step]]:
    """What a command line of ours asks, and the derivations of its answer."""
    name, given = given_by(command)
    asked = question(name)
    ask: Any = asked.made(given, explain=True)
    return ask, asked.analyze(ask).steps


def train_steps(data: Data, command: str) -> Iterator[Step]:
    """Of a layout: seconds of a step and MFU, tokens/s of a device, memory, and then all that they are made of."""
    row = _first_row(data)
    ask, steps = _reproduced(command)
    yield from (step for step in steps if step.name in _FIRST)
    yield from _of_row(row, _numbers(row) | _of_run(data, ask), _OF_LAYOUT)
    yield from _memory(ask)
    yield from (step for step in steps if step.name not in _FIRST)


def method_steps(_: Data, command: str) -> Iterator[Step]:
    """Of a step after pre-training: as `train --method` derives the first row."""
    yield from _reproduced(command)[1]


def _memory(ask: Any) -> Iterator[Step]:
    """The bytes of a device, as the sum of its parts, and each of these."""
    memory = question("memory")
    asked = memory.made({**ask.memory.given}, explain=True)
    report = memory.analyze(asked)
    assert isinstance(report.data, Mapping)
    held = report.data["per_device_bytes"]
    assert isinstance(held, Mapping)
    parts = {key: one.value for key, one in held.items() if isinstance(one, Figure) and one.value and key != "total"}
    total = held["total"]
    assert isinstance(total, Figure)
    yield from summed("per_device_bytes", parts, total, "a device of the fullest stage")
    yield from report.steps


_OF_LAYOUT: Final = {
    "tokens_per_second_per_gpu": "batch·context/step_seconds/gpus",
    "days": "tokens/(batch·context)·step_seconds/86400",
}
_OF_DEPLOYMENT: Final = {
    "usd_per_million_output": "1000000·usd_per_request·(1 - prompt_share)/output",
    "usd_per_million_input": "1000000·usd_per_request·prompt_share/input",
    "usd_per_request": "usd_per_hour/3600/requests_per_second",
    "usd_per_hour": "gpus·price",
    "tokens_per_second_per_gpu": "requests_per_second·output/gpus",
    "tokens_per_second_per_user": "1/tpot_seconds",
}
"""What follows from the times and the load of the first row."""


def serve_steps(data: Data, command: str) -> Iterator[Step]:
    """Of a deployment: dollars and throughput under the load, and then the times and speeds of `serve` with as many requests at once."""
    row = _first_row(data)
    assert isinstance(data, Mapping)
    numbers = _numbers(row) | _numbers(data)
    if "usd_per_hour" in numbers:
        numbers["price"] = numbers["usd_per_hour"] / numbers["gpus"]
    yield from _of_row(row, numbers, _OF_DEPLOYMENT)
    yield from _reproduced(command)[1]


def _first_row(data: Data) -> Mapping[str, Data]:
    assert isinstance(data, Mapping)
    rows: Any = data["rows"]
    row: Mapping[str, Data] = rows[0]
    return row


def _numbers(data: Mapping[str, Data]) -> dict[str, Any]:
    """The figures of a row by key; of an interval its middle."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        one = value.get("middle") if isinstance(value, Mapping) else value
        if isinstance(one, Figure):
            found[key] = one.value
        elif isinstance(one, int) and not isinstance(one, bool):
            found[key] = one
    return found


def _of_run(data: Data, ask: Any) -> dict[str, Any]:
    """What a step is of: sequences, their length, and the tokens of the run."""
    assert isinstance(data, Mapping)
    context: Any = data["context"]
    return {"batch": ask.batch, "context": int(context.value), "tokens": data["tokens"]}


def _of_row(row: Mapping[str, Data], numbers: Mapping[str, Any], formulas: Mapping[str, str]) -> Iterator[Step]:
    for name, formula in formulas.items():
        figure = row.get(name)
        if isinstance(figure, Figure):
            yield from derived(name, formula, numbers, figure, "the first")


def compare_steps(reports: Mapping[str, Report]) -> Iterator[Step]:
    """Of a comparison: the derivations of both systems, each under its name."""
    for name, report in reports.items():
        yield from (step._replace(subject=f"{name}: {step.subject}".rstrip(": ")) for step in report.steps)
