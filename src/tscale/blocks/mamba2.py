"""Mamba-2: a state space of heads, computed in chunks by matrix products (state space duality, Dao & Gu 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Conv, Cut, Entry, Matmul, Number, Saved, Scan, Vector


@spec_dataclass
class Mamba2:
    """A Mamba-2 layer (Dao & Gu 2024, section 7): one projection in, a convolution, the heads' recurrence, one out."""

    label: ClassVar[str] = "mamba2"

    kind: Literal["mamba2"]
    heads: Size
    """Heads of the recurrence."""
    d_head: Size
    """Channels of one head."""
    d_state: Size = 128
    """Numbers in the state of one channel."""
    groups: Size = 1
    """Groups of heads that share the inputs and outputs of their states."""
    d_conv: Size = 4
    """Length of the convolution."""
    chunk: Size = 256
    """Positions of a chunk; the last chunk of a sequence is padded."""
    conv_bias: bool = True
    """Whether the convolution has a bias."""
    bias: bool = False
    """Whether the projections in and out have a bias."""
    norm: bool = True
    """Whether the output is normalised with a gain for each channel."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        if self.heads % self.groups:
            yield (
                ("groups",),
                f"{self.groups} groups do not divide {self.heads} heads: every group serves as many heads",
            )

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections, convolution, the recurrence in chunks and its state.

        With H heads of P channels, states of N and c chunks of Q positions, products take 2 FLOPs each of (Dao & Gu
        2024, section 6, as in the listing there): H·Q²·(N + P) within a chunk, H·Q·N·P for its state and as many for
        what the state adds to its output, and H·P·N for each pair of the c + 1 edges that states are passed on.
        """
        d, h, p, n, q = site.d_model, self.heads, self.d_head, self.d_state, self.chunk
        name, inner = site.name, h * p
        channels = inner + 2 * self.groups * n
        by_head = Cut(h)
        with_groups = self._with_groups(2 * self.groups * n)
        yield Matmul(f"{name}.in", "in", "mixer", site.stream, d, inner + channels + h, self.bias, with_groups)
        yield Conv(f"{name}.conv", "conv", "mixer", site.stream, channels, self.d_conv, self.conv_bias, with_groups)
        yield Vector(f"{name}.A_D_dt", "decay", "mixer", 3 * h, by_head, tensors=3)
        yield Scan(
            f"{name}.scan",
            site.stream,
            chunk=q,
            per_chunk=h * q**2 * (n + p) + 2 * h * q * n * p,
            per_edge_pair=h * p * n,
            cut=by_head,
        )
        if caches:
            cut = self._with_groups(2 * self.groups * n * self.d_conv)
            yield Cache(f"{name}.conv_state", "conv_state", "once", channels * self.d_conv, cut=cut)
            yield Cache(f"{name}.state", "state", "once", inner * n, cut=by_head)
        if self.norm:
            yield Vector(f"{name}.norm", "norm", "norm", inner, by_head)
        yield Matmul(f"{name}.out", "out", "mixer", site.stream, inner, d, self.bias, Cut(h, "in"))

    def _with_groups(self, of_groups: int) -> Cut:
        """How devices share heads, and beside them numbers of the groups, which those whose heads they serve all have.

        With whole groups on each device (Dao & Gu 2024, section 8.1), or a group on several, as vLLM has it (MambaMixer2).
        """
        return Cut(self.heads, beside=(of_groups, self.groups))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """What the projection in yields, and the recurrence's output before its gate; of a norm, one number a group.

        `mamba_split_conv1d_scan_combined` of mamba_ssm 2.3.2 holds all from one projection to the other. It computes the
        convolution, the chunks' states and what the last projection multiplies again.
        """
        inner, of_groups = self.heads * self.d_head, 2 * self.groups * self.d_state

        def saved(what: str, width: int, number: Number = "activation") -> Saved:
            return Saved(f"{site.name}.{what}", "mixer", site.stream, width, number, cut=Cut(self.heads))

        yield saved("gate", inner)
        yield saved("conv.input", inner + of_groups)._replace(cut=self._with_groups(of_groups))
        yield saved("dt", self.heads)
        yield saved("scan.output", inner)
        if self.norm:
            of_norm = Cut(self.groups, otherwise="repeated")
            yield saved("norm.statistics", self.groups, "fp32")._replace(part="norm", cut=of_norm)
