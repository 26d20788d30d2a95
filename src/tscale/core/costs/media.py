"""What images and sounds cost a model: tokens of the sequence, and FLOPs of its towers and projectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tscale.core.costs.forward import forward_flops
from tscale.core.ledger import Group, Ledger, TowerPart
from tscale.core.workload import TowerRun


class TowerCost(NamedTuple):
    """FLOPs of each part of a model for some passes of images or sounds."""

    vision_tower: int = 0
    audio_tower: int = 0
    projector: int = 0

    @property
    def total(self) -> int:
        return self.vision_tower + self.audio_tower + self.projector


def tower_flops(
    model: str, towers: Iterable[tuple[TowerPart, tuple[Group, ...]]], passes: tuple[tuple[int, TowerRun], ...]
) -> TowerCost:
    """FLOPs of towers and projectors for so many passes of so many positions, the pairs that queries really see."""
    found: dict[TowerPart, int] = {}
    for part, groups in towers:
        for count, run in passes:
            flops = forward_flops(Ledger(model, groups), run, "causal").total
            found[part] = found.get(part, 0) + count * flops
    return TowerCost(**found)
