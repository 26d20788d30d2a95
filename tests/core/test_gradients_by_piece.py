"""Gradients of an interleaved pipeline where ZeRO divides them: held to a schedule that is run through pass by pass."""

from __future__ import annotations

import json

import pytest

from tests.helpers import run
from tscale.core.costs.schedules import in_flight
from tscale.core.parallelism import Parallelism


def most_at_once(stage: int, stages: int, pieces: int, micro_batches: int, activations: int, gradients: int) -> int:
    """The most that a stage holds: of each piece in flight its `activations`, of each whose passes have begun and not ended `gradients`.

    The order of PyTorch's interleaved schedule: rounds of all micro-batches, piece after piece, with as many passes before the
    first backward one as Narayanan 2021 has.
    """
    passes = micro_batches * pieces
    ahead = min(2 * (stages - stage - 1) + (pieces - 1) * micro_batches, passes)
    order = ["forward"] * ahead
    for _ in range(passes - ahead):
        order += ["forward", "backward"]
    order += ["backward"] * ahead
    flying, done, most = 0, 0, 0
    for one in order:
        if one == "forward":
            flying += 1
            most = max(most, flying * activations + (done % micro_batches > 0) * gradients)
        else:
            most = max(most, flying * activations + gradients)
            flying, done = flying - 1, done + 1
    return most


@pytest.mark.parametrize("stages", [2, 4, 8])
@pytest.mark.parametrize("pieces", [2, 3, 8])
def test_one_piece_s_gradients_are_held_beside_the_most_activations(stages: int, pieces: int) -> None:
    """Of as many micro-batches as stages, where activations of a piece outweigh its gradients, which else are held later."""
    plan = Parallelism(pipeline=stages, interleave=pieces)
    for stage in range(stages):
        flying, _ = in_flight(stage, plan, stages)
        assert most_at_once(stage, stages, pieces, stages, 10, 3) == 10 * flying + 3


BASE = (
    "memory", "llama-3.1-405b", "--train", "--gpu", "h100", "--gpus", "16384", "--tensor", "8", "--sequence", "--pipeline", "16",
    "--interleave", "8", "--context", "8192", "--precision", "bf16-fp32-gradients",
)  # fmt: skip
LAYER = 2 * 16384 * 16384 + 2 * 16384 * 1024 + 3 * 16384 * 53248


def gradients_of(*words: str) -> int:
    said = run(*BASE, *words, "--format", "json")  # which may say that it does not fit
    return int(json.loads(said.out)["per_device_bytes"]["gradients"])


def test_a_device_of_llama_3_405b_holds_the_gradients_of_one_layer() -> None:
    """16 micro-batches of 16 stages: a layer's whole in 32 bits, cut over 8, and all 8 layers' divided among 128 copies."""
    whole = 4 * LAYER // 8
    assert gradients_of("--batch", "2048", "--zero", "2") == pytest.approx(whole + 8 * whole / 128, rel=1e-3)  # norms


@pytest.mark.parametrize(
    "words", [("--batch", "4096", "--zero", "2"), ("--batch", "2048", "--zero", "1"), ("--zero", "2")]
)
def test_gradients_are_whole_where_pieces_take_turns_or_nothing_divides_them(words: tuple[str, ...]) -> None:
    assert gradients_of(*words) == pytest.approx(8 * 4 * LAYER / 8, rel=1e-3)
