"""The tables of `tscale plan --train`: the best layouts, the best of each size, options of frameworks, time against memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.plan.planned import (
    DAY,
    FRAMEWORKS,
    Planned,
    Size,
    behind,
    days_of,
    flags_of_best,
    of_frameworks,
    search_of,
    sizes_of,
)
from tscale.answers.plan.search import Best, Sized, pareto
from tscale.answers.plan.words import layout_text
from tscale.core.metric import Cell, Column, Figure, Label, Table
from tscale.core.units import BYTES, COUNT, DAYS, MFU, SECONDS, SHARE, USD
from tscale.planning.layouts import Layout


def plan_tables(planned: Planned, title: str) -> Iterator[Table]:
    """The best layouts first, then each size, options, and time against memory."""
    yield _ranked_table(planned, title)
    if len({one.gpus for one in planned.searches}) > 1:
        yield _sizes_table(planned)
    yield _flags_table(planned)
    yield _pareto_table(planned)


_DEGREES: Final = (
    ("TP", "tensor", "tensor"),
    ("CP", "context_parallel", "context"),
    ("PP", "pipeline", "pipeline"),
    ("VP", "interleave", "interleave"),
    ("DP", "data", "data"),
    ("EP", "expert", "expert"),
    ("ZeRO", "zero", "zero"),
)
"""Columns of degrees: heading, key, and the field of a plan. What is 1 in all rows is left out, but for TP, PP and DP."""


_SEQUENCE: Final = Column("SP", "sequence", drop=1, numeric=False)


def _ranked_table(planned: Planned, title: str) -> Table:
    shown = [one for one in _DEGREES if _is_shown(one, [best.layout for best in planned.best])]
    cut = any(best.layout.plan.tensor > 1 for best in planned.best)
    columns = [
        *(_where_columns(planned) if planned.several else ()),
        *(Column(heading, key, drop=1 if planned.several and heading == "DP" else 0) for heading, key, _ in shown),
        *([_SEQUENCE] if cut else []),
        Column("MB", "micro_batch"),
        Column("recompute", "recompute", drop=2, numeric=False),
        Column("step, s", "step_seconds"),
        Column("MFU", "mfu", drop=1),
        Column("memory", "per_device_bytes"),
        Column("fits", "verdict", numeric=False),
        Column("behind", "behind", drop=3),
        Column("most time in", "mostly", drop=4, numeric=False),
    ]
    rows = tuple(tuple(_row(planned, best, [field for _, _, field in shown], cut=cut)) for best in planned.best)
    return Table(title, tuple(columns), rows)


def _where_columns(planned: Planned) -> tuple[Column, ...]:
    """The chip, which a narrow terminal leaves out where all rows have the same, and how many."""
    one = len({search.hardware.name for search in planned.searches}) == 1
    return (Column("GPU", "gpu", drop=5 if one else 0, numeric=False), Column("GPUs", "gpus"))


def _is_shown(degree: tuple[str, str, str], layouts: list[Layout]) -> bool:
    heading, _, field = degree
    return heading in ("TP", "PP", "DP", "ZeRO") or any(getattr(layout.plan, field) != 1 for layout in layouts)


def _row(planned: Planned, best: Best, fields: list[str], *, cut: bool) -> Iterator[Cell]:
    layout, first = best.layout, planned.best[0]
    if planned.several:
        yield from (best.hardware.name, Figure(best.gpus, COUNT))
    yield from (Figure(getattr(layout.plan, field), COUNT) for field in fields)
    if cut:
        yield Label("yes" if layout.plan.sequence else "", layout.plan.sequence)
    yield Figure(layout.micro_batch, COUNT)
    yield layout.again.text
    yield Figure(best.seconds, SECONDS, planned.known)
    yield Figure(best.mfu(planned.subject.flops * planned.ask.batch), MFU, planned.known)
    yield Figure(best.total, BYTES, "convention")
    yield Label("yes" if best.verdict == "fits" else "may", best.verdict)
    yield "" if best is first else Figure(behind(planned, best), SHARE, planned.known)
    yield best.bound_by


def _sizes_table(planned: Planned) -> Table:
    """The best of each number of devices, and how far its throughput per device is below that of the fewest."""
    columns = (
        *_where_columns(planned),
        Column("layout", "layout", numeric=False, wraps=20),
        Column("step, s", "step_seconds"),
        Column("MFU", "mfu", drop=1),
        Column("efficiency", "scaling_efficiency"),
        Column("days", "days", drop=2),
        Column("USD", "usd", drop=3),
    )
    rows = tuple(tuple(_size_cells(planned, one, row)) for one, row in sizes_of(planned))
    return Table("by number of devices: throughput per device over that of the fewest", columns, rows, aside=True)


def _size_cells(planned: Planned, search: Sized, size: Size) -> Iterator[Cell]:
    yield from (search.hardware.name, Figure(search.gpus, COUNT))
    best = size.best
    if best is None or size.efficiency is None:
        yield from ("nothing fits", "", "", "", "", "")
        return
    days, known = days_of(planned, best), planned.known
    usd = None if best.usd is None or days is None else best.usd * days * DAY / best.seconds
    yield layout_text(best.layout)
    yield Figure(best.seconds, SECONDS, known)
    yield Figure(best.mfu(planned.subject.flops * planned.ask.batch), MFU, known)
    yield Figure(size.efficiency, MFU, known)
    yield "" if days is None else Figure(days, DAYS, known)
    yield "" if usd is None else Figure(usd, USD, "assumed")


def _flags_table(planned: Planned) -> Table:
    """The best layout of each framework, as its options."""
    columns = (
        Column("best layout of", "framework", numeric=False),
        Column("layout", "layout", numeric=False, wraps=40),
        Column("step, s", "step_seconds"),
        Column("flags", "flags", numeric=False, below=True),
    )
    rows = tuple(tuple(_framework_cells(planned, name, best)) for name, best in of_frameworks(planned).items())
    return Table("", columns, rows, aside=True)


def _framework_cells(planned: Planned, name: str, best: Best | None) -> Iterator[Cell]:
    yield FRAMEWORKS[name]
    if best is None:
        first = planned.best[0]
        yield from (f"none: no option for {search_of(planned, first).lacks(first.layout)[name]}", "", "")
        return
    yield "the first" if best == planned.best[0] else layout_text(best.layout)
    yield Figure(best.seconds, SECONDS, planned.known)
    yield flags_of_best(planned, best)[name] or ""


def _pareto_table(planned: Planned) -> Table:
    columns = (
        Column("layout", "layout", numeric=False, wraps=30),
        Column("step, s", "step_seconds"),
        Column("memory", "per_device_bytes"),
    )
    search = search_of(planned, planned.best[0])
    rows = tuple(
        (layout_text(layout), Figure(seconds, SECONDS, planned.known), Figure(size, BYTES, "convention"))
        for layout, seconds, size in pareto(search)
    )
    return Table("step time against memory: no other layout is faster in less", columns, rows, aside=True, detail=True)
