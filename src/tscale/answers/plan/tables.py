"""The tables of `tscale plan --train`: the best layouts, the best of each size, options of frameworks, time against memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.core.metric import Column, Figure, Table
from tscale.core.units import MFU, USD
from tscale.core.view import Record, view
from tscale.estimates.plan.data import best_data, frameworks_data, point_data, size_data
from tscale.estimates.plan.planned import DAY, FRAMEWORKS, Planned, Size, days_of, of_frameworks, search_of, sizes_of
from tscale.estimates.plan.search import Best, Sized, pareto
from tscale.estimates.plan.words import layout_text, layout_words


def plan_tables(planned: Planned, title: str) -> Iterator[Table]:
    """The best layouts first, then each size, options, and time against memory."""
    yield _ranked_table(planned, title)
    if len({one.gpus for one in planned.searches}) > 1:
        yield _sizes_table(planned)
    if planned.subject.adapters is None:
        yield _flags_table(planned)
    yield _pareto_table(planned)


_DEGREES: Final = (
    ("TP", "tensor"),
    ("CP", "context_parallel"),
    ("PP", "pipeline"),
    ("VP", "interleave"),
    ("DP", "data"),
    ("EP", "expert"),
    ("ZeRO", "zero"),
)
"""Columns of degrees: heading and key. What is 1 in all rows is left out, but for those of `_ALWAYS`."""
_ALWAYS: Final = ("TP", "PP", "DP", "ZeRO")
_SEQUENCE: Final = Column("SP", "sequence", numeric=False)
_IN_COLUMNS: Final = frozenset(("context", "micro_batch", "recompute", *(key for _, key in _DEGREES)))


def _ranked_table(planned: Planned, title: str) -> Table:
    first, *others = (best_data(planned, best) for best in planned.best)
    apart = _apart(planned)
    rows = [{**row, "apart": words} for row, words in zip([{**first, "behind": None}, *others], apart, strict=True)]
    shown = [(name, key) for name, key in _DEGREES if name in _ALWAYS or any(row[key] != 1 for row in rows)]
    cut = any(best.layout.plan.tensor > 1 for best in planned.best)
    columns = [
        *(_where_columns(planned) if planned.several else ()),
        *(Column(name, key, drop=1 if planned.several and name == "DP" else 0) for name, key in shown),
        *([_SEQUENCE] if cut else []),
        Column("MB", "micro_batch"),
        Column("recompute", "recompute", numeric=False),
        Column("step, s", "step_seconds"),
        Column("MFU", "mfu", drop=2),
        Column("memory", "per_device_bytes", drop=1),
        Column("fits", "verdict", numeric=False),
        *([Column("also", "apart", numeric=False, below=True)] if any(apart) else []),
        Column("behind", "behind", drop=3),
        Column("most time in", "mostly", drop=4, numeric=False),
    ]
    return view(title, columns, rows)


def _apart(planned: Planned) -> list[str]:
    """What tells layouts apart and has no column of its own, such as stages of several sizes."""
    words = [[text for key, text in layout_words(best.layout) if key not in _IN_COLUMNS] for best in planned.best]
    shared = set(words[0]).intersection(*words)
    return [", ".join(text for text in own if text not in shared) for own in words]


def _where_columns(planned: Planned) -> tuple[Column, ...]:
    """The chip, which a narrow terminal leaves out where all rows have the same, and how many."""
    one = len({search.hardware.name for search in planned.searches}) == 1
    return (Column("GPU", "gpu", drop=5 if one else 0, numeric=False), Column("GPUs", "gpus"))


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
    rows = (_size_row(planned, *one) for one in sizes_of(planned))
    return view("by number of devices: throughput per device over that of the fewest", columns, rows, aside=True)


def _size_row(planned: Planned, search: Sized, size: Size) -> Record:
    record, best = size_data(planned, search, size), size.best
    if best is None or size.efficiency is None:
        return {**record, "layout": "nothing fits"}
    days, known = days_of(planned, best), planned.known
    usd = None if best.usd is None or days is None else best.usd * days * DAY / best.seconds
    return {
        **record,
        "layout": layout_text(best.layout),
        "mfu": Figure(best.mfu(planned.subject.flops * planned.ask.batch), MFU, known),
        "scaling_efficiency": Figure(size.efficiency, MFU, known),
        "usd": None if usd is None else Figure(usd, USD, "assumed"),
    }


def _flags_table(planned: Planned) -> Table:
    """The best layout of each framework, as its options."""
    columns = (
        Column("best layout of", "framework", numeric=False),
        Column("layout", "layout", numeric=False, wraps=40),
        Column("step, s", "step_seconds"),
        Column("flags", "flags", numeric=False, below=True),
    )
    best = of_frameworks(planned)
    rows = (
        {**(record or {}), "framework": FRAMEWORKS[name], "layout": _layout_for(planned, name, best[name])}
        for name, record in frameworks_data(planned)
    )
    return view("", columns, rows, aside=True)


def _layout_for(planned: Planned, framework: str, best: Best | None) -> str:
    first = planned.best[0]
    if best is None:
        return f"none: no option for {search_of(planned, first).lacks(first.layout)[framework]}"
    return "the first" if best == first else layout_text(best.layout)


def _pareto_table(planned: Planned) -> Table:
    columns = (
        Column("layout", "layout", numeric=False, wraps=30),
        Column("step, s", "step_seconds"),
        Column("memory", "per_device_bytes"),
    )
    points = pareto(search_of(planned, planned.best[0]))
    rows = ({**point_data(planned, *point), "layout": layout_text(point[0])} for point in points)
    return view("step time against memory: no other layout is faster in less", columns, rows, aside=True, detail=True)
