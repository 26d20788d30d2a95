"""A tower without a text model: what reads images or sounds alone, such as ViT, DINOv2, CLIP's vision model or wav2vec 2.0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from tscale.blocks.fields import Problem, Whole, within
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.blocks.tower import Tower
from tscale.core.ledger import Ledger
from tscale.models.naming import named_tower
from tscale.models.spec import Evidence


@spec_dataclass
class TowerSpec:
    """A model of towers alone: it has no vocabulary, no tokens of text and no cache."""

    name: str
    title: str | None = None
    aliases: tuple[str, ...] = ()
    year: Annotated[int, Whole(1900, 2100)] | None = None
    kind: Literal["tower"]
    towers: tuple[Tower, ...]
    """What it is made of."""
    sources: tuple[str, ...] = ()
    """Where its shape was read."""
    evidence: Evidence | None = None
    """How its shape was confirmed."""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as its makers write it."""
        return self.title or self.name

    @property
    def reads(self) -> str:
        """What runs through it: images or sounds."""
        return self.towers[0].reads

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself: each names a field and says what is wrong and what to do."""
        if not self.towers:
            yield ("towers",), "a tower has pieces: list at least one tower"
        for place, tower in enumerate(self.towers):
            yield from within(("towers", place), tower.problems())

    def traced(self) -> TowerSpec:
        """The same on numbers that remember the fields that they came from."""
        return replace(self, towers=tuple(map(named_tower, self.towers)))

    def ledger(self) -> Ledger:
        """All that it owns and does."""
        return Ledger(self.name, tuple(group for tower in self.towers for group in tower.groups()))
