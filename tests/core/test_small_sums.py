"""Sums of a few lines, counted one by one: pairs that are scored, pieces of a stack, bytes of a state in blocks, derivations."""

from __future__ import annotations

from itertools import product

import pytest

from tscale.core.costs.forward import pairs
from tscale.core.counts import parse_count
from tscale.core.ledger import Matmul, Scores, Vector
from tscale.core.metric import Figure, step
from tscale.core.partition import stretches
from tscale.core.precision import OPTIMIZERS, state_bytes
from tscale.core.tracing import label, trace
from tscale.core.units import BYTES
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError


def _sees(query: int, key: int, *, causal: bool, window: int | None, chunked: bool) -> bool:
    """Whether a query sees a key: of its own chunk, or within a window, of which half is on either side where it sees both ways."""
    if causal and key > query:
        return False
    if window is None:
        return True
    if chunked:
        return query // window == key // window
    return query - key < window if causal else abs(query - key) <= window // 2


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_pairs_are_those_of_a_loop_over_queries_and_keys(causal: bool, chunked: bool) -> None:
    for length, window in product((1, 2, 7, 12), (None, 1, 2, 3, 4, 5, 12, 40)):
        one = Scores("s", "target", "target", 1, 1, 1, causal, window=window, chunked=chunked and window is not None)
        how = {"causal": causal, "chunked": chunked}
        seen = sum(_sees(q, k, window=window, **how) for q in range(length) for k in range(length))
        assert pairs(one, SequenceLengths(target=length), "causal") == seen, (length, window)
        assert pairs(one, SequenceLengths(target=length), "full") == length**2


def test_pieces_are_as_even_as_they_can_be_with_the_table_and_the_head_for_a_layer_each() -> None:
    """Of 7 layers in 3 pieces, 9 of which one is the table and one is the head: 2, 3 and 2. Of 5 in 4 the last would have the head alone: 2, 1, 1 and 1."""
    sizes = {
        (7, 3): [2, 3, 2], (6, 3): [2, 2, 2], (8, 3): [3, 3, 2], (126, 4): [31, 32, 32, 31], (5, 4): [2, 1, 1, 1],
        (3, 2): [2, 1], (5, 3): [2, 2, 1], (4, 4): [1, 1, 1, 1], (10, 4): [2, 3, 3, 2],
    }  # fmt: skip
    for (layers, pieces), expected in sizes.items():
        found = stretches(layers, pieces)
        assert [int(one.size) for one in found] == expected
        assert [int(one.start) for one in found] == [sum(expected[:place]) for place in range(pieces)]
    assert [int(one.size) for one in stretches(6, 8, ends=True)] == [0, 1, 1, 1, 1, 1, 1, 0]


def test_states_in_8_bits_have_a_scale_for_each_block_of_their_matrix() -> None:
    """bitsandbytes: two states of a byte a number, with 4 bytes for each 256 that begin; tensors below 4,096 numbers stay in fp32.

    A matrix of 3 by 100 with 100 biases: all in fp32. One of 50 by 100: 5,000 numbers in 20 blocks. A vector of 4,095 numbers, and of
    4,096 in 16 blocks; a gain and a bias of 2,048. Muon has one state of a matrix, and two of what is none.
    """
    matrix, vector = Matmul("m", "up", "feed_forward", "target", 3, 100, bias=True), Vector("v", "norm", "norm", 100)
    eight = OPTIMIZERS["adam-8bit"]
    assert state_bytes(matrix, eight, 4) == 2 * 400 * 4
    assert state_bytes(matrix._replace(d_in=50), eight, 4) == 2 * (5000 + 20 * 4) + 2 * 100 * 4
    assert state_bytes(vector._replace(width=4095), eight, 4) == 2 * 4095 * 4
    assert state_bytes(vector._replace(width=4096), eight, 4) == 2 * (4096 + 16 * 4)
    assert state_bytes(vector._replace(width=4096, tensors=2), eight, 4) == 2 * 4096 * 4
    assert state_bytes(vector, eight, 4) == 2 * 100 * 4
    assert state_bytes(matrix, OPTIMIZERS["muon"], 2) == 300 * 2 + 2 * 100 * 2
    assert state_bytes(vector, OPTIMIZERS["muon"], 2) == 2 * 100 * 2
    assert state_bytes(matrix, OPTIMIZERS["adamw"], 2) == 2 * 400 * 2
    assert state_bytes(matrix, OPTIMIZERS["adamw-fp32"], 2) == 2 * 400 * 4
    assert state_bytes(matrix, OPTIMIZERS["lion"], 2) == 400 * 2
    assert state_bytes(matrix, OPTIMIZERS["paged-adamw"], 2) == 0


def test_a_size_under_its_own_name_is_not_derived() -> None:
    """What was computed is, and what is shown under another name; a plain number never is."""
    d = trace(8, "d")
    derived = {
        ("d", d): False, ("width", d): True, ("twice", 2 * d): True, ("twice", label("twice", 2 * d)): True, ("d", 8): False,
    }  # fmt: skip
    for (name, value), expected in derived.items():
        assert (step(name, Figure(value, BYTES)) is not None) == expected, (name, value)


def test_a_text_that_is_no_count_is_shown_to_its_fortieth_character() -> None:
    for text in ("x" * 50, "0" * 39 + ".5" + "0" * 9, "9" * 40 + "0" * 9, "9" * 39 + "e1" + "       "):
        with pytest.raises(RequestError) as refused:
            parse_count(text, what="--it", most=10)
        assert text[:40].strip() in str(refused.value)
        assert text[:41].strip() not in str(refused.value) or text[40:41].isspace()
