"""The dense feed-forward: two matrices, or three where a gate multiplies (SwiGLU, GeGLU)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cut, Entry, Matmul, Saved, Vector


@spec_dataclass
class FeedForward:
    """A dense feed-forward: up to d_ff and down again; gated with a third matrix next to the one up."""

    label: ClassVar[str] = "feed_forward"

    kind: Literal["dense"] = "dense"
    d_ff: Size
    """Inner width."""
    gated: bool = False
    """Whether a gate matrix multiplies the inner activations, as in SwiGLU and GeGLU."""
    bias: bool = False
    """Whether every matrix has a bias."""
    out_bias: bool = False
    """Whether the matrix down has a bias, where the others have none (GTE)."""
    inner_norm: bool = False
    """Whether the inner activations are normalised, with a gain for each, before the matrix down (BitNet)."""
    groups: Size | None = None
    """Groups of channels within which both matrices work: each is as many smaller ones (SqueezeBERT)."""
    scalars: Size | None = None
    """Learned numbers of the activation (2 in Apertus's xIELU)."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other feed-forward claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """Groups that do not divide both widths."""
        if self.groups is not None and (d_model % self.groups or self.d_ff % self.groups):
            yield ("groups",), f"groups must divide d_model {d_model} and d_ff {self.d_ff}: drop it, or set another"

    def lower(self, site: LayerContext) -> Iterator[Entry]:
        """One entry a matrix."""
        for entry in self._whole(site):
            if isinstance(entry, Matmul) and self.groups is not None:
                d_in, d_out, many = entry.d_in // self.groups, entry.d_out // self.groups, self.groups
                yield entry._replace(d_in=d_in, d_out=d_out, stored=many, used=many)
            else:
                yield entry

    def _whole(self, site: LayerContext) -> Iterator[Entry]:
        """One entry a matrix, as if there were no groups."""
        d, columns = site.d_model, Cut(self.d_ff)
        yield Matmul(f"{site.name}.up", "up", "feed_forward", site.stream, d, self.d_ff, self.bias, columns)
        if self.gated:
            yield Matmul(f"{site.name}.gate", "gate", "feed_forward", site.stream, d, self.d_ff, self.bias, columns)
        if self.scalars is not None:
            yield Vector(f"{site.name}.activation", "scale", "feed_forward", self.scalars)
        if self.inner_norm:
            yield Vector(f"{site.name}.inner_norm", "norm", "norm", self.d_ff)
        yield Matmul(
            f"{site.name}.down",
            "down",
            "feed_forward",
            site.stream,
            self.d_ff,
            d,
            self.bias or self.out_bias,
            Cut(self.d_ff, "in"),
        )

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """What goes into the activation and what comes out of it; gated, both factors' inputs and the product.

        A learned activation is fused (xIELU: the authors' kernel keeps its input, and its parameters).
        """
        if self.groups is not None and self.groups > 1:
            raise unrecorded("a feed-forward in groups of channels")
        yield from inner_saves(site, site.name, self.d_ff, gated=self.gated)
        if self.inner_norm:
            name = f"{site.name}.inner_norm"
            yield Saved(f"{name}.input", "norm", site.stream, self.d_ff, cut=Cut(self.d_ff))
            yield Saved(f"{name}.statistics", "norm", site.stream, 1, "fp32")


def inner_saves(
    site: LayerContext, name: str, d_ff: int, *, gated: bool, copies: int = 1, routed: bool = False
) -> Iterator[Saved]:
    """What lies between the matrices of a feed-forward; `copies` of it a token, of experts where it is `routed` to them.

    An activation is taken to need its own input again, as GELU and SiLU do. One kernel for activation and gate (SwiGLU of
    Liger and Transformer Engine) makes the activation again in its backward pass; two kernels keep it.
    """
    steps = ("up", "gate", "activation", "product") if gated else ("up", "activation")
    for step in steps:
        eager = gated and step == "activation"
        kept = Saved(f"{name}.{step}", "feed_forward", site.stream, copies * d_ff, eager=eager, cut=Cut(d_ff))
        kept = kept._replace(routed=routed)
        yield kept._replace(number="product", read_by=("down", "shared_down")) if step == steps[-1] else kept
