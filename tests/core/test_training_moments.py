"""Bytes that the moments of a backward pass need, of a layer of two small matrices, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.costs.training_moments import backward_lines, largest_moment
from tscale.core.costs.training_setup import Layer, Training
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Ledger, Lookup, Matmul, Saved, Vector
from tscale.core.metric import Line
from tscale.core.parallelism import Parallelism
from tscale.core.precision import PRECISIONS
from tscale.core.workload import SequenceLengths

UP = Matmul("up", "up", "feed_forward", "target", 8, 20)
LAYER = Layer(
    Ledger.of("x", (UP, UP._replace(name="down", d_in=20, d_out=8), Vector("norm", "norm", "norm", 8))),
    (Saved("input", "norm", "target", 8, "residual", keeping=("full",)), Saved("up", "feed_forward", "target", 20), Saved("scores", "attention", "target", 4, keys="target", keeping=("naive",))),
)  # fmt: skip
SHARE = Ledger.of(
    "x", (Lookup("table", "embedding", "embedding", 100, 8), *LAYER.share.entries, Matmul("head", "head", "head", "target", 8, 100))
)  # fmt: skip
MATRICES, TABLES = 2 * 160, 1600


def lines(training: Training) -> dict[str, int]:
    return {line.name: int(line.value) for line in backward_lines(SHARE, (LAYER,), training) if line.value}


def training(precision: str = "bf16", **how: Any) -> Training:
    return Training(PRECISIONS[precision], run=SequenceLengths(target=10), micro_batch=2, **how)


WIDEST = {"widest_gradient_twice": 2 * 20 * 20 * 2}
"""10 positions by 20 numbers of 2 sequences, of 2 bytes, twice."""


def test_a_backward_pass_needs_its_widest_gradient_twice() -> None:
    """And where layers are computed again all that one keeps, or its scores; of a frozen model of few bits its largest matrix in 16."""
    assert lines(training()) == WIDEST
    assert lines(training(recompute="full")) == {"layer_again": 20 * 20 * 2, **WIDEST}
    scores = 2 * 10 * 10 * 4 * 2
    assert lines(training(attention="naive", recompute="selective")) == {
        "scores_again": scores,
        "widest_gradient_twice": 2 * scores,
    }
    assert lines(training(base=DTYPES["nf4"], rank=4)) == {**WIDEST, "unpacked_matrix": 2 * 160}


@pytest.mark.parametrize(
    ("precision", "plan", "expected"),
    [
        ("bf16", Parallelism(data=4, zero=1), {}), ("bf16", Parallelism(data=4, zero=2), {"unscattered_gradients": 800 * 2}),
        ("bf16", Parallelism(data=4, zero=2, pipeline=2), {}),
        ("bf16", Parallelism(data=4, zero=3), {"gathered_weights": 2 * (2 * MATRICES + TABLES), "unscattered_gradients": 800 * 2}),
        ("bf16", Parallelism(data=4, zero=3, pipeline=2), {"gathered_weights": 2 * (2 * MATRICES + TABLES), "unscattered_gradients": 800 * 2}),
        ("fp32-master", Parallelism(data=4, zero=3), {"gathered_weights": 2 * (2 * MATRICES + TABLES), "unscattered_gradients": 2 * (MATRICES + TABLES) + 4 * MATRICES}),
        ("fp32-master", Parallelism(data=4, zero=2), {"unscattered_gradients": 2 * (MATRICES + TABLES) + 4 * MATRICES}),
        ("fp32-master", Parallelism(data=4, zero=2, pipeline=2), {"unscattered_gradients": 2 * MATRICES}),
        ("bf16", Parallelism(zero=3), {}),
    ],
)  # fmt: skip
def test_what_zero_has_whole_for_a_layer(precision: str, plan: Parallelism, expected: dict[str, int]) -> None:
    """Two layers' weights and the tables; gradients of a layer or, of 800 numbers, of a table before they are divided."""
    assert lines(training(precision, plan=plan)) == WIDEST | expected


def test_weights_on_the_host_are_sent_two_layers_at_a_time() -> None:
    assert lines(training(offload=frozenset({"weights"}))) == WIDEST | {"gathered_weights": 2 * (2 * MATRICES + TABLES)}
    assert "unscattered_gradients" not in lines(training(plan=Parallelism(data=4, zero=3), rank=4))


def test_products_read_their_input_whole_along_the_sequence() -> None:
    """Two arrays of Megatron-LM's and three of DTensor's, of 10 positions by 8 numbers of 2 sequences."""
    cut = Parallelism(tensor=2, sequence=True)
    assert lines(training(plan=cut))["whole_inputs"] == 2 * 10 * 8 * 2 * 2
    assert lines(training("fp32-master", plan=cut._replace(data=4, zero=3)))["whole_inputs"] == 3 * 10 * 8 * 2 * 2
    assert "whole_inputs" not in lines(training(plan=Parallelism(tensor=2)))


def test_the_residual_stream_is_what_goes_into_a_layer() -> None:
    """And neither what a norm keeps of it in a layer nor what else is kept of a layer that is computed again."""
    norm, other = Saved("norm", "norm", "target", 24, "residual"), Saved("x", "norm", "target", 24, keeping=("full",))
    cut = training(plan=Parallelism(tensor=2, sequence=True))
    layer = LAYER._replace(kept=(norm, other, *LAYER.kept))
    (whole,) = (line.value for line in backward_lines(SHARE, (layer,), cut) if line.name == "whole_inputs")
    assert whole == 2 * 10 * 8 * 2 * 2


def moment(
    logits: int, at_peak: int | None, backward: int, how: Training, peak: Any = "held"
) -> tuple[dict[str, int], dict[str, int]]:
    held, needed = largest_moment(
        SHARE, (LAYER,), [Line("logits", logits)] if logits else [], at_peak, (Line("backward", backward),), how, peak
    )
    return {line.name: int(line.value) for line in held if line.value}, {
        line.name: int(line.value) for line in needed if line.value
    }


def test_the_larger_of_the_loss_and_of_a_layer_is_what_is_needed() -> None:
    """Of as much of both, the loss. Logits that are kept are no more once a layer's backward pass runs."""
    how = training()
    assert moment(100, 250, 249, how) == ({"logits": 100}, {"loss_at_its_peak": 150})
    assert moment(100, 250, 250, how) == ({"logits": 100}, {"loss_at_its_peak": 150})
    assert moment(100, 250, 251, how) == ({}, {"backward": 251})
    assert moment(100, None, 150, how) == ({"logits": 100}, {"loss_at_its_peak": 100})


def test_what_pipelines_and_streams_hold_at_either_moment() -> None:
    """FSDP2's stages hold inputs and room for gradients of each micro-batch, as many as pieces where a step's sequences are not said:
    160 numbers of 2 bytes each; gathers of the largest group, tables of 1,600; and a share of the stage's gradients in 32 bits.
    """
    plan = Parallelism(data=4, zero=3, pipeline=3)
    how = training("fp32-master", plan=plan)
    stream = 10 * 8 * 2 * 2
    weights = 2 * (2 * MATRICES + TABLES)
    _, needed = moment(0, 10**6, 0, how)
    assert needed == {"loss_at_its_peak": 10**6, "gathered_weights": weights, "pipeline_buffers": 2 * 3 * stream}
    _, said = moment(0, 10**6, 0, how._replace(batch=40))
    assert said["pipeline_buffers"] == 2 * 5 * stream
    _, reserved = moment(0, 10**6, 0, how, "reserved")
    assert reserved["gather_buffer"] == 2 * TABLES
    assert reserved["scattered_gradients"] == (MATRICES + TABLES) * 4 // 4
    _, alone = moment(0, 10**6, 0, how._replace(plan=plan._replace(pipeline=1)), "reserved")
    assert "scattered_gradients" not in alone and "pipeline_buffers" not in alone
    few = training(base=DTYPES["nf4"], rank=4, loss="plain-kept")
    assert moment(0, 10**6, 0, few)[1] == {"loss_at_its_peak": 10**6, "head_in_16_bits": 2 * 800}


def test_stages_of_several_pieces_hold_the_output_of_each() -> None:
    """Three stages of two pieces are six, with at least six micro-batches: 2·6 outputs of a device, and as much room for gradients."""
    plan = Parallelism(data=4, zero=3, pipeline=3, interleave=2, schedule="interleaved")
    how = training("fp32-master", plan=plan)
    stream = 10 * 8 * 2 * 2
    assert moment(0, 10**6, 0, how)[1]["pipeline_buffers"] == 2 * 2 * 6 * stream
    assert moment(0, 10**6, 0, how._replace(batch=40))[1]["pipeline_buffers"] == 2 * 2 * 5 * stream


def test_a_stream_gathers_the_largest_of_tables_and_layers() -> None:
    """Without tables the layer's 320 numbers; gradients are divided over the devices of context parallelism too."""
    plan = Parallelism(data=4, context=2, zero=3, pipeline=3)
    how = training("fp32-master", plan=plan)
    _, needed = largest_moment(LAYER.share, (LAYER,), [], 10**6, (), how, "reserved")
    found = {line.name: line.value for line in needed}
    assert found["gather_buffer"] == 2 * MATRICES
    assert found["scattered_gradients"] == MATRICES * 4 // 8
    assert "scattered_gradients" not in moment(0, 10**6, 0, how._replace(rank=4), "reserved")[1]


@pytest.mark.parametrize("larger_first", [True, False])
def test_of_several_kinds_of_layer_the_largest_counts(larger_first: bool) -> None:
    """One with a third matrix of 8 by 30, whose output is kept: 240 numbers more, and 30 for each of 20 positions."""
    third = UP._replace(name="third", d_out=30)
    larger = Layer(
        Ledger.of("x", (*LAYER.share.entries, third)), (*LAYER.kept, Saved("third", "feed_forward", "target", 30))
    )
    layers = (larger, LAYER) if larger_first else (LAYER, larger)
    how = training("fp32-master", plan=Parallelism(data=4, zero=3), recompute="full")
    found = {line.name: line.value for line in backward_lines(SHARE, layers, how)}
    assert found["layer_again"] == 20 * (20 + 30) * 2
    assert found["widest_gradient_twice"] == 2 * 20 * 30 * 2
    assert found["gathered_weights"] == 2 * (2 * (MATRICES + 240) + TABLES)
    assert found["unscattered_gradients"] == 2 * (MATRICES + 240 + TABLES) + 4 * (MATRICES + 240)


def test_experts_that_no_other_device_has_are_not_gathered() -> None:
    """Eight over eight devices: of the layer's matrices the other two are; over four of eight, two copies of each are divided too."""
    expert = UP._replace(name="expert", experts=1, one_of=True)
    layer = LAYER._replace(share=Ledger.of("x", (*LAYER.share.entries, expert)))
    for ranks, divided in ((8, MATRICES), (4, MATRICES + 160)):
        how = training(plan=Parallelism(data=8, zero=3, expert=ranks))
        found = {line.name: line.value for line in backward_lines(SHARE, (layer,), how)}
        assert found["gathered_weights"] == 2 * (2 * divided + TABLES)
