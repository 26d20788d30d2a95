"""A choice of attention heads: each expert owns queries and an output, all of them share keys and values (JetMoE)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.attention import Widths, core_saves
from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Cut, Entry, Matmul, Number, Saved, Scores, Vector
from tscale.core.roles import Role


@spec_dataclass
class ExpertAttention:
    """A mixture of attention heads (Shen 2024, section 2.2): each token queries with the heads of top_k experts."""

    label: ClassVar[str] = "attention"

    kind: Literal["expert-attention"]
    experts: Size
    """Experts stored in each layer."""
    top_k: Size
    """Experts that a token queries with."""
    heads: Size
    """Heads of one expert, and as many of keys and values."""
    head_dim: Size
    """Width of one head."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def widths(self, d_model: int) -> Widths:
        """Heads that a token queries with, heads of keys and values, and the width of a head."""
        return Widths(self.top_k * self.heads, self.heads, self.head_dim)

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        if self.top_k > self.experts:
            yield (
                ("top_k",),
                f"a token cannot use {self.top_k} of {self.experts} experts: set top_k to at most {self.experts}",
            )

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """The router; the experts' queries and outputs, stored for all and used for top_k; keys, values and scores."""
        d, width, name = site.d_model, self.heads * self.head_dim, site.name
        by_head = Cut(self.heads)

        def expert(matrix: Role, d_in: int, d_out: int, cut: Cut) -> Matmul:
            return Matmul(
                f"{name}.{matrix}",
                matrix,
                "attention",
                site.stream,
                d_in,
                d_out,
                cut=cut,
                experts=self.experts,
                stored=self.experts,
                used=self.top_k,
            )

        yield Matmul(f"{name}.router", "router", "attention", site.stream, d, self.experts)
        yield expert("q", d, width, by_head)
        for matrix in ("k", "v"):
            yield Matmul(f"{name}.{matrix}", matrix, "attention", site.keys, d, width, cut=by_head)
        heads = self.top_k * self.heads
        yield Scores(
            f"{name}.scores",
            site.stream,
            site.keys,
            heads,
            self.head_dim,
            self.head_dim,
            site.causal,
            cut=by_head,
            cache=0,
        )
        if caches:
            yield Cache(f"{name}.cache", "kv", site.keys, 2 * width, cut=by_head)
        yield expert("o", width, d, Cut(self.heads, "in"))
        yield Vector(f"{name}.bias", "bias", "attention", d)

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """The router's choices and weights, each token's copies for its experts, attention, and what the experts return.

        The weights are a softmax over the chosen experts alone (Shen 2024, section 2.1). Keys and values are repeated for
        every expert where attention is computed step by step; a fused kernel keeps its output beside the copy of it that
        is sorted by experts.
        """
        d, k, width, name = site.d_model, self.top_k, self.heads * self.head_dim, site.name
        by_head = Cut(self.heads)

        def saved(what: str, numbers: int, number: Number = "activation") -> Saved:
            return Saved(f"{name}.{what}", "attention", site.stream, numbers, number)

        yield saved("router.choices", k, "index")
        yield saved("router.weights", k, "fp32")
        yield saved("dispatched", k * d)._replace(gathered=True)
        yield saved("q", k * width)._replace(cut=by_head)
        for matrix in ("k", "v"):
            kept = saved(matrix, width)._replace(stream=site.keys, cut=by_head)
            yield kept._replace(keeping=("selective", "flash"))
            yield kept._replace(name=f"{kept.name}.repeated", width=k * width, keeping=("naive",))
        # a device has the same heads of every expert
        for kept in core_saves(site, self.heads):
            yield kept._replace(width=k * kept.width)
        yield saved("out", k * width)._replace(keeping=("flash",), cut=by_head)
        yield saved("out.dispatched", k * width)._replace(cut=by_head)
        yield saved("returned", k * d)._replace(gathered=True)
