"""An input of its own for every layer: each token looks up a narrow vector for each of them (Gemma 3n, Gemma 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from tscale.blocks.fields import CONFIG, Site, Size
from tscale.core.ledger import ALWAYS, Cut, Entry, Lookup, Matmul, Saved, Vector


@dataclass(frozen=True, kw_only=True)
class LayerInput:
    """Per-layer embeddings (Gemma 3n): one table for all layers, and a gate in each that lets its vector in."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    vocabulary: Size
    """Rows of the table."""
    width: Size
    """Width of the vector that a layer gets."""

    def lower(self, site: Site) -> Iterator[Entry]:
        """The table, what the embedding adds to it, and each layer's gate, projection back and norm."""
        d, width, copies = site.d_model, self.width, (site.stored, site.used)
        every = site.used * width
        by_row = Cut(self.vocabulary, otherwise="padded")
        yield Lookup("embedding.layers", "embedding", "embedding", self.vocabulary, every, 1, by_row)
        yield Matmul("layer_input.projection", "projection", "embedding", site.stream, d, every, 1, 1)
        yield Vector("layer_input.norm", "norm", "norm", width, 1)
        yield Matmul("layer_input.gate", "gate", "feed_forward", site.stream, d, width, *copies)
        yield Matmul("layer_input.back", "projection", "feed_forward", site.stream, width, d, *copies)
        yield Vector("layer_input.norm.back", "norm", "norm", d, site.stored)

    def saves(self, site: Site) -> Iterator[Saved]:
        """The vectors of all layers, before their norm and as layers get them; and what each layer's gate keeps.

        The projection multiplies what the embedding yields, which the first layer keeps as its input.
        """
        d, width, every = site.d_model, self.width, site.used * self.width
        once = Saved("layer_input.norm.input", "embedding", site.stream, every, 1, keeping=ALWAYS)
        yield once
        yield once._replace(name="layer_input.norm.statistics", width=site.used, number="fp32")
        yield once._replace(name="layer_input.vectors")
        for what, numbers in (("gate.input", d), ("gate", width), ("activation", width), ("product", width)):
            yield Saved(f"layer_input.{what}", "feed_forward", site.stream, numbers, site.used)
        back = Saved("layer_input.norm.back.input", "norm", site.stream, d, site.used)
        yield back
        yield back._replace(name="layer_input.norm.back.statistics", width=1, number="fp32")
