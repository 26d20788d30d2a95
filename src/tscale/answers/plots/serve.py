"""The picture of `tscale serve`: tokens/s by batch size, and the ridge from which computing bounds them."""

from __future__ import annotations

from itertools import count, takewhile
from typing import Final

from tscale.catalogue.hardware import Hardware
from tscale.core.metric import Figure
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import TOKENS_PER_SECOND, Unit
from tscale.estimates.serve.sweep import Sweep, throughputs
from tscale.estimates.serve.times import MOST_BATCH, Ask
from tscale.models.spec import ModelSpec

_SEQUENCES: Final = Unit("sequences", "", "full")
_STEPS: Final = 3  # points for each doubling of the batch
_LEAST: Final = 64
_PAST: Final = 4  # times the ridge, the memory and what was asked for
_NO_RIDGE: Final = " No ridge: to read the cache of one more sequence takes longer than to compute its token."


def _batches(known: Sweep, ask: Ask, last: int) -> list[int]:
    """The batches that are tried: powers of two in steps, what is asked, and where computing takes over."""
    steps = takewhile(lambda batch: batch <= last, (2 ** (place / _STEPS) for place in count()))
    return sorted({ask.batch, *map(round, steps), *([known.turning] if known.turning else [])})


def serve_plot(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Plot:
    """Tokens a second of all users by batch, with what computing alone and memory alone would allow; their crossing."""
    known = throughputs(spec, hardware, ask, [])
    last = min(max(_PAST * max(known.turning or 1, ask.batch, min(known.most, 10 * _LEAST)), _LEAST), MOST_BATCH)
    sweep = throughputs(spec, hardware, ask, _batches(known, ask, last))
    asked = next(row for row in sweep.rows if row.batch == ask.batch)
    lines = [Series("tokens/s", tuple(Point(row.batch, row.tokens_per_second) for row in sweep.rows))]
    computing = [Point(row.batch, row.by_compute) for row in sweep.rows if row.by_compute is not None]
    reading = [Point(row.batch, row.by_memory) for row in sweep.rows if row.by_memory is not None]
    if computing:
        lines.append(Series("computing alone", tuple(computing)))
        lines.append(Series("memory alone", tuple(reading)))
    here = Point(ask.batch, asked.tokens_per_second, Figure(asked.tokens_per_second, TOKENS_PER_SECOND))
    rules = [] if sweep.turning is None else [Rule("x", sweep.turning, f"ridge at {sweep.turning:,}")]
    if 1 <= sweep.most < last:
        rules.append(Rule("x", sweep.most, f"memory is full at {sweep.most:,}"))
    without = "" if sweep.turning else _NO_RIDGE
    many = f"{ask.gpus} × " if ask.gpus > 1 else ""
    return Plot(
        f"{spec.label} on {many}{hardware.label}: throughput by batch size",
        Axis("batch size", _SEQUENCES),
        Axis("throughput", TOKENS_PER_SECOND),
        (*lines, Series("as asked", (here,), "points")),
        tuple(rules),
        notes=(
            f"Decoding {ask.output:,} tokens after {ask.context:,}, best case, all users; part after part, each the longer of the two."
            f"{without}",
        ),
    )
