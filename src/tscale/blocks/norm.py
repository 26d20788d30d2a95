"""Normalisation: of which kind, and where in a layer it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tscale.blocks.fields import LayerContext
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import ALWAYS, Buffer, Entry, Matmul, Number, Part, Saved, Stream, Vector


def norm_gate(site: LayerContext, rank: int, part: Part) -> Iterator[Entry]:
    """Two narrow matrices whose product gates what a norm yields, elementwise (A.X K2)."""
    for name, d_in, d_out in (("down", site.d_model, rank), ("up", rank, site.d_model)):
        yield Matmul(f"{site.name}.norm_gate.{name}", "adapter", part, site.stream, d_in, d_out)


@spec_dataclass
class Norm:
    """The norms of every stack.

    pre: before each sub-layer, and a final one. post: after each sub-layer, no final one. sandwich: before and after
    each sub-layer, and a final one. parallel: one a layer, shared by sub-layers that run side by side, and a final one.
    """

    kind: Literal["layernorm", "rmsnorm"]
    place: Literal["pre", "post", "sandwich", "parallel"] = "pre"
    """Where the norms of a layer stand."""
    bias: bool | None = None
    """Whether a norm has a bias next to its gain; by default, a layernorm has one and an rmsnorm has none."""
    gain: bool = True
    """Whether a norm has weights at all; false for one that only normalises, as in OLMo."""
    final: bool | None = None
    """Whether a norm follows the last layer; by default, all but a post-norm stack have one."""
    final_bias: bool | None = None
    """Whether that norm has a bias, where it is unlike the others in this (ESM C)."""
    layer_scale: bool = False
    """Whether what each layer yields is scaled by one number, kept as a buffer (Gemma 4)."""
    embedding: bool = False
    """Whether a norm follows the embedding."""
    skips_first: bool = False
    """Whether the first layer's attention has none, since it stands right behind that of the embedding (ModernBERT)."""

    def width(self, d_model: int) -> int:
        """Weights of one norm: a gain for each channel, and a bias where there is one; 0 for a norm without weights."""
        return self._weights(d_model, self.bias)

    def _weights(self, d_model: int, bias: bool | None) -> int:
        if not self.gain:
            return 0
        return (2 if self._biased(bias) else 1) * d_model

    def _biased(self, bias: bool | None) -> bool:
        return self.kind == "layernorm" if bias is None else bias

    def vector(self, name: str, d_model: int, part: Part = "norm") -> Vector:
        """The weights of one norm, as a gain and, where there is one, a bias."""
        return Vector(name, "norm", part, self.width(d_model), tensors=2 if self._biased(self.bias) else 1)

    def lower(self, site: LayerContext, sub_layer: str) -> Iterator[Entry]:
        """The norms beside a sub-layer of one layer."""
        for place in self._places():
            yield self.vector(f"{site.name}norm.{place}{sub_layer}", site.d_model)

    def saves(self, site: LayerContext, sub_layer: str) -> Iterator[Saved]:
        """What the norms beside a sub-layer keep."""
        for place in self._places():
            number: Number = "activation" if place == "after_" else "residual"
            name = f"{site.name}norm.{place}{sub_layer}"
            yield from self.saves_one(name, site.stream, site.d_model, number=number)

    def lower_layer(self, site: LayerContext) -> Iterator[Entry]:
        """The norm that the sub-layers of a layer share, where they stand side by side."""
        if self.place == "parallel":
            yield self.vector(f"{site.name}norm.layer", site.d_model)

    def saves_layer(self, site: LayerContext) -> Iterator[Saved]:
        """What that norm keeps."""
        if self.place == "parallel":
            yield from self.saves_one(f"{site.name}norm.layer", site.stream, site.d_model, number="residual")

    def lower_final(self, site: LayerContext) -> Iterator[Entry]:
        """The norm behind the last layer."""
        if self._has_final():
            bias = self.bias if self.final_bias is None else self.final_bias
            width, tensors = self._weights(site.d_model, bias), 2 if self._biased(bias) else 1
            yield Vector(f"{site.name}norm.final", "final_norm", "norm", width, tensors=tensors)

    def saves_final(self, site: LayerContext) -> Iterator[Saved]:
        """What the norm behind the last layer keeps."""
        if self._has_final():
            yield from self.saves_one(f"{site.name}norm.final", site.stream, site.d_model, "head", "residual")

    def lower_scale(self, site: LayerContext) -> Iterator[Entry]:
        """What scales the output of each layer."""
        if self.layer_scale:
            yield Buffer(f"{site.name}layer_scale", "scale", "norm", 1)

    def saves_one(
        self, name: str, stream: Stream, width: int, part: Part = "norm", number: Number = "activation"
    ) -> Iterator[Saved]:
        """A norm's input, and its mean and deviation, or the deviation alone; fused, with nothing between.

        An rmsnorm in steps keeps its input in fp32 and the normalised input, which in torch's own composition is in fp32 as well:
        4 or 6 bytes a number more, in 16 bits. Of those, the gradient of its gain alone asks for what
        stands for its input here: what the gain multiplies, in the format of the activations (`read_by`).
        """
        kept = Saved(f"{name}.input", part, stream, width, number)
        if part != "norm":
            kept = kept._replace(keeping=ALWAYS)
        yield kept._replace(read_by=("norm",)) if self.kind == "rmsnorm" else kept
        statistics = 2 if self.kind == "layernorm" else 1
        yield kept._replace(name=f"{name}.statistics", width=statistics, number="fp32")
        if self.kind == "rmsnorm":
            yield kept._replace(name=f"{name}.upcast", number="fp32", norms=("eager", "composite"))
            yield kept._replace(name=f"{name}.normalised", number="activation", norms=("composite",), read_by=("norm",))

    def _places(self) -> tuple[str, ...]:
        places: dict[str, tuple[str, ...]] = {"pre": ("",), "post": ("",), "sandwich": ("before_", "after_")}
        return places.get(self.place, ())

    def _has_final(self) -> bool:
        return self.place != "post" if self.final is None else self.final
