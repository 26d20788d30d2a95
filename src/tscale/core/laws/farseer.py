"""Li 2025, Farseer: a law whose power of tokens depends on the parameters; its optima are found by numbers."""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from tscale.core.elementwise import exp_of
from tscale.core.laws.halving import least, where
from tscale.core.laws.point import Point


class Farseer(NamedTuple):
    """L = exp(a3·N^g + b3) + exp(a2·N^bt + b2)·D^(-exp(a1·N^al + b1)). Equation 3."""

    a3: float
    g: float
    b3: float
    a2: float
    bt: float
    b2: float
    a1: float
    al: float
    b1: float

    def loss(self, params: float, tokens: float) -> float:
        """The loss of a run, in the unit of those that it was fitted to; infinite where it is past any float."""
        try:
            floor = exp_of(self.a3 * params**self.g + self.b3)
            slope = exp_of(self.a1 * params**self.al + self.b1)
            return float(floor + exp_of(self.a2 * params**self.bt + self.b2) * tokens**-slope)
        except OverflowError:
            return inf

    def at_flops(self, flops: float) -> Point:
        """The run of a budget with the least loss, among those of 1 to 10,000 tokens a parameter.

        Far past the runs that it was fitted to the form is no law: with endless parameters its exponent of tokens ends at 0.
        """
        params = least(lambda size: self.loss(size, flops / (6 * size)), (flops / 6 / _MOST) ** 0.5, (flops / 6) ** 0.5)
        return Point(params, flops / (6 * params), flops, self.loss(params, flops / (6 * params)))

    def at_params(self, params: float) -> Point:
        """The run for which so many parameters are optimal: optima grow with the budget."""
        ends = 6 * params**2, 6 * params**2 * _MOST
        return self.at_flops(where(lambda flops: self.at_flops(flops).params >= params, *ends))

    def at_tokens(self, tokens: float) -> Point:
        """The run for which so many tokens are optimal."""
        ends = 6 * tokens**2 / _MOST, 6 * tokens**2
        return self.at_flops(where(lambda flops: self.at_flops(flops).tokens >= tokens, *ends))


_MOST: Final = 1e4
"""Tokens a parameter of the longest run that is looked at."""
