"""What software takes of a device's memory, as a table, and why what is asked fits or does not, in words."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.catalogue.hardware import Hardware
from tscale.core.metric import Column, Detail, Figure, Table
from tscale.core.number_text import gigabytes
from tscale.core.units import BYTES
from tscale.estimates.capacity import Capacity, Verdict, kind_of


def reserve_tables(capacity: Capacity | None) -> Iterator[Table]:
    """What software takes, part by part, with where each figure was measured; nothing without a device, or of a share of its memory."""
    if capacity is None or capacity.share is not None:
        return
    reserve = capacity.reserve
    columns = (
        Column("reserve, line by line", "part", numeric=False),
        Column("at least", "low"),
        Column("at most", "high"),
        Column("measured", "source", drop=1, numeric=False),
    )
    rows = [
        (part.name, Figure(part.low, BYTES, "cited"), Figure(part.high, BYTES, "cited"), part.source)
        for part in reserve.parts
    ]
    rows.append(("reserve", Figure(reserve.low, BYTES, "assumed"), Figure(reserve.high, BYTES, "assumed"), ""))
    yield Table("", columns, tuple(rows), totals=frozenset({len(rows) - 1}), aside=True, detail=True)


def capacity_notes(capacity: Capacity, hardware: Hardware, total: int, least: int | None = None) -> Iterator[str]:
    """Why it fits or does not, and what memory that was asked of."""
    yield verdict_note(capacity, total, least)
    yield Detail(_device_note(hardware))
    if capacity.share is not None:
        yield f"--memory-share: {float(capacity.share):.4g} of that may be used, and no reserve is added."
        return
    yield Detail(
        "The reserve is what software was measured to take, from the least to the most. Usable is the rest of the memory next to "
        "the largest reserve. --memory-share sets the usable share of the memory instead of a reserve: vLLM's is 0.9 (0.92 in its "
        "later releases); 1 leaves nothing."
    )
    if kind_of(hardware.name) in ("trainium", "gaudi"):
        yield f"What the software of {hardware.label} takes is not known here: the reserve is CUDA's."


def left_out(capacity: Capacity | None, own: str) -> str:
    """What neither the total nor the reserve counts; `own`: what is left out of the total in any case."""
    if capacity is None or capacity.share is not None:
        return f"Not counted: what software takes (driver, context, kernels, captured graphs, communication buffers), fragmentation, and {own}."
    counted = {part.name for part in capacity.reserve.parts}
    more = [
        *([] if counted & {"context", "runtime"} else ["what software takes"]),
        *([] if "fragments" in counted else ["fragmentation"]),
    ]
    return f"Not counted, in the total or the reserve: {', '.join(more)}{' and ' if more else ''}{own}."


def verdict_note(capacity: Capacity, total: int, least: int | None = None) -> str:
    """Why a total of bytes, of which `least` are held at the least, fits or does not, in a sentence."""
    verdict = capacity.verdict(total, least)
    if capacity.share is not None:
        return _share_note(capacity, total, total if least is None else least, verdict)
    needed, memory, reserve = gigabytes(total), gigabytes(capacity.device.device_bytes), capacity.reserve
    at_least = f"at the least {gigabytes(least)}" if least is not None and least < total else needed
    low, high = gigabytes(reserve.low), gigabytes(reserve.high)
    match verdict:
        case "fits":
            return f"It fits: {needed} and the largest reserve, {high}, are within {memory}."
        case "may_fit" if at_least == needed:
            return f"It may fit: {needed} and the least reserve, {low}, are within {memory}; with the largest, {high}, they are not."
        case "may_fit":
            return f"It may fit: {at_least} and the least reserve, {low}, are within {memory}; {needed} and the largest, {high}, are not."
        case "does_not_fit":
            return f"It does not fit: {at_least} and the least reserve, {low}, are more than {memory}."


def _share_note(capacity: Capacity, total: int, least: int, verdict: Verdict) -> str:
    """The same where a share of the memory may be used."""
    needed, usable = gigabytes(total), f"the {gigabytes(capacity.usable)} that may be used"
    match verdict:
        case "fits":
            return f"It fits: {needed} are no more than {usable}."
        case "may_fit":
            return f"It may fit: at the least {gigabytes(least)} are no more than {usable}; {needed} are more."
        case "does_not_fit":
            return f"It does not fit: {needed if least == total else f'at the least {gigabytes(least)}'} are more than {usable}."


def _device_note(hardware: Hardware) -> str:
    vendor = f"{hardware.memory_gb:,g} GB"
    if hardware.reported_mib is None:
        return f"What {hardware.label} reports as its memory is not known here: it is assumed to be {vendor}."
    memory = gigabytes(hardware.device().device_bytes)
    return f"{hardware.label} reports {hardware.reported_mib:,g} MiB, {memory}, where its vendor writes {vendor}."
