"""What a device keeps of each parameter of a few small matrices, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.costs.states import adapted, adapter_saves, in_backward, shards, training_states
from tscale.core.layers import Every
from tscale.core.ledger import Block, Conv, Cut, Group, Ledger, Lookup, Matmul, Scores, Vector
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS, bias_size, factored_numbers

FEED = Block("decoder", "feed-forward")
UP = Matmul("up", "up", "feed_forward", "target", 10, 24, stored=2, used=2, block=FEED)
EXPERT = UP._replace(name="expert", experts=8, stored=16, used=4)
TABLE = Lookup("table", "embedding", "embedding", 100, 10)


@pytest.mark.parametrize(
    ("change", "shared", "routed"),
    [
        ({}, False, False), ({"stream": "once"}, True, False), ({"stream": "once", "block": Block("tower", "mixer")}, False, False),
        ({"stream": "tower_inputs", "block": Block("tower", "mixer")}, False, False), ({"experts": 8, "stored": 16, "used": 4}, False, True),
    ],
)  # fmt: skip
def test_adapters_keep_what_lies_between_their_two_matrices(change: dict[str, Any], shared: bool, routed: bool) -> None:
    """Rank numbers for each use of a position; a table's rows once for all sequences, but for one of a tower, whose images are many."""
    entry = UP._replace(**change)
    (saved,) = adapter_saves(Ledger.of("x", (entry, TABLE, entry._replace(role="position_scores"))), 3)
    assert (saved.name, saved.width, saved.used, saved.stream) == ("up.lora", 3, entry.used, entry.stream)
    assert (saved.shared, saved.gathered, saved.routed) == (shared, routed, routed)
    assert adapter_saves(Ledger.of("x", (entry,)), 3, frozenset({"down"})) == ()


@pytest.mark.parametrize(
    ("entries", "plan", "numbers"),
    [
        ((UP, TABLE), Parallelism(), 1000), ((TABLE, UP), Parallelism(), 1000), ((UP, EXPERT), Parallelism(), 8 * 240), ((EXPERT, TABLE), Parallelism(data=4, zero=2), 8 * 240 / 4),
        ((EXPERT, TABLE), Parallelism(data=8, expert=8, zero=2), 8 * 240), ((UP, TABLE._replace(stored=0)), Parallelism(), 240), ((TABLE,), Parallelism(data=4, zero=1), 1000),
    ],
)  # fmt: skip
def test_the_largest_gradient_is_that_of_one_matrix_or_of_a_layer_s_experts(
    entries: tuple[Any, ...], plan: Parallelism, numbers: float
) -> None:
    """Of 240 numbers, of 8 times as many or of a table's 1,000, in 16 bits; ZeRO divides it among those that have the same."""
    ledger, precision = Ledger.of("x", entries), PRECISIONS["pure-bf16"]
    states = training_states(ledger, precision, OPTIMIZERS["adamw"], plan)
    assert in_backward(states, ledger, precision, plan).gradients.total == 2 * numbers


@pytest.mark.parametrize(
    ("zero", "micro_batches", "whole", "in_pieces"),
    [(1, 3, 1, 0), (2, 4, 1, 0), (2, 3, 0, 1), (2, None, 1, 0), (3, 3, 0, 0)],
)
def test_gradients_of_an_interleaved_pipeline_are_those_of_one_piece_where_micro_batches_are_few(
    zero: int, micro_batches: int | None, whole: int, in_pieces: int
) -> None:
    """Three stages of two pieces, with five layers of 240 weights here: the last piece has three, and a fourth of all is scattered.

    A table, which is in no layer, is kept whole up to the third stage; with that a fourth is kept of either.
    """
    layers = Group(Every(), "decoder", 5, None, (UP._replace(stored=1, used=1),))
    ledger = Ledger("x", (Group("start", "none", 1, None, (TABLE,)), layers))
    plan = Parallelism(data=4, zero=zero, pipeline=3, interleave=2, schedule="interleaved")
    states = training_states(ledger, PRECISIONS["fp32"], OPTIMIZERS["adamw"], plan, micro_batches)
    found = {line.name: line.value for line in states.gradients.lines}
    every = 5 * 240 * 4
    expected = every if whole else every * 3 // 5 + every // 4 if in_pieces else every // 4
    assert found == {"table": 1000 * 4 // (4 if zero == 3 else 1), "up": expected}


def test_shards_of_each_kind_of_entry() -> None:
    """Of 16 ranks of data and context parallelism: experts of attention stay with their keys, routed ones are cut over tensor ranks."""
    plan = Parallelism(2, data=8, context=2, expert=4, expert_tensor=1)
    attention = EXPERT._replace(part="attention")
    assert [shards(entry, plan) for entry in (UP, attention, EXPERT)] == [16, 4, 8]
    hybrid = plan._replace(shards=2)
    assert [shards(entry, hybrid) for entry in (UP, attention, EXPERT)] == [2, 2, 1]
    assert shards(attention, plan._replace(expert=1)) == 16


def test_an_adapter_is_cut_on_the_side_of_its_device_s_part() -> None:
    """What columns give out is cut behind the second matrix, what rows read before the first, of blocks both; nothing else is trained."""
    for cut, first, second in (
        (None, False, False),
        (Cut(24), False, True),
        (Cut(24, "in"), True, False),
        (Cut(2, "copies"), True, True),
    ):
        entry = UP._replace(cut=cut, bias=True)
        frozen, a, b = adapted(Ledger.of("x", (entry,)), 3).entries
        assert frozen == entry._replace(trained=False)
        assert a == entry._replace(name="up.lora_a", role="lora_a", d_out=3, bias=False, cut=cut if first else None)
        assert b == entry._replace(name="up.lora_b", role="lora_b", d_in=3, bias=False, cut=cut if second else None)
    others = (TABLE, Vector("norm", "norm", "norm", 10), Scores("s", "target", "target", 1, 1, 1, True))
    assert [getattr(one, "trained", None) for one in adapted(Ledger.of("x", others), 3).entries] == [False, False, None]
    assert len(adapted(Ledger.of("x", (UP,)), 3, frozenset({"down"})).entries) == 1


@pytest.mark.parametrize(
    ("entry", "factored", "bias"),
    [
        (UP, 10 + 24, 0), (UP._replace(bias=True), 10 + 24 + 24, 24), (TABLE, 100 + 10, 0), (Vector("v", "norm", "norm", 7), 7, 7),
        (Conv("c", "conv", "mixer", "target", 6, 4), 6 + 6 * 4, 0), (Conv("c", "conv", "mixer", "target", 6, 4, bias=True), 6 + 6 * 4 + 6, 6),
    ],
)  # fmt: skip
def test_sums_of_rows_and_columns(entry: Any, factored: int, bias: int) -> None:
    """Of a matrix, and of a table; of [channels, 1, kernel] over the last two; whole for vectors, a bias among them."""
    assert (factored_numbers(entry), bias_size(entry)) == (factored, bias)
