"""Lightning attention: a linear attention whose state decays at a fixed rate for each head (Qin 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Size, nothing_wrong, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Cut, Entry, Matmul, Saved, Scan, Vector

_WHOLE = (32, 64, 128)  # widths of a head that the authors' kernel takes as they are


@spec_dataclass
class Lightning:
    """A layer of lightning attention (Qin 2024) as MiniMax-01 has it: a norm and a gate behind."""

    label: ClassVar[str] = "lightning"

    kind: Literal["lightning"]
    heads: Size
    """Heads of queries, keys and values."""
    head_dim: Size
    """Width of a head."""
    chunk: Size = 256
    """Positions of a chunk; the last chunk of a sequence is as long as what is left."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    problems = nothing_wrong

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry]:
        """Projections, the recurrence in chunks and its state, a norm and a gate.

        For each head of width d, a position reads and adds to the state, d² multiply-adds each; within a chunk, queries
        are scored against keys and the scores applied to values, 2·d for each pair (Qin 2024, algorithm 1).
        """
        h, p, name, by_head = self.heads, self.head_dim, site.name, Cut(self.heads)
        width = h * p
        for matrix in ("q", "k", "v", "gate"):
            yield Matmul(f"{name}.{matrix}", matrix, "mixer", site.stream, site.d_model, width, cut=by_head)
        yield Scan(
            f"{name}.scan",
            site.stream,
            per_position=2 * h * p**2,
            chunk=self.chunk,
            padded=False,
            cut=by_head,
            per_pair=2 * h * p,
        )
        if caches:
            yield Cache(f"{name}.state", "state", "once", h * p**2, cut=by_head)
        yield Vector(f"{name}.norm", "norm", "norm", width)
        yield Matmul(f"{name}.out", "out", "mixer", site.stream, width, site.d_model, cut=Cut(h, "in"))

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """Queries, keys and values before and behind their activation, the norm's input, and both sides of the gate.

        The kernel is the authors', lightning_attn 0.0.5 (`lightning_attn_func`), which keeps its queries, keys and values, and
        computes states and scores again. Heads of other widths it splits, pads or does not take.
        """
        p, by_head = self.head_dim, Cut(self.heads)
        if p not in _WHOLE:
            raise unrecorded(f"{site.name} with heads of a width other than {', '.join(map(str, _WHOLE))}")
        width = self.heads * p
        for step in ("q", "k", "v"):
            for what in (f"{step}.projected", step):
                yield Saved(f"{site.name}.{what}", "mixer", site.stream, width, cut=by_head)
        yield Saved(f"{site.name}.norm.input", "norm", site.stream, width, cut=by_head)
        yield Saved(f"{site.name}.norm.statistics", "norm", site.stream, 1, "fp32")
        for step in ("normed", "gate", "out"):
            yield Saved(f"{site.name}.{step}", "mixer", site.stream, width, cut=by_head)
