"""Multi-head attention to blocks of keys that an indexer picks for each query (MiniMax-M3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.attention import Attention
from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, inner_problems, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Entry, Matmul, Saved, Scores, Subset, Vector


@spec_dataclass
class IndexedAttention:
    """Attention to keys that an indexer picks in blocks: the best-scored key of a block speaks for all of it.

    The indexer has no values, and its heads' scores are not summed: each picks for the query heads of one group. A query is
    counted with the most keys that it can see; of its own block it sees those before it, half a block fewer on average.
    """

    label: ClassVar[str] = "attention"

    kind: Literal["indexed"]
    attention: Attention
    """Attention to the keys that are picked."""
    index_heads: Size
    """Heads of the indexer, each of which picks blocks of its own."""
    index_dim: Size
    """Width of one of its heads; its key is one for all of them."""
    index_block: Size
    """Keys of a block."""
    index_top_blocks: Size
    """The most blocks that a query sees, its own included."""
    pooled: bool = False
    """Whether an indexer's key is the mean of a block's, which is scored once it is full; a query then sees so many full blocks, and its
    own besides (Qwen4-Exp)."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        inner = self.attention
        yield from inner_problems(
            "attention", inner, d_model, "the indexer stands in the same layers: say which outside of the two"
        )
        if inner.window is not None:
            yield ("attention", "window"), "the indexer says which keys a query sees: drop window"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """The attention's entries, whose queries see so many blocks at the most, and the indexer's."""
        for item in self.attention.lower(site, caches=caches):
            yield item._replace(items=tuple(map(self._picked, item.items))) if isinstance(item, Subset) else item
        yield from self._indexer(site, caches=caches)

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """Nothing: raises `RequestError`, since nobody has recorded what training an indexer keeps."""
        raise unrecorded(f"{site.name}'s indexer of keys")

    def _picked(self, item: Entry | Saved) -> Entry | Saved:
        if not isinstance(item, Scores):
            return item
        own = self.index_block - 1 if self.pooled else 0
        return item._replace(window=self.index_top_blocks * self.index_block + own)

    def _indexer(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Its queries, one key a token, a norm on each, and its scores, which are pooled and never multiplied with values."""
        d, h, width, name = site.d_model, self.index_heads, self.index_dim, f"{site.name}.index"
        yield Matmul(f"{name}.q", "index_q", "attention", site.stream, d, h * width)
        yield Matmul(f"{name}.k", "index_k", "attention", site.keys, d, width)
        yield Vector(f"{name}.q_norm", "norm", "norm", width)
        yield Vector(f"{name}.k_norm", "norm", "norm", width)
        scores = Scores(
            f"{name}.scores", site.stream, site.keys, h, width, 0, site.causal, cache=1, role="index_scores"
        )
        yield scores._replace(stride=self.index_block) if self.pooled else scores
        if caches:
            yield Cache(f"{name}.cache", "index", site.keys, width, slot=1)
