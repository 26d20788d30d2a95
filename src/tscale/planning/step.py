"""How long a step of each layout is predicted to take: the answer of `train`, by its own formulas, of a structure's layouts at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tscale.calibration.training_case import TrainingCase, chosen, constants_for, micro_batches_of
from tscale.core.costs.schedules import runs
from tscale.core.costs.step_prediction import predict
from tscale.core.costs.step_products import REPEATED, Repeated
from tscale.core.costs.step_work import work_of_kinds
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import share_of
from tscale.planning.layouts import Columns, Layouts
from tscale.planning.memory import order_of
from tscale.planning.stage_kinds import Model, Stages
from tscale.planning.structure import (
    Orders,
    StageRows,
    ledger_of,
    parts_of,
    pipelines,
    plain,
    plan_of,
    rows_of,
    split,
    structures,
)


def seconds(model: Model, layouts: Layouts, orders: Orders, case: TrainingCase, micro_batches: Any) -> Any:
    """Predicted seconds of a step of each layout, bounds apart; `case`: what is the same in all of them.

    Raises `RequestError` where a link that some layout needs is not known.
    """
    columns, model = _as_cut(layouts.columns), model._replace(whole=model.of_a_step)
    found = np.zeros(layouts.size)
    code = structures(columns, (columns["first"] > 0,), ("schedule",))
    by_kinds: dict[object, list[tuple[Any, tuple[Stages, ...]]]] = {}
    for rows, stages in pipelines(columns, orders):
        by_kinds.setdefault(tuple(one.kind for one in stages), []).append((rows, stages))
    for parts in by_kinds.values():
        rows = np.concatenate([rows for rows, _ in parts])
        each = _each_stage(model, parts, columns)
        for _, places in split(_with_presence(code[rows], each)):
            own, of_stages = rows[places], [stage.only(places) for stage in each]
            found[own] = _of_structure(
                model, layouts._replace(columns=columns), own, of_stages, case, micro_batches[own]
            )
    return found


def _each_stage(model: Model, parts: Sequence[tuple[Any, tuple[Stages, ...]]], columns: Columns) -> list[StageRows]:
    """Of pipelines of the same kinds of stage, the stages one after the other, in arrays over all of their rows."""
    return [
        rows_of(model, first.kind, [(rows, stages[number]) for rows, stages in parts], columns)
        for number, first in enumerate(parts[0][1])
    ]


def _with_presence(code: Any, each: Sequence[StageRows]) -> Any:
    """Numbers of structures, which tell apart too which groups have layers that are computed again: work divides by their number."""
    for stage in each:
        for count in stage.first:
            code = 2 * code + (count > 0)
        if stage.first:
            code = np.unique(code, return_inverse=True)[1]
    return code


def _as_cut(columns: Columns) -> Columns:
    """The columns as predictions read them (`tscale.calibration.training_case.as_cut`)."""
    expert = np.maximum(columns["expert"] * columns["expert_tensor"] // columns["tensor"], 1)
    return {**columns, "expert": expert, "expert_tensor": columns["tensor"]}


def _of_structure(
    model: Model, layouts: Layouts, rows: Any, stages: Sequence[StageRows], case: TrainingCase, micro_batches: Any
) -> Any:
    columns = layouts.columns
    plan = plan_of(columns, rows, order_of(layouts.axes, columns, int(rows[0])))._replace(expert_tensor=None)
    run = micro_batches_of(case, _floats(columns["micro_batch"][rows]), runs(_floats(micro_batches), plan))
    run = run._replace(repeated=_repeated(layouts, rows))
    some = bool(columns["first"][rows[0]])
    kinds = (_shares(model, stage, plan, some=some) for stage in stages)
    work = work_of_kinds(kinds, plan, run, case.cluster)
    return predict(work, constants_for(case, chosen(case))).seconds


def _shares(model: Model, stage: StageRows, plan: Parallelism, *, some: bool) -> tuple[Ledger, Ledger, Any]:
    """What a device of stages of a kind has, what of it may be computed again, and how many stages are alike."""
    share = share_of(ledger_of(model, stage), plan)
    again = share_of(parts_of(model, stage)[0], plan) if some else share
    return share, again, _floats(stage.many)


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
