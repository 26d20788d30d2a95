"""`tscale memory --train --method`: what a device holds in each phase of a step, which phase is the peak, and what would fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.capacity import capacity_notes, left_out, reserve_tables
from tscale.answers.memory.tables import changes_table, no_change_note, parts_table, room_table
from tscale.core.costs.activations import LEAVES_OUT as ACTIVATIONS_LEAVE_OUT
from tscale.core.costs.post_training import SOURCES, Phase, key_of
from tscale.core.costs.rollout import SOURCE as LENGTHS
from tscale.core.costs.training_memory import LEAVES_OUT
from tscale.core.methods import Method
from tscale.core.metric import Column, Data, Derivations, Detail, Figure, Known, Report, Step, Table
from tscale.core.number_text import number_text
from tscale.core.sources import cited
from tscale.core.tracing import TracedInt, label
from tscale.core.units import BYTES, TOKENS
from tscale.core.view import Record, view
from tscale.estimates.capacity import VERDICTS, capacity_data, exit_code, on_devices, verdict_text
from tscale.estimates.explaining import notes_of, share, steps_of, trained_text
from tscale.estimates.memory.changes import Change
from tscale.estimates.memory.room import Room
from tscale.estimates.post_training.changes import changes_of, fitting, room_of
from tscale.estimates.post_training.models import Ask, Models, models_of
from tscale.estimates.post_training.phases import Held, decisive, fullest, held, peak
from tscale.estimates.release import training_note
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec

NAMES: Final[dict[Phase, str]] = {
    "rollout": "rollout",
    "old log-probs": "log-probs of the policy",
    "reference": "log-probs of the reference",
    "reward": "reward model",
    "value": "value model",
    "training": "training",
    "value training": "training the value model",
    "moving weights": "moving weights, other overhead",
}
"""Phases, as people read them."""
METHOD_NAMES: Final[dict[Method, str]] = {"sft": "Supervised fine-tuning", "dpo": "DPO", "grpo": "GRPO", "ppo": "PPO"}
"""Methods, as a sentence begins with them."""


def called_inside(name: str) -> str:
    """The name of a method inside a sentence: short forms stay as they are."""
    return name if name.isupper() else name[0].lower() + name[1:]


def post_training_memory_report(spec: ModelSpec, ask: Ask) -> Report:
    """What a device of the fullest stage holds in each phase, the peak, and whether it fits. Exit code 3 where it does not."""
    models = models_of(spec, ask)
    stage, phases = fullest(models)
    worst = peak(phases)
    tightest = decisive(phases)
    known: Known = "assumed" if models.policy.context.known == "assumed" else "convention"
    room = None if worst.capacity is None else room_of(models)
    changes = () if fitting(phases) or worst.capacity is None else tuple(changes_of(models))
    title = _title(models, worst, tightest)
    tables = tuple(_tables(models, phases, worst, known, room, changes, title))
    return Report(
        title,
        tables,
        _data(models, stage, phases, worst, known, room, changes),
        notes_of(spec, models.policy.context.note, *_notes(models, phases, tightest, changes)),
        Derivations(lambda: _steps(spec, ask, stage)),
        exit_code=0 if tightest.capacity is None else exit_code(tightest.capacity, tightest.total, tightest.least),
    )


def _title(models: Models, worst: Held, tightest: Held) -> str:
    ask = models.ask
    what = (
        f"{METHOD_NAMES[ask.method]} of {trained_text(models.spec, ask.how.rank, ask.how.base)} in {ask.how.precision.name}, "
        f"{sequences_text(models)}, peaks at {number_text(worst.total, 'decimal', 'B')} in {NAMES[worst.phase]}"
    )
    which = "each" if ask.how.plan.pipeline == 1 and ask.apart is None else "the fullest"
    said = on_devices(what, ask.training.hardware, ask.devices, which)
    if tightest.capacity is None:
        return said
    verdict = verdict_text(tightest.capacity, tightest.total, tightest.least)
    of_peak = None if worst.capacity is None else verdict_text(worst.capacity, worst.total, worst.least)
    return f"{said}: {verdict}" + ("" if verdict in (of_peak, "fits") else f" ({NAMES[tightest.phase]})")


def sequences_text(models: Models) -> str:
    """The sequences of a step in words."""
    ask, length = models.ask, f"{models.longest:,} tokens"
    if ask.online:
        prompts = "one prompt" if ask.prompts == 1 else f"{ask.prompts:,} prompts"
        alone = "one rollout" if ask.prompts == 1 else f"{ask.prompts:,} rollouts"
        each = f"{prompts} of {ask.group:,} rollouts" if ask.group > 1 else alone
        return f"{each} of up to {length}"
    what = "pair" if ask.method == "dpo" else "sequence"
    many = ask.how.micro_batch
    return f"{'one' if many == 1 else f'{many:,}'} {what}{'' if many == 1 else 's'} of {length}"


def _tables(
    models: Models,
    phases: tuple[Held, ...],
    worst: Held,
    known: Known,
    room: Room | None,
    changes: tuple[Change, ...],
    title: str,
) -> Iterator[Table]:
    """Phases first, then the peak's parts, what fits, what would make it fit, and every phase's lines."""
    yield _phases_table(models, phases, worst, known, title)
    parts = {line.name: Figure(line.value, BYTES, known) for line in worst.lines}
    yield parts_table("", models.spec.name, parts, Figure(worst.total, BYTES, known), worst.capacity)._replace(
        aside=True
    )
    if room is not None and worst.capacity is not None:
        limits = ("the most rollouts that an engine decodes concurrently", "the longest sequence")
        sizes = worst.total, worst.least
        table = room_table(room, *limits, worst.capacity, lambda: sizes, lambda: sizes)
        yield table if models.ask.online else table._replace(rows=table.rows[1:])
    if changes:
        assert worst.capacity is not None
        yield changes_table(changes, worst.capacity.verdict(worst.total, worst.least))
    if len(phases) > 1:
        yield _lines_table(phases, known)
    yield from reserve_tables(worst.capacity)


def _phases_table(models: Models, phases: tuple[Held, ...], worst: Held, known: Known, title: str) -> Table:
    """What a device holds in each phase, as a share of its memory, and whether that fits."""
    memory = None if worst.capacity is None else worst.capacity.device.device_bytes
    columns = (
        Column("a device holds in", "phase", numeric=False),
        Column("on devices that", "devices", numeric=False) if models.ask.apart is not None else None,
        Column("bytes", "bytes", of="per_device_bytes.total"),
        Column("share", "share"),
        Column("", "bar", drop=2, numeric=False, bar=True, of="share"),
        Column("", "verdict", drop=1, numeric=False) if memory is not None else None,
    )

    def row(name: str, one: Held) -> Record:
        part = share(one.total, worst.total if memory is None else memory)
        verdict = None if one.verdict is None else VERDICTS[one.verdict]
        return {**phase_data(one, known), "phase": name, "share": part, "verdict": verdict}

    rows = [*(row(NAMES[one.phase], one) for one in phases), row(f"peak: {NAMES[worst.phase]}", worst)]
    return view(title, columns, rows, subject=models.spec.name, totals=frozenset({len(phases)}))


def _lines_table(phases: tuple[Held, ...], known: Known) -> Table:
    """What every phase holds, line by line."""
    columns = (
        Column("phase, line by line", "phase", numeric=False),
        Column("", "name", numeric=False),
        Column("bytes", "bytes"),
    )
    rows = [(NAMES[one.phase], line.name, Figure(line.value, BYTES, known)) for one in phases for line in one.lines]
    return Table("", columns, tuple(rows), aside=True, detail=True)


def step_data(models: Models) -> dict[str, Data]:
    """A step for programs: its method, models and sequences."""
    ask, spec = models.ask, models.spec
    beside = {"reward": ask.reward, "value": ask.value}
    return {
        "model": spec.name,
        "title": spec.label,
        "method": ask.method,
        "gpu": None if ask.training.hardware is None else ask.training.hardware.name,
        "devices": ask.devices,
        "training_devices": ask.how.plan.devices,
        "rollout_devices": ask.generating if ask.online else None,
        "colocated": ask.apart is None,
        "reference": _reference(ask),
        **{key: None if model is None else model.name for key, model in beside.items()},
        "prompts": ask.prompts or None,
        "group": ask.group if ask.online else None,
        "rollouts": ask.rollouts or None,
        "rollout_tensor": ask.tensor if ask.online else None,
        "rollout_engines": ask.engines if ask.online else None,
        "rollout_batch": ask.waiting[0] if ask.online else None,
        "prompt_tokens": Figure(ask.prompt, TOKENS) if ask.method != "sft" else None,
        "response_tokens": Figure(ask.response, TOKENS) if ask.method != "sft" else None,
        "context": models.policy.context,
        "rollout_cache_tokens": Figure(ask.cached(models.longest), TOKENS, "convention") if ask.online else None,
        "micro_batch": ask.how.micro_batch,
        "precision": ask.how.precision.name,
        "optimizer": ask.how.optimizer.name,
        "lora_rank": ask.how.rank,
        "sleep": sorted(ask.asleep),
        "epochs": ask.epochs,
    }


def _reference(ask: Ask) -> str | None:
    if ask.precomputed:
        return "precomputed"
    if ask.shares_reference:
        return "policy without adapters"
    return None if ask.reference is None else ask.reference.name


def _data(
    models: Models,
    stage: int,
    phases: tuple[Held, ...],
    worst: Held,
    known: Known,
    room: Room | None,
    changes: tuple[Change, ...],
) -> dict[str, Data]:
    limits = Room(None, None) if room is None else room
    tightest = decisive(phases)
    return {
        **step_data(models),
        "mode": "train",
        "stage": stage + 1,
        "peak": {"phase": key_of(worst.phase), "per_device_bytes": Figure(worst.total, BYTES, known)},
        "phases": [phase_data(one, known) for one in phases],
        **capacity_data(tightest.capacity, models.ask.training.hardware, tightest.total, known, tightest.least),
        "max_rollout_batch": limits.data()["max_batch"],
        "max_context": limits.data()["max_context"],
        "changes": [change.data() for change in changes],
    }


def phase_data(one: Held, known: Known) -> Record:
    """A phase for programs: its lines, their sum, and whether that fits."""
    return {
        "phase": key_of(one.phase),
        "devices": "generate" if one.generates else "train",
        "per_device_bytes": {
            **{line.name.lower().replace(" ", "_"): Figure(line.value, BYTES, known) for line in one.lines},
            "total": Figure(one.total, BYTES, known),
        },
        "verdict": one.verdict,
    }


def _notes(models: Models, phases: tuple[Held, ...], tightest: Held, changes: tuple[Change, ...]) -> Iterator[str]:
    """Why it fits or does not, what stands where, and what is left out."""
    ask, hardware = models.ask, models.ask.training.hardware
    if hardware is not None and tightest.capacity is not None:
        yield from capacity_notes(tightest.capacity, hardware, tightest.total, tightest.least)
        if not fitting(phases) and not changes:
            yield no_change_note(tightest.capacity.verdict(tightest.total, tightest.least), pairs=True)
    yield from method_notes(models)
    if ask.online:
        yield (
            f"Each of {ask.engines:,} rollout engine{'s' if ask.engines > 1 else ''} has weights and cache of its own for "
            f"{ask.waiting[0]:,} sequences, {_cached(models)}; an engine that is given a share of the memory, as vLLM is, takes all of it."
        )
    if ask.online and ask.apart is None:
        yield _sleeping(models)
    yield Detail("Gradients stand in training alone: torch's optimizers free them after a step (zero_grad).")
    yield Detail(
        "Log-probabilities take what the forward pass of the loss takes (--loss), of a micro-batch. A value or reward model has no "
        "projection to the vocabulary; its own head, of one number a position, is left out."
    )
    yield Detail(ACTIVATIONS_LEAVE_OUT)
    yield left_out(tightest.capacity, LEAVES_OUT)
    yield training_note(models.spec, ask.how.precision.name)


def method_notes(models: Models) -> Iterator[str]:
    """What stands beside the policy, and where that is from."""
    ask = models.ask
    said = {
        "sft": "",
        "dpo": f"DPO runs both responses of a pair in one pass: a micro-batch of {ask.how.micro_batch:,} is "
        f"{models.policy.model.training.micro_batch:,} sequences.",
        "grpo": f"GRPO compares the {ask.group:,} responses of a prompt and has no value model.",
        "ppo": "PPO trains a value model next to the policy.",
    }[ask.method]
    if said:
        yield Detail(f"{said} Source: {cited(SOURCES[ask.method])}.")
    if ask.shares_reference:
        yield "The reference is the policy with its adapters off: it has no weights of its own."
    elif ask.precomputed:
        yield "Log-probabilities of the reference are taken before training: it is not in memory."
    elif models.reference is not None:
        yield f"The reference, {models.reference.spec.label}, is frozen in 16 bits and sharded as the policy's weights are."


def _cached(models: Models) -> str:
    """How many tokens of a sequence are counted, and why."""
    ask, tokens = models.ask, models.ask.cached(models.longest)
    if ask.prompt + ask.response >= models.longest:
        return f"{tokens:,} tokens each"
    return (
        f"{tokens:,} tokens each when the cache is the fullest, of responses of {ask.response:,} tokens on average that are spread as widely as "
        f"these allow (the largest entropy, {cited(LENGTHS)})"
    )


def _sleeping(models: Models) -> str:
    """What leaves a device between phases."""
    ask = models.ask
    if not ask.asleep:
        return "Nothing leaves the device between phases (--sleep none)."
    away = ", ".join(sorted(ask.asleep))
    return f"In phases that do not use them, these leave the device (--sleep): {away}."


def _steps(spec: ModelSpec, ask: Ask, stage: int) -> Iterator[Step]:
    """How each phase's total was made, on numbers that remember."""
    micro = ask.how.micro_batch
    training = ask.training.with_(micro_batch=TracedInt(micro, label="micro_batch") if micro > 1 else micro)
    policy = traced(spec)
    own = ask._replace(
        training=training,
        reference=policy if ask.reference is spec else ask.reference,
        reward=policy if ask.reward is spec else ask.reward,
        value=policy if ask.value is spec else ask.value,
    )
    models = models_of(policy, own)
    figures: list[tuple[str, Figure]] = []
    for one in held(models, stage):
        tag = key_of(one.phase)
        lines = [(f"{tag}.{line.name.replace(' ', '_')}", line.value) for line in one.lines]
        figures += [(name, Figure(value, BYTES)) for name, value in lines]
        figures.append((tag, Figure(sum(label(name, value) for name, value in lines), BYTES)))
    return steps_of(figures, f"{spec.name}, a device")
