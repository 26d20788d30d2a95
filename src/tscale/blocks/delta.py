"""The gated delta rule: a linear attention whose state forgets and corrects itself (Yang 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Conv, Cut, Entry, Matmul, Number, Saved, Scan, Vector

_CHUNKS = (16, 32, 64)  # lengths that the kernel takes


@spec_dataclass
class GatedDeltaNet:
    """A gated DeltaNet layer (Yang 2024, section 3) as Qwen3-Next has it: a convolution before, a gated norm behind."""

    label: ClassVar[str] = "delta_net"

    kind: Literal["gated-delta-net"]
    key_heads: Size
    """Heads of queries and keys."""
    value_heads: Size
    """Heads of values, and of the recurrence."""
    key_dim: Size
    """Width of a query's and a key's head."""
    value_dim: Size
    """Width of a value's head."""
    d_conv: Size = 4
    """Length of the convolution on queries, keys and values."""
    chunk: Size = 64
    """Positions of a chunk; the last chunk of a sequence is padded."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        if self.value_heads % self.key_heads:
            yield (
                ("key_heads",),
                f"{self.key_heads} key_heads do not divide {self.value_heads} value_heads: every key serves as many",
            )

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections, convolution, the recurrence in chunks and its state.

        A chunk of Q positions takes, for each head and at 2 FLOPs each, 2·Q²·d_k + Q²·d_v + 3·Q·d_k·d_v multiply-adds
        (the chunkwise form of Yang 2024, section 3.3, as transformers 5.23.0 computes it): keys and queries against
        keys, the scores against the values, and the state read, corrected and written. The triangular system in it is
        solved row by row, elementwise, so that frameworks count nothing for it.
        """
        d, h, dk, dv, q = site.d_model, self.value_heads, self.key_dim, self.value_dim, self.chunk
        name = site.name
        keys, values = self.key_heads * dk, h * dv
        channels = 2 * keys + values
        pieces = self.key_heads  # each with its value heads
        by_head = Cut(pieces)
        yield Matmul(f"{name}.qkvz", "in", "mixer", site.stream, d, 2 * keys + 2 * values, cut=by_head)
        yield Matmul(f"{name}.ba", "decay", "mixer", site.stream, d, 2 * h, cut=by_head)
        yield Conv(f"{name}.conv", "conv", "mixer", site.stream, channels, self.d_conv, cut=by_head)
        yield Vector(f"{name}.A_dt", "decay", "mixer", 2 * h, by_head, tensors=2)
        work = h * (2 * q**2 * dk + q**2 * dv + 3 * q * dk * dv)
        yield Scan(f"{name}.scan", site.stream, chunk=q, per_chunk=work, cut=by_head)
        if caches:
            yield Cache(f"{name}.conv_state", "conv_state", "once", channels * self.d_conv, cut=by_head)
            yield Cache(f"{name}.state", "state", "once", h * dk * dv, cut=by_head)
        yield Vector(f"{name}.norm", "norm", "norm", dv)
        yield Matmul(f"{name}.out", "out", "mixer", site.stream, values, d, cut=Cut(pieces, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """What the convolution, the recurrence's kernel and the gated norm keep, and what the last projection multiplies.

        Kernels: causal_conv1d 1.7.0; `chunk_gated_delta_rule` of flash-linear-attention 0.6.0, which normalises queries and keys
        itself; its `FusedRMSNormGated`. The decays are made in fp32 outside of the kernel, as transformers 5.23.0 makes them:
        kept are both sides of the softplus and, by the kernel, their sums within a chunk. Its `solved` is the inverse of a chunk's
        triangular system, a row of it for each position. A beta that is doubled (OLMo hybrid) is kept before that too: not counted.
        """
        h, by_head = self.value_heads, Cut(self.key_heads)
        keys, values = self.key_heads * self.key_dim, h * self.value_dim

        if self.chunk not in _CHUNKS:
            raise unrecorded(f"{site.name} in chunks of other than {', '.join(map(str, _CHUNKS))} positions")

        def saved(what: str, width: int, number: Number = "activation") -> Saved:
            return Saved(f"{site.name}.{what}", "mixer", site.stream, width, number, cut=by_head)

        yield saved("conv.input", 2 * keys + values)
        for name in ("q", "k"):
            yield saved(f"{name}.normed", keys)
            yield saved(f"{name}.statistics", self.key_heads, "fp32")
        yield saved("v", values)
        yield saved("beta", h)
        for name in ("decay.input", "decay", "decay.sums"):
            yield saved(name, h, "fp32")
        yield saved("solved", h * self.chunk)
        yield saved("norm.input", values)
        yield saved("norm.statistics", h, "fp32")
        yield saved("norm.gate", values)
        yield saved("out", values)
