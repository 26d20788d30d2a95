"""The form of Hoffmann 2022: what no model gets below, and what too few parameters and too few tokens add."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from tscale.core.laws.point import Point


class Parametric(NamedTuple):
    """L(N, D) = E + A/N^alpha + B/D^beta: equation 2 of Hoffmann 2022."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, params: float, tokens: float) -> float:
        """The loss of a run: what no model gets below, and what too few parameters and too few tokens add."""
        return float(self.E + self.A / params**self.alpha + self.B / tokens**self.beta)

    @property
    def exponent(self) -> float:
        """The a of N ~ C^a along the optimum: beta/(alpha + beta)."""
        return self.beta / (self.alpha + self.beta)

    def at_flops(self, flops: float) -> Point:
        """Equation 4: N = G·(C/6)^a and D = (C/6)^b/G, with G = (alpha·A/(beta·B))^(1/(alpha + beta))."""
        self._check_falls()
        g = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        params, tokens = g * (flops / 6) ** self.exponent, (flops / 6) ** (1 - self.exponent) / g
        return Point(params, tokens, flops, self.loss(params, tokens))

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal: alpha·A/N^alpha = beta·B/D^beta, solved for D."""
        self._check_falls()
        tokens = (self.beta * self.B / (self.alpha * self.A) * params**self.alpha) ** (1 / self.beta)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal: the same, solved for N."""
        self._check_falls()
        params = (self.alpha * self.A / (self.beta * self.B) * tokens**self.beta) ** (1 / self.alpha)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

    def _check_falls(self) -> None:
        """Raises `OverflowError` where more parameters or tokens lower no loss: then no finite run is an optimum.

        The joint laws of experts come to such exponents far from where they were fitted.
        """
        if min(self.A, self.B, self.alpha, self.beta) <= 0:
            raise OverflowError("the loss does not fall with parameters and tokens")

    def at_loss(self, loss: float) -> Point:
        """The run that reaches a loss above E with the least training FLOPs: at an optimum alpha·A/N^alpha = beta·B/D^beta."""
        params = (self.A * (1 + self.alpha / self.beta) / (loss - self.E)) ** (1 / self.alpha)
        return self.at_params(params)

    def tokens_to(self, loss: float, params: float) -> float:
        """Tokens that bring so many parameters to a loss; infinite where no number of them does."""
        left = loss - self.E - self.A / params**self.alpha
        return float((self.B / left) ** (1 / self.beta)) if left > 0 else inf

    def params_to(self, loss: float, tokens: float) -> float:
        """Parameters that so many tokens bring to a loss; infinite where no number of them gets there."""
        left = loss - self.E - self.B / tokens**self.beta
        return float((self.A / left) ** (1 / self.alpha)) if left > 0 else inf

    def pull(self, params: float, tokens: float) -> float:
        """How strongly more parameters lower the loss against more tokens: (alpha·A/N^alpha)/(beta·B/D^beta), 1 at an optimum."""
        return float(self.alpha * self.A / params**self.alpha * tokens**self.beta / (self.beta * self.B))
