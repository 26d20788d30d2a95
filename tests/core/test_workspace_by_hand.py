"""What a step of serving needs of one layer, of widths that can be added up in the head; chunks where nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.costs.serving_chunks import GIB, chunks_of, most_decoding, usual_chunk
from tscale.core.costs.workspace import activation_bytes, workspace_bytes
from tscale.core.ledger import Block, Conv, Cut, Ledger, Matmul, Scores
from tscale.core.workload import SequenceLengths

MIXER, FEED = Block("decoder", "mixer"), Block("decoder", "feed-forward")
D = 10
Q = Matmul("attention.q", "q", "attention", "target", D, 8, block=MIXER)
SCORES = Scores("attention.scores", "target", "target", 2, 4, 3, True, block=MIXER)
UP = Matmul("mlp.up", "up", "feed_forward", "target", D, 40, block=FEED)
DOWN = Matmul("mlp.down", "down", "feed_forward", "target", 40, D, cut=Cut(40, "in"), block=FEED)


def numbers(*entries: Any, run: SequenceLengths = SequenceLengths(1000), batch: int = 4, chunk: int = 96) -> int:
    """Activations a token of the largest block, of 100 tokens: those of a step of 4 sequences and a chunk of 96."""
    size = activation_bytes(Ledger.of("x", entries), run, batch, chunk, D, 16)
    assert size % 200 == 0
    return size // 200


def test_a_layer_is_as_large_as_its_largest_block() -> None:
    """Input before and after the norm, and what products come to; what goes into the matrix down is an array of its own."""
    assert numbers(Q) == 2 * D + 8
    assert numbers(Q, SCORES) == 2 * D + 8 + 2 * 3
    assert numbers(UP, DOWN) == 2 * D + 40 + 40 + D
    assert numbers(Q, SCORES, UP, DOWN) == 2 * D + 90
    assert numbers(Q._replace(d_out=100), SCORES, UP, DOWN) == 2 * D + 106
    assert activation_bytes(Ledger.of("x", ()), SequenceLengths(1000), 4, 96, D, 16) == 0


def test_only_what_is_cut_along_its_rows_goes_in_besides() -> None:
    assert numbers(UP, DOWN._replace(cut=None)) == 2 * D + 40 + D
    assert numbers(UP._replace(cut=Cut(40, "out")), DOWN) == 2 * D + 90
    assert numbers(Q._replace(cut=Cut(2, "in"))) == 2 * D + 8


def test_scores_with_and_without_a_window_take_turns() -> None:
    """A layer has one of them; heads of another block are beside it."""
    assert numbers(Q, SCORES, SCORES._replace(window=5)) == 2 * D + 8 + 6


def test_experts_of_a_token_are_those_it_is_sent_through() -> None:
    """2 of 8 experts in each of 3 layers."""
    assert numbers(UP._replace(experts=8, stored=24, used=6)) == 2 * D + 2 * 40
    assert numbers(UP._replace(stored=24, used=6)) == 2 * D + 40


@pytest.mark.parametrize("role", ["index_q", "latent_down", "adapter", "position_key"])
def test_what_runs_beside_the_rest_is_counted_on_its_own(role: Any) -> None:
    assert numbers(Q._replace(d_out=5), Q._replace(role=role, d_out=7)) == 2 * D + 7


def test_a_recurrence_beside_attention_stands_on_its_own() -> None:
    """Its products and its convolution are together, and a projection out of both is with attention."""
    gate = Q._replace(name="mixer.gate", role="gate", part="mixer", d_out=30)
    conv = Conv("mixer.conv", "conv", "mixer", "target", 9, 4, block=MIXER)
    assert numbers(Q, SCORES, gate, conv) == 2 * D + 30 + 9
    assert numbers(Q, SCORES, gate._replace(role="projection")) == 2 * D + 14 + 30
    assert numbers(Q, SCORES, gate, gate._replace(role="projection", d_out=25)) == 2 * D + 14 + 25


def test_a_step_takes_a_token_of_each_sequence_and_a_chunk_or_all_that_there_is() -> None:
    ledger = Ledger.of("x", (Q,))
    short = activation_bytes(ledger, SequenceLengths(20), 4, 96, D, 16)
    assert short == 2 * 4 * 20 * 28
    source = Ledger.of("x", (Q._replace(stream="source"),))
    assert activation_bytes(source, SequenceLengths(1000, 50), 4, 96, D, 8) == 4 * 50 * 28
    once = Ledger.of("x", (Q._replace(stream="once"),))
    assert activation_bytes(once, SequenceLengths(1000), 4, 96, D, 16) == 0


def test_logits_are_gathered_in_32_bits() -> None:
    """One row for each sequence, or for each token that is verified; of an encoder one for each position."""
    head = Matmul("head", "head", "head", "target", D, 11)
    run = SequenceLengths(1000, 50)
    for verified, source, rows in ((1, False, 4), (3, False, 12), (1, True, 4 * 50)):
        one = head._replace(stream="source") if source else head
        found = workspace_bytes(Ledger.of("x", (Q, one)), Ledger.of("x", (Q, one)), run, 4, 96, D, 16, verified)
        lines = {line.name: line.value for line in found.lines}
        assert lines["logits"] == 4 * rows * 11
        assert lines["activations"] == 2 * (4 * verified + 96) * 28
    assert workspace_bytes(Ledger.of("x", (Q,)), Ledger.of("x", (Q,)), run, 4, 96, D, 16).lines[1].value == 0


def test_chunks_of_each_engine_where_nothing_is_said() -> None:
    """SGLang's `ServerArgs`: 2,048 below 35 GiB, 4,096 below 60, 8,192 below 160; vLLM's: 8,192 of 70 GiB that are no A100."""
    sizes = {34: 2048, 35: 4096, 59: 4096, 60: 8192, 159: 8192, 160: 16384, 288: 16384}
    assert {size: usual_chunk("sglang", size * GIB) for size in sizes} == sizes
    assert [usual_chunk("sglang", 141 * GIB, copies) for copies in (2, 8, 10**5)] == [4096, 1024, 1]
    assert [usual_chunk("vllm", size * GIB) for size in (69, 70, 80)] == [2048, 8192, 8192]
    assert usual_chunk("vllm", 80 * GIB, older=True) == 2048
    assert usual_chunk("trtllm", 8 * GIB) == 8192


def test_steps_of_a_prompt_and_sequences_that_a_budget_decodes() -> None:
    """100 sequences of 50 steps: two prompts of 200 tokens and 100 tokens of decoding a step come to a budget of 500."""
    assert [chunks_of(prompt, 100) for prompt in (0, 1, 100, 101, 250.5)] == [1, 1, 1, 2, 3]
    assert most_decoding(500, 200, 50) == 100
    assert most_decoding(700, 200, 50, tokens=3) == 100
