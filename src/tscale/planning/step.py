"""How long a step of each layout is predicted to take: the answer of `train`, by its own formulas, of a structure's layouts at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from tscale.calibration.training_case import TrainingCase, chosen, constants_for, micro_batches_of
from tscale.core.costs.schedules import runs
from tscale.core.costs.step_prediction import TrainingConstants, of_slots, slot_of
from tscale.core.costs.step_products import REPEATED, Case, Repeated
from tscale.core.costs.step_sent import Sent
from tscale.core.costs.step_work import StepWork, once_a_step, stage_work, together, work_of_plan
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import share_of
from tscale.planning.layouts import Columns, Layouts
from tscale.planning.memory import order_of
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
    split,
    stage_rows,
    structures,
)


def seconds(model: Model, layouts: Layouts, orders: Orders, case: TrainingCase, micro_batches: Any) -> Any:
    """Predicted seconds of a step of each layout, bounds apart; `case`: what is the same in all of them.

    Raises `RequestError` where a link that some layout needs is not known.
    """
    columns, model = _as_cut(layouts.columns), model._replace(whole=model.of_a_step)
    layouts, constants = layouts._replace(columns=columns), constants_for(case, chosen(case))
    code = structures(columns, (columns["first"] > 0, columns["pipeline"] == 1), ("schedule",))

    def slots(own: StageRows) -> tuple[float, ...]:
        plan, run = _run(layouts, own.rows, case, micro_batches)
        share, again = _shares(model, own, plan, some=bool(columns["first"][own.rows[0]]))
        return slot_of(stage_work(share, plan, run, case.cluster, again), work_of_plan(plan, run), constants)

    def copies(own: StageRows) -> tuple[float, ...]:
        plan, run = _run(layouts, own.rows, case, micro_batches)
        share = share_of(ledger_of(model, own), plan)
        work = once_a_step(work_of_plan(plan, run), share, plan, run, case.cluster)
        sent = (work.gradients, work.gathers, work.weights, work.waited)
        return (work.micro_batches, work.fill, work.hidden, work.states, *(part for one in sent for part in one))

    distinct = np.zeros(layouts.size, dtype=np.int64)
    parts = np.zeros((_SLOT + _COPIES + 1, max(map(len, orders.values()), default=0), layouts.size))
    passes_alike, copies_alike = (
        numbered([columns[name] for name in columns if name not in without]) for without in (_OF_COPIES, _OF_PASSES)
    )
    for stages in stage_rows(model, columns, orders):
        at = slice(None), stages.number, stages.rows
        parts[:_SLOT][at] = evaluated(stages, passes_alike, _with_presence(code, stages), slots, _SLOT)
        parts[_SLOT:-1][at] = evaluated(stages, copies_alike, code[stages.rows], copies, _COPIES)
        parts[-1][at[1:]] = stages.many
        np.maximum.at(distinct, stages.rows, stages.number + 1)
    found = np.zeros(layouts.size)
    for many, rows in split(distinct):
        found[rows] = _together(parts[:, :many, rows], constants)
    return found


_SLOT, _COPIES = 8, 16
"""Numbers of a stage's slot, and of what it has to do once a step."""
_OF_COPIES: Final = frozenset({"shards", "sharing", "optimizer", "loss", "offload"})
"""Columns that change nothing of a pass."""
_OF_PASSES: Final = frozenset({"recompute", "first", "sequence", "optimizer", "loss", "offload"})
"""Columns that change nothing of what copies exchange and update once a step."""


def _together(parts: Any, constants: TrainingConstants) -> Any:
    """Seconds of a step, of the numbers of each of its stages."""
    work = together(map(_of_stage, zip(*parts[_SLOT:-1], strict=True)))
    return of_slots(list(zip(*parts[:_SLOT], strict=True)), parts[-1], work, constants).seconds


def _of_stage(numbers: Iterable[Any]) -> StepWork:
    """What a stage has to do once a step, of its numbers (`copies` of `seconds`)."""
    micro_batches, fill, hidden, states, *sent = numbers
    gradients, gathers, weights, waited = (Sent(*sent[start : start + 3]) for start in range(0, len(sent), 3))
    once = StepWork((), micro_batches, fill, False, 0.0, 0.0, gradients, gathers, states)
    return once._replace(hidden=hidden, weights=weights, waited=waited)


def _with_presence(code: Any, stages: StageRows) -> Any:
    """Numbers of structures, which tell apart too which groups have layers that are computed again: work divides by their number."""
    return numbered([code[stages.rows], *(count > 0 for count in stages.first)])


def _as_cut(columns: Columns) -> Columns:
    """The columns as predictions read them (`tscale.calibration.training_case.as_cut`), and over how many devices experts are cut."""
    expert = np.maximum(columns["expert"] * columns["expert_tensor"] // columns["tensor"], 1)
    return {**columns, "expert": expert, "expert_tensor": columns["tensor"], "experts_cut": columns["expert_tensor"]}


def _run(layouts: Layouts, rows: Any, case: TrainingCase, micro_batches: Any) -> tuple[Parallelism, Case]:
    """The plan of rows of one structure, and what a device runs of them."""
    columns = layouts.columns
    plan = plan_of(columns, rows, order_of(layouts.axes, columns, int(rows[0])))._replace(expert_tensor=None)
    run = micro_batches_of(case, _floats(columns["micro_batch"][rows]), runs(_floats(micro_batches[rows]), plan))
    return plan, run._replace(repeated=_repeated(layouts, rows), expert_tensor=plain(columns["experts_cut"][rows]))


def _shares(model: Model, stages: StageRows, plan: Parallelism, *, some: bool) -> tuple[Ledger, Ledger]:
    """What a device of stages of a kind has, and what of it may be computed again."""
    share = share_of(ledger_of(model, stages), plan)
    return share, share_of(parts_of(model, stages)[0], plan) if some else share


def _floats(column: Any) -> Any:
    """A column as floats, which bytes of all micro-batches do not overflow as whole numbers of 64 bits would."""
    first = plain(column)
    return float(first) if isinstance(first, int) else column.astype(float)


def _repeated(layouts: Layouts, rows: Any) -> Repeated:
    """What the backward pass computes again, of each row."""
    policies = [REPEATED[name] for name in layouts.axes.policies]
    which = layouts.columns["recompute"][rows]
    return Repeated(*(_one(np.array(values)[which]) for values in zip(*policies, strict=True)))


def _one(column: Any) -> Any:
    return float(column[0]) if (column == column[0]).all() else column
