"""The mLSTM of xLSTM: a recurrence whose memory is a matrix, written by keys and values (Beck 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Size, nothing_wrong
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Cut, Entry, Matmul, Saved, Scan, Vector
from tscale.core.roles import Role


@spec_dataclass
class Mlstm:
    """An mLSTM layer (Beck 2024, section 2.3) as xLSTM 7B has it: no convolution, the block is d_model wide."""

    label: ClassVar[str] = "mlstm"

    kind: Literal["mlstm"]
    heads: Size
    """Heads, each with a memory of its own."""
    qk_dim: Size
    """Width of a head's queries and keys."""
    v_dim: Size
    """Width of a head's values."""
    chunk: Size = 64
    """Positions of a chunk."""
    bias: bool = False
    """Whether the projections have a bias in addition to those of the input and forget gates, which always have one."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    problems = nothing_wrong

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections, gates, the recurrence in chunks, its state, and a norm for each head.

        Each position takes, for each head and at 2 FLOPs each, 2·d_qk·d_v + d_qk multiply-adds: the memory written, and
        read with its normaliser. Each whole chunk of Q positions takes Q²·(d_qk + d_v) more within it; what is left over
        goes position by position (as transformers 5.23.0 computes it). The state is the memory, the normaliser and
        one number that keeps the gates' exponentials in range.
        """
        d, h, dk, dv, q = site.d_model, self.heads, self.qk_dim, self.v_dim, self.chunk

        by_head = Cut(h)

        def matmul(role: Role, d_in: int, d_out: int, *, bias: bool, name: str = "") -> Matmul:
            return Matmul(f"{site.name}.{name or role}", role, "mixer", site.stream, d_in, d_out, bias, by_head)

        yield matmul("q", d, h * dk, bias=self.bias)
        yield matmul("k", d, h * dk, bias=self.bias)
        yield matmul("v", d, h * dv, bias=self.bias)
        yield matmul("gate", d, h * dv, bias=self.bias, name="output_gate")
        yield matmul("decay", d, 2 * h, bias=True, name="gates")
        yield Scan(
            f"{site.name}.scan",
            site.stream,
            per_position=h * (2 * dk * dv + dk),
            chunk=q,
            per_chunk=h * q**2 * (dk + dv),
            padded=False,
            cut=by_head,
        )
        if caches:
            yield Cache(f"{site.name}.state", "state", "once", h * (dk * dv + dk + 1), cut=by_head)
        yield Vector(f"{site.name}.norm", "norm", "norm", h * dv, by_head)
        yield matmul("out", h * dv, d, bias=self.bias)._replace(cut=Cut(h, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """Queries, keys, values and gates, what the kernel keeps of its output, and both sides of the output gate.

        As `triton_xl_chunk` of mlstm_kernels 2.0.6 keeps it: no state, since the backward pass computes those of all chunks
        again, but the normaliser and the greatest exponent of each position and head. A gate is a constant times a tangent,
        which is kept as well. Devices share the heads.
        """
        h, by_head = self.heads, Cut(self.heads)
        qk, v = h * self.qk_dim, h * self.v_dim
        steps = {"q": qk, "k": qk, "v": v, "tangents": 2 * h, "gates": 2 * h, "normaliser": h, "exponent": h}
        for step, width in steps.items():
            yield Saved(f"{site.name}.{step}", "mixer", site.stream, width, cut=by_head)
        yield Saved(f"{site.name}.norm.input", "norm", site.stream, v, cut=by_head)
        yield Saved(f"{site.name}.norm.statistics", "norm", site.stream, 2 * h, "fp32", cut=by_head)
        for step in ("normed", "output_gate", "product"):
            yield Saved(f"{site.name}.{step}", "mixer", site.stream, v, cut=by_head)
