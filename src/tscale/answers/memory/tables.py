"""What the answers about memory share: a device's parts next to its memory, and how much more would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from tscale.answers.capacity import VERDICTS, Capacity, Verdict, usable_figure
from tscale.answers.explaining import share
from tscale.core.metric import Cell, Column, Data, Figure, Label, Missing, Table
from tscale.core.units import BYTES, COUNT, TOKENS, Unit
from tscale.core.view import Record, view


class Room(NamedTuple):
    """The largest batch at the context that is asked about, and the longest context at the batch; None without an end."""

    batch: int | None
    context: int | None

    def data(self) -> dict[str, Data]:
        """For JSON; what has no end is null."""
        batch, context = self
        return {
            "max_batch": None if batch is None else Figure(batch, COUNT),
            "max_context": None if context is None else Figure(context, TOKENS),
        }

    def table(self, of_batch: str, of_context: str, capacity: Capacity, one: OfOne) -> Table:
        """Both, under what they are called, at the limit up to which all fits for certain; `one`: asked where none does."""
        limit = "next to the largest reserve" if capacity.share is None else "in the share that may be used"
        rows = (
            (of_batch, _limit(self.batch, COUNT, "sequence", one.sequence)),
            (of_context, _limit(self.context, TOKENS, "token", one.token)),
        )
        return Table("", (Column(f"what fits {limit}", "limit", numeric=False), Column("", "value")), rows, aside=True)


class OfOne(NamedTuple):
    """The verdicts on a batch of one sequence, and on a context of one token."""

    sequence: Callable[[], Verdict]
    token: Callable[[], Verdict]


def _limit(value: int | None, unit: Unit, what: str, one: Callable[[], Verdict]) -> Cell:
    if value is None:
        return Missing("no limit: what it keeps does not grow", settled=True)
    if value:
        return Figure(value, unit)
    if one() == "may_fit":
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


class AtContext(NamedTuple):
    """What a device holds at a context, and whether that fits; `verdict` None without a device."""

    context: int
    total: Figure
    verdict: Verdict | None

    def data(self) -> Record:
        verdict = None if self.verdict is None else Label(VERDICTS[self.verdict], self.verdict)
        return {"context": Figure(self.context, TOKENS), "per_device_bytes": self.total, "verdict": verdict}


def contexts_up_to(longest: int) -> Iterator[int]:
    """4,096 and each double of it that is less than the longest context, and that."""
    context = _FIRST_CONTEXT
    while context < longest:
        yield context
        context *= 2
    yield longest


def contexts_table(contexts: tuple[AtContext, ...]) -> Table:
    """What a device holds by context, up to the longest that the model reads."""
    columns = (
        Column("at a context of", "context"),
        Column("a device holds", "per_device_bytes"),
        None if contexts[0].verdict is None else Column("", "verdict", numeric=False),
    )
    return view("", columns, (at.data() for at in contexts), aside=True)


class Growth(NamedTuple):
    """What a device holds, by context and part; what it may hold and the longest context with that, if it is known."""

    context: int
    rows: Mapping[int, Mapping[str, Figure]]
    usable: int | None
    longest: int | None


def growth(
    context: int, usable: int | None, longest: int | None, parts: Callable[[int], Mapping[str, Figure]]
) -> Growth:
    """The parts at contexts from the first token to well past what was asked for and what fits."""
    furthest = max(2 * context, (longest or 0) * 5 // 4)
    contexts = {context, *(max(furthest * place // _STEPS, 1) for place in range(_STEPS + 1))}
    return Growth(context, {one: parts(one) for one in sorted(contexts)}, usable, longest)


_STEPS: Final = 64
_FIRST_CONTEXT: Final = 4096
