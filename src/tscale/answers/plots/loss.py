"""The picture of `tscale loss`: the loss of a model by its training tokens, by each law, and the run that was asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tscale.core.laws import Bits
from tscale.core.metric import Figure
from tscale.core.plot import Axis, Plot, Point, Rule, Series
from tscale.core.units import PREDICTED_TOKENS
from tscale.estimates.loss import by_tokens
from tscale.models.spec import ModelSpec

_POINTS: Final = 61
_AROUND: Final = 30.0  # times the tokens of the run, either way


def loss_plot(
    spec: ModelSpec,
    asked: int | None,
    laws: Sequence[str],
    unique: int | None,
    served: int | None,
    bits: Bits | None = None,
) -> Plot:
    """Loss by training tokens: a line for each law, and the run's own tokens across them."""
    tokens, unit, curves = by_tokens(spec, asked, laws, unique, served, bits)
    grid = [tokens * _AROUND ** (2 * place / (_POINTS - 1) - 1) for place in range(_POINTS)]
    return Plot(
        f"{spec.label}: predicted loss by training tokens",
        Axis("training tokens", PREDICTED_TOKENS),
        Axis("predicted loss", unit, log=False),
        tuple(Series(name, tuple(Point(one, round(curve(one), 6)) for one in grid)) for name, curve in curves.items()),
        rules=(Rule("x", tokens, Figure(tokens, PREDICTED_TOKENS)),),
        notes=("Each law has its own data and tokenizer: heights of two lines cannot be compared, their slopes can.",),
    )
