"""What a device's memory has room for: what it reports, less what software takes, and the verdict on what is asked."""

from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.costs.reserve import Reserve, gpu_reserve, share_reserve, shared_reserve, tpu_reserve, unified_reserve
from tscale.core.device import Device
from tscale.core.metric import Data, Figure, Known
from tscale.core.parallelism import Parallelism
from tscale.core.units import BYTES

Verdict = Literal["fits", "may_fit", "does_not_fit"]
VERDICTS: Final[dict[Verdict, str]] = {
    "fits": "fits",
    "may_fit": "may fit",
    "does_not_fit": "does not fit",
}
"""How people read a verdict."""


class Capacity(NamedTuple):
    """The memory of a device that serves or trains, or the share of it that may be used.

    `groups`: the groups of devices that this one sends to, each with buffers of its own. A `share` stands in the place of
    the reserve: whoever gives one says what is left for software.
    """

    device: Device
    groups: int = 0
    training: bool = False
    share: Fraction | None = None

    @property
    def reserve(self) -> Reserve:
        """What software takes, from the least to the most."""
        memory = self.device.device_bytes
        if self.share is not None:
            return share_reserve(memory, self.share)
        match kind_of(self.device.name):
            case "apple":
                return unified_reserve(memory)
            case "tpu":
                return tpu_reserve()
            case _ if self.device.unified:
                return shared_reserve(memory)
            case _:
                return gpu_reserve(memory, self.groups, training=self.training)

    @property
    def usable(self) -> int:
        """Bytes that are a model's even where software takes the most."""
        return max(self.device.device_bytes - self.reserve.high, 0)

    @property
    def most(self) -> int:
        """Bytes that are a model's where software takes the least."""
        return max(self.device.device_bytes - self.reserve.low, 0)

    def fits(self, total: int) -> bool:
        """Whether `total` bytes fit whatever software takes."""
        return total <= self.usable

    def verdict(self, total: int, least: int | None = None) -> Verdict:
        """Whether `total` bytes fit next to the largest reserve, or else `least` of them next to the least, or not even those.

        `least`: what is held at the least, where that is less than `total`.
        """
        if self.fits(total):
            return "fits"
        return "may_fit" if (total if least is None else least) <= self.most else "does_not_fit"


def serving_capacity(device: Device, gpus: int, share: Fraction | None = None, groups: int | None = None) -> Capacity:
    """The capacity of one of `gpus` devices that serve; `groups`: those of devices that it sends to, where there are several kinds."""
    return Capacity(device, groups=int(gpus > 1) if groups is None else groups, share=share)


def training_capacity(device: Device, plan: Parallelism, share: Fraction | None = None) -> Capacity:
    """The capacity of one of the devices of a plan."""
    return Capacity(device, groups_of(plan), training=True, share=share)


def groups_of(plan: Parallelism) -> int:
    """The groups of devices that one device of a plan sends to: one for each way in which it shares the work."""
    ways = (plan.tensor, plan.pipeline, plan.data, plan.context, plan.expert)
    own = plan.expert_cut > 1 and plan.expert_cut != plan.tensor
    return sum(degree > 1 for degree in ways) + own


_ASKED: Final = "--memory-share"
"""Where a reserve is from that no source gives."""
_OWN_KIND: Final = ("apple", "tpu", "trainium", "gaudi")


def kind_of(name: str) -> str:
    """What runs the same kind of software as the accelerator of a name: each maker's own kind, or any GPU."""
    return next((kind for kind in _OWN_KIND if name.startswith(kind) and not name[len(kind) :][:1].islower()), "gpu")


def verdict_text(capacity: Capacity, total: int, least: int | None = None) -> str:
    """The verdict as a title says it."""
    verdict = capacity.verdict(total, least)
    return (
        f"{VERDICTS[verdict]}, depending on {_open(capacity, total, least)}"
        if verdict == "may_fit"
        else VERDICTS[verdict]
    )


def on_devices(what: str, hardware: Hardware | None, devices: int, which: str = "each", ways: str = "") -> str:
    """What a title says, and where that is: on one device, or on `which` of several, which share it in some `ways`."""
    if hardware is None:
        return what if devices == 1 else f"{what} on {which} of {devices:,} devices{ways}"
    return f"{what} on " + (hardware.label if devices == 1 else f"{which} of {devices:,} × {hardware.label}{ways}")


def _open(capacity: Capacity, total: int, least: int | None) -> str:
    """What a verdict depends on: each range that is not a single figure."""
    ranges = [
        *(["the reserve"] if capacity.reserve.low < capacity.reserve.high else []),
        *(["the framework"] if least is not None and least < total else []),
    ]
    return " and ".join(ranges)


def exit_code(capacity: Capacity | None, total: int, least: int | None = None) -> int:
    """3 where it does not fit, even the least next to the least reserve; 0 otherwise."""
    return 3 if capacity is not None and capacity.verdict(total, least) == "does_not_fit" else 0


def device_figure(hardware: Hardware) -> Figure:
    """The memory of a device as it reports it, or as its vendor states it where that is all that is known."""
    if hardware.reported_mib is None:
        note = "as its vendor states it: what the device reports is not known here"
        return Figure(hardware.device().device_bytes, BYTES, "cited", hardware.source, note)
    graded = "" if hardware.evidence.reported == "primary" else hardware.evidence.reported
    source = hardware.reported_source or hardware.source
    return Figure(hardware.device().device_bytes, BYTES, "cited", source, graded)


def usable_figure(capacity: Capacity) -> Figure:
    """What a model may use: exact where a share was asked for."""
    return Figure(capacity.usable, BYTES, "assumed" if capacity.share is None else "exact")


def capacity_data(
    capacity: Capacity | None, hardware: Hardware | None, total: int, known: Known, least: int | None = None
) -> dict[str, Data]:
    """For JSON; all null without a device. `fits` is null where it may fit."""
    keys = (
        "memory_bytes", "device_bytes", "reserve_bytes", "reserve", "usable_bytes", "missing_bytes", "verdict", "fits",
    )  # fmt: skip
    if capacity is None or hardware is None:
        return dict.fromkeys(keys)
    reserve, verdict = capacity.reserve, capacity.verdict(total, least)
    values: tuple[Data, ...] = (
        Figure(capacity.device.memory_bytes, BYTES, "cited", hardware.source),
        device_figure(hardware),
        {"low": Figure(reserve.low, BYTES, "assumed"), "high": Figure(reserve.high, BYTES, "assumed")},
        [
            {
                "name": part.name,
                "low": Figure(part.low, BYTES, "cited", part.source or _ASKED),
                "high": Figure(part.high, BYTES, "cited", part.source or _ASKED),
            }
            for part in reserve.parts
        ],
        usable_figure(capacity),
        Figure(max(total - capacity.usable, 0), BYTES, known),
        verdict,
        None if verdict == "may_fit" else verdict == "fits",
    )
    return dict(zip(keys, values, strict=True))
