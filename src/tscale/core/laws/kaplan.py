"""Kaplan 2020: losses that are powers of what limits them."""

from __future__ import annotations

from typing import NamedTuple

from tscale.core.costs.training import PF_DAY
from tscale.core.laws.point import Point
from tscale.core.laws.power import Power


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


class KaplanJoint(NamedTuple):
    """Equation 1.5 of Kaplan 2020 alone, as it is fitted to one's own runs: L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D."""

    alpha_N: float  # noqa: N815 (the paper's symbols)
    N_c: float
    alpha_D: float  # noqa: N815 (the paper's symbols)
    D_c: float

    def loss(self, params: float, tokens: float) -> float:
        """The loss of a run."""
        return float(((self.N_c / params) ** self._ratio + self.D_c / tokens) ** self.alpha_D)

    @property
    def exponent(self) -> float:
        """The a of N ~ C^a along the optimum of 6·N·D = C: 1/(1 + alpha_N/alpha_D)."""
        return 1 / (1 + self._ratio)

    def at_flops(self, flops: float) -> Point:
        """The optimum of a budget: D_c/D = r·(N_c/N)^r, so that N^(1 + r) = r·N_c^r·C/(6·D_c), with r = alpha_N/alpha_D."""
        r = self._ratio
        params = (r * self.N_c**r * flops / (6 * self.D_c)) ** self.exponent
        return Point(params, flops / (6 * params), flops, self.loss(params, flops / (6 * params)))

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal: the same, solved for C."""
        r = self._ratio
        return self.at_flops(params ** (1 + r) * 6 * self.D_c / (r * self.N_c**r))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal: D_c/D = r·(N_c/N)^r, solved for N."""
        r = self._ratio
        return self.at_params(self.N_c * (r * tokens / self.D_c) ** (1 / r))

    @property
    def _ratio(self) -> float:
        return self.alpha_N / self.alpha_D
