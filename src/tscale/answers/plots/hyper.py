"""The picture of `tscale hyper`: the learning rate of each law by the training tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tscale.core.number_text import number_text
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import TOKENS
from tscale.estimates.hyper import LEARNING_RATE, learning_rates
from tscale.models.spec import ModelSpec

_DECADES: Final = 1.5
_PLACES: Final = 12


def hyper_plot(spec: ModelSpec, asked: int | None, context: int | None, names: Sequence[str]) -> Plot:
    """Peak learning rates by the tokens of a run, a line a law, from a thirtieth of what is asked to thirty times as many."""
    tokens, _ = learning_rates(spec, asked, context, names)
    grid = sorted(
        {tokens, *(round(tokens * 10 ** (_DECADES * place / _PLACES)) for place in range(-_PLACES, _PLACES + 1))}
    )
    lines: dict[str, list[Point]] = {}
    for many in grid:
        for law, rate in learning_rates(spec, max(many, 1), context, names)[1].items():
            lines.setdefault(law, []).append(Point(max(many, 1), rate))
    return Plot(
        f"{spec.label}: peak learning rate by training tokens",
        Axis("training tokens", TOKENS),
        Axis("peak learning rate", LEARNING_RATE),
        tuple(Series(law, tuple(points)) for law, points in lines.items()),
        (Rule("x", tokens, f"{number_text(tokens, 'short')} tokens"),),
    )
