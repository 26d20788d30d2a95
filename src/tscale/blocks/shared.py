"""A transformer block that several layers share, each with a state space of its own behind it (Zamba, Zamba2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from tscale.blocks.attention import Attention, Widths
from tscale.blocks.feed_forward import inner_saves
from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, Tagged, within
from tscale.blocks.kinds import STATE_SPACES
from tscale.blocks.mamba import Mamba
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import WHOLE, Cache, Cut, Entry, Matmul, Part, Saved, Scores, Subset, Vector
from tscale.core.roles import Role
from tscale.core.tracing import label_beside, minimum


@spec_dataclass
class SharedBlock:
    """Attention and a feed-forward of which a few copies take turns in the layers that this stands in (Glorioso 2024).

    A block reads the residual stream and the embedding side by side, so that its attention is 2·d_model wide. Each
    layer projects what it yields with a matrix of its own, and may add low-rank adapters to the block's own matrices.
    """

    label: ClassVar[str] = "hybrid"

    kind: Literal["shared-block"]
    blocks: Size = 1
    """Copies that are stored, and take turns."""
    heads: Size
    """Query heads."""
    kv_heads: Size | None = None
    """Key and value heads; by default as many as query heads."""
    head_dim: Size | None = None
    """Width of one head; by default 2·d_model / heads."""
    d_ff: Size
    """Inner width of the gated feed-forward."""
    bias: bool = False
    """Whether the matrices of the feed-forward have a bias."""
    adapter_rank: Size | None = None
    """Rank of each layer's own adapters on the feed-forward's matrices up; by default there are none."""
    attention_adapters: bool = False
    """Whether each layer also has adapters on queries, keys and values, of the same rank."""
    mamba: Annotated[Mamba | Mamba2, Tagged(STATE_SPACES, "mamba2")]
    """The state space behind the block, with weights of its own in each layer."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def widths(self, d_model: int) -> Widths:
        """Heads, key-value heads and head width in a model of width `d_model`."""
        head_dim = self.head_dim
        if head_dim is None:
            head_dim = label_beside("head_dim", 2 * d_model // self.heads, self.heads, "heads")
        return Widths(self.heads, self.heads if self.kv_heads is None else self.kv_heads, head_dim)

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        if self.head_dim is None and 2 * d_model % self.heads:
            yield ("heads",), f"{self.heads} heads do not divide twice d_model {d_model}: set head_dim"
        if self.kv_heads is not None and self.heads % self.kv_heads:
            yield ("kv_heads",), f"{self.kv_heads} kv_heads do not divide {self.heads} heads"
        if self.attention_adapters and self.adapter_rank is None:
            yield ("attention_adapters",), "an adapter needs its rank: set adapter_rank"
        heads, kv_heads, head_dim = self.widths(d_model)
        if self.attention_adapters and not heads * head_dim == kv_heads * head_dim == 2 * d_model:
            yield (
                ("attention_adapters",),
                f"an adapter yields twice d_model, {2 * d_model}, and is added to queries, keys and values: let them be as wide",
            )
        yield from within(("mamba",), self.mamba.problems(d_model))
        if self.mamba.on is not None:
            yield ("mamba", "on"), "both stand in the same layers: say which outside of the two"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """The shared block, stored `blocks` times; each layer's adapters and projection; its state space."""
        copies = minimum(self.blocks, site.layers)
        for entry in (*self._attention(site, caches=caches), *self._feed_forward(site)):
            own = isinstance(entry, Matmul | Vector) and entry.role != "adapter"
            yield Subset((entry,), copies=copies) if own else entry
        d = site.d_model
        yield Matmul(f"{site.name}.linear", "projection", "mixer", site.stream, d, d, cut=WHOLE)
        yield from self.mamba.lower(site._replace(name=f"{site.name}.mamba"), caches=caches)

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """What attention and the feed-forward keep, each with its norm; the layer's own matrices' inputs; its state space's.

        The sub-layer's input and its norm, which are not here, are those of the state space. The embedding is kept once for
        all layers; beside the stream, it is copied for each.
        """
        name, d = site.name, site.d_model
        heads, kv_heads, head_dim = self.widths(d)

        def saved(what: str, part: Part, width: int) -> Saved:
            return Saved(f"{name}.{what}", part, site.stream, width)

        def normed(part: Part, width: int) -> Iterator[Saved]:
            yield saved(f"norm.{part}.input", "norm", width)
            yield saved(f"norm.{part}.statistics", "norm", 1)._replace(number="fp32")
            yield saved(f"{part}.input", part, width)

        yield from normed("attention", 2 * d)
        if self.attention_adapters and self.adapter_rank is not None:
            for matrix in ("q", "k", "v"):
                yield saved(f"{matrix}.adapter", "attention", self.adapter_rank)
        yield from Attention(heads=heads, kv_heads=kv_heads, head_dim=head_dim).saves(site)
        yield from normed("feed_forward", d)
        if self.adapter_rank is not None:
            yield saved("adapter", "feed_forward", self.adapter_rank)
        yield from inner_saves(site, name, self.d_ff, gated=True)
        yield saved("linear.input", "mixer", d)
        yield from self.mamba.saves(site._replace(name=f"{name}.mamba"))

    def _attention(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        heads, kv_heads, head_dim = self.widths(site.d_model)
        name, wide = site.name, 2 * site.d_model
        yield Vector(f"{name}.norm.attention", "norm", "norm", wide)
        projections: tuple[tuple[Role, int], ...] = (("q", heads), ("k", kv_heads), ("v", kv_heads))
        for matrix, many in projections:
            cut = Cut(many, otherwise="refused" if matrix == "q" else "repeated")
            yield Matmul(f"{name}.{matrix}", matrix, "attention", site.stream, wide, many * head_dim, cut=cut)
            if self.attention_adapters:
                yield from self._adapter(site._replace(name=f"{name}.{matrix}"), "attention", wide, wide)
        yield Scores(
            f"{name}.scores", site.stream, site.keys, heads, head_dim, head_dim, site.causal, cut=Cut(heads), cache=0
        )
        if caches:
            cut = Cut(kv_heads, otherwise="repeated")
            yield Cache(f"{name}.cache", "kv", site.keys, 2 * kv_heads * head_dim, cut=cut)
        back = Cut(heads, "in")
        yield Matmul(f"{name}.o", "o", "attention", site.stream, heads * head_dim, site.d_model, cut=back)

    def _feed_forward(self, site: LayerContext) -> Iterator[Entry]:
        d, name, columns = site.d_model, site.name, Cut(self.d_ff)
        yield Vector(f"{name}.norm.feed_forward", "norm", "norm", d)
        for matrix in ("up", "gate"):
            yield Matmul(f"{name}.{matrix}", matrix, "feed_forward", site.stream, d, self.d_ff, self.bias, columns)
        if self.adapter_rank is not None:
            yield from self._adapter(site, "feed_forward", d, 2 * self.d_ff)
        back = Cut(self.d_ff, "in")
        yield Matmul(f"{name}.down", "down", "feed_forward", site.stream, self.d_ff, d, self.bias, back)

    def _adapter(
        self, site: LayerContext, part: Literal["attention", "feed_forward"], d_in: int, d_out: int
    ) -> Iterator[Entry]:
        """A matrix down to the rank and one up from it, of their own in each layer."""
        assert self.adapter_rank is not None, "problems() asks for it"
        name = f"{site.name}.adapter"
        yield Matmul(f"{name}.down", "adapter", part, site.stream, d_in, self.adapter_rank)
        yield Matmul(f"{name}.up", "adapter", part, site.stream, self.adapter_rank, d_out)
