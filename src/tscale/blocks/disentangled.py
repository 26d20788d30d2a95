"""Disentangled attention: content and distances are vectors of their own, and each scores the other (He 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from tscale.blocks.attention import Widths
from tscale.blocks.fields import LayerContext, Problem, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import ALWAYS, Cut, Entry, Lookup, Matmul, Number, Saved, Scores, Subset, Vector

Term = Literal["c2p", "p2c"]

_DROPPED: Final[tuple[tuple[str, Number], ...]] = (("dropout", "mask"), ("dropped", "activation"))


@spec_dataclass
class Disentangled:
    """A table of 2·span distances for the stack, projected to keys (c2p) and to queries (p2c) in every layer, as in DeBERTa.

    The first version projects as many distances as a sequence has, two for each token; the second projects the whole
    table, however short the sequence.
    """

    kind: Literal["disentangled"]
    span: Size
    """Distances on either side that the table distinguishes."""
    terms: tuple[Term, ...] = ("c2p", "p2c")
    """Which scores there are in addition to those of content: content against distances, distances against content."""
    whole: bool = True
    """Whether every layer projects the whole table (DeBERTa v2 and v3), not what the sequence needs of it (v1)."""
    shared: bool = False
    """Whether distances go through the projections of content, so that there are no others (DeBERTa v3)."""
    biases: tuple[Term, ...] = ("c2p", "p2c")
    """Which projections of distances have a bias."""
    normed: bool = False
    """Whether a norm follows the table."""
    rows: Size | None = None
    """Rows of an additional table of learned absolute positions, where there is one."""
    conv: Size | None = None
    """Length of a convolution over tokens, across all channels, parallel to the first layer (DeBERTa v2 xlarge), with a norm."""
    conv_groups: Size = 1
    """Groups of channels that the convolution keeps apart."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself."""
        if len(set(self.terms)) < len(self.terms):
            yield ("terms",), "each way of scoring distances is listed once, c2p or p2c"
        if self.conv is None and self.conv_groups != 1:
            yield ("conv_groups",), "there is no convolution to have groups: set conv, or drop it"
        if d_model % self.conv_groups:
            yield ("conv_groups",), f"{self.conv_groups} groups do not divide d_model {d_model}: set a divisor of it"

    def lower(self, site: LayerContext, widths: Widths | None, context: int | None) -> Iterator[Entry | Subset]:
        """The table, its projections, the scores against it, and the convolution."""
        assert widths is not None, "the spec's own check asks for heads"
        d, table = site.d_model, 2 * self.span
        width, by_head = widths.heads * widths.head_dim, Cut(widths.heads)
        if self.rows is not None:
            rows = Lookup(f"{site.name}embedding.positions", "positions", "positions", self.rows, site.d_model)
            yield Subset((rows,), once=True)
        yield Subset(tuple(self._tables(site)), once=True, throughout=True)
        for term in self.terms:
            name, stored = f"{site.name}distances.{term}", 0 if self.shared else 1
            biased = term in self.biases and not self.shared
            if self.whole:
                key = Matmul(name, "position_key", "attention", "once", d, width, biased, by_head)
                yield key._replace(stored=stored, used=table)
                yield Matmul(
                    f"{name}.scores",
                    "position_scores",
                    "attention",
                    site.stream,
                    width,
                    table,
                    cut=Cut(widths.heads, "in"),
                    stored=0,
                )
            else:
                key = Matmul(name, "position_key", "attention", site.stream, d, width, biased, by_head)
                yield key._replace(most=self.span, stored=stored, used=2)
                seen = 2 * widths.head_dim
                yield Scores(
                    f"{name}.scores",
                    site.stream,
                    site.keys,
                    widths.heads,
                    seen,
                    0,
                    site.causal,
                    cut=by_head,
                    most=self.span,
                    role="position_scores",
                )
        if self.conv is not None:
            width = self.conv * d // self.conv_groups
            conv = Matmul(f"{site.name}convolution", "conv", "mixer", site.stream, width, d, bias=True)
            yield Subset((conv, Vector(f"{site.name}norm.convolution", "norm", "norm", 2 * d, tensors=2)), once=True)

    def _tables(self, site: LayerContext) -> Iterator[Entry]:
        """What all layers read: the table of distances, and its norm."""
        d = site.d_model
        yield Lookup(f"{site.name}embedding.distances", "positions", "positions", 2 * self.span, d)
        if self.normed:
            yield Vector(f"{site.name}norm.distances", "norm", "norm", 2 * d, tensors=2)

    def saves(self, site: LayerContext, widths: Widths) -> Iterator[Saved | Subset]:
        """The projected distances of each term, the normed table, and the convolution beside the first layer.

        A fused kernel computes the scores again from queries, keys and projected distances, which it keeps once for all
        sequences (`FlashAttentionDisentangled` of flashdeberta 0.0.8). Step by step they are repeated for each sequence,
        and each term picks from the scores of all distances, which it keeps, by an index of every pair, one for all heads
        and sequences.
        """
        d, table, width = site.d_model, 2 * self.span, widths.heads * widths.head_dim
        for term in self.terms:
            name = f"{site.name}distances.{term}"
            keys = Saved(name, "attention", "once", table * width, cut=Cut(widths.heads))
            if not self.whole:
                keys = keys._replace(stream=site.stream, width=2 * width, most=self.span)
            yield keys._replace(keeping=("selective", "flash"), shared=True)
            yield keys._replace(name=f"{name}.repeated", keeping=("naive",))
            pairs = Saved(f"{name}.index", "attention", site.stream, 1, "index", keys=site.keys)
            yield pairs._replace(keeping=("naive",), gathered=True, shared=True)
            scores = Saved(f"{name}.scores", "attention", site.stream, widths.heads * table, cut=keys.cut)
            if not self.whole:
                scores = scores._replace(width=2 * widths.heads, keys=site.keys, most=self.span)
            yield scores._replace(keeping=("naive",))
        for what, number in _DROPPED:
            dropped = Saved(f"{site.name}distances.{what}", "attention", "once", table * d, number)
            yield dropped._replace(dropout=True, shared=True)
        if self.normed:
            normed = Saved(f"{site.name}embedding.distances", "embedding", "once", table * d, keeping=ALWAYS)
            normed = normed._replace(shared=True)
            statistics = normed._replace(name=f"{normed.name}.statistics", width=2 * table, number="fp32")
            yield Subset((normed, statistics), once=True, throughout=True)
        if self.conv is not None:
            yield Subset(tuple(self._convolved(site)), once=True)

    def _convolved(self, site: LayerContext) -> Iterator[Saved]:
        """The convolution's input, laid out by channels, what its activation needs, and its norm; outside of the layers."""
        kept = Saved(f"{site.name}convolution", "embedding", site.stream, site.d_model, keeping=ALWAYS)
        yield kept._replace(name=f"{kept.name}.input", gathered=True)
        yield kept._replace(name=f"{kept.name}.activation", gathered=True)
        yield kept._replace(name=f"{kept.name}.dropout", number="mask", dropout=True)
        yield kept._replace(name=f"{site.name}norm.convolution.input")
        yield kept._replace(name=f"{site.name}norm.convolution.statistics", width=2, number="fp32")
