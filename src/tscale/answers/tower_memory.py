"""What a device holds of a tower without a text model: its weights, and while it trains all that goes with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.capacity import capacity_notes, left_out, reserve_tables
from tscale.answers.media import media_notes
from tscale.answers.memory.tables import parts_table
from tscale.answers.tower_alone import media_of_tower
from tscale.catalogue.hardware import Hardware
from tscale.core.costs.activations import LEAVES_OUT as ACTIVATIONS_LEAVE_OUT
from tscale.core.costs.states import training_states
from tscale.core.costs.training_memory import LEAVES_OUT, needs
from tscale.core.costs.training_setup import Layer, Needs, Training
from tscale.core.costs.weights import weight_bytes
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.ledger import Ledger
from tscale.core.metric import Column, Data, Derivations, Detail, Figure, Line, Report, Step
from tscale.core.number_text import number_text
from tscale.core.units import BYTES, COUNT
from tscale.core.view import Record, view
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, field
from tscale.estimates.capacity import (
    Capacity,
    capacity_data,
    exit_code,
    on_devices,
    serving_capacity,
    training_capacity,
    verdict_text,
)
from tscale.estimates.explaining import part_steps
from tscale.estimates.media import Media, MediaCost, tower_passes
from tscale.estimates.memory_train.held import PARTS
from tscale.estimates.memory_train.lines import MOMENTS, OWNED
from tscale.models.tower_spec import TowerSpec

_FORMATS: Final = ("fp32", "bf16", "fp16")
"""What towers are kept in: releases and engines quantise language models."""


class Ask(NamedTuple):
    """Images or sounds at a time, and what a device has for it; `training`: how it is trained, None where it is run."""

    media: Media
    dtype: Dtype | None = None
    training: Training | None = None
    hardware: Hardware | None = None
    memory_share: Fraction | None = None


def memory_of_tower(spec: TowerSpec, ask: Ask) -> Report:
    """Bytes that a device holds of a tower that is run, or trained; exit code 3 where they do not fit.

    Raises `RequestError` for media that it does not read, a format that none is kept in, and a policy that is of language models.
    """
    return _run(spec, ask) if ask.training is None else _trained(spec, ask, ask.training)


def _run(spec: TowerSpec, ask: Ask) -> Report:
    dtype = ask.dtype or DTYPES["bf16"]
    if dtype.name not in _FORMATS:
        raise RequestError(f"{field('dtype')} of a tower is one of {', '.join(_FORMATS)}, not {dtype.name}")
    if ask.media.any:
        raise RequestError(
            f"what {spec.label} keeps of images or sounds while it runs is not known: add {field('train')}, or drop them"
        )
    lines = weight_bytes(spec.ledger(), dtype).lines
    total = sum(line.value for line in lines)
    capacity = None if ask.hardware is None else serving_capacity(ask.hardware.device(), 1, ask.memory_share)
    title = _title(
        f"{spec.label} in {dtype.name} takes {number_text(int(total), 'decimal', 'B')}", ask, capacity, total
    )
    parts = {"weights": Figure(total, BYTES)}
    data: dict[str, Data] = {"mode": "serve", "dtype": dtype.name, "media": []}
    notes = ("What it computes while it runs is not counted.",)
    steps = Derivations(lambda: part_steps({"weights": weight_bytes(spec.traced().ledger(), dtype)}, spec.name))
    return _report(spec, ask, capacity, title, parts, lines, data, notes, steps)


def _trained(spec: TowerSpec, ask: Ask, how: Training) -> Report:
    if how.is_laid_out:
        raise RequestError(
            f"{field('recompute')} of some layers, and op, are of language models: give none, selective or full"
        )
    plan = how.plan
    if plan.devices > plan.data:
        raise RequestError(
            f"a tower is whole on each device: drop what divides it, and give {field('data')} or {field('zero')}"
        )
    media, costs = media_of_tower(spec, ask.media)
    training = how._replace(run=SequenceLengths(target=0, media=tower_passes(spec, media)))
    need = _needs(spec, training)
    capacity = (
        None if ask.hardware is None else training_capacity(ask.hardware.device(), training.plan, ask.memory_share)
    )
    what = " and ".join(cost.name for cost in costs)
    said = f"Training {spec.label} in {training.precision.name} with {training.optimizer.name}, {what}, takes {number_text(int(need.total), 'decimal', 'B')}"
    parts = {
        name: Figure(getattr(need, part).total, BYTES, "exact" if part in OWNED else "convention")
        for part, name in PARTS.items()
        if part != "logits"
    }
    lines = [line for part in PARTS if part != "logits" for line in _named(getattr(need, part).lines, part)]
    data: dict[str, Data] = {
        "mode": "train",
        "precision": training.precision.name,
        "optimizer": training.optimizer.name,
        "plan": {"data": plan.data, "zero": plan.zero},
        "attention": training.attention,
        "recompute": training.recompute,
        "kernels": training.kernels,
        "media": [
            {"media": cost.key, "count": Figure(cost.many, COUNT), "outputs": Figure(cost.tokens, COUNT)}
            for cost in costs
        ],
    }
    notes = tuple(_training_notes(training, media, costs, capacity))

    def steps() -> tuple[Step, ...]:
        remembered = _needs(spec.traced(), training)
        return part_steps({part: getattr(remembered, part) for part in PARTS if part != "logits"}, spec.name)

    return _report(
        spec, ask, capacity, _title(said, ask, capacity, need.total), parts, lines, data, notes, Derivations(steps)
    )


def _needs(spec: TowerSpec, training: Training) -> Needs:
    """What a device needs to train a tower."""
    groups = tuple(group for tower in spec.towers for group in tower.groups(saves=True))
    ledger = Ledger(spec.name, groups)
    layers = tuple(
        Layer(Ledger(spec.name, (group._replace(layers=1),)), group.saved)
        for group in groups
        if any("full" in saved.keeping and len(saved.keeping) == 1 for saved in group.saved)
    )
    states = training_states(ledger, training.precision, training.optimizer, training.plan)
    return needs(ledger, ledger.saved, states, layers, 0, training)


def _named(lines: tuple[Line, ...], part: str) -> Iterator[Line]:
    for line in lines:
        yield Line(MOMENTS.get(line.name, line.name) if part == "temporary" else f"{part}: {line.name}", line.value)


def _training_notes(
    training: Training, media: Media, costs: tuple[MediaCost, ...], capacity: Capacity | None
) -> Iterator[str]:
    precision, optimizer = training.precision, training.optimizer
    yield f"{precision.name}: {precision.note}. {optimizer.name}: {optimizer.note}."
    yield "Without a loss, whose logits of a few labels are small; contrastive losses compare each image with every text."
    if media.seconds or media.sized or any(cost.key != "images" for cost in costs):
        yield from media_notes(media, costs)
    yield Detail(ACTIVATIONS_LEAVE_OUT)
    yield left_out(capacity, LEAVES_OUT)


def _title(what: str, ask: Ask, capacity: Capacity | None, total: int) -> str:
    said = on_devices(what, ask.hardware, 1 if ask.training is None else ask.training.plan.devices)
    return said if capacity is None else f"{said}: {verdict_text(capacity, total)}"


def _report(
    spec: TowerSpec,
    ask: Ask,
    capacity: Capacity | None,
    title: str,
    parts: Mapping[str, Figure],
    lines: list[Line] | tuple[Line, ...],
    own: dict[str, Data],
    notes: tuple[str, ...],
    steps: Sequence[Step],
) -> Report:
    """The answer: parts, lines, and whether they fit."""
    total = sum(int(figure.value) for figure in parts.values())
    whole = Figure(total, BYTES, "exact" if ask.training is None else "convention")
    columns = (Column("line by line", "name", numeric=False), Column("bytes", "bytes"))
    records: list[Record] = [{"name": line.name, "bytes": Figure(line.value, BYTES, whole.known)} for line in lines]
    shown = (record for record, line in zip(records, lines, strict=True) if line.value)
    tables = [parts_table(title, spec.name, parts, whole, capacity), view("", columns, shown, aside=True, detail=True)]
    tables += reserve_tables(capacity)
    data: Data = {
        "model": spec.name,
        "title": spec.label,
        **own,
        "gpu": None if ask.hardware is None else ask.hardware.name,
        "per_device_bytes": {**{name.replace(" ", "_"): figure for name, figure in parts.items()}, "total": whole},
        **capacity_data(capacity, ask.hardware, total, whole.known),
        "lines": records,
    }
    fits = () if capacity is None or ask.hardware is None else tuple(capacity_notes(capacity, ask.hardware, total))
    said = (*(f"{spec.label}: {note}" for note in spec.notes), *fits, *notes)
    return Report(title, tuple(tables), data, said, steps, exit_code=exit_code(capacity, total))
