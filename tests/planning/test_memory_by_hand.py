"""Which layouts keep and need the same, told by tuples; their orders, their kernels and their trainers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.core.costs.training_setup import Training
from tscale.core.loss_kernels import KERNELS
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import Again
from tscale.planning.layouts import Axes, Layouts
from tscale.planning.memory import (
    _alike_in_passes,
    _alike_in_states,
    _flagged,
    _prepares,
    _with_kernels,
    order_of,
    training_of,
)

HOST: Any = (frozenset(), frozenset({"states"}), frozenset({"weights", "states"}))
GATHERED = next(name for name, one in PRECISIONS.items() if one.gathered)
AXES = Axes(
    (1,), (1,), (1,), (1,), (1,), (1,), (1,), (0,), (0,), (False,), precision=("bf16", GATHERED), offload=HOST,
    recompute=("none", "full"), optimizer=("adamw", "sgd"), schedule=(None, "1f1b", "dualpipe"), loss=(None, "plain"),
)  # fmt: skip


def _columns(rows: Sequence[tuple[int, ...]], names: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


def _are_alike(numbers: Any, keys: list[Any]) -> bool:
    """Whether rows have one number where they have one key."""
    return len(set(zip(numbers.tolist(), keys, strict=True))) == len(set(keys)) == len(set(numbers.tolist()))


def test_a_pass_asks_for_copies_of_weights_where_some_are_gathered_or_come_from_the_host() -> None:
    """From ZeRO's second stage on, of several stages from the third, unless the format gathers before; and where the optimizer steps in it."""
    names = ("zero", "shards", "sharing", "expert", "pipeline", "precision", "offload", "tensor", "pass")
    rows = list(product((0, 1, 2, 3), (0, 2), (2, 4), (1, 2), (1, 2), (0, 1), (0, 1, 2), (1,), (0, 1)))
    columns = _columns(rows, names)
    of_pass = columns.pop("pass")
    keys = []
    for zero, shards, sharing, expert, pipeline, precision, offload, _, own in rows:
        first = 3 if pipeline > 1 and not precision else 2
        copies = (zero, shards, sharing) if zero >= first or offload == 2 else None
        keys.append((copies, expert, pipeline, precision, offload, own))
    assert _are_alike(_alike_in_passes(Layouts(AXES, 1, columns), of_pass, Training()), keys)
    in_backward = [
        ((zero, shards, sharing), *key[1:]) for (zero, shards, sharing, *_), key in zip(rows, keys, strict=True)
    ]
    assert _are_alike(
        _alike_in_passes(Layouts(AXES, 1, columns), of_pass, Training(optimizer_in_backward=True)), in_backward
    )


def test_what_is_kept_of_parameters_does_not_ask_how_a_pass_is_run() -> None:
    """But for the micro-batches of stages of several pieces."""
    names = ("interleave", "micro_batch", "sequence", "recompute", "first", "loss", "kernel", "data", "states")
    rows = list(product((1, 2, 3), (1, 2), (0, 1), (0, 1), (0, 2), (0, 1), (0, 1), (1, 2), (0, 1)))
    columns = _columns(rows, names)
    of_states = columns.pop("states")
    keys = [(v, data, own, micro if v > 1 else 0) for v, micro, *_, data, own in rows]
    assert _are_alike(_alike_in_states(columns, of_states), keys)


@pytest.mark.parametrize("number", range(16))
def test_a_number_says_what_a_plan_has(number: int) -> None:
    plan = _flagged(number)
    assert (plan.zero == 3, plan.data > 1, plan.tensor > 1, plan.pipeline > 1) == tuple(
        str(number >> place)[-1] in "13579" for place in range(4)
    )
    assert plan.zero in (0, 3)


def test_the_usual_order_is_interleaved_where_stages_have_several_pieces() -> None:
    rows = list(product((0, 1, 2), (1, 2, 3)))
    columns = _columns(rows, ("schedule", "interleave"))
    usual = ["1f1b", "interleaved", "interleaved"]
    assert [order_of(AXES, columns, row) for row in range(9)] == usual + ["1f1b"] * 3 + ["dualpipe"] * 3


def test_only_formats_that_gather_weights_are_of_another_structure_for_zero() -> None:
    rows = list(product((0, 1, 3), (0, 1), (0, 1), (1,), (1,), (1,), (1,)))
    columns = _columns(rows, ("zero", "precision", "loss", "sharing", "tensor", "pipeline", "expert"))
    base: Any = SimpleNamespace(loss=None, rank=None, base=None)
    found = _with_kernels(Layouts(AXES, 1, columns), base)
    assert found["recipe_zero"].tolist() == [zero if precision else 0 for zero, precision, *_ in rows]
    plain = list(KERNELS).index("plain")
    assert all(found["kernel"][row] == plain for row, (_, _, loss, *_) in enumerate(rows) if loss)
    assert not _prepares(base)
    assert _prepares(SimpleNamespace(base="nf4"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("policy", "first"), [(0, 0), (1, 0), (1, 1), (1, 5)])
def test_a_layout_is_trained_by_the_names_of_its_numbers(policy: int, first: int) -> None:
    base: Any = SimpleNamespace(_replace=lambda **given: given)
    at = {"recompute": policy, "precision": 1, "optimizer": 1, "offload": 2, "first": first}
    name = ("none", "full")[policy]
    assert training_of(AXES, at, base) == {
        "precision": PRECISIONS[GATHERED],
        "optimizer": OPTIMIZERS["sgd"],
        "recompute": name,
        "again": Again(name, first) if first else None,  # type: ignore[arg-type]
        "offload": HOST[2],
    }
    assert isinstance(_flagged(0), Parallelism)
