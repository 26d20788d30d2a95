"""What a device needs to train two small matrices with a table and a head, by hand, and by either way of counting it."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.costs.training_memory import SOURCE, logits_of, needs, states_of, totals
from tscale.core.costs.training_setup import Layer, Needs, Training
from tscale.core.layers import Every
from tscale.core.ledger import Block, Cut, Group, Ledger, Lookup, Matmul, Saved
from tscale.core.loss_kernels import KERNELS, Logits
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import Recompute
from tscale.core.workload import SequenceLengths
from tscale.models.resolve import resolve
from tscale.models.trainer import trainer

FEED = Block("decoder", "feed-forward")
UP = Matmul("up", "up", "feed_forward", "target", 8, 20, block=FEED)
LAYER = Layer(
    Ledger.of("x", (UP,)),
    (
        Saved("input", "feed_forward", "target", 8, "residual", keeping=("full",)),
        Saved("up", "feed_forward", "target", 20, block=FEED),
    ),
)
TABLE, HEAD = Lookup("table", "embedding", "embedding", 100, 8), Matmul("head", "head", "head", "target", 8, 100)
SHARE = Ledger(
    "x",
    (
        Group("start", "none", 1, None, (TABLE,)),
        Group(Every(), "decoder", 1, None, (UP,)),
        Group("end", "none", 1, None, (HEAD,)),
    ),
)
KEPT = (
    Saved("embedding", "embedding", "target", 8), LAYER.kept[1], Saved("head.input", "head", "target", 8, role="head"),
    Saved("head.logits", "head", "target", 100, role="logits", cut=Cut(100, otherwise="padded")),
)  # fmt: skip


def training(precision: str = "bf16", **how: Any) -> Training:
    """Three sequences of 10 tokens at a time."""
    return Training(PRECISIONS[precision], run=SequenceLengths(target=10), micro_batch=3, **how)


PLANS = [
    Parallelism(), Parallelism(data=4, zero=3), Parallelism(data=4, zero=3, pipeline=2), Parallelism(tensor=2, sequence=True, data=4, zero=2),
]  # fmt: skip


@pytest.mark.parametrize("precision", ["bf16", "fp32-master"])
def test_a_plan_is_ranked_by_what_its_answer_says(precision: str) -> None:
    """With each loss, as an allocator reserves memory and as it is live at the least; also of a stage without a head."""
    for loss in (None, *KERNELS):
        for plan in PLANS:
            how = training(precision, plan=plan, loss=loss)
            states = states_of(SHARE, how)
            for kept in (KEPT, KEPT[:2]):
                asked = SHARE, kept, states, (LAYER,), 0, how
                reserved = needs(*asked).total
                most, least = totals(*asked)
                assert most == reserved
                assert least <= needs(*asked, "held").total <= reserved


def test_needs_of_a_stage_by_hand() -> None:
    """1,760 numbers; of a micro-batch 30 positions of 8, 20 and 8 numbers of 2 bytes; of plain cross-entropy 14 bytes a logit."""
    found = needs(SHARE, KEPT, states_of(SHARE, training(loss="plain")), (LAYER,), 0, training(loss="plain"))
    numbers = 100 * 8 + 8 * 20 + 8 * 100
    assert (found.weights.total, found.gradients.total) == (2 * numbers, 2 * numbers)
    assert {line.name: line.value for line in found.activations.lines} == {
        "embedding": 30 * 8 * 2, "up": 30 * 20 * 2, "head.input": 30 * 8 * 2,
    }  # fmt: skip
    assert [line.value for line in found.logits.lines] == [30 * 100 * 4]
    assert found.temporary.total == 30 * 100 * (14 - 4)
    assert found.total == sum(part.total for part in found)


@pytest.mark.parametrize(("stage", "flying"), [(0, 4), (1, 3), (3, 1)])
def test_a_stage_keeps_the_micro_batches_that_are_in_flight(stage: int, flying: int) -> None:
    """Of four stages in 1F1B; what the head keeps is of one, whose backward pass follows at once."""
    how = training(plan=Parallelism(pipeline=4), loss="plain", batch=30)
    found = needs(SHARE, KEPT, states_of(SHARE, how), (LAYER,), stage, how)
    values = {line.name: line.value for line in found.activations.lines}
    assert (values["up"], values["head.input"]) == (flying * 30 * 20 * 2, 30 * 8 * 2)
    assert found.logits.total == 30 * 100 * 4


def test_activations_on_the_host_leave_those_outside_of_layers_and_one_layer_on_its_way() -> None:
    how = training(loss="plain", offload=frozenset({"activations"}))
    found = needs(SHARE, KEPT, states_of(SHARE, how), (LAYER,), 0, how)
    assert {line.name: line.value for line in found.activations.lines} == {
        "embedding": 30 * 8 * 2, "up": 0, "head.input": 30 * 8 * 2, "layer_on_its_way": 30 * 20 * 2,
    }  # fmt: skip


def test_logits_that_a_device_makes() -> None:
    """Of 100 words over 3 devices it has 34, of all 30 tokens, whether or not these are cut along the sequence."""
    head = HEAD._replace(d_out=34)
    share = Ledger.of("x", (head,))
    how = training(plan=Parallelism(tensor=3, sequence=True))
    assert logits_of(share, KEPT, how) == Logits(30 * 34, 30, 34, 8, 2, True, False)
    assert logits_of(share, KEPT, training("fp32", rank=4)) == Logits(30 * 100, 30, 34, 8, 4, False, False)
    assert logits_of(share, KEPT[:3], how) is None
    assert logits_of(Ledger.of("x", (UP,)), KEPT, how) is None


def test_logits_are_of_the_loss_s_code_where_they_are_kept() -> None:
    """Of 100 words they are; of a single one a layer's backward pass needs more, 2 times 30 by 20 numbers, when they are gone."""
    how = training(loss="plain")
    few = (*KEPT[:3], KEPT[3]._replace(width=1, cut=Cut(1)))
    many_found, few_found = (needs(SHARE, kept, states_of(SHARE, how), (LAYER,), 0, how) for kept in (KEPT, few))
    assert many_found.logits.source == many_found.temporary.source == KERNELS["plain"].source
    assert few_found.logits.source == few_found.temporary.source == SOURCE != KERNELS["plain"].source
    assert (few_found.logits.total, few_found.temporary.total) == (0, 2 * 30 * 20 * 2)


def test_of_a_step_of_one_micro_batch_gradients_come_as_activations_go() -> None:
    """Llama 3.2 3B in bf16 without a master copy on one device (torchtune's table of November 2024: 24.9 GiB, and 42.9 without recomputation).

    3,212,749,824 parameters of 2 bytes, two moments of 2, gradients of 2. In full recomputation the most is at the end of the backward
    pass, with all gradients and one layer's activations; without it at the loss, with no gradients.
    """
    parameters = 3_212_749_824
    held: dict[tuple[Recompute, int | None], Needs] = {}
    policies: tuple[Recompute, ...] = ("full", "none")
    for recompute in policies:
        for batch in (None, 2, 4):
            asked = Training(
                PRECISIONS["pure-bf16"], OPTIMIZERS["adamw"], micro_batch=2, recompute=recompute, loss="chunked-compiled", batch=batch
            )  # fmt: skip
            model = trainer(resolve("llama-3.2-3b"), asked, 4096)
            held[recompute, batch] = model.needs(0)
            assert model.totals()[0] == model.needs(0).total
    for recompute in policies:
        assert held[recompute, None].total == held[recompute, 4].total
        assert held[recompute, None].gradients.total == 2 * parameters
    assert held["none", 2].gradients.total == 0
    assert held["none", 4].total - held["none", 2].total == 2 * parameters
    full, layer = held["full", 2], 2 * 2 * 4096 * 3072
    backward = full.total - 8 * parameters - layer
    assert full.total == pytest.approx(24.9 * 2**30, rel=0.003)
    assert 0 < backward < 0.04 * full.total
