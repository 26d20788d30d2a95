"""`plan A.yaml --compare B.yaml`: what differs between two saved systems, and what each difference changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tscale.analysis.plan_explained import compare_steps
from tscale.analysis.questions import question
from tscale.analysis.request import Request, spelled
from tscale.analysis.serve import SAME
from tscale.analysis.system import TARGETS, read_system
from tscale.answers.plan.compare import METRICS, Asked, compare_report
from tscale.core.metric import Report
from tscale.errors import NotPublishedError, RequestError, SpecError, TscaleError, called

MOST_DIFFERENCES: Final = 100


def compared(first: str, second: str, asked: str | None, *, explain: bool = False) -> Report:
    """The figures of both systems, and of the first with one field of the second at a time.

    `asked`: the question, None where the fields of both say which it is. `explain`: whether both are to have their derivations.

    Raises:
        TscaleError: for a file that is no system, two of which nothing differs or that no one question is about, and where
            one of them is refused as it is.
    """
    systems = _system(first), _system(second)
    name = asked or _question_of(*systems)
    fields = [field for field in {**systems[0], **systems[1]} if systems[0].get(field) != systems[1].get(field)]
    if not fields:
        raise RequestError(f"{called(first)} and {called(second)} say the same: nothing differs")
    if len(fields) > MOST_DIFFERENCES:
        raise RequestError(f"{len(fields):,} fields differ: at most {MOST_DIFFERENCES} are compared")
    for file, system in zip((first, second), systems, strict=True):
        _check(name, file, system)
    steps = [Asked(first, "", "", _whole(name, first, systems[0]))]
    for field in fields:
        before, after = (_said(system.get(field)) for system in systems)
        steps.append(Asked(field, before, after, _changed(name, systems[0], field, systems[1].get(field))))
    steps.append(Asked(second, "", "", _whole(name, second, systems[1])))
    report = compare_report(name, tuple(steps))
    if not explain:
        return report
    both = {step.name: step.answer for step in (steps[0], steps[-1]) if isinstance(step.answer, Report)}
    return report._replace(steps=tuple(compare_steps(both)))


def _system(file: str) -> dict[str, Any]:
    """A system as `train` or `serve` asks it, without what a plan held it to. Raises `TscaleError`."""
    system = read_system(file)
    held = {*TARGETS, "rate"} if "concurrency" in system else {*TARGETS}
    return {name: value for name, value in system.items() if name not in held}


def _question_of(*systems: Mapping[str, object]) -> str:
    """The question whose options all fields of both systems are."""
    named = set().union(*systems)
    fitting = [name for name in METRICS if named <= set(question(name).ask.options())]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise RequestError(
            f"no one question asks all of {', '.join(sorted(named))}: give --serve or --train, and systems that were saved by it"
        )
    raise RequestError("these systems may be compared in serving or in training: give --serve or --train")


def _check(name: str, file: str, system: Mapping[str, object]) -> None:
    """Raises `SpecError` for a field of a file that the question does not ask."""
    options = question(name).ask.options()
    for field in system:
        if field not in options:
            raise SpecError(
                f"{field} is nothing that {name} asks: drop it from the file, or ask another question",
                where=called(file),
            )


def _asked(name: str, system: Mapping[str, Any]) -> Report:
    one = question(name)
    request: Request = one.made(dict(system))
    return one.analyze(request)


def _whole(name: str, file: str, system: Mapping[str, Any]) -> Report:
    """The answer about a system as it is.

    Raises:
        NotPublishedError: where it says no training tokens and none are known.
        SpecError: for a system that cannot be, as its file has it.
    """
    try:
        return _asked(name, system)
    except NotPublishedError as error:
        if "tokens" in system:
            raise
        raise NotPublishedError(f"{error.text}; here as a line of both files, tokens: 300e9") from None
    except RequestError as error:
        text = error.text
        for field in system:
            text = text.replace(spelled(field), field)
        raise SpecError(text, where=called(file)) from None


def _changed(name: str, system: Mapping[str, Any], field: str, value: object) -> Report | str:
    """The answer with one field changed; or why there is none."""
    same = next((names for names in SAME if field in names), (field,))
    others = {key: one for key, one in system.items() if key != field and (value is None or key not in same)}
    try:
        return _asked(name, others if value is None else {**others, field: value})
    except TscaleError as error:
        return str(error)


def _said(value: object) -> str:
    """A value as a person reads it; "default" where nothing is said."""
    if value is None:
        return "default"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
