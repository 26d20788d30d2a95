"""Attention to a window of keys, and to keys that each stand for several positions of the past (DeepSeek-V4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Length, Problem, Size, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import WHOLE, Cache, Cut, Entry, Matmul, Saved, Scores, Subset, Vector
from tscale.core.roles import Role


@spec_dataclass
class CompressedAttention:
    """One key a position for all heads, which is its value too; the far ones are compressed, `ratio` positions to a key.

    A compressed key is the sum of its positions' vectors, weighed by a softmax of projections and of a table of `ratio` rows. Where
    they overlap, it is made of the positions of the block before as well, which have projections of their own. An indexer may
    pick which of them a query sees. Heads are projected back in groups, each to a narrow vector.
    """

    label: ClassVar[str] = "attention"

    kind: Literal["compressed"]
    heads: Size
    """Query heads."""
    head_dim: Size
    """Width of one head, and of the one key."""
    q_rank: Size
    """Width of the latent that queries are expanded from."""
    groups: Size
    """Groups that the heads are projected back in."""
    group_rank: Size
    """Width that a group is brought to before all of them are projected to d_model."""
    window: Length
    """The last keys that a query sees as they are, its own included."""
    ratio: Size | None = None
    """Positions that a compressed key stands for; by default, there are no keys beyond the window."""
    overlapping: bool = False
    """Whether a compressed key is also made of the block before its own."""
    index_heads: Size | None = None
    """Heads of an indexer, which scores compressed keys of its own and picks those that a query sees."""
    index_dim: Size | None = None
    """Width of one of its heads; its key is one for all of them."""
    index_top_k: Size | None = None
    """The most compressed keys that a query sees."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        if self.heads * self.head_dim % self.groups:
            yield (
                ("groups",),
                f"{self.groups} groups do not divide {self.heads} heads of {self.head_dim}: set groups to a divisor",
            )
        index = (self.index_heads, self.index_dim, self.index_top_k)
        if any(size is None for size in index) and any(size is not None for size in index):
            yield ("index_heads",), "an indexer needs index_heads, index_dim and index_top_k: set all three, or none"
        if self.ratio is None and (self.overlapping or self.index_heads is not None):
            yield ("ratio",), "nothing is compressed, so there is nothing to overlap or to pick: set ratio"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """Queries from their latent, the one key, scores of the window and of compressed keys, and the way back."""
        d, h, width, name = site.d_model, self.heads, self.head_dim, site.name
        by_head = Cut(h)
        yield Matmul(f"{name}.q_down", "q_down", "attention", site.stream, d, self.q_rank)
        yield Vector(f"{name}.q_norm", "norm", "norm", self.q_rank)
        yield Matmul(f"{name}.q_up", "q_up", "attention", site.stream, self.q_rank, h * width, cut=by_head)
        yield Matmul(f"{name}.kv", "k", "attention", site.keys, d, width, cut=WHOLE)
        yield Vector(f"{name}.kv_norm", "norm", "norm", width)
        yield Vector(f"{name}.sinks", "sinks", "attention", h, by_head)
        yield self._scores(site, f"{name}.scores", self.window, slot=0)
        if caches:
            yield Cache(f"{name}.cache", "kv", site.keys, width, self.window)
        yield from self._compressed(site, caches=caches)
        yield from self._indexer(site, caches=caches)
        rows, groups = h * width // self.groups, Cut(self.groups, "copies")
        yield Matmul(
            f"{name}.o_down",
            "o",
            "attention",
            site.stream,
            rows,
            self.group_rank,
            cut=groups,
            stored=self.groups,
            used=self.groups,
        )
        back = Cut(self.groups, "in")
        yield Matmul(f"{name}.o_up", "o", "attention", site.stream, self.groups * self.group_rank, d, cut=back)

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """Nothing: raises `RequestError`, since nobody has recorded what training compressed keys keeps."""
        raise unrecorded(f"{site.name}'s compressed keys")

    def _scores(self, site: LayerContext, name: str, window: int | None, slot: int) -> Scores:
        h, width = self.heads, self.head_dim
        return Scores(
            name,
            site.stream,
            site.keys,
            h,
            width,
            width,
            site.causal,
            window,
            cut=Cut(h, otherwise="refused"),
            cache=slot,
        )

    def _compressed(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Compressed keys, and scores of them."""
        if self.ratio is None:
            return
        name = f"{site.name}.compressed"
        yield from self._compressor(site, name, self.head_dim, slot=1, caches=caches)
        yield self._scores(site, f"{name}.scores", self.index_top_k, slot=1)._replace(stride=self.ratio)

    def _compressor(self, site: LayerContext, name: str, width: int, *, slot: int, caches: bool) -> Iterator[Entry]:
        """What a key of several positions is made with, its cache, and what waits until its block is full.

        A block of `ratio` positions waits until its last one is there, so that ratio - 1 of them are kept at the most, vectors and
        weights. Where blocks overlap, the half of a full one that the next key is made of is kept too.
        """
        assert self.ratio is not None, "its callers ask"
        m, made = self.ratio, 2 * width if self.overlapping else width
        role: Role = "k" if slot == 1 else "index_k"
        yield Matmul(f"{name}.kv", role, "attention", site.keys, site.d_model, made, cut=WHOLE)
        yield Matmul(f"{name}.weights", role, "attention", site.keys, site.d_model, made, cut=WHOLE)
        yield Vector(f"{name}.positions", "bias", "attention", m * made)
        yield Vector(f"{name}.norm", "norm", "norm", width)
        if caches:
            kept: Role = "kv" if slot == 1 else "index"
            yield Cache(f"{name}.cache", kept, site.keys, width, slot=slot, stride=m)
            waiting = 2 * (m - 1) * made + (2 * m * width if self.overlapping else 0)
            yield Cache(f"{name}.waiting_state", "conv_state", "once", waiting)

    def _indexer(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Queries from the latent, narrow compressed keys, weights of the heads, and scores that are never summed up."""
        if self.index_heads is None or self.index_dim is None:
            return
        h, width, name = self.index_heads, self.index_dim, f"{site.name}.index"
        yield Matmul(f"{name}.q", "index_q", "attention", site.stream, self.q_rank, h * width)
        yield from self._compressor(site, name, width, slot=2, caches=caches)
        yield Matmul(f"{name}.heads", "index_weights", "attention", site.stream, site.d_model, h)
        yield Scores(
            f"{name}.scores",
            site.stream,
            site.keys,
            h,
            width,
            0,
            site.causal,
            cache=2,
            stride=self.ratio,
            role="index_scores",
        )
