"""`tscale list` and `tscale show`: what is built in, and a spec as it stands."""

from __future__ import annotations

from typing import Final

from tscale.answers.list.filters import ALL, Wanted, titled
from tscale.catalogue.claims import listed_claims
from tscale.catalogue.hardware import Hardware, listed_hardware
from tscale.catalogue.laws import Law, shipped_laws
from tscale.catalogue.models import listed
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.metric import Column, Figure, Known, Label, Missing, Report, Table
from tscale.core.sources import cited
from tscale.core.units import BITS, BYTES, BYTES_PER_SECOND, FLOPS_PER_SECOND, SIZE, WATTS, YEAR, Unit
from tscale.core.view import Record, view
from tscale.estimates.capacity import device_figure


def models_report(wanted: Wanted = ALL) -> Report:
    """The built-in models, oldest first."""
    columns = (
        Column("name", "name", numeric=False),
        Column("model", "title", drop=4, numeric=False),
        Column("year", "year", drop=1, read=_year, absent=Missing("")),
        Column("kind", "kind", drop=3, numeric=False),
        Column("parameters", "params", read=_size, absent=_UNDISCLOSED),
        Column("active", "active_params", drop=2, read=_size, absent=_UNDISCLOSED),
        Column("also known as", "aliases", drop=5, numeric=False),
    )
    every = listed()
    wanted.check_family(name for one in every for name in (one.name, *one.aliases))
    models = [
        one
        for one in every
        if wanted.of_year(one.year) and wanted.of_names(one.name, *one.aliases) and wanted.of_size(one.params)
    ]
    records: list[Record] = [
        {
            "name": model.name,
            "title": model.title,
            "year": model.year,
            "kind": model.kind,
            "params": model.params,
            "active_params": model.active_params,
            "aliases": list(model.aliases),
        }
        for model in models
    ]
    title = titled("Built-in models", wanted, len(models), len(every))
    return Report(title, (view(title, columns, records),), {"models": records}, () if models else (_NOTHING,))


_NOTHING: Final = "Nothing matches: `tscale list` names all."
_UNDISCLOSED: Final = Missing("not disclosed")


def _size(params: int) -> Figure:
    return Figure(params, SIZE)


def _year(year: int) -> Figure:
    return Figure(year, YEAR)


def claims_report() -> Report:
    """The files of claims that are shipped."""
    names = listed_claims()
    table = Table(
        "Claims to audit with `tscale check NAME`", (Column("name", "name", numeric=False),), tuple((n,) for n in names)
    )
    return Report("Claims", (table,), {"claims": list(names)})


_ANSWERS: Final = {
    "parametric": "loss, optimum",
    "kaplan": "loss, optimum",
    "repeated": "loss, optimum, repetition",
    "lifetime": "loss, optimum, serving",
    "power": "optimum",
    "kaplan-joint": "loss, optimum",
    "farseer": "loss, optimum",
    "precision": "loss, optimum, bits",
    "bare": "loss, optimum",
    "joint-experts": "loss, optimum, experts",
    "granular-experts": "loss, optimum, granularity",
    "sparse-experts": "loss, optimum, experts",
    "routed-experts": "loss after 130e9 tokens, experts",
    "leverage": "dense model of equal loss",
    "hyper": "learning rate, batch size",
    "vocabulary": "vocabulary",
}


def _answers(law: Law) -> str:
    """What a law predicts, in words."""
    return _ANSWERS[law.kind] if law.optima else "loss"


def laws_report(wanted: Wanted = ALL) -> Report:
    """The scaling laws that are shipped, oldest first."""
    columns = (
        Column("name", "name", numeric=False),
        Column("law", "title", drop=2, numeric=False),
        Column("predicts", "predicts", numeric=False),
        Column("fitted on", "data", drop=1, numeric=False),
        Column("source", "source", drop=3, numeric=False, read=cited),
    )
    every = shipped_laws()
    laws = [law for law in every if wanted.of_year(law.year)]
    records: list[Record] = [
        {
            "name": law.name,
            "title": law.label,
            "year": law.year,
            "kind": law.kind,
            "predicts": _answers(law).split(", "),
            "data": law.data,
            "source": law.source,
        }
        for law in laws
    ]
    notes = ("`tscale show NAME` prints the constants, each with its source.",)
    title = titled("Scaling laws", wanted, len(laws), len(every))
    return Report(title, (view(title, columns, records),), {"laws": records}, notes)


def hardware_report(wanted: Wanted = ALL) -> Report:
    """The accelerators that are shipped, oldest first, with what their vendors state."""
    columns = (
        Column("name", "name", numeric=False),
        Column("hardware", "title", drop=2, numeric=False),
        Column("year", "year", drop=1),
        Column("bf16, dense", "bf16_flops_per_second"),
        Column("fp8, dense", "fp8_flops_per_second", drop=4),
        Column("memory", "memory_bytes"),
        Column("as reported", "device_bytes", drop=7),
        Column("bandwidth", "memory_bytes_per_second"),
        Column("link, each way", "link_bytes_per_second", drop=3),
        Column("TDP", "watts", drop=5),
        Column("host memory", "host_memory_bytes", drop=8),
        Column("link to host, each way", "host_link_bytes_per_second", drop=9),
        Column("memory is", "unified_memory", drop=10, numeric=False, read=_whose_memory),
        Column("also known as", "aliases", drop=6, numeric=False),
    )
    every = listed_hardware()
    wanted.check_family(name for one in every for name in (one.name, *one.aliases))
    found = [one for one in every if wanted.of_year(one.year) and wanted.of_names(one.name, *one.aliases)]
    records = [_hardware_data(hardware) for hardware in found]
    notes = (
        "Peaks are dense. `tscale show NAME` prints the source of each figure, and where sources contradict each other.",
    )
    title = titled("Hardware, as the vendors state it", wanted, len(found), len(every))
    return Report("Hardware", (view(title, columns, records),), {"hardware": records}, notes)


_HOLDS: Final = {
    "all": "everything",
    "linear": "matrices of layers",
    "experts": "routed experts",
    "matrices": "all matrices",
}


def formats_report() -> Report:
    """The number formats that weights and caches are kept in, with their true bits."""
    columns = (
        Column("name", "name", numeric=False),
        Column("bits", "bits"),
        Column("weights stored in it", "weights", numeric=False),
        Column("other weights in", "rest", drop=1, numeric=False),
        Column("block", "block", drop=2),
        Column("caches", "caches", numeric=False),
        Column("source", "source", drop=3, numeric=False),
    )
    records: list[Record] = [
        {
            "name": format.name,
            "bits": Figure(format.bits, BITS, source=format.source),
            "weights": format.scope,
            "rest": format.rest,
            "block": format.multiple,
            "caches": format.caches,
            "mixture": bool(format.mixture),
        }
        for format in DTYPES.values()
    ]
    rows = [_format_row(*one) for one in zip(records, DTYPES.values(), strict=True)]
    notes = (
        "Bits are those of a number with its share of scales and zero points; int8 has 32 more for each row of a matrix, and fp8 "
        "and int4 are listed without scales.",
        "A format may spell out its scales: int4-g64 (of each 64 of a row, and a zero point), int4-g64-sym (no zero point), "
        "int8-row-sym, fp8-row, fp8-128x128 (of each block).",
        "In a mixture (q4_k_m), bits and block are those of the type of most matrices; llama.cpp's quantiser gives others more. "
        "q4_0-pure is that type alone.",
        "Rows with a length that is not a multiple of the block are stored in another format, which `tscale memory` names.",
    )
    return Report("Number formats", (view("Number formats", columns, rows),), {"formats": records}, notes)


def _format_row(record: Record, format: Dtype) -> Record:
    """What people read of a format: what is kept in it in words, and its source."""
    held = "all matrices, in a mixture" if format.mixture else _HOLDS[format.scope]
    return {
        **record,
        "weights": Label(held, format.scope),
        "rest": Label("" if format.scope == "all" else format.rest, format.rest),
        "block": Label("", "1") if format.multiple == 1 else format.multiple,
        "source": cited(format.source),
    }


def _whose_memory(unified: bool) -> str:
    return "shared with the processor" if unified else "its own"


def _hardware_data(hardware: Hardware) -> Record:
    """What its vendor states of an accelerator."""
    device, source = hardware.device(), hardware.source

    def stated(value: int | None, unit: Unit) -> Figure | Missing:
        known: Known = "cited"
        return Missing("not stated") if value is None else Figure(value, unit, known, source)

    peaks = device.flops_per_second
    return {
        "name": hardware.name,
        "title": hardware.label,
        "year": Missing("") if hardware.year is None else _year(hardware.year),
        "bf16_flops_per_second": stated(peaks.get("bf16"), FLOPS_PER_SECOND),
        "fp8_flops_per_second": stated(peaks.get("fp8"), FLOPS_PER_SECOND),
        "memory_bytes": stated(device.memory_bytes, BYTES),
        "device_bytes": Missing("not known") if hardware.reported_mib is None else device_figure(hardware),
        "memory_bytes_per_second": stated(device.memory_bytes_per_second, BYTES_PER_SECOND),
        "link_bytes_per_second": stated(device.link_bytes_per_second, BYTES_PER_SECOND),
        "watts": stated(device.watts, WATTS),
        "host_memory_bytes": _of_host(hardware, hardware.host_memory_gb, BYTES),
        "host_link_bytes_per_second": _of_host(hardware, hardware.host_link_gb_per_s, BYTES_PER_SECOND),
        "unified_memory": hardware.unified_memory,
        "aliases": list(hardware.aliases),
    }


def _of_host(hardware: Hardware, gb: float | None, unit: Unit) -> Figure | Missing:
    """A figure of the host, in GB or GB/s, with the host's source."""
    if gb is None:
        return Missing("not known")
    return Figure(round(gb * 10**9), unit, "cited", hardware.host_source or hardware.source, hardware.host_evidence)
