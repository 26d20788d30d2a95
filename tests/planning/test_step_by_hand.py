"""Seconds of steps of several layouts at once, against one layout after the other in plain sums."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tscale.core.costs.step_prediction import TrainingConstants
from tscale.planning.layouts import Layouts
from tscale.planning.step import _as_cut, _floats, _one, _repeated, _together, _with_presence

CONSTANTS = TrainingConstants(nics=0.5, hidden=0.25, optimizer_bytes=3.0, step=0.125)


def _sent(start: float, link: float, network: float) -> float:
    """Seconds: the start, then the longer of the link and the NICs at half of their bandwidth."""
    return start + max(link, network / 0.5)


def _seconds(stages: list[list[float]]) -> float:
    """Micro-batches by the slowest slot, all others once by what is idle, and what comes once, each the longest of all stages."""
    slots = [sum(stage[:8]) for stage in stages]
    micro_batches, fill, hidden = stages[0][8:11]
    filled = sum(stage[24] * slot for stage, slot in zip(stages, slots, strict=True)) - max(slots)
    gradients, gathers, weights, waited = (
        max((stage[at : at + 3] for stage in stages), key=sum) for at in (12, 15, 18, 21)
    )
    behind = [(gradients, 2 / 3), (weights, 1 / 3)]
    sent = sum(max(0.0, _sent(*one) - share * hidden * max(slots)) for one, share in behind) + _sent(*waited)
    once = sent + 0.75 * _sent(*gathers) + 3.0 * max(stage[11] for stage in stages) + 0.125
    return micro_batches * max(slots) + fill * filled + once


@pytest.mark.parametrize("many", [1, 2, 3])
def test_steps_of_several_layouts_are_those_of_each(many: int) -> None:
    """Of each stage eight parts of a slot; micro-batches, fill and what hides, which are the plan's; states, gradients, gathers, weights gathered once and those waited for; how many are alike."""
    dice = random.Random(many)  # noqa: S311 (no secret)
    layouts = [[[dice.uniform(0.1, 1.0) for _ in range(24)] + [float(dice.randrange(1, 5))] for _ in range(many)] for _ in range(40)]  # fmt: skip
    for stages in layouts:
        stages[0][10] = dice.choice((0.0, 0.1, 1.0))
        for other in stages[1:]:
            other[8:11] = stages[0][8:11]
    parts = np.array(layouts).transpose(2, 1, 0)
    assert _together(parts, CONSTANTS).tolist() == pytest.approx([_seconds(stages) for stages in layouts])


def test_experts_that_are_cut_stand_as_if_tensor_parallelism_cut_them() -> None:
    rows = [(tensor, expert, cut) for tensor in (1, 2, 4) for expert in (1, 2, 8) for cut in (1, 2, 4)]
    columns = dict(zip(("tensor", "expert", "expert_tensor"), map(np.array, zip(*rows, strict=True)), strict=True))
    found = _as_cut({**columns, "other": "stays"})
    assert found["expert"].tolist() == [max(expert * cut // tensor, 1) for tensor, expert, cut in rows]
    assert found["expert_tensor"].tolist() == [tensor for tensor, *_ in rows]
    assert found["other"] == "stays"


def test_a_column_of_one_number_is_that_number() -> None:
    assert _one(np.array([2.0, 2.0])) == 2.0
    assert isinstance(_one(np.array([2.0, 2.0])), float)
    assert _one(np.array([2.0, 3.0])).tolist() == [2.0, 3.0]
    assert isinstance(_floats(np.array([3, 3])), float)
    assert _floats(np.array([3, 4])).dtype == np.float64


def test_what_is_computed_again_is_that_of_each_row_s_policy() -> None:
    """Of none nothing, of full each layer and its scores, of selective the scores, of op every second product."""
    axes: Any = SimpleNamespace(policies=("none", "full", "op", "selective"))
    layouts = Layouts(axes, 1, {"recompute": np.array([1, 0, 3, 2, 1])})
    found = _repeated(layouts, np.array([0, 1, 2, 3]))
    assert [np.asarray(part).tolist() for part in (found.layers, found.second, found.scores)] == [
        [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0],
    ]  # fmt: skip
    same = _repeated(layouts, np.array([0, 4]))
    assert (same.layers, same.second, same.scores) == (1.0, 0.0, 1.0)


def test_stages_with_layers_that_are_computed_again_are_told_from_those_without() -> None:
    """By group: of the first 3 and none; none and 2; 3 and 2. Stages of other structures are others anyway."""
    stages: Any = SimpleNamespace(
        rows=np.array([0, 1, 2, 3, 3]), first=(np.array([3, 0, 1, 0, 4]), np.array([0, 2, 0, 1, 0]))
    )
    code = _with_presence(np.array([7, 7, 7, 9]), stages).tolist()
    assert code[0] == code[2]
    assert len(set(code)) == 4
