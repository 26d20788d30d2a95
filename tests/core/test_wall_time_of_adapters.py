"""The least FLOPs of a frozen model with adapters, layer by layer."""

from __future__ import annotations

import pytest

from tscale.core.costs.wall_time import Recompute, least_flops
from tscale.core.layers import Every, Places
from tscale.core.ledger import Block, Group, Ledger, Matmul
from tscale.core.workload import SequenceLengths, TowerPass, TowerRun

FEED, TOWER = Block("decoder", "feed-forward"), Block("tower", "mixer")
UP = Matmul("up", "up", "feed_forward", "target", 10, 24, trained=False, block=FEED)
A = Matmul("up.lora_a", "lora_a", "feed_forward", "target", 10, 2, block=FEED)
B = Matmul("up.lora_b", "lora_b", "feed_forward", "target", 2, 24, block=FEED)
HEAD = Matmul("head", "head", "head", "target", 10, 100, trained=False)
LAYERS = (
    Group(Every(), "decoder", 4, None, (UP,)),
    Group(Places(Every(), (2,), 3), "decoder", 1, None, (A, B)),
    Group(Places(Every(), (1,), 2), "decoder", 2, None, (A, B)),
    Group("end", "none", 1, None, (HEAD,)),
)
FROZEN, ADAPTER, LAST, HEADS = 2 * 7 * 240, 2 * 7 * (20 + 48), 2 * 7 * 48, 2 * 7 * 1000
"""FLOPs of 7 tokens: of the matrix of a layer, of an adapter's two, of the second of them, and of the head."""
LEAST = FROZEN * (1 + 1 + 2 + 2) + ADAPTER * (1 + 3 + 3) + 2 * HEADS
"""Layers 1, 2 and 3 of four have an adapter: what is behind the first of them has gradients, frozen matrices one of their input."""


@pytest.mark.parametrize(("recompute", "again"), [("none", 0), ("full", 3 * FROZEN + 3 * (ADAPTER - LAST))])
def test_no_gradient_goes_back_past_the_first_adapter(recompute: Recompute, again: int) -> None:
    """Nor is the layer before it computed again; of the others all but the last product."""
    assert least_flops(Ledger("x", LAYERS), SequenceLengths(7), recompute) == LEAST + again


@pytest.mark.parametrize("adapted", [True, False])
def test_a_gradient_goes_back_through_all_layers_of_a_tower_with_adapters_but_one(adapted: bool) -> None:
    """Five layers of a matrix of 4 by 4, over three images of 9 positions; without adapters none has a gradient."""
    matrix = Matmul("t", "up", "vision_tower", "tower_inputs", 4, 4, trained=False, block=TOWER)
    adapter = matrix._replace(name="t.lora_a", role="lora_a", d_out=2, trained=True)
    tower = Group("start", "tower", 5, None, (matrix, adapter) if adapted else (matrix,))
    run = SequenceLengths(7, media=(TowerPass(TOWER, 3, TowerRun(9, 2)),))
    frozen, more = 3 * 2 * 9 * 16, 3 * 2 * 9 * 8
    expected = frozen * (1 + 4 * 2) + more * (1 + 4 * 3) if adapted else 5 * frozen
    assert least_flops(Ledger("x", (tower, *LAYERS)), run, "none") == LEAST + expected
