"""The pictures of steps after pre-training: what a device holds in each phase by the longest sequence, and seconds by phase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.post_training.memory import METHOD_NAMES, NAMES
from tscale.calibration.post_training_calibration import shipped
from tscale.core.costs.post_training import Phase
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import BYTES, SECONDS, TOKENS
from tscale.estimates.post_training.models import Ask, models_of
from tscale.estimates.post_training.phases import fullest
from tscale.estimates.post_training.rollout import How
from tscale.estimates.post_training.step import StepTime, step_time
from tscale.models.spec import ModelSpec

_PLACES: Final = 16


def phases_plot(spec: ModelSpec, ask: Ask) -> Plot:
    """What a device of the fullest stage holds in each phase, by the tokens of the longest sequence, and the memory there is."""
    models = models_of(spec, ask)
    longest = models.longest
    found: dict[Phase, list[Point]] = {}
    usable: int | None = None
    for place in range(1, 2 * _PLACES + 1):
        length = max(longest * place // _PLACES, ask.prompt + 1)
        for one in fullest(models_of(spec, _of_length(ask, longest, length)))[1]:
            found.setdefault(one.phase, []).append(Point(length, one.total))
            capacity = one.capacity
            usable = usable if capacity is None else min(capacity.usable, usable or capacity.usable)
    rules = [Rule("x", longest, f"{longest:,} tokens")]
    rules += [] if usable is None else [Rule("y", usable, "usable")]
    return Plot(
        f"{METHOD_NAMES[ask.method]} of {spec.label}: memory of a device by the longest sequence",
        Axis("context", TOKENS, log=False),
        Axis("memory", BYTES, log=False),
        tuple(Series(NAMES[phase], tuple(dict.fromkeys(points))) for phase, points in found.items()),
        tuple(rules),
    )


def _of_length(ask: Ask, longest: int, length: int) -> Ask:
    """The same step with a longest sequence of so many tokens, the mean response in proportion."""
    if ask.method == "sft":
        return ask._replace(longest=length)
    response = max(1, ask.response * (length - ask.prompt) // (longest - ask.prompt))
    return ask._replace(longest=length, response=response)


def seconds_plot(spec: ModelSpec, ask: Ask, how: How) -> Plot:
    """Seconds of a step, phase on phase, by the tokens of a response on average; of what is given, by those of a sequence."""
    models = models_of(spec, ask)
    given = models.longest if ask.method == "sft" else ask.response
    tops: dict[int, dict[Phase, float]] = {}
    for place in range(1, 2 * _PLACES + 1):
        part = max(1, given * place // _PLACES)
        length = part if ask.method == "sft" else ask.prompt + -(-(models.longest - ask.prompt) * place // _PLACES)
        changed = ask._replace(longest=length, response=0 if ask.method == "sft" else part)
        tops[part] = dict(_tops(step_time(models_of(spec, changed), how), bound_only=how.bound_only))
    names = tuple(next(iter(tops.values())))
    areas = [Series(NAMES[name], tuple(Point(part, top[name]) for part, top in tops.items()), "area") for name in names]
    axis = "sequence" if ask.method == "sft" else "mean response"
    return Plot(
        f"{METHOD_NAMES[ask.method]} of {spec.label}: seconds of a step by phase",
        Axis(axis, TOKENS, log=False),
        Axis("time", SECONDS, log=False),
        tuple(areas),
        (Rule("x", given, f"{given:,} tokens"),),
        notes=("Phases are drawn one after the other, whether or not rollouts overlap the rest.",) if ask.apart else (),
    )


def _tops(time: StepTime, *, bound_only: bool) -> Iterator[tuple[Phase, float]]:
    """Each phase with the seconds up to its end, one phase after the other."""
    constants, top = shipped().constants, 0.0
    for one in time.phases:
        top += one.bound if one.seconds is None else one.seconds.middle
        yield one.phase, top
    if time.moved and not bound_only:
        yield "moving weights", top + constants.moved(time.moved, colocated=time.colocated)
