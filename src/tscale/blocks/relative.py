"""Positions by distance: a learned bias for each bucket of distances, or a projection of them that queries score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tscale.blocks.attention import Widths
from tscale.blocks.fields import LayerContext, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cut, Entry, Lookup, Matmul, Saved, Scores, Subset, Vector


@spec_dataclass
class RelativeBias:
    """A learned bias on scores for each bucket of distances and each head, as in T5."""

    kind: Literal["relative-bias"] = "relative-bias"
    buckets: Size = 32
    """Buckets that distances fall into."""
    per_layer: bool = False
    """Whether every layer has a table of its own (UMT5), not one a stack (T5)."""
    rows: Size | None = None
    """Rows of an additional table of learned vectors, where there is one (MPNet)."""

    def lower(self, site: LayerContext, widths: Widths | None, context: int | None) -> Iterator[Entry | Subset]:
        """A table [buckets, heads] for the stack, or for each of its layers."""
        assert widths is not None, "the spec's own check asks for heads"
        if self.rows is not None:
            rows = Lookup(f"{site.name}embedding.positions", "positions", "positions", self.rows, site.d_model)
            yield Subset((rows,), once=True)
        table = Lookup(f"{site.name}relative_bias", "positions", "positions", self.buckets, widths.heads)
        yield table if self.per_layer else Subset((table,), once=True, throughout=True)


@spec_dataclass
class Relative:
    """Relative positions as in Transformer-XL: distances are projected to keys that queries score (Dai 2019).

    Each layer owns a projection [d_model, heads·head_dim] of the sinusoids of the distances; one sequence's worth of
    distances goes through it, and each query scores each distance as well as each key. Where a stack sees both ways there are
    twice as many distances as tokens (XLNet).
    """

    kind: Literal["relative"] = "relative"
    biases: bool = True
    """Whether each layer also owns the two biases that Transformer-XL adds to its queries (u and v)."""
    segments: bool = False
    """Whether each layer also owns vectors for tokens of the same and of another segment, and a bias for them (XLNet)."""

    def lower(self, site: LayerContext, widths: Widths | None, context: int | None) -> Iterator[Entry | Subset]:
        """The projection of distances, the scores against them, and the two biases."""
        assert widths is not None, "the spec's own check asks for heads"
        heads, _, head_dim = widths
        by_head, ways = Cut(heads), 1 if site.causal else 2
        name = f"{site.name}relative"
        yield Matmul(
            f"{name}.key",
            "position_key",
            "attention",
            site.stream,
            site.d_model,
            heads * head_dim,
            cut=by_head,
            used=ways,
        )
        yield Scores(
            f"{name}.scores",
            site.stream,
            site.keys,
            heads,
            ways * head_dim,
            0,
            site.causal,
            cut=by_head,
            role="position_scores",
        )
        if self.biases:
            yield Vector(f"{name}.biases", "bias", "attention", 2 * heads * head_dim, by_head, tensors=2)
        if self.segments:
            yield Vector(f"{name}.segments", "bias", "attention", 3 * heads * head_dim, by_head, tensors=3)

    def saves(self, site: LayerContext, widths: Widths) -> Iterator[Saved]:
        """The keys of the distances, and the queries again for each bias that is added to them.

        A fused kernel is taken to compute both scores again from these. None is known to be published: those in use are
        handed the distances' scores of every pair as a mask (fairseq2, WeNet), and keep as much as attention step by step.
        The distances go through their projection once for each sequence, as in XLNet of transformers; Dai 2019 has one
        copy of them for all sequences of a batch. The sines themselves are shared by all layers, and no gradient asks for
        the mask of their dropout.
        """
        heads, _, head_dim = widths
        by_head, ways, name = Cut(heads), 1 if site.causal else 2, f"{site.name}relative"

        def saved(what: str, width: int) -> Saved:
            return Saved(f"{name}.{what}", "attention", site.stream, width, cut=by_head)

        yield saved("key", ways * heads * head_dim)
        if self.biases:
            yield saved("q", heads * head_dim)
        if self.segments:
            yield saved("segments.q", heads * head_dim)  # what these score is added up by a mask that all layers share
