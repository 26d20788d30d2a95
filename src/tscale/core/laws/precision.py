"""Kumar 2024: training in few bits counts as having fewer parameters, and the loss is that of the form of Hoffmann 2022."""

from __future__ import annotations

from math import exp, inf
from typing import Final, NamedTuple

from tscale.core.laws.halving import least
from tscale.core.laws.parametric import Parametric


class Bits(NamedTuple):
    """Bits of the numbers that the forward pass of training multiplies."""

    weights: float
    activations: float
    cache: float
    """Of keys and values."""


HALF: Final = Bits(16, 16, 16)
"""Training in bf16, which the paper finds no different from more bits."""


class Precision(NamedTuple):
    """L = E + A/N_eff^alpha + B/D^beta, N_eff = N·(1 - exp(n_w - P_w/gamma_w))·(the same of a)·(the same of kv). Equations 3 and 4.

    The main text leaves out the offsets n; appendix K says that they are part of the fits. With them the law gives what the
    text says of it: 7 to 8 bits are best, and 4 bits take more than four times the parameters.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    gamma_w: float
    n_w: float
    gamma_a: float
    n_a: float
    gamma_kv: float
    n_kv: float

    def share(self, bits: Bits) -> float:
        """The parameters that count, of those that there are; 0 where a part has too few bits to train at all."""
        parts = zip(bits, (self.gamma_w, self.gamma_a, self.gamma_kv), (self.n_w, self.n_a, self.n_kv), strict=True)
        share = 1.0
        for number, gamma, n in parts:
            share *= max(1 - exp(n - number / gamma), 0)
        return share

    def of(self, bits: Bits) -> Parametric:
        """The law of runs in so many bits. Raises `OverflowError` where no parameter counts in them."""
        share = self.share(bits)
        if share <= 0:
            raise OverflowError("no parameter counts in so few bits")
        return Parametric(self.E, self.A / share**self.alpha, self.B, self.alpha, self.beta)

    @property
    def best_bits(self) -> float:
        """The bits, alike for all three, with the least loss of a budget that is 6·N·D·bits/16: equation 5.

        N_eff·D of such a budget is in proportion to share/bits, and nothing else of the loss depends on them.
        """

        def cost(bits: float) -> float:
            share = self.share(Bits(bits, bits, bits))
            return bits / share if share > 0 else inf

        few = max(
            n * gamma for gamma, n in ((self.gamma_w, self.n_w), (self.gamma_a, self.n_a), (self.gamma_kv, self.n_kv))
        )
        return least(cost, max(few, 0) + _ABOVE, _MOST)


_ABOVE: Final = 1e-3
_MOST: Final = 64.0
