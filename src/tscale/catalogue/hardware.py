"""What a file says of an accelerator, as its vendor states it, and where the shipped ones are found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from tscale.blocks.fields import Positive, Problem, Size, Whole, dotted, of_one_line
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.index import aliases_of, compiled, everything
from tscale.catalogue.models import normalised
from tscale.catalogue.shipped import built, read_as, shipped_names, shipped_text
from tscale.core.device import Cluster, Device
from tscale.errors import RequestError, SpecError, SpecErrors, UnknownNameError, called, nearest, shown
from tscale.models.spec import Evidence

if TYPE_CHECKING:
    from tscale.models.yaml_file import Document

HERE: Final = "here"
"""What stands for the accelerator of this machine."""
_MOST_PER_HALVING: Final = Fraction(39, 10)
"""Half the bits are twice the peak, on Trainium3 3.75 times it; a figure with structured sparsity is four times it."""
_LEAST, _MOST = 1e-6, 1e9
"""What a rate may be in its own unit (10^12 FLOP/s, GB, watts): less would come to nothing in whole FLOP/s and bytes."""

_LEAST_REPORTED, _MOST_REPORTED = 0.9, 1.1
"""How far what a device reports may be from what its vendor writes: GiB are 1.074 GB."""


@spec_dataclass
class Peaks:
    """Dense peaks in 10^12 operations a second, by the format of the operands."""

    fp32: Positive | None = None
    bf16: Positive | None = None
    fp16: Positive | None = None
    fp8: Positive | None = None
    int8: Positive | None = None
    fp4: Positive | None = None


@spec_dataclass
class Grades:
    """How each kind of figure was confirmed."""

    compute: Evidence = "unconfirmed"
    memory: Evidence = "unconfirmed"
    bandwidth: Evidence = "unconfirmed"
    link: Evidence = "unconfirmed"
    tdp: Evidence = "unconfirmed"
    reported: Evidence = "unconfirmed"


@spec_dataclass
class Hardware:
    """An accelerator, one device of it: a GPU, a chip."""

    name: str
    """Lower case, with dashes: what people type."""
    title: str | None = None
    """The name as its vendor writes it."""
    aliases: tuple[str, ...] = ()
    """Other names that people type."""
    reports_as: tuple[str, ...] = ()
    """Names by which the device reports itself (nvidia-smi, rocm-smi, sysctl), for `--gpu here`."""
    gpu_cores: Size | None = None
    """Cores of the GPU, where several chips of one name differ in them (Apple's)."""
    year: Annotated[int, Whole(1990, 2100)] | None = None
    """The year from which it could be had."""
    dense_tflops: Peaks = Peaks()
    """Dense peaks, never with structured sparsity; absent where the vendor states none."""
    memory_gb: Positive
    """Memory in 10^9 bytes, as its vendor writes it; the GB of vendors are often 2^30 bytes."""
    reported_mib: Positive | None = None
    """Memory in 2^20 bytes as the device reports it (nvidia-smi's total), by `reported_source`; absent where not known."""
    reported_source: str | None = None
    bandwidth_gb_per_s: Positive
    """To and from memory, in 10^9 bytes a second."""
    link_gb_per_s: Positive | None = None
    """The scale-up link, the sum of both directions as vendors print it; absent where there is none."""
    tdp_watts: Positive | None = None
    devices_per_node: Size | None = None
    """Devices that the scale-up link joins."""
    network_gb_per_s: Positive | None = None
    """What a device can send outside of its node, in one direction: all NICs of a node over its devices."""
    network_source: str | None = None
    """Where the network is from, and which NICs a node has."""
    network_evidence: Evidence = "unconfirmed"
    """How the network was confirmed."""
    switch_reduces: bool = False
    """Whether the switch of the link sums and multicasts (NVLink SHARP)."""
    network_reduces: bool = False
    """Whether the switches of the network do (InfiniBand SHARP), which a cluster may have and a device does not say."""
    unified_memory: bool = False
    """Whether the processor and the accelerator share the memory."""
    host_memory_gb: Positive | None = None
    """Memory of the host for each device in 10^9 bytes, where the product comes with it: what can be offloaded at the most."""
    host_link_gb_per_s: Positive | None = None
    """Between a device and its host, in one direction: what is offloaded passes it."""
    host_source: str | None = None
    """Where the host's figures are from."""
    host_evidence: Evidence = "unconfirmed"
    """How they were confirmed."""
    price_usd_per_hour: Positive | None = None
    """A list price for an hour of one device, by `price_source`, which says its date."""
    price_source: str | None = None
    source: str
    evidence: Grades = Grades()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as its vendor writes it."""
        return self.title or self.name

    @property
    def network_is_bus(self) -> bool:
        """Whether nodes are joined by the bus of their host alone: cards beyond those that a bridge joins.

        What a device sends outside of its node is then as much as what it sends to its host; no NIC is as fast as its slot (PCIe 4.0 and 5.0
        have 32 and 64 GB/s, NICs 25 and 50).
        """
        return self.network_gb_per_s is not None and self.network_gb_per_s == self.host_link_gb_per_s

    def problems(self) -> Iterator[Problem]:
        """What cannot be: a peak that is more than twice that of twice the bits was printed with sparsity."""
        yield from of_one_line(
            name=self.name, title=self.title, network_source=self.network_source, host_source=self.host_source
        )
        if (self.price_usd_per_hour is None) != (self.price_source is None):
            yield ("price_usd_per_hour",), "a price needs its price_source, with the date, and the other way round"
        yield from self._problems_of_memory()
        yield from self._problems_of_the_host()
        yield from self._problems_of_size()
        peaks = self.dense_tflops
        sixteen = max((peak for peak in (peaks.bf16, peaks.fp16) if peak is not None), default=None)
        for field, peak in (("fp8", peaks.fp8), ("int8", peaks.int8)):
            if peak is not None and sixteen is not None and peak > _MOST_PER_HALVING * sixteen:
                yield (
                    ("dense_tflops", field),
                    f"{peak} is more than twice the {sixteen} of 16 bits: write the dense figure, without sparsity",
                )

    def _problems_of_the_host(self) -> Iterator[Problem]:
        for name in ("host_memory_gb", "host_link_gb_per_s"):
            if self.host_source is None and getattr(self, name) is not None:
                yield (name,), "a figure of the host needs its source: add host_source"

    def _problems_of_size(self) -> Iterator[Problem]:
        rates: tuple[str, ...] = ("memory_gb", "bandwidth_gb_per_s", "link_gb_per_s", "network_gb_per_s", "tdp_watts")
        rates += ("host_memory_gb", "host_link_gb_per_s")
        for holder, path, names in (
            (self, (), rates),
            (self.dense_tflops, ("dense_tflops",), [field.name for field in fields(Peaks)]),
        ):
            for name in names:
                value = getattr(holder, name)
                if value is not None and not _LEAST <= value <= _MOST:
                    yield (*path, name), f"{value} is out of range: write a number from 0.000001 to 1e9"

    def _problems_of_memory(self) -> Iterator[Problem]:
        """What a device reports is what its vendor writes, in GB or in GiB, less some that is kept for errors."""
        if self.reported_mib is None:
            if self.reported_source is not None:
                yield ("reported_source",), "a source of reported_mib, which is not given: add it, or drop its source"
            return
        ratio = self.reported_mib * 2**20 / (self.memory_gb * 10**9)
        if not _LEAST_REPORTED <= ratio <= _MOST_REPORTED:
            gb = self.reported_mib * 2**20 / 10**9
            yield (
                ("reported_mib",),
                f"{self.reported_mib} MiB are {gb:.4g} GB, too far from a memory_gb of {self.memory_gb}: give both of one device",
            )

    def device(self) -> Device:
        """The device as the core sees it: whole FLOP/s and bytes, one direction of the link."""
        peaks = {
            field.name: _whole(peak, 10**12)
            for field in fields(Peaks)
            if (peak := getattr(self.dense_tflops, field.name)) is not None
        }
        link, watts, reported = self.link_gb_per_s, self.tdp_watts, self.reported_mib
        return Device(
            self.name,
            peaks,
            _whole(self.memory_gb, 10**9),
            _whole(self.bandwidth_gb_per_s, 10**9),
            None if link is None else _whole(link, 10**9) // 2,
            None if watts is None else round(watts),
            None if reported is None else _whole(reported, 2**20),
            self.unified_memory,
        )

    def cluster(self) -> Cluster:
        """Nodes of it; a device that nothing joins is a node of its own."""
        network = self.network_gb_per_s
        return Cluster(
            self.device(),
            self.devices_per_node or 1,
            None if network is None else _whole(network, 10**9),
            self.switch_reduces,
            self.network_reduces,
        )


def _whole(value: float, unit: int) -> int:
    """`value` units as a whole number, without the dust of a binary fraction: 989.4 is exactly that."""
    return value * unit if isinstance(value, int) else round(Fraction(str(value)) * unit)


def hardware_names() -> list[str]:
    """The names of the accelerators that are shipped; no YAML is read."""
    return shipped_names("hardware")


def listed_hardware() -> list[Hardware]:
    """The accelerators that are shipped, by year and name."""
    found = [_shipped(name) for name in hardware_names()]
    return sorted(found, key=lambda hardware: (hardware.year or 0, hardware.name))


def roomier(memory: int) -> Iterator[Hardware]:
    """The accelerators that are shipped with more bytes of memory than so many, the least first; each is made when it is reached."""
    sizes = sorted((_memory(data), name) for name, data in everything("hardware"))
    return (_shipped(name) for size, name in sizes if size > memory)


def _memory(data: dict[str, Any]) -> int:
    """`Device.device_bytes` of what the index holds of an accelerator."""
    reported = data.get("reported_mib")
    return _whole(data["memory_gb"], 10**9) if reported is None else _whole(reported, 2**20)


def known_hardware(name: str) -> str | None:
    """The shipped accelerator that a name or an alias means, or None."""
    wanted = normalised(name)
    if wanted in hardware_names():
        return wanted
    return aliases_of("hardware").get(wanted)


def hardware_text(name: str) -> str:
    """The YAML of a shipped accelerator, comments and all."""
    return shipped_text("hardware", name)


def find_hardware(name: str, changes: Iterable[str] = (), option: str = "--gpu-set") -> Hardware:
    """The accelerator that a name, a YAML file or `-` means, with KEY=VALUE changes of an option applied. Raises `TscaleError`."""
    changes = tuple(changes)
    known = known_hardware(name)
    if known is not None and not changes:
        return _shipped(known)
    if normalised(name) == HERE:
        return _here(changes, option)
    from tscale.models.yaml_file import parse_document, read_document

    if known is not None:
        document = parse_document(hardware_text(known), f"{known}.yaml")
    elif name == "-" or Path(name).suffix.lower() in (".yaml", ".yml") or "/" in name:
        document = read_document(name, "`tscale show h100` prints one to start from")
    else:
        raise _no_such_hardware(name)
    return _with_changes(document, changes, option)


def _here(changes: tuple[str, ...], option: str) -> Hardware:
    """The accelerator of this machine, with changes applied."""
    from tscale.catalogue.here import hardware_here

    found = hardware_here()
    if not changes:
        return found
    from tscale.models.writing import plain

    return read_hardware(plain(found), HERE, changes, option)


def read_hardware(data: dict[str, Any], name: str, changes: Iterable[str] = (), option: str = "--gpu-set") -> Hardware:
    """The accelerator in a mapping such as a YAML file holds, with changes applied. Raises `TscaleError`."""
    from tscale.models.yaml_file import Document

    return _with_changes(Document(data, name, {}, {}), tuple(changes), option)


def _with_changes(document: Document, changes: tuple[str, ...], option: str) -> Hardware:
    if not changes:
        return _judged(document)
    try:
        from tscale.catalogue.hardware_changes import changed_document

        return _judged(changed_document(document, changes, option))
    except (SpecErrors, SpecError) as error:
        first = error.errors[0] if isinstance(error, SpecErrors) else error
        said = str(first).removeprefix(f"{first.where}: ")
        raise RequestError(said, where=called(f"{option} " + ", ".join(changes), 80)) from None


_INNER: Final[dict[str, type]] = {"dense_tflops": Peaks, "evidence": Grades}


def _shipped(name: str) -> Hardware:
    data = compiled("hardware", name)
    return from_yaml(name) if data is None else built(Hardware, data, _INNER)


def from_yaml(name: str) -> Hardware:
    """A shipped accelerator as its YAML says it, read and validated."""
    from tscale.models.yaml_file import parse_document

    return _judged(parse_document(hardware_text(name), f"{name}.yaml"))


def _no_such_hardware(name: str) -> UnknownNameError:
    hint = nearest(normalised(name), [*hardware_names(), *aliases_of("hardware")])
    if not hint.startswith("did you mean"):
        hint = "`tscale list hardware` names those that are shipped; a path to a YAML file works too"
    return UnknownNameError(f"no hardware {shown(name)}: {hint}")


def _judged(document: Document) -> Hardware:
    """The hardware in a document. Raises `SpecErrors` with all that is wrong, each at its line and column."""
    _refuse_sparse(document)
    hardware = read_as(Hardware, document, _INNER)
    problems = [
        SpecError(f"{dotted(path)}: {message}", where=document.where(path)) for path, message in hardware.problems()
    ]
    if problems:
        raise SpecErrors(problems)
    return hardware


def _refuse_sparse(document: Document) -> None:
    """Tells what to do about a key that says that its figures are with sparsity."""
    data = document.data if isinstance(document.data, dict) else {}
    inner = data.get("dense_tflops")
    for path, keys in (((), data), (("dense_tflops",), inner if isinstance(inner, dict) else {})):
        for key in keys:
            if "spars" in str(key).lower():
                raise SpecError(
                    f"{shown(key)}: peaks with structured sparsity are not read: write the dense ones, half of them, "
                    "in dense_tflops",
                    where=document.where((*path, str(key)), key=True),
                )
