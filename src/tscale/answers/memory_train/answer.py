"""`tscale memory --train`: what a device holds while it trains a model, whether that fits, and how much more would."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.answers.capacity import reserve_tables
from tscale.answers.memory.tables import changes_table, parts_table, room_table
from tscale.answers.memory_train.lines import kept_table, owned_table, shortcut_table, stages_table
from tscale.answers.memory_train.media import trained_media_table
from tscale.answers.memory_train.notes import notes_held
from tscale.answers.train.step_table import step_table
from tscale.catalogue.judged import judged
from tscale.core.metric import Data, Derivations, Figure, Report, Step, Table
from tscale.core.tracing import TracedInt
from tscale.core.units import BYTES
from tscale.estimates.capacity import exit_code
from tscale.estimates.explaining import notes_of, part_steps
from tscale.estimates.judged import errors_data
from tscale.estimates.memory_train.ask import Ask, training_of
from tscale.estimates.memory_train.figures import figures_of
from tscale.estimates.memory_train.held import PARTS, Held, all_held, part_of, weighed
from tscale.estimates.memory_train.lines import kept_data, owned_data
from tscale.estimates.memory_train.step import step_of
from tscale.estimates.release import training_note
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec
from tscale.models.trainer import trainer


def memory_train_report(spec: ModelSpec, ask: Ask, batch: int | None = None) -> Report:
    """What a device of the fullest stage holds, whether it fits, and what else would. Exit code 3 where it does not.

    `batch`: the sequences of a step, whose time is predicted and bounded too.
    """
    held = all_held(weighed(spec, ask))
    step = None if batch is None else step_of(spec, ask, held.one.context, batch)
    tables = (*_tables(held), *(() if step is None else (step_table(step.least, step.predicted),)))
    said = (*notes_held(held), *(() if step is None else step.notes()))
    notes = notes_of(spec, held.one.context.note, training_note(spec, ask.how.precision.name), *said)
    data = {**_data(held), **({} if step is None else {"step": step.data})}
    return Report(
        held.one.title,
        tables,
        data,
        notes,
        Derivations(lambda: _steps(spec, ask, held.one.context, held.one.stage)),
        exit_code=exit_code(held.one.capacity, held.one.total, held.one.least),
    )


def _tables(held: Held) -> Iterator[Table]:
    """The parts first, then the stages, what fits, what would make it fit, and the lines."""
    model, capacity = held.one.model, held.one.capacity
    parts = {name: part_of(held.one.most, part, held.one.known) for part, name in PARTS.items()}
    total = Figure(held.one.total, BYTES, held.one.known)
    at_least = Figure(held.one.least, BYTES, held.one.known) if held.one.least < held.one.total else None
    yield parts_table(held.one.title, model.spec.name, parts, total, capacity, at_least)
    yield from trained_media_table(held.one)
    if held.one.ask.how.plan.pipeline > 1:
        yield stages_table(model, held.one.stage)
    if capacity is not None:
        of_batch, of_context = f"at {model.context:,} tokens", f"at a micro-batch of {held.one.ask.how.micro_batch:,}"
        limits = f"the largest micro-batch {of_batch}", f"the longest context {of_context}"
        ones = (lambda: model.with_(micro_batch=1).totals()), (lambda: model.of_length(1).totals())
        yield room_table(held.room, *limits, capacity, *ones)
        if held.options:
            yield changes_table(held.options, capacity.verdict(held.one.total, held.one.least))
    if held.shortcut:
        yield shortcut_table(held.shortcut)
    yield owned_table(model, held.one.stage)
    yield kept_table(model, held.one.stage)
    yield from reserve_tables(capacity)


def _data(held: Held) -> dict[str, Data]:
    """All of it for programs."""
    ask, model, spec = held.one.ask, held.one.model, held.one.model.spec
    return {
        "model": spec.name,
        "title": spec.label,
        **figures_of(held),
        "errors": errors_data([("per_device_bytes.total", judged("memory", "training"))]),
        "changes": [change.data() for change in held.options],
        "stages": [Figure(model.needs(place).total, BYTES, held.one.known) for place in range(ask.how.plan.pipeline)],
        "shortcut": None if held.shortcut is None else held.shortcut.data(),
        "lines": [*owned_data(model, held.one.stage), *kept_data(model, held.one.stage)],
    }


def _steps(spec: ModelSpec, ask: Ask, context: Figure, stage: int) -> tuple[Step, ...]:
    """How each part of the total was made, on numbers that remember."""
    plan = ask.how.plan

    def told(value: int, label: str) -> int:
        return TracedInt(value, label=label) if value > 1 else value

    training = training_of(spec, ask)._replace(
        micro_batch=told(ask.how.micro_batch, "micro_batch"),
        rank=None if ask.how.rank is None else TracedInt(ask.how.rank, label="rank"),
        plan=plan._replace(
            tensor=told(plan.tensor, "tensor"),
            data=told(plan.data, "data"),
            context=told(plan.context, "context_parallel"),
        ),
    )
    length = TracedInt(int(context.value), label="context")
    one = trainer(traced(spec), training, length).needs(stage)
    return part_steps({part: getattr(one, part) for part in PARTS}, spec.name)
