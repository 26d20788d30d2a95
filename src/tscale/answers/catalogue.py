"""`tscale list` and `tscale show`: what is built in, and a spec as it stands."""

from __future__ import annotations

from typing import Final

from tscale.answers.capacity import device_figure
from tscale.answers.list_filters import ALL, Wanted, titled
from tscale.catalogue.claims import listed_claims
from tscale.catalogue.hardware import Hardware, listed_hardware
from tscale.catalogue.laws import Law, shipped_laws
from tscale.catalogue.models import listed
from tscale.core.dtypes import DTYPES
from tscale.core.metric import Cell, Column, Data, Figure, Known, Label, Missing, Report, Table
from tscale.core.sources import cited
from tscale.core.units import BITS, BYTES, BYTES_PER_SECOND, COUNT, FLOPS_PER_SECOND, SIZE, WATTS, YEAR, Unit


def models_report(wanted: Wanted = ALL) -> Report:
    """The built-in models, oldest first."""
    columns = (
        Column("name", "name", numeric=False),
        Column("model", "title", drop=3, numeric=False),
        Column("year", "year", drop=2),
        Column("kind", "kind", drop=5, numeric=False),
        Column("parameters", "params"),
        Column("active", "active_params", drop=4),
        Column("also known as", "aliases", drop=1, numeric=False),
    )
    every = listed()
    models = [
        one
        for one in every
        if wanted.of_year(one.year) and wanted.of_names(one.name, *one.aliases) and wanted.of_size(one.params)
    ]
    rows = tuple(
        (
            model.name,
            model.title,
            _year(model.year),
            model.kind,
            _size(model.params),
            _size(model.active_params),
            ", ".join(model.aliases),
        )
        for model in models
    )
    data: Data = {
        "models": [
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
    }
    title = titled("Built-in models", wanted, len(models), len(every))
    return Report(title, (Table(title, columns, rows),), data, () if models else (_NOTHING,))


_NOTHING: Final = "Nothing matches: `tscale list` names all."


def _size(params: int | None) -> Figure | Missing:
    return Missing("not disclosed") if params is None else Figure(params, SIZE)


def _year(year: int | None) -> Figure | Missing:
    return Missing("") if year is None else Figure(year, YEAR)


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
        Column("source", "source", drop=3, numeric=False),
    )
    every = shipped_laws()
    laws = [law for law in every if wanted.of_year(law.year)]
    rows = tuple((law.name, law.label, _answers(law), law.data or "", cited(law.source)) for law in laws)
    data: Data = {
        "laws": [
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
    }
    notes = ("`tscale show NAME` prints the constants, each with its source.",)
    title = titled("Scaling laws", wanted, len(laws), len(every))
    return Report(title, (Table(title, columns, rows),), data, notes)


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
        Column("memory is", "unified_memory", drop=10, numeric=False),
        Column("also known as", "aliases", drop=6, numeric=False),
    )
    every = listed_hardware()
    found = [one for one in every if wanted.of_year(one.year) and wanted.of_names(one.name, *one.aliases)]
    rows = tuple(_hardware_row(hardware) for hardware in found)
    keys = [column.key for column in columns]
    data: Data = {
        "hardware": [
            {key: _datum(cell) for key, cell in zip(keys, row, strict=True)}
            | {"unified_memory": hardware.unified_memory, "aliases": list(hardware.aliases)}
            for hardware, row in zip(found, rows, strict=True)
        ]
    }
    notes = (
        "Peaks are dense. `tscale show NAME` prints the source of each figure, and where sources contradict each other.",
    )
    title = titled("Hardware, as the vendors state it", wanted, len(found), len(every))
    return Report("Hardware", (Table(title, columns, rows),), data, notes)


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
    rows: list[tuple[Cell, ...]] = []
    for format in DTYPES.values():
        block: Cell = Label("", "1") if format.multiple == 1 else Figure(format.multiple, COUNT)
        rest = Label("" if format.scope == "all" else format.rest, format.rest)
        held = "all matrices, in a mixture" if format.mixture else _HOLDS[format.scope]
        holds, caches = Label(held, format.scope), Label("yes" if format.caches else "", format.caches)
        bits = Figure(format.bits, BITS, source=format.source)
        rows.append((format.name, bits, holds, rest, block, caches, cited(format.source)))
    data: Data = {
        "formats": [
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
    }
    notes = (
        "Bits are those of a number with its share of scales and zero points; int8 has 32 more for each row of a matrix, and fp8 "
        "and int4 are listed without scales.",
        "A format may spell out its scales: int4-g64 (of each 64 of a row, and a zero point), int4-g64-sym (no zero point), "
        "int8-row-sym, fp8-row, fp8-128x128 (of each block).",
        "In a mixture (q4_k_m), bits and block are those of the type of most matrices; llama.cpp's quantiser gives others more. "
        "q4_0-pure is that type alone.",
        "Rows with a length that is not a multiple of the block are stored in another format, which `tscale memory` names.",
    )
    return Report("Number formats", (Table("Number formats", columns, tuple(rows)),), data, notes)


def _hardware_row(hardware: Hardware) -> tuple[Cell, ...]:
    device, source = hardware.device(), hardware.source

    def stated(value: int | None, unit: Unit) -> Figure | Missing:
        known: Known = "cited"
        return Missing("not stated") if value is None else Figure(value, unit, known, source)

    peaks = device.flops_per_second
    return (
        hardware.name,
        hardware.label,
        _year(hardware.year),
        stated(peaks.get("bf16"), FLOPS_PER_SECOND),
        stated(peaks.get("fp8"), FLOPS_PER_SECOND),
        stated(device.memory_bytes, BYTES),
        Missing("not known") if hardware.reported_mib is None else device_figure(hardware),
        stated(device.memory_bytes_per_second, BYTES_PER_SECOND),
        stated(device.link_bytes_per_second, BYTES_PER_SECOND),
        stated(device.watts, WATTS),
        _of_host(hardware, hardware.host_memory_gb, BYTES),
        _of_host(hardware, hardware.host_link_gb_per_s, BYTES_PER_SECOND),
        "shared with the processor" if hardware.unified_memory else "its own",
        ", ".join(hardware.aliases),
    )


def _of_host(hardware: Hardware, gb: float | None, unit: Unit) -> Figure | Missing:
    """A figure of the host, in GB or GB/s, with the host's source."""
    if gb is None:
        return Missing("not known")
    return Figure(round(gb * 10**9), unit, "cited", hardware.host_source or hardware.source, hardware.host_evidence)


def _datum(cell: Cell) -> Data:
    return cell if isinstance(cell, (Figure, Missing, str)) else None
