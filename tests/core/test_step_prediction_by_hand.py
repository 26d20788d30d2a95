"""A step's predicted time of parts that are round numbers, added up term by term."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.costs.step_prediction import StepSeconds, TrainingConstants, predict, seconds_of
from tscale.core.costs.step_products import Product
from tscale.core.costs.step_sent import Sent
from tscale.core.costs.step_work import StageWork, StepWork


def sent_in(start: float, link: float, network: float) -> Sent:
    return Sent(float(start), float(link), float(network))


def product(computing: float, traffic: float) -> Product:
    return Product(float(computing), float(traffic))


C = TrainingConstants(
    products=1 / 2, products_8bit=1 / 4, traffic=1 / 2, attention=1 / 5, whole_head=7.0, recomputed=1 / 2, sums=2.0, nics=1 / 2, dispatches=1 / 4, hidden=1 / 4,
    host_layer=10.0, host_tensor=20.0, host_wide=30.0, host_softmax=40.0, host_head=50.0, step=0.25, optimizer_bytes=2.0, loss_bytes=3.0,
)  # fmt: skip
STAGE = StageWork(
    stages=3, layers=4, has_head=1, in_steps=1, products=(product(2, 1), product(1, 4)), again=(product(3, 0),), experts=(product(5, 0),), experts_again=(product(7, 0),),
    scores=(product(11, 0),), scores_again=(product(13, 0),), head=(product(17, 0),), attention=4, attention_again=2, traffic=10, traffic_again=6, logits=2,
    sums=sent_in(1, 2, 0), sums_again=sent_in(0, 1, 2), dispatches=sent_in(0, 40, 10), handed=sent_in(0, 8, 1), keys=sent_in(1, 20, 15),
)  # fmt: skip
WORK = StepWork(
    stages=(STAGE,), micro_batches=6, fill=0.5, eight_bit=False, cut=0.0, wide=0.0, gradients=sent_in(1, 2, 3), gathers=sent_in(0, 8, 0), states=9
)  # fmt: skip


def waits(device: float, host: float) -> float:
    """How much longer than a device alone it takes with a host that queues for it meanwhile."""
    return float((device**4 + host**4) ** 0.25 - device)


def test_what_is_sent_takes_its_start_and_the_longer_of_link_and_nics() -> None:
    assert [seconds_of(sent_in(1, 5, network), 0.5) for network in (2, 2.5, 3)] == [6, 6, 7]


COMPUTING = {
    "products": 4 + 4, "again": 6 / 2, "experts": 10 + 14 / 2, "scores": 22 + 26 / 2,
}  # fmt: skip
"""At half of the peak and at the memory's bandwidth: 2 s of computing are 4, 4 s of traffic are 4; what is computed again is seen by half."""


@pytest.mark.parametrize(
    ("changes", "computing", "traffic", "host"),
    [
        ({}, sum(COMPUTING.values()) + 7 * 34, 2 * (10 + 6 / 2 + 7 * 3 * 2), 4 * (10 + 40) + 50), ({"cut": 1.0}, sum(COMPUTING.values()) + 34, 2 * (10 + 6 / 2 + 3 * 2), 4 * (10 + 20 + 40) + 50),
        ({"cut": 1.0, "wide": 1.0}, sum(COMPUTING.values()) + 34, 2 * (10 + 6 / 2 + 3 * 2), 4 * (10 + 20 + 30 + 40) + 50),
        ({"eight_bit": True}, 8 + 4 + 12 / 2 + (20 + 28 / 2) + 22 + 26 / 2 + 7 * 34, 2 * (10 + 6 / 2 + 7 * 3 * 2), 4 * (10 + 40) + 50),
    ],
)  # fmt: skip
def test_parts_of_a_step(changes: dict[str, Any], computing: float, traffic: float, host: float) -> None:
    """Six micro-batches; two stages more idle for half of their time. Keys take 31 s, of which attention's 25 hide all but 6."""
    found = predict(WORK._replace(**changes), C)
    device = computing + traffic + 25 + 6 + 2 * (3 + 4 / 2) + 40 / 4
    waiting = waits(device, host)
    slot = device + 8 + waiting
    once = (2 * slot / 2, 1 + 6, 8 * 3 / 4, 2 * 9, 0.25)
    in_slots = (computing, traffic, 25, 6, 10, 10, 8, waiting)
    assert tuple(found) == pytest.approx((*(6 * part for part in in_slots), *once))
    assert found.seconds == pytest.approx(6 * sum(in_slots) + sum(once))


def test_a_host_that_has_little_to_queue() -> None:
    """Of a stage without a head whose softmax is fused, of two layers."""
    stage = STAGE._replace(has_head=0, head=(), logits=0, in_steps=0, layers=2)
    found = predict(WORK._replace(stages=(stage,)), C)
    device = sum(COMPUTING.values()) + 2 * 13 + 25 + 6 + 10 + 10
    assert found.host == pytest.approx(6 * waits(device, 20), abs=1e-6)
    assert predict(WORK._replace(stages=(stage._replace(experts=(), experts_again=()),)), C).computing == 6 * (
        8 + 3 + 35
    )


def test_keys_that_come_sooner_than_attention_is_done_take_no_time() -> None:
    for keys, seen in ((sent_in(1, 20, 12), 0), (sent_in(1, 24, 0), 0), (sent_in(2, 24, 0), 1)):
        assert predict(WORK._replace(stages=(STAGE._replace(keys=keys),)), C).keys == pytest.approx(6 * seen)


@pytest.mark.parametrize(
    ("hides", "sent", "seen"), [(0, 40, 10), (1, 40, 0), (0.5, 40, 5), (1, 4000, 1000 - (301 * 132 / 112 + 151))]
)
def test_what_is_sent_to_experts_is_hidden_behind_computing(hides: float, sent: float, seen: float) -> None:
    """A fourth of it is exposed; where a schedule hides it, what computing does not.

    Of 132 multiprocessors 20 send then (DeepSeek-V3, 3.2.2): products take 132/112 times their 301 s, and attention of its 25.
    Traffic of 110 s, sums of 10 and the 31 in which keys come stay as they are.
    """
    assert sum(COMPUTING.values()) + 7 * 34 == 301
    work = WORK._replace(stages=(STAGE._replace(dispatches=sent_in(0, sent, 0)),), hides=hides)
    assert predict(work, C).dispatches == pytest.approx(6 * seen)


def test_the_slowest_stage_sets_the_pace_and_of_stages_as_slow_the_last() -> None:
    """What the others take is in the filling of the pipeline alone: a stage with 100 s more of products, one as it was."""
    slow = STAGE._replace(stages=2, scores=(product(11 + 50, 0),))
    alike = STAGE._replace(stages=1, scores=(product(61 - 24.5, 0),), head=(product(17 + 3.5, 0),))
    for stages, parts_of in (
        ((STAGE, slow), slow),
        ((slow, STAGE), slow),
        ((slow, alike), alike),
        ((alike, slow), slow),
    ):
        each = {
            stage: predict(WORK._replace(stages=(stage._replace(stages=1),), micro_batches=1, fill=0), C)
            for stage in stages
        }
        slots = {stage: sum(found[:8]) for stage, found in each.items()}
        longest = max(slots.values())
        found = predict(WORK._replace(stages=stages), C)
        assert tuple(found[:8]) == pytest.approx(tuple(6 * part for part in each[parts_of][:8]))
        assert found.pipeline == pytest.approx(0.5 * (sum(stage.stages * slots[stage] for stage in stages) - longest))


def test_the_seconds_of_a_step_are_the_sum_of_its_parts() -> None:
    assert StepSeconds(*range(1, 14)).seconds == 13 * 14 / 2
