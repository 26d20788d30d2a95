"""Where the time of a pass goes, for `tscale serve`: by part, by what bounds it, and how each line was made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tscale.core.adding import in_order
from tscale.core.costs.roofline import SOURCE, TIME_SOURCE, Pass, Work, distinct_experts, top_k
from tscale.core.ledger import Entry, Matmul
from tscale.core.metric import Data, Figure, Known, Step
from tscale.core.tracing import TracedInt
from tscale.core.units import BYTES, COUNT, FLOPS, SECONDS
from tscale.estimates.explaining import steps_of
from tscale.estimates.serve.times import Served
from tscale.models.naming import traced

Cause = Literal["weights", "cache", "compute", "communication"]
"""What a line waits for: its weights or its cache from memory, its products, or the other devices."""


def speed_known(one: Served) -> Known:
    """How times and speeds are known: as bounds, or at an efficiency or with guesses that are assumed."""
    return "bound" if one.ask.efficiency == 1 and one.ask.draft is None else "assumed"


def cause(one: Served, line: Work) -> Cause:
    """What a line waits for the longest."""
    if line.sent:
        return "communication"
    moving = (line.weights + line.cache) / one.device.memory_bytes_per_second
    if line.flops / line.peak > moving:
        return "compute"
    return "cache" if line.cache > line.weights else "weights"


def causes(one: Served, lines: list[Work]) -> dict[Cause, float]:
    """What share of a pass waits for each of them."""
    spent: dict[Cause, float] = {"weights": 0.0, "cache": 0.0, "compute": 0.0, "communication": 0.0}
    for line in lines:
        spent[cause(one, line)] += one.seconds(line)
    total = in_order(spent.values())
    return {key: seconds / total for key, seconds in spent.items()}


def bound(one: Served, lines: list[Work]) -> str:
    """What most of the time goes to: memory, compute or communication."""
    spent = causes(one, lines)
    kinds = {
        "memory": spent["weights"] + spent["cache"],
        "compute": spent["compute"],
        "communication": spent["communication"],
    }
    return max(kinds, key=lambda kind: kinds[kind])


def lines_data(one: Served, lines: list[Work]) -> Data:
    """Each line of a pass, for programs."""
    return [
        {
            "name": line.name,
            "part": line.group,
            "flops": Figure(line.flops, FLOPS),
            "weight_bytes": Figure(round(line.weights), BYTES),
            "cache_bytes": Figure(line.cache, BYTES),
            "sent_bytes": Figure(line.sent, BYTES),
            "seconds": Figure(one.seconds(line), SECONDS, speed_known(one), TIME_SOURCE),
            "bound": cause(one, line),
        }
        for line in lines
    ]


def steps_of_passes(one: Served) -> Iterator[Step]:
    """How FLOPs, bytes and time of each line were made, in both phases."""
    ask, made = one.ask, one.of(traced(one.spec))
    batch = TracedInt(ask.batch, label="batch")
    source = TracedInt(made.source, label="source") if made.source else 0
    images = TracedInt(made.images, label="image_positions") if made.images else 0
    prompt = one.prompt._replace(batch=batch, source=source, images=images)
    if not made.source:
        prompt = prompt._replace(new=TracedInt(prompt.new, label="prompt"))
    step = Pass(batch, 1, TracedInt(one.middle, label="cached"), 1, decoding=True, source=source, images=images)
    for title, run in (("prefill", prompt), ("decoding", step)):
        subject = f"{one.spec.name}, {title}"
        lines = made.works(run)
        figures: list[tuple[str, Figure]] = []
        for line in lines:
            read = line.weights + line.cache + line.sent
            figures.append((f"{line.name}, FLOPs", Figure(line.flops, FLOPS, source=SOURCE)))
            if isinstance(read, int):
                figures.append((f"{line.name}, bytes", Figure(read, BYTES, source=SOURCE)))
        yield from steps_of(figures, subject)
        yield from _experts_step(one.setup.whole.entries, int(run.tokens), subject)
        yield from (
            _time_step(one, line, subject) for line in lines if line.flops or line.weights or line.cache or line.sent
        )


def routed(entries: tuple[Entry, ...]) -> Matmul | None:
    """A matrix of routed experts, where a model has any."""
    return next((entry for entry in entries if isinstance(entry, Matmul) and entry.experts > 1), None)


def _experts_step(entries: tuple[Entry, ...], tokens: int, subject: str) -> Iterator[Step]:
    """How many experts are read in a layer; it is no whole number, so that nothing remembers it."""
    entry = routed(entries)
    if entry is not None:
        e, k = int(entry.experts), int(top_k(entry))
        met = Figure(distinct_experts(e, k, tokens), COUNT)
        names = "experts·(1 - (1 - top_k/experts)^tokens)"
        yield Step("experts that are read in a layer", names, f"{e}·(1 - (1 - {k}/{e})^{tokens})", met, subject)


def _time_step(one: Served, line: Work, subject: str) -> Step:
    """The longer of computing and traffic, or of a line that does one of them alone, that."""
    read, memory = round(line.weights + line.cache), one.device.memory_bytes_per_second
    names, numbers = "bytes/bandwidth", f"{read}/{memory}"
    if line.sent:
        names, numbers = line.least.derivation
    elif line.flops and read:
        names, numbers = f"max(FLOPs/peak, {names})", f"max({int(line.flops)}/{line.peak}, {numbers})"
    elif line.flops:
        names, numbers = "FLOPs/peak", f"{int(line.flops)}/{line.peak}"
    if one.ask.efficiency != 1:
        names, numbers = f"{names}/efficiency", f"{numbers}/{float(one.ask.efficiency):g}"
    return Step(
        f"{line.name}, time", names, numbers, Figure(one.seconds(line), SECONDS, speed_known(one), TIME_SOURCE), subject
    )
