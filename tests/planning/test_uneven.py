"""Uneven stages: layers that relieve the first and the last stage of a pipeline."""

from __future__ import annotations

import json
from itertools import product

import pytest

from tests.helpers import run
from tscale.core.partition import stretches
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.planning.uneven import head_layers, uneven_stages


def test_a_head_counts_as_many_layers_as_it_has_weights_of_one() -> None:
    """Of Llama 3.1 8B: q and o d by d, k and v d by d/4, three matrices d by 14,336; the head d by 128,256."""
    d = 4096
    layer = 2 * d * d + 2 * d * d // 4 + 3 * d * 14_336
    assert head_layers(lower(resolve("llama-3.1-8b")), 32) == pytest.approx(d * 128_256 / layer)


def test_the_least_load_of_the_slowest_stage_is_among_them() -> None:
    """Of all numbers of layers of the last stage, the others as even as can be, none is faster by more than half a layer."""
    for layers, stages, head in product((24, 32, 61, 80, 96, 126), (2, 3, 4, 8, 16), (0.3, 0.7, 1.6, 2.4, 3.5)):
        split = uneven_stages(layers, [stages], [1], head)
        assert all(sum(sizes) == layers and min(sizes) > 0 for sizes in split)
        even = [int(one.size) for one in stretches(layers, stages)]
        found = min(max(*sizes[:-1], sizes[-1] + head) for sizes in [*split, even])
        best = min(max(-(-(layers - last) // (stages - 1)), last + head) for last in range(1, layers))
        assert found <= best + 0.5, (layers, stages, head)


def test_pieces_between_the_ends_are_of_one_size() -> None:
    """Of 32 layers in 4 pieces neither 33, 34 nor 35 are a multiple; of 34 and two for the head, 36 are."""
    assert uneven_stages(32, [2], [2], 2.4) == ()
    assert uneven_stages(34, [2], [2], 2.4) == ((9, 9, 9, 7),)


@pytest.mark.slow
def test_a_split_with_less_for_the_last_stage_is_faster() -> None:
    """Four stages of Llama 3.1 8B wait for 8 layers and a head of 2.4; with 9, 9 and 8 before 6 and the head, for 9."""
    args = "plan llama-3.1-8b --train --gpu h100 --gpus 32 --batch 128 --pipeline 4 --interleave 1 --top 1 --format json --stages"
    even, less = (_seconds(args, sizes) for sizes in ("8,8,8,8", "9,9,8,6"))
    assert less < even


def _seconds(args: str, sizes: str) -> float:
    done = run(*args.split(), sizes)
    rows = json.loads(done.out)["rows"]
    assert rows[0]["stages"] == [int(size) for size in sizes.split(",")]
    return float(rows[0]["step_seconds"]["middle"])
