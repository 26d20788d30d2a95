"""Laws that name the optimum alone, as a power of the budget."""

from __future__ import annotations

from typing import NamedTuple

from tscale.core.laws.point import Point


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
