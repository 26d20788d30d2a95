"""FLOPs of towers for several passes, of a tower of one matrix."""

from __future__ import annotations

from tscale.core.costs.media import TowerCost, tower_flops
from tscale.core.layers import Every
from tscale.core.ledger import Group, Matmul
from tscale.core.workload import TowerRun

PATCHES = Matmul("patches", "up", "vision_tower", "tower_patches", 3, 4)
INSIDE = PATCHES._replace(name="inside", stream="tower_inputs", d_in=4)
LAST = Matmul("last", "up", "projector", "tower_outputs", 4, 7)


def test_each_part_of_a_tower_runs_for_each_of_its_passes() -> None:
    """Five images of 9 inputs, one of them learned, and 2 outputs; three of 17 and 4: of two parts of a tower both count."""
    first = (Group("start", "tower", 1, None, (PATCHES,)),)
    layers = (Group(Every(), "tower", 2, None, (INSIDE,)),)
    behind = (Group("end", "tower", 1, None, (LAST,)),)
    passes = ((5, TowerRun(9, 2, 1)), (3, TowerRun(17, 4, 1)))
    found = tower_flops("x", (("vision_tower", first), ("vision_tower", layers), ("projector", behind)), passes)
    in_tower = 5 * 2 * (8 * 3 * 4 + 2 * 9 * 4 * 4) + 3 * 2 * (16 * 3 * 4 + 2 * 17 * 4 * 4)
    projected = 5 * 2 * 2 * 4 * 7 + 3 * 2 * 4 * 4 * 7
    assert found == TowerCost(vision_tower=in_tower, projector=projected)
    assert TowerCost(1, 20, 300).total == 321
