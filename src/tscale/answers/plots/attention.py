"""The picture of `tscale attention`: what a token costs as context grows, and where its scores overtake the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.core.costs.forward import forward_flops
from tscale.core.costs.layer_types import layer_types
from tscale.core.ledger import Matmul
from tscale.core.metric import Figure
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.tracing import ceil_div
from tscale.core.units import FLOPS_PER_TOKEN, OPERATIONS, TOKENS
from tscale.estimates.attention import Ask, crossovers, default_contexts, score_total
from tscale.estimates.explaining import TracedModel, counted
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec

_STEPS: Final = 4  # points for each doubling of the context
_FURTHER: Final = 16  # times the greatest context asked for: so far off a crossing is still drawn


def attention_plot(spec: ModelSpec, ask: Ask) -> Plot:
    """FLOPs a token of the scores, of the feed-forward and of all but the scores, by context; where they cross."""
    model = TracedModel(spec, lower(spec))  # plain numbers: a picture explains nothing
    asked = sorted(set(ask.contexts)) or default_contexts(spec)
    crossed = _crossed(spec, ask, _FURTHER * asked[-1])
    grid = list(_grid(asked, [*asked, *crossed]))
    lines = [_line(name, model, ask, grid) for name in _PARTS]
    lines = [line for line in lines if all(point.y > 0 for point in line.points)]  # nothing stands on a log axis
    crossings = tuple(Point(at, _per_token(model, at, ask, "scores"), Figure(at, TOKENS)) for at in crossed)
    trained = spec.context is not None and grid[0] <= spec.context <= grid[-1]
    seen = "full" if ask.sight == "full" else "causal"
    return Plot(
        f"{spec.label}: forward cost of a token by context ({seen} attention)",
        Axis("context", TOKENS),
        Axis("cost", FLOPS_PER_TOKEN),
        (*lines, *([Series("crossover", crossings, "points")] if crossings else [])),
        (Rule("x", int(spec.context or 0), f"trained at {int(spec.context or 0):,}"),) if trained else (),
    )


_PARTS: Final = {"attention scores": "scores", "feed-forward": "feed_forward", "all other FLOPs": "rest"}
"""The lines that are drawn, and the part of the cost that each of them shows."""


def versus_plot(spec: ModelSpec, ask: Ask) -> Plot:
    """Operations of one layer by context: attention, and what stood in its place before; where attention takes more."""
    width, asked = int(spec.d_model), sorted(set(ask.contexts)) or default_contexts(spec)
    crossing = [at for at in (_cheaper_from(width, ask)) if asked[0] <= at <= _FURTHER * asked[-1]]
    grid = list(_grid(asked, [*asked, *crossing]))
    rows = {context: layer_types(context, width, ask.kernel, ask.neighbourhood) for context in grid}
    lines = [
        Series(layer.layer, tuple(Point(context, rows[context][place].operations) for context in grid))
        for place, layer in enumerate(rows[grid[0]])
    ]
    crossed = tuple(
        Point(at, layer_types(at, width, ask.kernel, ask.neighbourhood)[0].operations, Figure(at, TOKENS))
        for at in crossing
    )
    return Plot(
        f"One layer of width {width:,}: operations by context, attention and its alternatives",
        Axis("context", TOKENS),
        Axis("operations", OPERATIONS),
        (*lines, *([Series("attention takes more from here", crossed, "points")] if crossed else [])),
        notes=(
            f"A recurrent layer waits for one step after the other; a convolution of {ask.kernel} and attention restricted to "
            f"{ask.neighbourhood:,} neighbours need several layers to reach as far.",
        ),
    )


def _cheaper_from(width: int, ask: Ask) -> list[int]:
    """The contexts from which other layers take fewer operations than attention."""
    found = (layer.cheaper_from for layer in layer_types(1, width, ask.kernel, ask.neighbourhood))
    return [at for at in found if at is not None]


def _line(name: str, model: TracedModel, ask: Ask, grid: list[int]) -> Series:
    return Series(name, tuple(Point(context, _per_token(model, context, ask, _PARTS[name])) for context in grid))


def _crossed(spec: ModelSpec, ask: Ask, most: int) -> list[int]:
    """The contexts, up to some length, where scores overtake the feed-forward and all else."""
    found = crossovers(counted(spec), ask)
    met = [found.get(name) for name in ("feed_forward", "all_else")]
    return [int(one.value) for one in met if isinstance(one, Figure) and one.value <= most]


def _grid(asked: list[int], shown: list[int]) -> Iterator[int]:
    """Contexts from the least to the greatest in equal ratios, and those asked for themselves."""
    low, high = min(shown), 2 * max(shown) if max(shown) > asked[-1] else max(shown)
    between, place = set(shown), 0
    while low * 2 ** (place / _STEPS) <= high:
        between.add(round(low * 2 ** (place / _STEPS)))
        place += 1
    yield from sorted(between)


def _per_token(model: TracedModel, context: int, ask: Ask, part: str) -> int:
    """Forward FLOPs a token of one part of a sequence of so many tokens, rounded up as in the table."""
    run = run_of(model.spec, context)
    scores = score_total(model, run, ask.sight)
    if part == "scores":
        return int(ceil_div(scores, run.tokens))
    lines = forward_flops(model.ledger, run, ask.sight).lines
    names = {entry.name for entry in model.ledger.entries if isinstance(entry, Matmul) and entry.part == part}
    total = sum(line.value for line in lines if line.name in names or part == "rest")
    return int(ceil_div(total - scores if part == "rest" else total, run.tokens))
