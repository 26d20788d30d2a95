"""The tables line by line of `tscale memory --train`: stages, model states, saved activations and temporaries."""

from __future__ import annotations

from typing import Final

from tscale.core.metric import Cell, Column, Table
from tscale.core.view import view
from tscale.estimates.memory_train.lines import OWNED, kept_data, owned_data, stage_data
from tscale.estimates.memory_train.shortcut import Shortcut
from tscale.models.trainer import Trainer

_MOST_STAGES_SHOWN: Final = 16


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
    return view("", columns, (stage_data(model, place, fullest=place == worst) for place in places), aside=True)


def shortcut_table(shortcut: Shortcut) -> Table:
    """A layer's activations counted, and by the shortcut, with the ratio."""
    columns = (Column("activations of a layer", "way", numeric=False), Column("bytes", "bytes"), Column("", "ratio"))
    counted, published, ratio = shortcut.figures()
    rows: tuple[tuple[Cell, ...], ...] = (
        ("counted", counted, ""),
        ("s·b·h·(34 + 5·a·s/h) and variants (Korthikanti 2022)", published, ratio),
    )
    return Table("", columns, rows, aside=True, detail=True)


def owned_table(model: Trainer, stage: int) -> Table:
    """The same as people read it; without what is alike for all."""
    plan = model.training.plan
    columns = (
        Column("line by line", "name", numeric=False),
        Column("on a device", "division", numeric=False) if plan.tensor * plan.expert * plan.expert_cut > 1 else None,
        Column("by ZeRO", "zero", numeric=False) if plan.zero else None,
        *(Column(part, part) for part in OWNED),
    )
    return view("", columns, owned_data(model, stage), aside=True, stack=True, detail=True)


def kept_table(model: Trainer, stage: int) -> Table:
    """The activations that a device of a stage saves, and its temporaries."""
    plan = model.training.plan
    columns = (
        Column("saved activations, temporaries", "name", numeric=False),
        Column("on a device", "division", numeric=False) if plan.tensor * plan.context * plan.expert_cut > 1 else None,
        Column("bytes", "kept"),
    )
    return view("", columns, kept_data(model, stage), aside=True, detail=True)
