"""The decoding of responses of different lengths, against a simulation that draws them one by one."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from random import Random
from statistics import fmean

import pytest

from tscale.core.costs.rollout import (
    Lengths,
    Piece,
    any_left,
    fullest_tokens,
    longer_than,
    mean_share,
    pieces,
)


def decode_seconds(
    lengths: Lengths, batch: float, waiting: float, everyone: float, step: Callable[[float, float], float]
) -> float:
    """Seconds of the decoding; `step`: seconds of a step of so many sequences, after so many tokens of their responses."""
    return sum(piece.steps * step(piece.sequences, piece.tokens) for piece in pieces(lengths, batch, waiting, everyone))


CASES = [Lengths(10, 1000), Lengths(100, 1000), Lengths(500, 1000), Lengths(800, 1000), Lengths(990, 1000)]


def drawn(lengths: Lengths, dice: Random, many: int) -> list[float]:
    """Lengths by the inverse of their distribution: of a density in proportion to exp(-k·t/L) on [0, L]."""
    k = lengths.rate
    if abs(k) < 1e-6:
        return [dice.random() * lengths.most for _ in range(many)]
    return [-log(1 - dice.random() * (1 - exp(-k))) / k * lengths.most for _ in range(many)]


@pytest.mark.parametrize("rate", [-20.0, -3.0, 0.5, 3.0, 40.0])
def test_the_mean_is_that_of_the_density(rate: float) -> None:
    """1/k - 1/(e^k - 1) against a sum over 100,000 slices of t·exp(-k·t)."""
    middles = [(place + 0.5) / 100_000 for place in range(100_000)]
    weights = [exp(-rate * t) for t in middles]
    assert mean_share(rate) == pytest.approx(sum(t * w for t, w in zip(middles, weights, strict=True)) / sum(weights))


@pytest.mark.parametrize("lengths", CASES)
def test_a_rate_gives_the_mean_that_it_is_of(lengths: Lengths) -> None:
    assert mean_share(lengths.rate) * lengths.most == pytest.approx(lengths.mean)


@pytest.mark.parametrize("lengths", CASES)
def test_decoding_is_that_of_drawn_responses(lengths: Lengths) -> None:
    """64 responses, each step of 1 s and 0.1 s a sequence: the tokens of the longest, and a tenth of all tokens; 2,000 times."""
    dice, batch = Random(7), 64  # noqa: S311
    runs, everyone = [], drawn(lengths, dice, 2_000 * batch)
    for run in range(2_000):
        responses = everyone[run * batch : (run + 1) * batch]
        runs.append(max(responses) + 0.1 * sum(responses))
    predicted = decode_seconds(lengths, batch, 0, batch, lambda sequences, _: 1 + 0.1 * sequences)
    assert predicted == pytest.approx(fmean(runs), rel=0.01)


@pytest.mark.parametrize("lengths", CASES)
def test_the_cache_is_the_fullest_when_drawn_responses_have_the_most(lengths: Lengths) -> None:
    """5,000 responses to prompts of 50 tokens, at each thousandth of the longest."""
    dice, many, prompt = Random(3), 5_000, 50  # noqa: S311
    responses = drawn(lengths, dice, many)
    moments = [lengths.most * place / 1000 for place in range(1000)]
    most = max(sum(prompt + t for length in responses if length > t) for t in moments) / many
    assert fullest_tokens(lengths, prompt) == pytest.approx(most, rel=0.05)


@pytest.mark.parametrize("mean", [0.01, 1, 999.99])
def test_means_far_from_the_middle_have_a_rate(mean: float) -> None:
    lengths = Lengths(mean, 1000)
    assert mean_share(lengths.rate) == pytest.approx(mean / 1000, rel=1e-6)
    assert 0 <= longer_than(lengths, lengths.rate, 500) <= 1


def test_responses_of_one_length_end_together() -> None:
    fixed = Lengths(256, 256)
    assert decode_seconds(fixed, 8, 0, 8, lambda sequences, _: sequences) == pytest.approx(8 * 256)
    assert fullest_tokens(fixed, 100) == 356
    assert longer_than(fixed, 0.0, 255) == 1
    assert longer_than(fixed, 0.0, 256) == 0


def test_those_that_wait_are_decoded_at_the_full_batch() -> None:
    """32 responses of 100 tokens, 8 at once: four times as long as 8."""
    alone = decode_seconds(Lengths(100, 100), 8, 0, 8, lambda _sequences, _tokens: 1.0)
    assert decode_seconds(Lengths(100, 100), 8, 24, 32, lambda _sequences, _tokens: 1.0) == pytest.approx(4 * alone)


def test_some_response_is_left_while_any_is() -> None:
    assert any_left(1.0, 5) == 1
    assert any_left(0.0, 5) == 0
    assert any_left(0.25, 3) == pytest.approx(1 - 0.75**3)
    assert sum(piece.steps for piece in pieces(Lengths(10, 1000), 4, 0, 10**9)) <= 1000


def test_what_is_left_of_a_batch_is_at_least_one_response() -> None:
    """Of one response, or of a batch the last part of whose engine is less than one: a step is of a whole one."""
    alone = list(pieces(Lengths(500, 1000), batch=1, waiting=0, everyone=1))
    assert [piece.sequences for piece in alone] == pytest.approx([1.0] * len(alone))
    shared = list(pieces(Lengths(500, 1000), batch=4, waiting=0, everyone=64))
    assert shared[0].sequences == pytest.approx(4, rel=0.01)
    assert shared[-1].sequences == 1


def test_those_that_wait_are_half_way_through_their_responses() -> None:
    """24 of a mean of 100 tokens, 8 at once: 300 steps, at 50 tokens; the last batch begins with all of its responses."""
    first, second, *_ = pieces(Lengths(100, 400), batch=8, waiting=24, everyone=32)
    assert first == Piece(50, 300, 8)
    assert second.tokens == pytest.approx(400 / 32**2 / 2)
    assert second.steps == pytest.approx(400 / 32**2)
    assert second.sequences == pytest.approx(8, rel=0.01)
    assert next(iter(pieces(Lengths(100, 400), batch=8, waiting=0, everyone=8))).tokens == second.tokens
