"""A budget as it is given, and the training FLOPs that it comes to."""

from __future__ import annotations

from typing import Final

from tscale.answers.optimal import Asked, Budget
from tscale.core.quantity import Figure
from tscale.core.units import FLOPS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, Unit

_UNITS: Final[dict[Asked, Unit]] = {"flops": FLOPS, "params": PREDICTED_PARAMETERS, "tokens": PREDICTED_TOKENS}


def amount_given(asked: Asked, amount: int) -> Budget:
    """Training FLOPs, parameters or tokens as they were given."""
    return Budget(asked, amount, Figure(amount, _UNITS[asked]))
