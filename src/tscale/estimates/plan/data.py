"""The answer of `tscale plan --train` for programs."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.core.metric import Data, Figure, Label
from tscale.core.units import BYTES, DAYS, MFU, SECONDS, SHARE, TOKENS_PER_SECOND, USD
from tscale.core.view import Record, interval
from tscale.estimates.plan.inverse import most_tokens, total_tokens
from tscale.estimates.plan.planned import (
    Planned,
    Size,
    behind,
    days_of,
    flags_of_best,
    missing,
    of_frameworks,
    search_of,
    sizes_of,
)
from tscale.estimates.plan.search import Best, Sized, pareto, total_rejected
from tscale.estimates.plan.words import command_of, layout_data
from tscale.planning.layouts import Layout
from tscale.planning.search import TooLarge


def plan_data(planned: Planned) -> dict[str, Data]:
    """All of it: the best layouts with their predictions, the front of time and memory, sizes, and why others are not there."""
    ask, names = planned.ask, [hardware.name for _, hardware in planned.ask.chips]
    first = planned.best[0] if planned.best else None
    sizes = list(dict.fromkeys(one.gpus for one in planned.searches))
    nearest = (search_of(planned, first) if first else min(planned.searches, key=missing)).found.nearest
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
        "rows": [best_data(planned, best) for best in planned.best],
        "pareto": [] if first is None else [point_data(planned, *one) for one in pareto(search_of(planned, first))],
        "sizes": [size_data(planned, *one) for one in sizes_of(planned)] if len(sizes) > 1 else [],
        "nearest": None if nearest is None else _nearest_data(nearest),
        "frameworks": dict(frameworks_data(planned)),
        "tokens": _tokens_data(planned, first),
        "command": None if first is None else command_of(ask, first),
    }


def _tokens_data(planned: Planned, first: Best | None) -> Data:
    """The tokens of the run, or the most for the dollars."""
    if planned.ask.dollars is not None and first is not None:
        return int(most_tokens(first, planned.ask.dollars, planned.tokens))
    return total_tokens(planned.subject, planned.ask.tokens)


def best_data(planned: Planned, best: Best) -> dict[str, Data]:
    """One of the best: its layout, times, memory and dollars, and how it is launched."""
    known, flops = planned.known, planned.subject.flops * planned.ask.batch
    days = days_of(planned, best)
    return {
        "gpu": best.hardware.name,
        "gpus": best.gpus,
        **layout_data(best.layout),
        "step_seconds": interval(best.prediction.seconds, SECONDS, known),
        "step_seconds_at_least": Figure(best.bound, SECONDS, "bound"),
        "tokens_per_second_per_gpu": Figure(planned.tokens / best.seconds / best.gpus, TOKENS_PER_SECOND, known),
        "mfu": Figure(best.mfu(flops), MFU, known),
        "per_device_bytes": Figure(best.total, BYTES, "convention"),
        "least_total_bytes": Figure(best.least, BYTES, "convention"),
        "verdict": Label("yes" if best.verdict == "fits" else "may", best.verdict),
        "mostly": best.bound_by,
        "behind": Figure(behind(planned, best), SHARE, known),
        "days": None if days is None else Figure(days, DAYS, known),
        "usd_per_step": None if best.usd is None else Figure(best.usd, USD, "assumed"),
        "flags": dict(flags_of_best(planned, best)),
        "command": command_of(planned.ask, best),
    }


def frameworks_data(planned: Planned) -> Iterator[tuple[str, Record | None]]:
    """The best layout of each framework, with its options; null where it has options for none. Of no layout, nothing."""
    for name, best in of_frameworks(planned).items() if planned.best else ():
        yield name, None if best is None else {**best_data(planned, best), "flags": flags_of_best(planned, best)[name]}


def point_data(planned: Planned, layout: Layout, seconds: float, size: int) -> Record:
    """A layout than which none is faster in less memory."""
    return {
        **layout_data(layout),
        "step_seconds": Figure(seconds, SECONDS, planned.known),
        "per_device_bytes": Figure(size, BYTES, "convention"),
    }


def size_data(planned: Planned, search: Sized, size: Size) -> Record:
    """The best of a number of devices, where one fits."""
    found: dict[str, Data] = {"gpu": search.hardware.name, "gpus": search.gpus}
    if size.best is None:
        return {**found, "fits": False}
    assert size.efficiency is not None
    days = days_of(planned, size.best)
    return {
        **found,
        "fits": True,
        **layout_data(size.best.layout),
        "step_seconds": Figure(size.best.seconds, SECONDS, planned.known),
        "scaling_efficiency": Figure(size.efficiency, SHARE, planned.known),
        "days": None if days is None else Figure(days, DAYS, planned.known),
    }


def _nearest_data(nearest: TooLarge) -> Data:
    return {
        **layout_data(nearest.layout),
        "least_total_bytes": Figure(nearest.least, BYTES, "convention"),
        "usable_bytes": Figure(nearest.room, BYTES, "assumed"),
        "change": None if nearest.change is None else dict(layout_data(nearest.change[0])),
    }
