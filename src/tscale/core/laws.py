"""Scaling laws: the loss that a run is predicted to reach, and the run that is best for a budget.

Floats, unlike the counts: a law's exponents were fitted to a few digits, and a power with such an exponent is no exact
number. Each kind of law is one class that holds its constants and answers `at_flops`, `at_params` and `at_tokens`: the
compute-optimal run of that budget, of that many parameters, or of that many tokens. C = 6·N·D throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log
from typing import Final, NamedTuple

from tscale.core.costs.training import PF_DAY


class Point(NamedTuple):
    """A run: its parameters, training tokens and training FLOPs, and the loss in nats a token where the law has one."""

    params: float
    tokens: float
    flops: float
    loss: float | None = None


class Power(NamedTuple):
    """The optimum as a power law of the budget, N = coefficient·C^exponent, with D = C/(6·N)."""

    coefficient: float
    exponent: float

    def at_flops(self, flops: float) -> Point:
        """The optimal run of a budget."""
        params = self.coefficient * flops**self.exponent
        return Point(params, flops / (6 * params), flops)

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal: N = k·C^a, solved for C."""
        return self.at_flops((params / self.coefficient) ** (1 / self.exponent))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal: D = C^(1 - a)/(6·k), solved for C."""
        return self.at_flops((6 * self.coefficient * tokens) ** (1 / (1 - self.exponent)))


def power_of_tokens(coefficient: float, exponent: float) -> Power:
    """D = k·C^a as a law of parameters: N = C/(6·D). Dubey 2024, section 3.2.1."""
    return Power(1 / (6 * coefficient), 1 - exponent)


def power_of_flops_per_token(coefficient: float, exponent: float) -> Power:
    """M = k·C^a, training FLOPs a token with D = C/M, as a law of N = M/6. DeepSeek 2024, formula 4."""
    return Power(coefficient / 6, exponent)


class Kaplan(NamedTuple):
    """Kaplan 2020: N = coefficient·C^exponent with C in PF-days, and losses that are powers of what limits them."""

    coefficient: float
    exponent: float
    alpha_N: float  # noqa: N815 (the paper's symbols)
    N_c: float
    alpha_D: float  # noqa: N815 (the paper's symbols)
    D_c: float
    alpha_C: float  # noqa: N815 (the paper's symbols)
    C_c: float

    def loss(self, params: float, tokens: float) -> float:
        """Equation 1.5: ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D, of training on D tokens until it stops helping."""
        by_params = (self.N_c / params) ** (self.alpha_N / self.alpha_D)
        return float((by_params + self.D_c / tokens) ** self.alpha_D)

    def at_flops(self, flops: float) -> Point:
        """The optimal run of a budget C_min (Table 6), and its loss (C_c/C)^alpha_C (equation 1.3)."""
        return self._with_loss(self._power.at_flops(flops))

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal."""
        return self._with_loss(self._power.at_params(params))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal."""
        return self._with_loss(self._power.at_tokens(tokens))

    @property
    def _power(self) -> Power:
        return Power(self.coefficient / float(PF_DAY) ** self.exponent, self.exponent)

    def _with_loss(self, point: Point) -> Point:
        return point._replace(loss=(self.C_c * PF_DAY / point.flops) ** self.alpha_C)


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
        g = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        params, tokens = g * (flops / 6) ** self.exponent, (flops / 6) ** (1 - self.exponent) / g
        return Point(params, tokens, flops, self.loss(params, tokens))

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal: alpha·A/N^alpha = beta·B/D^beta, solved for D."""
        tokens = (self.beta * self.B / (self.alpha * self.A) * params**self.alpha) ** (1 / self.beta)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal: the same, solved for N."""
        params = (self.alpha * self.A / (self.beta * self.B) * tokens**self.beta) ** (1 / self.alpha)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

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
            tokens = law.tokens_to(loss, params)
            return tokens < inf and 6 * tokens * (1 - law.pull(params, tokens)) + 2 * self.served > 0

        params = _where(too_large, least, optimum.params)
        tokens = law.tokens_to(loss, params)
        return Point(params, tokens, 6 * params * tokens, law.loss(params, tokens))


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
        params = _where(lambda n: self._log_pull(n, flops / (6 * n)) < 0, least, flops / (6 * self.unique))
        tokens = flops / (6 * params)
        return Point(params, tokens, flops, self.loss(params, tokens))

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal: where parameters and tokens pull alike."""
        fresh = self.law.at_params(params)
        if fresh.tokens <= self.unique:
            return fresh
        tokens = _where(lambda d: self._log_pull(params, d) > 0, self.unique)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal."""
        if tokens <= self.unique:
            return self.law.at_tokens(tokens)
        least = self.law.at_tokens(self.unique).params
        params = _where(lambda n: self._log_pull(n, tokens) < 0, least)
        return Point(params, tokens, 6 * params * tokens, self.loss(params, tokens))

    def at_loss(self, loss: float, flops: float) -> Point:
        """The run that reaches a loss with the least training FLOPs, of which `flops` are known to be enough."""
        least = self.law.at_loss(loss).flops  # what it takes where every token is fresh
        return self.at_flops(_where(lambda c: self.loss(*self.at_flops(c)[:2]) <= loss, least, flops))

    def tokens_to(self, loss: float, params: float) -> float:
        """Tokens, repeats counted, that bring so many parameters to a loss; infinite where no number of them does."""
        most = self.unique * (1 + _WORTHLESS * self.R_D)
        if self.loss(params, most) > loss:
            return inf
        return _where(lambda tokens: self.loss(params, tokens) <= loss, 1, most)

    def _log_pull(self, params: float, tokens: float) -> float:
        """The logarithm of `pull` on repeated tokens: how much a share more of either changes its effective number comes in."""
        wanted = self.law.at_tokens(self.unique).params
        n, d = effective(params, wanted, self.R_N), effective(tokens, self.unique, self.R_D)
        # d log N_eff/d log N = N·exp(-R_N/R_N*)/N_eff, kept as a logarithm: the exponential may be too small for a float.
        by_params = log(params / n) - (params / wanted - 1) / self.R_N
        by_tokens = log(tokens / d) - (tokens / self.unique - 1) / self.R_D
        return log(self.law.pull(n, d)) + by_params - by_tokens


def effective(amount: float, unique: float, worth: float) -> float:
    """What an amount is worth in fresh units when all beyond `unique` repeats: U + U·R*·(1 - exp(-R/R*)), R = amount/U - 1.

    Equation 5 of Muennighoff 2023. No number of repeats is worth more than `worth` times the fresh part.
    """
    repeats = max(amount / unique - 1, 0)
    return min(amount, unique) + unique * worth * (1 - exp(-repeats / worth))


def _where(above: Callable[[float], bool], low: float, high: float | None = None) -> float:
    """Where a condition that holds from some number on begins to hold, above `low`, by halving logarithms."""
    if high is None:
        high = 2 * low
        while not above(high):
            high *= 2
    low, high = log(low), log(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if above(exp(middle)) else (middle, high)
    return exp(high)


_WORTHLESS: Final = 40  # repeats, in units of R_D, after which an effective number changes in no digit of a float
_HALVINGS: Final = 100  # more than a float has digits

Law = Power | Kaplan | Parametric | Lifetime | Repeated
