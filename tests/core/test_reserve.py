"""What software takes of a device, from the figures that were measured, and what kernels pad."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tscale.core.costs.kernel_padding import has_padded_experts, padded_for
from tscale.core.costs.reserve import gpu_reserve, share_reserve, shared_reserve, tpu_reserve, unified_reserve
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Ledger, Matmul

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("groups", [0, 1, 3])
def test_a_gpu_is_taken_from_part_by_part(groups: int, training: bool) -> None:
    """Driver 240 to 880 MiB, context 286 to 551, buffers 205 at the least where there are any and 1,833 for each group at the most;
    a trainer has up to a tenth of 80 GiB in fragments, an engine up to 2,464 MiB of graphs.
    """
    found = gpu_reserve(80 * GIB, groups, training=training)
    assert found.low == (240 + 286 + (205 if groups else 0)) * MIB
    assert found.high == (880 + 551 + 1833 * groups) * MIB + (8 * GIB if training else 2464 * MIB)
    assert ("collectives" in [part.name for part in found.parts]) == bool(groups)


def test_memory_that_a_gpu_shares() -> None:
    """A third of small Macs and a quarter of large ones; 4 of 128 to 20.39 of 121.69 GiB where Linux shares it; a TPU's runtime."""
    most = {16: 16 * GIB // 3, 32: 32 * GIB // 3, 36: 12 * GIB, 40: 12 * GIB, 48: 12 * GIB, 64: 16 * GIB, 96: 24 * GIB}
    assert {size: unified_reserve(size * GIB).high for size in most} == most
    assert unified_reserve(64 * GIB).low == 0
    linux = shared_reserve(128 * GIB)
    assert (linux.low, linux.high) == (4 * GIB + 286 * MIB, 128 * GIB * 2039 // 12169 + 551 * MIB)
    assert (tpu_reserve().low, tpu_reserve().high) == (256 * MIB, 1280 * MIB)


def test_all_but_a_share() -> None:
    found = share_reserve(1001, Fraction(9, 10))
    assert (found.low, found.high) == (101, 101)


EXPERT = Matmul("up", "up", "feed_forward", "target", 2880, 720, experts=8, stored=8, used=2)


@pytest.mark.parametrize(
    ("kernel", "outer", "inner"),
    [("none", 2880, 720), ("marlin", 3072, 768), ("triton", 2880, 768), ("trtllm", 3072, 768), ("cutlass", 2944, 768)],
)  # fmt: skip
def test_experts_are_padded_as_vllm_makes_them(kernel: str, outer: int, inner: int) -> None:
    """gpt-oss: 2,880 by 2,880 over 4 devices. Multiples of 256 and 128, 1 and 64, 256 and 256, 128 and 128."""
    others = (EXPERT._replace(name="dense", experts=1), EXPERT._replace(name="router", role="router", experts=1))
    down = EXPERT._replace(name="down", role="down", d_in=720, d_out=2880)
    padded = padded_for(Ledger.of("x", (EXPERT, EXPERT._replace(role="gate"), down, *others)), kernel).entries  # type: ignore[arg-type]
    assert [(one.d_in, one.d_out) for one in padded if isinstance(one, Matmul)] == [
        (outer, inner), (outer, inner), (inner, outer), (2880, 720), (2880, 720),
    ]  # fmt: skip


def test_only_experts_in_mxfp4_are_padded() -> None:
    dense = EXPERT._replace(experts=1)
    assert has_padded_experts(Ledger.of("x", (EXPERT,)), DTYPES["mxfp4"])
    assert not has_padded_experts(Ledger.of("x", (EXPERT,)), DTYPES["mxfp8"])
    assert not has_padded_experts(Ledger.of("x", (dense,)), DTYPES["mxfp4"])
