"""Tao 2024: the vocabulary with which a model of a size reaches its least loss a character, in three ways."""

from __future__ import annotations

from typing import NamedTuple

from tscale.core.laws.halving import where


class Vocabulary(NamedTuple):
    """Parameters of the vocabulary, rows times d_model, that are best for so many others, by the authors' published code."""

    budget: float
    """Parameters without vocabulary of the optimum of C FLOPs, over C^0.5."""
    v: float
    """Approach 1: of the vocabulary, over C^v_C."""
    v_C: float  # noqa: N815 (as other exponents of C)
    v_start: float
    """Approach 2: of the vocabulary that is best of a model of `n_start` others; from there they grow as N^gamma."""
    n_start: float
    gamma: float
    A2: float
    """Approach 3: of L = -E + A1/N^alpha1 + A2/Nv^alpha2 + B/H^beta, parameters in millions and H in billions."""
    alpha2: float
    B: float
    beta: float

    def by_flops(self, params: float) -> float:
        """Approach 1: along the optima of budgets, of whose parameters these are."""
        flops = (params / self.budget) ** 2
        return float(self.v * flops**self.v_C)

    def by_derivative(self, params: float) -> float:
        """Approach 2: as a power of the other parameters."""
        return float(self.v_start * (params / self.n_start) ** self.gamma)

    def by_loss(self, params: float, flops: float) -> float:
        """Approach 3: where a larger vocabulary takes as much from the tokens of a budget as it adds.

        alpha2·A2/Nv^(alpha2 + 1) = beta·B/H^beta/(N + Nv) with H = C/(6·(N + Nv)): the derivative by Nv of its law is 0.
        """
        n, budget = params / 1e6, flops / 1e15

        def past(nv: float) -> bool:
            h = budget / (6 * (n + nv))
            return bool(self.alpha2 * self.A2 / nv ** (self.alpha2 + 1) <= self.beta * self.B / h**self.beta / (n + nv))

        return 1e6 * where(past, 1e-6)
