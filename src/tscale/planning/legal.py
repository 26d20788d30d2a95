"""Which layouts can be: each that cannot has one reason, the first that applies.

A layout is legal where `train` and `memory --train` take it: their own checks are asked, once for each combination of the degrees that
they look at, so that nothing here knows a rule of its own but what divides what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import check_tensor, fits, is_expert, is_routed
from tscale.errors import RequestError
from tscale.models.spec import ModelSpec
from tscale.models.stages import check_sizes, check_stages, even_rounds
from tscale.planning.layouts import Columns, Layouts
from tscale.planning.stage_kinds import Model
from tscale.planning.structure import PIPELINES, Orders, structures


class Legal(NamedTuple):
    """The layouts that can be, the pipelines that they have, and how many cannot for which reason."""

    layouts: Layouts
    orders: Orders
    micro_batches: Any
    rejected: dict[str, int]


def legal(model: Model, layouts: Layouts, batch: int) -> Legal:
    """The layouts that a model can be trained in, a step of so many sequences."""
    columns = {**layouts.columns}
    columns["ranks"] = columns["data"] * columns["context"]
    columns["sharing"] = np.where(columns["shards"] > 0, columns["shards"], columns["ranks"])
    layouts = layouts._replace(columns=columns)
    rejected: dict[str, int] = {}
    orders, has_stages = _orders(model, layouts)
    tests: tuple[tuple[str, Callable[[Layouts], Any]], ...] = (
        ("devices", _makes_up_devices),
        ("schedule", _agrees),
        ("divisibility", lambda of: _divides(model.whole, of)),
        ("layers", has_stages),
        ("sharding", _has_copies),
        ("batch", lambda of: _batches(of, batch)[0]),
    )
    for reason, test in tests:
        can = test(layouts)
        rejected[reason] = int((~can).sum())
        layouts = layouts if can.all() else layouts.only(can)
    return Legal(layouts, orders, _batches(layouts, batch)[1], rejected)


def _makes_up_devices(layouts: Layouts) -> Any:
    c, copies = layouts.columns, layouts.axes.data
    can = c["tensor"] * c["pipeline"] * c["context"] * c["data"] == layouts.gpus
    return can if copies is None else can & np.isin(c["data"], copies)


def _agrees(layouts: Layouts) -> Any:
    """Whether degrees and orders do not contradict one another, as `Parallelism.check` has it without a model."""
    c = layouts.columns
    can = (c["sequence"] == 0) | (c["tensor"] > 1)
    can &= (c["interleave"] == 1) | (c["pipeline"] > 1)
    named = ("pipeline", "interleave", "schedule")
    return can & _of_each(c, named, lambda p, v, place: _is_order(p, v, layouts.axes.schedule[place]))


def _is_order(pipeline: int, interleave: int, schedule: Any) -> bool:
    return _passes(lambda: Parallelism(pipeline=pipeline, interleave=interleave, schedule=schedule).check())


def _divides(whole: Ledger, layouts: Layouts) -> Any:
    """Whether devices can share the layers, as a trainer spreads them and as a prediction reads that."""
    c = layouts.columns
    ranks = c["ranks"]
    can = (ranks * c["tensor"]) % (c["expert"] * c["expert_tensor"]) == 0
    if any(is_expert(entry) and not is_routed(entry) for entry in whole.entries):
        can &= ranks % c["expert"] == 0
    return can & _of_each(c, ("tensor", "expert", "expert_tensor"), lambda *degrees: _shares(whole, *degrees))


def _shares(whole: Ledger, tensor: int, expert: int, expert_tensor: int) -> bool:
    """Whether some degrees divide a model, with as many copies of it as its experts ask for."""
    plan = Parallelism(tensor, data=expert * expert_tensor, expert=expert, expert_tensor=expert_tensor)
    together = max(expert * expert_tensor // tensor, 1)
    as_cut = plan._replace(expert=together, data=together, expert_tensor=None)
    return _passes(lambda: check_tensor(whole, plan)) and fits(whole, plan) and fits(whole, as_cut)


def _orders(model: Model, layouts: Layouts) -> tuple[Orders, Callable[[Layouts], Any]]:
    """The stages of each pipeline that there can be, and the test whether a layout's is one of them."""
    axes, orders = layouts.axes, Orders()
    ordered = axes.partial or bool(axes.again)

    def has_stages(pipeline: int, interleave: int, place: int, number: int) -> bool:
        sizes = axes.stages[number]
        plan = Parallelism(pipeline=pipeline, interleave=interleave, schedule=axes.schedule[place], stages=sizes)
        if sizes is not None and not _passes(lambda: check_given(model.spec, plan)):
            return False
        if pipeline > 1 and not _passes(lambda: check_stages(model.spec, plan)):
            return False
        if not (axes.uneven or even_rounds(model.spec, plan)):
            return False
        orders[pipeline, interleave, place, number] = model.stages(plan, ordered=ordered)
        return True

    return orders, lambda of: _of_each(of.columns, PIPELINES, has_stages)


def check_given(spec: ModelSpec, plan: Parallelism) -> None:
    """Raises `RequestError` for numbers of layers that a pipeline cannot have, or that are not those of the model."""
    plan.check()
    check_sizes(spec, plan)


def _has_copies(layouts: Layouts) -> Any:
    c = layouts.columns
    can = (c["zero"] == 0) | (c["ranks"] > 1)
    if 0 not in layouts.axes.zero:
        can |= True
    hybrid = c["shards"] > 0
    return can & (~hybrid | ((c["ranks"] % np.maximum(c["shards"], 1) == 0) & (c["shards"] < c["ranks"])))


def _batches(layouts: Layouts, batch: int) -> tuple[Any, Any]:
    """Whether a batch is micro-batches for every copy, and how many for each."""
    c = layouts.columns
    each = c["data"] * c["micro_batch"]
    many = batch // each
    can = batch % each == 0
    halves = [place for place, name in enumerate(layouts.axes.schedule) if name == "dualpipe"]
    return can & ((many % 2 == 0) | ~np.isin(c["schedule"], halves)), many


def _of_each(columns: Columns, names: tuple[str, ...], test: Callable[..., bool]) -> Any:
    """What a test says of each combination of some columns, asked once for each that there is."""
    code = structures(columns, (), names)
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    answers = [test(*(int(columns[name][row]) for name in names)) for row in first]
    return np.array(answers, dtype=bool)[inverse]


def _passes(check: Callable[[], object]) -> bool:
    try:
        check()
    except RequestError:
        return False
    return True
