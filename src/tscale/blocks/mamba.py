"""Mamba: a selective state space model, each channel a linear recurrence that its own input steers (Gu & Dao 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Conv, Cut, Entry, Matmul, Number, Saved, Scan, Vector
from tscale.core.tracing import ceil_div, label

_SCANNED: Final = 2048
"""Positions that the kernel's blocks scan before they keep their states (`n_chunks` in selective_scan.cpp)."""


@spec_dataclass
class Mamba:
    """A Mamba layer (Gu & Dao 2023, section 3.4): convolution, selective scan and a gate, in one block."""

    label: ClassVar[str] = "mamba"

    kind: Literal["mamba"]
    d_inner: Size | None = None
    """Channels of the recurrence; by default twice d_model."""
    d_state: Size = 16
    """Numbers in the state of one channel."""
    d_conv: Size = 4
    """Length of the convolution."""
    dt_rank: Size | None = None
    """Width that the step sizes are expanded from; by default d_model / 16, rounded up."""
    conv_bias: bool = True
    """Whether the convolution has a bias."""
    bias: bool = False
    """Whether the projections in and out have a bias."""
    heads: Size = 1
    """Heads that make their step sizes, inputs and outputs each from its own channels (Zamba)."""
    norms: bool = False
    """Whether step sizes, inputs and outputs of the state are normalised with gains of their own (Jamba)."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        inner = 2 * d_model if self.d_inner is None else self.d_inner
        if inner % self.heads:
            yield ("heads",), f"{self.heads} heads do not divide {inner} channels: every head has as many"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections, convolution, the recurrence and its state.

        Of the recurrence, products are 2·S·d_inner·d_state: the state read out by C (equation 1b). What comes before,
        the state's own update, is elementwise, so that frameworks count nothing for it.
        """
        d, n = site.d_model, self.d_state
        inner, rank = self._widths(d)
        name, columns = site.name, Cut(inner)
        own, heads = inner, 1
        if self.heads != 1:
            own, heads = inner // self.heads, self.heads
        yield Matmul(f"{name}.in", "in", "mixer", site.stream, d, 2 * inner, self.bias, columns)
        yield Conv(f"{name}.conv", "conv", "mixer", site.stream, inner, self.d_conv, self.conv_bias, columns)
        yield Matmul(
            f"{name}.x", "step", "mixer", site.stream, own, rank + 2 * n, cut=Cut(own, "in"), stored=heads, used=heads
        )
        yield Matmul(
            f"{name}.dt", "step", "mixer", site.stream, rank, own, bias=True, cut=Cut(own), stored=heads, used=heads
        )
        if self.norms:
            yield Vector(f"{name}.norms", "norm", "norm", rank + 2 * n)
        yield Vector(f"{name}.A", "decay", "mixer", inner * n, columns)
        yield Vector(f"{name}.D", "scale", "mixer", inner, columns)
        yield Scan(f"{name}.scan", site.stream, per_position=inner * n, cut=columns)
        if caches:
            yield Cache(f"{name}.conv_state", "conv_state", "once", inner * self.d_conv, cut=columns)
            yield Cache(f"{name}.state", "state", "once", inner * n, cut=columns)
        yield Matmul(f"{name}.out", "out", "mixer", site.stream, inner, d, self.bias, Cut(inner, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """What the kernels keep: channels and gates, step sizes with inputs and outputs of the state, states, and what they yield.

        `mamba_inner_fn` of mamba_ssm 2.3.2 holds all from the projection in to the one out, and computes the convolution, the
        step sizes and the gating again. Norms of the ranks or heads of their own do not go through it: transformers 5.23.0
        calls causal_conv1d 1.7.0 and `selective_scan_fn` apart, which compute nothing again. The scan keeps two numbers for
        each of the state's, in fp32. Heads' inputs and outputs of the state lie as it reads them: others are copied. What is projected from all channels is summed over the devices: each has all of it.
        """
        if self.norms and self.heads != 1:
            raise unrecorded(f"{site.name} with norms and several heads")
        inner, rank = self._widths(site.d_model)
        n, columns = self.d_state, Cut(inner)

        def saved(what: str, width: int, number: Number = "activation") -> Saved:
            return Saved(f"{site.name}.{what}", "mixer", site.stream, width, number, gathered=True)

        yield saved("conv.input", inner)._replace(cut=columns)
        yield saved("gate", inner)._replace(cut=columns)
        yield saved("x", self.heads * (rank + 2 * n))
        if self.heads == 1:
            yield saved("B", n)
            yield saved("C", n)
        yield saved("scan.states", 2 * inner * n, "fp32")._replace(cut=columns, chunk=_SCANNED)
        yield saved("scan.output", inner)._replace(cut=columns)
        if self.norms:
            yield saved("norms.statistics", 3, "fp32")._replace(part="norm")
            yield saved("dt.input", rank)
        if self.norms or self.heads != 1:
            for name in ("conv.output", "dt", "gated"):
                yield saved(name, inner)._replace(cut=columns)

    def _widths(self, d_model: int) -> tuple[int, int]:
        """Channels, and the width that step sizes are expanded from, defaults filled in."""
        inner = label("d_inner", 2 * d_model) if self.d_inner is None else self.d_inner
        rank = label("dt_rank", ceil_div(d_model, 16)) if self.dt_rank is None else self.dt_rank
        return inner, rank
