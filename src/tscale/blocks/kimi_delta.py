"""Kimi Delta Attention: the gated delta rule with a decay of its own for each channel (Kimi Team 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Size, nothing_wrong, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import WHOLE, Cache, Conv, Cut, Entry, Matmul, Number, Saved, Scan, Vector
from tscale.core.roles import Role

_CHUNKS = (32, 64)  # lengths that the kernel takes


@spec_dataclass
class KimiDelta:
    """A layer of Kimi Linear (Kimi Team 2025, section 3): convolved queries, keys and values, a gate behind."""

    label: ClassVar[str] = "delta_net"

    kind: Literal["kimi-delta"]
    heads: Size
    """Heads of queries, keys and values, and of the recurrence."""
    head_dim: Size
    """Width of a head."""
    d_conv: Size = 4
    """Length of the convolution on queries, keys and values."""
    gate_rank: Size | None = None
    """Width that the decays and the gate behind are expanded from; by default, they come from the residual stream."""
    chunk: Size = 64
    """Positions of a chunk; the last chunk of a sequence is padded."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    problems = nothing_wrong

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections, convolution, decays, the recurrence in chunks and its state; each device has the matrices down whole.

        A chunk of Q positions takes, for each head of width d and at 2 FLOPs each, 3·Q²·d + 3·Q·d² multiply-adds (the
        chunkwise form of Kimi Team 2025, section 3.2, as transformers 5.23.0 computes it): the corrected values and
        keys, the scores against the values, and the state read twice and written. Decays of single channels stand inside
        the products of keys and queries, which are summed elementwise, so that frameworks count nothing for those.
        """
        d, h, p, q = site.d_model, self.heads, self.head_dim, self.chunk
        name, width, by_head = site.name, h * p, Cut(h)

        def matmul(role: Role, d_in: int, d_out: int, cut: Cut | None = None, name: str = "") -> Matmul:
            return Matmul(f"{site.name}.{name or role}", role, "mixer", site.stream, d_in, d_out, cut=cut)

        for matrix in ("q", "k", "v"):
            yield matmul(matrix, d, width, by_head)
        yield Conv(f"{name}.conv", "conv", "mixer", site.stream, 3 * width, self.d_conv, cut=by_head)
        gates: tuple[Role, ...] = ("decay", "gate")
        for matrix in gates:
            if self.gate_rank is None:
                yield matmul(matrix, d, width, by_head)
            else:
                yield matmul(matrix, d, self.gate_rank, WHOLE, f"{matrix}_down")
                yield matmul(matrix, self.gate_rank, width, by_head, f"{matrix}_up")
        yield matmul("step", d, h, by_head, "beta")
        yield Vector(f"{name}.A_dt", "decay", "mixer", h + width, by_head)
        work = h * (3 * q**2 * p + 3 * q * p**2)
        yield Scan(f"{name}.scan", site.stream, chunk=q, per_chunk=work, cut=by_head)
        if caches:
            yield Cache(f"{name}.conv_state", "conv_state", "once", 3 * width * self.d_conv, cut=by_head)
            yield Cache(f"{name}.state", "state", "once", h * p**2, cut=by_head)
        yield Vector(f"{name}.norm", "norm", "norm", p)
        yield matmul("out", width, d, Cut(h, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """What the convolutions, the recurrence's kernel and the gated norm keep, and what is projected again.

        Kernels: those of flash-linear-attention 0.6.0, as its `KimiDeltaAttention` calls them. `chunk_kda` normalises queries and
        keys, and makes betas and decays from what was projected; it computes the decays again, and keeps for each position a row
        of two matrices of a chunk: the inverse of its triangular system, and the scores.
        """
        h, width, by_head = self.heads, self.heads * self.head_dim, Cut(self.heads)

        if self.chunk not in _CHUNKS:
            raise unrecorded(f"{site.name} in chunks of other than {', '.join(map(str, _CHUNKS))} positions")

        def saved(what: str, numbers: int, number: Number = "activation", cut: Cut | None = by_head) -> Saved:
            return Saved(f"{site.name}.{what}", "mixer", site.stream, numbers, number, cut=cut)

        yield saved("conv.input", 3 * width)
        for name in ("q", "k"):
            yield saved(f"{name}.normed", width)
            yield saved(f"{name}.statistics", h, "fp32")
        yield saved("v", width)
        if self.gate_rank is not None:
            yield saved("decay.down", self.gate_rank, cut=None)._replace(gathered=True)
        yield saved("decay", width)
        yield saved("beta.input", h)
        yield saved("beta", h, "fp32")
        yield saved("scores", h * self.chunk)
        yield saved("solved", h * self.chunk)
        yield saved("norm.input", width)
        yield saved("norm.statistics", h, "fp32")
        if self.gate_rank is not None:
            yield saved("gate.down", self.gate_rank, cut=None)._replace(gathered=True)
        yield saved("norm.gate", width)
        yield saved("out", width)
