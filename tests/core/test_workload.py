"""Over how many positions an entry runs, by its stream."""

from __future__ import annotations

import pytest

from tscale.core.ledger import Block, Stream
from tscale.core.workload import SequenceLengths, TowerPass, TowerRun


@pytest.mark.parametrize(
    ("stream", "of_tokens", "of_an_image"),
    [("target", 7, 0), ("source", 5, 0), ("once", 1, 1), ("tower_patches", 0, 8), ("tower_inputs", 0, 9), ("tower_outputs", 0, 2)],
)  # fmt: skip
def test_tokens_run_through_stacks_and_images_through_towers(stream: Stream, of_tokens: int, of_an_image: int) -> None:
    """Seven target and five source tokens; an image of nine inputs, of which one is learned, that comes out as two tokens."""
    assert SequenceLengths(7, 5).length(stream) == of_tokens
    assert TowerRun(9, 2, 1).length(stream) == of_an_image


def test_a_tower_s_block_is_run_through_by_its_own_images() -> None:
    first, second = Block("tower", "mixer"), Block("tower", "mixer", 1)
    passes = (TowerPass(first, 5, TowerRun(9, 2)), TowerPass(second, 3, TowerRun(17, 4)))
    run = SequenceLengths(7, 5, passes)
    assert (run.tokens, [*run.through(first)], [*run.through(second)]) == (12, [passes[0]], [passes[1]])
