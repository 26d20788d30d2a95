"""What is nearest to fitting, in what order layouts stand and which wait for none, each row looked at by itself."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.planning import search, step
from tscale.planning.layouts import Axes, Layouts
from tscale.planning.search import Found, Run, _nearest, _seconds, _steps_away, front

AXES = Axes((1,), (1,), (1,), (1,), (1,), (1,), (1,), (0,), (0,), (False,), precision=("bf16", "fp8"))
WAYS = (
    ("zero", "shards"), ("tensor", "sequence"), ("pipeline", "interleave", "schedule", "stages"), ("context",), ("expert",),
    ("expert_tensor",), ("micro_batch",), ("recompute", "first"), ("precision",), ("optimizer",), ("loss",), ("offload",),
)  # fmt: skip
COLUMNS = (*(name for way in WAYS for name in way), "data")


def test_each_column_is_of_one_change_and_those_that_go_together_are_of_the_same() -> None:
    """Copies follow from the others."""
    zeros = dict.fromkeys(COLUMNS, 0)
    for one, other in product(COLUMNS, COLUMNS):
        row = {name: np.array([int(name in (one, other))]) for name in COLUMNS}
        ways = {way for way in WAYS if one in way or other in way}
        assert _steps_away(zeros, row).tolist() == [len(ways)], (one, other)


def _layouts(tensor: list[int], micro_batch: list[int]) -> Layouts:
    columns: dict[str, Any] = {name: np.zeros(len(tensor), dtype=np.int64) for name in COLUMNS}
    return Layouts(AXES, 1, {**columns, "tensor": np.array(tensor), "micro_batch": np.array(micro_batch)})


def _found(layouts: Layouts, seconds: list[float]) -> Found:
    nothing = np.zeros(layouts.size)
    return Found(layouts, nothing, nothing, nothing, np.array(seconds), 0, {}, None)


def test_the_nearest_is_least_over_its_room_and_the_fastest_of_one_change_stands_next_to_it() -> None:
    """Over by 30, 9, none (it fits) and 10: the second, of tensor 2 and micro-batch 4; of those that fit the second differs in one."""
    layouts = _layouts([1, 2, 4, 8], [1, 4, 1, 1])
    least, room = np.array([130, 59, 1, 20]), np.array([100, 50, 100, 10])
    out = np.array([True, True, False, True])
    fitting = _layouts([4, 2, 2, 2], [1, 2, 1, 4])
    nearest = _nearest(layouts, least, room, out, _found(fitting, [1.0, 2.0, 3.0, 4.0]))
    assert nearest is not None
    assert (nearest.layout, nearest.least, nearest.room) == (layouts.one(1), 59, 50)
    assert nearest.change == (fitting.one(1), 2.0)
    for others in ([4, 8], [2]):  # two changes away, or none: of a change alone nothing fits
        far = _layouts(others, [1, 1] if len(others) == 2 else [4])
        nearest = _nearest(layouts, least, room, out, _found(far, [1.0] * len(others)))
        assert nearest is not None
        assert nearest.change is None
    none = _nearest(layouts, least, room, out, _found(_layouts([], []), []))
    assert none is not None
    assert none.change is None
    assert _nearest(layouts, least, room, np.zeros(4, dtype=bool), _found(fitting, [1.0] * 4)) is None


def test_a_front_of_nothing_is_empty_and_of_one_is_that() -> None:
    assert front(np.array([]), np.array([])).tolist() == []
    assert front(np.array([2.0]), np.array([5])).tolist() == [0]
    assert front(np.array([1.0, 2.0, 3.0]), np.array([5, 5, 4])).tolist() == [0, 2]


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_layouts_are_timed_by_their_precision_and_a_few_at_a_time(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds are ten times the number of micro-batches and one for each device, a hundred more for the second precision."""
    sizes: list[int] = []

    def seconds(_: Any, layouts: Layouts, orders: Any, case: Any, micro_batches: Any) -> Any:
        assert orders == "orders"
        sizes.append(layouts.size)
        return case + layouts.columns["tensor"] + 10 * micro_batches

    monkeypatch.setattr(step, "seconds", seconds)
    monkeypatch.setattr(search, "_AT_ONCE", at_once)
    layouts = _layouts([1, 2, 3, 4, 5], [1] * 5)
    layouts = layouts._replace(columns={**layouts.columns, "precision": np.array([0, 1, 2, 0, 2])})
    nobody: Any = SimpleNamespace()
    run: Any = Run(nobody, nobody, (0, None, 100), nobody)  # type: ignore[arg-type]
    found = _seconds(run, layouts, "orders", np.array([1, 2, 3, 4, 5]))
    assert found.tolist() == [11, 0, 133, 44, 155]
    assert max(sizes) == min(at_once, 2)
    assert sum(sizes) == 4
