"""How a served model is spread: what degrees come to, what is filled in, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.partition import Stretch
from tscale.core.serving_layout import ServingLayout, serving_layout
from tscale.errors import RequestError


def test_devices_ranks_and_sequences() -> None:
    one = ServingLayout(tensor=2, pipeline=3, expert=4, expert_tensor=2, attention_data=4, replicas=5)
    assert (one.ranks, one.devices, one.groups) == (8, 120, 3)
    assert [one.sequences(batch) for batch in (1, 20, 21, 40)] == [1, 1, 2, 2]
    assert ServingLayout(tensor=4).sequences(21) == 21
    alone = (
        ServingLayout(tensor=2),
        ServingLayout(pipeline=2),
        ServingLayout(attention_data=2),
        ServingLayout(replicas=2),
    )
    assert [each.groups for each in alone] == [1, 1, 1, 0]


def test_tensor_parallelism_alone() -> None:
    assert ServingLayout(tensor=4, expert_tensor=4).is_tensor_alone
    for other in ({"pipeline": 2}, {"replicas": 2}, {"expert_tensor": 2}, {"layers": (2,)}, {"attention_data": 2}):
        assert not ServingLayout(**{"tensor": 4, "expert_tensor": 4} | other).is_tensor_alone


@pytest.mark.parametrize(
    ("gpus", "given", "expected"),
    [
        (None, {}, (1, 1, 1, 1, 1, 1)), (8, {}, (8, 1, 1, 8, 1, 1)), (8, {"pipeline": 2}, (4, 2, 1, 4, 1, 1)),
        (16, {"attention_data": 4, "replicas": 2}, (2, 1, 1, 8, 4, 2)), (8, {"expert": 4}, (8, 1, 4, 2, 1, 1)),
        (8, {"expert_tensor": 2}, (8, 1, 4, 2, 1, 1)), (8, {"expert": 8}, (8, 1, 8, 1, 1, 1)), (6, {"stages": (1, 2, 3)}, (2, 3, 1, 2, 1, 1)),
        (None, {"tensor": 4, "replicas": 3}, (4, 1, 1, 4, 1, 3)), (12, {"tensor": 4, "replicas": 3}, (4, 1, 1, 4, 1, 3)),
    ],
)  # fmt: skip
def test_what_is_not_said_is_filled_in(gpus: int | None, given: dict[str, Any], expected: tuple[int, ...]) -> None:
    """Tensor parallelism takes what is left, and experts are cut by all ranks that hold them."""
    assert serving_layout(gpus, **given)[:6] == expected


@pytest.mark.parametrize(
    ("gpus", "given", "said"),
    [
        (8, {"tensor": 3}, "--gpus 8: --tensor 3 take 3: use --gpus 3"),
        (8, {"tensor": 2, "pipeline": 2, "replicas": 3}, "--gpus 8: --tensor 2 --pipeline 2 --replicas 3 take 12: use --gpus 12"),
        (8, {"pipeline": 3}, "--gpus 8: --pipeline 3 take a multiple of 3: use --gpus 6"),
        (2, {"pipeline": 3}, "--gpus 2: --pipeline 3 take a multiple of 3: use --gpus 3"),
        (8, {"expert": 3}, "--expert 3 does not divide the 8 ranks of a stage: use --expert 1, 2, 4 or 8"),
        (8, {"expert": 2, "expert_tensor": 2}, "--expert 2 and --expert-tensor 2 do not come to the 8 ranks of a stage: use --expert 2 --expert-tensor 4"),
        (8, {"expert_tensor": 3}, "--expert 1 and --expert-tensor 3 do not come to the 8 ranks of a stage: use --expert 1 --expert-tensor 8"),
        (4, {"pipeline": 4, "stages": (1, 2)}, "--stages names 2 stages: use --pipeline 2"),
    ],
)  # fmt: skip
def test_degrees_that_contradict_one_another(gpus: int, given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        serving_layout(gpus, **given)
    assert str(refused.value) == said


def test_layers_of_each_stage() -> None:
    """Named, or as even as they can be; none may be empty."""
    named = ServingLayout(pipeline=3, layers=(1, 4, 2))
    assert named.stretches(7) == (Stretch(0, 1), Stretch(1, 4), Stretch(5, 2))
    assert ServingLayout(pipeline=2).stretches(6) == (Stretch(0, 3), Stretch(3, 3))
    for layers, whole in (((1, 4, 2), 8), ((0, 5, 2), 7)):
        with pytest.raises(
            RequestError, match=f"--stages names 7 layers, and there are {whole}: let the stages come to {whole}"
        ):
            ServingLayout(pipeline=3, layers=layers).stretches(whole)
