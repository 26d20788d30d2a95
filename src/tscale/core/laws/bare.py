"""Pearce 2024: a law of all parameters, seen in Kaplan's variables, which leave embeddings out."""

from __future__ import annotations

from typing import NamedTuple

from tscale.core.laws.halving import where
from tscale.core.laws.parametric import Parametric
from tscale.core.laws.point import Point


class Bare(NamedTuple):
    """L = E + A/N_T^alpha + B/D^beta with N_T = N + omega·N^(1/3), N without embeddings, and C = 6·N·D of those.

    Small models are mostly embeddings, so that the optimum grows faster there than far above: Kaplan's exponent and Hoffmann's
    are two ends of one law.
    """

    law: Parametric
    omega: float

    def loss(self, params: float, tokens: float) -> float:
        """The loss of a run."""
        return self.law.loss(self._all(params), tokens)

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal: where parameters and tokens pull alike, solved for D."""
        law, total = self.law, self._all(params)
        by_params = law.alpha * law.A / total ** (law.alpha + 1) * (params + self.omega / 3 * params ** (1 / 3))
        tokens = (law.beta * law.B / by_params) ** (1 / law.beta)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

    def at_flops(self, flops: float) -> Point:
        """The optimal run of a budget: the same, solved for C."""
        return self.at_params(where(lambda params: self.at_params(params).flops >= flops, 1e-3))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal: the same, solved for N."""
        return self.at_params(where(lambda params: self.at_params(params).tokens >= tokens, 1e-3))

    def _all(self, params: float) -> float:
        return float(params + self.omega * params ** (1 / 3))
