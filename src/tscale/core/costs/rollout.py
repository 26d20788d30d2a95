"""How long a batch of responses takes to generate, whose lengths differ: the batch shrinks, and the longest response ends it.

Of lengths a mean m and a most L are known, such as a mean response and the tokens at which it is cut. Of all distributions on
[0, L] with that mean, the one of the largest entropy assumes the least (Jaynes 1957): a density in proportion to exp(-k·t/L),
an exponential that is cut at L; k is 0 where the mean is half of the most, and below 0 where it is more. Then

    S(t) = (exp(-k·t/L) - exp(-k)) / (1 - exp(-k))     of the responses are longer than t,
    m/L  = 1/k - 1/(exp(k) - 1).

Of b responses that begin together, each of their tokens t costs one step with those that are still decoded, b·S(t) in expectation
and at least one while there is any, which is so with a probability of 1 - (1 - S(t))^b. An engine that takes fewer at once refills
its batch until no request waits, so that all but the last b are decoded at the full batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, exp, expm1, log1p
from typing import Final, NamedTuple

SOURCE: Final = "jaynes1957"

PIECES: Final = 32
"""Pieces that the decoding of a batch is divided into, the i-th from (i/n)^2 of the longest on: responses end fastest at the start."""
_STEEPEST: Final = 1e6
"""The most that k comes to: a mean of a millionth of the most."""
_FLAT: Final = 1e-6
_LARGE: Final = 700.0
"""Above it e^k has no float."""


class Lengths(NamedTuple):
    """Tokens of responses: of the mean, and of the longest."""

    mean: float
    most: float

    @property
    def fixed(self) -> bool:
        """Whether all responses are of one length."""
        return self.mean >= self.most

    @property
    def rate(self) -> float:
        """k: how fast responses end; 0 where they end evenly up to the longest. Found by bisection."""
        low, high = -_STEEPEST, _STEEPEST
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if mean_share(middle) > self.mean / self.most else (low, middle)
        return (low + high) / 2


def mean_share(rate: float) -> float:
    """The mean length over the longest: 1/k - 1/(e^k - 1).

    >>> mean_share(0.0)
    0.5
    >>> round(mean_share(3.594), 3)
    0.25
    """
    if abs(rate) < _FLAT:
        return 0.5 - rate / 12
    if rate > _LARGE:
        return 1 / rate
    return 1 / rate - 1 / expm1(rate)


def longer_than(lengths: Lengths, rate: float, tokens: float) -> float:
    """The share of responses that are longer than so many tokens.

    >>> longer_than(Lengths(50, 100), 0.0, 25)
    0.75
    """
    if lengths.fixed:
        return 1.0 if tokens < lengths.most else 0.0
    share = min(tokens / lengths.most, 1.0)
    if abs(rate) < _FLAT:
        return 1 - share
    if rate < 0:
        return expm1(rate * (1 - share)) / expm1(rate)
    return exp(-rate * share) * expm1(-rate * (1 - share)) / expm1(-rate)


class Piece(NamedTuple):
    """A stretch of decoding: the tokens before it in a response, the steps that it takes, and the sequences of a step."""

    tokens: float
    steps: float
    sequences: float


def pieces(lengths: Lengths, batch: float, waiting: float, everyone: float) -> Iterator[Piece]:
    """The decoding of `batch` responses at a time on one engine, after which as many again wait as `waiting` says.

    `everyone`: responses of all engines, the slowest of which ends the rollout.

    Example:
        >>> [round(piece.sequences) for piece in pieces(Lengths(64, 64), batch=8, waiting=0, everyone=8)][:2]
        [8, 8]
    """
    if waiting > 0:
        yield Piece(lengths.mean / 2, waiting * lengths.mean / batch, batch)
    rate = 0.0 if lengths.fixed else lengths.rate
    edges = [lengths.most * (place / PIECES) ** 2 for place in range(PIECES + 1)]
    for first, last in pairwise(edges):
        tokens = (first + last) / 2
        share = longer_than(lengths, rate, tokens)
        left = any_left(share, everyone)
        if left > 0:
            yield Piece(tokens, (last - first) * left, max(batch * share / left, 1.0))


def any_left(share: float, many: float) -> float:
    """The probability that one of so many responses at least is longer, where a share of them is: 1 - (1 - S)^b.

    >>> any_left(0.5, 2)
    0.75
    """
    return 1.0 if share >= 1 else -expm1(many * log1p(-share))


def fullest_tokens(lengths: Lengths, prompt: int) -> int:
    """Tokens in the cache, for each sequence that began, at the moment when a batch has the most: S(t)·(prompt + t) at its largest.

    Of responses of one length that is the whole of it; where some end early, their part of the cache is free before others fill it.

    Example:
        >>> fullest_tokens(Lengths(100, 100), prompt=28)
        128
        >>> fullest_tokens(Lengths(50, 100), prompt=0)
        25
    """
    if lengths.fixed:
        return prompt + ceil(lengths.most)
    rate = lengths.rate
    moments = (lengths.most * (place / _MOMENTS) ** 2 for place in range(_MOMENTS))
    return ceil(max(longer_than(lengths, rate, tokens) * (prompt + tokens) for tokens in moments))


_MOMENTS: Final = 1024
