"""Attention and a state space in the same layer, on the same norm, their outputs added (Falcon-H1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.attention import Attention
from tscale.blocks.fields import LayerContext, LayerSelector, Problem, inner_problems
from tscale.blocks.mamba2 import Mamba2
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Entry, Saved, Subset


@spec_dataclass
class HybridHeads:
    """Both mixers run over every token of the layers that this stands in."""

    label: ClassVar[str] = "mixer"

    kind: Literal["side-by-side"]
    attention: Attention
    mamba: Mamba2
    on: LayerSelector | None = None
    """Which layers they stand in; by default, those that no other mixer claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in either of them."""
        for field, block in (("attention", self.attention), ("mamba", self.mamba)):
            yield from inner_problems(field, block, d_model)

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """The entries of both."""
        for block in (self.attention, self.mamba):
            yield from block.lower(site._replace(name=f"{site.name}.{block.label}"), caches=caches)

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """What both keep, and the state space's own input: each scales what it reads by a number of its own (Falcon-H1)."""
        yield Saved(f"{site.name}.{self.mamba.label}.input", "mixer", site.stream, site.d_model)
        for block in (self.attention, self.mamba):
            yield from block.saves(site._replace(name=f"{site.name}.{block.label}"))
