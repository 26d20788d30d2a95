"""An input of its own for every layer: each token looks up a narrow vector for each of them (Gemma 3n, Gemma 4)."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.blocks.fields import LayerContext, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import ALWAYS, Cut, Entry, Lookup, Matmul, Saved, Subset, Vector


@spec_dataclass
class LayerInput:
    """Per-layer embeddings (Gemma 3n): one table for all layers, and a gate in each that lets its vector in."""

    vocabulary: Size
    """Rows of the table."""
    width: Size
    """Width of the vector that a layer gets."""

    def lower(self, site: LayerContext) -> Iterator[Entry | Subset]:
        """The table, what the embedding adds to it, and each layer's gate, projection back and norm."""
        d, width = site.d_model, self.width
        every = site.layers * width
        by_row = Cut(self.vocabulary, otherwise="padded")
        table = Lookup("embedding.layers", "layer_embedding", "embedding", self.vocabulary, every, by_row)
        projection = Matmul("layer_input.projection", "projection", "embedding", site.stream, d, every)
        yield Subset((table, projection, Vector("layer_input.norm", "norm", "norm", width)), once=True)
        yield Matmul("layer_input.gate", "gate", "feed_forward", site.stream, d, width)
        yield Matmul("layer_input.back", "projection", "feed_forward", site.stream, width, d)
        yield Vector("layer_input.norm.back", "norm", "norm", d)

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """The vectors of all layers, before their norm and as layers get them; and what each layer's gate keeps.

        The projection multiplies what the embedding yields, which the first layer keeps as its input.
        """
        d, width, every = site.d_model, self.width, site.layers * self.width
        once = Saved("layer_input.norm.input", "embedding", site.stream, every, keeping=ALWAYS)
        statistics = once._replace(name="layer_input.norm.statistics", width=site.layers, number="fp32")
        yield Subset((once, statistics, once._replace(name="layer_input.vectors")), once=True)
        for what, numbers in (("gate.input", d), ("gate", width), ("activation", width), ("product", width)):
            yield Saved(f"layer_input.{what}", "feed_forward", site.stream, numbers)
        back = Saved("layer_input.norm.back.input", "norm", site.stream, d)
        yield back
        yield back._replace(name="layer_input.norm.back.statistics", width=1, number="fp32")
