"""Days, devices and FLOPs of a run, one from the others; what the host keeps, and adapters' matrices, by their names."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tscale.core.costs.states import find_offload, find_targets
from tscale.core.costs.wall_time import flops_within, gpus_to_train, mfu_of, seconds_to_train
from tscale.errors import RequestError


@pytest.mark.parametrize(("flops", "seconds", "gpus"), [(1200, 10, 4), (1201, 11, 5), (1199, 10, 4), (1, 1, 1)])
def test_seconds_and_devices_are_rounded_up(flops: int, seconds: int, gpus: int) -> None:
    """Devices of 100 FLOP/s at 30%: four of them in 10 seconds are 1,200 FLOPs."""
    assert seconds_to_train(flops, 4, 100, 300_000) == seconds
    assert gpus_to_train(flops, 10, 100, 300_000) == gpus


def test_flops_are_rounded_down_and_utilisation_is_exact() -> None:
    assert [flops_within(seconds, 7, 300_000) for seconds in (1, 10, 11)] == [2, 21, 23]
    assert mfu_of(1200, 4, 100, Fraction(10)) == Fraction(3, 10)
    assert mfu_of(1200, 4, 100, Fraction(5, 2)) == Fraction(12, 10)


def test_what_the_host_keeps_is_named() -> None:
    assert find_offload("weights, states") == {"weights", "states"}
    assert find_offload("activations") == {"activations"}
    for text in ("weights,", "weight", "weights,all"):
        with pytest.raises(RequestError, match="--offload names weights, states or activations, not"):
            find_offload(text)


def test_matrices_that_have_adapters_are_named() -> None:
    assert set(find_targets("q, v_proj") or ()) == {"q", "q_down", "q_up", "v"}
    assert set(find_targets("up,down") or ()) == {"up", "shared_up", "down", "shared_down"}
    assert set(find_targets("attention") or ()) == {"q", "k", "v", "o", "q_down", "q_up", "kv_down", "kv_up"}
    assert find_targets("q,all") is None
    with pytest.raises(RequestError, match="--lora-targets names matrices, such as q,v or attention,mlp, or all, not"):
        find_targets("q,w")
