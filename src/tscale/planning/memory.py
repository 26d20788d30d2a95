"""What a device of each layout holds: the answer of `memory --train`, by its own formulas, of a structure's layouts at once."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from tscale.core.costs.recompute import saved_under
from tscale.core.costs.training_memory import states_of, totals
from tscale.core.costs.training_setup import Layer, Training
from tscale.core.ledger import Ledger, Saved
from tscale.core.parallelism import Schedule
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.sharding import share_of
from tscale.planning.layouts import Axes, Layouts
from tscale.planning.stage_kinds import Model
from tscale.planning.structure import (
    Orders,
    StageRows,
    experts_of,
    ledger_of,
    plain,
    plan_of,
    split,
    stage_rows,
    structures,
)

_NAMES: Final = ("sequence", "zero", "schedule", "recompute", "precision", "optimizer", "loss", "offload")
"""Columns by which structures differ, beside degrees of 1."""


class Held(NamedTuple):
    """Bytes that a device of the fullest stage needs, as an allocator reserves them and at the least."""

    total: Any
    least: Any


def held(model: Model, layouts: Layouts, orders: Orders, base: Training) -> Held:
    """What a device of the fullest stage of each layout needs; `base`: what is the same in all of them.

    Layouts are taken to be legal (`tscale.planning.legal`).
    """
    columns = layouts.columns
    found = Held(*(np.zeros(layouts.size, dtype=np.int64) for _ in range(2)))
    code = structures(columns, experts_of(model.whole), _NAMES)
    for stages in stage_rows(columns, orders):
        for _, places in split(code[stages.rows]):
            own = stages.only(places)
            for most, one in zip(found, _of_structure(model, layouts, own, base), strict=True):
                np.maximum.at(most, own.rows, one)
    return found


def _of_structure(model: Model, layouts: Layouts, stages: StageRows, base: Training) -> tuple[Any, Any]:
    """Bytes of stages of one structure."""
    columns, axes = layouts.columns, layouts.axes
    row = int(stages.rows[0])
    training = training_of(axes, {name: int(column[row]) for name, column in columns.items()}, base)
    plan = plan_of(columns, stages.rows, order_of(axes, columns, row))
    micro = plain(columns["micro_batch"][stages.rows])
    training = training._replace(plan=plan, micro_batch=micro)
    ledger = ledger_of(model, stages)
    share = share_of(ledger, plan)
    kinds = [model.layers[place] for place in stages.kind.layers]
    layers = tuple(Layer(share_of(kind, plan), kind.saved, _laid_out(kind, training)) for kind in kinds)
    kept = _laid_out(ledger, training) if training.is_laid_out else ledger.saved
    return totals(share, kept, states_of(share, training), layers, plain(stages.place), training)


def training_of(axes: Axes, at: dict[str, int], base: Training) -> Training:
    """How a layout is trained, its plan apart."""
    loss = axes.loss[at["loss"]]
    return base._replace(
        recipe=PRECISIONS[axes.precision[at["precision"]]],
        optimizer=OPTIMIZERS[axes.optimizer[at["optimizer"]]],
        recompute=axes.recompute[at["recompute"]],
        loss=base.loss if loss is None else loss,
        offload=axes.offload[at["offload"]],
    )


def order_of(axes: Axes, columns: Any, row: int) -> Schedule:
    """The order of a row's pipeline, the usual one by name."""
    named = axes.schedule[int(columns["schedule"][row])]
    return named or ("interleaved" if columns["interleave"][row] > 1 else "1f1b")


def _laid_out(part: Ledger, training: Training) -> tuple[Saved, ...]:
    """What a part of a model saves under a policy that goes product by product; nothing under another."""
    if not training.is_laid_out:
        return ()
    return tuple(saved_under(part, training.recompute, training.attention, compiled=training.kernels == "fused"))
