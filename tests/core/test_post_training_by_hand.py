"""Phases of post-training: who stays, what log-probabilities take, tokens of a step, all on one's fingers."""

from __future__ import annotations

from typing import Any

import pytest

from tscale.core.costs.post_training import Passes, Resident, Stage, StepConstants, held_in, joined, key_of, passes
from tscale.core.loss_kernels import Logits, scoring_bytes
from tscale.core.methods import Sleeper
from tscale.core.metric import Line

LOGITS = Logits(numbers=1000, tokens=10, words=100, width=8, number_bytes=2, trained=True)


@pytest.mark.parametrize(
    ("kernel", "size"),
    [
        ("plain", 4 * 1000 + 4 * 1000), ("parallel", 4 * 1000 + 4 * 1000), ("plain-kept", (8 + 2) * 1000), ("hf-old", 12 * 1000),
        ("bf16", 2 * 2 * 1000), ("chunked", 2 * 1000 + 1000), ("chunked-compiled", 2 * 1000 + 1000),
        ("chunked-recomputed", 10 * 1000 // 8), ("one-kernel", 2 * 1000), ("compiled", 2 * 1000), ("in-place", 4 * 1000 + 2 * 1000),
    ],
)  # fmt: skip
def test_arrays_of_a_forward_pass_that_ends_in_log_probabilities(kernel: str, size: int) -> None:
    """1,000 logits of 2 bytes: in fp32 with their logarithms of probabilities, beside themselves, or in eight pieces."""
    assert scoring_bytes(kernel, LOGITS) == size


def test_a_head_that_is_not_trained_has_no_gradient_in_a_fused_kernel() -> None:
    """Pieces of one token, ten over ⌈100/8⌉: 10 by 8 gradients of its input and a piece's 100 logits, 2 bytes each."""
    assert scoring_bytes("fused-linear", LOGITS) == 2 * 10 * 8 + 2 * 1 * 100


def test_pieces_are_rounded_up() -> None:
    odd = LOGITS._replace(numbers=3, number_bytes=4)
    assert scoring_bytes("chunked", odd) == 12 + 3
    assert scoring_bytes("chunked-recomputed", odd) == 5


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("sft", 16, 100, 400, 8, 3), Passes(0, 0, 16 * 500, 3 * 16 * 500)),
        (("dpo", 16, 100, 400, 8, 3), Passes(0, 0, 2 * 16 * 500, 3 * 2 * 16 * 500)),
        (("ppo", 16, 100, 400, 1, 2), Passes(16 * 400, 16 * 100, 16 * 500, 2 * 16 * 500)),
        (("grpo", 17, 100, 400, 8, 1), Passes(17 * 400, 3 * 100, 17 * 500, 17 * 500)),
    ],
)
def test_tokens_of_a_step(given: Any, found: Passes) -> None:
    """A prompt is read once for a group of responses, of which the last may be smaller."""
    assert passes(*given) == found


def test_what_sleeps_is_held_where_it_is_used() -> None:
    residents = [
        Resident("policy", 10, frozenset({"training", "rollout"}), "weights"),
        Resident("reference", 20, frozenset({"reference"}), "reference"),
    ]
    stage = Stage("training", (Line("activations", 5),))
    both = frozenset[Sleeper]({"weights", "reference"})
    assert list(held_in(stage, residents, both)) == [Line("policy", 10), Line("activations", 5)]
    awake = [Line("policy", 10), Line("reference", 20), Line("activations", 5)]
    assert list(held_in(stage, residents, frozenset())) == awake
    assert list(held_in(stage._replace(phase="reward"), residents, both)) == [Line("activations", 5)]
    assert list(held_in(stage._replace(phase="reward"), residents, frozenset({"reference"}))) == [
        Line("policy", 10), Line("activations", 5),
    ]  # fmt: skip


def test_weights_are_moved_in_the_seconds_of_their_place() -> None:
    constants = StepConstants(moved_colocated=3, moved_apart=0.5)
    assert constants.moved(10, colocated=True) == 30
    assert constants.moved(10, colocated=False) == 5
    assert StepConstants() == StepConstants(0, 0)


def test_rollouts_of_devices_apart_overlap_with_the_rest() -> None:
    assert (joined(30, 40, overlapped=False), joined(30, 40, overlapped=True), joined(50, 40, overlapped=True)) == (
        70,
        40,
        50,
    )
    assert key_of("old log-probs") == "old_log_probs"
