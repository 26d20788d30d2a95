"""Muennighoff 2023: tokens that are repeated, and parameters beyond what the data call for."""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from tscale.core.elementwise import exp_of, log_of
from tscale.core.laws.halving import where
from tscale.core.laws.parametric import Parametric
from tscale.core.laws.point import Point


class Repeated(NamedTuple):
    """Muennighoff 2023: repeated tokens and parameters beyond what the data call for are worth less and less."""

    law: Parametric
    R_D: float
    R_N: float
    unique: float
    """Tokens that there are; a run on more of them repeats them."""

    def loss(self, params: float, tokens: float) -> float:
        """Equations 5 and 6: the loss of a run in effective parameters and tokens."""
        unique = min(tokens, self.unique)
        wanted = min(params, self.law.at_tokens(unique).params)  # U_N
        return self.law.loss(
            effective(params, wanted, self.R_N),
            effective(tokens, unique, self.R_D),
        )

    def at_flops(self, flops: float) -> Point:
        """The optimal run of a budget: the plain law's while there are tokens enough, else where the slope along 6·N·D = C is 0."""
        fresh = self.law.at_flops(flops)
        if fresh.tokens <= self.unique:
            return fresh
        # Between the parameters that the unique tokens call for (and beyond: all the budget spent on parameters) and
        # so many that tokens are not repeated at all.
        least = self.law.at_tokens(self.unique).params
        params = where(lambda n: self._log_pull(n, flops / (6 * n)) < 0, least, flops / (6 * self.unique))
        tokens = flops / (6 * params)
        return Point(params, tokens, flops, self.loss(params, tokens))

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal: where parameters and tokens pull alike."""
        fresh = self.law.at_params(params)
        if fresh.tokens <= self.unique:
            return fresh
        tokens = where(lambda d: self._log_pull(params, d) > 0, self.unique)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal."""
        if tokens <= self.unique:
            return self.law.at_tokens(tokens)
        least = self.law.at_tokens(self.unique).params
        params = where(lambda n: self._log_pull(n, tokens) < 0, least)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

    def at_loss(self, loss: float, flops: float) -> Point:
        """The run that reaches a loss with the least training FLOPs, of which `flops` are known to be enough."""
        least = self.law.at_loss(loss).flops  # what it takes where every token is fresh
        return self.at_flops(where(lambda c: self.loss(*self.at_flops(c)[:2]) <= loss, least, flops))

    def tokens_to(self, loss: float, params: float) -> float:
        """Tokens, repeats counted, that bring so many parameters to a loss; infinite where no number of them does."""
        most = self.unique * (1 + _WORTHLESS * self.R_D)
        if self.loss(params, most) > loss:
            return inf
        return where(lambda tokens: self.loss(params, tokens) <= loss, 1, most)

    def _log_pull(self, params: float, tokens: float) -> float:
        """The logarithm of `pull` on repeated tokens: how much a share more of either changes its effective number comes in."""
        wanted = self.law.at_tokens(self.unique).params
        n, d = effective(params, wanted, self.R_N), effective(tokens, self.unique, self.R_D)
        # d log N_eff/d log N = N·exp(-R_N/R_N*)/N_eff, kept as a logarithm: the exponential may be too small for a float.
        by_params = log_of(params / n) - (params / wanted - 1) / self.R_N
        by_tokens = log_of(tokens / d) - (tokens / self.unique - 1) / self.R_D
        return log_of(self.law.pull(n, d)) + by_params - by_tokens


def effective(amount: float, unique: float, worth: float) -> float:
    """What an amount is worth in fresh units when all beyond `unique` repeats: U + U·R*·(1 - exp_of(-R/R*)), R = amount/U - 1.

    Equation 5 of Muennighoff 2023. No number of repeats is worth more than `worth` times the fresh part.
    """
    repeats = max(amount / unique - 1, 0)
    return min(amount, unique) + unique * worth * (1 - exp_of(-repeats / worth))


_WORTHLESS: Final = 40  # repeats, in units of R_D, after which an effective number changes in no digit of a float
