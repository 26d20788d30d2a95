"""`tscale plan --train`: the best layout of a training step, what comes next, and why others are not among them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from time import perf_counter
from typing import Final, NamedTuple

from tscale.answers.explaining import notes_of
from tscale.answers.plan_inverse import fewest, most_tokens, total_tokens
from tscale.answers.plan_search import (
    MOST_SEARCHES,
    Ask,
    Best,
    Sized,
    Subject,
    pareto,
    ranked,
    subject_of,
    total_rejected,
)
from tscale.answers.plan_words import command_of, layout_data, layout_text
from tscale.answers.rent import rent_of
from tscale.core.metric import Cell, Column, Data, Detail, Figure, Known, Report, Table, weakest
from tscale.core.number_text import duration, number_text
from tscale.core.units import BYTES, COUNT, DAYS, MFU, SECONDS, SHARE, TOKENS_PER_SECOND, USD
from tscale.errors import RequestError
from tscale.models.spec import ModelSpec
from tscale.planning.layouts import Layout
from tscale.planning.legal import REASONS

_DAY: Final = 86_400
_SHORT: Final = {
    "devices": "degrees that do not make up the devices",
    "schedule": "degrees and schedules that contradict one another",
    "divisibility": "heads, matrices or experts that do not divide",
    "layers": "fewer layers than pieces",
    "sharding": "no copies to shard over",
    "batch": "a batch that does not divide",
    "precision": "no peak in the format",
    "memory": "too little memory",
}
assert _SHORT.keys() >= REASONS.keys()


class Planned(NamedTuple):
    """Searches and the best of them; `seconds`: that they took."""

    subject: Subject
    ask: Ask
    searches: tuple[Sized, ...]
    best: tuple[Best, ...]
    seconds: float

    @property
    def known(self) -> Known:
        """How predictions are known."""
        return weakest("predicted", self.subject.context.known)

    @property
    def evaluated(self) -> int:
        """Layouts that were tried."""
        return sum(one.found.evaluated for one in self.searches)

    @property
    def several(self) -> bool:
        """Whether kinds of device, or numbers of them, differ."""
        return len(self.searches) > 1

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.ask.batch * self.subject.run.tokens


def plan_train_report(spec: ModelSpec, ask: Ask) -> Report:
    """The best layouts, why others are not among them, and what reproduces the first. Exit code 3 where none fits."""
    start = perf_counter()
    planned = _planned(subject_of(spec, ask.context), ask)
    planned = planned._replace(seconds=perf_counter() - start)
    if not planned.best:
        return _nothing(planned)
    title = _headline(planned)
    notes = notes_of(spec, planned.subject.context.note, *_notes(planned))
    return Report(title, tuple(_tables(planned, title)), _data(planned), notes, lead=tuple(_lead(planned)))


def _planned(subject: Subject, ask: Ask) -> Planned:
    """Raises `RequestError` for too many searches, and dollars that nobody asks."""
    if len(ask.chips) * len(ask.sizes) > MOST_SEARCHES:
        raise RequestError(
            f"{len(ask.chips)} kinds of hardware by {len(ask.sizes)} numbers of devices are "
            f"{len(ask.chips) * len(ask.sizes)} searches: at most {MOST_SEARCHES}"
        )
    rents = {name: rent_of(hardware, ask.price) for name, hardware in ask.chips}
    for (name, hardware), rent in zip(ask.chips, rents.values(), strict=True):
        if rent is None and (ask.rank == "dollars" or ask.dollars is not None):
            raise RequestError(f"no price of {hardware.label} is known: --price USD gives that of a GPU-hour ({name})")
    if ask.days is not None:
        searches = fewest(subject, ask, rents)
    else:
        searches = [Sized(subject, ask, chip, gpus, rents[chip[0]]) for chip in ask.chips for gpus in ask.sizes]
    best = ranked([one for search in searches for one in search.best(ask.top)], ask.rank)
    return Planned(subject, ask, tuple(searches), tuple(best[: ask.top]), 0.0)


def _headline(planned: Planned) -> str:
    first, label = planned.best[0], planned.subject.spec.label
    how = {"time": "fastest", "dollars": "cheapest", "throughput": "most efficient"}[planned.ask.rank]
    where = f"{first.gpus:,} × {first.hardware.label}"
    step = f"{_seconds(first.seconds)} a step, MFU {first.mfu(planned.subject.flops * planned.ask.batch):.0%}"
    may = "" if first.verdict == "fits" else " (may fit)"
    if planned.ask.days is not None:
        days = _days(planned, first)
        assert days is not None
        return f"{where} are the fewest that train {label} in {duration(planned.ask.days * _DAY)}: {layout_text(first.layout)}{may}, {step}, {days:.3g} days"
    if planned.ask.dollars is not None:
        tokens = most_tokens(first, planned.ask.dollars, planned.tokens)
        return f"${number_text(planned.ask.dollars, 'estimate')} train {label} on {number_text(tokens, 'short')} tokens, on {where}: {layout_text(first.layout)}{may}, {step}"
    return f"The {how} layout of {label} on {where}: {layout_text(first.layout)}{may}, {step}"


def _seconds(seconds: float) -> str:
    return duration(Fraction(seconds))


def _days(planned: Planned, one: Best) -> float | None:
    """Days of the whole run; None where its tokens are not known."""
    tokens = total_tokens(planned.subject.spec, planned.ask.tokens)
    return None if tokens is None else tokens / planned.tokens * one.seconds / _DAY


# ---------------------------------------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------------------------------------


def _tables(planned: Planned, title: str) -> Iterator[Table]:
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


def _ranked_table(planned: Planned, title: str) -> Table:
    shown = [one for one in _DEGREES if _is_shown(one, [best.layout for best in planned.best])]
    columns = [
        *(_where_columns() if planned.several else ()),
        *(Column(heading, key) for heading, key, _ in shown),
        Column("MB", "micro_batch"),
        Column("recompute", "recompute", drop=3, numeric=False),
        Column("step, s", "step_seconds"),
        Column("MFU", "mfu"),
        Column("memory", "per_device_bytes"),
        Column("behind", "behind", drop=2),
        Column("most of it", "mostly", drop=4, numeric=False),
    ]
    rows = tuple(tuple(_row(planned, best, [field for _, _, field in shown])) for best in planned.best)
    return Table(title, tuple(columns), rows)


def _where_columns() -> tuple[Column, ...]:
    return (Column("GPU", "gpu", numeric=False), Column("GPUs", "gpus"))


def _is_shown(degree: tuple[str, str, str], layouts: list[Layout]) -> bool:
    heading, _, field = degree
    return heading in ("TP", "PP", "DP", "ZeRO") or any(getattr(layout.plan, field) != 1 for layout in layouts)


def _row(planned: Planned, best: Best, fields: list[str]) -> Iterator[Cell]:
    layout, first = best.layout, planned.best[0]
    if planned.several:
        yield from (best.hardware.name, Figure(best.gpus, COUNT))
    yield from (Figure(getattr(layout.plan, field), COUNT) for field in fields)
    yield Figure(layout.micro_batch, COUNT)
    yield layout.recompute
    yield Figure(best.seconds, SECONDS, planned.known)
    yield Figure(best.mfu(planned.subject.flops * planned.ask.batch), MFU, planned.known)
    yield Figure(best.total, BYTES, "convention", note="" if best.verdict == "fits" else "may fit")
    yield "" if best is first else Figure(_behind(planned, best), SHARE, planned.known)
    yield best.bound_by


def _behind(planned: Planned, best: Best) -> float:
    """By how much a layout is behind the first, in what they are ranked by."""
    first = planned.best[0]
    if planned.ask.rank == "dollars" and first.usd and best.usd:
        return best.usd / first.usd - 1
    if planned.ask.rank == "throughput":
        return best.gpus * best.seconds / (first.gpus * first.seconds) - 1
    return best.seconds / first.seconds - 1


def _sizes_table(planned: Planned) -> Table:
    """The best of each number of devices, and how far its throughput per device is below that of the fewest."""
    columns = (
        *_where_columns(),
        Column("layout", "layout", numeric=False, wraps=20),
        Column("step, s", "step_seconds"),
        Column("MFU", "mfu", drop=1),
        Column("efficiency", "scaling_efficiency"),
        Column("days", "days", drop=2),
        Column("USD", "usd", drop=3),
    )
    rows = tuple(tuple(_size_cells(planned, one, row)) for one, row in _sizes(planned))
    return Table("by number of devices: throughput per device over that of the fewest", columns, rows, aside=True)


class _Size(NamedTuple):
    """The best of a number of devices; None where nothing fits."""

    best: Best | None
    efficiency: float | None


def _sizes(planned: Planned) -> list[tuple[Sized, _Size]]:
    found: list[tuple[Sized, _Size]] = []
    fewest_of: dict[str, float] = {}
    for search in planned.searches:
        best = next(iter(search.best(1)), None)
        efficiency = None
        if best is not None:
            device_seconds = best.gpus * best.seconds
            efficiency = fewest_of.setdefault(search.chip, device_seconds) / device_seconds
        found.append((search, _Size(best, efficiency)))
    return found


def _size_cells(planned: Planned, search: Sized, size: _Size) -> Iterator[Cell]:
    yield from (search.hardware.name, Figure(search.gpus, COUNT))
    best = size.best
    if best is None or size.efficiency is None:
        yield from ("nothing fits", "", "", "", "", "")
        return
    days, known = _days(planned, best), planned.known
    usd = None if best.usd is None or days is None else best.usd * days * _DAY / best.seconds
    yield layout_text(best.layout)
    yield Figure(best.seconds, SECONDS, known)
    yield Figure(best.mfu(planned.subject.flops * planned.ask.batch), MFU, known)
    yield Figure(size.efficiency, MFU, known)
    yield "" if days is None else Figure(days, DAYS, known)
    yield "" if usd is None else Figure(usd, USD, "assumed")


def _flags_table(planned: Planned) -> Table:
    names = {"megatron_lm": "Megatron-LM", "torchtitan": "torchtitan", "nemo": "NeMo"}
    flags = _flags(planned, planned.best[0])
    columns = (
        Column("options of the first", "framework", numeric=False),
        Column("", "flags", numeric=False, below=True),
    )
    rows = tuple((names[name], line or "has no options for it") for name, line in flags.items())
    return Table("", columns, rows, aside=True)


def _flags(planned: Planned, best: Best) -> dict[str, str | None]:
    return _search_of(planned, best).flags(best.layout)


def _search_of(planned: Planned, best: Best) -> Sized:
    return next(one for one in planned.searches if (one.chip, one.gpus) == (best.chip, best.gpus))


def _pareto_table(planned: Planned) -> Table:
    columns = (
        Column("layout", "layout", numeric=False, wraps=30),
        Column("step, s", "step_seconds"),
        Column("memory", "per_device_bytes"),
    )
    search = _search_of(planned, planned.best[0])
    rows = tuple(
        (layout_text(layout), Figure(seconds, SECONDS, planned.known), Figure(size, BYTES, "convention"))
        for layout, seconds, size in pareto(search)
    )
    return Table("step time against memory: no other layout is faster in less", columns, rows, aside=True, detail=True)


# ---------------------------------------------------------------------------------------------------------------------
# Words
# ---------------------------------------------------------------------------------------------------------------------


def _lead(planned: Planned) -> Iterator[str]:
    """Why not others, the command of the first, and what is assumed."""
    yield _why_not(planned)
    first = planned.best[0]
    low, middle, high = first.prediction.seconds
    yield f"`{command_of(planned.ask, first)}` has the first in full: {middle:.3g} s ({low:.3g} to {high:.3g}, an 80% interval)."
    if (
        first.rent is not None
        and (planned.ask.rank == "dollars" or planned.ask.dollars is not None)
        and first.rent.said()
    ):
        yield first.rent.said()


def _why_not(planned: Planned) -> str:
    fitting = sum(one.found.size for one in planned.searches)
    rejected = sorted(total_rejected(list(planned.searches)).items(), key=lambda item: -item[1])
    why = "; ".join(f"{count:,} for {_SHORT[reason]}" for reason, count in rejected)
    out = f"; rejected: {why}" if why else ""
    return f"{planned.evaluated:,} layouts tried, {fitting:,} fit or may fit{out}."


def _notes(planned: Planned) -> Iterator[str]:
    if any(best.verdict == "may_fit" for best in planned.best):
        yield "Layouts that may fit are ranked too: what software and the allocator take decides (`tscale memory --train`)."
    yield from _nearest(planned)
    for why in dict.fromkeys(name for best in planned.best for name in best.prediction.choice.outside):
        yield f"The calibration does not cover {why}: intervals are wider."
    if any(best.layout.plan.context > 1 for best in planned.best):
        yield "What context parallelism sends (keys and values) is not in the predictions, so that such layouts look too fast."
    yield Detail(
        "Each layout is predicted and weighed as `tscale train` and `tscale memory --train` do, by the same formulas. Axes that are "
        "not given vary by default: degrees, pieces, micro-batch, ZeRO and recomputation; context parallelism past 16k tokens. "
        "Precision, optimizer, loss, offload, shards and expert tensor parallelism vary where they are listed."
    )
    yield Detail(f"The search took {planned.seconds:.2g} s.")


def _nearest(planned: Planned) -> Iterator[str]:
    """The layout that does not fit by the least, and one change that makes it fit."""
    nearest = _search_of(planned, planned.best[0]).found.nearest
    if nearest is None:
        return
    needs = f"{nearest.least / 1e9:.3g} GB of the {nearest.room / 1e9:.3g} there are"
    change = "" if nearest.change is None else f"; with {_difference(nearest.layout, nearest.change[0])} it fits"
    yield f"Nearest to fit: {layout_text(nearest.layout)} needs {needs}{change}."


def _difference(one: Layout, other: Layout) -> str:
    """What another layout has in the place of one's."""
    before, after = (layout_data(layout) for layout in (one, other))
    words = (f"{key} {value}" for key, value in after.items() if value != before[key] and key != "data")
    return ", ".join(words).replace("_", " ")


def _nothing(planned: Planned) -> Report:
    """The answer where no layout fits: what comes nearest."""
    search = min(planned.searches, key=_missing)
    nearest, spec = search.found.nearest, planned.subject.spec
    where = f"{search.gpus:,} × {search.hardware.label}"
    title = f"No layout of {spec.label} on {where} can be: none of {planned.evaluated:,} tried"
    lead = [_why_not(planned)]
    if nearest is not None:
        lead.append(
            f"The nearest, {layout_text(nearest.layout)}, needs {nearest.least / 1e9:.3g} GB at the least, and a device has "
            f"{nearest.room / 1e9:.3g} GB for it: more devices, --offload states, --optimizer adam-8bit or --recompute full may do."
        )
    return Report(
        title, (), _data(planned), notes_of(spec, planned.subject.context.note), exit_code=3, lead=tuple(lead)
    )


def _missing(search: Sized) -> float:
    nearest = search.found.nearest
    return float("inf") if nearest is None else nearest.least - nearest.room


# ---------------------------------------------------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------------------------------------------------


def _data(planned: Planned) -> dict[str, Data]:
    ask, names = planned.ask, [hardware.name for _, hardware in planned.ask.chips]
    first = planned.best[0] if planned.best else None
    sizes = list(dict.fromkeys(one.gpus for one in planned.searches))
    nearest = (_search_of(planned, first) if first else min(planned.searches, key=_missing)).found.nearest
    return {
        "model": planned.subject.spec.name,
        "gpu": first.hardware.name if first else names[0],
        "gpus": first.gpus if first else sizes[-1],
        "searched": {"gpu": names, "gpus": sizes},
        "batch": ask.batch,
        "context": planned.subject.context,
        "rank": ask.rank,
        "evaluated": planned.evaluated,
        "fitting": sum(one.found.size for one in planned.searches),
        "search_seconds": Figure(planned.seconds, SECONDS, "measured"),
        "rejected": dict(total_rejected(list(planned.searches))),
        "rows": [_best_data(planned, best) for best in planned.best],
        "pareto": [] if first is None else [_point(planned, *one) for one in pareto(_search_of(planned, first))],
        "sizes": [_size_data(planned, *one) for one in _sizes(planned)] if len(sizes) > 1 else [],
        "nearest": None
        if nearest is None
        else {
            **layout_data(nearest.layout),
            "least_total_bytes": Figure(nearest.least, BYTES, "convention"),
            "usable_bytes": Figure(nearest.room, BYTES, "assumed"),
            "change": None if nearest.change is None else dict(layout_data(nearest.change[0])),
        },
        "tokens": _tokens_data(planned, first),
        "command": None if first is None else command_of(ask, first),
    }


def _tokens_data(planned: Planned, first: Best | None) -> Data:
    """The tokens of the run, or the most for the dollars."""
    if planned.ask.dollars is not None and first is not None:
        return int(most_tokens(first, planned.ask.dollars, planned.tokens))
    return total_tokens(planned.subject.spec, planned.ask.tokens)


def _best_data(planned: Planned, best: Best) -> Data:
    known, flops = planned.known, planned.subject.flops * planned.ask.batch
    days = _days(planned, best)
    return {
        "gpu": best.hardware.name,
        "gpus": best.gpus,
        **layout_data(best.layout),
        "step_seconds": {
            name: Figure(value, SECONDS, known) for name, value in best.prediction.seconds._asdict().items()
        },
        "step_seconds_at_least": Figure(best.bound, SECONDS, "bound"),
        "tokens_per_second_per_gpu": Figure(planned.tokens / best.seconds / best.gpus, TOKENS_PER_SECOND, known),
        "mfu": Figure(best.mfu(flops), MFU, known),
        "per_device_bytes": Figure(best.total, BYTES, "convention"),
        "least_total_bytes": Figure(best.least, BYTES, "convention"),
        "verdict": best.verdict,
        "mostly": best.bound_by,
        "behind": Figure(_behind(planned, best), SHARE, known),
        "days": None if days is None else Figure(days, DAYS, known),
        "usd_per_step": None if best.usd is None else Figure(best.usd, USD, "assumed"),
        "flags": dict(_flags(planned, best)),
        "command": command_of(planned.ask, best),
    }


def _point(planned: Planned, layout: Layout, seconds: float, size: int) -> Data:
    return {
        **layout_data(layout),
        "step_seconds": Figure(seconds, SECONDS, planned.known),
        "per_device_bytes": Figure(size, BYTES, "convention"),
    }


def _size_data(planned: Planned, search: Sized, size: _Size) -> Data:
    found: dict[str, Data] = {"gpu": search.hardware.name, "gpus": search.gpus}
    if size.best is None or size.efficiency is None:
        return {**found, "fits": False}
    days = _days(planned, size.best)
    return {
        **found,
        "fits": True,
        **layout_data(size.best.layout),
        "step_seconds": Figure(size.best.seconds, SECONDS, planned.known),
        "scaling_efficiency": Figure(size.efficiency, SHARE, planned.known),
        "days": None if days is None else Figure(days, DAYS, planned.known),
    }
