"""Normalisation: of which kind, and where in a layer it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from tscale.blocks.fields import CONFIG, Site
from tscale.core.ledger import ALWAYS, Buffer, Entry, Number, Part, Saved, Stream, Vector


@dataclass(frozen=True, kw_only=True)
class Norm:
    """The norms of every stack.

    pre: before each sub-layer, and a final one. post: after each sub-layer, no final one. sandwich: before and after
    each sub-layer, and a final one. parallel: one a layer, shared by sub-layers that run side by side, and a final one.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["layernorm", "rmsnorm"]
    place: Literal["pre", "post", "sandwich", "parallel"] = "pre"
    """Where the norms of a layer stand."""
    bias: bool | None = None
    """Whether a norm has a bias beside its gain; where absent, a layernorm has and an rmsnorm has not."""
    gain: bool = True
    """Whether a norm has weights at all; false for one that only normalises, as in OLMo."""
    final: bool | None = None
    """Whether a norm follows the last layer; where absent, all but a post-norm stack have one."""
    layer_scale: bool = False
    """Whether what each layer yields is scaled by one number, kept as a buffer (Gemma 4)."""
    embedding: bool = False
    """Whether a norm follows the embedding."""
    skips_first: bool = False
    """Whether the first layer's attention has none, since it stands right behind that of the embedding (ModernBERT)."""

    def width(self, d_model: int) -> int:
        """Weights of one norm: a gain for each channel, and a bias where there is one; 0 for a norm without weights."""
        if not self.gain:
            return 0
        biased = self.kind == "layernorm" if self.bias is None else self.bias
        return 2 * d_model if biased else d_model

    def lower(self, site: Site, sub_layers: Mapping[str, int]) -> Iterator[Entry]:
        """One entry for the norms of each sub-layer, by how many layers store one, and one for the final norm."""
        width, prefix = self.width(site.d_model), site.name
        for sub_layer, stored in sub_layers.items():
            copies = stored - 1 if self.skips_first and sub_layer == "attention" else stored
            for place in self._places():
                yield Vector(f"{prefix}norm.{place}{sub_layer}", "norm", width, copies)
        if self.place == "parallel":
            yield Vector(f"{prefix}norm.layer", "norm", width, site.stored)
        if self._has_final():
            yield Vector(f"{prefix}norm.final", "norm", width, 1)
        if self.layer_scale:
            yield Buffer(f"{prefix}layer_scale", "norm", 1, site.stored)

    def saves(self, site: Site, sub_layers: Mapping[str, int]) -> Iterator[Saved]:
        """What the norms of each sub-layer keep, by how many layers run through one, and what the final norm does."""
        prefix = site.name
        for sub_layer, used in sub_layers.items():
            copies = used - 1 if self.skips_first and sub_layer == "attention" else used
            for place in self._places():
                number: Number = "activation" if place == "after_" else "residual"
                name = f"{prefix}norm.{place}{sub_layer}"
                yield from self.saves_one(name, site.stream, site.d_model, copies, number=number)
        if self.place == "parallel":
            yield from self.saves_one(f"{prefix}norm.layer", site.stream, site.d_model, site.used, number="residual")
        if self._has_final():
            yield from self.saves_one(f"{prefix}norm.final", site.stream, site.d_model, 1, "head", number="residual")

    def saves_one(
        self, name: str, stream: Stream, width: int, used: int, part: Part = "norm", number: Number = "activation"
    ) -> Iterator[Saved]:
        """A norm's input, and its mean and deviation, or the deviation alone; fused, with nothing between."""
        kept = Saved(f"{name}.input", part, stream, width, used, number)
        if part != "norm":
            kept = kept._replace(keeping=ALWAYS)
        yield kept
        statistics = 2 if self.kind == "layernorm" else 1
        yield kept._replace(name=f"{name}.statistics", width=statistics, number="fp32")

    def _places(self) -> tuple[str, ...]:
        places: dict[str, tuple[str, ...]] = {"pre": ("",), "post": ("",), "sandwich": ("before_", "after_")}
        return places.get(self.place, ())

    def _has_final(self) -> bool:
        return self.place != "post" if self.final is None else self.final
