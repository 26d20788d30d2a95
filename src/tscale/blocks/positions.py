"""How a model knows where a token stands: most ways own nothing, some a table, one a projection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from tscale.blocks.attention import Widths
from tscale.blocks.fields import CONFIG, Site, Size
from tscale.core.ledger import Cut, Entry, Lookup, Matmul, Scores, Stream, Vector


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A learned vector for each position, added to the embedding; an encoder-decoder has a table for each stack."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["learned"] = "learned"
    rows: Size | None = None
    """Rows of the table; the model's context where absent."""

    def lower(self, site: Site, widths: Widths | None, context: int | None) -> Iterator[Entry]:
        """The table."""
        rows = context if self.rows is None else self.rows
        assert rows is not None, "the spec's own check asks for rows or a context"
        yield Lookup(f"{site.name}embedding.positions", "positions", rows, site.d_model, 1)


@dataclass(frozen=True, kw_only=True)
class Computed:
    """Positions that are computed and own nothing.

    Sinusoids added to the embedding, queries and keys rotated (RoPE), a penalty on scores that grows with distance
    (ALiBi), or none at all.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["sinusoidal", "rotary", "alibi", "none"]
    rows: Size | None = None
    """Rows of a table of sinusoids that each stack keeps with its parameters and never trains (Marian, Pegasus)."""

    def lower(self, site: Site, widths: Widths | None, context: int | None) -> Iterator[Entry]:
        """No weights and no matrix multiplications, but for a table that is stored."""
        if self.rows is not None:
            yield Lookup(f"{site.name}embedding.positions", "positions", self.rows, site.d_model, 1)


@dataclass(frozen=True, kw_only=True)
class RelativeBias:
    """A learned bias on scores for each bucket of distances and each head, as in T5."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["relative-bias"] = "relative-bias"
    buckets: Size = 32
    """Buckets that distances fall into."""
    per_layer: bool = False
    """Whether every layer has a table of its own (UMT5), not one a stack (T5)."""

    def lower(self, site: Site, widths: Widths | None, context: int | None) -> Iterator[Entry]:
        """A table [buckets, heads] for the stack, or for each of its layers."""
        assert widths is not None, "the spec's own check asks for heads"
        copies = site.stored if self.per_layer else 1
        yield Lookup(f"{site.name}relative_bias", "positions", self.buckets, widths.heads, copies)


@dataclass(frozen=True, kw_only=True)
class Relative:
    """Relative positions as in Transformer-XL: distances are projected to keys that queries score (Dai 2019).

    Each layer owns a projection [d_model, heads·head_dim] of the sinusoids of the distances; one sequence's worth of
    distances goes through it, and each query scores each distance beside each key.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["relative"] = "relative"
    biases: bool = True
    """Whether each layer also owns the two biases that Transformer-XL adds to its queries (u and v)."""
    both_ways: bool = False
    """Whether distances go both ways, so that there are twice as many (XLNet)."""
    segments: bool = False
    """Whether each layer also scores whether two positions are of one segment: a bias and two vectors (XLNet)."""

    def lower(self, site: Site, widths: Widths | None, context: int | None) -> Iterator[Entry]:
        """The projection of distances, the scores against them, and the two biases."""
        assert widths is not None, "the spec's own check asks for heads"
        heads, _, head_dim = widths
        width, ways = heads * head_dim, 2 if self.both_ways else 1
        copies, by_head = (site.stored, ways * site.used), Cut(heads)
        name = f"{site.name}relative"
        yield Matmul(f"{name}.key", "attention", site.stream, site.d_model, width, *copies, cut=by_head)
        yield Scores(f"{name}.scores", site.stream, site.keys, heads, head_dim, 0, copies[1], site.causal, cut=by_head)
        if self.biases:
            yield Vector(f"{name}.biases", "attention", 2 * width, site.stored, by_head)
        if self.segments:
            yield Vector(f"{name}.segments", "attention", 3 * width, site.stored, by_head)


Term = Literal["c2p", "p2c"]


@dataclass(frozen=True, kw_only=True)
class Disentangled:
    """Relative positions as in DeBERTa (He 2020, section 3.1): contents score distances, and distances contents.

    A table of distances is projected in each layer; what is further away than `span` has the last row. Neither the table
    nor the terms depend on what is read, but their products are made anew for each sequence, as the class does.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["disentangled"]
    span: Size
    """Distances in each direction that have a row of their own: half of the table's rows."""
    whole: bool = False
    """Whether all rows are projected, however short the sequence (DeBERTa v2), and not those of its distances alone."""
    terms: tuple[Term, ...] = ("c2p", "p2c")
    """Content to position, position to content."""
    biases: tuple[Term, ...] = ()
    """The terms whose projection has a bias."""
    shared: bool = False
    """Whether distances are projected by the matrices of keys and queries themselves."""
    norm: bool = False
    """Whether a norm stands behind the table."""

    def lower(self, site: Site, widths: Widths | None, context: int | None) -> Iterator[Entry]:
        """The table, its norm, and for each term a projection of distances and the scores against them."""
        assert widths is not None, "the spec's own check asks for heads"
        heads, _, head_dim = widths
        name, rows = f"{site.name}relative", 2 * self.span
        yield Lookup(f"{name}.table", "positions", rows, site.d_model, 1)
        if self.norm:
            yield Vector(f"{name}.norm", "norm", 2 * site.d_model, 1)
        for term in self.terms:
            projected = f"{name}.{'key' if term == 'c2p' else 'query'}"
            stored = 0 if self.shared else site.stored
            stream: Stream = "once" if self.whole else site.stream
            keys: Stream = "once" if self.whole else site.keys
            used, most = (rows * site.used, None) if self.whole else (2 * site.used, self.span)
            width, bias = heads * head_dim, term in self.biases
            yield Matmul(projected, "attention", stream, site.d_model, width, stored, used, bias, most=most)
            yield Scores(f"{name}.{term}", site.stream, keys, heads, head_dim, 0, used, False, most=most)
