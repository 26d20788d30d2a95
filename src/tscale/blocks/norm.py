"""Normalisation: of which kind, and where in a layer it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from tscale.blocks.fields import CONFIG, Site
from tscale.core.ledger import Entry, Vector


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
    embedding: bool = False
    """Whether a norm follows the embedding."""

    def width(self, d_model: int) -> int:
        """Weights of one norm: a gain for each channel, and a bias where there is one; 0 for a norm without weights."""
        if not self.gain:
            return 0
        biased = self.kind == "layernorm" if self.bias is None else self.bias
        return 2 * d_model if biased else d_model

    def lower(self, site: Site, sub_layers: Mapping[str, int]) -> Iterator[Entry]:
        """One entry for the norms of each sub-layer, by how many layers store one, and one for the final norm."""
        width, prefix = self.width(site.d_model), site.name
        places = {"pre": ("",), "post": ("",), "sandwich": ("before_", "after_"), "parallel": ()}[self.place]
        for sub_layer, stored in sub_layers.items():
            for place in places:
                yield Vector(f"{prefix}norm.{place}{sub_layer}", "norm", width, stored)
        if self.place == "parallel":
            yield Vector(f"{prefix}norm.layer", "norm", width, site.stored)
        if self.place != "post" if self.final is None else self.final:
            yield Vector(f"{prefix}norm.final", "norm", width, 1)
