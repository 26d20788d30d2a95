"""Multi-head latent attention: keys and values are expanded from one narrow vector a token, which alone is cached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from tscale.blocks.attention import Widths, core_saves
from tscale.blocks.fields import MOST_SIZE, LayerContext, LayerSelector, Length, Problem, Size, Whole, unrecorded
from tscale.blocks.norm import norm_gate
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Cut, Entry, Matmul, Saved, Scores, Vector
from tscale.core.roles import Role
from tscale.core.tracing import label_beside


@spec_dataclass
class LatentAttention:
    """Latent attention of DeepSeek-V2 (section 2.1), counted expanded, as training and prefill compute it."""

    label: ClassVar[str] = "attention"

    kind: Literal["latent"]
    heads: Size
    """Query heads, and as many of keys and values."""
    q_rank: Size | None = None
    """Width of the latent that queries are expanded from; by default, they come from the residual stream."""
    kv_rank: Size
    """Width of the latent that keys and values are expanded from."""
    nope_dim: Size
    """Width of a head's part without positions."""
    rope_dim: Annotated[int, Whole(0, MOST_SIZE)]
    """Width of the part with rotary positions; its key is one for all heads. 0: there is none (GLM-5.3)."""
    v_dim: Size
    """Width of a head's values."""
    bias: bool = False
    """Whether the projections from the residual stream and the one back to it have a bias."""
    gated: bool = False
    """Whether a projection as wide as the heads' values gates them before they are projected back (Hy4)."""
    head_gates: bool = False
    """Whether a projection yields one number for each head that gates its output (Ling 3)."""
    gated_queries: bool = False
    """Whether one matrix expands queries and such a gate, from their latent before and behind its norm side by side (A.X K2)."""
    norm_gate: Size | None = None
    """Rank of two matrices that gate what the norm before it yields (A.X K2)."""
    rope_norm: bool = False
    """Whether the part of the key with positions is normalised too, with a gain for each channel (dots3)."""
    window: Length | None = None
    """The most keys that a query sees, itself included; by default, it sees all of them (dots3)."""
    sinks: bool = False
    """Whether each head has a learned logit that attends to nothing (Hy4)."""
    borrows_latent: bool = False
    """Whether the latent of keys and values is an earlier layer's, so that there is no matrix down to it, and no cache."""
    position_scales: bool = False
    """Whether queries of each head, and of an indexer's, are scaled by two learned numbers and their position (Mistral Large 4)."""
    index_heads: Size | None = None
    """Heads of an indexer, which scores every key cheaply and picks the ones that a query sees (DeepSeek-V3.2)."""
    index_dim: Size | None = None
    """Width of one of its heads; its key is one for all of them."""
    index_top_k: Size | None = None
    """The most keys that a query sees: picked by the layer's own indexer, or, without one, by an earlier layer's."""
    index_pool: Size | None = None
    """Positions with keys of the indexer that are pooled into one by learned weights (GLM-5.3); by default, each has its own."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def widths(self, d_model: int) -> Widths:
        """Heads, key-value heads and the width that a head scores with."""
        return Widths(
            self.heads, self.heads, label_beside("head_dim", self.nope_dim + self.rope_dim, self.heads, "heads")
        )

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        if (self.index_heads is None) != (self.index_dim is None):
            yield ("index_heads",), "an indexer needs both index_heads and index_dim: set both, or neither"
        if self.index_heads is not None and self.index_top_k is None:
            yield ("index_top_k",), "an indexer picks keys for the queries: set index_top_k to how many"
        if self.gated_queries and (self.q_rank is None or self.gated):
            yield ("gated_queries",), "a gate is expanded from the queries' latent: set q_rank, and drop gated"
        if self.window is not None and self.index_top_k is not None:
            yield ("window",), "an indexer says which keys a query sees: drop window, or index_top_k"
        if self.index_pool is not None and self.index_heads is None:
            yield ("index_pool",), "there is no indexer whose keys are pooled: set index_heads, or drop it"

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections down to the latents and up from them, norms on the latents, scores, and the latent's cache."""
        d, h = site.d_model, self.heads
        d_qk = self.nope_dim + self.rope_dim

        def matmul(name: Role, d_in: int, d_out: int, cut: Cut | None = None, *, bias: bool = False) -> Matmul:
            return Matmul(f"{site.name}.{name}", name, "attention", site.stream, d_in, d_out, bias, cut)

        if self.norm_gate is not None:
            yield from norm_gate(site, self.norm_gate, "attention")
        if self.q_rank is None:
            yield matmul("q", d, h * d_qk, Cut(h))
        else:
            yield matmul("q_down", d, self.q_rank, bias=self.bias)
            yield Vector(f"{site.name}.q_norm", "norm", "norm", self.q_rank)
            if self.gated_queries:
                yield matmul("q_up", 2 * self.q_rank, h * (d_qk + self.v_dim), Cut(h))
            else:
                yield matmul("q_up", self.q_rank, h * d_qk, Cut(h))
        if not self.borrows_latent:
            yield matmul("kv_down", d, self.kv_rank + self.rope_dim, bias=self.bias)
            yield Vector(f"{site.name}.kv_norm", "norm", "norm", self.kv_rank)
        yield from self._of_heads(site)
        yield matmul("kv_up", self.kv_rank, h * (self.nope_dim + self.v_dim), Cut(h))
        yield Scores(
            f"{site.name}.scores",
            site.stream,
            site.keys,
            h,
            d_qk,
            self.v_dim,
            site.causal,
            self.index_top_k if self.window is None else self.window,
            cut=Cut(h),
            decoded=(self.kv_rank + self.rope_dim, self.kv_rank),
            cache=0,
        )
        if caches:
            kept = Cache(f"{site.name}.cache", "latent", site.keys, self.kv_rank + self.rope_dim, self.window)
            yield kept._replace(stored=0) if self.borrows_latent else kept
        yield from self._indexer(site, caches=caches)
        yield matmul("o", h * self.v_dim, d, Cut(h, "in"), bias=self.bias)

    def _of_heads(self, site: LayerContext) -> Iterator[Entry]:
        """What each head has for itself: gates on its output, a logit that attends to nothing, scales of its queries."""
        d, h, by_head = site.d_model, self.heads, Cut(self.heads)
        if self.gated or self.head_gates:
            width = h * self.v_dim if self.gated else h
            yield Matmul(f"{site.name}.gates", "gates", "attention", site.stream, d, width, cut=by_head)
        if self.rope_norm:
            yield Vector(f"{site.name}.rope_norm", "norm", "norm", self.rope_dim)
        if self.sinks:
            yield Vector(f"{site.name}.sinks", "sinks", "attention", h, by_head)
        if self.position_scales:
            yield Vector(f"{site.name}.scales", "scale", "attention", 2 * h, by_head)

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """The latents before and after their norms, the expanded queries, keys and values, and what they come to.

        Raises `RequestError` where keys are picked: a loss of its own trains an indexer (DeepSeek-AI 2025), its authors'
        kernels are not published, and others differ in what they keep: whole matrices of scores (Megatron Core 0.16), queries
        in the latent's width (its successor), or nothing, where the indexer is not trained (transformers 5.23).
        """
        h, d_qk = self.heads, self.nope_dim + self.rope_dim
        if self.gated or self.head_gates or self.sinks or self.borrows_latent or self.position_scales:
            raise unrecorded(f"{site.name} with gates, sinks, scales of positions or a borrowed latent")
        if self.gated_queries or self.norm_gate is not None or self.rope_norm or self.window is not None:
            raise unrecorded(f"{site.name} with a window, gates or norms of its own")
        if self.index_top_k is not None:
            raise unrecorded(f"{site.name}'s indexer of keys, which a loss of its own trains,")
        ranks = {"q": self.q_rank, "kv": self.kv_rank}
        for name, rank in ranks.items():
            if rank is not None:
                for kept in (f"{name}_down", f"{name}_up.input"):
                    yield Saved(f"{site.name}.{kept}", "attention", site.stream, rank)
                yield Saved(f"{site.name}.{name}_norm.statistics", "norm", site.stream, 1, "fp32")
        for name, width in (("q", d_qk), ("k", d_qk), ("v", self.v_dim), ("out", self.v_dim)):
            yield Saved(f"{site.name}.{name}", "attention", site.stream, h * width, cut=Cut(h))
        yield from core_saves(site, h)

    def _indexer(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Its queries from their latent, one key a token, a weight for each head, and its scores (DeepSeek-AI 2025).

        Each head scores each key, and the heads' scores are summed by their weights: index_dim and one multiply-adds. Where queries
        have no latent, they come from the residual stream by a norm of their own. Keys that are pooled wait for their pool's last one.
        """
        if self.index_heads is None or self.index_dim is None:
            return
        d, h, width, name = site.d_model, self.index_heads, self.index_dim, f"{site.name}.index"
        if self.q_rank is None:
            yield Vector(f"{name}.q_norm", "norm", "norm", 2 * d, tensors=2)
        yield Matmul(f"{name}.q", "index_q", "attention", site.stream, self.q_rank or d, h * width)
        if self.position_scales:
            yield Vector(f"{name}.scales", "scale", "attention", 2 * h)
        yield Matmul(f"{name}.k", "index_k", "attention", site.stream, d, width)
        yield Vector(f"{name}.k_norm", "norm", "norm", 2 * width, tensors=2)
        yield Matmul(f"{name}.weights", "index_weights", "attention", site.stream, d, h)
        m = self.index_pool
        if m is not None:
            yield Matmul(f"{name}.pool", "index_k", "attention", site.stream, d, width)
            yield Vector(f"{name}.pool.positions", "bias", "attention", m * width)
        scores = Scores(
            f"{name}.scores", site.stream, site.keys, h, width, 1, site.causal, cache=1, role="index_scores"
        )
        yield scores._replace(stride=m)
        if caches:
            yield Cache(f"{name}.cache", "index", site.keys, width, slot=1, stride=m)
        if caches and m is not None:
            yield Cache(f"{name}.waiting_state", "conv_state", "once", 2 * (m - 1) * width)
