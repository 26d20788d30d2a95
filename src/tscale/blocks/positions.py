"""How a model knows where a token stands: most ways own nothing, some a table, one a projection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from tscale.blocks.attention import Widths
from tscale.blocks.fields import CONFIG, LayerContext, Size
from tscale.core.ledger import Cut, Entry, Lookup, Matmul, Saved, Scores, Subset, Vector


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A learned vector for each position, added to the embedding; an encoder-decoder has a table for each stack."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["learned"] = "learned"
    rows: Size | None = None
    """Rows of the table; by default the model's context."""

    def lower(self, site: LayerContext, widths: Widths | None, context: int | None) -> Iterator[Entry | Subset]:
        """The table."""
        rows = context if self.rows is None else self.rows
        assert rows is not None, "the spec's own check asks for rows or a context"
        yield Subset(
            (Lookup(f"{site.name}embedding.positions", "positions", "positions", rows, site.d_model),), once=True
        )


@dataclass(frozen=True, kw_only=True)
class Computed:
    """Positions that are computed and own nothing.

    Sinusoids added to the embedding, queries and keys rotated (RoPE), a penalty on scores that grows with distance
    (ALiBi), or none at all.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["sinusoidal", "rotary", "alibi", "none"]
    rows: Size | None = None
    """Rows of a table of sinusoids that each stack keeps with its parameters and never trains (Marian, Pegasus);
    where queries and keys are rotated, of a head's width (RoFormer)."""
    frequencies: Size | None = None
    """Learned numbers that scale the frequencies of rotation, for all layers at once (Mistral Large 4)."""

    def lower(self, site: LayerContext, widths: Widths | None, context: int | None) -> Iterator[Entry | Subset]:
        """No weights and no matrix multiplications, but for a table that is stored."""
        if self.rows is not None:
            width = widths.head_dim if self.kind == "rotary" and widths is not None else site.d_model
            sines = Lookup(f"{site.name}embedding.sines", "positions", "positions", self.rows, width, trained=False)
            yield Subset((sines,), once=True)
        if self.frequencies is not None:
            yield Subset((Vector(f"{site.name}frequencies", "scale", "positions", self.frequencies),), once=True)


@dataclass(frozen=True, kw_only=True)
class RelativeBias:
    """A learned bias on scores for each bucket of distances and each head, as in T5."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

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
        yield table if self.per_layer else Subset((table,), once=True)


@dataclass(frozen=True, kw_only=True)
class Relative:
    """Relative positions as in Transformer-XL: distances are projected to keys that queries score (Dai 2019).

    Each layer owns a projection [d_model, heads·head_dim] of the sinusoids of the distances; one sequence's worth of
    distances goes through it, and each query scores each distance as well as each key. Where a stack sees both ways there are
    twice as many distances as tokens (XLNet).
    """

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

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
            yield Vector(f"{name}.biases", "bias", "attention", 2 * heads * head_dim, by_head)
        if self.segments:
            yield Vector(f"{name}.segments", "bias", "attention", 3 * heads * head_dim, by_head)

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
