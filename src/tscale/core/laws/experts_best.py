"""The best mixture of experts for a budget of training FLOPs, where memory and service count too.

The shape is that of Ludziejewski 2025, appendix A: layers, and heads, for each 64 of d_model; 4·d² parameters of attention and
9·d² of a feed-forward in each; 50,257 rows of embedding and as many of head. Active and total parameters, and the cache, then
follow from one number.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

from tscale.core.elementwise import asinh_of, sinh_of
from tscale.core.laws.experts import ExpertsLaw, Granular, Joint, Mixture, Routed, Run
from tscale.core.laws.halving import least, where

_ATTENTION: Final = 4
_FEED_FORWARD: Final = 9
_VOCABULARY: Final = 50_257
_ASPECT: Final = 64
_BYTES: Final = 2
"""Of a weight and of a number in the cache, in bf16."""
_LEAST: Final = 1e3
"""Active parameters of the smallest model that is looked at."""


class Limits(NamedTuple):
    """What a mixture is to be trained and served within."""

    flops: float
    """Of training, and of service too where tokens are served: 6·N·D + 2·N·D_served, N active."""
    served: float = 0
    """Tokens that it reads and writes in its service."""
    memory: float | None = None
    """Bytes for its weights and cache, both in bf16."""
    cached: float = 16_384
    """Tokens in the cache."""


class Best(NamedTuple):
    """The best run of a mixture within limits."""

    run: Run
    loss: float
    bytes: float
    limited: bool
    """Whether memory, and not the budget, sets its size."""


def width(active: float) -> float:
    """The d_model, whole or not, of so many active parameters, embeddings included. Equation 10.

    The one root of c·d^3 + e·d = N, whose c and e are above 0: 2·r·sinh(asinh(3·N/(2·e·r))/3) with r = sqrt(e/(3·c)).
    """
    cubed, each = (_ATTENTION + _FEED_FORWARD) / _ASPECT, 2 * _VOCABULARY
    root = sqrt(each / (3 * cubed))
    return 2 * root * sinh_of(asinh_of(3 * active / (2 * each * root)) / 3)


def _sized(d: float, expansion: float) -> float:
    """All parameters of a width. Equation 9."""
    return 2 * d * _VOCABULARY + (_ATTENTION + _FEED_FORWARD * expansion) * d**3 / _ASPECT


def memory(active: float, expansion: float, cached: float) -> float:
    """Bytes of weights and cache: keys and values of d_model numbers in each layer for each token."""
    d = width(active)
    return _BYTES * (_sized(d, expansion) + 2 * cached * d * d / _ASPECT)


def run_with(active: float, tokens: float, mixture: Mixture) -> Run:
    """The run of so many active parameters, in all counts."""
    d = width(active)
    met, stored = (_sized(d, one) - 2 * d * _VOCABULARY for one in (1, mixture.expansion))
    return Run(active, _sized(d, mixture.expansion), max(met, 1), max(stored, 1), tokens, mixture)


def best(law: ExpertsLaw, mixture: Mixture, limits: Limits) -> Best:
    """The run of a mixture with the least loss by a law within limits. Raises `ValueError` for a budget that trains no model."""
    assert not isinstance(law, Routed), "a law of any number of tokens"
    most = limits.flops / (6 + 2 * limits.served)  # trained on a single token
    if most <= 2 * _LEAST:
        raise ValueError("a budget that trains no model")

    def run(active: float) -> Run:
        return _routed(law, run_with(active, limits.flops / (6 * active) - limits.served / 3, mixture))

    size, limited = least(lambda active: law.loss(run(active)), _LEAST, most), False
    if limits.memory is not None:
        room = limits.memory

        def past(active: float) -> bool:
            return memory(active, mixture.expansion, limits.cached) > room

        limited = past(size)
        size = where(past, _LEAST, size) if limited else size
    found = run(size)
    return Best(found, law.loss(found), memory(size, mixture.expansion, limits.cached), limited)


def _routed(law: ExpertsLaw, run: Run) -> Run:
    """A run with the tokens that are left of its budget where routing is paid for, by the law that says what that takes."""
    if not isinstance(law, Granular):
        return run
    ends = run.mixture
    times = law.flops(run.active_bare, 1, ends.expansion, ends.granularity) / (6 * run.active_bare)
    return run._replace(tokens=run.tokens / times)


def dense_flops(law: Joint, loss: float) -> float:
    """Training FLOPs of the dense model that reaches a loss with the fewest."""
    return law.of(1).at_loss(loss).flops
