"""Sardana 2024: training and serving counted together."""

from __future__ import annotations

from typing import NamedTuple, cast

from tscale.core.laws.halving import where
from tscale.core.laws.parametric import Parametric
from tscale.core.laws.point import Point
from tscale.core.tracing import where as chosen


class Lifetime(NamedTuple):
    """Sardana 2024: the run that reaches the loss of a compute-optimal one with the fewest FLOPs of training and serving."""

    law: Parametric
    served: float
    """Tokens that the model reads and writes in its service, 2·N FLOPs each."""

    def flops(self, point: Point) -> float:
        """FLOPs of a model's life: 6·N·D to train it, 2·N for each token served."""
        return 6 * point.params * point.tokens + 2 * point.params * self.served

    def at_flops(self, flops: float) -> Point:
        """The cheapest run over its life with the loss of the optimum of a training budget."""
        return self._as_good_as(self.law.at_flops(flops))

    def at_params(self, params: float) -> Point:
        """The cheapest run over its life with the loss of the run for which so many parameters are optimal."""
        return self._as_good_as(self.law.at_params(params))

    def at_tokens(self, tokens: float) -> Point:
        """The cheapest run over its life with the loss of the run for which so many tokens are optimal."""
        return self._as_good_as(self.law.at_tokens(tokens))

    def _as_good_as(self, optimum: Point) -> Point:
        """The argmin of 6·N·D + 2·N·D_served with L(N, D) held: where its slope in N, 6·D·(1 - pull) + 2·D_served, is 0.

        Serving asks for a smaller model than the training optimum, and no smaller one than the loss allows at all.
        """
        law, loss = self.law, optimum.loss
        assert loss is not None, "its law has a loss"
        least = (law.A / (loss - law.E)) ** (1 / law.alpha)

        def too_large(params: float) -> bool:
            left = loss - law.E - law.A / params**law.alpha
            reached = left > 0  # by some number of tokens
            tokens = (law.B / chosen(reached, left, 1.0)) ** (1 / law.beta)
            slope = 6 * tokens * (1 - law.pull(params, tokens)) + 2 * self.served
            return cast("bool", chosen(reached, slope, -1.0) > 0)

        params = where(too_large, least, optimum.params)
        tokens = law.tokens_to(loss, params)
        return Point(params, tokens, 6 * params * tokens, law.loss(params, tokens))
