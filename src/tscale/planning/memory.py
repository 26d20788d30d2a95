"""What a device of each layout holds: the answer of `memory --train`, by its own formulas, of a structure's layouts at once.

What is kept of parameters does not ask how a pass is run: it is counted once for all ways of that.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from tscale.core.costs.recompute import saved_under
from tscale.core.costs.states import States
from tscale.core.costs.training_memory import states_of, totals
from tscale.core.costs.training_setup import Layer, Training
from tscale.core.ledger import Ledger, Saved
from tscale.core.loss_kernels import KERNELS, default_kernel
from tscale.core.metric import Quantity
from tscale.core.parallelism import Parallelism, Schedule
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import Again
from tscale.core.sharding import share_of
from tscale.core.units import BYTES
from tscale.planning.layouts import Axes, Columns, Layouts
from tscale.planning.stage_kinds import Model
from tscale.planning.structure import (
    Orders,
    StageRows,
    evaluated,
    ledger_of,
    numbered,
    parts_of,
    plain,
    plan_of,
    stage_rows,
    structures,
)

_OF_STATES: Final = ("recipe_zero", "precision", "optimizer", "offload", "schedule")
_OF_PASS: Final = (*_OF_STATES, "recompute")
"""Columns by which structures differ, beside degrees of 1; of a stage with a head its loss too."""
_HOW_RUN: Final = frozenset({"sequence", "micro_batch", "recompute", "first", "loss", "kernel"})
"""Columns that say how a pass is run, which changes nothing of what is kept of parameters."""
_NOTHING: Final = States(*(Quantity("nothing", (), BYTES) for _ in range(4)))
_KERNELS: Final = tuple(KERNELS)


class Held(NamedTuple):
    """Bytes that a device of the fullest stage needs, as an allocator reserves them and at the least."""

    total: Any
    least: Any


def kept(model: Model, layouts: Layouts, orders: Orders, base: Training) -> Any:
    """Bytes that a device keeps of its parameters: a row for each distinct stage of a pipeline, in it each layout."""
    layouts = layouts._replace(columns=_with_kernels(layouts, base))
    columns = layouts.columns
    flags = [columns["sharing"] == 1, columns["interleave"] == 1]
    code = structures(columns, flags, (*_OF_STATES, *(("kernel",) if _prepares(base) else ())))
    alike = _alike_in_states(columns, code)
    found = np.zeros((max(map(len, orders.values()), default=0), layouts.size), dtype=np.int64)
    for stages in stage_rows(model, columns, orders):
        (found[stages.number, stages.rows],) = evaluated(
            stages, alike, code[stages.rows], lambda own: [_states(model, layouts, own, base)], 1, int
        )
    return found


def held(model: Model, layouts: Layouts, orders: Orders, base: Training, states: Any) -> Held:
    """What a device of the fullest stage of each layout needs; `base`: what is the same in all of them, `states`: what it keeps (`kept`).

    Layouts are taken to be legal (`tscale.planning.legal`).
    """
    layouts = layouts._replace(columns=_with_kernels(layouts, base))
    found = Held(*(np.zeros(layouts.size, dtype=np.int64) for _ in range(2)))
    columns = layouts.columns
    of_pass = structures(columns, [columns["sharing"] == 1, columns["interleave"] == 1, columns["first"] > 0], _OF_PASS)
    alike = _alike_in_passes(layouts, of_pass, base)
    for stages in stage_rows(model, columns, orders):
        has_loss = stages.kind.last or _prepares(base)
        code = of_pass * len(_KERNELS) + columns["kernel"] if has_loss else of_pass
        passes = evaluated(stages, alike, code[stages.rows], lambda own: _pass(model, layouts, own, base), 2, int)
        for most, one in zip(found, passes, strict=True):
            np.maximum.at(most, stages.rows, states[stages.number, stages.rows] + one)
    return found


def _prepares(base: Training) -> bool:
    """Whether the loss says too what is kept in 32 bits (`Training.prepared`)."""
    return base.base is not None


def _alike_in_states(columns: Columns, of_states: Any) -> Any:
    """A number for each layout, the same in those that keep the same of their parameters: they differ in how a pass is run alone.

    Of an interleaved schedule the micro-batches count too (`tscale.core.costs.states`).
    """
    micro_batch = np.where(columns["interleave"] > 1, columns["micro_batch"], 0)
    return numbered([of_states, micro_batch, *(columns[name] for name in columns if name not in _HOW_RUN)])


def _alike_in_passes(layouts: Layouts, of_pass: Any, base: Training) -> Any:
    """A number for each layout, the same in those that keep and need the same of their micro-batches.

    Where ZeRO neither gathers nor scatters for a layer, and no weights come from the host, a pass asks neither for its stage nor for
    how many copies there are of what.
    """
    columns, axes = layouts.columns, layouts.axes
    gathered = np.array([PRECISIONS[name].gathered for name in axes.precision])[columns["precision"]]
    away = np.array(["weights" in names for names in axes.offload])[columns["offload"]]
    whole = (
        ~away
        & (not base.optimizer_in_backward)
        & (columns["zero"] < np.where((columns["pipeline"] > 1) & ~gathered, 3, 2))
    )
    own = [np.where(whole, 0, columns[name]) if name in _OF_COPIES else columns[name] for name in columns]
    return numbered([of_pass, *own])


_OF_COPIES: Final = frozenset({"zero", "shards", "sharing"})
"""Columns that say how many copies there are of weights that all devices have."""


def _with_kernels(layouts: Layouts, base: Training) -> Columns:
    """The columns with the kernel of each layout's loss, and its ZeRO where a recipe is of another structure for it."""
    columns = layouts.columns
    gathered = np.array([PRECISIONS[name].gathered for name in layouts.axes.precision])
    return {
        **columns,
        "kernel": _kernels(layouts, base),
        "recipe_zero": np.where(gathered[columns["precision"]], columns["zero"], 0),
    }


def _kernels(layouts: Layouts, base: Training) -> Any:
    """The kernel of each layout's loss, as its place in the list of all."""
    columns, losses = layouts.columns, layouts.axes.loss
    flags = [columns["zero"] == 3, columns["sharing"] > 1, columns["tensor"] > 1]
    flags.append((columns["pipeline"] > 1) | (columns["expert"] > 1))
    code = sum(flag.astype(np.int64) << place for place, flag in enumerate(flags))
    usual = [
        _KERNELS.index(base.loss or default_kernel(_flagged(number), adapters=base.rank is not None).name)
        for number in range(16)
    ]
    named = np.array([-1 if loss is None else _KERNELS.index(loss) for loss in losses])[columns["loss"]]
    return np.where(named < 0, np.array(usual)[code], named)


def _flagged(code: int) -> Parallelism:
    """A plan that has what a number says: ZeRO's third stage, devices that share, tensor parallelism, a pipeline."""
    third, sharing, tensor, pipeline = (bool(code >> place & 1) for place in range(4))
    return Parallelism(1 + tensor, pipeline=1 + pipeline, data=1 + sharing, zero=3 * third)


def _states(model: Model, layouts: Layouts, stages: StageRows, base: Training) -> Any:
    """Bytes that stages of one structure keep of their parameters."""
    training = _training(layouts, stages, base)
    return sum(quantity.total for quantity in states_of(share_of(ledger_of(model, stages), training.plan), training))


def _pass(model: Model, layouts: Layouts, stages: StageRows, base: Training) -> tuple[Any, Any]:
    """Bytes that stages of one structure keep of their micro-batches, and need for a moment."""
    training = _training(layouts, stages, base)
    ledger = ledger_of(model, stages)
    kinds = [model.layers[place] for place in stages.kind.layers]
    layers = tuple(Layer(share_of(kind, training.plan), kind.saved, _laid_out(kind, training)) for kind in kinds)
    kept = _kept(model, ledger, stages, training) if training.is_laid_out else ledger.saved
    return totals(share_of(ledger, training.plan), kept, _NOTHING, layers, plain(stages.place), training)


def _kept(model: Model, ledger: Ledger, stages: StageRows, training: Training) -> tuple[Saved, ...]:
    """What stages save under a policy that goes layer by layer or product by product."""
    if training.again is None or not training.again.of_some:
        return _laid_out(ledger, training)
    again, rest = parts_of(model, stages)
    return (*_laid_out(again, training), *_laid_out(rest, training._replace(recompute="none")))


def _training(layouts: Layouts, stages: StageRows, base: Training) -> Training:
    """How stages of one structure are trained."""
    columns, row = layouts.columns, int(stages.rows[0])
    at = {name: int(column[row]) for name, column in columns.items()}
    plan = plan_of(columns, stages.rows, order_of(layouts.axes, columns, row))
    training = training_of(layouts.axes, at, base)
    micro = plain(columns["micro_batch"][stages.rows])
    return training._replace(plan=plan, micro_batch=micro, loss=_KERNELS[at["kernel"]])


def training_of(axes: Axes, at: dict[str, int], base: Training) -> Training:
    """How a layout is trained, its plan and its loss apart."""
    policy = axes.policies[at["recompute"]]
    return base._replace(
        precision=PRECISIONS[axes.precision[at["precision"]]],
        optimizer=OPTIMIZERS[axes.optimizer[at["optimizer"]]],
        recompute=policy,
        again=Again(policy, at["first"]) if at["first"] else None,
        offload=axes.offload[at["offload"]],
    )


def order_of(axes: Axes, columns: Columns, row: int) -> Schedule:
    """The order of a row's pipeline, the usual one by name."""
    named = axes.schedule[int(columns["schedule"][row])]
    return named or ("interleaved" if columns["interleave"][row] > 1 else "1f1b")


def _laid_out(part: Ledger, training: Training) -> tuple[Saved, ...]:
    """What a part of a model saves under a policy that goes product by product; nothing under another."""
    if not training.is_laid_out:
        return ()
    return tuple(saved_under(part, training.recompute, training.attention, compiled=training.kernels == "fused"))
