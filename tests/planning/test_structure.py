"""Numbers that tell rows apart: which rows are alike is asked of tuples, one by one."""

from __future__ import annotations

from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.core.parallelism import Parallelism
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.planning.stage_kinds import Model, model_of
from tscale.planning.structure import (
    StageRows,
    _first,
    evaluated,
    numbered,
    parts_of,
    pipelines,
    plain,
    plan_of,
    stage_rows,
    structures,
)


def _parts(numbers: Any) -> set[tuple[int, ...]]:
    """The places that have each number."""
    found: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        found.setdefault(int(number), []).append(place)
    return set(map(tuple, found.values()))


LARGE = 2**32 - 1
"""Three columns of up to so many have more combinations than a number of 64 bits, and two have as many."""


@pytest.mark.parametrize("values", [(0,), (0, 1), (0, 3, 5), (0, 1, LARGE), (2**20 - 1, 2**20, 0)])
@pytest.mark.parametrize("many", [1, 2, 3, 4])
def test_rows_have_one_number_where_all_their_columns_agree(values: tuple[int, ...], many: int) -> None:
    rows = [*product(values, repeat=many)] * 2
    numbers = numbered([np.array(column) for column in zip(*rows, strict=True)])
    assert _parts(numbers) == _parts([rows.index(row) for row in rows])
    assert sorted(set(numbers.tolist())) == list(range(len(values) ** many))


def test_structures_agree_in_conditions_and_in_columns() -> None:
    rows = [*product((0, 1), (0, 1), (0, 2), (0, 1, 2), (5, 6))] * 2
    first, second, one, two, other = (np.array(column) for column in zip(*rows, strict=True))
    code = structures({"tensor": other, "one": one, "two": two}, [first == 1, second == 1], ("one", "two"))
    assert _parts(code) == _parts([rows.index((*row[:4], 5)) for row in rows])


def test_a_column_of_one_value_is_a_number() -> None:
    assert plain(np.array([4, 4])) == 4
    assert isinstance(plain(np.array([4, 4])), int)
    assert plain(np.array([4, 5])).tolist() == [4, 5]


def test_a_plan_has_numbers_where_rows_agree_and_names_shards_where_some_are_named() -> None:
    """Of two rows each: what they share, what they do not, and what is no degree of a plan."""
    columns = {name: np.array([2, 2]) for name in ("tensor", "pipeline", "interleave", "data", "zero", "expert")}
    columns |= {"context": np.array([1, 4]), "expert_tensor": np.array([1, 1]), "micro_batch": np.array([3, 3])}
    columns |= {"sharing": np.array([8, 4]), "sequence": np.array([1, 1]), "shards": np.array([0, 4])}
    rows = np.array([0, 1])
    plan = plan_of(columns, rows, "1f1b")
    assert (plan.tensor, plan.context.tolist(), plan.schedule, plan.sequence) == (2, [1, 4], "1f1b", True)  # type: ignore[attr-defined]
    assert plan.shards.tolist() == [8, 4]  # type: ignore[union-attr]
    assert plan_of({**columns, "shards": np.array([0, 0])}, rows, "1f1b").shards is None
    assert plan_of({**columns, "shards": np.array([4, 4])}, rows[:1], "1f1b").shards == 8
    assert plan_of({**columns, "sequence": np.array([0, 0])}, rows, "1f1b").sequence is False
    mixed: Any = plan_of({**columns, "sequence": np.array([0, 1])}, rows, "1f1b").sequence
    assert mixed.tolist() == [False, True]


def test_rows_are_those_of_their_pipeline() -> None:
    """Whatever the sizes: up to 16,383 pieces, 7 orders and 65,535 lists of layers are told apart."""
    keys = [*product((1, 4096), (1, 2**14 - 1), (0, 7), (0, 2**16 - 1))]
    rows = [*keys, *reversed(keys)]
    names = ("pipeline", "interleave", "schedule", "stages")
    columns = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    orders: Any = {key: ("stages of", key) for key in keys}
    found: dict[Any, Any] = {stages[1]: places.tolist() for places, stages in pipelines(columns, orders)}
    assert found == {key: [place for place, own in enumerate(rows) if own == key] for key in keys}


def test_what_is_alike_is_asked_once_and_what_is_of_one_structure_together() -> None:
    """Of two stages of each of six rows: a number that follows from the row's own and the stage's, asked of as few as differ in it."""
    rows, number = np.tile(np.arange(6), 2), np.repeat([0, 1], 6)
    alike, code = np.array([0, 1, 0, 2, 1, 0]), np.array([7, 8, 7, 7, 8, 7])
    asked: list[list[tuple[int, int]]] = []

    def evaluate(own: StageRows) -> tuple[Any, Any]:
        asked.append(list(zip(alike[own.rows].tolist(), own.number.tolist(), strict=True)))
        return own.number * 10 + alike[own.rows], own.many

    kind: Any = SimpleNamespace()
    stages = StageRows(kind, rows, (), number, np.zeros(12, dtype=int), number + 5)
    found = evaluated(stages, alike, np.tile(code, 2), evaluate, 2)
    assert found[0].tolist() == [10 * turn + alike[row] for turn in (0, 1) for row in range(6)]
    assert found[1].tolist() == [5] * 6 + [6] * 6
    assert sorted(map(sorted, asked)) == [[(0, 0), (0, 1), (2, 0), (2, 1)], [(1, 0), (1, 1)]]


@cache
def _jamba() -> Model:
    spec = resolve("jamba")
    return model_of(spec, lower(spec))


def test_rows_of_stages_have_the_numbers_of_their_pipelines() -> None:
    """Jamba on one device and on four, in two rows each, whose first 3 and 40 layers are computed again: of 8 all 8."""
    model = _jamba()
    columns = {name: np.zeros(4, dtype=np.int64) for name in ("schedule", "stages")}
    columns |= {"pipeline": np.array([4, 1, 4, 1]), "interleave": np.ones(4, dtype=np.int64)}
    columns |= {"first": np.array([3, 3, 40, 0]), "tensor": np.ones(4, dtype=np.int64)}
    orders = {(p, 1, 0, 0): model.stages(Parallelism(pipeline=p), ordered=True) for p in (1, 4)}
    assert [len(stages) for stages in orders.values()] == [1, 3]
    rows = list(stage_rows(model, columns, orders))
    attention = next(g for g, group in enumerate(model.whole.groups) if group.entries[0].name == "attention.q")
    found = set()
    for stages in rows:
        at = stages.kind.groups.index(attention)
        for place in range(len(stages.rows)):
            numbers = (stages.rows, stages.number, stages.place, stages.many, stages.counts[at], stages.first[at])
            found.add((stages.kind.first, stages.kind.last, *(int(one[place]) for one in numbers)))
    ends = [(True, False, 0, 0, 1), (False, False, 1, 1, 2), (False, True, 2, 3, 1)]  # the fifth layer of each attends
    assert found == {
        *((*end, row, *place, 1, int(row == 2)) for *end, number, where, many in ends for row, place in ((0, (number, where, many)), (2, (number, where, many)))),
        (True, True, 1, 0, 0, 1, 4, 0), (True, True, 3, 0, 0, 1, 4, 0),
    }  # fmt: skip


def test_layers_that_are_computed_again_and_the_rest_are_all_of_a_stage() -> None:
    """Of Jamba's first stage of four with 5 layers computed again: one attends and two have experts; the table is with the rest."""
    model = _jamba()
    (stage, *_) = model.stages(Parallelism(pipeline=4), ordered=True)
    first = _first(model, [np.array([0])], [stage], np.array([5]))
    rows = StageRows(stage.kind, np.array([0]), tuple(map(np.array, zip(stage.counts, strict=True))), *(np.zeros(1),) * 3, first)  # fmt: skip
    again, rest = parts_of(model, rows)
    layers = [{group.entries[0].name: group.layers for group in part.groups} for part in (again, rest)]
    assert [of.get("attention.q") for of in layers] == [1, None]
    assert [of["experts.router"] for of in layers] == [2, 2]
    assert [of["mamba.in"] for of in layers] == [4, 3]
    assert ["embedding.tokens" in of for of in layers] == [False, True]
    assert not any("head" in of for of in layers)
