"""`tscale plan --train --method`: the best layouts of a step after pre-training, as a table and as data."""

from __future__ import annotations

from fractions import Fraction
from shlex import join

from tscale.answers.post_training.memory import METHOD_NAMES, NAMES, called_inside
from tscale.core.costs.post_training import key_of
from tscale.core.metric import Column, Data, Detail, Figure, Label, Report, Table
from tscale.core.number_text import duration, durations, gigabytes
from tscale.core.units import BYTES, SECONDS, SHARE, USD
from tscale.core.view import interval, view
from tscale.errors import ended
from tscale.estimates.explaining import notes_of
from tscale.estimates.plan.planned import Planned
from tscale.estimates.plan.post_training import TRIED, Candidate, Found, candidates
from tscale.estimates.plan.words import layout_data, layout_options, layout_text
from tscale.estimates.post_training.models import Ask
from tscale.estimates.post_training.rollout import How
from tscale.models.spec import ModelSpec


def plan_post_training_report(spec: ModelSpec, planned: Planned, step: Ask, how: How, words: str) -> Report:
    """The best layouts of a step. Exit code 3 where none fits.

    `words`: the options of the method as they were given.
    """
    found = candidates(spec, planned, step, how)
    context = planned.subject.context
    name = METHOD_NAMES[step.method]
    if not found.ranked:
        title = f"No layout of {called_inside(name)} of {spec.label} works: none of {found.tried:,} tried"
        notes = notes_of(spec, context.note)
        return Report(title, (), _data(spec, planned, found, words), notes, exit_code=3, lead=(_none(found),))
    first = found.ranked[0]
    low, middle, high = map(Fraction, first.seconds)
    may = "" if first.verdict == "fits" else " (may fit)"
    title = (
        f"The fastest step of {called_inside(name)} of {spec.label} on {first.ask.devices:,} × {first.best.hardware.label}: {_text(first)}{may}, "
        f"{duration(middle)} a step"
    )
    lead = (
        f"{found.tried:,} layouts tried, of the {TRIED} that train fastest with each way of generating.",
        f"`{_command(planned, first, words)}` shows the first in full; its step takes {durations(low, high)} (an 80% interval).",
    )
    notes = notes_of(
        spec,
        context.note,
        Detail("Each layout is timed and weighed as `tscale train --method` and `tscale memory --train --method` do."),
    )
    return Report(title, (_table(spec, planned, found, title),), _data(spec, planned, found, words), notes, lead=lead)


def _none(found: Found) -> str:
    if found.nearest is not None:
        return (
            f"The nearest holds {gigabytes(found.nearest.total)} in {NAMES[found.nearest.phase]}: more devices, --sleep all, or a smaller "
            "--rollout-batch may fit."
        )
    return ended(f"Why one could not be: {found.why}") if found.why else "No layout of training fits so few devices."


def _text(one: Candidate) -> str:
    """The layout of training and of rollouts in words."""
    rollouts = f"; rollouts TP {one.ask.tensor} × {one.ask.engines:,}" if one.ask.online else ""
    return f"{layout_text(one.best.layout)}{rollouts}"


def _command(planned: Planned, one: Candidate, words: str) -> str:
    """The command that has a candidate in full."""
    ask, best = planned.ask, one.best
    options = ["--gpu", best.chip, *ask.changes.split(), "--gpus", str(best.gpus), "--batch", str(ask.batch)]
    options += ["--context", str(ask.context)] if ask.context is not None else []
    options += layout_options(best.layout)
    options += ["--rollout-tensor", str(one.ask.tensor)] if one.ask.online else []
    return f"tscale train {ask.words} {words} {join(options)}"


def _table(spec: ModelSpec, planned: Planned, found: Found, title: str) -> Table:
    online = found.ranked[0].ask.online
    columns = (
        *((Column("GPU", "gpu", drop=5, numeric=False), Column("GPUs", "gpus")) if planned.several else ()),
        Column("training", "layout", numeric=False, wraps=24),
        Column("rollout TP", "rollout_tensor") if online else None,
        Column("step, s", "step_seconds"),
        Column("from", "low", drop=3, of="step_seconds.low"),
        Column("to", "high", drop=3, of="step_seconds.high"),
        Column("rollouts", "rollout_share", drop=2) if online else None,
        Column("peak", "per_device_bytes"),
        Column("in", "phase", drop=4, numeric=False),
        Column("fits", "verdict", numeric=False),
        Column("USD", "usd", drop=1, of="cost_usd"),
    )
    rows = (
        {**_candidate_data(one), "layout": layout_text(one.best.layout), "phase": NAMES[one.peak.phase]}
        for one in found.ranked
    )
    return view(title, columns, rows, subject=spec.name)


def _share(one: Candidate) -> float:
    """The share of a step that its rollouts take."""
    rollout = one.time.phases[0].seconds
    return 0.0 if rollout is None else rollout.middle / one.seconds.middle


def _candidate_data(one: Candidate) -> dict[str, Data]:
    return {
        "gpu": one.best.hardware.name,
        "gpus": one.ask.devices,
        **layout_data(one.best.layout),
        "rollout_tensor": one.ask.tensor if one.ask.online else None,
        "rollout_engines": one.ask.engines if one.ask.online else None,
        "step_seconds": interval(one.seconds, SECONDS, "predicted"),
        "step_seconds_at_least": Figure(one.time.bound, SECONDS, "bound"),
        "rollout_share": Figure(_share(one), SHARE, "predicted") if one.ask.online else None,
        "peak_phase": key_of(one.peak.phase),
        "per_device_bytes": Figure(one.peak.total, BYTES, "convention"),
        "verdict": Label("yes" if one.verdict == "fits" else "may", one.verdict),
        "fits": one.verdict == "fits",
        "cost_usd": None if one.usd is None else Figure(one.usd, USD, "assumed"),
    }


def _data(spec: ModelSpec, planned: Planned, found: Found, words: str) -> Data:
    return {
        "model": spec.name,
        "batch": planned.ask.batch,
        "evaluated": found.tried,
        "rows": [_candidate_data(one) for one in found.ranked],
        "nearest": None
        if found.nearest is None
        else {
            "phase": key_of(found.nearest.phase),
            "per_device_bytes": Figure(found.nearest.total, BYTES, "convention"),
        },
        "command": _command(planned, found.ranked[0], words) if found.ranked else None,
    }
