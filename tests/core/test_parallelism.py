"""Degrees of parallelism: what they come to, and each contradiction with what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.parallelism import Parallelism, divisors, or_list
from tscale.errors import RequestError


def test_devices_and_copies() -> None:
    plan = Parallelism(tensor=2, pipeline=3, data=5, context=7, expert=35)
    assert plan.devices == 2 * 3 * 5 * 7
    assert (plan.sharing, plan._replace(shards=7).sharing) == (35, 7)
    assert (plan.expert_cut, plan.trained.expert_cut, plan._replace(expert_tensor=5).trained.expert_cut) == (2, 1, 5)
    assert plan.cuts_experts_apart is False
    assert plan.trained.cuts_experts_apart is True


@pytest.mark.parametrize(
    ("expert", "expert_tensor", "shards", "copies", "shared"),
    [
        (1, None, None, 24, 24), (4, None, None, 6, 6), (24, None, None, 1, 1), (1, 1, None, 48, 48), (6, 2, None, 4, 4),
        (4, None, 12, 6, 3), (24, None, 12, 1, 1), (6, 2, 6, 4, 1),
    ],
)  # fmt: skip
def test_copies_of_an_expert(
    expert: int, expert_tensor: int | None, shards: int | None, copies: int, shared: int
) -> None:
    """Of 2 tensor, 4 context and 6 data ranks: 24 where experts are cut as all else is, 48 where they are cut apart."""
    plan = Parallelism(tensor=2, context=4, data=6, expert=expert, expert_tensor=expert_tensor, shards=shards)
    assert (plan.expert_copies, plan.expert_shards) == (copies, shared)


def test_what_cuts_a_model() -> None:
    """Copies, ZeRO and a cut sequence are no part of it, unless experts are spread over them."""
    plan = Parallelism(2, True, 3, 2, 5, 1, None, 7, stages=(1, 2, 3), schedule="interleaved", expert_tensor=1)
    assert plan.cuts == Parallelism(2, False, 3, 2, stages=(1, 2, 3), schedule="interleaved", expert_tensor=1)
    spread = plan._replace(expert=5)
    assert spread.cuts == spread
    assert [one.order for one in (Parallelism(), Parallelism(interleave=2), Parallelism(schedule="dualpipe"))] == [
        "1f1b", "interleaved", "dualpipe",
    ]  # fmt: skip


FINE: list[dict[str, Any]] = [
    {}, {"tensor": 2, "sequence": True}, {"pipeline": 2, "interleave": 2}, {"data": 6, "shards": 3}, {"data": 2, "context": 3, "shards": 6},
    {"pipeline": 2, "schedule": "zero-bubble"}, {"pipeline": 4, "schedule": "dualpipe"}, {"data": 4, "context": 2, "expert": 8},
    {"pipeline": 2, "interleave": 2, "schedule": "interleaved"}, {"tensor": 4, "data": 2, "expert": 4, "expert_tensor": 2},
    {"pipeline": 3, "stages": (0, 4, 0)}, {"pipeline": 2, "interleave": 2, "stages": (2, 2)}, {"pipeline": 2, "interleave": 2, "stages": (0, 1, 1, 0)},
]  # fmt: skip


@pytest.mark.parametrize("degrees", FINE)
def test_degrees_that_go_together(degrees: dict[str, Any]) -> None:
    plan = Parallelism(**degrees)
    plan.check()
    assert plan.is_divided


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"interleave": 2}, "an interleaved schedule needs pipeline stages: set --pipeline, or drop --interleave"),
    ({"sequence": True}, "sequence parallelism is over the devices of tensor parallelism: set --tensor"),
    ({"schedule": "1f1b"}, "a 1f1b schedule needs pipeline stages: set --pipeline, or drop --schedule"),
    ({"pipeline": 2, "schedule": "interleaved"}, "an interleaved schedule has several pieces a stage: set --interleave to 2 or more"),
    ({"pipeline": 2, "interleave": 2, "schedule": "zero-bubble"}, "a zero-bubble schedule has one piece of the stack a stage: drop --interleave, or use --schedule interleaved"),
    ({"pipeline": 3, "schedule": "dualpipe"}, "dualpipe sends micro-batches in from both ends of an even number of stages, not 3: use --pipeline 2 or 4"),
    ({"pipeline": 3, "stages": (1, 2)}, "--stages has 2 numbers for 3 stages: give it 3"),
    ({"pipeline": 2, "interleave": 2, "stages": (1, 2, 3)}, "--stages has 3 numbers for 2 stages: give it 2 (or 4, one for each piece)"),
    ({"pipeline": 3, "stages": (1, 0, 1)}, "a stage without layers is the first or the last one, with the embedding or the head alone: give each other one 1 layer or more in --stages"),
    ({"pipeline": 3, "stages": (1, 1, -1)}, "a stage without layers is the first or the last one, with the embedding or the head alone: give each other one 1 layer or more in --stages"),
    ({"pipeline": 2, "interleave": 2, "stages": (0, 2)}, "a stage without layers is the first or the last one, with the embedding or the head alone: give each other one 1 layer or more in --stages"),
    ({"pipeline": 2, "interleave": 3, "stages": (3, 2)}, "a stage of 2 layers has not 3 pieces: leave --stages out, or give each stage 3 layers or more"),
    ({"data": 4, "context": 2, "expert": 3}, "expert parallelism by 3 is over the 8 devices of data and context parallelism, which it does not divide: use 1, 2, 4 or 8"),
    ({"tensor": 2, "data": 4, "expert": 3, "expert_tensor": 2}, "expert parallelism by 3, each cut over 2, is over the 8 devices of tensor, context and data parallelism, which it does not divide: use 1, 2 or 4"),
    ({"tensor": 2, "data": 4, "expert_tensor": 3}, "experts that are cut over 3 are over the 8 devices of tensor, context and data parallelism, which that does not divide: use --expert-tensor 1, 2, 4 or 8"),
    ({"tensor": 2, "data": 4, "expert": 3, "expert_tensor": 1}, "expert parallelism by 3 is over the 8 devices of tensor, context and data parallelism, which it does not divide: use 1, 2, 4 or 8"),
    ({"data": 3, "context": 2, "shards": 4}, "4 shards do not divide the 6 devices of data and context parallelism: use 1, 2, 3 or 6"),
]  # fmt: skip


@pytest.mark.parametrize(("degrees", "said"), REFUSED)
def test_degrees_that_contradict_one_another(degrees: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        Parallelism(**degrees).check()
    assert str(refused.value) == said


def test_what_devices_do_not_divide() -> None:
    """6 ranks of data parallelism, or 12 with those of tensor parallelism; a sequence is cut over the latter alone."""
    divided: list[tuple[dict[str, Any], bool]] = [
        ({"expert": 4}, False), ({"expert": 6}, True), ({"expert": 4, "expert_tensor": 1}, True), ({"expert": 4, "expert_tensor": 2}, False),
        ({"expert": 3, "expert_tensor": 4}, True), ({"shards": 4}, False), ({"shards": 2}, True), ({"sequence": True}, True),
        ({"sequence": True, "tensor": 1}, False),
    ]  # fmt: skip
    assert [Parallelism(**{"tensor": 2, "data": 6} | one).is_divided for one, _ in divided] == [
        is_so for _, is_so in divided
    ]


def test_advice_is_what_can_be_or_all_where_nothing_can() -> None:
    plan = Parallelism(data=6)
    assert plan.advice("shards", [1, 2, 3, 4, 6], lambda _: True) == "1, 2, 3 or 6"
    assert plan.advice("shards", [1, 2, 3, 4, 6], lambda one: one.shards != 2) == "1, 3 or 6"
    assert plan.advice("shards", [4, 5], lambda _: True) == "4 or 5"


def test_divisors_and_lists_of_them() -> None:
    for number in range(1, 150):
        assert divisors(number) == [d for d in range(1, number + 1) if number % d == 0]
    assert [or_list([1]), or_list([1, 2]), or_list([1, 2, 4])] == ["1", "1 or 2", "1, 2 or 4"]
    assert or_list(list(range(12))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 or 11"
    assert or_list(list(range(13))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ..."


def test_advice_of_experts_where_no_number_fits_is_of_those_that_their_devices_divide() -> None:
    """Eight ranks in groups of two over which each expert is cut: four of these."""
    with pytest.raises(RequestError, match=r"use 1, 2 or 4$"):
        Parallelism(tensor=2, data=4, expert=3, expert_tensor=2).check(lambda _: False)
    with pytest.raises(RequestError, match=r"use 1, 2, 4 or 8$"):
        Parallelism(data=8, expert=3).check(lambda _: False)
