"""The recurrent block of Griffin: a convolution and a gated linear recurrence, one number a channel (De 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Conv, Cut, Entry, Matmul, Saved, Scan, Vector
from tscale.core.tracing import label_beside


@spec_dataclass
class RgLru:
    """The real-gated linear recurrent unit within its block (De 2024, sections 2.3 and 2.4)."""

    label: ClassVar[str] = "rg_lru"

    kind: Literal["rg-lru"]
    width: Size | None = None
    """Channels of the recurrence; by default d_model."""
    blocks: Size
    """Square blocks on the diagonal of each of the two gates' matrices."""
    d_conv: Size = 4
    """Length of the convolution."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        width = d_model if self.width is None else self.width
        if width % self.blocks:
            yield ("blocks",), f"{self.blocks} blocks do not divide {width} channels: set blocks to a divisor of it"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections with biases, convolution, the two gates, the recurrence and its state.

        The recurrence multiplies each channel by a number of its own (De 2024, equation 4), so that it is elementwise
        and frameworks count nothing for it. The convolution keeps the inputs before the present one alone.
        """
        d, name = site.d_model, site.name
        width = d if self.width is None else self.width
        block = label_beside("block", width // self.blocks, self.blocks, "blocks")
        gates, by_block = 2 * self.blocks, Cut(self.blocks)
        yield Matmul(f"{name}.x", "in", "mixer", site.stream, d, width, bias=True, cut=by_block)
        yield Matmul(f"{name}.y", "gate", "mixer", site.stream, d, width, bias=True, cut=by_block)
        yield Conv(f"{name}.conv", "conv", "mixer", site.stream, width, self.d_conv, bias=True, cut=by_block)
        of_gates = Matmul(f"{name}.gates", "decay", "mixer", site.stream, block, block, bias=True)
        yield of_gates._replace(stored=gates, used=gates, cut=Cut(self.blocks, "copies"))
        yield Vector(f"{name}.decay", "decay", "mixer", width, by_block)
        yield Scan(f"{name}.scan", site.stream, cut=by_block)
        if caches:
            yield Cache(f"{name}.conv_state", "conv_state", "once", width * (self.d_conv - 1), cut=by_block)
            yield Cache(f"{name}.state", "state", "once", width, cut=by_block)
        yield Matmul(f"{name}.out", "out", "mixer", site.stream, width, d, bias=True, cut=Cut(self.blocks, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """What the convolution reads and yields, both gates, each step from a gate to a decay, and the scan's own arrays.

        The scan keeps its decays and its output, as the authors' kernel does (`_lru` in recurrentgemma 1.0.1). What stands
        around it is elementwise and is kept step by step, as the layers of the same package compute it: a decay is the
        exponential of the recurrence gate times a constant and a parameter, and is set to 0 where a document begins; the
        input's factor is the root of 1 less the decay's square. Devices share the blocks on the diagonal, and so the channels.
        """
        width = site.d_model if self.width is None else self.width
        for step in (
            "x", "conv.out",
            "input_gate", "gated",
            "recurrence_gate", "scaled_gate", "exponential", "square", "rest_of_square", "root",
            "scan.decay", "scan.out",
            "y", "activation", "product",
        ):  # fmt: skip
            yield Saved(f"{site.name}.{step}", "mixer", site.stream, width, cut=Cut(self.blocks))
