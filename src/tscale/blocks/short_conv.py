"""The gated short convolution of LFM2: tokens are mixed over a few neighbours, and no further."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Size, nothing_wrong
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Conv, Cut, Entry, Matmul, Saved


@spec_dataclass
class ShortConv:
    """A convolution between two gates, as in LFM2 (Liquid AI 2025): three projections in, one out."""

    label: ClassVar[str] = "short_conv"

    kind: Literal["short-conv"]
    d_conv: Size = 3
    """Length of the convolution."""
    bias: bool = False
    """Whether projections and convolution have a bias."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    problems = nothing_wrong

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections, convolution, and the inputs that it keeps."""
        d, name, columns = site.d_model, site.name, Cut(site.d_model)
        yield Matmul(f"{name}.in", "in", "mixer", site.stream, d, 3 * d, self.bias, columns)
        yield Conv(f"{name}.conv", "conv", "mixer", site.stream, d, self.d_conv, self.bias, columns)
        if caches:
            yield Cache(f"{name}.conv_state", "conv_state", "once", d * self.d_conv, cut=columns)
        yield Matmul(f"{name}.out", "out", "mixer", site.stream, d, d, self.bias, Cut(d, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """What is projected in, the product that is convolved, and what the second gate makes of it.

        The convolution is causal_conv1d 1.7.0's, which keeps its input. Both gates and what they multiply are kept as they are.
        """
        for step in ("gate_in", "gate_out", "value", "conv.input", "conv", "out"):
            yield Saved(f"{site.name}.{step}", "mixer", site.stream, site.d_model, cut=Cut(site.d_model))
