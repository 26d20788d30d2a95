"""What the answers about memory share: a device's parts next to its memory, and how much more would fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tscale.core.metric import Cell, Column, Figure, Missing, Table
from tscale.core.units import BYTES, COUNT, TOKENS, Unit
from tscale.core.view import Record, view
from tscale.estimates.capacity import Capacity, Verdict, usable_figure
from tscale.estimates.explaining import share
from tscale.estimates.memory.changes import Change
from tscale.estimates.memory.lines import HeldLine
from tscale.estimates.memory.room import AtContext, Room

Sizes = Callable[[], tuple[int, int]]
"""What a device holds, and what at the least, which is counted where it is asked."""


def _limit(value: int | None, unit: Unit, what: str, capacity: Capacity, one: Sizes) -> Cell:
    if value is None:
        return Missing("no limit: what it keeps does not grow", settled=True)
    if value:
        return Figure(value, unit)
    if capacity.verdict(*one()) == "may_fit":
        return Missing("none for certain; one may fit", settled=True)
    return Missing(f"none: not even one {what} fits", settled=True)


def parts_table(
    title: str,
    subject: str,
    parts: Mapping[str, Figure],
    total: Figure,
    capacity: Capacity | None,
    least: Figure | None = None,
) -> Table:
    """What a device holds, each part as a share of the memory that there is, or of the total where no device is given.

    `least`: the total at the least, where it is less.
    """
    whole = int(total.value) if capacity is None else capacity.device.device_bytes
    columns = (
        Column("a device holds" if capacity is None else "of a device's memory", "part", numeric=False),
        Column("bytes", "bytes"),
        Column("share", "share"),
        Column("", "bar", drop=1, numeric=False, bar=True),
    )

    def row(name: str, figure: Figure) -> tuple[Cell, ...]:
        part = share(int(figure.value), whole)
        return (name, figure, part, part)

    rows = [row(name, figure) for name, figure in parts.items()]
    rows.append(row("total", total))
    if least is not None:
        rows.append(row("total, at least", least))
    if capacity is not None:
        left = capacity.usable - int(total.value)
        if capacity.share is None:
            rows.append(row("reserve, at least", Figure(capacity.reserve.low, BYTES, "assumed")))
            rows.append(row("reserve, at most", Figure(capacity.reserve.high, BYTES, "assumed")))
        rows.append(row("usable", usable_figure(capacity)))
        open_ = capacity.verdict(int(total.value), None if least is None else int(least.value)) == "may_fit"
        missing = "missing, at most" if open_ else "missing"
        rows.append(row("free" if left >= 0 else missing, Figure(abs(left), BYTES, total.known)))
    return Table(title, columns, tuple(rows), subject=subject, totals=frozenset(range(len(parts), len(rows))))


def contexts_table(contexts: tuple[AtContext, ...]) -> Table:
    """What a device holds by context, up to the longest that the model reads."""
    columns = (
        Column("at a context of", "context"),
        Column("a device holds", "per_device_bytes"),
        None if contexts[0].verdict is None else Column("", "verdict", numeric=False),
    )
    return view("", columns, (at.data() for at in contexts), aside=True)


def room_table(room: Room, of_batch: str, of_context: str, capacity: Capacity, sequence: Sizes, token: Sizes) -> Table:
    """Both, under what they are called, at the limit up to which all fits for certain.

    `sequence`, `token`: of a batch of one sequence, and of a context of one token, asked where not even these do.
    """
    limit = "next to the largest reserve" if capacity.share is None else "in the share that may be used"
    rows = (
        (of_batch, _limit(room.batch, COUNT, "sequence", capacity, sequence)),
        (of_context, _limit(room.context, TOKENS, "token", capacity, token)),
    )
    return Table("", (Column(f"what fits {limit}", "limit", numeric=False), Column("", "value")), rows, aside=True)


def changes_table(changes: tuple[Change, ...], verdict: Verdict) -> Table:
    """The changes as people read them; `verdict`: on what was asked about, which may fit as it is."""
    fits = "one of these fits for certain" if verdict == "may_fit" else "one of these fits"
    columns = (
        Column(fits, "option", numeric=False),
        Column("a device holds", "per_device_bytes"),
        Column("what it costs", "costs", numeric=False),
    )
    return view("", columns, (change.data() for change in changes), aside=True)


def no_change_note(verdict: Verdict, *, pairs: bool = False) -> str:
    """That no change is known; `verdict`: on what was asked about; `pairs`: two together were tried too."""
    certain = " for certain" if verdict == "may_fit" else ""
    return f"No single change that is known here{', nor two together,' * pairs} makes it fit{certain}."


def lines_table(lines: list[HeldLine], *, cut: bool) -> Table:
    """The lines as people read them; `cut`: whether several devices share the model."""
    columns = (
        Column("line by line", "name", numeric=False),
        Column("kept in", "format", numeric=False),
        Column("on a device", "division", numeric=False) if cut else None,
        Column("bytes", "bytes"),
    )
    return view("", columns, lines_data(lines), aside=True, detail=True)


def lines_data(lines: list[HeldLine]) -> list[Record]:
    """The lines for JSON."""
    return [
        {
            "name": line.name,
            "format": line.format or None,
            "division": line.division or None,
            "bytes": Figure(line.size, BYTES),
        }
        for line in lines
    ]
