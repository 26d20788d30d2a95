"""Disentangled attention: content and distances are vectors of their own, and each scores the other (He 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from tscale.blocks.attention import Widths
from tscale.blocks.fields import CONFIG, Site, Size
from tscale.core.ledger import Cut, Entry, Lookup, Matmul, Scores, Vector

Term = Literal["c2p", "p2c"]


@dataclass(frozen=True, kw_only=True)
class Disentangled:
    """A table of 2·span distances for the stack, projected to keys (c2p) and to queries (p2c) in every layer, as in DeBERTa.

    The first version projects as many distances as a sequence has, two for each token; the second projects the whole
    table, however short the sequence.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["disentangled"]
    span: Size
    """Distances on either side that the table tells apart."""
    terms: tuple[Term, ...] = ("c2p", "p2c")
    """Which scores there are beside those of content: content against distances, distances against content."""
    whole: bool = True
    """Whether every layer projects the whole table (DeBERTa v2 and v3), not what the sequence needs of it (v1)."""
    shared: bool = False
    """Whether distances go through the projections of content, so that there are no others (DeBERTa v3)."""
    biases: tuple[Term, ...] = ("c2p", "p2c")
    """Which projections of distances have a bias."""
    normed: bool = False
    """Whether a norm follows the table."""
    rows: Size | None = None
    """Rows of a table of learned absolute positions beside it, where there is one."""
    conv: Size | None = None
    """Length of a convolution over tokens, across all channels, beside the first layer (DeBERTa v2 xlarge), with a norm."""
    conv_groups: Size = 1
    """Groups of channels that the convolution keeps apart."""

    def lower(self, site: Site, widths: Widths | None, context: int | None) -> Iterator[Entry]:
        """The table, its projections, the scores against it, and the convolution."""
        assert widths is not None, "the spec's own check asks for heads"
        d, table, once = site.d_model, 2 * self.span, 1
        width, by_head = widths.heads * widths.head_dim, Cut(widths.heads)
        if self.rows is not None:
            yield Lookup(f"{site.name}embedding.positions", "positions", self.rows, d, once)
        yield Lookup(f"{site.name}embedding.distances", "positions", table, d, once)
        if self.normed:
            yield Vector(f"{site.name}norm.distances", "norm", 2 * d, once)
        for term in self.terms:
            name, stored = f"{site.name}distances.{term}", 0 if self.shared else site.stored
            biased = term in self.biases and not self.shared
            if self.whole:
                yield Matmul(name, "attention", "once", d, width, stored, table * site.used, biased, by_head)
                yield Matmul(
                    f"{name}.scores", "attention", site.stream, width, table, 0, site.used, cut=Cut(widths.heads, "in")
                )
            else:
                yield Matmul(
                    name, "attention", site.stream, d, width, stored, 2 * site.used, biased, by_head, most=self.span
                )
                seen = 2 * widths.head_dim
                yield Scores(
                    f"{name}.scores",
                    site.stream,
                    site.keys,
                    widths.heads,
                    seen,
                    0,
                    site.used,
                    site.causal,
                    cut=by_head,
                    most=self.span,
                )
        if self.conv is not None:
            yield Matmul(
                f"{site.name}convolution",
                "mixer",
                site.stream,
                self.conv * d // self.conv_groups,
                d,
                once,
                once,
                bias=True,
            )
            yield Vector(f"{site.name}norm.convolution", "norm", 2 * d, once)
