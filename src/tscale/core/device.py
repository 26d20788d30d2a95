"""What a device can do at its best: the dense peaks that its vendor states. No arithmetic here."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

SCALED: Final = ("fp8-tensor", "fp8-block", "mxfp8")
"""Formats of products in fp8 by how many numbers share a scale: a whole tensor (delayed or current scaling), 1 by 128 of activations and 128
by 128 of weights (DeepSeek-AI 2024c, section 3.3.2), or 32 in a row (Rouhani 2023)."""
NARROW: Final[Mapping[str, int]] = {"fp8": 8, **dict.fromkeys(SCALED, 8), "int8": 8, "fp4": 4}
"""Bits of a number that is multiplied, by formats of fewer than 16."""


def of_peak(dtype: str) -> str:
    """The format whose peak products in another have: fp8, however it is scaled.

    >>> of_peak("mxfp8"), of_peak("bf16")
    ('fp8', 'bf16')
    """
    return "fp8" if dtype in SCALED else dtype


def formats_of(peaks: Collection[str]) -> tuple[str, ...]:
    """The formats of products of a device that has such peaks: these, and how its fp8 may be scaled.

    Units that take a scale of each 32 numbers came with those of fp4: NVIDIA's Blackwell (PTX ISA, .kind::mxf8f6f4), AMD's CDNA 4 (its
    ISA, V_MFMA_SCALE_F32_32X32X64_F8F6F4). Scales of more numbers are multiplied with results, by any unit of fp8.

    >>> formats_of(["bf16", "fp8"]), formats_of(["fp8", "fp4"])
    (('bf16', 'fp8', 'fp8-tensor', 'fp8-block'), ('fp8', 'fp4', 'fp8-tensor', 'fp8-block', 'mxfp8'))
    """
    if "fp8" not in peaks:
        return tuple(peaks)
    return (*peaks, *(name for name in SCALED if name != "mxfp8" or "fp4" in peaks))


class Device(NamedTuple):
    """An accelerator: FLOP/s by dtype, bytes of memory, bytes a second to and from it, and watts.

    `memory_bytes` is what the vendor writes, and `reported_bytes` what the device itself reports, which is often more.
    `link_bytes_per_second` is one direction of the scale-up link that joins the devices of a node, None where there is none.
    `unified`: the processor uses the same memory, so that its operating system and programs take of it too.
    """

    name: str
    flops_per_second: Mapping[str, int]
    memory_bytes: int
    memory_bytes_per_second: int
    link_bytes_per_second: int | None
    watts: int | None
    reported_bytes: int | None = None
    unified: bool = False

    @property
    def device_bytes(self) -> int:
        """Bytes of memory as the device itself reports them; the vendor's figure where that is not known."""
        return self.memory_bytes if self.reported_bytes is None else self.reported_bytes


class Cluster(NamedTuple):
    """Devices of one kind in nodes: how many a node has, and what each can send outside of it, in one direction.

    `switch_reduces`: the switch of the link sums and multicasts (NVLink SHARP). `network_reduces`: that of the network does.
    """

    device: Device
    devices_per_node: int
    network_bytes_per_second: int | None
    switch_reduces: bool = False
    network_reduces: bool = False
