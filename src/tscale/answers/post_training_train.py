"""`tscale train --method`: how long a step of training after pre-training takes by phase, what it costs, and what many of them do."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.capacity import VERDICTS
from tscale.answers.explaining import notes_of
from tscale.answers.post_training import Ask, Models, fullest, models_of, peak
from tscale.answers.post_training_memory import (
    METHOD_NAMES,
    NAMES,
    decisive,
    method_notes,
    phase_data,
    sequences_text,
    step_data,
)
from tscale.answers.post_training_step import How, StepTime, Timed, step_time
from tscale.answers.rent import Rent, rent_of
from tscale.calibration.interval import Interval
from tscale.calibration.post_training_calibration import Calibration, shipped
from tscale.core.costs.post_training import Passes, key_of, passes
from tscale.core.costs.rollout import SOURCE as LENGTHS
from tscale.core.metric import Cell, Column, Data, Detail, Figure, Known, Label, Missing, Report, Step, Table, weakest
from tscale.core.number_text import duration, durations, number_text
from tscale.core.sources import cited
from tscale.core.units import BYTES, COUNT, DAYS, GPU_HOURS, RATIO, SECONDS, SHARE, TOKENS, TOKENS_PER_SECOND, USD
from tscale.errors import RequestError
from tscale.models.spec import ModelSpec

HOUR: Final = 3600
DAY: Final = 86_400


class Asked(NamedTuple):
    """A step, how it is predicted, what an hour of a device costs, and how many steps there are."""

    step: Ask
    how: How = How()
    price: Fraction | None = None
    steps: int | None = None


class _Answered(NamedTuple):
    """A step: its models, its phases, its time, and what its hours cost."""

    asked: Asked
    models: Models
    time: StepTime
    seconds: Interval | None
    calibration: Calibration
    tokens: Passes
    rent: Rent | None

    @property
    def known(self) -> Known:
        return weakest("predicted", "assumed" if self.models.policy.context.known == "assumed" else "predicted")

    @property
    def factor(self) -> float:
        """How many times as long passes take within the step; 1 where nothing is generated."""
        return self.calibration.constants.passes if self.time.moved else 1.0

    @property
    def moving(self) -> float:
        """Seconds in which weights move."""
        return self.calibration.constants.moved(self.time.moved, colocated=self.time.colocated)

    @property
    def middle(self) -> float:
        """The seconds that all else follows from: the prediction's, or the bound where there is none."""
        return self.time.bound if self.seconds is None else self.seconds.middle

    @property
    def sequences(self) -> int:
        """Responses, pairs or sequences of a step."""
        ask = self.asked.step
        return ask.rollouts or ask.batch or 0


def post_training_report(spec: ModelSpec, asked: Asked) -> Report:
    """Seconds of a step by phase, its tokens a second, GPU-hours and dollars. Raises `RequestError` for what cannot be timed."""
    one = _answered(spec, asked)
    phases = fullest(_held(one))[1]
    worst, tightest = peak(phases), decisive(phases)
    assert tightest.verdict is not None
    verdict = "" if tightest.verdict == "fits" else f"; memory {VERDICTS[tightest.verdict]}"
    title = f"{_headline(one)}{verdict}"
    memory: Data = {"peak_phase": key_of(worst.phase), "phases": [phase_data(held, "convention") for held in phases]}
    data: dict[str, Data] = {**step_data(one.models), **_data(one), "memory": memory, "verdict": tightest.verdict}
    notes = notes_of(spec, one.models.policy.context.note, *_notes(one))
    said = "" if one.rent is None else one.rent.said()
    room = (
        ""
        if tightest.verdict == "fits"
        else f"A device holds {number_text(tightest.total, 'decimal', 'B')} in {NAMES[tightest.phase]}: `tscale memory --train --method "
        f"{asked.step.method}` shows what would fit."
    )
    code = 3 if tightest.verdict == "does_not_fit" else 0
    return Report(
        title,
        (_phases_table(one, title), _costs_table(one)),
        data,
        notes,
        tuple(_steps(one)),
        code,
        lead=tuple(filter(None, (room, said))),
    )


def _held(one: _Answered) -> Models:
    """The models with as many sequences in an engine's cache as it decodes at once."""
    ask, at_once = one.models.ask, one.time.at_once
    if not at_once or at_once == ask.waiting[0]:
        return one.models
    return models_of(one.models.spec, ask._replace(rollout_batch=at_once))


def _answered(spec: ModelSpec, asked: Asked) -> _Answered:
    ask = asked.step
    if ask.training.hardware is None:
        raise RequestError("a step is timed on hardware: add --gpu")
    models = models_of(spec, ask)
    time = step_time(models, asked.how)
    sequences = ask.rollouts or ask.batch or 0
    prompt, response = (models.longest, 0) if ask.method == "sft" else (ask.prompt, ask.response)
    tokens = passes(ask.method, sequences, prompt, response, ask.group, ask.epochs)
    calibration = shipped()
    return _Answered(
        asked,
        models,
        time,
        None if asked.how.bound_only else time.seconds(calibration),
        calibration,
        tokens,
        rent_of(ask.training.hardware, asked.price),
    )


def _headline(one: _Answered) -> str:
    ask, hardware = one.asked.step, one.asked.step.training.hardware
    assert hardware is not None
    what = f"{METHOD_NAMES[ask.method]} of {one.models.spec.label} on {ask.devices:,} × {hardware.label}"
    step = f"a step of {_step_text(one)} takes"
    if one.seconds is None:
        return f"{what}: {step} at least {duration(Fraction(one.time.bound))}"
    low, middle, high = map(Fraction, one.seconds)
    rollouts = f", {_share_of_rollout(one):.0%} of it rollouts" if ask.online else ""
    return f"{what}: {step} {duration(middle)} ({durations(low, high)}){rollouts}"


def _step_text(one: _Answered) -> str:
    ask = one.asked.step
    if ask.online:
        return sequences_text(one.models)
    what = "pairs" if ask.method == "dpo" else "sequences"
    return f"{ask.batch:,} {what} of {one.models.longest:,} tokens"


def _share_of_rollout(one: _Answered) -> float:
    rollout = next((timed for timed in one.time.phases if timed.phase == "rollout"), None)
    if rollout is None or rollout.seconds is None or not one.middle:
        return 0.0
    return one.factor * rollout.seconds.middle / one.middle


def _phases_table(one: _Answered, title: str) -> Table:
    """Each phase's tokens, its least seconds, those predicted within a step, and its share."""
    columns = (
        Column("phase of a step", "phase", numeric=False),
        Column("tokens", "tokens", drop=1),
        Column("at least, s", "bound"),
        Column("predicted, s", "predicted"),
        Column("share", "share", drop=2),
    )
    rows: list[tuple[Cell, ...]] = [_phase_row(one, timed) for timed in one.time.phases]
    if one.moving and one.seconds is not None:
        share = Figure(one.moving / one.middle, SHARE, one.known)
        rows.append((NAMES["moving weights"], "", "", _seconds(one.moving, one.known), share))
    first = len(rows)
    predicted: Cell = Missing("no prediction") if one.seconds is None else _seconds(one.seconds.middle, one.known)
    name = "a step, rollouts overlapped" if one.time.overlapped else "a step"
    rows.append((Label(name, "step"), "", _seconds(one.time.bound, "bound"), predicted, ""))
    if one.seconds is not None:
        rows.append((Label("  low end of 80%", "low"), "", "", _seconds(one.seconds.low, one.known), ""))
        rows.append((Label("  high end of 80%", "high"), "", "", _seconds(one.seconds.high, one.known), ""))
    return Table(title, columns, tuple(rows), subject=one.models.spec.name, totals=frozenset({first}))


def _phase_row(one: _Answered, timed: Timed) -> tuple[Cell, ...]:
    tokens, bound = Figure(timed.tokens, TOKENS), _seconds(timed.bound, "bound")
    if timed.seconds is None or one.seconds is None:
        return NAMES[timed.phase], tokens, bound, "", ""
    within = one.factor * timed.seconds.middle
    return NAMES[timed.phase], tokens, bound, _seconds(within, one.known), Figure(within / one.middle, SHARE, one.known)


def _seconds(value: float, known: Known) -> Figure:
    return Figure(value, SECONDS, known)


def _figures(one: _Answered) -> dict[str, Figure | None]:
    """What follows from the time of a step."""
    known: Known = "bound" if one.seconds is None else one.known
    devices, tokens = one.asked.step.devices, one.tokens.scored
    hours = devices * one.middle / HOUR
    cost = None if one.rent is None else Figure(hours * float(one.rent.middle), USD, weakest(known, one.rent.known))
    return {
        "tokens_per_second": Figure(tokens / one.middle, TOKENS_PER_SECOND, known),
        "tokens_per_second_per_gpu": Figure(tokens / one.middle / devices, TOKENS_PER_SECOND, known),
        "samples_per_second": Figure(one.sequences / one.middle, COUNT._replace(reading="estimate"), known),
        "gpu_hours": Figure(hours, GPU_HOURS, known),
        "cost_usd": cost,
    }


_ROWS: Final = (
    ("tokens_per_second", "tokens/s, prompts and responses"),
    ("tokens_per_second_per_gpu", "tokens/s per device"),
    ("samples_per_second", "samples/s"),
    ("gpu_hours", "GPU-hours"),
    ("cost_usd", "$"),
)


def _costs_table(one: _Answered) -> Table:
    """Speed and costs of a step, and of all steps where these are given."""
    figures, steps = _figures(one), one.asked.steps
    columns = [Column("", "quantity", numeric=False), Column("of a step", "step")]
    if steps is not None:
        columns.append(Column(f"of {steps:,} steps", "run"))
    rows: list[tuple[Cell, ...]] = []
    for key, name in _ROWS:
        figure = figures[key]
        cell: Cell = Missing("needs --price") if figure is None else figure
        every: Cell = "" if figure is None or key not in _SUMMED else _times(figure, steps or 1)
        rows.append((name, cell, *((every,) if steps is not None else ())))
    if steps is not None:
        days = Figure(one.middle * steps / DAY, DAYS, "bound" if one.seconds is None else one.known)
        rows.append(("days", "", days))
    return Table("", tuple(columns), tuple(rows), subject=one.models.spec.name, aside=True)


_SUMMED: Final = ("gpu_hours", "cost_usd")


def _times(figure: Figure, steps: int) -> Figure:
    return figure._replace(value=figure.value * steps)


def _data(one: _Answered) -> dict[str, Data]:
    """All of it for programs."""
    figures, steps = _figures(one), one.asked.steps
    rent = one.rent
    hours = one.asked.step.devices * one.middle / HOUR
    run: Data = None
    if steps is not None:
        summed = {key: None if (figure := figures[key]) is None else _times(figure, steps) for key in _SUMMED}
        run = {"steps": steps, "days": Figure(one.middle * steps / DAY, DAYS, one.known), **summed}
    return {
        "step_seconds": None if one.seconds is None else _interval(one.seconds, one.known),
        "step_seconds_at_least": Figure(one.time.bound, SECONDS, "bound"),
        "rollout_share": Figure(_share_of_rollout(one), SHARE, one.known) if one.seconds is not None else None,
        "overlapped": one.time.overlapped,
        "steps_off": one.asked.how.steps_off,
        "step_phases": [_timed_data(one, timed) for timed in one.time.phases],
        "moving_weights_seconds": Figure(one.moving, SECONDS, one.known) if one.seconds is not None else None,
        "rollouts_at_once": one.time.at_once or None,
        "tokens": {name: Figure(value, TOKENS) for name, value in one.tokens._asdict().items()},
        **figures,
        "cost_usd_range": None if rent is None else rent.range(hours),
        "usd_per_gpu_hour": None if rent is None else rent.data(),
        "run": run,
        "prediction": _prediction_data(one),
    }


def _prediction_data(one: _Answered) -> Data:
    """What the prediction rests on."""
    if one.seconds is None:
        return {"not_predicted": one.time.why or "bounds alone are asked for"}
    found = one.calibration
    return {
        "calibration": found.name if one.time.moved else None,
        "runs": Figure(found.runs, COUNT),
        "median_error": Figure(found.median_error, SHARE, "measured"),
        "not_covered": _outside(one),
        "constants": {
            "passes": Figure(found.constants.passes, RATIO, "measured"),
            "moved_seconds_per_byte": Figure(
                found.constants.moved(1.0, colocated=one.time.colocated), SECONDS, "measured"
            ),
        },
        "moved_bytes": Figure(one.time.moved, BYTES),
    }


def _interval(found: Interval, known: Known) -> Data:
    return {name: Figure(value, SECONDS, known) for name, value in found._asdict().items()}


def _timed_data(one: _Answered, timed: Timed) -> Data:
    seconds = None
    if timed.seconds is not None and one.seconds is not None:
        seconds = _interval(Interval(*(one.factor * end for end in timed.seconds)), one.known)
    return {
        "phase": key_of(timed.phase),
        "tokens": Figure(timed.tokens, TOKENS),
        "seconds_at_least": Figure(timed.bound, SECONDS, "bound"),
        "seconds": seconds,
    }


def _outside(one: _Answered) -> list[str]:
    """What the calibration's runs do not cover."""
    ask, found = one.asked.step, one.calibration
    hardware = ask.training.hardware
    assert hardware is not None
    return [
        *([] if ask.method == "grpo" else [METHOD_NAMES[ask.method]]),
        *([] if hardware.name in found.chips else [hardware.label]),
    ]


def _notes(one: _Answered) -> Iterator[str]:
    ask, time, found = one.asked.step, one.time, one.calibration
    if one.seconds is None:
        yield f"No step is predicted: {time.why or 'bounds alone are asked for'}."
    elif time.moved:
        yield (
            f"Rollouts are predicted as `tscale serve` does, forward passes and training as `tscale train` does; a step then takes "
            f"{found.constants.passes:g} times as long, and {1e9 * found.constants.moved(1.0, colocated=time.colocated):.2g} s more for each GB of "
            f"weights that reaches a device of an engine, sleep and wake included (calibration {found.name}: {found.title}, {found.runs} runs; within "
            f"{found.median_error:.0%} (median) of models that it was not fitted to)."
        )
        outside = _outside(one)
        if outside:
            yield f"That calibration does not cover {', '.join(outside)}."
    else:
        yield "Forward passes and training are predicted as `tscale train` does."
    yield from method_notes(one.models)
    if ask.online:
        yield from _rollout_notes(one)
    yield Detail(
        "A forward pass takes a third of the passes of a training step without recomputation, and no optimizer."
    )
    if ask.method != "sft":
        yield Detail(
            "Sequences are packed: a micro-batch has as many tokens as --micro-batch sequences of the longest."
        )
    if one.rent is not None:
        yield from one.rent.notes()


def _rollout_notes(one: _Answered) -> Iterator[str]:
    ask, time = one.asked.step, one.time
    longest = one.models.longest - ask.prompt
    if ask.response < longest:
        yield (
            f"Responses of {ask.response:,} tokens on average and {longest:,} at most are taken to be spread as widely as these allow (the largest "
            f"entropy, {cited(LENGTHS)}): the batch shrinks as they end, and the longest ends the rollout."
        )
    if time.at_once < time.each:
        why = "as --rollout-batch says" if ask.rollout_batch == time.at_once else "which its cache holds"
        yield f"An engine decodes {time.at_once:,} of its {time.each:,} sequences concurrently, {why}; the others wait."
    yield Detail("Each prompt is prefilled once for its group (prefix caching). Rewards by rule take no time here.")


def _steps(one: _Answered) -> Iterator[Step]:
    """How the time of a step is made."""
    ask, subject = one.asked.step, f"{one.models.spec.name}, a step"
    tokens, response, prompt = one.tokens, f"{ask.response:,}", f"{ask.prompt:,}"
    if ask.online:
        names = "prompts·group·response_tokens"
        yield Step(
            "tokens generated",
            names,
            f"{ask.prompts:,}·{ask.group:,}·{response}",
            Figure(tokens.generated, TOKENS),
            subject,
        )
        numbers = f"{ask.prompts:,}·{ask.group:,}·({prompt} + {response})"
        yield Step(
            "tokens scored",
            "prompts·group·(prompt_tokens + response_tokens)",
            numbers,
            Figure(tokens.scored, TOKENS),
            subject,
        )
    if one.seconds is None or one.time.alone is None:
        return
    parts = [timed for timed in one.time.phases if timed.seconds is not None]
    for timed in parts:
        assert timed.seconds is not None
        figure = Figure(one.factor * timed.seconds.middle, SECONDS, one.known)
        name = key_of(timed.phase)
        yield Step(name, f"passes·{name}_alone", f"{one.factor:g}·{timed.seconds.middle:.4g}", figure, subject)
    if one.time.moved:
        each = one.calibration.constants.moved(1.0, colocated=one.time.colocated)
        yield Step(
            "moving_weights",
            "seconds_per_byte·weights",
            f"{each:.3g}·{one.time.moved:,}",
            Figure(one.moving, SECONDS, one.known),
            subject,
        )
    yield from _whole(one, parts, subject)


def _whole(one: _Answered, parts: list[Timed], subject: str) -> Iterator[Step]:
    """The sum of a step, or the longer of its two sides."""

    def added(found: list[Timed]) -> tuple[str, str]:
        names = " + ".join(key_of(timed.phase) for timed in found)
        numbers = " + ".join(f"{one.factor * timed.seconds.middle:.4g}" for timed in found if timed.seconds is not None)
        return names, numbers

    moving = (" + moving_weights", f" + {one.moving:.4g}") if one.time.moved else ("", "")
    rollout = [timed for timed in parts if timed.phase == "rollout"]
    others = [timed for timed in parts if timed.phase != "rollout"]
    if one.time.overlapped:
        (first, a), (second, b) = added(rollout), added(others)
        names, numbers = f"max({first}, {second})", f"max({a}, {b})"
    else:
        names, numbers = added(parts)
    yield Step("step_seconds", names + moving[0], numbers + moving[1], Figure(one.middle, SECONDS, one.known), subject)
