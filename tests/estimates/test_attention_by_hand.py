"""Where attention overtakes the rest, in a model so small that its products are counted on paper; and errors of a few predictions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.core.metric import Missing
from tscale.estimates import conventions
from tscale.estimates.accuracy import Errors
from tscale.estimates.attention import Ask, costs_of, crossovers, default_contexts
from tscale.estimates.explaining import counted
from tscale.estimates.trained import trained

TEXT = (
    "name: small\nlayers: 2\nd_model: 64\nvocabulary: 640\ncontext: 1000\ntied: true\nattention: {heads: 4%s}\npositions: {kind: rotary}\n"
    "norm: {kind: rmsnorm}\nfeed_forward: {d_ff: 256}\n"
)
SMALL = counted(spec(TEXT % ""))
RANK = 2 * 4 * (16 + 16)
"""Multiply-adds of all scores and their sums for a pair of tokens: 4 heads of 16 in two layers."""
FEED_FORWARD, PROJECTIONS, HEAD = 2 * 2 * 64 * 256, 2 * 4 * 64 * 64, 64 * 640
PARAMS = 640 * 64 + PROJECTIONS + FEED_FORWARD + 5 * 64


@pytest.mark.parametrize(("dtype", "bits"), [("bf16", 16), ("fp32", 32), ("int4", 4)])
def test_scores_cost_as_much_as_the_rest_where_each_token_sees_as_many_keys(dtype: str, bits: int) -> None:
    """65,536 weights of feed-forwards over 256 for a pair are 256 keys; causal, a token sees half of twice as many, and itself."""
    found: Any = crossovers(SMALL, Ask(dtype=dtype))
    assert found["feed_forward"].value == FEED_FORWARD // RANK == 256
    assert found["all_else"].value == -(-(FEED_FORWARD + PROJECTIONS + HEAD) // RANK)
    per_token = 2 * 2 * 4 * 16  # keys and values of two layers, of as many bits as the weights
    assert found["cache_equals_weights"].value == -(-PARAMS // per_token)
    assert found["cache_equals_weights"].formula == f"⌈total·{bits}/cache_bits_per_token⌉"
    assert all(one.formula for one in found.values()), "each is told by its closed form"
    causal: Any = crossovers(SMALL, Ask(dtype=dtype, sight="causal"))
    assert causal["feed_forward"].formula
    assert causal["feed_forward"].value == 2 * 256 - 1
    assert bits == 8 * costs_of(SMALL, 100, Ask(dtype=dtype)).cache.value / (100 * per_token)  # type: ignore[union-attr]


def test_a_window_ends_the_growth_of_scores() -> None:
    windowed = counted(spec(TEXT % ", window: 8"))
    found = crossovers(windowed, Ask(sight="causal"))
    assert found["feed_forward"] == Missing("never: a window stops the growth")


def test_costs_of_one_sequence() -> None:
    """100 tokens in two layers of 4 heads: 2·100² pairs of 16 and 16; a matrix of 4·100² scores of 2 bytes in the largest layer."""
    costs = costs_of(SMALL, 100, Ask())
    assert (costs.context.value, costs.per_sequence.value, costs.per_token.value) == (
        100,
        2 * 100**2 * RANK,
        2 * 100 * RANK,
    )
    assert costs.matrix.value == 4 * 100**2 * 2
    assert costs.forward.value == 2 * 100 * (FEED_FORWARD + PROJECTIONS + HEAD) + 2 * 100**2 * RANK
    assert default_contexts(SMALL.spec)[:1] != [] and 1000 in default_contexts(SMALL.spec)


def test_training_flops_of_a_small_model_by_each_convention() -> None:
    """10^6 tokens in sequences of 100. Megatron's formula (Narayanan 2021): 72·t·l·h²·(1 + s/(6h) + V/(12lh)), and 96 with recomputation.

    PaLM's: 6·N and 12·l·heads·head_dim·s for each token. Kaplan's N has no embeddings, which here are the head's too.
    """
    run = trained(SMALL.spec, 10**6, 100)
    found: Any = conventions.by_convention(SMALL, run)
    n = PARAMS
    assert found["six_nd"].value == 6 * n * 10**6
    assert found["six_nd_non_embedding"].value == 6 * (n - 640 * 64) * 10**6
    assert found["palm"].value == (6 * n + 12 * 2 * 4 * 16 * 100) * 10**6
    forward = FEED_FORWARD + PROJECTIONS + HEAD
    assert found["exact"].value == 3 * (2 * forward + 2 * 100 * RANK) * 10**6
    assert found["exact_causal"].value == 3 * (2 * forward * 10**6 + 2 * 100 * 101 // 2 * RANK * 10**4)
    megatron = 72 * 2 * 64**2 * (1 + 100 / (6 * 64) + 640 / (12 * 2 * 64)) * 10**6
    assert found["megatron"].value == pytest.approx(megatron)


def test_errors_of_five_predictions() -> None:
    """0 to 0.4 in steps of a tenth: the 90th percentile is between the last two, three fifths of the way; one of five is covered, two broke a bound."""

    def one(error: float, *, covered: bool, broken: bool) -> Any:
        return SimpleNamespace(error=error, covered=covered, bound_broken=broken, covered_by_others=None)

    several = [one(0.1 * place, covered=place == 0, broken=place > 2) for place in (3, 1, 4, 0, 2)]
    found = Errors.of(several)
    assert (found.figures, found.coverage, found.bound_broken) == (5, pytest.approx(0.2), 2)  # type: ignore[comparison-overlap]
    assert (found.median, found.mean, found.p90) == (pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.36))  # type: ignore[comparison-overlap]
    alone = Errors.of(several[:1])
    assert (alone.median, alone.p90, alone.mean) == (pytest.approx(0.3),) * 3  # type: ignore[comparison-overlap]
