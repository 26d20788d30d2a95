"""The picture of `tscale flops`: training FLOPs of a token by the length of its sequence, as each convention counts them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from tscale.core.metric import Figure
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import FLOPS_PER_TOKEN, TOKENS
from tscale.estimates.conventions import CONVENTIONS, by_convention
from tscale.estimates.explaining import TracedModel
from tscale.estimates.trained import trained
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

_FEWEST: Final = 512
_MOST: Final = 2**17
"""The shortest sequence, and the longest, unless a longer one was asked for."""
_TOKENS: Final = 10**12
"""Of how many tokens a share is drawn: all are alike."""


def flops_plot(spec: ModelSpec, context: int | None) -> Plot:
    """FLOPs of training on one token, forward and backward, by the length of its sequence, a line a convention."""
    model = TracedModel(spec, lower(spec))  # plain numbers: a picture explains nothing
    asked = int(trained(spec, _TOKENS, context).first.context.value)
    lines: dict[str, list[Point]] = {}
    for length in sorted({*_grid(asked), asked}):
        for key, figure in by_convention(model, trained(spec, _TOKENS, length)).items():
            if isinstance(figure, Figure):
                lines.setdefault(key, []).append(Point(length, Fraction(int(figure.value), _TOKENS)))
    return Plot(
        f"{spec.label}: training FLOPs per token by the length of a sequence",
        Axis("sequence", TOKENS),
        Axis("training cost", FLOPS_PER_TOKEN),
        tuple(Series(CONVENTIONS[key][0], tuple(points)) for key, points in lines.items()),
        (Rule("x", asked, f"{asked:,} tokens"),),
    )


def _grid(asked: int) -> Iterator[int]:
    """Lengths in equal ratios, from short ones to long ones."""
    length = min(_FEWEST, asked)
    while length <= max(_MOST, 2 * asked):
        yield length
        length *= 2
