"""`tscale train --method`: how long a step of training after pre-training takes by phase, what it costs, and what many of them do."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tscale.answers.post_training.memory import METHOD_NAMES, NAMES, phase_data, sequences_text, step_data
from tscale.answers.post_training.notes import not_covered, step_derivations, step_notes
from tscale.core.costs.post_training import key_of
from tscale.core.metric import Cell, Column, Data, Derivations, Figure, Known, Label, Missing, Report, Table, weakest
from tscale.core.number_text import duration, durations, number_text
from tscale.core.units import BYTES, COUNT, DAYS, GPU_HOURS, SECONDS, SHARE, TOKENS, TOKENS_PER_SECOND, USD
from tscale.core.view import Record, interval, view
from tscale.estimates.capacity import VERDICTS
from tscale.estimates.explaining import notes_of, trained_text
from tscale.estimates.post_training.answered import Answered, Asked, answered, models_held
from tscale.estimates.post_training.phases import decisive, fullest, peak
from tscale.estimates.post_training.rollout import Timed
from tscale.models.spec import ModelSpec

HOUR: Final = 3600
DAY: Final = 86_400


def post_training_report(spec: ModelSpec, asked: Asked) -> Report:
    """Seconds of a step by phase, its tokens a second, GPU-hours and dollars. Raises `RequestError` for what cannot be timed."""
    one = answered(spec, asked)
    phases = fullest(models_held(one))[1]
    worst, tightest = peak(phases), decisive(phases)
    assert tightest.verdict is not None
    verdict = "" if tightest.verdict == "fits" else f"; memory {VERDICTS[tightest.verdict]}"
    title = f"{_headline(one)}{verdict}"
    memory: Data = {"peak_phase": key_of(worst.phase), "phases": [phase_data(held, "convention") for held in phases]}
    data: dict[str, Data] = {**step_data(one.models), **_data(one), "memory": memory, "verdict": tightest.verdict}
    notes = notes_of(spec, one.models.policy.context.note, *step_notes(one))
    said = "" if one.rent is None else one.rent.said()
    room = (
        ""
        if tightest.verdict == "fits"
        else f"A device holds {number_text(tightest.total, 'decimal', 'B')} in {NAMES[tightest.phase]}: `tscale memory --train --method "
        f"{asked.step.method}` with the same options shows what would fit."
    )
    code = 3 if tightest.verdict == "does_not_fit" else 0
    return Report(
        title,
        (_phases_table(one, title), _costs_table(one)),
        data,
        notes,
        Derivations(lambda: step_derivations(one)),
        code,
        lead=tuple(filter(None, (room, said))),
    )


def _headline(one: Answered) -> str:
    ask, hardware = one.asked.step, one.asked.step.training.hardware
    assert hardware is not None
    what = f"{METHOD_NAMES[ask.method]} of {trained_text(one.models.spec, ask.how.rank, ask.how.base)} on {ask.devices:,} × {hardware.label}"
    step = f"a step of {_step_text(one)} takes"
    if one.seconds is None:
        return f"{what}: {step} at least {duration(Fraction(one.time.bound))}"
    low, middle, high = map(Fraction, one.seconds)
    rollouts = f", {_share_of_rollout(one):.0%} of it rollouts" if ask.online else ""
    return f"{what}: {step} {duration(middle)} ({durations(low, high)}){rollouts}"


def _step_text(one: Answered) -> str:
    ask = one.asked.step
    if ask.online:
        return sequences_text(one.models)
    what = "pairs" if ask.method == "dpo" else "sequences"
    return f"{ask.batch:,} {what} of {one.models.longest:,} tokens"


def _share_of_rollout(one: Answered) -> float:
    rollout = next((timed for timed in one.time.phases if timed.phase == "rollout"), None)
    if rollout is None or rollout.seconds is None or not one.middle:
        return 0.0
    return rollout.seconds.middle / one.middle


def _phases_table(one: Answered, title: str) -> Table:
    """Each phase's tokens, its least seconds, those predicted within a step, and its share."""
    phase, tokens = Column("phase of a step", "phase", numeric=False), Column("tokens", "tokens", drop=1)
    bound = Column("at least, s", "bound", of="seconds_at_least")
    predicted = Column("predicted, s", "predicted", of="seconds")
    share = Column("share", "share", drop=2)
    rows = [_phase_row(one, timed) for timed in one.time.phases]
    name = "a step, rollouts overlapped" if one.time.overlapped else "a step"
    step: Record = {"phase": Label(name, "step"), "seconds_at_least": _seconds(one.time.bound, "bound")}
    if one.seconds is None:
        rows.append({**step, "seconds": Missing("no prediction")})
        columns = phase, tokens, bound, predicted, share
    else:
        if one.moving:
            rows.append({"phase": NAMES["moving weights"], **_part(one, one.moving)})
        low, middle, high = (_seconds(end, one.known) for end in one.seconds)
        rows.append({**step, "seconds": middle})
        rows.append({"phase": Label("  low end of 80%", "low"), "seconds": low})
        rows.append({"phase": Label("  high end of 80%", "high"), "seconds": high})
        columns = phase, predicted, share, bound, tokens  # as in the headline, the prediction first
    totals = frozenset({len(rows) - (1 if one.seconds is None else 3)})
    return view(title, columns, rows, subject=one.models.spec.name, totals=totals)


def _phase_row(one: Answered, timed: Timed) -> Record:
    own = {**_timed_data(one, timed), "phase": NAMES[timed.phase]}
    if timed.seconds is None or one.seconds is None:
        return own
    return {**own, **_part(one, timed.seconds.middle)}


def _part(one: Answered, seconds: float) -> dict[str, Data]:
    """What a part of a step is predicted to take, and the share of the step that this is."""
    return {"seconds": _seconds(seconds, one.known), "share": Figure(seconds / one.middle, SHARE, one.known)}


def _seconds(value: float, known: Known) -> Figure:
    return Figure(value, SECONDS, known)


def _figures(one: Answered) -> dict[str, Figure | None]:
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
    ("tokens_per_second", "tokens/s"),
    ("tokens_per_second_per_gpu", "tokens/s per device"),
    ("samples_per_second", "samples/s"),
    ("gpu_hours", "GPU-hours"),
    ("cost_usd", "cost, $"),
)


def _costs_table(one: Answered) -> Table:
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
        of = ", prompts and responses" if key == "tokens_per_second" and one.asked.step.method != "sft" else ""
        rows.append((f"{name}{of}", cell, *((every,) if steps is not None else ())))
    if steps is not None:
        days = Figure(one.middle * steps / DAY, DAYS, "bound" if one.seconds is None else one.known)
        rows.append(("days", "", days))
    return Table("", tuple(columns), tuple(rows), subject=one.models.spec.name, aside=True)


_SUMMED: Final = ("gpu_hours", "cost_usd")


def _times(figure: Figure, steps: int) -> Figure:
    return figure._replace(value=figure.value * steps)


def _data(one: Answered) -> dict[str, Data]:
    """All of it for programs."""
    figures, steps = _figures(one), one.asked.steps
    rent = one.rent
    hours = one.asked.step.devices * one.middle / HOUR
    run: Data = None
    if steps is not None:
        summed = {key: None if (figure := figures[key]) is None else _times(figure, steps) for key in _SUMMED}
        run = {"steps": steps, "days": Figure(one.middle * steps / DAY, DAYS, one.known), **summed}
    return {
        "step_seconds": None if one.seconds is None else interval(one.seconds, SECONDS, one.known),
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


def _prediction_data(one: Answered) -> Data:
    """What the prediction rests on."""
    if one.seconds is None:
        return {"not_predicted": one.time.why or "bounds alone are asked for"}
    found = one.calibration
    return {
        "calibration": found.name if one.time.moved else None,
        "runs": Figure(found.runs, COUNT),
        "median_error": Figure(found.median_error, SHARE, "measured"),
        "not_covered": not_covered(one),
        "constants": {
            "moved_seconds_per_byte": Figure(
                found.constants.moved(1.0, colocated=one.time.colocated), SECONDS, "measured"
            ),
        },
        "moved_bytes": Figure(one.time.moved, BYTES),
    }


def _timed_data(one: Answered, timed: Timed) -> Record:
    seconds = None
    if timed.seconds is not None and one.seconds is not None:
        seconds = interval(timed.seconds, SECONDS, one.known)
    return {
        "phase": key_of(timed.phase),
        "tokens": Figure(timed.tokens, TOKENS),
        "seconds_at_least": Figure(timed.bound, SECONDS, "bound"),
        "seconds": seconds,
    }
