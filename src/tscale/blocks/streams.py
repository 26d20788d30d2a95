"""Several residual streams: how a sub-layer's input is made of them, and how its output is spread over them.

A model of width d carries `count` streams of it from layer to layer; attention and feed-forwards are as wide as ever. What is
elementwise (weighing the streams, normalising their weights) is in no count of products, as norms and activations are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tscale.blocks.fields import LayerContext, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Entry, Matmul, Part, Subset, Vector


@spec_dataclass
class HyperConnections:
    """Hyper-connections with weights that each token computes of its own streams (Xie 2025; Zhu 2024).

    Of the n streams side by side, n·d wide, one product makes n weights that sum them up to the sub-layer's input, n that add its
    output to each of them and, where streams are mixed, n·n that they are mixed with. Before the head they are summed up once more.
    """

    kind: Literal["hyper-connections"]
    count: Size
    """Residual streams."""
    summed: bool = True
    """Whether they are summed up by weights before the head; otherwise their mean is taken (GLM-5.3)."""
    mixed: bool = True
    """Whether the streams are mixed with one another at each sub-layer (DeepSeek-V4), or each goes on by itself (Hy4)."""

    def lower(self, site: LayerContext, sub_layer: str, part: Part) -> Iterator[Entry | Subset]:
        """What weighs the streams at one sub-layer of one layer, and their mixing."""
        d, n, name = site.d_model, self.count, f"{site.name}streams.{sub_layer}"
        made = (2 + n) * n if self.mixed else 2 * n
        yield Matmul(name, "streams", part, site.stream, n * d, made)
        yield Vector(f"{name}.bias", "bias", part, made)
        yield Vector(f"{name}.scale", "scale", part, 3 if self.mixed else 2)
        if self.mixed:
            yield Matmul(f"{name}.mix", "stream_mix", part, site.stream, n, n * d, stored=0)

    def lower_layer(self, site: LayerContext) -> Iterator[Entry | Subset]:
        """Nothing beside its sub-layers."""
        yield from ()

    def lower_end(self, site: LayerContext) -> Iterator[Entry]:
        """What sums the streams up before the last norm."""
        if not self.summed:
            return
        d, n, name = site.d_model, self.count, f"{site.name}streams.end"
        yield Matmul(name, "streams", "feed_forward", site.stream, n * d, n)
        yield Vector(f"{name}.bias", "bias", "feed_forward", n)
        yield Vector(f"{name}.scale", "scale", "feed_forward", 1)


@spec_dataclass
class MixedStreams:
    """Streams of which each channel of a sub-layer's input is weighed by a low-rank product of all of them (Qwen4-Exp).

    The streams are normalised, each by itself, with gains of their own, and there are no other norms. The mean of the weighed streams is
    the input; a product makes n weights of a token that add the output to each stream. Before the head they are mixed once more.
    """

    kind: Literal["mixed"]
    count: Size
    """Residual streams."""
    rank: Size
    """Rank of the product."""

    def lower(self, site: LayerContext, sub_layer: str, part: Part) -> Iterator[Entry | Subset]:
        """The norm, both matrices, and the weights of the output."""
        name = f"{site.name}streams.{sub_layer}"
        yield from self._mix(site, name, part)
        yield Matmul(f"{name}.inject", "streams", part, site.stream, self.count * site.d_model, self.count)

    def lower_layer(self, site: LayerContext) -> Iterator[Entry | Subset]:
        """Nothing beside its sub-layers."""
        yield from ()

    def lower_end(self, site: LayerContext) -> Iterator[Entry]:
        """What makes one stream of them before the head."""
        yield from self._mix(site, f"{site.name}streams.end", "feed_forward")

    def _mix(self, site: LayerContext, name: str, part: Part) -> Iterator[Entry]:
        every = self.count * site.d_model
        yield Vector(f"{name}.norm", "norm", "norm", every)
        yield Matmul(f"{name}.down", "streams", part, site.stream, every, self.rank)
        yield Matmul(f"{name}.up", "streams", part, site.stream, self.rank, every)


@spec_dataclass
class AltUp:
    """Alternating updates (Baykal 2023): a layer computes one of the streams, and corrects predictions of all by it.

    Streams but the first are made of the embedding by a square matrix each, and brought back by another one before the last norm.
    The same layers may add a low-rank path next to attention (Laurel, Menghani 2024).
    """

    kind: Literal["altup"]
    count: Size
    """Residual streams."""
    laurel_rank: Size | None = None
    """Rank of a low-rank path next to attention, with a norm behind it; by default there is none."""

    def lower(self, site: LayerContext, sub_layer: str, part: Part) -> Iterator[Entry | Subset]:
        """Nothing for a sub-layer by itself."""
        yield from ()

    def lower_layer(self, site: LayerContext) -> Iterator[Entry | Subset]:
        """What a layer predicts and corrects all streams with, and the low-rank path; the streams' matrices, before the first."""
        d, n, name = site.d_model, self.count, f"{site.name}streams"
        yield Subset((self._square(site, f"{name}.start"),), once=True)
        yield Vector(f"{name}.norm", "norm", "norm", d)
        yield Matmul(f"{name}.router", "streams", "feed_forward", site.stream, d, n, used=2)
        yield Matmul(f"{name}.predict", "streams", "feed_forward", site.stream, n, n * n)
        yield Matmul(f"{name}.mix", "stream_mix", "feed_forward", site.stream, n, n * d, stored=0)
        yield Matmul(f"{name}.correct", "streams", "feed_forward", site.stream, n, n)
        yield Vector(f"{name}.scale", "scale", "feed_forward", d)
        if self.laurel_rank is not None:
            yield Matmul(f"{site.name}laurel.left", "adapter", "attention", site.stream, d, self.laurel_rank)
            yield Matmul(f"{site.name}laurel.right", "adapter", "attention", site.stream, self.laurel_rank, d)
            yield Vector(f"{site.name}laurel.norm", "norm", "norm", d)

    def lower_end(self, site: LayerContext) -> Iterator[Entry]:
        """The matrices that bring all streams but the first back."""
        yield self._square(site, f"{site.name}streams.end")

    def _square(self, site: LayerContext, name: str) -> Matmul:
        others = self.count - 1
        return Matmul(
            name, "streams", "feed_forward", site.stream, site.d_model, site.d_model, stored=others, used=others
        )
