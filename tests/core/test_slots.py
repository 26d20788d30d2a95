"""The parts of a predicted slot and of a step, of works of round numbers that one adds up by hand; and a few sums of laws and plans."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tscale.core.costs.step_prediction import TrainingConstants, predict
from tscale.core.costs.step_products import Product
from tscale.core.costs.step_sent import Sent
from tscale.core.costs.step_work import StageWork, StepWork
from tscale.core.laws.experts import Mixture, Run
from tscale.core.parallelism import Parallelism


def _in_floats(of: Any) -> Any:
    """A work whose numbers are floats, as those of a model are."""
    if not isinstance(of, tuple):
        return float(of)
    each = map(_in_floats, of)
    return type(of)._make(each) if hasattr(of, "_make") else tuple(each)


STAGE: StageWork = _in_floats(StageWork(
    stages=1, layers=2, has_head=1, in_steps=1,
    products=(Product(8, 1), Product(1, 3)), again=(Product(4, 1),), experts=(Product(2, 1),), experts_again=(Product(6, 1),),
    scores=(Product(10, 1),), scores_again=(Product(20, 1),), head=(Product(40, 1),),
    attention=5, attention_again=3, traffic=7, traffic_again=9, logits=2,
    sums=Sent(1, 4, 2), sums_again=Sent(2, 1, 8), dispatches=Sent(3, 2, 1), handed=Sent(1, 1, 4), keys=Sent(2, 30, 1),
))  # fmt: skip
CONSTANTS = TrainingConstants(
    products=0.5, products_8bit=0.25, traffic=0.5, attention=0.5, whole_head=2, recomputed=0.5, sums=3, nics=0.5,
    dispatches=2, hidden=0.25, host_layer=1, host_tensor=10, host_wide=100, host_softmax=1000, host_routed=50, host_expert=5, host_head=10_000,
    step=0.125, optimizer_bytes=20, loss_bytes=4,
)  # fmt: skip


def _work(stages: tuple[StageWork, ...], **changes: Any) -> StepWork:
    plain = StepWork(_in_floats(stages), 1, 0.0, False, 0.0, 0.0, Sent(), Sent(), 0.0)
    return plain._replace(**changes)


def test_each_part_of_a_slot_is_what_its_constants_make_of_it() -> None:
    """Products at half of the peak, or at the bandwidth; what is computed again counts half; the head alone is whole and twice as long."""
    found = predict(_work((STAGE,)), CONSTANTS)
    in_layers = (16 + 3) + 0.5 * 8  # 8 and 1 at half the peak, but 3 at the bandwidth for the second
    experts = 4 + 0.5 * 12
    assert found.computing == in_layers + experts + (20 + 0.5 * 40) + 2 * 80
    assert found.traffic == (7 + 0.5 * 9 + 2 * 4 * 2) / 0.5
    assert found.attention == (5 + 0.5 * 3) / 0.5
    assert found.keys == (2 + 30) - 13
    assert found.sums == 3 * ((1 + 4) + 0.5 * (2 + 16))
    assert found.dispatches == 2 * (3 + 2)
    assert found.handed == 1 + 8


def test_products_in_8_bits_are_those_of_layers_alone() -> None:
    """Of 8 and 4 seconds at a quarter of the peak, and of experts; scores and head are in 16 bits. A head that is cut is no longer."""
    found = predict(_work((STAGE,), eight_bit=True, cut=1.0), CONSTANTS)
    assert found.computing == (32 + 4) + 0.5 * 16 + (8 + 0.5 * 24) + (20 + 0.5 * 40) + 80
    assert found.traffic == (7 + 0.5 * 9 + 1 * 4 * 2) / 0.5


@pytest.mark.parametrize(("cut", "wide"), [(0, 0), (1, 0), (1, 1)])
def test_a_host_is_waited_for_as_far_as_it_is_slower(cut: int, wide: int) -> None:
    """(device^4 + host^4)^(1/4), of two layers, 1,000 more for softmax in steps, and the head."""
    found = predict(_work((STAGE,), cut=float(cut), wide=float(wide)), CONSTANTS)
    device = found.computing + found.traffic + found.attention + found.keys + found.sums + found.dispatches
    host = 2 * (1 + 10 * cut + 100 * wide + 1000) + 10_000
    assert found.host == pytest.approx((device**4 + host**4) ** 0.25 - device)
    quick = STAGE._replace(in_steps=0, has_head=0)
    found = predict(_work((quick,), cut=float(cut), wide=float(wide)), CONSTANTS)
    assert found.host == pytest.approx((device**4 + (2 * (1 + 10 * cut + 100 * wide)) ** 4) ** 0.25 - device)


def test_products_of_experts_read_and_write_at_the_share_of_elementwise_work() -> None:
    """Of a traffic of 6 s: at half the bandwidth 12 s for experts, and 6 for other products."""
    one = (Product(1.0, 6.0),)
    stage = STAGE._replace(products=one, again=(), experts=(), experts_again=(), scores=(), scores_again=(), head=())
    assert predict(_work((stage,)), CONSTANTS).computing == 6
    assert predict(_work((stage._replace(products=(), experts=one),)), CONSTANTS).computing == 12


@pytest.mark.parametrize("queued", [0, 1, 2])
def test_a_host_queues_layers_of_experts_and_each_of_these_that_a_device_has(queued: int) -> None:
    """50 s more for each of three layers, 5 for each of 24 experts of them; twice where two micro-batches are queued in turns."""
    stage = STAGE._replace(in_steps=0, has_head=0, routed=3.0, held=24.0)
    found = predict(_work((stage,), queued=float(queued)), CONSTANTS)
    device = found.computing + found.traffic + found.attention + found.keys + found.sums + found.dispatches
    host = 2 * 1 + queued * (3 * 50 + 24 * 5)
    assert found.host == pytest.approx((device**4 + host**4) ** 0.25 - device)


@pytest.mark.parametrize(
    ("gradients", "weights", "waited", "seen"),
    [(1, 1, 0, 0), (3, 3, 0, 1), (4.5, 4.5, 0, 0.5 + 2.5), (4, 0, 0, 0), (10, 2, 0, 6), (0, 10, 0, 8), (4, 2, 5, 5)],
)
def test_gradients_go_behind_a_backward_pass_and_weights_behind_a_forward_pass(
    gradients: float, weights: float, waited: float, seen: float
) -> None:
    """Gradients behind 4 s of a slot of 6, weights behind the other 2, and nothing is behind what is waited for."""
    slot = StageWork(
        1, 0, 0, 0, (Product(3, 0),), (), (), (), (), (), (), 0, 0, 0, 0, 0, Sent(), Sent(), Sent(), Sent()
    )
    sent = {"gradients": Sent(float(gradients)), "weights": Sent(float(weights)), "waited": Sent(float(waited))}
    assert predict(_work((slot,), hidden=1.0, **sent), CONSTANTS).gradients == pytest.approx(seen)
    assert predict(_work((slot,), **sent), CONSTANTS).gradients == gradients + weights + waited


@pytest.mark.parametrize("dispatches", [3.0, 5000.0])
def test_what_is_sent_behind_computing_is_the_rest_of_the_longer(dispatches: float) -> None:
    """Sending and computing at once take the longer of both, so that only what is left of sending is seen.

    Of 132 multiprocessors 20 send, so that products and attention take 132/112 of their time; elementwise work is bound by the memory.
    """
    stage = STAGE._replace(dispatches=Sent(dispatches, 0, 0), keys=Sent(0, 0, 0))
    seen, behind = (predict(_work((stage,), hides=hides), CONSTANTS) for hides in (0.0, 1.0))
    for part in ("computing", "attention"):
        assert getattr(behind, part) == pytest.approx(132 / 112 * getattr(seen, part))
    assert (behind.traffic, behind.sums) == (seen.traffic, seen.sums)
    computed = behind.computing + behind.traffic + behind.attention + behind.sums
    assert seen.dispatches == 2 * dispatches
    assert behind.dispatches + computed == pytest.approx(max(2 * dispatches, computed))


def test_a_step_is_the_slowest_stage_for_all_micro_batches_and_the_others_once_in_turn() -> None:
    """Three stages of 1 s and two of 3 s with five micro-batches: 5·3, and (3·1 + 2·3 - 3) of the filling, half of it idle."""
    quick = StageWork(
        3, 0, 0, 0, (Product(1, 0),), (), (), (), (), (), (), 0, 0, 0, 0, 0, Sent(), Sent(), Sent(), Sent()
    )
    slow = quick._replace(stages=2, products=(Product(3, 0),))
    for order in ((quick, slow), (slow, quick)):
        work = _work(
            order, micro_batches=5, fill=0.5, gradients=Sent(1.0, 2.0, 3.0), gathers=Sent(4.0, 4.0, 0.0), states=2.0
        )
        found = predict(work, CONSTANTS)
        assert found.computing == 5 * 3 / 0.5
        assert found.pipeline == 0.5 * (3 * 2 + 2 * 6 - 6)
        assert found.gradients == 1 + 6
        assert found.gathers == 0.75 * 8
        assert found.optimizer == 20 * 2
        assert found.step == 0.125
        assert found.seconds == sum(found)


def test_a_mixtures_run_takes_6_flops_an_active_parameter_and_token() -> None:
    assert Run(2.0, 100.0, 1.0, 50.0, 5.0, Mixture(8, 2)).flops == 6 * 2 * 5


def test_a_plan_is_divided_where_groups_of_its_ranks_are_whole() -> None:
    """Ranks one by one: those of experts of groups of `expert`, of shards of groups of `shards`; a sequence is cut among several."""
    for tensor, data, expert, cut, shards, sequence in product(
        (1, 2), (2, 4, 6), (1, 2, 3), (None, 1, 2), (None, 1, 4), (False, True)
    ):
        plan = Parallelism(
            tensor, data=data, context=2, expert=expert, expert_tensor=cut, shards=shards, sequence=sequence
        )
        holders = list(range(2 * data if cut is None else 2 * data * tensor))
        whole = not any(
            len(holders[at : at + expert * (cut or 1)]) < expert * (cut or 1) for at in holders[:: expert * (cut or 1)]
        )
        sharing = (
            shards is None
            or sum(len(range(2 * data)[at : at + shards]) == shards for at in range(0, 2 * data, shards)) * shards
            == 2 * data
        )
        assert plan.is_divided == (whole and sharing and not (sequence and tensor == 1)), plan
