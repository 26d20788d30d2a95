"""The tables line by line of `tscale memory --train`: stages, model states, saved activations and temporaries."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from tscale.core.costs.schedules import in_flight
from tscale.core.costs.states import shards
from tscale.core.ledger import Buffer, Cache, Entry, Ledger, Saved, Scan, Scores
from tscale.core.metric import Cell, Column, Figure, Table
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import division
from tscale.core.units import BYTES, COUNT
from tscale.core.view import Record, view
from tscale.estimates.memory_train.shortcut import Shortcut
from tscale.models.trainer import Trainer

_MOST_STAGES_SHOWN: Final = 16
MOMENTS: Final = {
    "loss_at_its_peak": "the peak of the loss, beyond what it saves",
    "head_in_16_bits": "the head, cast from fp32 to 16 bits",
    "layer_again": "a layer's activations, recomputed",
    "scores_again": "a layer's attention scores, recomputed",
    "widest_gradient_twice": "the widest gradient of a layer, twice",
    "whole_inputs": "inputs of products, gathered along the sequence",
    "whole_head_input": "the head's input, gathered along the sequence",
    "pipeline_buffers": "outputs of pipeline pieces and room for their gradients",
    "gather_buffer": "the gather of the largest group (FSDP2's own stream)",
    "scattered_gradients": "shards of the gradients (FSDP2's own stream)",
    "gathered_weights": "gathered weights (ZeRO): embeddings, head and two layers",
    "unscattered_gradients": "gradients of a layer or an embedding before reduce-scatter",
    "unpacked_matrix": "the largest matrix, dequantised to 16 bits",
}
"""Temporaries, as people read them."""


def stages_table(model: Trainer, worst: int) -> Table:
    """What a device of each stage holds; of many stages, the first, the fullest and the last ones."""
    plan = model.training.plan
    shown = range(plan.pipeline)
    places = (
        [*shown] if plan.pipeline <= _MOST_STAGES_SHOWN else sorted({0, 1, worst, plan.pipeline - 2, plan.pipeline - 1})
    )
    columns = (
        Column("stage", "stage", numeric=False),
        Column("in flight", "in_flight"),
        Column("model states", "states"),
        Column("activations", "activations"),
        Column("total", "total"),
    )
    return view("", columns, (_stage_data(model, place, fullest=place == worst) for place in places), aside=True)


def _stage_data(model: Trainer, place: int, *, fullest: bool) -> Record:
    one, plan = model.needs(place), model.training.plan
    states = one.weights.total + one.gradients.total + one.master.total + one.optimizer.total
    return {
        "stage": f"{place + 1}{', the fullest' if fullest else ''}",
        "in_flight": Figure(Fraction(*in_flight(place, plan, model.training.micro_batches)), COUNT),
        "states": Figure(states, BYTES),
        "activations": Figure(one.activations.total, BYTES, "convention"),
        "total": Figure(one.total, BYTES, "convention"),
    }


def shortcut_table(shortcut: Shortcut) -> Table:
    """A layer's activations counted, and by the shortcut, with the ratio."""
    columns = (Column("activations of a layer", "way", numeric=False), Column("bytes", "bytes"), Column("", "ratio"))
    counted, published, ratio = shortcut.figures()
    rows: tuple[tuple[Cell, ...], ...] = (
        ("counted", counted, ""),
        ("s·b·h·(34 + 5·a·s/h) and variants (Korthikanti 2022)", published, ratio),
    )
    return Table("", columns, rows, aside=True, detail=True)


def _owners(ledger: Ledger) -> Iterator[Entry]:
    for entry in ledger.entries:
        if not isinstance(entry, (Scores, Scan, Cache)) and entry.stored:
            yield entry


_OWNED: Final = ("weights", "gradients", "master", "optimizer")


def owned_data(model: Trainer, stage: int) -> Iterator[Record]:
    """What a device of a stage keeps of every parameter: how devices share its layer, its states, and the bytes of each kind."""
    plan, one = model.training.plan, model.needs(stage)
    sizes = {part: {line.name: line.value for line in getattr(one, part).lines} for part in _OWNED}
    uncut = {entry.name: entry for entry in model.stages[stage].entries}

    def line(name: str, division: str, states: str) -> Record:
        own = {part: Figure(each.get(name, 0), BYTES) for part, each in sizes.items()}
        return {"name": name, "division": division or None, "zero": states, **own}

    for entry in _owners(model.shares[stage]):
        among = int(shards(entry, plan)) if plan.zero and not isinstance(entry, Buffer) else 1
        states = f"1/{among}" if among > 1 else "whole"
        yield line(entry.name, division(uncut[entry.name], plan), states)
        for adapter in (f"{entry.name}.lora_a", f"{entry.name}.lora_b"):
            if adapter in sizes["gradients"]:
                yield line(adapter, "", states)
    if "largest_gradient" in sizes["gradients"]:
        yield {**line("largest_gradient", "", ""), "name": "largest gradient"}


def owned_table(model: Trainer, stage: int) -> Table:
    """The same as people read it; without what is alike for all."""
    plan = model.training.plan
    columns = (
        Column("line by line", "name", numeric=False),
        Column("on a device", "division", numeric=False) if plan.tensor * plan.expert * plan.expert_cut > 1 else None,
        Column("by ZeRO", "zero", numeric=False) if plan.zero else None,
        *(Column(part, part) for part in _OWNED),
    )
    return view("", columns, owned_data(model, stage), aside=True, stack=True, detail=True)


def kept_data(model: Trainer, stage: int) -> Iterator[Record]:
    """Each activation that is kept: its name, how devices share it, and its bytes, all micro-batches in flight together."""
    plan, one = model.training.plan, model.needs(stage)
    named = {saved.name: saved for saved in model.kept[stage]}

    def line(name: str, division: str | None, size: int) -> Record:
        return {"name": name, "division": division, "kept": Figure(size, BYTES, "convention")}

    for saved in (*one.activations.lines, *one.logits.lines):
        yield line(saved.name, _shared(named.get(saved.name), plan), saved.value)
    for moment in one.temporary.lines:
        yield line(MOMENTS[moment.name], None, moment.value)


def _shared(saved: Saved | None, plan: Parallelism) -> str:
    """How devices share what is kept, in a few words."""
    if saved is None:
        return "whole"
    ways = [f"1/{int(plan.context)} by position"] if plan.context > 1 and saved.stream != "once" else []
    devices = int(plan.expert_cut if saved.routed else plan.tensor)
    if saved.routed and devices != plan.tensor:
        tokens = Fraction(devices, int(plan.tensor))
        ways.append(f"{tokens} of the tokens" if tokens < 1 else f"{tokens} times the tokens")
    if saved.cut is not None and devices > 1:
        ways.append(f"1/{min(devices, int(saved.cut.pieces)) if saved.cut.otherwise == 'repeated' else devices}")
    elif saved.cut is None and plan.sequence and not saved.gathered:
        ways.append(f"1/{int(plan.tensor)} by sequence")
    return ", ".join(ways) or "whole"


def kept_table(model: Trainer, stage: int) -> Table:
    """The activations that a device of a stage saves, and its temporaries."""
    plan = model.training.plan
    columns = (
        Column("saved activations, temporaries", "name", numeric=False),
        Column("on a device", "division", numeric=False) if plan.tensor * plan.context * plan.expert_cut > 1 else None,
        Column("bytes", "kept"),
    )
    return view("", columns, kept_data(model, stage), aside=True, detail=True)
