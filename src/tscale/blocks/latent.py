"""Multi-head latent attention: keys and values are expanded from one narrow vector a token, which alone is cached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from tscale.blocks.attention import Widths, core_saves
from tscale.blocks.fields import CONFIG, On, Problem, Site, Size
from tscale.core.ledger import Cache, Cut, Entry, Matmul, Saved, Scores, Vector
from tscale.core.numbers import named


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Latent attention of DeepSeek-V2 (section 2.1), counted expanded, as training and prefill compute it."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG
    label: ClassVar[str] = "attention"

    kind: Literal["latent"]
    heads: Size
    """Query heads, and as many of keys and values."""
    q_rank: Size | None = None
    """Width of the latent that queries are expanded from; where absent, they come from the residual stream."""
    kv_rank: Size
    """Width of the latent that keys and values are expanded from."""
    nope_dim: Size
    """Width of a head's part without positions."""
    rope_dim: Size
    """Width of the part with rotary positions; its key is one for all heads."""
    v_dim: Size
    """Width of a head's values."""
    bias: bool = False
    """Whether the projections from the residual stream and the one back to it have a bias."""
    on: On | None = None
    """Which layers it stands in; where absent, those that no other mixer claims."""

    def widths(self, d_model: int) -> Widths:
        """Heads, key-value heads and the width that a head scores with."""
        return Widths(self.heads, self.heads, named("head_dim", self.nope_dim + self.rope_dim))

    def problems(self, d_model: int) -> Iterator[Problem]:
        """Nothing in this block can contradict itself."""
        return iter(())

    def lower(self, site: Site, *, caches: bool) -> Iterator[Entry]:
        """Projections down to the latents and up from them, norms on the latents, scores, and the latent's cache."""
        d, h, copies = site.d_model, self.heads, (site.stored, site.used)
        d_qk = self.nope_dim + self.rope_dim

        def matmul(name: str, d_in: int, d_out: int, cut: Cut | None = None, *, bias: bool = False) -> Matmul:
            return Matmul(f"{site.name}.{name}", "attention", site.stream, d_in, d_out, *copies, bias, cut)

        if self.q_rank is None:
            yield matmul("q", d, h * d_qk, Cut(h))
        else:
            yield matmul("q_down", d, self.q_rank, bias=self.bias)
            yield Vector(f"{site.name}.q_norm", "norm", self.q_rank, site.stored)
            yield matmul("q_up", self.q_rank, h * d_qk, Cut(h))
        yield matmul("kv_down", d, self.kv_rank + self.rope_dim, bias=self.bias)
        yield Vector(f"{site.name}.kv_norm", "norm", self.kv_rank, site.stored)
        yield matmul("kv_up", self.kv_rank, h * (self.nope_dim + self.v_dim), Cut(h))
        yield Scores(
            f"{site.name}.scores",
            site.stream,
            site.keys,
            h,
            d_qk,
            self.v_dim,
            site.used,
            site.causal,
            cut=Cut(h),
            decoded=(self.kv_rank + self.rope_dim, self.kv_rank),
        )
        if caches:
            yield Cache(f"{site.name}.cache", site.keys, self.kv_rank + self.rope_dim, site.used)
        yield matmul("o", h * self.v_dim, d, Cut(h, "in"), bias=self.bias)

    def saves(self, site: Site) -> Iterator[Saved]:
        """The latents before and after their norms, the expanded queries, keys and values, and what they come to."""
        h, d_qk = self.heads, self.nope_dim + self.rope_dim
        ranks = {"q": self.q_rank, "kv": self.kv_rank}
        for name, rank in ranks.items():
            if rank is not None:
                for kept in (f"{name}_down", f"{name}_up.input"):
                    yield Saved(f"{site.name}.{kept}", "attention", site.stream, rank, site.used)
                yield Saved(f"{site.name}.{name}_norm.statistics", "norm", site.stream, 1, site.used, "fp32")
        for name, width in (("q", d_qk), ("k", d_qk), ("v", self.v_dim), ("out", self.v_dim)):
            yield Saved(f"{site.name}.{name}", "attention", site.stream, h * width, site.used, cut=Cut(h))
        yield from core_saves(site, h)
