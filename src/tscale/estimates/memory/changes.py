"""Which single changes make a model fit that does not, each with what it costs."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import islice
from math import ceil, floor
from typing import Final, NamedTuple

from tscale.catalogue.hardware import Hardware, roomier
from tscale.core.costs.cache import rows_divide
from tscale.core.costs.weights import Mixture
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.ledger import Cache
from tscale.core.metric import Figure
from tscale.core.number_text import gigabytes, significant
from tscale.core.sharding import tensor_degrees
from tscale.core.units import BYTES
from tscale.core.view import Record
from tscale.estimates.capacity import Capacity, kind_of, serving_capacity
from tscale.estimates.memory.held import Server, held
from tscale.estimates.memory.layout import fits_model, spelled
from tscale.estimates.memory.serving import Ask
from tscale.estimates.release import format_of

_MOST_DEVICES: Final = 1024
_MOST_HARDWARE: Final = 3
_NARROWER: Final = ("fp8", "int4-g128")
_GGUF: Final = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k")
_CACHES: Final = ("bf16", "fp8", "nvfp4")
_CACHES_OF_GGUF: Final = ("fp16", "q8_0", "q4_0")


class Change(NamedTuple):
    """A change that makes it fit: the option, what a device then holds, and what it costs.

    `groups`: the groups of devices that each then sends to, where that changes.
    """

    option: str
    total: int
    costs: str
    groups: int | None = None

    def fits(self, capacity: Capacity) -> bool:
        """Whether it then fits on a device of this capacity."""
        return (capacity if self.groups is None else capacity._replace(groups=self.groups)).fits(self.total)

    def data(self) -> Record:
        return {"option": self.option, "per_device_bytes": Figure(self.total, BYTES, "convention"), "costs": self.costs}


def single_changes(
    server: Server, ask: Ask, capacity: Capacity, batch: int | None, context: int | None
) -> tuple[Change, ...]:
    """Each change that is enough alone, the least of its kind; `batch` and `context` are the largest that fit."""
    hardware, usable = ask.hardware, capacity.usable
    assert hardware is not None
    found: list[Change] = []
    found += _narrower_weights(server, usable)
    found += _narrower_cache(server, usable)
    if batch:
        smaller = server._replace(batch=batch)
        found.append(Change(f"--batch {batch}", held(smaller).total, f"batches of {batch:,}, not {server.batch:,}"))
    if context and context > server.prefix:
        shorter = server._replace(context=context)
        costs = f"sequences of {context:,} tokens, not {server.context:,}"
        found.append(Change(f"--context {context}", held(shorter).total, costs))
    found += _more_devices(server, hardware, capacity, spelled_out=ask.layout is not None)

    def on(other: Hardware) -> int:
        return held(server._replace(chunk=ask._replace(hardware=other).step_chunk)).total

    found += larger_hardware(on, server.layout.devices, hardware, capacity)
    found += larger_share(held(server).total, capacity)
    return tuple(found)


def _first(dtypes: Iterable[Dtype], total: Callable[[Dtype], int], usable: int) -> tuple[Dtype, int] | None:
    """The first format in which it fits, with what a device then holds."""
    for format in dtypes:
        size = total(format)
        if size <= usable:
            return format, size
    return None


def _narrower_weights(server: Server, usable: int) -> Iterator[Change]:
    if server.kernel != "none":  # which is of the format of now
        return
    now = server.format
    ladder = (DTYPES[name] for name in (_GGUF if now.scope == "matrices" else ("bf16", *_NARROWER)))
    # what the scales of a release take is not what another format would save
    bits = now.bits if isinstance(now, Dtype) else floor(now.bits)
    narrower = (format for format in ladder if format.bits < bits)
    found = _first(narrower, lambda kept: held(_in_format(server, kept)).total, usable)
    if found is not None:
        format, size = found
        yield Change(f"--dtype {format.name}", size, f"weights rounded from {_bits(now)} to {_bits(format)} bits")


def _in_format(server: Server, format: Dtype) -> Server:
    """The same with its weights in another format, and the draft's."""
    draft = None if server.draft is None else _in_format(server.draft, format)
    return server._replace(format=format_of(server.spec, format), draft=draft)


def _narrower_cache(server: Server, usable: int) -> Iterator[Change]:
    if not any(isinstance(entry, Cache) for entry in server.whole.entries):
        return
    now = server.cache_format
    ladder = (DTYPES[name] for name in (_CACHES_OF_GGUF if server.format.scope == "matrices" else _CACHES))
    narrower = (format for format in ladder if format.bits < now.bits and rows_divide(server.whole, format))
    found = _first(narrower, lambda kept: held(_in_cache_format(server, kept)).total, usable)
    if found is not None:
        format, size = found
        text = f"keys and values rounded from {_bits(now)} to {_bits(format)} bits"
        yield Change(f"--cache-dtype {format.name}", size, text)


def _in_cache_format(server: Server, format: Dtype) -> Server:
    draft = None if server.draft is None else server.draft._replace(cache_format=format)
    return server._replace(cache_format=format, draft=draft)


def _more_devices(server: Server, hardware: Hardware, capacity: Capacity, *, spelled_out: bool) -> Iterator[Change]:
    """The fewest devices beyond those of now, by tensor parallelism. `spelled_out`: whether a layout was asked for."""
    now = server.layout
    for tensor in tensor_degrees(server.whole):
        ranks = tensor * now.attention_data
        layout = now._replace(tensor=tensor, expert_tensor=ranks // now.expert)
        if (
            tensor <= now.tensor
            or layout.devices > _MOST_DEVICES
            or ranks % now.expert
            or not fits_model(server, layout)
        ):
            continue
        total = held(server.on(layout)).total
        if serving_capacity(capacity.device, layout.devices, capacity.share, layout.groups).fits(total):
            joined, gpus = hardware.devices_per_node, layout.devices
            beyond = f", more than the {joined} of a node" if joined is not None and ranks > joined else ""
            costs = f"{gpus:,} devices, not {now.devices:,}{beyond}{_priced(hardware, gpus)}"
            yield Change(spelled(layout) if spelled_out else f"--gpus {gpus}", total, costs)
            return


def larger_hardware(
    held_on: Callable[[Hardware], int], gpus: int, hardware: Hardware, capacity: Capacity
) -> Iterator[Change]:
    """The accelerators with the least memory in which what is held on them fits, of the kind of this one."""
    own = capacity.device.device_bytes
    alike = ((other, held_on(other)) for other in roomier(own) if kind_of(other.name) == kind_of(hardware.name))
    fitting = ((other, total) for other, total in alike if capacity._replace(device=other.device()).fits(total))
    for other, total in islice(fitting, _MOST_HARDWARE):
        memory = other.device().device_bytes
        costs = f"{gigabytes(memory)} a device, not {significant(own / 10**9, 4)}{_priced(other, gpus)}"
        yield Change(f"--gpu {other.name}", total, costs)


def larger_share(total: int, capacity: Capacity) -> Iterator[Change]:
    """The share of the memory that would be enough, where the least that software takes is left to it."""
    memory = capacity.device.device_bytes
    percent = ceil(Fraction(100 * total, memory))
    left = Fraction(memory * (100 - percent), 100)
    if left >= capacity._replace(share=None).reserve.low and percent * memory > 100 * capacity.usable:
        costs = f"{gigabytes(left, 3)} left for software"
        yield Change(f"--memory-share {percent}%", total, costs)


def _priced(hardware: Hardware, gpus: int) -> str:
    from tscale.estimates.rent import rent_of

    rent = rent_of(hardware)
    if rent is None:
        return ""
    span = f" ({significant(gpus * rent.low)} to {significant(gpus * rent.high)})" if rent.ranges else ""
    return f", {significant(gpus * rent.middle)} USD an hour{span}"


def _bits(format: Dtype | Mixture) -> str:
    return f"{float(format.bits):.4g}"
