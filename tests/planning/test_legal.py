"""Why a layout cannot be: each rule worked out anew, row by row, in plain arithmetic."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.core.loss_kernels import default_kernel
from tscale.core.parallelism import Parallelism
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.models.stages import even_rounds
from tscale.planning.layouts import Axes, Layout, Layouts, grid
from tscale.planning.legal import Legal, _orders, legal
from tscale.planning.memory import _KERNELS, _kernels
from tscale.planning.stage_kinds import Model, model_of
from tscale.planning.structure import split

GPUS, BATCH, LAYERS, KV_HEADS = 16, 24, 16, 8
"""Of Llama 3.2 1B: 16 layers, 32 heads, 8 of keys and values; widths of 2048, 8192 and 128,256."""


def _axes(**changes: Any) -> Axes:
    plain: dict[str, Any] = {
        "tensor": (1, 2, 3, 8), "pipeline": (1, 2, 4, 8), "context": (1, 2), "interleave": (1, 2, 3, 4), "expert": (1,),
        "expert_tensor": (1,), "micro_batch": (1, 2, 3), "zero": (0, 1, 3), "shards": (0, 1, 2, 3, 4, 8),
        "sequence": (False, True), "recompute": ("none",),
    }  # fmt: skip
    return Axes(**{**plain, **changes})


@cache
def _model() -> Model:
    spec = resolve("llama-3.2-1b")
    return model_of(spec, lower(spec))


def _why(at: dict[str, int], axes: Axes) -> str:
    """The first reason why a layout cannot be; nothing where it can."""
    t, p, c, v, d = (at[name] for name in ("tensor", "pipeline", "context", "interleave", "data"))
    schedule, ranks = axes.schedule[at["schedule"]], d * c
    if t * p * c * d != GPUS or (axes.data is not None and d not in axes.data):
        return "devices"
    if (at["sequence"] and t == 1) or (v > 1 and p == 1) or not _is_order(p, v, schedule):
        return "schedule"
    if KV_HEADS % t:
        return "divisibility"
    if p * v > LAYERS or not (axes.uneven or _has_even_rounds(p, v)):
        return "layers"
    sharing = at["shards"]
    if (at["zero"] and ranks == 1) or (sharing and (ranks % sharing or sharing >= ranks)):
        return "sharding"
    each = d * at["micro_batch"]
    if BATCH % each or (schedule == "dualpipe" and (BATCH // each) % 2):
        return "batch"
    return ""


def _is_order(p: int, v: int, schedule: Any) -> bool:
    """A named order is of stages, of several pieces each or of one, and dualpipe's of an even number of them."""
    if schedule is None:
        return True
    return p > 1 and (schedule == "interleaved") == (v > 1) and not (schedule == "dualpipe" and p % 2)


@pytest.mark.parametrize(
    "sizes, even",
    [
        ((4, 4, 4, 4), True),
        ((5, 3, 3, 5), True),
        ((5, 3, 4, 4), False),
        ((5, 5, 4, 2), False),
        ((3, 3, 3, 3, 2, 2), False),
    ],
)
def test_rounds_are_even_whose_deepest_pieces_are_as_deep(sizes: tuple[int, ...], even: bool) -> None:
    """Of two stages: the first and the second piece of a round follow one another in the stack."""
    plan = Parallelism(pipeline=2, interleave=len(sizes) // 2, schedule="interleaved", stages=sizes)
    assert even_rounds(_model().spec, plan) == even


def _has_even_rounds(p: int, v: int) -> bool:
    """Whether v rounds of p pieces are equally deep: 16 layers dealt out evenly, or 18 with the table and the head for one each.

    6 pieces are of 2, 3, 3, 3, 3 and 2 layers, and the deepest of each round of two has 3; of 12 some have 2 and the rest 1.
    """
    return p == 1 or v == 1 or LAYERS % (p * v) == 0 or (LAYERS + 2) % (p * v) == 0


@cache
def _tried(axes: Axes) -> tuple[Layouts, Legal]:
    every = grid(axes, GPUS)
    return every, legal(_model(), every, BATCH)


@pytest.mark.parametrize(
    "axes",
    [
        _axes(),
        _axes(data=(2, 4), zero=(1,), shards=(0,)),
        _axes(uneven=False, zero=(0,), shards=(0,)),
        _axes(
            schedule=(None, "1f1b", "interleaved", "dualpipe"),
            pipeline=(1, 2, 4),
            interleave=(1, 2),
            zero=(0,),
            shards=(0,),
        ),
        _axes(tensor=(1, 2), sequence=(True,), zero=(0,), shards=(0,)),
        _axes(interleave=(2, 4), zero=(0,), shards=(0,)),
    ],
    ids=["degrees", "copies", "even pieces", "orders", "sequence", "pieces alone"],
)
def test_each_layout_is_rejected_for_the_first_reason_that_applies(axes: Axes) -> None:
    every, can = _tried(axes)
    rows = [{name: int(column[row]) for name, column in every.columns.items()} for row in range(every.size)]
    why = [_why(row, axes) for row in rows]
    assert Counter(can.rejected) == Counter({reason: count for reason, count in Counter(why).items() if reason})
    taken = [row for row, reason in zip(rows, why, strict=True) if not reason]
    assert can.layouts.size == len(taken) > 0
    for row, own in enumerate(taken):
        assert all(int(can.layouts.columns[name][row]) == value for name, value in own.items())
        assert int(can.micro_batches[row]) == BATCH // (own["data"] * own["micro_batch"])
        ranks = own["data"] * own["context"]
        assert int(can.layouts.columns["sharing"][row]) == (own["shards"] or ranks)
        assert int(can.layouts.columns["ranks"][row]) == ranks


def test_zero_on_one_copy_alone_may_be_where_nothing_else_was_asked_for() -> None:
    axes = _axes(tensor=(8,), pipeline=(2,), context=(1,), interleave=(1,), zero=(3,), shards=(0,))
    assert _tried(axes)[1].rejected["sharding"] == 0
    assert _tried(axes._replace(zero=(0, 3)))[1].rejected["sharding"] > 0


def test_a_model_that_has_no_stages_is_trained_on_one() -> None:
    """Gemma 3n: its layers look up an input of their own in one table, which no stage has alone."""
    spec = resolve("gemma-3n-e2b")
    axes = _axes(
        tensor=(1, 2), sequence=(False,), interleave=(1,), context=(1,), zero=(0,), shards=(0,), micro_batch=(1,)
    )
    found = legal(model_of(spec, lower(spec)), grid(axes, 2), BATCH).layouts.columns
    assert set(zip(found["tensor"].tolist(), found["pipeline"].tolist(), strict=True)) == {(1, 1), (2, 1)}


@pytest.mark.parametrize("name", ["mixtral-8x7b", "jetmoe-8b"])
def test_experts_are_spread_over_devices_that_they_divide(name: str) -> None:
    """8 experts a layer, cut or not, over the devices of a stage; JetMoE's experts of attention over the copies of a sequence alone.

    A prediction reads them as spread over those that tensor parallelism leaves: there too they divide.
    """
    spec = resolve(name)
    axes = _axes(
        tensor=(1, 2, 4), pipeline=(1,), context=(1, 2), interleave=(1,), zero=(0,), shards=(0,), micro_batch=(1,),
        sequence=(False,), expert=(1, 2, 3, 4, 8, 16), expert_tensor=(1, 2, 4),
    )  # fmt: skip
    every = grid(axes, 16)
    found = legal(model_of(spec, lower(spec)), every, 16)
    names = ("tensor", "context", "data", "expert", "expert_tensor")
    rows = [tuple(map(int, row)) for row in zip(*(every.columns[one] for one in names), strict=True)]
    whole = [row for row in rows if row[0] * row[1] * row[2] == 16]

    def divides(t: int, c: int, d: int, e: int, cut: int) -> bool:
        spread = (t * c * d) % (e * cut) == 0 and (name != "jetmoe-8b" or (c * d) % e == 0)
        return spread and 8 % e == 0 and 8 % max(e * cut // t, 1) == 0

    taken = set(zip(*(found.layouts.columns[one].tolist() for one in names), strict=True))
    assert taken == {row for row in whole if divides(*row)}
    assert found.rejected["divisibility"] == sum(not divides(*row) for row in whole)


def test_three_copies_may_each_shard_alone_or_all_together() -> None:
    """Shards of one device are copies that keep a whole one each; 2 do not divide 3, and 3 are all of them."""
    axes = _axes(
        tensor=(8,), pipeline=(1,), context=(1,), interleave=(1,), micro_batch=(1,), sequence=(True,), zero=(1,)
    )
    found = legal(_model(), grid(axes, 24), BATCH).layouts.columns
    assert sorted(found["shards"].tolist()) == [0, 1]


def test_a_grid_has_each_combination_that_means_something_once() -> None:
    """Sequence parallelism of several devices, ZeRO before shards, pieces and orders of several stages."""
    axes = _axes(tensor=(1, 2), interleave=(1, 2), schedule=(None, "1f1b"), zero=(0, 1), shards=(0, 4))
    cuts = [(1, 0), (2, 0), (2, 1)]
    shards = [(0, 0), (1, 0), (1, 4)]
    stages = [(1, 1, 0), *product((2, 4, 8), (1, 2), (0, 1))]
    expected = {
        (*cut, *zero, *stage, c, m) for cut, zero, stage, c, m in product(cuts, shards, stages, (1, 2), (1, 2, 3))
    }
    columns = grid(axes, GPUS).columns
    names = ("tensor", "sequence", "zero", "shards", "pipeline", "interleave", "schedule", "context", "micro_batch")
    found = list(zip(*(columns[name].tolist() for name in names), strict=True))
    assert len(found) == len(expected)
    assert set(found) == expected
    copies = columns["tensor"] * columns["pipeline"] * columns["context"]
    assert (columns["data"] == np.maximum(16 // copies, 1)).all()


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"interleave": (2,)}, [(1, 2), (2, 2)]),  # asked for alone: of a single stage too, to be refused there
        ({"interleave": (1, 2)}, [(1, 1), (2, 1), (2, 2)]),
        ({"interleave": (1,), "schedule": ("1f1b",)}, [(1, 1), (2, 1)]),
    ],
)
def test_what_was_asked_for_alone_is_tried_of_a_single_stage_too(
    changes: dict[str, Any], stages: list[tuple[int, int]]
) -> None:
    columns = grid(_axes(pipeline=(1, 2), **changes), GPUS).columns
    assert set(zip(columns["pipeline"].tolist(), columns["interleave"].tolist(), strict=True)) == set(stages)


def test_as_many_layouts_as_are_tried_are_tried() -> None:
    """2 ways of tensor parallelism by 3 micro-batches are 6."""
    axes = _axes(tensor=(1, 2), sequence=(False,), pipeline=(1,), context=(1,), interleave=(1,), zero=(0,), shards=(0,))
    assert grid(axes, GPUS, most=6).size == 6
    with pytest.raises(Exception, match="6 layouts of 16 devices: at most 5 here"):
        grid(axes, GPUS, most=5)


def test_a_row_is_the_layout_that_its_numbers_and_names_say() -> None:
    """All shards are none in particular; policies are places in their lists."""
    states: frozenset[Any] = frozenset({"states"})
    axes = _axes(
        schedule=(None, "1f1b"), recompute=("none", "full"), precision=("bf16", "fp8"), optimizer=("adamw", "muon"),
        loss=(None, "plain"), offload=(frozenset(), states), stages=(None, (5, 4, 4, 3)),
    )  # fmt: skip
    at = {
        "tensor": 2, "sequence": 1, "pipeline": 4, "interleave": 3, "data": 5, "zero": 1, "shards": 10, "context": 2,
        "expert": 7, "expert_tensor": 6, "micro_batch": 9, "schedule": 1, "recompute": 1, "precision": 1,
        "optimizer": 1, "loss": 1, "offload": 1, "stages": 1, "first": 3,
    }  # fmt: skip
    plan = Parallelism(
        tensor=2, sequence=True, pipeline=4, interleave=3, data=5, zero=1, context=2, expert=7, expert_tensor=6,
        schedule="1f1b", stages=(5, 4, 4, 3),
    )  # fmt: skip
    rows = Layouts(axes, 80, {name: np.array([value]) for name, value in at.items()})
    assert rows.one(0) == Layout(plan, 9, "full", "fp8", "muon", "plain", states, 3)
    fewer = Layouts(axes, 80, {**rows.columns, "shards": np.array([5])})
    assert fewer.one(0).plan.shards == 5


def test_the_loss_of_a_layout_is_that_of_its_plans_common_trainer() -> None:
    """Whatever ZeRO, copies, tensor parallelism, stages and experts are together; one that is named is itself."""
    axes = _axes(loss=(None, "chunked"))
    cases = list(product((0, 1, 3), (1, 2), (1, 4), (1, 2), (1, 2), (0, 1)))
    names = ("zero", "sharing", "tensor", "pipeline", "expert", "loss")
    columns = {name: np.array(values) for name, values in zip(names, zip(*cases, strict=True), strict=True)}
    base: Any = SimpleNamespace(loss=None, rank=None)
    found = [_KERNELS[place] for place in _kernels(Layouts(axes, 1, columns), base)]
    for (zero, data, tensor, pipeline, expert, named), kernel in zip(cases, found, strict=True):
        plan = Parallelism(tensor, pipeline=pipeline, data=data, zero=zero, expert=expert)
        assert kernel == ("chunked" if named else default_kernel(plan, adapters=False).name), plan
    same: Any = SimpleNamespace(loss="plain", rank=None)
    assert {_KERNELS[place] for place in _kernels(Layouts(axes, 1, columns), same)} == {"plain", "chunked"}


def test_places_are_split_by_their_numbers() -> None:
    for code in ([3], [3, 4], [4, 3, 3, 5, 3], [7, 7]):
        found = {int(number): places.tolist() for number, places in split(np.array(code))}
        assert found == {number: [place for place, own in enumerate(code) if own == number] for number in code}
    assert not list(split(np.array([], dtype=np.int64)))


@pytest.mark.parametrize(
    ("changes", "ordered"),
    [({}, False), ({"partial": True}, True), ({"again": (("full", 2),)}, True)],
    ids=["all layers", "as few as fit", "the first two"],
)
def test_stages_of_a_pipeline_are_made_once_with_their_layers_in_order_where_some_are_recomputed(
    changes: dict[str, Any], ordered: bool
) -> None:
    """Of 16 layers: on four stages 4 each or as given if that is 16 in all; one device has no stages to be checked."""
    axes = _axes(stages=(None, (5, 4, 4, 3), (5, 4, 4, 4)), **changes)
    made: list[Any] = []
    model: Any = SimpleNamespace(
        spec=_model().spec, stages=lambda plan, *, ordered: made.append((plan.stages, ordered))
    )
    rows = [(1, 1, 0), (4, 1, 0), (4, 1, 1), (4, 1, 2), (2, 1, 1), (32, 1, 0), (4, 1, 0)]
    columns = dict(zip(("pipeline", "interleave", "stages"), np.array(rows).T, strict=True))
    columns |= {"schedule": np.zeros(7, dtype=int), "tensor": np.ones(7, dtype=int)}
    orders, has_stages = _orders(model, Layouts(axes, 16, columns))
    assert has_stages(Layouts(axes, 16, columns)).tolist() == [True, True, True, False, False, False, True]
    assert set(orders) == {(1, 1, 0, 0), (4, 1, 0, 0), (4, 1, 0, 1)}
    assert sorted(made, key=str) == sorted([(None, ordered), (None, ordered), ((5, 4, 4, 3), ordered)], key=str)
