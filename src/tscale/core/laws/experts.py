"""Laws of mixtures of experts: the loss of a run by its active and total parameters, and how finely they are divided.

Each law counts in a way of its own, which its class says; a `Run` holds all counts that any of them asks for. The paper's
own mixtures have one routed expert a token, or experts cut finer that come to one together: a modern mixture of many small
experts, some of them shared, is read by its expansion, all feed-forward parameters over those that a token meets.
"""

from __future__ import annotations

from math import log, log2, log10
from typing import NamedTuple

from tscale.core.laws.halving import least
from tscale.core.laws.parametric import Parametric


class Mixture(NamedTuple):
    """How the feed-forward of a layer is divided."""

    experts: float = 1
    """Routed experts in a layer; 1 in a dense model."""
    active: float = 1
    """Routed experts that a token is sent through."""
    shared: float = 0
    """Shared experts, in widths of a routed one."""
    wide: float | None = None
    """2·d_model over the width of an expert; None where it is not known."""
    stored: float | None = None
    """Feed-forward parameters stored for each that a token meets, of all layers, where some of them are dense."""

    @property
    def expansion(self) -> float:
        """Feed-forward parameters stored for each that a token meets, the E of the laws: 1 in a dense model."""
        if self.stored is not None:
            return self.stored
        return (self.experts + self.shared) / (self.active + self.shared)

    @property
    def granularity(self) -> float:
        """Experts that a token meets, shared ones included: into how many a dense feed-forward of its width is cut."""
        return self.active + self.shared


class Run(NamedTuple):
    """A run of a mixture, counted in every way that a law asks for."""

    active: float
    """Parameters that a token meets, embeddings included."""
    total: float
    """All parameters."""
    active_bare: float
    """Parameters that a token meets, without embeddings."""
    total_bare: float
    """All parameters without embeddings."""
    tokens: float
    mixture: Mixture

    @property
    def flops(self) -> float:
        """Training FLOPs, 6 for each active parameter and token."""
        return 6 * self.active * self.tokens


def saturated(experts: float, start: float, most: float) -> float:
    """The number of experts with which a law is a power: none count for `start`, and none beyond `most` count at all.

    Clark 2022, equation 5: 1/Ê = 1/(E - 1 + 1/(1/start - 1/most)) + 1/most.
    """
    return 1 / (1 / (experts - 1 + 1 / (1 / start - 1 / most)) + 1 / most)


class Joint(NamedTuple):
    """Ludziejewski 2025: L = a·Ê^delta·N^(alpha + gamma·ln Ê) + b·Ê^omega·D^(beta + zeta·ln Ê) + c, N active, all counted.

    For any number of experts it is a law of the form of Hoffmann 2022, so that its optima are closed forms.
    """

    a: float
    alpha: float
    delta: float
    gamma: float
    b: float
    beta: float
    omega: float
    zeta: float
    E_start: float
    E_max: float
    c: float

    def of(self, expansion: float) -> Parametric:
        """The law of active parameters and tokens for so many experts. Equation 5; Table 4 prints it."""
        e = saturated(expansion, self.E_start, self.E_max)
        mu, nu = self.alpha + self.gamma * log(e), self.beta + self.zeta * log(e)
        return Parametric(self.c, self.a * e**self.delta, self.b * e**self.omega, -mu, -nu)

    def loss(self, run: Run) -> float:
        """The loss in nats a token."""
        return self.of(run.mixture.expansion).loss(run.active, run.tokens)


class Granular(NamedTuple):
    """Krajewski 2024: L = c + (g/G^gamma + a)/N^alpha + b/D^beta, N total without embeddings, for an expansion of 64."""

    a: float
    alpha: float
    b: float
    beta: float
    g: float
    gamma: float
    c: float
    routing: float
    """FLOPs for each parameter of a router, a token: those of its product and of moving what it sends."""

    def of(self, granularity: float) -> Parametric:
        """The law of total parameters and tokens for one granularity. Equation 9."""
        return Parametric(self.c, self.g / granularity**self.gamma + self.a, self.b, self.alpha, self.beta)

    def loss(self, run: Run) -> float:
        """The loss in nats a token."""
        return self.of(run.mixture.granularity).loss(run.total_bare, run.tokens)

    def flops(self, active: float, tokens: float, expansion: float, granularity: float) -> float:
        """Training FLOPs with those of routing, of N active parameters: (12·d²·6 + d·E·G·routing)·D·n. Equation 10.

        The paper's shape is d = 64·n and N = 12·n·d², from which d follows.
        """
        d = float((64 * active / 12) ** (1 / 3))
        return 6 * active * tokens * (1 + expansion * granularity * self.routing / (12 * d * 6))

    def best(self, flops: float, expansion: float, granularity: float) -> tuple[float, float, float]:
        """Active parameters, tokens and loss of the optimum of a budget, routing paid for (section 6.2)."""
        law, ratio = self.of(granularity), (8 * expansion + 4) / 12

        def tokens(active: float) -> float:
            return flops / self.flops(active, 1, expansion, granularity)

        def loss(active: float) -> float:
            return law.loss(ratio * active, tokens(active))

        plain = law.at_flops(flops * ratio).params / ratio
        active = least(loss, plain / 1e3, plain * 1e3)
        return active, tokens(active), loss(active)


class Sparse(NamedTuple):
    """Abnar 2025: L = a/N^alpha + b/D^beta + c/(1 - S)^lam + d/((1 - S)^delta·N^gamma) + e, N total.

    S is the share of experts that a token does not meet. Equation 6.
    """

    a: float
    alpha: float
    b: float
    beta: float
    c: float
    lam: float
    d: float
    delta: float
    gamma: float
    e: float

    def loss(self, run: Run) -> float:
        """The loss in nats a token."""
        return self.at(run.total, run.tokens, 1 - 1 / run.mixture.expansion)

    def at(self, total: float, tokens: float, sparsity: float) -> float:
        """The loss of total parameters and tokens at a sparsity."""
        met = 1 - sparsity
        floor = self.c / met**self.lam + self.e
        return float(
            floor
            + self.a / total**self.alpha
            + self.b / tokens**self.beta
            + self.d / (met**self.delta * total**self.gamma)
        )


class Routed(NamedTuple):
    """Clark 2022: log10 L = a·log10 N + b·log10 Ê + c·log10 N·log10 Ê + d, N active, after 130e9 tokens and no others."""

    a: float
    b: float
    c: float
    d: float
    E_start: float
    E_max: float

    def loss(self, run: Run) -> float:
        """The loss in nats a token after 130e9 tokens."""
        return self.at(run.active, run.mixture.expansion)

    def at(self, active: float, experts: float) -> float:
        """The loss of active parameters with so many experts. Equation 1."""
        n, e = log10(active), log10(saturated(experts, self.E_start, self.E_max))
        return float(10 ** (self.a * n + self.b * e + self.c * n * e + self.d))

    def dense(self, active: float, experts: float) -> float:
        """Parameters of the dense model of equal loss, the effective parameter count: the law at E = 1, solved for N."""
        n, e = log10(active), log10(saturated(experts, self.E_start, self.E_max))
        start = log10(self.E_start)
        return float(10 ** ((self.a * n + self.b * e + self.c * n * e - self.b * start) / (self.a + self.c * start)))


class Leverage(NamedTuple):
    """Tian 2025: EL = Â^(a + d·log10 C + gamma·(log2 G)² + beta·log2 G), the FLOPs of the dense model of equal loss over its own.

    A is the share of experts that a token meets, G = 2·d_model/d_expert, and C counts no embeddings. The paper does not print
    the bases of its logarithms: with these, and with no others that were tried, its own figures come out, more than 7 for
    A = 3.1%, G = 12 and 1e22 FLOPs, and a best granularity near 12.
    """

    a: float
    d: float
    gamma: float
    beta: float
    A_start: float
    A_max: float

    def at(self, share: float, granularity: float, flops: float) -> float:
        """How many times its FLOPs a dense model of equal loss takes. Equations 10 and 13."""
        met = 1 / (1 / (share + 1 / (1 / self.A_start - 1 / self.A_max)) + 1 / self.A_max)
        g = log2(granularity)
        return float(met ** (self.a + self.d * log10(flops) + self.gamma * g**2 + self.beta * g))


ExpertsLaw = Joint | Granular | Sparse | Routed
"""Those that predict a loss."""
