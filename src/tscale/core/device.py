"""What a device can do at its best: the dense peaks that its vendor states. No arithmetic here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Device(NamedTuple):
    """An accelerator: FLOP/s by dtype, bytes of memory, bytes a second to and from it, and watts.

    `link_bytes_per_second` is one direction of the scale-up link that joins the devices of a node, None where there is none.
    """

    name: str
    flops_per_second: Mapping[str, int]
    memory_bytes: int
    memory_bytes_per_second: int
    link_bytes_per_second: int | None
    watts: int | None


class Cluster(NamedTuple):
    """Devices of one kind in nodes: how many a node has, and what each can send outside of it, in one direction."""

    device: Device
    devices_per_node: int
    network_bytes_per_second: int | None
